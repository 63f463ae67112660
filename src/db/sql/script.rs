//! A SQL file cut into statements as psql cuts it: at semicolons outside of brackets and of
//! `BEGIN ATOMIC` bodies. Commands of psql and the rows after `COPY ... FROM stdin` stand apart, for
//! no server understands them.

use std::ops::Range;

use super::statement::Statement;
use super::token::{self, Kind, Token};

/// Deeper brackets are refused: parsers recurse into them.
const DEPTH_MAX: u32 = 400;

/// A file in pieces.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    pub(crate) source: &'a str,
    tokens: Vec<Token>,
    /// Tokens of each statement, without its semicolon.
    statements: Vec<Range<usize>>,
    pub(crate) comments: Vec<Token>,
    /// Commands of psql such as `\connect`, in bytes.
    pub(crate) commands: Vec<Range<usize>>,
    /// Rows of `COPY ... FROM stdin` with the line that ends them, in bytes, by statement.
    pub(crate) rows: Vec<(usize, Range<usize>)>,
    pub(crate) broken: Vec<Broken>,
}

/// What makes a text no SQL before any grammar is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) at: usize,
    pub(crate) why: &'static str,
}

impl<'a> Script<'a> {
    pub(crate) fn parse(source: &'a str) -> Self {
        let empty = Self {
            source,
            tokens: Vec::new(),
            statements: Vec::new(),
            comments: Vec::new(),
            commands: Vec::new(),
            rows: Vec::new(),
            broken: Vec::new(),
        };
        Cutter { script: empty, first: 0, depth: 0, signs: 0, atomic: 0, at: 0 }.cut()
    }

    pub(crate) fn statements(&self) -> impl ExactSizeIterator<Item = Statement<'_>> {
        self.statements.iter().map(|range| self.of(range.clone()))
    }

    fn of(&self, range: Range<usize>) -> Statement<'_> {
        Statement::new(self.source, 0, &self.tokens[range])
    }

    /// Blanks out what is for psql alone; every offset stays.
    pub(crate) fn without_psql(&self) -> Option<String> {
        if self.commands.is_empty() && self.rows.is_empty() {
            return None;
        }
        let mut bytes = self.source.as_bytes().to_vec();
        let rows = self.rows.iter().map(|(_, range)| range);
        for range in self.commands.iter().chain(rows) {
            for byte in &mut bytes[range.clone()] {
                if !matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        Some(String::from_utf8(bytes).expect("whole characters were replaced"))
    }
}

struct Cutter<'a> {
    script: Script<'a>,
    /// The first token of the statement at hand.
    first: usize,
    depth: u32,
    /// Signs and `NOT` in a row: parsers recurse into those too.
    signs: u32,
    /// Open `BEGIN ATOMIC` and `CASE` of the statement at hand.
    atomic: u32,
    at: usize,
}

impl<'a> Cutter<'a> {
    fn cut(mut self) -> Script<'a> {
        while let Some(token) = token::next(self.script.source, self.at) {
            self.at = token.end as usize;
            if token.open {
                self.broken(token, "is never closed");
            }
            self.count_signs(token);
            match token.kind {
                Kind::Comment => self.script.comments.push(token),
                Kind::Symbol => self.symbol(token),
                Kind::Word => {
                    self.script.tokens.push(token);
                    self.word(token);
                }
                _ => self.script.tokens.push(token),
            }
        }
        self.end_statement();
        self.script
    }

    fn count_signs(&mut self, token: Token) {
        let text = token.text(self.script.source);
        let recurses = matches!(text, "-" | "+" | "~" | "@") || text.eq_ignore_ascii_case("not");
        self.signs = if recurses { self.signs + 1 } else { 0 };
        if self.signs == DEPTH_MAX {
            self.broken(token, "is nested too deeply");
        }
    }

    fn broken(&mut self, token: Token, why: &'static str) {
        self.script.broken.push(Broken { at: token.start as usize, why });
    }

    fn symbol(&mut self, token: Token) {
        match self.script.source.as_bytes()[token.start as usize] {
            b'(' | b'[' => {
                self.depth += 1;
                if self.depth == DEPTH_MAX {
                    self.broken(token, "is nested too deeply");
                }
            }
            b')' | b']' => self.depth = self.depth.saturating_sub(1),
            b';' if self.depth == 0 && self.atomic == 0 => return self.end_statement(),
            b'\\' if self.first == self.script.tokens.len() || self.starts_a_line(token) => {
                return self.command(token);
            }
            _ => {}
        }
        self.script.tokens.push(token);
    }

    fn starts_a_line(&self, token: Token) -> bool {
        let before = &self.script.source[..token.start as usize];
        before.is_empty() || before.ends_with('\n')
    }

    fn command(&mut self, token: Token) {
        let rest = &self.script.source[token.start as usize..];
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let start = token.start as usize;
        self.script.commands.push(start..start + length);
        self.at = start + length;
    }

    /// `BEGIN ATOMIC` opens a body whose semicolons belong to it; `CASE` shares its `END`.
    fn word(&mut self, token: Token) {
        let source = self.script.source;
        let is = |word: &str| token.text(source).eq_ignore_ascii_case(word);
        if self.atomic == 0 {
            let before = self.script.tokens.len().checked_sub(2).filter(|n| *n >= self.first);
            let follows_begin = before
                .is_some_and(|n| self.script.tokens[n].text(source).eq_ignore_ascii_case("begin"));
            self.atomic = u32::from(is("atomic") && follows_begin);
        } else if is("case") {
            self.atomic += 1;
        } else if is("end") {
            self.atomic -= 1;
        }
    }

    fn end_statement(&mut self) {
        let range = self.first..self.script.tokens.len();
        self.first = range.end;
        (self.depth, self.atomic) = (0, 0);
        if range.is_empty() {
            return;
        }
        let reads_rows = self.script.of(range.clone()).is_copy_from_stdin();
        self.script.statements.push(range);
        if reads_rows {
            self.rows();
        }
    }

    /// Rows begin on the next line and end with `\.` alone on a line.
    fn rows(&mut self) {
        let source = self.script.source;
        let start = source[self.at..].find('\n').map_or(source.len(), |n| self.at + n + 1);
        let mut end = start;
        for line in source[start..].split_inclusive('\n') {
            end += line.len();
            if line.trim_end() == "\\." {
                break;
            }
        }
        if start < end {
            self.script.rows.push((self.script.statements.len() - 1, start..end));
            self.at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(source: &str) -> Vec<String> {
        let script = Script::parse(source);
        script.statements().map(|s| source[s.range()].to_owned()).collect()
    }

    #[test]
    fn semicolons_inside_belong_to_the_statement() {
        for (source, expected) in [
            ("select 1; select 2", &["select 1", "select 2"][..]),
            ("select ';' ; -- a;b\n select $$;$$;", &["select ';'", "select $$;$$"]),
            (
                "create rule r as on insert to t do (delete from a; delete from b); select 1",
                &["create rule r as on insert to t do (delete from a; delete from b)", "select 1"],
            ),
            (
                "create function f() returns int begin atomic select case when true then 1 end; \
                 select 2; end; select 3;",
                &[
                    "create function f() returns int begin atomic select case when true then 1 end; \
                     select 2; end",
                    "select 3",
                ],
            ),
            ("begin; select 1; end; select 2", &["begin", "select 1", "end", "select 2"]),
            (";; ;\u{20}", &[]),
        ] {
            assert_eq!(cut(source), expected, "{source}");
        }
    }

    #[test]
    fn psql_stands_apart() {
        let source =
            "\\restrict abc\nselect 1;\nCOPY public.t (a) FROM stdin;\n1;'\n2\n\\.\nselect 2;\n";
        let script = Script::parse(source);
        assert_eq!(cut(source), ["select 1", "COPY public.t (a) FROM stdin", "select 2"]);
        assert_eq!(&source[script.commands[0].clone()], "\\restrict abc");
        assert_eq!(script.rows[0].0, 1);
        assert_eq!(&source[script.rows[0].1.clone()], "1;'\n2\n\\.\n");
        let plain = script.without_psql().unwrap();
        assert_eq!(plain.len(), source.len());
        assert!(!plain.contains('\\') && plain.contains("select 2"));
    }

    #[test]
    fn what_cannot_be_sql_is_named() {
        let deep = "(".repeat(500);
        for (source, why) in [("select 'a", "is never closed"), (&*deep, "is nested too deeply")] {
            assert_eq!(Script::parse(source).broken[0].why, why);
        }
    }
}
