//! One statement as words: rules ask it what it starts with, what follows a word, which table it
//! names. Offsets are those of the whole file, also inside the body of a `DO` block.

use std::ops::Range;

use super::token::{self, Kind, Token};

/// A statement without its semicolon and comments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    source: &'a str,
    /// Where `source` stands in the file.
    base: usize,
    tokens: &'a [Token],
}

/// A name, folded; objects in `public` go without their schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn new(parts: &[String]) -> Self {
        match parts {
            [schema, rest @ ..] if schema == "public" && !rest.is_empty() => Self(rest.join(".")),
            parts => Self(parts.join(".")),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> Statement<'a> {
    pub(crate) const fn new(source: &'a str, base: usize, tokens: &'a [Token]) -> Self {
        Self { source, base, tokens }
    }

    /// In bytes of the file.
    pub(crate) fn range(self) -> Range<usize> {
        self.range_of(0, self.tokens.len())
    }

    /// The range of tokens `from..to`, in bytes of the file.
    pub(crate) fn range_of(self, from: usize, to: usize) -> Range<usize> {
        let start = self.tokens.get(from).or(self.tokens.last()).map_or(0, |t| t.start as usize);
        let last = to.checked_sub(1).and_then(|n| self.tokens.get(n));
        let end = last.map_or(start, |t| t.end as usize).max(start);
        self.base + start..self.base + end
    }

    pub(crate) const fn len(self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn kind(self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|t| t.kind)
    }

    pub(crate) fn raw(self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |t| t.text(self.source))
    }

    /// Whether token `at` is this keyword.
    pub(crate) fn is(self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(Kind::Word) && self.raw(at).eq_ignore_ascii_case(word)
    }

    /// Whether token `at` is this punctuation.
    pub(crate) fn mark(self, at: usize, mark: &str) -> bool {
        self.kind(at) == Some(Kind::Symbol) && self.raw(at) == mark
    }

    /// Whether these keywords stand at `at`, one after the other.
    pub(crate) fn phrase(self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.is(at + n, word))
    }

    pub(crate) fn starts(self, words: &[&str]) -> bool {
        self.phrase(0, words)
    }

    /// Where the phrase stands outside of brackets, at or after `from`.
    pub(crate) fn find(self, from: usize, words: &[&str]) -> Option<usize> {
        self.outside(from).find(|at| self.phrase(*at, words))
    }

    pub(crate) fn has(self, words: &[&str]) -> bool {
        self.find(0, words).is_some()
    }

    /// Tokens outside of brackets, at or after `from`.
    pub(crate) fn outside(self, from: usize) -> impl Iterator<Item = usize> {
        let mut depth = 0_i32;
        (from..self.tokens.len()).filter(move |at| {
            let (open, close) = (
                self.mark(*at, "(") || self.mark(*at, "["),
                self.mark(*at, ")") || self.mark(*at, "]"),
            );
            depth += i32::from(open) - i32::from(close);
            depth == 0 && !close
        })
    }

    /// The token after the bracket that closes the one at `open`.
    pub(crate) fn after_bracket(self, open: usize) -> usize {
        let mut depth = 0_i32;
        for at in open..self.tokens.len() {
            depth += i32::from(self.mark(at, "(")) - i32::from(self.mark(at, ")"));
            if depth == 0 {
                return at + 1;
            }
        }
        self.tokens.len()
    }

    /// The name at `at`, and the token after it.
    pub(crate) fn name(self, at: usize) -> Option<(Name, usize)> {
        let mut parts = vec![self.identifier(at)?];
        let mut next = at + 1;
        while self.mark(next, ".") {
            parts.push(self.identifier(next + 1)?);
            next += 2;
        }
        Some((Name::new(&parts), next))
    }

    /// One name without dots, folded.
    pub(crate) fn identifier(self, at: usize) -> Option<String> {
        let kind = self.kind(at).filter(|k| matches!(k, Kind::Word | Kind::Quoted))?;
        Some(token::fold(kind, self.raw(at)))
    }

    /// Goes over `IF [NOT] EXISTS`, `ONLY` and `CONCURRENTLY`.
    pub(crate) fn skip_noise(self, mut at: usize) -> usize {
        loop {
            at += match () {
                () if self.phrase(at, &["if", "not", "exists"]) => 3,
                () if self.phrase(at, &["if", "exists"]) => 2,
                () if self.is(at, "only") || self.is(at, "concurrently") => 1,
                () => return at,
            };
        }
    }

    /// The table of `ALTER TABLE`, and the token after it.
    pub(crate) fn altered_table(self) -> Option<(Name, usize)> {
        let at = if self.starts(&["alter", "table"]) { 2 } else { return None };
        self.name(self.skip_noise(at))
    }

    /// The table of `CREATE TABLE`, and the token after it.
    pub(crate) fn created_table(self) -> Option<(Name, usize)> {
        if !self.starts(&["create"]) {
            return None;
        }
        let at = (1..4).find(|at| self.is(*at, "table"))?;
        self.name(self.skip_noise(at + 1))
    }

    /// The actions of `ALTER TABLE`, as ranges of tokens.
    pub(crate) fn actions(self) -> Vec<Range<usize>> {
        let Some((_, first)) = self.altered_table() else { return Vec::new() };
        let mut starts = first;
        let mut found = Vec::new();
        for at in self.outside(first) {
            if self.mark(at, ",") {
                found.push(starts..at);
                starts = at + 1;
            }
        }
        found.push(starts..self.tokens.len());
        found
    }

    pub(crate) fn is_copy_from_stdin(self) -> bool {
        self.starts(&["copy"]) && self.has(&["from", "stdin"])
    }

    /// The text of the first dollar quote, and where it stands in the file.
    pub(crate) fn body(self) -> Option<(&'a str, usize)> {
        let token = self.tokens.iter().find(|t| t.kind == Kind::Dollar)?;
        let inner = token::dollar_body(token.text(self.source))?;
        let start = token.start as usize + inner.start;
        Some((&self.source[start..start + inner.len()], self.base + start))
    }
}

/// The statements inside the body of a `DO` block, as far as words tell: what follows `BEGIN`,
/// `THEN`, `ELSE`, `LOOP` or a semicolon. Calls `each` with every one.
pub(crate) fn inside_do(statement: Statement<'_>, each: &mut dyn FnMut(Statement<'_>)) {
    if !statement.starts(&["do"]) {
        return;
    }
    let Some((body, base)) = statement.body() else { return };
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(token) = token::next(body, at) {
        at = token.end as usize;
        if token.kind != Kind::Comment {
            tokens.push(token);
        }
    }
    let whole = Statement::new(body, base, &tokens);
    let mut first = 0;
    for at in 0..=tokens.len() {
        let opens = ["begin", "then", "else", "loop"].iter().any(|word| whole.is(at, word));
        if opens || whole.mark(at, ";") || at == tokens.len() {
            if first < at {
                each(Statement::new(body, base, &tokens[first..at]));
            }
            first = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::sql::script::Script;

    #[test]
    fn names_and_actions() {
        let source =
            "ALTER TABLE IF EXISTS ONLY public.\"Users\" ADD COLUMN a numeric(1, 2), DROP b";
        let script = Script::parse(source);
        let statement = script.statements().next().unwrap();
        assert_eq!(statement.altered_table().unwrap().0.as_str(), "Users");
        let actions: Vec<&str> = statement
            .actions()
            .into_iter()
            .map(|r| &source[statement.range_of(r.start, r.end)])
            .collect();
        assert_eq!(actions, ["ADD COLUMN a numeric(1, 2)", "DROP b"]);
    }

    #[test]
    fn statements_of_a_do_block_keep_their_place() {
        let source = "do $x$ begin if true then drop table a; end if; truncate b; end $x$";
        let script = Script::parse(source);
        let mut seen = Vec::new();
        inside_do(script.statements().next().unwrap(), &mut |s| {
            seen.push(source[s.range()].to_owned());
        });
        assert!(seen.iter().any(|text| text == "drop table a"), "{seen:?}");
        assert!(seen.iter().any(|text| text == "truncate b"), "{seen:?}");
    }
}
