//! How a changelog is cut: second-level headings make sections, third-level headings groups.
//! Headings inside closed code fences and comments are text. Cutting changes no byte.

use std::ops::Range;

use super::changelog::BREAKING;

/// One second-level heading and what stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// Lower case, without brackets, link, date or a leading `v`.
    pub(super) name: String,
    /// The heading's line with its end.
    pub(super) heading: Range<usize>,
    /// Up to the last line that is neither blank nor the target of a link.
    pub(super) body: Range<usize>,
    /// Where the next section or the text's end is.
    end: usize,
}

impl Section {
    pub(super) fn all(text: &str) -> Vec<Self> {
        let lines = lines(text);
        let heads: Vec<usize> =
            lines.iter().filter(|l| l.level.is_some_and(|n| n <= 2)).map(|l| l.at.start).collect();
        let of_level_two = lines.iter().filter(|l| l.level == Some(2));
        of_level_two
            .map(|line| {
                let next = heads.iter().find(|at| **at > line.at.start);
                let end = next.copied().unwrap_or(text.len());
                let body_end = content_end(text, line.at.end..end);
                let name = name_of(&text[line.at.clone()]);
                Self { name, heading: line.at.clone(), body: line.at.end..body_end, end }
            })
            .collect()
    }

    /// The end of what is not blank and not the target of a link.
    pub(super) fn end_of_text(text: &str) -> usize {
        content_end(text, 0..text.len())
    }

    /// Whether more than headings and comments stands here.
    pub(super) fn has_content(&self, text: &str) -> bool {
        let body = &text[self.body.clone()];
        lines(body).iter().any(|line| {
            let blank = body[line.at.clone()].trim().is_empty();
            !blank && line.level.is_none() && !line.comment
        })
    }

    /// The end of the blank lines below the body.
    pub(super) fn tail_blank_end(&self, text: &str) -> usize {
        let tail = &text[self.body.end..self.end];
        let blank = tail.split_inclusive('\n').take_while(|line| line.trim().is_empty());
        self.body.end + blank.map(str::len).sum::<usize>()
    }
}

/// Lines below one third-level heading; the name is empty for those above the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    /// Without line ends, and without blank lines at either end.
    pub(super) lines: Vec<String>,
}

impl Group {
    /// Without blank lines at either end.
    pub(super) fn trim(&mut self) {
        let blank = |line: &String| line.trim().is_empty();
        let from = self.lines.iter().take_while(|l| blank(l)).count();
        self.lines.drain(..from);
        while self.lines.last().is_some_and(blank) {
            self.lines.pop();
        }
    }

    /// Adds lines at the end; lists go on without a gap.
    pub(super) fn append(&mut self, lines: Vec<String>) {
        let item = |line: &String| line.starts_with(['-', '*', '+', ' ', '\t']);
        let gap = self.lines.last().is_some_and(|l| !item(l)) || !lines.first().is_some_and(item);
        if gap && !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.lines.extend(lines);
    }

    /// Puts a breaking change first, below those that stand there already.
    pub(super) fn lead(&mut self, line: String) {
        let place = self.lines.iter().take_while(|l| l.starts_with(BREAKING)).count();
        let before_text = self.lines.get(place).is_some_and(|next| !next.starts_with("- "));
        if before_text && place == 0 {
            self.lines.insert(0, String::new());
        }
        self.lines.insert(place, line);
    }
}

/// Cuts a section's body into groups.
pub(super) fn parsed(body: &str) -> Vec<Group> {
    let mut groups = vec![Group { name: String::new(), lines: Vec::new() }];
    for line in lines(body) {
        let text = body[line.at.clone()].trim_end_matches(['\r', '\n']);
        if line.level == Some(3) {
            let name = text.trim().trim_start_matches('#').trim().to_owned();
            groups.push(Group { name, lines: Vec::new() });
        } else if let Some(group) = groups.last_mut() {
            group.lines.push(text.to_owned());
        }
    }
    groups.iter_mut().for_each(Group::trim);
    groups.retain(|g| !g.name.is_empty() || !g.lines.is_empty());
    groups
}

/// Groups as Markdown; empty ones are left out.
pub(super) fn rendered(groups: &[Group], eol: &str) -> String {
    let full = groups.iter().filter(|g| !g.lines.is_empty());
    let blocks = full.map(|group| {
        let heading = if group.name.is_empty() {
            String::new()
        } else {
            format!("### {}{eol}{eol}", group.name)
        };
        heading + &group.lines.join(eol) + eol
    });
    blocks.collect::<Vec<_>>().join(eol)
}

struct Line {
    at: Range<usize>,
    /// Of a heading.
    level: Option<usize>,
    comment: bool,
}

fn lines(text: &str) -> Vec<Line> {
    let mut start = 0;
    let mut lines: Vec<Line> = text
        .split_inclusive('\n')
        .map(|line| {
            start += line.len();
            Line { at: start - line.len()..start, level: level(line), comment: false }
        })
        .collect();
    let of = |line: &Line| &text[line.at.clone()];
    let mut place = 0;
    while place < lines.len() {
        let open = of(&lines[place]).trim_start_matches('\u{feff}').trim();
        let (last, comment) = if open.starts_with("<!--") {
            (lines.iter().skip(place).position(|l| of(l).contains("-->")), true)
        } else if let Some(fence) = fence(open) {
            let closes = |l: &Line| {
                let line = of(l).trim();
                line.starts_with(fence)
                    && line.bytes().all(|b| fence.as_bytes().first() == Some(&b))
            };
            (lines.iter().skip(place + 1).position(closes).map(|n| n + 1), false)
        } else {
            (None, false)
        };
        // What is never closed is read as text: a section added below it must be found again.
        let last = last.map_or(place, |n| place + n);
        if last > place || comment {
            for line in &mut lines[place..=last] {
                (line.level, line.comment) = (None, comment);
            }
        }
        place = last + 1;
    }
    lines
}

/// The marks that open a code fence.
fn fence(line: &str) -> Option<&str> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let marks = line.len() - line.trim_start_matches(mark).len();
    (marks >= 3).then(|| &line[..marks])
}

fn level(line: &str) -> Option<usize> {
    let line = line.trim_start_matches('\u{feff}');
    let indent = line.len() - line.trim_start_matches(' ').len();
    let marks = line[indent..].bytes().take_while(|b| *b == b'#').count();
    let spaced = line[indent + marks..].starts_with([' ', '\t', '\r', '\n']);
    (indent < 4 && (1..=6).contains(&marks) && spaced).then_some(marks)
}

fn name_of(heading: &str) -> String {
    let heading = heading.trim_start_matches('\u{feff}').trim();
    let name = heading.trim_start_matches('#').trim().trim_start_matches('[');
    let name = name.split([']', '(', ' ', '\t']).next().unwrap_or_default().to_lowercase();
    match name.strip_prefix('v') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest.to_owned(),
        _ => name,
    }
}

/// The end of `range` without blank lines and link targets at its end.
fn content_end(text: &str, range: Range<usize>) -> usize {
    let mut end = range.start;
    let mut at = range.start;
    for line in text[range].split_inclusive('\n') {
        at += line.len();
        let trimmed = line.trim();
        let target = trimmed.starts_with('[') && trimmed.contains("]: ");
        if !trimmed.is_empty() && !target {
            end = at;
        }
    }
    end
}
