//! Whether every commit of a range follows the conventional-commits convention.
//! Merges are left out: their message belongs to the tool that made them.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::conventional;
use super::ports::{Commit, Repository};
use crate::base::ids::{CheckId, CommitId};
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

const RULE: &str = "every commit follows type(scope)!: description";
/// Findings listed; the headline counts all.
const FINDINGS_MAX: usize = 50;
const COMMITS_MAX: usize = 1_000;

/// The range to look at.
pub(crate) struct ConventionalCommits {
    pub(crate) repository: Arc<Mutex<dyn Repository + Send>>,
    /// Nothing: the newest commits of the whole history.
    pub(crate) base: Option<CommitId>,
}

/// Nothing can be set yet; the type keeps the exhibit's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {}

/// The commits of the range, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) commits: Vec<Commit>,
}

impl Check for ConventionalCommits {
    type Policy = Policy;
    type Seen = Seen;

    const RULE: RuleId = RuleId { name: "release.commits", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("release.commits").expect("a constant id is valid")
    }

    fn policy(&self) -> Policy {
        Policy {}
    }

    async fn observe(&self, _look: &Look) -> Result<Seen, Unseen> {
        let (repository, base) = (Arc::clone(&self.repository), self.base.clone());
        let read = tokio::task::spawn_blocking(move || {
            let repository = repository.lock().unwrap_or_else(PoisonError::into_inner);
            repository.commits_since(base.as_ref(), COMMITS_MAX)
        });
        let commits = read
            .await
            .map_err(|e| Unseen::new(Cause::Unobserved, e.to_string(), "run the check again"))?
            .map_err(|e| Unseen::new(Cause::Unobserved, e.to_string(), e.next))?;
        Ok(Seen { commits })
    }

    fn judge(_policy: &Policy, seen: &Seen) -> Judgement {
        judge(&seen.commits)
    }
}

/// Judges commits, newest first.
pub(crate) fn judge(commits: &[Commit]) -> Judgement {
    let own: Vec<&Commit> = commits.iter().filter(|c| !c.merge).collect();
    if own.is_empty() {
        return Judgement::not_applicable("no commits in the range", RULE);
    }
    let mut findings: Vec<Finding> = own.iter().filter_map(|c| offence(c)).collect();
    if findings.is_empty() {
        return Judgement::pass(format!("{} commits follow the convention", own.len()), RULE);
    }
    let headline = format!(
        "{} of {} commits do not follow the convention, first {}",
        findings.len(),
        own.len(),
        findings[0].title
    );
    findings.truncate(FINDINGS_MAX);
    let rest = findings.split_off(1);
    let mut judgement = Judgement::fail(headline, RULE, findings.remove(0));
    judgement.findings.extend(rest);
    judgement
}

fn offence(commit: &Commit) -> Option<Finding> {
    // git's own words for a revert are as clear as `revert:`.
    let generated = ["Revert \"", "Reapply \""].iter().any(|p| commit.subject.starts_with(p));
    if generated || conventional::read(commit).is_ok() {
        return None;
    }
    Some(Finding {
        fingerprint: format!("release.commits:{}", commit.id),
        title: format!("{} '{}' by {}", commit.id.short(), commit.subject, commit.author),
        place: Some(commit.id.to_string()),
        value: 1,
        unit: Unit::Count,
        next: "reword it (git rebase -i) to type: description, such as fix: read empty carts"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::conventional::tests::commit;
    use super::*;
    use crate::gate::verdict::Verdict;

    #[test]
    fn names_the_offending_commits() {
        let good = commit(1, "feat(ui)!: a");
        let merge = Commit { merge: true, ..commit(2, "Merge branch 'x'") };
        for (commits, verdict, findings) in [
            (vec![], Verdict::NotApplicable, 0),
            (vec![merge.clone()], Verdict::NotApplicable, 0),
            (vec![good.clone(), merge, commit(3, "Revert \"feat: b\"")], Verdict::Pass, 0),
            (vec![good.clone(), commit(4, "wip")], Verdict::Fail, 1),
            (vec![commit(4, "wip"), commit(5, "Fix it"), good], Verdict::Fail, 2),
        ] {
            let judgement = judge(&commits);
            assert_eq!(judgement.verdict, verdict);
            assert_eq!(judgement.findings.len(), findings);
        }
        assert!(judge(&[commit(4, "wip")]).headline.contains("'wip' by Ada"));
    }
}
