//! What a check saw, with the limits it was judged by: enough to judge it again anywhere.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::check::{ErasedCheck, Unseen};
use super::verdict::Cause;
use crate::base::clock::Timestamp;
use crate::base::digest::{Digest, canonical_json};
use crate::base::ids::CheckId;
use crate::base::redact::Redactor;

pub(crate) const SCHEMA: &str = "orca.exhibit/v1";

/// Either what was seen, or why nothing was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "sight", try_from = "Stored")]
pub(crate) enum Sight {
    Seen { seen: Value },
    Unseen { cause: Cause, detail: String, next: String },
}

/// A [`Sight`] as it is read: its tag stands behind what was seen, and looking for it first would
/// mean to read megabytes twice.
#[derive(Deserialize)]
struct Stored {
    sight: Tag,
    #[serde(default, deserialize_with = "even_null")]
    seen: Option<Value>,
    cause: Option<Cause>,
    detail: Option<String>,
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tag {
    Seen,
    Unseen,
}

fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl TryFrom<Stored> for Sight {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        match (stored.sight, stored.seen, stored.cause, stored.detail, stored.next) {
            (Tag::Seen, Some(seen), ..) => Ok(Self::Seen { seen }),
            (Tag::Seen, None, ..) => Err("missing field `seen`"),
            (Tag::Unseen, _, Some(cause), Some(detail), Some(next)) => {
                Ok(Self::Unseen { cause, detail, next })
            }
            (Tag::Unseen, ..) => Err("it needs `cause`, `detail` and `next`"),
        }
    }
}

/// One observation. Its canonical bytes are what digests are taken of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exhibit {
    pub(crate) schema: String,
    pub(crate) check: CheckId,
    pub(crate) rule: String,
    pub(crate) rule_version: u32,
    pub(crate) policy: Value,
    pub(crate) sight: Sight,
    pub(crate) observed_at: Timestamp,
    pub(crate) took_us: u64,
}

impl Exhibit {
    /// Redacts and keeps what `check` saw.
    pub(crate) fn of(
        check: &dyn ErasedCheck,
        seen: Result<Value, Unseen>,
        (observed_at, took_us): (Timestamp, u64),
        redactor: &Redactor,
    ) -> Self {
        let sight = match seen {
            Ok(seen) => Sight::Seen { seen: redactor.json(seen) },
            Err(unseen) => Sight::Unseen {
                cause: unseen.cause,
                detail: redactor.text(&unseen.detail).into_owned(),
                next: redactor.text(&unseen.next).into_owned(),
            },
        };
        Self {
            schema: SCHEMA.to_owned(),
            check: check.id(),
            rule: check.rule().name.to_owned(),
            rule_version: check.rule().version,
            policy: redactor.json(check.policy()),
            sight,
            observed_at,
            took_us,
        }
    }

    /// Canonical JSON: the same exhibit gives the same bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        canonical_json(self).expect("an exhibit is plain data")
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.bytes())
    }

    /// The digest of the limits, by which a gate set names them.
    pub(crate) fn policy_digest(&self) -> Digest {
        policy_digest(&self.policy)
    }

    /// Reads an exhibit from its bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let exhibit: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if exhibit.schema == SCHEMA {
            Ok(exhibit)
        } else {
            Err(format!("unknown schema '{}'; this orca reads {SCHEMA}", exhibit.schema))
        }
    }
}

/// The digest of a policy.
pub(crate) fn policy_digest(policy: &Value) -> Digest {
    Digest::of(&canonical_json(policy).expect("a policy is plain data"))
}
