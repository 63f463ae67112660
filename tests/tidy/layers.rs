//! The layer table of `docs/ARCHITECTURE.md`: who may name whom.

use std::path::Path;

use crate::source::{self, Source};

/// Rooms in layer order; those in one row do not know each other.
const LAYERS: [&[&str]; 9] = [
    &["base"],
    &["gate"],
    &["ledger"],
    &["plan"],
    &DOMAINS,
    &["evidence"],
    &["verbs"],
    &["providers"],
    &["cli"],
];

const DOMAINS: [&str; 12] = [
    "slo", "load", "release", "rollout", "router", "db", "chaos", "security", "ui", "smoke",
    "flags", "notify",
];

/// The only doors between domains.
const DOORS: [(&str, &str); 2] = [("load", "slo"), ("rollout", "slo")];

/// What evidence may know: a pack is verified without any domain.
const EVIDENCE_KNOWS: [&str; 3] = ["base", "gate", "ledger"];

/// Whether code in room `from` may name room `to`. The error says why not.
fn may_name(from: &str, to: &str) -> Result<(), &'static str> {
    let (Some(low), Some(high)) = (layer_of(to), layer_of(from)) else {
        return Err("is no room: add it to the table in tests/tidy/layers.rs, with an ADR");
    };
    if from == to || DOORS.contains(&(from, to)) {
        return Ok(());
    }
    if from == "evidence" && !EVIDENCE_KNOWS.contains(&to) {
        return Err("evidence knows base, gate and ledger only");
    }
    if low == high {
        return Err("domains do not know each other: state a port, let a verb join them");
    }
    if low < high { Ok(()) } else { Err("a lower layer does not know a higher one") }
}

fn layer_of(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// Every room that `source` names by a path from the crate's root, with the offset.
fn rooms_named(source: &Source) -> Vec<(usize, String)> {
    let module = source.module();
    let climb = "super::".repeat(module.len().max(1));
    let mut named = Vec::new();
    for prefix in ["crate::", climb.as_str()] {
        for at in source.occurrences(prefix) {
            // `super::super::x` inside a longer climb belongs to the longer one.
            if source.code[..at].ends_with("::") {
                continue;
            }
            let after = &source.code[at + prefix.len()..];
            named.extend(first_names(after).into_iter().map(|room| (at, room)));
        }
    }
    named
}

/// `a::b` names `a`; `{a::b, c::{d, e}}` names `a` and `c`.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let mut depth = 0_usize;
    let mut names = vec![word(group)];
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

pub(crate) fn violations(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for source in source::all(root) {
        let module = source.module();
        let Some(own) = module.first().copied() else { continue };
        if layer_of(own).is_none() {
            found.push(format!("{}: '{own}' is no room of the layer table", source.path));
            continue;
        }
        for (at, named) in rooms_named(&source) {
            let place = format!("{}:{}", source.path, source.line_of(at));
            // An item of the crate's root, such as a macro, is no room.
            if layer_of(&named).is_none() && !root.join("src").join(&named).exists() {
                continue;
            }
            if let Err(why) = may_name(own, &named) {
                found.push(format!("{place}: {own} names {named}: {why}"));
            }
            let wires = module.get(1).is_some_and(|part| part.starts_with("wire"));
            if named == "providers" && own == "cli" && !wires {
                found.push(format!("{place}: only src/cli/wire*.rs names a provider"));
            }
        }
    }
    found
}

#[test]
fn the_table_says_who_may_name_whom() {
    for (from, to, allowed) in [
        ("gate", "base", true),
        ("base", "gate", false),
        ("gate", "gate", true),
        ("load", "slo", true),
        ("rollout", "slo", true),
        ("slo", "load", false),
        ("router", "rollout", false),
        ("flags", "router", false),
        ("evidence", "ledger", true),
        ("evidence", "plan", false),
        ("evidence", "slo", false),
        ("verbs", "evidence", true),
        ("verbs", "providers", false),
        ("providers", "router", true),
        ("cli", "verbs", true),
        ("cli", "attic", false),
    ] {
        assert_eq!(may_name(from, to).is_ok(), allowed, "{from} names {to}");
    }
}

#[test]
fn names_are_found_in_groups_and_climbs() {
    assert_eq!(first_names("gate::check;"), ["gate"]);
    assert_eq!(first_names("{gate::{a, b}, base::c,\n slo}; x"), ["gate", "base", "slo"]);
    let code = "use super::super::slo::x; use super::y; use crate::base::z;".to_owned();
    let source = Source { path: "src/load/driver.rs".into(), text: code.clone(), code };
    let rooms: Vec<String> = rooms_named(&source).into_iter().map(|(_, room)| room).collect();
    assert_eq!(rooms, ["base", "slo"]);
}
