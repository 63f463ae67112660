//! A release's section in a Keep a Changelog file. Pure.
//!
//! Every byte outside the section, and outside the text that moves into it from Unreleased, stays
//! as it is. A generated line ends with its commit's short id, by which a later run knows it: a
//! line that is there is left as it reads, also when reworded by hand; one whose commit is gone
//! goes; other lines are never touched. Running again with the same changes gives the same bytes.

use std::collections::BTreeSet;
use std::ops::Range;

use super::changelog_section::{Group, Section, parsed, rendered};
use super::conventional::Change;
use super::wording;

const HEADER: &str = "# Changelog\n\nThe format is [Keep a Changelog](https://keepachangelog.com/en/1.1.0/);\n\
                      versions follow [Semantic Versioning](https://semver.org/spec/v2.0.0.html).\n\n\
                      ## [Unreleased]\n";

/// Lines that move below a code fence that nobody closed can close it, and hide a heading: then
/// another run has more to do. So often at most.
const RUNS_MAX: usize = 4;

/// `text` with a section for `version`, made or brought up to date.
pub(crate) fn with_release(
    text: Option<&str>,
    version: &str,
    date: &str,
    changes: &[Change],
) -> String {
    let mut written = once(text.unwrap_or(HEADER), version, date, changes);
    for _more in 1..RUNS_MAX {
        let again = once(&written, version, date, changes);
        if again == written {
            break;
        }
        written = again;
    }
    written
}

fn once(text: &str, version: &str, date: &str, changes: &[Change]) -> String {
    let eol = line_end(text);
    let sections = Section::all(text);
    let unreleased = sections.iter().find(|s| s.name == "unreleased");
    let existing = sections.iter().find(|s| s.name == version.to_lowercase());
    let moved = unreleased.filter(|s| s.has_content(text));
    let before = existing.map_or_else(Vec::new, |s| parsed(&text[s.body.clone()]));
    let mut groups = before.clone();
    for group in moved.map_or_else(Vec::new, |s| parsed(&text[s.body.clone()])) {
        take_in(&mut groups, group);
    }
    forget_gone(&mut groups, changes);
    add_missing(&mut groups, changes);
    if existing.is_some() && groups == before {
        return text.to_owned();
    }
    let mut section = format!("## [{version}] - {date}{eol}");
    let body = rendered(&groups, eol);
    if !body.is_empty() {
        section.push_str(eol);
        section.push_str(&body);
    }
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    match existing {
        Some(existing) => {
            edits.push((existing.heading.start..existing.body.end, section));
            edits.extend(moved.map(|s| (s.body.clone(), String::new())));
        }
        None => edits.push(insertion(text, &sections, unreleased, moved, &section)),
    }
    edited(text, edits)
}

/// `text` with the section of a candidate that will not be released put back under Unreleased, so
/// that the version that takes it over gets its lines.
pub(crate) fn reopened(text: &str, version: &str) -> String {
    let eol = line_end(text);
    let sections = Section::all(text);
    let Some(draft) = sections.iter().find(|s| s.name == version.to_lowercase()) else {
        return text.to_owned();
    };
    let Some(unreleased) = sections.iter().find(|s| s.name == "unreleased") else {
        let heading = format!("## [Unreleased]{eol}");
        return edited(text, vec![(draft.heading.clone(), heading)]);
    };
    let mut groups = parsed(&text[unreleased.body.clone()]);
    for group in parsed(&text[draft.body.clone()]) {
        take_in(&mut groups, group);
    }
    let start = if text[unreleased.heading.clone()].ends_with('\n') { "" } else { eol };
    let body = format!("{start}{eol}{}", rendered(&groups, eol));
    let emptied = draft.heading.start..draft.tail_blank_end(text);
    edited(text, vec![(unreleased.body.clone(), body), (emptied, String::new())])
}

/// Where a new section goes: below Unreleased, else above the newest version, else at the end.
fn insertion(
    text: &str,
    sections: &[Section],
    unreleased: Option<&Section>,
    moved: Option<&Section>,
    section: &str,
) -> (Range<usize>, String) {
    let eol = line_end(text);
    let newest = sections.iter().find(|s| s.name.starts_with(|c: char| c.is_ascii_digit()));
    let place = match (moved, unreleased, newest) {
        (Some(moved), _, _) => moved.body.clone(),
        (None, Some(unreleased), _) => unreleased.body.end..unreleased.body.end,
        (None, None, Some(newest)) => newest.heading.start..newest.heading.start,
        (None, None, None) => {
            let end = Section::end_of_text(text);
            end..end
        }
    };
    let (above, below) = (&text[..place.start], &text[place.end..]);
    let mut insert = String::new();
    if !above.trim_start_matches('\u{feff}').is_empty() {
        if !above.ends_with('\n') {
            insert.push_str(eol);
        }
        let blank = above.lines().last().is_some_and(|line| line.trim().is_empty());
        if !blank {
            insert.push_str(eol);
        }
    }
    insert.push_str(section);
    if below.lines().next().is_some_and(|line| !line.trim().is_empty()) {
        insert.push_str(eol);
    }
    (place, insert)
}

/// Applies edits of ranges that do not overlap.
fn edited(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    // From the end on; at one place what is taken out goes first, then what is put in.
    edits.sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
    let mut text = text.to_owned();
    for (range, replacement) in edits {
        text.replace_range(range, &replacement);
    }
    text
}

/// The line end of the first line.
fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Adds the lines of `group` to the group of that name, or the group in its usual place.
fn take_in(groups: &mut Vec<Group>, group: Group) {
    if group.lines.is_empty() {
        return;
    }
    let rank = rank(&group.name);
    if let Some(same) = groups.iter_mut().find(|g| g.name.eq_ignore_ascii_case(&group.name)) {
        same.append(group.lines);
        return;
    }
    let place = groups.iter().position(|g| self::rank(&g.name) > rank).unwrap_or(groups.len());
    groups.insert(place, group);
}

/// The order of Keep a Changelog; text without a heading first, groups of one's own last.
fn rank(name: &str) -> usize {
    let order = ["", "added", "changed", "deprecated", "removed", "fixed", "security"];
    let name = name.to_ascii_lowercase();
    order.iter().position(|known| *known == name).unwrap_or(order.len())
}

fn forget_gone(groups: &mut [Group], changes: &[Change]) {
    for group in groups {
        let continued = |place: usize| {
            let next: Option<&String> = group.lines.get(place + 1);
            next.is_some_and(|l| l.starts_with([' ', '\t']) && !l.trim().is_empty())
        };
        let gone: BTreeSet<usize> = (0..group.lines.len())
            .filter(|place| {
                let id = commit_of(&group.lines[*place]);
                // Continued by hand: theirs now.
                id.is_some_and(|id| !changes.iter().any(|c| is(c, id))) && !continued(*place)
            })
            .collect();
        let mut place = 0;
        group.lines.retain(|_| {
            place += 1;
            !gone.contains(&(place - 1))
        });
        group.trim();
    }
}

/// Oldest first, so that what a later candidate adds stands where it would stand anyway.
fn add_missing(groups: &mut Vec<Group>, changes: &[Change]) {
    let known: Vec<String> = groups
        .iter()
        .flat_map(|g| &g.lines)
        .filter_map(|line| commit_of(line).map(str::to_owned))
        .collect();
    for change in changes.iter().rev() {
        let Some(name) = group_of(change) else { continue };
        if known.iter().any(|id| is(change, id)) {
            continue;
        }
        let line = line_of(change);
        if change.breaking.is_none() {
            take_in(groups, Group { name: name.to_owned(), lines: vec![line] });
            continue;
        }
        match groups.iter_mut().find(|g| g.name.eq_ignore_ascii_case(name)) {
            Some(group) => group.lead(line),
            None => take_in(groups, Group { name: name.to_owned(), lines: vec![line] }),
        }
    }
}

fn group_of(change: &Change) -> Option<&'static str> {
    Some(match change.kind.as_str() {
        _ if change.breaking.is_some() => "Changed",
        "fix" if change.scope.as_deref() == Some("security") => "Security",
        "security" => "Security",
        "feat" => "Added",
        "perf" => "Changed",
        "deprecate" => "Deprecated",
        "remove" => "Removed",
        "fix" => "Fixed",
        _ => return None,
    })
}

pub(super) const BREAKING: &str = "- **Breaking:** ";

fn line_of(change: &Change) -> String {
    let start = if change.breaking.is_some() { BREAKING } else { "- " };
    let scope = change.scope.as_ref().map_or(String::new(), |s| format!("{}: ", wording::line(s)));
    let note = match &change.breaking {
        Some(note) if *note != change.description => format!(": {}", wording::line(note)),
        _ => String::new(),
    };
    let text = wording::line(&change.description);
    format!("{start}{scope}{text}{note} (`{}`)", change.commit.id.short())
}

/// The commit that a generated line names at its end.
fn commit_of(line: &str) -> Option<&str> {
    let (_, id) = line.strip_prefix("- ")?.trim_end().strip_suffix("`)")?.rsplit_once(" (`")?;
    let hex = id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (hex && (7..=40).contains(&id.len())).then_some(id)
}

fn is(change: &Change, id: &str) -> bool {
    change.commit.id.as_str().starts_with(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::conventional::{self, tests::commit};
    use super::*;
    use crate::base::ids::CommitId;

    fn change(number: u64, message: &str) -> Change {
        let mut commit = commit(number, message);
        commit.id = CommitId::new(format!("{number:07x}{:033x}", 0)).unwrap();
        conventional::read(&commit).unwrap()
    }

    /// Newest first, as they are read.
    fn changes() -> Vec<Change> {
        vec![
            change(4, "chore: tidy"),
            change(3, "feat(api)!: new ids\n\nBREAKING CHANGE: ids are text"),
            change(2, "fix: read Vec<T> (#12)"),
            change(1, "feat(cart): keep the cart"),
        ]
    }

    const NEW: &str = "## [1.1.0] - 2026-01-02\n\n### Added\n\n- cart: keep the cart (`000000100`)\n\n\
        ### Changed\n\n- **Breaking:** api: new ids: ids are text (`000000300`)\n\n\
        ### Fixed\n\n- read Vec&lt;T> (#12) (`000000200`)\n";

    fn run(text: &str) -> String {
        let once = with_release(Some(text), "1.1.0", "2026-01-02", &changes());
        assert_eq!(once, with_release(Some(&once), "1.1.0", "2026-01-09", &changes()), "{text:?}");
        once
    }

    #[test]
    fn the_section_stands_under_unreleased_and_nothing_else_changes() {
        assert!(
            with_release(None, "1.1.0", "2026-01-02", &changes())
                .ends_with(&format!("## [Unreleased]\n\n{NEW}"))
        );
        for (text, expected) in [
            ("", NEW.to_owned()),
            ("# Log", format!("# Log\n\n{NEW}")),
            (
                "# Log\n\n## [Unreleased]\n\n## [1.0.0]\n- x",
                format!("# Log\n\n## [Unreleased]\n\n{NEW}\n## [1.0.0]\n- x"),
            ),
            ("\u{feff}## Unreleased", format!("\u{feff}## Unreleased\n\n{NEW}")),
            ("# Log\n\n## v1.0.0 (old)\n", format!("# Log\n\n{NEW}\n## v1.0.0 (old)\n")),
            ("# Log\n\n[1.0.0]: https://x\n", format!("# Log\n\n{NEW}\n[1.0.0]: https://x\n")),
            (
                "## [Unreleased]\n```\n## [1.1.0]\n```\n## 1.0.0\n",
                format!(
                    "## [Unreleased]\n\n## [1.1.0] - 2026-01-02\n\n```\n## [1.1.0]\n```\n\n{}\n## 1.0.0\n",
                    NEW.split_once("\n\n").unwrap().1
                ),
            ),
        ] {
            assert_eq!(run(text), expected, "{text:?}");
        }
        let windows = "# Log\r\n\r\n## [Unreleased]\r\n\r\n## [1.0.0]\r\n";
        let expected = format!("# Log\n\n## [Unreleased]\n\n{NEW}\n## [1.0.0]\n");
        assert_eq!(run(windows), expected.replace('\n', "\r\n"));
    }

    #[test]
    fn unreleased_text_moves_and_joins_its_group() {
        let text = "## [Unreleased]\n\nA note.\n\n### Fixed\n- by hand\n  more\n\n### Custom\n- mine\n\n[1]: https://x\n";
        assert_eq!(
            run(text),
            "## [Unreleased]\n\n## [1.1.0] - 2026-01-02\n\nA note.\n\n### Added\n\n\
             - cart: keep the cart (`000000100`)\n\n### Changed\n\n\
             - **Breaking:** api: new ids: ids are text (`000000300`)\n\n### Fixed\n\n- by hand\n  more\n\
             - read Vec&lt;T> (#12) (`000000200`)\n\n### Custom\n\n- mine\n\n[1]: https://x\n"
        );
        let template = "## [Unreleased]\n\n### Added\n\n### Fixed\n<!-- one line each -->\n";
        assert_eq!(run(template), format!("{template}\n{NEW}"), "empty groups are no text");
    }

    /// A later candidate: a reverted commit goes, a new one comes, what hands wrote stays.
    #[test]
    fn a_later_candidate_brings_the_section_up_to_date() {
        let first = run("## [Unreleased]\n\n## [1.0.0]\n");
        let by_hand = first
            .replace("- cart: keep the cart (", "- The cart stays for a week (")
            .replace("### Fixed\n", "### Fixed\n\n- a line by hand\n");
        let mut later = changes();
        later.retain(|c| c.kind != "fix");
        later.insert(0, change(5, "perf: faster"));
        later.insert(0, change(6, "fix!: no v0"));
        let second = with_release(Some(&by_hand), "1.1.0", "2026-01-05", &later);
        assert_eq!(
            second,
            "## [Unreleased]\n\n## [1.1.0] - 2026-01-05\n\n### Added\n\n\
             - The cart stays for a week (`000000100`)\n\n### Changed\n\n\
             - **Breaking:** api: new ids: ids are text (`000000300`)\n\
             - **Breaking:** no v0 (`000000600`)\n- faster (`000000500`)\n\n### Fixed\n\n\
             - a line by hand\n\n## [1.0.0]\n"
        );
        assert_eq!(with_release(Some(&second), "1.1.0", "2026-01-06", &later), second);
    }

    #[test]
    fn a_draft_is_taken_over_by_the_next_version() {
        let draft = with_release(
            Some("## [Unreleased]\n\n## [1.0.0]\n"),
            "1.0.1",
            "2026-01-01",
            &[change(2, "fix: read Vec<T> (#12)")],
        );
        assert_eq!(
            run(&reopened(&draft, "1.0.1")),
            format!("## [Unreleased]\n\n{NEW}\n## [1.0.0]\n")
        );
        let bare = draft.replace("## [Unreleased]\n\n", "");
        assert!(reopened(&bare, "1.0.1").starts_with("## [Unreleased]\n"));
        assert_eq!(reopened(&draft, "9.9.9"), draft);
    }

    fn piece() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "",
            "- item",
            "  more",
            "text",
            "### Added",
            "### Odd",
            "```",
            "<!-- note",
            "-->",
            "~~~",
            "[1]: https://x",
            "# Title",
            "- x (`0000001`)",
            "#### deep",
            "ünïcode",
        ])
        .prop_map(str::to_owned)
    }

    fn block() -> impl Strategy<Value = String> {
        prop::collection::vec(piece(), 0..8).prop_map(|lines| lines.join("\n"))
    }

    /// Found by fuzzing: no blank line stands between the two headings.
    #[test]
    fn a_draft_right_below_unreleased_is_reopened_whole() {
        let text = "## [Unreleased]\n## [1.2.3] - 2026-01-05\n- a\n\n## [1.2.2]\n- b\n";
        let reopened = reopened(text, "1.2.3");
        assert_eq!(reopened, "## [Unreleased]\n\n- a\n## [1.2.2]\n- b\n");
    }

    /// Found by fuzzing: what moves down closes a fence that stood open above the section.
    #[test]
    fn a_fence_that_nobody_closed_is_no_trap() {
        let text = "## Unreleased\n- a\n\n```\nx\n```\n## Unreleased\n```\n## [1.2.3]\n- b\n";
        let written = with_release(Some(text), "1.2.3", "2026-01-05", &[]);
        assert_eq!(with_release(Some(&written), "1.2.3", "2026-01-05", &[]), written);
        assert!(written.contains("- a\n") && written.contains("- b\n"), "{written}");
    }

    proptest! {
        #[test]
        fn any_text_converges(blocks in prop::collection::vec(block(), 1..5), crlf: bool) {
            let text = blocks.join("\n## [Unreleased]\n");
            run(&if crlf { text.replace('\n', "\r\n") } else { text });
        }

        #[test]
        fn bytes_outside_stay(
            above in "[a-z #\\[\\]\u{e9}]{0,20}", own in "(- [a-z]{1,9}\n){0,3}", below in "(\\PC{0,12}\n?){0,4}",
        ) {
            let head = format!("{above}\n## [Unreleased]\n");
            let tail = format!("\n## [1.0.0]\n{below}");
            prop_assume!(!below.contains("##") && !above.starts_with("##"));
            let text = run(&format!("{head}{own}{tail}"));
            prop_assert!(text.starts_with(&head) && text.ends_with(&tail), "{text}");
            prop_assert!(own.lines().all(|line| text.contains(line)));
        }
    }
}
