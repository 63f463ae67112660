//! Commits as the conventional-commits convention reads them. A commit it cannot read changes no
//! version and no text; a reverted commit and its revert cancel each other.

use std::collections::BTreeSet;

use super::ports::Commit;

/// What one commit says about the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: String,
    pub(crate) scope: Option<String>,
    pub(crate) description: String,
    /// What breaks, in the author's words.
    pub(crate) breaking: Option<String>,
    /// The version that a `Release-As:` footer asks for.
    pub(crate) release_as: Option<String>,
    pub(crate) commit: Commit,
}

/// Reads one commit.
pub(crate) fn read(commit: &Commit) -> Result<Change, String> {
    let message = commit.message();
    let parsed = git_conventional::Commit::parse(message.trim()).map_err(|e| e.to_string())?;
    let release_as = parsed
        .footers()
        .iter()
        .find(|f| f.token() == git_conventional::FooterToken::new_unchecked("Release-As"))
        .map(|f| f.value().trim().to_owned());
    Ok(Change {
        kind: parsed.type_().as_str().to_ascii_lowercase(),
        scope: parsed.scope().map(|s| s.as_str().to_owned()),
        description: parsed.description().trim().to_owned(),
        breaking: parsed
            .breaking_description()
            .map(|b| b.split_whitespace().collect::<Vec<_>>().join(" ")),
        release_as,
        commit: commit.clone(),
    })
}

/// What stands after reverts: `commits` newest first, changes in the same order.
pub(crate) fn standing(commits: &[Commit]) -> Vec<Change> {
    let cancelled = cancelled(commits);
    commits
        .iter()
        .enumerate()
        .filter(|(place, _)| !cancelled.contains(place))
        .filter_map(|(_, commit)| read(commit).ok())
        .collect()
}

/// Places of reverted commits and of the reverts that undid them. Newest first, so a revert of a
/// revert brings the first commit back.
pub(crate) fn cancelled(commits: &[Commit]) -> BTreeSet<usize> {
    let mut cancelled = BTreeSet::new();
    for (place, commit) in commits.iter().enumerate() {
        if cancelled.contains(&place) {
            continue;
        }
        let targets = reverted_ids(commit);
        for (older, target) in commits.iter().enumerate().skip(place + 1) {
            if targets.iter().any(|id| target.id.as_str().starts_with(id.as_str())) {
                cancelled.insert(older);
                cancelled.insert(place);
            }
        }
    }
    cancelled
}

/// The commits that a revert names: git's `This reverts commit ID`, or `Refs: ID` under `revert:`.
fn reverted_ids(commit: &Commit) -> Vec<String> {
    let is_revert = commit.subject.starts_with("Revert ")
        || commit.subject.starts_with("Reapply ")
        || commit.subject.to_ascii_lowercase().starts_with("revert");
    let mut ids = Vec::new();
    for line in commit.body.lines() {
        let rest = match line.find("reverts commit ") {
            Some(at) => line.get(at + "reverts commit ".len()..),
            None if is_revert => line.strip_prefix("Refs: "),
            None => None,
        };
        for word in rest.unwrap_or_default().split([' ', ',', '.', ';']) {
            if (7..=40).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit()) {
                ids.push(word.to_ascii_lowercase());
            }
        }
    }
    ids
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::ids::CommitId;

    /// A commit with a made-up id.
    pub(crate) fn commit(number: u64, message: &str) -> Commit {
        let (subject, body) = message.split_once("\n\n").unwrap_or((message, ""));
        Commit {
            id: CommitId::new(format!("{number:040x}")).unwrap(),
            author: "Ada".into(),
            email: "ada@example.org".into(),
            at: Timestamp::default(),
            subject: subject.into(),
            body: body.into(),
            merge: false,
        }
    }

    #[test]
    fn a_revert_cancels_and_its_revert_brings_back() {
        let feat = commit(0xaaaa_aaaa, "feat: search");
        let undo = |number, of: &Commit, subject: &str| {
            commit(number, &format!("{subject}\n\nThis reverts commit {}.", of.id))
        };
        let revert = undo(2, &feat, "Revert \"feat: search\"");
        let again = undo(3, &revert, "Reapply \"feat: search\"");
        assert_eq!(standing(&[revert.clone(), feat.clone()]), []);
        let back = standing(&[again, revert, feat.clone()]);
        assert_eq!(back.iter().map(|c| c.description.as_str()).collect::<Vec<_>>(), ["search"]);
        let refs = commit(4, &format!("revert: feat: search\n\nRefs: {}", &feat.id.as_str()[..40]));
        assert_eq!(standing(&[refs, feat]), []);
    }

    #[test]
    fn reads_breaking_scope_and_release_as() {
        let change = read(&commit(
            1,
            "feat(api)!: new ids\n\nBREAKING CHANGE: ids\n are text\nRelease-As: 3.0.0",
        ))
        .unwrap();
        assert_eq!((change.kind.as_str(), change.scope.as_deref()), ("feat", Some("api")));
        assert_eq!(change.breaking.as_deref(), Some("ids are text"));
        assert_eq!(change.release_as.as_deref(), Some("3.0.0"));
        assert!(read(&commit(1, "wip")).is_err());
    }
}
