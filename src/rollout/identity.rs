//! `release.identity`: what runs is asked, not assumed. The canary must say that it is the commit
//! (and the artifact) that was tested. Nobody can waive this.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ports::{Arm, Platform};
use crate::base::digest::Digest;
use crate::base::ids::{CheckId, CommitId};
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

/// Asks the new version who it is.
pub(crate) struct IdentityCheck {
    pub(crate) platform: Arc<dyn Platform>,
    /// Where the new version serves: as the canary, or as the base once it has everybody.
    pub(crate) arm: Arm,
    pub(crate) expected: Expected,
}

/// What was tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) commit: CommitId,
    pub(crate) digest: Option<Digest>,
}

/// What it says; nothing when neither service nor platform knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    pub(crate) commit: Option<CommitId>,
    pub(crate) digest: Option<Digest>,
}

const RULE_TEXT: &str =
    "release.identity v1: the same commit, and the same digest where both know one";

impl Check for IdentityCheck {
    type Policy = Expected;
    type Seen = Said;
    const RULE: RuleId = RuleId { name: "release.identity", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("release.identity").expect("a constant id")
    }

    fn policy(&self) -> Expected {
        self.expected.clone()
    }

    async fn observe(&self, _: &Look) -> Result<Said, Unseen> {
        match self.platform.identity(self.arm).await {
            Ok(Some(identity)) => {
                Ok(Said { commit: Some(identity.commit), digest: identity.digest })
            }
            Ok(None) => Ok(Said { commit: None, digest: None }),
            Err(error) => Err(Unseen::new(
                Cause::Unobserved,
                format!("the new version did not say who it is: {error}"),
                "see whether it runs and answers GET /version",
            )),
        }
    }

    fn judge(expected: &Expected, said: &Said) -> Judgement {
        let Some(commit) = &said.commit else {
            let text = "the new version does not say which commit it is";
            return Judgement::inconclusive(Cause::NoData, text, RULE_TEXT).with_next(
                "let GET /version answer {\"commit\": \"...\", \"digest\": \"sha256:...\"}",
            );
        };
        let other_digest = match (expected.digest, said.digest) {
            (Some(tested), Some(running)) => tested != running,
            _ => false,
        };
        if *commit == expected.commit && !other_digest {
            return Judgement::pass(format!("commit {} runs", commit.short()), RULE_TEXT);
        }
        let what = if other_digest { "another artifact of the commit" } else { "another commit" };
        let headline = format!(
            "{what} runs: {} was tested, {} answers",
            expected.commit.short(),
            commit.short()
        );
        let finding = Finding {
            fingerprint: "identity".to_owned(),
            title: headline.clone(),
            place: None,
            value: 1,
            unit: Unit::Count,
            next: "deploy what was tested, or tag and test what is deployed".to_owned(),
        };
        Judgement::fail(headline, RULE_TEXT, finding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    #[test]
    fn only_what_was_tested_passes() {
        let commit = |c: &str| CommitId::new(c.repeat(40)).unwrap();
        let digest = |text: &str| Some(Digest::of(text.as_bytes()));
        let expected = Expected { commit: commit("a"), digest: digest("x") };
        for (said, verdict) in [
            (Said { commit: Some(commit("a")), digest: digest("x") }, Verdict::Pass),
            (Said { commit: Some(commit("a")), digest: None }, Verdict::Pass),
            (Said { commit: Some(commit("a")), digest: digest("y") }, Verdict::Fail),
            (Said { commit: Some(commit("b")), digest: digest("x") }, Verdict::Fail),
            (Said { commit: None, digest: None }, Verdict::Inconclusive),
        ] {
            assert_eq!(IdentityCheck::judge(&expected, &said).verdict, verdict, "{said:?}");
        }
    }
}
