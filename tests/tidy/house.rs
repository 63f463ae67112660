//! One home for each thing, caps on size, and words that say nothing.

use std::path::Path;

use crate::source::{self, Source};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;
const MAIN_LINES: usize = 15;

/// What may be named only at home. A home is a prefix of a path; no home means nowhere.
const HOMES: [(&str, &[&str]); 18] = [
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/"]),
    ("clap_mangen", &["src/cli/"]),
    ("reqwest", &["src/providers/http"]),
    ("git2", &["src/providers/git"]),
    ("hdrhistogram", &["src/base/histogram.rs"]),
    ("serde_yaml", &["src/base/yaml.rs"]),
    ("getrandom", &["src/base/clock.rs"]),
    ("jiff", &["src/base/clock.rs", "src/release/"]),
    ("SystemTime::now", &["src/base/clock.rs"]),
    ("Instant::now", &["src/base/clock.rs"]),
    ("env::var", &["src/cli/env.rs"]),
    ("env::var_os", &["src/cli/env.rs"]),
    ("env::vars", &["src/cli/env.rs"]),
    ("println!", &[]),
    ("eprintln!", &[]),
    ("print!", &[]),
    ("eprint!", &[]),
];

/// Unfinished or silenced code.
const UNFINISHED: [&str; 6] =
    ["todo!", "unimplemented!", "#[ignore", "#[allow(", "#![allow(", "#[should_panic"];

/// Names that say nothing about what is inside.
const EMPTY_WORDS: [&str; 7] = ["utils", "helpers", "manager", "common", "imp", "data", "process"];

pub(crate) fn homeless(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for source in source::all(root) {
        for (name, homes) in HOMES {
            if homes.iter().any(|home| source.path.starts_with(home)) {
                continue;
            }
            for at in source.occurrences(name).filter(|at| ends_word(&source.code, *at, name)) {
                let place = format!("{}:{}", source.path, source.line_of(at));
                found.push(match homes {
                    [] => format!("{place}: {name} is written nowhere: results go to cli::Out"),
                    _ => format!("{place}: {name} belongs to {}", homes.join(" or ")),
                });
            }
        }
    }
    found
}

fn ends_word(code: &str, at: usize, name: &str) -> bool {
    let next = code[at + name.len()..].chars().next();
    name.ends_with('!') || !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

pub(crate) fn oversized(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for source in source::all(root) {
        let lines = source.text.lines().count();
        let cap = if source.path == "src/main.rs" { MAIN_LINES } else { FILE_LINES };
        if lines > cap {
            found.push(format!(
                "{}: {lines} lines, at most {cap}: split it by meaning",
                source.path
            ));
        }
        for (name, line, length) in functions(&source) {
            if length > FUNCTION_LINES {
                let place = format!("{}:{line}", source.path);
                found.push(format!(
                    "{place}: fn {name} has {length} lines, at most {FUNCTION_LINES}"
                ));
            }
        }
    }
    found
}

/// Every function with a body: name, first line, lines of code between its braces.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in source.occurrences("fn ") {
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue;
        }
        let Some(open) = body_start(code, at) else { continue };
        let close = body_end(code, open);
        let length = code[open + 1..close].lines().filter(|line| !line.trim().is_empty()).count();
        found.push((name, source.line_of(at), length));
    }
    found
}

/// The opening brace of the function at `at`; none when it is only declared.
fn body_start(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (offset, character) in code[at..].char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return None,
            '{' if depth == 0 => return Some(at + offset),
            _ => {}
        }
    }
    None
}

fn body_end(code: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (offset, character) in code[open..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset;
        }
    }
    code.len()
}

/// `mod.rs` declares and re-exports; every file opens by saying what it is.
pub(crate) fn misshapen(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for source in source::all(root) {
        if !source.text.starts_with("//!") {
            found.push(format!("{}: open with `//!`: what it is, its invariants", source.path));
        }
        if source.path.ends_with("/mod.rs") {
            let odd = source.code.split(';').map(without_attributes).find(|item| !declares(item));
            found.extend(odd.map(|item| {
                let line = item.lines().next().unwrap_or_default();
                format!("{}: mod.rs only declares and re-exports, not `{line}`", source.path)
            }));
        }
    }
    found
}

fn without_attributes(item: &str) -> &str {
    let mut rest = item.trim();
    while rest.starts_with("#[") || rest.starts_with("#![") {
        rest = rest.split_once(']').map_or("", |(_, after)| after).trim_start();
    }
    rest
}

fn declares(item: &str) -> bool {
    let bare = match item.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|c: char| c != ')' && c != ' '),
        None => item,
    };
    let bare = bare.trim_start_matches(')').trim_start();
    bare.is_empty() || bare.starts_with("mod ") || bare.starts_with("use ")
}

pub(crate) fn unfinished(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for source in source::all(root) {
        for word in UNFINISHED {
            for (at, _) in source.code.match_indices(word) {
                found.push(format!("{}:{}: {word}", source.path, source.line_of(at)));
            }
        }
    }
    found
}

pub(crate) fn misnamed(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in source::files_below(&root.join("src")) {
        let path = source::relative(root, &file);
        for part in path.split('/') {
            let stem = part.trim_end_matches(".rs");
            if EMPTY_WORDS.contains(&stem) || stem.ends_with("_utils") || stem.ends_with("_helpers")
            {
                found.push(format!("{path}: '{stem}' says nothing: name what is inside"));
            }
        }
    }
    found
}

#[test]
fn functions_are_measured_without_blanks_and_comments() {
    let text = "fn a(x: [u8; 4]) {\n  // no\n\n  b();\n}\ntrait T { fn c(&self); }\n";
    let source = Source { path: "src/x.rs".into(), text: text.into(), code: source::blank(text) };
    assert_eq!(functions(&source), [("a".to_owned(), 1, 1)]);
}

#[test]
fn a_mod_file_declares_and_re_exports() {
    for (item, fine) in [
        ("mod a", true),
        ("pub(crate) mod a", true),
        ("pub(crate) use a::{b, c}", true),
        ("pub use a::b", true),
        ("", true),
        ("fn a() {}", false),
        ("pub(crate) const A: u8 = 1", false),
        ("pub struct A", false),
    ] {
        assert_eq!(declares(item), fine, "{item}");
    }
    assert_eq!(without_attributes("\n#[cfg(unix)]\nmod a"), "mod a");
}
