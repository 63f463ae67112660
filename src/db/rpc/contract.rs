//! The API's own rule, before and after: a call picks a function by the set of its argument names,
//! never by types. No match is PGRST202, two are PGRST203. Pure.

use std::collections::BTreeSet;

/// A function that clients call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Of what goes in, in order.
    pub(crate) names: Vec<String>,
    pub(crate) types: Vec<String>,
    /// How many of them have no default.
    pub(crate) required: usize,
    pub(crate) result: String,
    /// `i`, `s` or `v`.
    pub(crate) volatility: String,
    /// Roles of clients that may execute it.
    pub(crate) callers: Vec<String>,
}

/// A call that worked and does not any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Break {
    /// The name, and the arguments of the call.
    pub(crate) call: String,
    /// What the client sees.
    pub(crate) message: String,
}

type Keys<'a> = BTreeSet<&'a str>;

impl Function {
    fn takes(&self, keys: &Keys<'_>) -> bool {
        let all: Keys<'_> = self.names.iter().map(String::as_str).collect();
        let required: Keys<'_> =
            self.names.iter().take(self.required).map(String::as_str).collect();
        required.is_subset(keys) && keys.is_subset(&all)
    }

    /// The calls to try: what is required, that with each optional one, everything.
    fn calls(&self) -> BTreeSet<Keys<'_>> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let (required, optional) = names.split_at(self.required.min(names.len()));
        let base: Keys<'_> = required.iter().copied().collect();
        let mut calls = BTreeSet::from([base.clone(), names.iter().copied().collect()]);
        for name in optional {
            let mut keys = base.clone();
            keys.insert(name);
            calls.insert(keys);
        }
        calls
    }

    fn type_of(&self, key: &str) -> Option<&str> {
        let at = self.names.iter().position(|name| name == key)?;
        self.types.get(at).map(String::as_str)
    }
}

/// Every call that resolved before and fails or differs after.
pub(crate) fn breaks(before: &[Function], after: &[Function]) -> BTreeSet<Break> {
    let mut found = BTreeSet::new();
    for old in before {
        for keys in old.calls() {
            let takes = |f: &&Function| f.name == old.name && f.takes(&keys);
            if before.iter().filter(takes).count() != 1 {
                continue;
            }
            let now: Vec<&Function> = after.iter().filter(takes).collect();
            // An argument without a name is the body of the request.
            let shown: Vec<&str> =
                keys.iter().map(|key| if key.is_empty() { "the body" } else { key }).collect();
            let call = format!("{}({})", old.name, shown.join(", "));
            let messages = match now.as_slice() {
                [] => vec!["PGRST202, 404: no function takes these arguments".to_owned()],
                [new] => differences(old, new, &keys),
                many => {
                    vec![format!("PGRST203, 300: {} functions take these arguments", many.len())]
                }
            };
            found.extend(messages.into_iter().map(|message| Break { call: call.clone(), message }));
        }
    }
    found
}

fn differences(old: &Function, new: &Function, keys: &Keys<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for key in keys {
        let (was, is) =
            (old.type_of(key).unwrap_or_default(), new.type_of(key).unwrap_or_default());
        if was != is {
            found.push(format!("22P02, 400: {key} was {was} and is {is}"));
        }
    }
    if !answers_alike(&old.result, &new.result) {
        found.push(format!("another answer: it was {} and is {}", old.result, new.result));
    }
    if old.volatility != "v" && new.volatility == "v" {
        found.push("405: GET stops working, for it is VOLATILE now".to_owned());
    }
    let lost: Vec<&str> =
        old.callers.iter().filter(|r| !new.callers.contains(r)).map(String::as_str).collect();
    if !lost.is_empty() {
        found.push(format!("42501, 401 or 403: {} may not execute it", lost.join(", ")));
    }
    found
}

/// Columns may be added at the end of a row type: the answer grows, and nothing is missing.
fn answers_alike(was: &str, is: &str) -> bool {
    match (was.split_once(" {"), is.split_once(" {")) {
        (Some((type_was, columns)), Some((type_is, more))) => {
            let columns = columns.trim_end_matches('}');
            type_was == type_is
                && (more.starts_with(&format!("{columns},"))
                    || more.trim_end_matches('}') == columns)
        }
        _ => was == is,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(args: &[(&str, &str)], required: usize) -> Function {
        Function {
            name: "public.f".to_owned(),
            names: args.iter().map(|(name, _)| (*name).to_owned()).collect(),
            types: args.iter().map(|(_, of)| (*of).to_owned()).collect(),
            required,
            result: "integer".to_owned(),
            volatility: "s".to_owned(),
            callers: vec!["anon".to_owned(), "authenticated".to_owned()],
        }
    }

    #[test]
    fn each_change_is_named_as_the_client_sees_it() {
        let old = function(&[("a", "integer")], 1);
        let with = |change: &dyn Fn(&mut Function)| {
            let mut new = old.clone();
            change(&mut new);
            vec![new]
        };
        let defaulted = function(&[("a", "integer"), ("b", "text")], 1);
        for (after, code) in [
            (vec![old.clone()], None),
            (vec![], Some("PGRST202")),
            (with(&|f| f.name = "public.g".into()), Some("PGRST202")),
            (with(&|f| f.names = vec!["x".into()]), Some("PGRST202")),
            (vec![function(&[("a", "integer"), ("b", "text")], 2)], Some("PGRST202")),
            (vec![old.clone(), defaulted.clone()], Some("PGRST203")),
            (vec![old.clone(), function(&[("a", "text")], 1)], Some("PGRST203")),
            (vec![defaulted], None),
            (with(&|f| f.types = vec!["text".into()]), Some("22P02")),
            (with(&|f| f.names = vec![String::new()]), Some("PGRST202")),
            (with(&|f| f.result = "SETOF integer".into()), Some("another answer")),
            (with(&|f| f.volatility = "v".into()), Some("405")),
            (with(&|f| f.callers = vec!["authenticated".into()]), Some("42501")),
        ] {
            let found = breaks(std::slice::from_ref(&old), &after);
            let codes: Vec<bool> =
                found.iter().map(|b| code.is_some_and(|c| b.message.starts_with(c))).collect();
            assert_eq!(codes, code.map(|_| true).into_iter().collect::<Vec<_>>(), "{found:?}");
        }
    }

    #[test]
    fn a_row_type_may_grow_and_not_shrink() {
        let was = "SETOF public.t {a integer, b text}";
        assert!(answers_alike(was, "SETOF public.t {a integer, b text, c text}"));
        assert!(!answers_alike(was, "SETOF public.t {a integer}"));
        assert!(!answers_alike(was, "SETOF public.t {a integer, b integer}"));
        assert!(answers_alike("SETOF public.t {a integer}", "SETOF public.t {a integer}"));
    }

    #[test]
    fn optional_arguments_are_calls_too() {
        let body = function(&[("", "jsonb")], 1);
        let gone: Vec<String> = breaks(&[body], &[]).into_iter().map(|b| b.call).collect();
        assert_eq!(gone, ["public.f(the body)"]);
        let old = function(&[("a", "integer"), ("b", "text"), ("c", "text")], 1);
        let new = function(&[("a", "integer"), ("b", "text")], 1);
        let found: Vec<String> = breaks(&[old], &[new]).into_iter().map(|b| b.call).collect();
        assert_eq!(found, ["public.f(a, b, c)", "public.f(a, c)"]);
    }
}
