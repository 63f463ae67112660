//! How findings of the shadow become a judgement. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::db::lint::finding::Level;
use crate::db::shadow::advice::advice;
use crate::db::shadow::finding::ShadowFinding;
use crate::db::shadow::study::Shown;
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

/// Findings that one judgement lists; the last one counts the rest.
const FINDINGS_MAX: usize = 50;

/// Findings that are known and close nothing, by their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) baseline: BTreeSet<String>,
}

/// One area of what the shadow showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Whether there is a migration at all.
    pub(crate) applies: bool,
    /// The first file that did not apply: behind it nothing is known.
    pub(crate) stopped_at: Option<String>,
    pub(crate) findings: Vec<ShadowFinding>,
    /// How many things were compared, where the area counts them.
    pub(crate) compared: usize,
}

impl Seen {
    pub(super) fn of(shown: &Shown, findings: &[ShadowFinding], compared: usize) -> Self {
        let stopped_at = shown.stopped_at().map(|file| file.file.clone());
        Self { applies: true, stopped_at, findings: findings.to_vec(), compared }
    }

    pub(super) const fn nothing() -> Self {
        Self { applies: false, stopped_at: None, findings: Vec::new(), compared: 0 }
    }
}

/// Errors that nobody knows close; warnings are counted.
pub(super) fn judge(policy: &Policy, seen: &Seen, rule: &str, all_is_well: &str) -> Judgement {
    if !seen.applies {
        return Judgement::not_applicable("there is no migration", rule);
    }
    if let Some(file) = &seen.stopped_at {
        let text = format!("nothing is known: {file} did not apply");
        return Judgement::inconclusive(Cause::NoData, text, rule)
            .with_next("mend the file first; db.shadow says what is wrong with it");
    }
    let open = errors(&seen.findings, &policy.baseline);
    let warnings = seen.findings.iter().filter(|f| f.level == Level::Warning).count();
    if open.is_empty() {
        let known = seen.findings.len() - warnings;
        let mut text = all_is_well.to_owned();
        if warnings > 0 {
            text.push_str(&format!(", {warnings} warnings"));
        }
        if known > 0 {
            text.push_str(&format!(", {known} known errors"));
        }
        return Judgement::pass(text, rule);
    }
    let headline = format!("{} new errors, first: {}", open.len(), open[0].title);
    closed(headline, rule, open)
}

/// Errors whose keys are not in the baseline.
pub(super) fn errors(findings: &[ShadowFinding], baseline: &BTreeSet<String>) -> Vec<Finding> {
    let open = findings.iter().filter(|f| f.level == Level::Error && !baseline.contains(&f.key));
    open.map(of_shadow).collect()
}

pub(super) fn of_shadow(found: &ShadowFinding) -> Finding {
    let place = found.file.as_ref().zip(found.line).map(|(file, line)| format!("{file}:{line}"));
    Finding {
        fingerprint: found.key.clone(),
        title: found.message.clone(),
        place,
        value: 1,
        unit: Unit::Count,
        next: advice(&found.id).to_owned(),
    }
}

/// A failure of at least one finding. What is above the limit is counted, so that whoever waives the
/// listed ones has to say how many more there are.
pub(super) fn closed(headline: String, rule: &str, mut findings: Vec<Finding>) -> Judgement {
    let more = findings.len().saturating_sub(FINDINGS_MAX);
    findings.truncate(FINDINGS_MAX);
    if more > 0 {
        findings.push(Finding {
            fingerprint: "more".to_owned(),
            title: format!("and {more} more"),
            place: None,
            value: i64::try_from(more).unwrap_or(i64::MAX),
            unit: Unit::Count,
            next: "mend the ones above, then look again".to_owned(),
        });
    }
    let first = findings.remove(0);
    let mut judgement = Judgement::fail(headline, rule, first);
    judgement.findings.extend(findings);
    judgement
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    pub(in crate::db::preflight) fn found(key: &str, level: Level) -> ShadowFinding {
        let (id, subject) = key.split_once(':').unwrap();
        ShadowFinding::new(id, subject, level, format!("{subject} is open")).at("m/1_a.sql", 3)
    }

    #[test]
    fn errors_that_nobody_knows_close() {
        let (error, warning) = (
            found("rls.disabled-in-public:t", Level::Error),
            found("rls.initplan:t", Level::Warning),
        );
        let seen = |findings: &[ShadowFinding]| Seen {
            applies: true,
            stopped_at: None,
            findings: findings.to_vec(),
            compared: 0,
        };
        let stopped = Seen { stopped_at: Some("m/1_a.sql".into()), ..seen(&[]) };
        let known = Policy { baseline: [error.key.clone()].into() };
        let none = Policy::default();
        for (policy, seen, verdict) in [
            (&none, seen(&[]), Verdict::Pass),
            (&none, seen(std::slice::from_ref(&warning)), Verdict::Pass),
            (&none, seen(&[warning, error.clone()]), Verdict::Fail),
            (&known, seen(&[error]), Verdict::Pass),
            (&none, stopped, Verdict::Inconclusive),
            (&none, Seen::nothing(), Verdict::NotApplicable),
        ] {
            let judgement = judge(policy, &seen, "r", "nothing was lost");
            assert_eq!(judgement.verdict, verdict, "{seen:?}");
        }
    }

    /// The rest of a long list is one finding whose value is its length.
    #[test]
    fn what_is_not_listed_is_counted() {
        let many: Vec<ShadowFinding> =
            (0..53).map(|n| found(&format!("rls.x:{n}"), Level::Error)).collect();
        let judgement = closed("h".into(), "r", errors(&many, &BTreeSet::new()));
        assert_eq!(judgement.findings.len(), FINDINGS_MAX + 1);
        assert_eq!(judgement.findings[FINDINGS_MAX].value, 3);
    }
}
