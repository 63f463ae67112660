//! The next version, from the commits since the highest stable tag that HEAD contains. Pure.
//!
//! The bump is the greatest over the whole range, not since the last candidate: a feature after
//! `1.2.1-rc.1` makes `1.3.0-rc.1`. Versions are compared as semver, never as text.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use semver::Version;
use serde::Serialize;

use super::conventional::{self, Change};
use super::ports::{Commit, Repository, RepositoryError, Tag};
use crate::base::ids::CommitId;

pub(crate) const SCHEMA: &str = "orca.release-next/v1";
/// Commits read when no stable tag says where to stop.
const FIRST_RELEASE_COMMITS_MAX: usize = 1_000;

/// How far the version moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bump {
    Patch,
    Minor,
    Major,
    /// The first version of a repository without a stable tag.
    Initial,
    /// A `Release-As:` footer named the version.
    ReleaseAs,
}

/// What a breaking change means while the major version is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZeroMajor {
    Minor,
    Major,
}

/// What the user fixed about versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) tag_prefix: String,
    pub(crate) initial: Version,
    pub(crate) zero_major: ZeroMajor,
    /// Overrides what the commits say (`--bump`).
    pub(crate) bump: Option<Bump>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            tag_prefix: "v".to_owned(),
            initial: Version::new(0, 1, 0),
            zero_major: ZeroMajor::Minor,
            bump: None,
        }
    }
}

/// What the next version is decided from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) head: CommitId,
    /// The highest stable tag that HEAD contains.
    pub(crate) stable: Option<Tag>,
    /// Since that tag, newest first.
    pub(crate) commits: Vec<Commit>,
    /// All tags known, local and remote.
    pub(crate) tags: Vec<Tag>,
}

/// The answer of `orca release next --json`.
#[expect(clippy::struct_field_names, reason = "the names are the contract of the document")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Next {
    pub(crate) schema: String,
    /// The stable version it starts from, without the tag prefix.
    pub(crate) current: Option<String>,
    /// The candidate's version without the tag prefix, such as `1.4.0-rc.2`.
    pub(crate) next: String,
    pub(crate) bump: Bump,
    /// The candidate's number.
    pub(crate) rc: u64,
    /// One sentence: what decided.
    pub(crate) reason: String,
    /// How many commits since `current`.
    pub(crate) commits: usize,
    /// The tag name.
    #[serde(skip)]
    pub(crate) tag: String,
    /// The version without its candidate number.
    #[serde(skip)]
    pub(crate) core: CoreVersion,
    /// HEAD carries this candidate already.
    #[serde(skip)]
    pub(crate) exists: bool,
}

/// `X.Y.Z`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CoreVersion(pub(crate) Version);

impl Default for CoreVersion {
    fn default() -> Self {
        Self(Version::new(0, 0, 0))
    }
}

/// Why there is no next version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NextError {
    #[error(
        "nothing to release since {since}: {commits} commits, none of them feat, fix, perf or breaking"
    )]
    Nothing { since: String, commits: usize },
    #[error("Release-As '{text}' in commit {commit} is not a version like 1.2.3")]
    ReleaseAs { text: String, commit: String },
    #[error("{next} is not above {current}")]
    NotAbove { next: Version, current: Version },
    #[error("version {0} cannot be raised further")]
    Overflow(Version),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Reads what [`next`] needs. With a remote its tags are asked for: local ones are stale.
pub(crate) fn history(
    repository: &dyn Repository,
    rules: &Rules,
    remote: Option<&str>,
) -> Result<History, RepositoryError> {
    let head = repository.head()?.commit;
    let mut tags: BTreeSet<Tag> = repository.tags()?.into_iter().collect();
    let local: BTreeSet<Tag> = tags.clone();
    if let Some(remote) = remote {
        tags.extend(repository.remote_tags(remote)?);
    }
    let mut stable: Vec<(Version, Tag)> = local
        .into_iter()
        .filter_map(|t| Some((version_of(&t.name, &rules.tag_prefix)?, t)))
        .filter(|(v, _)| v.pre.is_empty())
        .collect();
    stable.sort_by(|a, b| b.0.cmp(&a.0));
    let commits: Vec<CommitId> = stable.iter().map(|(_, t)| t.commit.clone()).collect();
    let stable = repository.first_contained(&commits)?.map(|place| stable.swap_remove(place).1);
    let base = stable.as_ref().map(|t| &t.commit);
    let commits = repository.commits_since(base, FIRST_RELEASE_COMMITS_MAX)?;
    Ok(History { head, stable, commits, tags: tags.into_iter().collect() })
}

/// Decides the next candidate.
pub(crate) fn next(rules: &Rules, history: &History) -> Result<Next, NextError> {
    let current = history.stable.as_ref().and_then(|t| version_of(&t.name, &rules.tag_prefix));
    let (core, bump, reason) = core(rules, history, current.as_ref())?;
    let of_core: Vec<(u64, &Tag)> = history
        .tags
        .iter()
        .filter_map(|t| {
            let version = version_of(&t.name, &rules.tag_prefix)?;
            (core_of(&version) == core).then_some((rc_number(&version)?, t))
        })
        .collect();
    let newest = of_core.iter().map(|(n, _)| *n).max();
    let at_head = of_core.iter().filter(|(_, t)| t.commit == history.head).map(|(n, _)| *n).max();
    let exists = newest.is_some() && newest == at_head;
    let rc = if exists { newest.unwrap_or(1) } else { newest.unwrap_or(0).saturating_add(1) };
    let next = format!("{core}-rc.{rc}");
    Ok(Next {
        schema: SCHEMA.to_owned(),
        current: current.map(|v| v.to_string()),
        tag: format!("{}{next}", rules.tag_prefix),
        next,
        bump,
        rc,
        reason,
        commits: history.commits.len(),
        core: CoreVersion(core),
        exists,
    })
}

fn core(
    rules: &Rules,
    history: &History,
    current: Option<&Version>,
) -> Result<(Version, Bump, String), NextError> {
    let changes = conventional::standing(&history.commits);
    if let Some(asked) = changes.iter().find(|c| c.release_as.is_some()) {
        return released_as(asked, rules, current);
    }
    let Some(current) = current else {
        let reason = format!("no stable tag yet: the first version is {}", rules.initial);
        return Ok((rules.initial.clone(), Bump::Initial, reason));
    };
    let (bump, reason) = match rules.bump {
        Some(bump) => (bump, "asked for by --bump".to_owned()),
        None => greatest(&changes).ok_or_else(|| NextError::Nothing {
            since: format!("{}{current}", rules.tag_prefix),
            commits: history.commits.len(),
        })?,
    };
    let softened = bump == Bump::Major
        && rules.bump.is_none()
        && current.major == 0
        && rules.zero_major == ZeroMajor::Minor;
    let bump = if softened { Bump::Minor } else { bump };
    let reason =
        if softened { format!("{reason}; minor while the major version is 0") } else { reason };
    Ok((raised(current, bump)?, bump, reason))
}

fn released_as(
    asked: &Change,
    rules: &Rules,
    current: Option<&Version>,
) -> Result<(Version, Bump, String), NextError> {
    let text = asked.release_as.clone().unwrap_or_default();
    let bare = text.strip_prefix(&rules.tag_prefix).unwrap_or(&text);
    let version = Version::parse(bare).ok().filter(|v| v.pre.is_empty() && v.build.is_empty());
    let short = asked.commit.id.short();
    let Some(version) = version else {
        return Err(NextError::ReleaseAs { text, commit: short.to_owned() });
    };
    match current {
        Some(current) if version <= *current => {
            Err(NextError::NotAbove { next: version, current: current.clone() })
        }
        _ => Ok((version, Bump::ReleaseAs, format!("Release-As in commit {short}"))),
    }
}

/// The greatest bump, with the commit that decided.
fn greatest(changes: &[Change]) -> Option<(Bump, String)> {
    changes
        .iter()
        .filter_map(|change| Some((bump_of(change)?, change)))
        .reduce(|best, other| if other.0 > best.0 { other } else { best })
        .map(|(bump, change)| {
            (bump, format!("{}: {}", change.commit.id.short(), change.commit.subject))
        })
}

fn bump_of(change: &Change) -> Option<Bump> {
    match change.kind.as_str() {
        _ if change.breaking.is_some() => Some(Bump::Major),
        "feat" => Some(Bump::Minor),
        "fix" | "perf" => Some(Bump::Patch),
        _ => None,
    }
}

fn raised(from: &Version, bump: Bump) -> Result<Version, NextError> {
    let up = |number: u64| number.checked_add(1).ok_or_else(|| NextError::Overflow(from.clone()));
    Ok(match bump {
        Bump::Major => Version::new(up(from.major)?, 0, 0),
        Bump::Minor => Version::new(from.major, up(from.minor)?, 0),
        Bump::Patch => Version::new(from.major, from.minor, up(from.patch)?),
        Bump::Initial | Bump::ReleaseAs => from.clone(),
    })
}

/// The version that a tag names, when it is one of ours.
pub(crate) fn version_of(tag: &str, prefix: &str) -> Option<Version> {
    let version = Version::parse(tag.strip_prefix(prefix)?).ok()?;
    version.build.is_empty().then_some(version)
}

/// `X.Y.Z` of any version.
pub(crate) fn core_of(version: &Version) -> Version {
    Version::new(version.major, version.minor, version.patch)
}

fn rc_number(version: &Version) -> Option<u64> {
    version.pre.as_str().strip_prefix("rc.")?.parse().ok()
}

/// Candidates' versions above the stable one, other than `core`: drafts that this one takes over.
pub(crate) fn superseded(rules: &Rules, history: &History, core: &Version) -> BTreeSet<Version> {
    let ours: BTreeSet<&CommitId> = history.commits.iter().map(|c| &c.id).collect();
    history
        .tags
        .iter()
        .filter(|t| ours.contains(&t.commit))
        .filter_map(|t| version_of(&t.name, &rules.tag_prefix))
        .filter(|v| rc_number(v).is_some() && core_of(v) != *core)
        .map(|v| core_of(&v))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::conventional::tests::commit;
    use super::*;

    fn tag(name: &str, number: u64) -> Tag {
        Tag { name: name.into(), commit: CommitId::new(format!("{number:040x}")).unwrap() }
    }

    /// A history whose newest commit is HEAD; commits are numbered from 100, oldest first.
    fn history(stable: Option<&str>, tags: &[(&str, u64)], messages: &[&str]) -> History {
        let mut commits: Vec<Commit> =
            (100..).zip(messages).map(|(number, message)| commit(number, message)).collect();
        commits.reverse();
        let head = commits.first().map_or_else(|| tag("", 1).commit, |c| c.id.clone());
        let mut tags: Vec<Tag> = tags.iter().map(|(name, number)| tag(name, *number)).collect();
        let stable = stable.map(|name| tag(name, 1));
        tags.extend(stable.clone());
        History { head, stable, commits, tags }
    }

    #[test]
    fn the_bump_is_the_greatest_over_the_range() {
        for (stable, messages, expected) in [
            ("v1.2.0", &["fix: a"][..], "1.2.1-rc.1"),
            ("v1.2.0", &["perf: a", "docs: b"], "1.2.1-rc.1"),
            ("v1.2.3", &["fix: a", "feat: b", "fix: c"], "1.3.0-rc.1"),
            ("v1.2.3", &["feat!: a", "fix: b"], "2.0.0-rc.1"),
            ("v1.2.3", &["chore: a\n\nBREAKING CHANGE: gone"], "2.0.0-rc.1"),
            ("v0.2.3", &["feat!: a"], "0.3.0-rc.1"),
            ("v0.2.3", &["fix: a"], "0.2.4-rc.1"),
            ("v1.2.3", &["feat: a", "fix: b\n\nRelease-As: 4.0.0"], "4.0.0-rc.1"),
            ("v1.2.3", &["docs: a\n\nRelease-As: v1.2.9"], "1.2.9-rc.1"),
        ] {
            let next = next(&Rules::default(), &history(Some(stable), &[], messages)).unwrap();
            assert_eq!(next.next, expected, "{messages:?}");
            assert_eq!(next.tag, format!("v{expected}"));
        }
    }

    #[test]
    fn options_override() {
        let breaking = history(Some("v0.2.3"), &[], &["feat!: a"]);
        let strict = Rules { zero_major: ZeroMajor::Major, ..Rules::default() };
        assert_eq!(next(&strict, &breaking).unwrap().next, "1.0.0-rc.1");
        let docs = history(Some("v0.2.3"), &[], &["docs: a"]);
        for (bump, expected) in
            [(Bump::Patch, "0.2.4-rc.1"), (Bump::Minor, "0.3.0-rc.1"), (Bump::Major, "1.0.0-rc.1")]
        {
            let rules = Rules { bump: Some(bump), ..Rules::default() };
            assert_eq!(next(&rules, &docs).unwrap().next, expected);
        }
        let first = next(&Rules::default(), &history(None, &[], &["docs: a"])).unwrap();
        assert_eq!((first.next.as_str(), first.current), ("0.1.0-rc.1", None));
    }

    #[test]
    fn refuses_what_is_no_release() {
        let nothing = next(&Rules::default(), &history(Some("v1.0.0"), &[], &["docs: a", "wip"]));
        assert_eq!(nothing, Err(NextError::Nothing { since: "v1.0.0".into(), commits: 2 }));
        let lower = history(Some("v1.2.0"), &[], &["fix: a\n\nRelease-As: 1.2.0"]);
        assert!(matches!(next(&Rules::default(), &lower), Err(NextError::NotAbove { .. })));
        let wrong = history(Some("v1.2.0"), &[], &["fix: a\n\nRelease-As: soon"]);
        assert!(matches!(next(&Rules::default(), &wrong), Err(NextError::ReleaseAs { .. })));
        let full = history(Some(&format!("v1.2.{}", u64::MAX)), &[], &["fix: a"]);
        assert!(matches!(next(&Rules::default(), &full), Err(NextError::Overflow(_))));
    }

    #[test]
    fn candidates_count_from_one_per_core_and_converge() {
        let rules = Rules::default();
        let next_of = |tags: &[(&str, u64)], messages: &[&str]| {
            let next = next(&rules, &history(Some("v1.2.0"), tags, messages)).unwrap();
            (next.next, next.exists)
        };
        let name = |text: &str, exists| (text.to_owned(), exists);
        let rc1 = ("v1.2.1-rc.1", 100);
        assert_eq!(next_of(&[rc1], &["fix: a"]), name("1.2.1-rc.1", true));
        assert_eq!(next_of(&[rc1], &["fix: a", "fix: b"]), name("1.2.1-rc.2", false));
        assert_eq!(next_of(&[rc1], &["fix: a", "feat: b"]), name("1.3.0-rc.1", false));
        let rcs = [rc1, ("v1.2.1-rc.9", 7), ("v1.2.1-rc.10", 8), ("v1.2.1-beta.99", 8)];
        assert_eq!(next_of(&rcs, &["fix: a"]), name("1.2.1-rc.11", false));
        let drafts = history(Some("v1.2.0"), &[rc1], &["fix: a", "feat: b"]);
        let taken_over = superseded(&rules, &drafts, &Version::new(1, 3, 0));
        assert_eq!(taken_over, BTreeSet::from([Version::new(1, 2, 1)]));
    }
}
