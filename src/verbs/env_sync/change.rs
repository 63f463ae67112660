//! What differs between a file and a hosted environment, by key. Pure; values are compared and never
//! leave here.

use std::collections::BTreeMap;

use super::run::Hosted;
use crate::base::dotenv::Variable;

/// What becomes of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Added,
    Changed,
    /// It is there and cannot be read back, so it is set again.
    SetAgain,
    Unchanged,
    /// It is there, and the file does not name it.
    LeftAlone,
    Removed,
    /// Others share it, and it would change there too.
    Shared,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::SetAgain => "set_again",
            Self::Unchanged => "unchanged",
            Self::LeftAlone => "left_alone",
            Self::Removed => "removed",
            Self::Shared => "shared",
        }
    }

    /// Whether the hosted environment is changed by it.
    pub(crate) const fn changes(self) -> bool {
        matches!(self, Self::Added | Self::Changed | Self::SetAgain | Self::Removed)
    }
}

/// One key of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) kind: Kind,
    /// The line of the file, where it names the key.
    pub(crate) line: Option<u64>,
    /// The other environments that share it.
    pub(crate) also: Vec<String>,
    /// The custom ones, by their ids: they are never set from here.
    pub(crate) custom: Vec<String>,
}

impl Change {
    /// Everybody who shares it, as people read it.
    pub(crate) fn sharers(&self) -> Vec<String> {
        let custom = self.custom.iter().map(|id| format!("custom environment {id}"));
        self.also.iter().cloned().chain(custom).collect()
    }
}

/// Every key of both sides, in their order. `prunes`: what the file does not name is removed;
/// `shares`: what others share may be changed.
pub(crate) fn planned(
    file: &[Variable],
    hosted: &[Hosted],
    (prunes, shares): (bool, bool),
) -> Vec<Change> {
    let wanted: BTreeMap<&str, &Variable> =
        file.iter().map(|variable| (variable.key.as_str(), variable)).collect();
    let known: BTreeMap<&str, &Hosted> =
        hosted.iter().map(|variable| (variable.key.as_str(), variable)).collect();
    let keys = wanted.keys().chain(known.keys()).copied();
    let keys: std::collections::BTreeSet<&str> = keys.collect();
    let one = |key: &str| {
        let (wanted, known) = (wanted.get(key).copied(), known.get(key).copied());
        let kind = match (wanted, known) {
            (Some(_), None) => Kind::Added,
            (Some(wanted), Some(known)) => match &known.value {
                Some(value) if *value == wanted.value => Kind::Unchanged,
                Some(_) => Kind::Changed,
                None => Kind::SetAgain,
            },
            (None, _) if prunes => Kind::Removed,
            (None, _) => Kind::LeftAlone,
        };
        let also = known.map(|known| known.also.clone()).unwrap_or_default();
        let custom = known.map(|known| known.custom.clone()).unwrap_or_default();
        let is_refused = !custom.is_empty() || (!also.is_empty() && !shares);
        let is_shared = kind.changes() && is_refused;
        Change {
            key: key.to_owned(),
            kind: if is_shared { Kind::Shared } else { kind },
            line: wanted.map(|variable| variable.line),
            also,
            custom,
        }
    };
    keys.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::redact::Secret;

    #[test]
    fn each_key_has_its_fate() {
        let file = |pairs: &[(&str, &str)]| -> Vec<Variable> {
            let own = |(line, (key, value)): (u64, &(&str, &str))| Variable {
                key: (*key).to_owned(),
                value: Secret::new(*value),
                line,
            };
            (1..).zip(pairs).map(own).collect()
        };
        let hosted = |key: &str, value: Option<&str>, also: &[&str]| Hosted {
            id: format!("env_{key}"),
            key: key.to_owned(),
            value: value.map(Secret::new),
            kind: "encrypted".to_owned(),
            also: also.iter().map(|name| (*name).to_owned()).collect(),
            custom: Vec::new(),
        };
        let wanted =
            file(&[("ADD", "1"), ("CHANGE", "2"), ("SAME", "3"), ("HIDDEN", "4"), ("S", "5")]);
        let mut known = [
            hosted("CHANGE", Some("1"), &[]),
            hosted("SAME", Some("3"), &["preview"]),
            hosted("HIDDEN", None, &[]),
            hosted("OLD", Some("9"), &[]),
            hosted("S", Some("1"), &["preview"]),
        ];
        let kinds_of = |known: &[Hosted], rules| -> Vec<(String, Kind)> {
            planned(&wanted, known, rules).into_iter().map(|c| (c.key, c.kind)).collect()
        };
        let own = |pairs: &[(&str, Kind)]| -> Vec<(String, Kind)> {
            pairs.iter().map(|(key, kind)| ((*key).to_owned(), *kind)).collect()
        };
        assert_eq!(
            kinds_of(&known, (false, false)),
            own(&[
                ("ADD", Kind::Added),
                ("CHANGE", Kind::Changed),
                ("HIDDEN", Kind::SetAgain),
                ("OLD", Kind::LeftAlone),
                ("S", Kind::Shared),
                ("SAME", Kind::Unchanged),
            ])
        );
        let all = kinds_of(&known, (true, true));
        assert_eq!(all[3], ("OLD".to_owned(), Kind::Removed));
        assert_eq!(all[4], ("S".to_owned(), Kind::Changed));
        // What a custom environment shares is changed by nobody from here, whatever is asked.
        for variable in &mut known {
            variable.custom = vec!["env_qa".to_owned()];
        }
        let kinds: Vec<Kind> =
            kinds_of(&known, (true, true)).into_iter().map(|(_, kind)| kind).collect();
        let (added, shared) = (Kind::Added, Kind::Shared);
        assert_eq!(kinds, [added, shared, shared, shared, shared, Kind::Unchanged]);
    }
}
