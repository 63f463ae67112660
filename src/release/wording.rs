//! Text from commits as a line of Markdown: one line, and no tag or control character of theirs
//! takes effect. Code spans stay as they are.

/// `text` on one line, with `<` written out where Markdown would read a tag.
pub(crate) fn line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let closed = text.matches('`').count().is_multiple_of(2);
    let mut in_code = false;
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '`' if closed => {
                in_code = !in_code;
                line.push('`');
            }
            '<' if !in_code => line.push_str("&lt;"),
            c if c.is_control() => {}
            c => line.push(c),
        }
    }
    line
}

/// A sentence's start: the first letter upper case.
pub(crate) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + characters.as_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_commit_becomes_markup() {
        for (text, expected) in [
            ("read Vec<T>", "read Vec&lt;T>"),
            ("read `Vec<T>` and <b>", "read `Vec<T>` and &lt;b>"),
            ("a ` <b>", "a ` &lt;b>"),
            ("two\n  lines\u{1b}", "two lines"),
        ] {
            assert_eq!(line(text), expected);
        }
        assert_eq!(capitalised("été"), "Été");
        assert_eq!(capitalised(""), "");
    }
}
