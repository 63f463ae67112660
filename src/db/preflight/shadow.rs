//! `db.shadow`: whether every migration applies on a throwaway Postgres, the old ones and then the
//! new ones, and what stood in for extensions that the server does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::area::{closed, errors, of_shadow};
use super::room::Room;
use crate::base::ids::CheckId;
use crate::base::units::Micros;
use crate::db::lint::finding::Level;
use crate::db::shadow::finding::ShadowFinding;
use crate::db::shadow::footprint::Footprint;
use crate::db::shadow::replay::{FileStatus, ReplayedFile};
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit, Verdict};

const RULE: &str = "every migration applies on an empty Supabase project, extensions included";

/// The replay.
pub(crate) struct ShadowCheck {
    pub(crate) room: Arc<Room>,
    pub(crate) policy: Policy,
}

/// What is known and accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// Findings that close nothing, by their keys.
    pub(crate) baseline: BTreeSet<String>,
    /// Extensions whose stand-ins are accepted.
    pub(crate) allow_substitutes: BTreeSet<String>,
    /// So long may a statement hold others up on a table whose rows are known.
    pub(crate) lock_max_us: u64,
    /// Rows of tables, to measure on.
    pub(crate) rows: BTreeMap<String, u64>,
}

/// What the replay did; nothing without a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) replay: Option<Replayed>,
}

/// How each file ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replayed {
    pub(crate) server_version: String,
    pub(crate) files: Vec<ReplayedFile>,
    pub(crate) substitutes: Vec<String>,
    pub(crate) findings: Vec<ShadowFinding>,
    pub(crate) footprints: Vec<Footprint>,
    pub(crate) schema_hash: Option<String>,
}

impl Check for ShadowCheck {
    type Policy = Policy;
    type Seen = Seen;

    const RULE: RuleId = RuleId { name: "db.shadow", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("db.shadow").expect("a constant id is valid")
    }

    fn policy(&self) -> Policy {
        self.policy.clone()
    }

    async fn observe(&self, _look: &Look) -> Result<Seen, Unseen> {
        let shown = self.room.shown().await?;
        let replay = shown.map(|shown| Replayed {
            server_version: shown.server_version.clone(),
            files: shown.files.clone(),
            substitutes: shown.substitutes.clone(),
            findings: shown.findings.clone(),
            footprints: shown.footprints.clone(),
            schema_hash: shown.schema_hash.clone(),
        });
        Ok(Seen { replay })
    }

    fn timeout(&self) -> Duration {
        self.room.timeout()
    }

    fn judge(policy: &Policy, seen: &Seen) -> Judgement {
        match &seen.replay {
            None => Judgement::not_applicable("there is no migration", RULE),
            Some(replayed) => judge(policy, replayed),
        }
    }
}

fn judge(policy: &Policy, seen: &Replayed) -> Judgement {
    let Replayed { server_version: version, files, .. } = seen;
    let applied = files.iter().filter(|f| f.status == FileStatus::Applied).count();
    let count = format!("{applied} of {} migrations apply on Postgres {version}", files.len());
    let lock_max = Micros(policy.lock_max_us);
    let held = seen.footprints.iter().filter_map(|held| held.finding(lock_max));
    let findings: Vec<ShadowFinding> = seen.findings.iter().cloned().chain(held).collect();
    let mut open = errors(&findings, &policy.baseline);
    // A file that failed has a finding, which no baseline excuses.
    let failed = files.iter().find(|f| f.status == FileStatus::Failed);
    if let Some(file) = failed
        && open.is_empty()
    {
        open.push(failure(file, &seen.findings));
    }
    if let Some(first) = open.first() {
        let place = first.place.as_ref().map_or(String::new(), |place| format!("{place}: "));
        let headline = format!("{count}; {place}{}", first.title);
        return closed(headline, RULE, open);
    }
    if let Some(file) = files.iter().find(|f| f.status != FileStatus::Applied) {
        let why = seen.findings.iter().find(|f| f.file.as_deref() == Some(&file.file));
        let why = why.map_or_else(|| file.file.clone(), |f| f.message.clone());
        return Judgement::inconclusive(Cause::Unobserved, format!("{count}; {why}"), RULE)
            .with_next("--shadow-url to a server that has what is missing");
    }
    let other = |f: &&ShadowFinding| f.id == "shadow.major" && !policy.baseline.contains(&f.key);
    if let Some(other) = seen.findings.iter().find(other) {
        let found = of_shadow(other);
        let headline = format!("{count}; {}", found.title);
        let mut judgement = Judgement::inconclusive(Cause::Unobserved, headline, RULE)
            .with_next(found.next.clone());
        judgement.findings = vec![found];
        return judgement;
    }
    let weak = |name: &&String| !policy.allow_substitutes.contains(*name);
    let weakened: Vec<&String> = seen.substitutes.iter().filter(weak).collect();
    if weakened.is_empty() {
        return passed(count, &seen.substitutes);
    }
    let names: Vec<&str> = weakened.iter().map(|name| name.as_str()).collect();
    let headline = format!("{count}, weakened by missing extensions: {}", names.join(", "));
    let mut judgement = Judgement::inconclusive(Cause::NoData, headline, RULE).with_next(
        "--shadow-url to a server that has them, or gates.preflight.db.allow_substitutes",
    );
    judgement.findings = weakened.into_iter().map(|name| substitute(name)).collect();
    judgement
}

/// With accepted stand-ins it is weaker than a pass.
fn passed(count: String, substitutes: &[String]) -> Judgement {
    if substitutes.is_empty() {
        return Judgement::pass(count, RULE);
    }
    let headline = format!("{count}, with accepted stand-ins for {}", substitutes.join(", "));
    Judgement { verdict: Verdict::Waived, ..Judgement::pass(headline, RULE) }
}

fn failure(file: &ReplayedFile, findings: &[ShadowFinding]) -> Finding {
    let found = findings.iter().find(|f| f.file.as_deref() == Some(&file.file));
    let unnamed = || ShadowFinding::new("replay.failed", &file.file, Level::Error, "did not apply");
    of_shadow(&found.cloned().unwrap_or_else(unnamed))
}

fn substitute(name: &str) -> Finding {
    Finding {
        fingerprint: format!("substitute:{name}"),
        title: format!("{name} was not there: what depends on it was not tried"),
        place: None,
        value: 1,
        unit: Unit::Count,
        next: "--shadow-url to a server that has it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::area::tests::found;
    use super::*;

    fn replayed(statuses: &[FileStatus], findings: &[ShadowFinding], missing: &[&str]) -> Seen {
        let file = |status: &FileStatus| ReplayedFile {
            file: "m/1_a.sql".into(),
            status: *status,
            statements: 1,
            duration_us: 1,
        };
        let replay = Replayed {
            server_version: "15.18".into(),
            files: statuses.iter().map(file).collect(),
            substitutes: missing.iter().map(|name| (*name).to_owned()).collect(),
            findings: findings.to_vec(),
            footprints: Vec::new(),
            schema_hash: None,
        };
        Seen { replay: Some(replay) }
    }

    #[test]
    fn the_worst_of_files_findings_and_stand_ins() {
        use FileStatus::{Applied, Failed, Inconclusive, NotRun};
        let failed = found("replay.failed:m/1_a.sql", Level::Error);
        let slight = found("replay.transaction:x", Level::Warning);
        let accepted =
            Policy { allow_substitutes: ["vector".to_owned()].into(), ..Policy::default() };
        let known = Policy { baseline: [failed.key.clone()].into(), ..Policy::default() };
        let major = found("shadow.major:", Level::Warning);
        let other = Policy { baseline: [major.key.clone()].into(), ..Policy::default() };
        let none = Policy::default();
        for (policy, seen, verdict) in [
            (&none, replayed(&[Applied, Applied], &[slight], &[]), Verdict::Pass),
            (&none, replayed(&[Failed, NotRun], std::slice::from_ref(&failed), &[]), Verdict::Fail),
            (&known, replayed(&[Failed, NotRun], &[failed], &[]), Verdict::Fail),
            (&none, replayed(&[Inconclusive], &[], &[]), Verdict::Inconclusive),
            (&none, replayed(&[Applied], std::slice::from_ref(&major), &[]), Verdict::Inconclusive),
            (&other, replayed(&[Applied], std::slice::from_ref(&major), &[]), Verdict::Pass),
            (&none, replayed(&[Applied], &[], &["vector"]), Verdict::Inconclusive),
            (&accepted, replayed(&[Applied], &[], &["vector"]), Verdict::Waived),
            (&accepted, replayed(&[Applied], &[], &["http", "vector"]), Verdict::Inconclusive),
            (&none, Seen { replay: None }, Verdict::NotApplicable),
        ] {
            let judgement = ShadowCheck::judge(policy, &seen);
            assert_eq!(judgement.verdict, verdict, "{}", judgement.headline);
        }
        let weak = ShadowCheck::judge(&none, &replayed(&[Applied], &[], &["vector"]));
        assert_eq!(weak.findings[0].fingerprint, "substitute:vector");
    }
}
