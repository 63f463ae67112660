//! What is wrong with a hosted project or with roles, and how findings become a judgement. Pure.

use schemars::JsonSchema;
use serde::Serialize;

use crate::gate::verdict::{self, Cause, Judgement, Unit, Verdict};

/// One thing that is wrong or not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Finding {
    /// Stays the same from run to run.
    pub(crate) key: String,
    pub(crate) verdict: Verdict,
    pub(crate) message: String,
    /// How bad, in `unit`: the age of what is too old, else 1.
    pub(crate) value: i64,
    pub(crate) unit: Unit,
    /// What to do.
    pub(crate) next: String,
}

impl Finding {
    pub(super) fn new(key: String, verdict: Verdict, message: String, next: &str) -> Self {
        Self { key, verdict, message, value: 1, unit: Unit::Count, next: next.to_owned() }
    }
}

impl From<Finding> for verdict::Finding {
    fn from(found: Finding) -> Self {
        Self {
            fingerprint: found.key,
            title: found.message,
            place: None,
            value: found.value,
            unit: found.unit,
            next: found.next,
        }
    }
}

/// The worst of `findings`, the worst first; `well` when there are none. All are listed, so that a
/// waiver of what is wrong does not hide what is not known.
pub(super) fn judgement(findings: Vec<Finding>, well: String, rule: &str) -> Judgement {
    let Some(worst) = findings.first() else { return Judgement::pass(well, rule) };
    let more = match findings.len() {
        1 => String::new(),
        all => format!(" (1 of {all})"),
    };
    let (headline, failed) = (format!("{}{more}", worst.message), worst.verdict == Verdict::Fail);
    let mut found: Vec<verdict::Finding> = findings.into_iter().map(Into::into).collect();
    if failed {
        let first = found.remove(0);
        let mut judgement = Judgement::fail(headline, rule, first);
        judgement.findings.extend(found);
        return judgement;
    }
    let next = found[0].next.clone();
    let mut judgement = Judgement::inconclusive(Cause::NoData, headline, rule).with_next(next);
    judgement.findings = found;
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_and_all_are_listed() {
        let found = |verdict| Finding::new("k".into(), verdict, "m".into(), "n");
        let (fail, open) = (found(Verdict::Fail), found(Verdict::Inconclusive));
        for (findings, verdict, listed) in [
            (vec![], Verdict::Pass, 0),
            (vec![open.clone()], Verdict::Inconclusive, 1),
            (vec![fail, open], Verdict::Fail, 2),
        ] {
            let judgement = judgement(findings, "well".into(), "r");
            assert_eq!((judgement.verdict, judgement.findings.len()), (verdict, listed));
        }
    }
}
