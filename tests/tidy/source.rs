//! Rust sources as the other rules read them: with comments and texts blanked out, so that a brace
//! in a text is no brace, and without the tests at the end. Offsets and lines stay as they were.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of `src/`, without its tests.
pub(crate) struct Source {
    /// From the root of the repository, with `/`: `src/gate/check.rs`.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// The same bytes with comments and texts blanked out.
    pub(crate) code: String,
}

impl Source {
    fn read(root: &Path, file: &Path) -> Self {
        let path = relative(root, file);
        let mut text =
            fs::read_to_string(file).unwrap_or_else(|e| panic!("cannot read {path}: {e}"));
        let mut code = blank(&text);
        let end = tests_start(&code).unwrap_or(code.len());
        text.truncate(end);
        code.truncate(end);
        Self { path, text, code }
    }

    /// `src/gate/check.rs` is `["gate", "check"]`; `src/gate/mod.rs` is `["gate"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).collect()
    }

    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Where `needle` stands in code, not as a part of a longer word.
    pub(crate) fn occurrences<'a>(&'a self, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(needle).map(|(at, _)| at).filter(|at| {
            !self.code[..*at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    }
}

/// Every source of the crate that is not a file of tests.
pub(crate) fn all(root: &Path) -> Vec<Source> {
    files_below(&root.join("src"))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|e| e == "rs"))
        .filter(|file| file.file_stem().is_some_and(|stem| stem != "tests"))
        .map(|file| Source::read(root, &file))
        .collect()
}

/// Every file below `folder`, sorted; none when there is no such folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.expect("a folder of the checkout can be listed").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn relative(root: &Path, file: &Path) -> String {
    let inner = file.strip_prefix(root).expect("the file is below the root");
    inner.to_string_lossy().replace('\\', "/")
}

/// Where the tests at the end begin: a `#[cfg(test)]` in the first column before a `mod`.
fn tests_start(code: &str) -> Option<usize> {
    code.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(|at| {
        let at_line_start = *at == 0 || code[..*at].ends_with('\n');
        let after = &code[at + "#[cfg(test)]\n".len()..];
        let item = after.lines().find(|line| !line.starts_with("#[")).unwrap_or_default();
        let is_module = item.split_whitespace().any(|word| word == "mod");
        at_line_start && is_module && item.ends_with('{')
    })
}

/// Replaces comments, texts and characters by blanks of the same length.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(bytes, at, b"\n", 0),
            b'/' if bytes[at..].starts_with(b"/*") => find(bytes, at + 2, b"*/", 2),
            b'"' => text_end(bytes, at),
            b'r' if !follows_word(bytes, at) => raw_text_end(bytes, at).unwrap_or(at),
            b'\'' => character_end(text, at).unwrap_or(at),
            _ => at,
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole characters were replaced")
}

fn find(bytes: &[u8], from: usize, needle: &[u8], past: usize) -> usize {
    let found = bytes[from..].windows(needle.len()).position(|window| window == needle);
    found.map_or(bytes.len(), |distance| from + distance + past)
}

fn text_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// `br"` counts as raw too: its `r` follows only a `b`.
fn follows_word(bytes: &[u8], at: usize) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match at {
        0 => false,
        1 => bytes[0] != b'b' && is_word(bytes[0]),
        _ => is_word(bytes[at - 1]) && (bytes[at - 1] != b'b' || is_word(bytes[at - 2])),
    }
}

fn raw_text_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    let quote = start + 1 + hashes;
    (bytes.get(quote) == Some(&b'"')).then(|| {
        let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
        find(bytes, quote + 1, &close, close.len())
    })
}

/// The end of a character literal; a lifetime is none.
fn character_end(text: &str, start: usize) -> Option<usize> {
    let inner = &text[start + 1..];
    if inner.starts_with('\\') {
        // The escaped character may itself be a quote.
        return inner.get(2..)?.find('\'').map(|distance| start + 1 + 2 + distance + 1);
    }
    let character = inner.chars().next()?;
    let close = start + 1 + character.len_utf8();
    text[close..].starts_with('\'').then_some(close + 1)
}

#[test]
fn blanking_keeps_code_and_offsets() {
    for (text, code) in [
        ("a // {\nb", "a     \nb"),
        ("a /* { */ b", "a           b".trim_end_matches(' ')),
        ("x(\"{\\\"{\") }", "x(       ) }"),
        ("x(r#\"{\"\"#) }", "x(        ) }"),
        ("x('{', '\\'', 'a) }", "x(   ,     , 'a) }"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("for r in x {}", "for r in x {}"),
    ] {
        let blanked = blank(text);
        assert_eq!(blanked.len(), text.len(), "{text}");
        assert_eq!(blanked.replace(' ', ""), code.replace(' ', ""), "{text}");
    }
}
