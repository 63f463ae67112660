//! Words as one types them in a shell: next commands are copied.

use std::borrow::Cow;

/// Plain words as they are, everything else in single quotes.
pub(super) fn typed(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/=:@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        for (word, expected) in [
            (".env.production", ".env.production"),
            ("the vendor's slow", r"'the vendor'\''s slow'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(typed(word), expected);
        }
    }
}
