//! Pages that must exist and agree: one for each check and error code, the command reference, the
//! changelog; and nothing in a tracked file that is true only on the machine of its author.
//! `ORCA_UPDATE=1` rewrites what is generated.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::source::{self, Source};

/// Every check has a page, and every page a check.
pub(crate) fn checks(root: &Path) -> Vec<String> {
    let sources = source::all(root);
    let known: BTreeSet<String> = sources.iter().flat_map(check_ids).collect();
    let pages = page_names(&root.join("docs/checks"));
    let mut found = Vec::new();
    for id in known.difference(&pages) {
        found.push(format!("check '{id}' has no page docs/checks/{id}.md"));
    }
    for id in pages.difference(&known) {
        let quoted = format!("\"{id}\"");
        if !sources.iter().any(|source| source.text.contains(&quoted)) {
            found.push(format!("docs/checks/{id}.md describes a check that is nowhere in src"));
        }
    }
    found
}

/// What `RuleId { name: ... }` and `CheckId::new(...)` name: a text, or a constant of that file.
fn check_ids(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for opening in ["RuleId {", "CheckId::new("] {
        for at in source.occurrences(opening) {
            let after = &source.text[at + opening.len()..];
            let until = after.find(['}', ')', ';']).unwrap_or(after.len());
            let id = named_by(&after[..until], &source.text);
            found.extend(id.filter(|id| is_check_id(id)));
        }
    }
    found
}

fn named_by(argument: &str, text: &str) -> Option<String> {
    if let Some(literal) = argument.split('"').nth(1) {
        return Some(literal.to_owned());
    }
    let value = argument.trim().trim_start_matches("name:").trim_start();
    let constant = value.split([',', ' ', '\n']).next().unwrap_or_default();
    let constant = constant.rsplit("::").next().unwrap_or_default();
    let (_, after) = text.split_once(&format!("const {constant}: &"))?;
    after.split('"').nth(1).map(str::to_owned)
}

fn is_check_id(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-')
    };
    text.split_once('.').is_some_and(|(domain, noun)| word(domain) && word(noun))
}

/// Every error code that `orca explain` or any message names has a page that says what happened,
/// why, and what to do; and every page belongs to a code that `orca explain` knows.
pub(crate) fn errors(root: &Path) -> Vec<String> {
    let sources = source::all(root);
    let explained: BTreeSet<String> = sources
        .iter()
        .filter(|source| source.path.starts_with("src/cli/explain"))
        .flat_map(|source| codes(&source.text))
        .collect();
    let pages = page_names(&root.join("docs/errors"));
    let mut found = Vec::new();
    for source in &sources {
        for code in codes(&source.text).difference(&explained) {
            found.push(format!("{}: {code} is unknown to `orca explain`", source.path));
        }
    }
    for code in explained.difference(&pages) {
        found.push(format!("{code} has no page docs/errors/{code}.md"));
    }
    for code in pages.difference(&explained) {
        found.push(format!("docs/errors/{code}.md: `orca explain` does not know this code"));
    }
    for code in &pages {
        let text = read(&root.join("docs/errors").join(format!("{code}.md"))).to_lowercase();
        for section in ["## what happened", "## why", "## what to do"] {
            if !text.lines().any(|line| line.starts_with(section)) {
                found.push(format!("docs/errors/{code}.md has no section '{section}'"));
            }
        }
    }
    found
}

fn codes(text: &str) -> BTreeSet<String> {
    let digits =
        |at: usize| text.get(at + 5..at + 9).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    text.match_indices("ORCA-")
        .filter_map(|(at, _)| digits(at))
        .map(|d| format!("ORCA-{d}"))
        .collect()
}

fn page_names(folder: &Path) -> BTreeSet<String> {
    let files = source::files_below(folder).into_iter();
    let stems = files.filter_map(|file| {
        let name = file.file_name()?.to_string_lossy().into_owned();
        name.strip_suffix(".md").filter(|stem| *stem != "README").map(str::to_owned)
    });
    stems.collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// `docs/cli.md` is the help of every command, as the binary prints it.
pub(crate) fn command_reference(root: &Path) -> Vec<String> {
    let mut text = String::from(
        "# Commands\n\nGenerated from `--help` by `ORCA_UPDATE=1 cargo test --test tidy`.\n",
    );
    describe(&mut Vec::new(), &mut text);
    generated(root, "docs/cli.md", &text)
}

fn describe(path: &mut Vec<String>, text: &mut String) {
    let Some(help) = help_of(path) else { return };
    let title = [&["orca".to_owned()], path.as_slice()].concat().join(" ");
    let shown: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(text, "\n## {title}\n\n```text\n{}\n```\n", shown.join("\n").trim())
        .expect("a String takes every text");
    assert!(path.len() < 4, "`{title}` is nested too deeply");
    for name in subcommands(&help) {
        path.push(name);
        describe(path, text);
        path.pop();
    }
}

fn help_of(path: &[String]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_orca"))
        .args(path)
        .arg("--help")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .expect("the orca binary starts");
    let text = String::from_utf8(output.stdout).expect("help is UTF-8");
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Names in the sections of a help text that list commands, in the order shown.
fn subcommands(help: &str) -> Vec<String> {
    let mut listing = false;
    let mut found: Vec<String> = Vec::new();
    for line in help.lines() {
        if !line.starts_with(' ') && line.trim_end().ends_with(':') {
            let title = line.trim_end().to_lowercase();
            listing = !["options:", "arguments:", "usage:"].iter().any(|t| title.ends_with(t));
            continue;
        }
        let Some(item) = line.strip_prefix("  ").filter(|_| listing) else { continue };
        let name: String =
            item.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        if name.starts_with(|c: char| c.is_ascii_lowercase())
            && name != "help"
            && !found.contains(&name)
        {
            found.push(name);
        }
    }
    found
}

fn generated(root: &Path, name: &str, wanted: &str) -> Vec<String> {
    let path = root.join(name);
    if std::env::var_os("ORCA_UPDATE").is_some_and(|value| value == "1") {
        fs::write(&path, wanted).unwrap_or_else(|e| panic!("cannot write {name}: {e}"));
        return Vec::new();
    }
    let stands = fs::read_to_string(&path).unwrap_or_default();
    let differs = stands.lines().zip(wanted.lines()).position(|(old, new)| old != new);
    match differs {
        _ if stands == wanted => Vec::new(),
        line => {
            let line =
                line.unwrap_or_else(|| stands.lines().count().min(wanted.lines().count())) + 1;
            vec![format!("{name}:{line} is out of date: ORCA_UPDATE=1 cargo test --test tidy")]
        }
    }
}

pub(crate) fn changelog(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("CHANGELOG.md")).unwrap_or_default();
    let has = text.lines().any(|line| line == "## [Unreleased]");
    if has { Vec::new() } else { vec!["CHANGELOG.md has no section '## [Unreleased]'".into()] }
}

/// No tracked file names this checkout, the folder of cargo, or a package mirror of this machine.
pub(crate) fn traces_of_this_machine(root: &Path) -> Vec<String> {
    let traces = local_names(root);
    let mut found = Vec::new();
    for file in tracked(root) {
        let Ok(bytes) = fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for trace in traces.iter().filter(|trace| text.contains(trace.as_str())) {
            found.push(format!("{} names '{trace}'", source::relative(root, &file)));
        }
    }
    found
}

fn tracked(root: &Path) -> Vec<PathBuf> {
    let output = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output();
    let Ok(output) = output else { return Vec::new() };
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    names.split('\0').filter(|name| !name.is_empty()).map(|name| root.join(name)).collect()
}

fn local_names(root: &Path) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    names.insert(root.display().to_string());
    names.extend(std::env::var("CARGO_HOME").ok());
    for (name, value) in std::env::vars() {
        let name = name.to_uppercase();
        let mirrors =
            name.ends_with("PROXY") || name.ends_with("REGISTRY") || name.ends_with("INDEX_URL");
        if let Some((_, after)) = value.split_once("://").filter(|_| mirrors) {
            let authority = after.split(['/', '?']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            let local = ["localhost", "127.0.0.1", "registry.npmjs.org", "pypi.org"];
            if host.contains('.') && !local.contains(&host) {
                names.insert(host.to_owned());
            }
        }
    }
    names.retain(|name| name.len() > 5);
    names
}

#[test]
fn codes_ids_and_subcommands_are_recognised() {
    assert_eq!(codes("x ORCA-1001 ORCA-12 ORCA-"), BTreeSet::from(["ORCA-1001".to_owned()]));
    assert!(is_check_id("slo.latency") && is_check_id("slo.error_rate"));
    assert!(!is_check_id("slo") && !is_check_id("slo.Latency") && !is_check_id("a.b.c"));
    let file = "pub(crate) const ID: &'static str = \"slo.latency\";";
    for argument in
        ["\"slo.latency\"", " name: \"slo.latency\", version: 1 ", "name: Self::ID, ", "ID"]
    {
        assert_eq!(named_by(argument, file).as_deref(), Some("slo.latency"), "{argument}");
    }
    assert_eq!(named_by("text", file), None);
    let help = "orca\n\nUsage: orca x\n\nCommands:\n  release  Tags\n           of a release\n  load\n  \
                help     Help\n\nOptions:\n  -h, --help\n";
    assert_eq!(subcommands(help), ["release", "load"]);
}
