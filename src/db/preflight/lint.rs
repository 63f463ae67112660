//! `db.lint`: whether the new migrations hold a statement that is unsafe on a database in use.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::area::closed;
use super::room::Room;
use crate::base::clock::Clock;
use crate::base::ids::CheckId;
use crate::db::lint::finding::{Finding as Linted, Level, Waived};
use crate::db::lint::lint_files;
use crate::db::lint::rules::Release;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

const RULE: &str = "no new migration breaks a rule at level error without a waiver in the file";

/// The linter over the new files.
pub(crate) struct LintCheck {
    pub(crate) room: Arc<Room>,
    /// Waivers in files end on a day.
    pub(crate) clock: Clock,
}

/// Nothing can be set: waivers stand in the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {}

/// What the linter found on that day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) today: String,
    /// Files in all, new and old.
    pub(crate) files: usize,
    pub(crate) linted: usize,
    /// What the new ones are compared with.
    pub(crate) since: String,
    pub(crate) findings: Vec<Linted>,
    pub(crate) waived: Vec<Waived>,
}

impl Check for LintCheck {
    type Policy = Policy;
    type Seen = Seen;

    const RULE: RuleId = RuleId { name: "db.lint", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("db.lint").expect("a constant id is valid")
    }

    fn policy(&self) -> Policy {
        Policy {}
    }

    async fn observe(&self, _look: &Look) -> Result<Seen, Unseen> {
        let project = self.room.project().await?;
        let today = self.clock.now().date();
        let linted = tokio::task::spawn_blocking(move || {
            let (old, sources) = project.split();
            let release = Release { sources: &sources, applied: project.applied() };
            let found = lint_files::lint(&release, &today);
            Seen {
                files: old.len() + sources.len(),
                linted: sources.len(),
                since: project.since(),
                findings: found.findings,
                waived: found.waived,
                today,
            }
        });
        linted.await.map_err(|e| Unseen::new(Cause::Unobserved, e.to_string(), "run it again"))
    }

    fn judge(_policy: &Policy, seen: &Seen) -> Judgement {
        judge(seen)
    }
}

fn judge(seen: &Seen) -> Judgement {
    if seen.files == 0 {
        return Judgement::not_applicable("there is no migration", RULE);
    }
    let open: Vec<Finding> =
        seen.findings.iter().filter(|f| f.level == Level::Error).map(finding).collect();
    let warnings = seen.findings.len() - open.len();
    let counted = format!("{} of {} migrations are new {}", seen.linted, seen.files, seen.since);
    let Some(first) = open.first() else {
        let mut text = counted;
        for (number, what) in [(warnings, "warnings"), (seen.waived.len(), "waived in the files")] {
            if number > 0 {
                text.push_str(&format!(", {number} {what}"));
            }
        }
        return Judgement::pass(text, RULE);
    };
    let place = first.place.clone().unwrap_or_default();
    let headline = format!("{counted}, {} unsafe; {place}: {}", open.len(), first.title);
    closed(headline, RULE, open)
}

fn finding(found: &Linted) -> Finding {
    Finding {
        fingerprint: format!("{}:{}:{}", found.rule, found.file, found.line),
        title: format!("{} [{}]", found.message, found.rule),
        place: Some(format!("{}:{}", found.file, found.line)),
        value: 1,
        unit: Unit::Count,
        next: format!(
            "{}; meant: -- orca: allow {} until YYYY-MM-DD: REASON",
            found.help, found.rule
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    #[test]
    fn errors_close_and_warnings_do_not() {
        let found = |level| Linted {
            rule: "truncate".into(),
            file: "m/2_b.sql".into(),
            line: 3,
            column: 1,
            byte_range: [0, 1],
            level,
            message: "every row of t goes".into(),
            help: "delete in batches".into(),
        };
        let seen = |files, findings| Seen {
            today: "2026-01-05".into(),
            files,
            linted: files.min(1),
            since: "since v1".into(),
            findings,
            waived: Vec::new(),
        };
        for (seen, verdict) in [
            (seen(0, vec![]), Verdict::NotApplicable),
            (seen(2, vec![]), Verdict::Pass),
            (seen(2, vec![found(Level::Warning)]), Verdict::Pass),
            (seen(2, vec![found(Level::Warning), found(Level::Error)]), Verdict::Fail),
        ] {
            assert_eq!(judge(&seen).verdict, verdict);
        }
        let failed = judge(&seen(2, vec![found(Level::Error)]));
        assert_eq!(failed.findings[0].place.as_deref(), Some("m/2_b.sql:3"));
        assert_eq!(failed.findings[0].fingerprint, "truncate:m/2_b.sql:3");
    }
}
