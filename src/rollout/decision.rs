//! What a judged stage means. Users and probes arrive judged apart and are never pooled: a Fail of
//! either wins, and nothing unknown proceeds.

use serde::{Deserialize, Serialize};

use super::plan::DecideBy;
use crate::gate::verdict::{Cause, Verdict};

/// One stage as its checks judged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StageJudgement {
    pub(crate) users: Verdict,
    /// Absent when no probes ran.
    pub(crate) probes: Option<Verdict>,
    pub(crate) cause: Option<Cause>,
    /// The sentence of the judgement that decides.
    pub(crate) headline: String,
    /// The dependency that both arms fail on, when both breach.
    pub(crate) both_arms_breach: Option<String>,
}

/// What to do after a stage was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Proceed,
    /// Neither forward nor back: the data cannot decide, or the base breaches too.
    Hold,
    Back,
}

pub(crate) fn decide(decide_by: DecideBy, judged: &StageJudgement) -> Decision {
    if judged.both_arms_breach.is_some() {
        return Decision::Hold;
    }
    if judged.users == Verdict::Fail || judged.probes == Some(Verdict::Fail) {
        return Decision::Back;
    }
    let proceed = match (decide_by, judged.probes) {
        // Advisory probes may find a breach; they cannot stand in for users, nor hold them up.
        (DecideBy::Users, _) => judged.users.opens(),
        (DecideBy::Paired, probes) => probes.is_some_and(Verdict::opens),
    };
    if proceed { Decision::Proceed } else { Decision::Hold }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Back, Hold, Proceed};
    use Verdict::{Fail, Inconclusive, NotApplicable, Pass, Waived};

    #[test]
    fn users_and_probes_are_judged_apart() {
        for (by, users, probes, both, expected) in [
            (DecideBy::Users, Pass, None, false, Proceed),
            (DecideBy::Users, Waived, Some(Pass), false, Proceed),
            (DecideBy::Users, Pass, Some(Fail), false, Back),
            (DecideBy::Users, Fail, Some(Pass), false, Back),
            (DecideBy::Users, Inconclusive, Some(Pass), false, Hold),
            (DecideBy::Users, Pass, Some(Inconclusive), false, Proceed),
            (DecideBy::Users, NotApplicable, None, false, Hold),
            (DecideBy::Paired, Inconclusive, Some(Pass), false, Proceed),
            (DecideBy::Paired, Pass, None, false, Hold),
            (DecideBy::Paired, Pass, Some(Inconclusive), false, Hold),
            (DecideBy::Paired, Fail, Some(Pass), false, Back),
            (DecideBy::Users, Fail, Some(Fail), true, Hold),
            (DecideBy::Paired, Fail, Some(Pass), true, Hold),
        ] {
            let judged = StageJudgement {
                users,
                probes,
                cause: None,
                headline: String::new(),
                both_arms_breach: both.then(|| "postgres".to_owned()),
            };
            assert_eq!(decide(by, &judged), expected, "{by:?} {judged:?}");
        }
    }
}
