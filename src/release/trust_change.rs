//! `release.trust`: trust, roles and required gates are those of the last final tag, not of the
//! candidate's own tree. Before the first final tag they are read from the candidate, and that is
//! said. A change closes the gate until an old key approves exactly that change.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ports::TrustSource;
use crate::base::digest::Digest;
use crate::base::ids::{CheckId, CommitId};
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

/// The check's id, which an approval names.
pub(crate) const ID: &str = "release.trust";

/// Compares the candidate with the last final tag.
pub(crate) struct TrustCheck {
    pub(crate) source: Arc<dyn TrustSource>,
    pub(crate) candidate: CommitId,
}

/// Nothing can be set: whoever could soften this would not need to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {}

/// What the last final tag says, and what the candidate says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustSeen {
    /// The last final tag; nothing before the first one.
    pub(crate) tag: Option<String>,
    /// Ids of the trusted keys.
    pub(crate) keys: Vec<String>,
    pub(crate) required: bool,
    /// `- line` of the tag and `+ line` of the candidate.
    pub(crate) differences: Vec<String>,
}

impl TrustSeen {
    /// One line for people: where trust comes from, and what it is.
    pub(crate) fn told(&self) -> String {
        let keys = match (self.keys.len(), self.required) {
            (0, _) => "no key is trusted, so a role is a claim".to_owned(),
            (1, required) => format!("1 key{}", if required { ", required" } else { "" }),
            (count, required) => {
                format!("{count} keys{}", if required { ", required" } else { "" })
            }
        };
        match &self.tag {
            None => format!("trust: first release: {keys}"),
            Some(tag) => format!("trust: {tag}: {keys}"),
        }
    }

    /// What an approval names: these differences and no others.
    pub(crate) fn fingerprint(&self) -> String {
        let all = self.differences.join("\n");
        let hex: String = Digest::of(all.as_bytes()).hex().chars().take(16).collect();
        format!("trust:{hex}")
    }
}

const RULE_TEXT: &str =
    "release.trust v1: trust and gates of the candidate are those of the last final tag";

impl Check for TrustCheck {
    type Policy = Policy;
    type Seen = TrustSeen;
    const RULE: RuleId = RuleId { name: ID, version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new(ID).expect("a constant id")
    }

    fn policy(&self) -> Policy {
        Policy {}
    }

    async fn observe(&self, _: &Look) -> Result<TrustSeen, Unseen> {
        let seen = self.source.look(&self.candidate).await;
        seen.map_err(|why| Unseen::new(Cause::Unobserved, why.to_string(), why.next))
    }

    fn judge(_: &Policy, seen: &TrustSeen) -> Judgement {
        let (Some(tag), false) = (&seen.tag, seen.differences.is_empty()) else {
            return Judgement::pass(seen.told(), RULE_TEXT);
        };
        let headline = format!(
            "orca.yaml changes trust or required gates since {tag}: {}",
            seen.differences.join("; ")
        );
        let fingerprint = seen.fingerprint();
        let next = format!(
            "if it is meant, somebody whose key {tag} trusts approves it: --force {ID} --finding \
             {fingerprint} --worst 1 --until 7d --reason R"
        );
        let finding = Finding {
            fingerprint,
            title: headline.clone(),
            place: Some("orca.yaml".to_owned()),
            value: 1,
            unit: Unit::Count,
            next,
        };
        Judgement::fail(headline, RULE_TEXT, finding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    fn seen(tag: Option<&str>, differences: &[&str]) -> TrustSeen {
        TrustSeen {
            tag: tag.map(str::to_owned),
            keys: vec!["ci".into()],
            required: true,
            differences: differences.iter().map(|d| (*d).to_owned()).collect(),
        }
    }

    #[test]
    fn a_change_since_the_last_final_tag_closes_the_gate() {
        for (seen, verdict, said) in [
            (seen(None, &[]), Verdict::Pass, "trust: first release: 1 key, required"),
            (seen(Some("v1.3.0"), &[]), Verdict::Pass, "trust: v1.3.0: 1 key, required"),
            (
                seen(Some("v1.3.0"), &["+ gates.load.mode: observe"]),
                Verdict::Fail,
                "since v1.3.0: + gates.load.mode: observe",
            ),
        ] {
            let judged = TrustCheck::judge(&Policy {}, &seen);
            assert_eq!(judged.verdict, verdict);
            assert!(judged.headline.ends_with(said), "{}", judged.headline);
        }
    }

    /// An approval of one change is none of another.
    #[test]
    fn each_change_has_its_own_fingerprint() {
        let of = |differences: &[&str]| seen(Some("v1"), differences).fingerprint();
        assert_eq!(of(&["+ a"]), of(&["+ a"]));
        assert_ne!(of(&["+ a"]), of(&["+ a", "+ b"]));
    }
}
