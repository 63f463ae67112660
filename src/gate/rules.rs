//! The table of rules: name and version to the pure function that judges. Built once at wiring, so
//! that evidence can be judged again offline by something that knows no domain.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;

use super::check::{Check, RuleId, Series};
use super::exhibit::{Exhibit, Sight};
use super::verdict::{Cause, Judgement};

type Judge = fn(&Value, &Value) -> Result<Judgement, serde_json::Error>;
type Chart = fn(&Value, &Value) -> Vec<Series>;

/// Every rule this orca knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    table: BTreeMap<(String, u32), (Judge, Chart)>,
}

impl Rules {
    /// Adds the rule of check `C`. Adding one twice is a programming error.
    #[must_use]
    pub(crate) fn with<C: Check>(mut self) -> Self {
        let RuleId { name, version } = C::RULE;
        let before = self.table.insert((name.to_owned(), version), (judge::<C>, chart::<C>));
        assert!(before.is_none(), "rule {name} v{version} is registered twice");
        self
    }

    /// Judges an exhibit. Never fails: what cannot be judged is Inconclusive.
    pub(crate) fn judge(&self, exhibit: &Exhibit) -> Judgement {
        let rule = format!("{} v{}", exhibit.rule, exhibit.rule_version);
        let key = (exhibit.rule.clone(), exhibit.rule_version);
        match (&exhibit.sight, self.table.get(&key)) {
            (Sight::Unseen { cause, detail, next }, _) => {
                Judgement::inconclusive(*cause, detail.clone(), &rule).with_next(next.clone())
            }
            (_, None) => {
                let text = format!("this orca does not know the rule {rule}");
                Judgement::inconclusive(Cause::UnknownRule, text, &rule)
                    .with_next("use the orca that made this exhibit, or a newer one")
            }
            (Sight::Seen { seen }, Some((judge, _))) => judge(&exhibit.policy, seen)
                .unwrap_or_else(|error| {
                    let text = format!("the exhibit does not fit the rule {rule}: {error}");
                    Judgement::inconclusive(Cause::ExhibitMissing, text, &rule)
                }),
        }
    }

    /// What can be drawn of an exhibit; nothing when the rule is unknown.
    pub(crate) fn chart(&self, exhibit: &Exhibit) -> Vec<Series> {
        let key = (exhibit.rule.clone(), exhibit.rule_version);
        match (&exhibit.sight, self.table.get(&key)) {
            (Sight::Seen { seen }, Some((_, chart))) => chart(&exhibit.policy, seen),
            _ => Vec::new(),
        }
    }

    /// The names of all rules.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(|(name, _)| name.as_str())
    }
}

fn judge<C: Check>(policy: &Value, seen: &Value) -> Result<Judgement, serde_json::Error> {
    let policy = C::Policy::deserialize(policy)?;
    let seen = C::Seen::deserialize(seen)?;
    Ok(C::judge(&policy, &seen))
}

fn chart<C: Check>(policy: &Value, seen: &Value) -> Vec<Series> {
    let policy = C::Policy::deserialize(policy);
    let seen = C::Seen::deserialize(seen);
    match (policy, seen) {
        (Ok(policy), Ok(seen)) => C::chart(&policy, &seen),
        _ => Vec::new(),
    }
}
