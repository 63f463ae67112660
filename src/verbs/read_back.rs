//! Verifying by reading traffic back: requests of many different sticky keys through the front
//! door, and who answered each. The judgement is pure.

use std::time::Duration;

use crate::base::ids::CommitId;
use crate::ledger::entry::TrafficProof;
use crate::rollout::ports::{Arm, Platform, PlatformError, ProbeAnswer};

/// How many different keys are asked.
pub(crate) const KEYS: u32 = 200;
/// How long all of them together may take.
const WITHIN: Duration = Duration::from_secs(4);
/// How often traffic is read again, when it does not show what was asked for, and how soon.
const TRIES: u32 = 3;
pub(crate) const PAUSE: Duration = Duration::from_millis(300);

/// What reading back showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadBack {
    pub(crate) proof: TrafficProof,
    /// One sentence.
    pub(crate) headline: String,
}

/// [`all_on`], asked again a few times until it is so. Reading changes nothing.
pub(crate) async fn until_on(
    platform: &dyn Platform,
    wanted: Arm,
    commit: Option<&CommitId>,
) -> ReadBack {
    let mut seen = all_on(platform, wanted, commit).await;
    for _ in 1..TRIES {
        if seen.proof == TrafficProof::Verified {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        seen = all_on(platform, wanted, commit).await;
    }
    seen
}

/// Asks who serves and judges the answers.
pub(crate) async fn all_on(
    platform: &dyn Platform,
    wanted: Arm,
    commit: Option<&CommitId>,
) -> ReadBack {
    let headline = match tokio::time::timeout(WITHIN, platform.probe_keys(KEYS)).await {
        Ok(Ok(answers)) => return judge(&answers, wanted, commit),
        Ok(Err(PlatformError::Refused { platform, refused })) => {
            format!("{platform} could not be asked: {refused}")
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("{KEYS} keys were not answered within {} s", WITHIN.as_secs()),
    };
    ReadBack { proof: TrafficProof::Requested, headline }
}

/// Every answer must come from the wanted arm, by the platform's mark or by the commit. An answer
/// that says neither proves nothing.
pub(crate) fn judge(answers: &[ProbeAnswer], wanted: Arm, commit: Option<&CommitId>) -> ReadBack {
    let is_wrong = |answer: &&ProbeAnswer| {
        answer.arm.is_some_and(|arm| arm != wanted)
            || matches!((&answer.commit, commit), (Some(said), Some(known)) if said != known)
    };
    let is_silent = |answer: &&ProbeAnswer| {
        answer.arm.is_none() && (answer.commit.is_none() || commit.is_none())
    };
    let name = match wanted {
        Arm::Base => "base",
        Arm::Canary => "the new version",
    };
    let asked = answers.len();
    let wrong = answers.iter().filter(is_wrong).count();
    let silent = answers.iter().filter(is_silent).count();
    if wrong > 0 {
        let key = answers.iter().find(is_wrong).map_or("", |a| a.key.as_str());
        let headline = format!("{wrong} of {asked} keys are not on {name}, such as {key}");
        return ReadBack { proof: TrafficProof::Failed, headline };
    }
    if asked == 0 || silent > 0 {
        let headline = format!("{silent} of {asked} answers do not say which version they are");
        return ReadBack { proof: TrafficProof::Requested, headline };
    }
    let headline = format!("{asked} of {asked} keys are on {name}");
    ReadBack { proof: TrafficProof::Verified, headline }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_that_say_so_prove_anything() {
        let commit = |c: &str| CommitId::new(c.repeat(40)).unwrap();
        let answer =
            |arm, by: Option<&str>| ProbeAnswer { key: "k".into(), arm, commit: by.map(commit) };
        let base = commit("a");
        for (answers, known, proof) in [
            (vec![], Some(&base), TrafficProof::Requested),
            (vec![answer(Some(Arm::Base), None)], None, TrafficProof::Verified),
            (vec![answer(None, Some("a"))], Some(&base), TrafficProof::Verified),
            (vec![answer(None, Some("a"))], None, TrafficProof::Requested),
            (vec![answer(None, None)], Some(&base), TrafficProof::Requested),
            (vec![answer(None, Some("b"))], Some(&base), TrafficProof::Failed),
            (vec![answer(Some(Arm::Base), Some("b"))], Some(&base), TrafficProof::Failed),
            (
                vec![answer(Some(Arm::Base), None), answer(Some(Arm::Canary), None)],
                None,
                TrafficProof::Failed,
            ),
        ] {
            let seen = judge(&answers, Arm::Base, known);
            assert_eq!(seen.proof, proof, "{answers:?}: {}", seen.headline);
        }
    }
}
