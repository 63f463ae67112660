//! The lexical rules of Postgres: strings, escape strings, dollar quotes, nested comments, quoted
//! names, words. Every byte of the text belongs to one token or to white space.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string constant of any kind but a dollar quote.
    Text,
    /// `$tag$ ... $tag$`.
    Dollar,
    Number,
    /// One character of punctuation or of an operator.
    Symbol,
    /// `-- ...` or `/* ... */`.
    Comment,
}

/// A token and where it stands, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Whether its closing mark is missing.
    pub(crate) open: bool,
}

impl Token {
    pub(crate) fn text(self, source: &str) -> &str {
        &source[self.start as usize..self.end as usize]
    }
}

/// The next token at or after `at`.
pub(crate) fn next(source: &str, at: usize) -> Option<Token> {
    let bytes = source.as_bytes();
    // Postgres refuses a byte order mark, and whoever sends the file takes it off.
    let at = if at == 0 && source.starts_with('\u{feff}') { 3 } else { at };
    let blanks = bytes[at..].iter().take_while(|b| is_blank(**b)).count();
    let start = at + blanks;
    let first = *bytes.get(start)?;
    let after = bytes.get(start + 1).copied();
    let (kind, end) = match first {
        b'-' if after == Some(b'-') => (Kind::Comment, Some(line_end(bytes, start))),
        b'/' if after == Some(b'*') => (Kind::Comment, block_comment_end(bytes, start)),
        b'\'' => (Kind::Text, quote_end(bytes, start, false)),
        b'"' => (Kind::Quoted, name_end(bytes, start)),
        b'e' | b'E' if after == Some(b'\'') => (Kind::Text, quote_end(bytes, start + 1, true)),
        b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if after == Some(b'\'') => {
            (Kind::Text, quote_end(bytes, start + 1, false))
        }
        b'u' | b'U' if bytes[start + 1..].starts_with(b"&'") => {
            (Kind::Text, quote_end(bytes, start + 2, false))
        }
        b'u' | b'U' if bytes[start + 1..].starts_with(b"&\"") => {
            (Kind::Quoted, name_end(bytes, start + 2))
        }
        b'$' => dollar(bytes, start),
        b'0'..=b'9' => (Kind::Number, Some(run_end(bytes, start, is_number))),
        first if is_word_start(first) => (Kind::Word, Some(run_end(bytes, start, is_word))),
        _ => (Kind::Symbol, Some(start + 1)),
    };
    let (end, open) = end.map_or((bytes.len(), true), |end| (end, false));
    let offset = |n: usize| u32::try_from(n).expect("a SQL file is far below 4 GiB");
    Some(Token { kind, start: offset(start), end: offset(end), open })
}

/// Text of a name as Postgres folds it: words in lower case, quoted names as they are.
pub(crate) fn fold(kind: Kind, text: &str) -> String {
    if kind == Kind::Quoted {
        let inner = text.strip_prefix('"').unwrap_or(text);
        return inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\"");
    }
    text.to_ascii_lowercase()
}

/// Where the text of a dollar quote begins and ends inside its token.
pub(crate) fn dollar_body(text: &str) -> Option<std::ops::Range<usize>> {
    let mark = text.get(1..)?.find('$')? + 2;
    (text.len() >= 2 * mark).then(|| mark..text.len() - mark)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

const fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

const fn is_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')
}

fn run_end(bytes: &[u8], start: usize, belongs: fn(u8) -> bool) -> usize {
    start + bytes[start..].iter().take_while(|b| belongs(**b)).count()
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    start + bytes[start..].iter().take_while(|b| !matches!(b, b'\n' | b'\r')).count()
}

fn block_comment_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    None
}

/// `quote` is where the opening quote stands.
fn quote_end(bytes: &[u8], quote: usize, escapes: bool) -> Option<usize> {
    let mut at = quote + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

fn name_end(bytes: &[u8], quote: usize) -> Option<usize> {
    let mut at = quote + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' if bytes.get(at + 1) == Some(&b'"') => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// A dollar quote, a parameter such as `$1`, or a lone `$`.
fn dollar(bytes: &[u8], start: usize) -> (Kind, Option<usize>) {
    let is_tag = |byte: u8| is_word(byte) && byte != b'$';
    let tag_end = run_end(bytes, start + 1, is_tag);
    let starts_well = !bytes.get(start + 1).is_some_and(u8::is_ascii_digit);
    if bytes.get(tag_end) != Some(&b'$') || !starts_well {
        return (Kind::Symbol, Some(tag_end));
    }
    let mark = &bytes[start..=tag_end];
    let body = tag_end + 1;
    let close = find(&bytes[body..], mark);
    (Kind::Dollar, close.map(|distance| body + distance + mark.len()))
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(distance) = bytes[at..].iter().position(|b| *b == b'$') {
        at += distance;
        if bytes[at..].starts_with(mark) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(source: &str) -> Vec<(Kind, &str)> {
        let mut at = 0;
        let mut found = Vec::new();
        while let Some(token) = next(source, at) {
            found.push((token.kind, token.text(source)));
            at = token.end as usize;
        }
        found
    }

    #[test]
    fn each_kind_ends_where_postgres_ends_it() {
        for (source, expected) in [
            ("'it''s'", Kind::Text),
            ("E'it\\'s'", Kind::Text),
            ("U&'d\\0061t'", Kind::Text),
            ("\"a\"\"b;\"", Kind::Quoted),
            ("$$ ; ' -- $$", Kind::Dollar),
            ("$a$ $$ ; $b$ $a$", Kind::Dollar),
            ("/* a /* b */ ; */", Kind::Comment),
            ("-- a; 'b", Kind::Comment),
            ("naïve_1$x", Kind::Word),
            ("1_000.5e3", Kind::Number),
            ("$1", Kind::Symbol),
        ] {
            assert_eq!(tokens(source), [(expected, source)], "{source}");
        }
    }

    #[test]
    fn a_backslash_ends_nothing_in_a_plain_string() {
        assert_eq!(tokens("'a\\' b"), [(Kind::Text, "'a\\'"), (Kind::Word, "b")]);
    }

    #[test]
    fn what_is_never_closed_is_open() {
        for source in ["'a", "\"a", "$$ a", "/* a /* b */", "E'a\\'"] {
            assert!(next(source, 0).unwrap().open, "{source}");
        }
    }

    #[test]
    fn names_fold() {
        assert_eq!(fold(Kind::Word, "Users"), "users");
        assert_eq!(fold(Kind::Quoted, "\"Us\"\"ers\""), "Us\"ers");
        assert_eq!(dollar_body("$x$ab$x$"), Some(3..5));
    }
}
