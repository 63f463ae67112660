//! Release notes, as Markdown: for engineers with commits, people and links, and for customers
//! through a template, without either. Pure.

use std::collections::BTreeSet;

use super::conventional::{self, Change};
use super::ports::Commit;
use super::wording;

/// The template for customers; `release/notes_template.md` of the repository goes before it.
pub(crate) const TEMPLATE: &str = include_str!("../../release/notes_template.md");
pub(crate) const TEMPLATE_PATH: &str = "release/notes_template.md";

/// What notes are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) service: &'a str,
    /// `X.Y.Z`.
    pub(crate) version: &'a str,
    pub(crate) date: &'a str,
    /// The candidate's tag.
    pub(crate) tag: &'a str,
    /// The stable tag before.
    pub(crate) previous: Option<&'a str>,
    /// Since that tag, newest first.
    pub(crate) commits: &'a [Commit],
    pub(crate) remote_url: Option<&'a str>,
}

/// Why there are no notes for customers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the notes' template: {detail}")]
pub(crate) struct TemplateError {
    pub(crate) line: usize,
    pub(crate) detail: String,
}

/// Breaking changes first, then by kind; every line with its commit, then who, and where to compare.
pub(crate) fn engineers(facts: &Facts<'_>) -> String {
    let changes = conventional::standing(facts.commits);
    let github = facts.remote_url.and_then(github);
    let github = github.as_deref();
    let mut text = format!("# {} {}\n\n{}\n", facts.service, facts.version, facts.date);
    for (title, part) in parts(&changes) {
        if !part.is_empty() {
            text.push_str(&format!("\n## {title}\n\n"));
            for change in part {
                text.push_str(&engineers_line(change, github));
            }
        }
    }
    let people: BTreeSet<&str> = facts
        .commits
        .iter()
        .map(|c| c.author.trim())
        .filter(|name| !name.is_empty() && !name.ends_with("[bot]"))
        .collect();
    if !people.is_empty() {
        let people: Vec<String> = people.into_iter().map(wording::line).collect();
        text.push_str(&format!("\n## Contributors\n\n{}\n", people.join(", ")));
    }
    if let (Some(github), Some(previous)) = (github, facts.previous) {
        text.push_str(&format!(
            "\n[All {} commits since {previous}]({github}/compare/{previous}...{})\n",
            facts.commits.len(),
            facts.tag
        ));
    }
    text
}

/// In the customers' words: no scopes, numbers or names.
pub(crate) fn customers(facts: &Facts<'_>, template: &str) -> Result<String, TemplateError> {
    let changes = conventional::standing(facts.commits);
    let [breaking, added, improved, fixed, _] = parts(&changes)
        .map(|(_, part)| part.into_iter().map(customers_line).collect::<Vec<String>>());
    let (service, version, date) = (facts.service, facts.version, facts.date);
    let values = minijinja::context! { service, version, date, breaking, added, improved, fixed };
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let text = environment.render_str(template, values).map_err(|error| TemplateError {
        line: error.line().unwrap_or(1),
        detail: error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
    })?;
    Ok(text.trim_end().to_owned() + "\n")
}

/// Changes by what they mean to a reader, oldest first.
fn parts(changes: &[Change]) -> [(&'static str, Vec<&Change>); 5] {
    let of = |wanted: fn(&Change) -> bool| changes.iter().rev().filter(|c| wanted(c)).collect();
    let other = |c: &Change| {
        let release = c.kind == "chore" && c.scope.as_deref() == Some("release");
        c.breaking.is_none() && !release && !matches!(c.kind.as_str(), "feat" | "perf" | "fix")
    };
    [
        ("Breaking changes", of(|c| c.breaking.is_some())),
        ("Features", of(|c| c.breaking.is_none() && c.kind == "feat")),
        ("Performance", of(|c| c.breaking.is_none() && c.kind == "perf")),
        ("Fixes", of(|c| c.breaking.is_none() && c.kind == "fix")),
        ("Other changes", of(other)),
    ]
}

fn engineers_line(change: &Change, github: Option<&str>) -> String {
    let scope =
        change.scope.as_ref().map_or(String::new(), |s| format!("**{}:** ", wording::line(s)));
    let text = linked(&wording::line(&change.description), github);
    let short = change.commit.id.short();
    let commit = match github {
        Some(github) => format!("[`{short}`]({github}/commit/{})", change.commit.id),
        None => format!("`{short}`"),
    };
    let note = match &change.breaking {
        Some(note) if *note != change.description => {
            format!("\n  {}", linked(&wording::line(note), github))
        }
        _ => String::new(),
    };
    format!("- {scope}{text} ({commit}){note}\n")
}

/// What breaks, else the description without the pull request's number.
fn customers_line(change: &Change) -> String {
    let text = change.breaking.as_ref().unwrap_or(&change.description).trim();
    let text = match text.strip_suffix(')').and_then(|t| t.rsplit_once(" (#")) {
        Some((text, number)) if number.bytes().all(|b| b.is_ascii_digit()) => text,
        _ => text,
    };
    wording::capitalised(&wording::line(text))
}

/// `(#12)` as a link; GitHub leads from there to an issue where it is one.
fn linked(text: &str, github: Option<&str>) -> String {
    let Some(github) = github else { return text.to_owned() };
    let mut pieces = text.split("(#");
    let mut linked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let number: String = piece.chars().take_while(char::is_ascii_digit).collect();
        let rest = &piece[number.len()..];
        if number.is_empty() || !rest.starts_with(')') {
            linked.push_str(&format!("(#{piece}"));
        } else {
            linked.push_str(&format!("([#{number}]({github}/pull/{number}){rest}"));
        }
    }
    linked
}

/// `https://github.com/OWNER/NAME` of a remote there; credentials in the address are left out.
fn github(url: &str) -> Option<String> {
    let after_host = match url.split_once("://") {
        Some((_, rest)) => {
            let rest = rest.split_once('/')?;
            let host = rest.0.rsplit('@').next()?.split(':').next()?;
            host.eq_ignore_ascii_case("github.com").then_some(rest.1)?
        }
        None => url.strip_prefix("git@github.com:")?,
    };
    let path = after_host.trim_matches('/').trim_end_matches(".git");
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    (plain && path.split('/').count() == 2).then(|| format!("https://github.com/{path}"))
}

#[cfg(test)]
mod tests {
    use super::super::conventional::tests::commit;
    use super::*;

    fn commits() -> Vec<Commit> {
        let mut commits = vec![
            commit(6, "chore(release): 1.1.0"),
            commit(5, "docs: say how"),
            commit(4, "Merge branch 'x'"),
            commit(3, "feat(api)!: new ids\n\nBREAKING CHANGE: ids are text (#7)"),
            commit(2, "fix: read Vec<T> (#12)"),
            commit(1, "feat(cart): keep the cart"),
        ];
        commits[1].author = "renovate[bot]".into();
        commits[4].author = "Bob".into();
        commits
    }

    fn facts(commits: &[Commit]) -> Facts<'_> {
        Facts {
            service: "Shop",
            version: "1.1.0",
            date: "2026-01-02",
            tag: "v1.1.0-rc.1",
            previous: Some("v1.0.0"),
            commits,
            remote_url: Some("https://ada:secret@github.com/acme/shop.git"),
        }
    }

    #[test]
    fn engineers_read_everything_breaking_first() {
        let commits = commits();
        let text = engineers(&facts(&commits));
        let id = |number: usize| commits[6 - number].id.to_string();
        let link = |n: usize| {
            format!("[`{}`](https://github.com/acme/shop/commit/{})", &id(n)[..9], id(n))
        };
        let expected = format!(
            "# Shop 1.1.0\n\n2026-01-02\n\n## Breaking changes\n\n- **api:** new ids ({})\n  \
             ids are text ([#7](https://github.com/acme/shop/pull/7))\n\n\
             ## Features\n\n- **cart:** keep the cart ({})\n\n\
             ## Fixes\n\n- read Vec&lt;T> ([#12](https://github.com/acme/shop/pull/12)) ({})\n\n\
             ## Other changes\n\n- say how ({})\n\n## Contributors\n\nAda, Bob\n\n\
             [All 6 commits since v1.0.0](https://github.com/acme/shop/compare/v1.0.0...v1.1.0-rc.1)\n",
            link(3),
            link(1),
            link(2),
            link(5)
        );
        assert_eq!(text, expected);
        let elsewhere = engineers(&Facts { remote_url: Some("../origin.git"), ..facts(&commits) });
        assert!(elsewhere.contains("(#12)") && !elsewhere.contains("http"), "{elsewhere}");
    }

    #[test]
    fn customers_read_what_they_notice() {
        let commits = commits();
        assert_eq!(
            customers(&facts(&commits), TEMPLATE).unwrap(),
            "# Shop 1.1.0\n\nReleased on 2026-01-02.\n\n## Before you update\n\n- Ids are text\n\n\
             ## New\n\n- Keep the cart\n\n## Fixed\n\n- Read Vec&lt;T>\n"
        );
        let quiet = customers(&facts(&[]), TEMPLATE).unwrap();
        assert!(quiet.ends_with("changes nothing that you will notice.\n"), "{quiet}");
        let error = customers(&facts(&commits), "a\n{{ nonsense }}").unwrap_err();
        assert_eq!(error.line, 2);
    }

    #[test]
    fn github_is_known_in_every_spelling() {
        let shop = Some("https://github.com/acme/shop".to_owned());
        for (url, expected) in [
            ("git@github.com:acme/shop.git", shop.clone()),
            ("ssh://git@github.com:22/acme/shop", shop.clone()),
            ("https://GitHub.com/acme/shop/", shop),
            ("https://example.org/acme/shop", None),
            ("https://github.com.evil.org/acme/shop", None),
            ("https://github.com/acme/shop/tree", None),
            ("/srv/github.com/shop", None),
        ] {
            assert_eq!(github(url), expected, "{url}");
        }
    }
}
