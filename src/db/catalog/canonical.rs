//! One spelling of a definition. Postgres prints some expressions otherwise once they went through a
//! dump: a cast of an array becomes a cast of each of its elements. Pure.

/// The spelling that stays the same through a dump and a restore.
pub(crate) fn canonical(definition: &str) -> String {
    let mut text = definition.replace("\r\n", "\n");
    let mut from = 0;
    while let Some(at) = text[from..].find("(ARRAY[").map(|at| at + from) {
        match rewritten(&text[at..]) {
            Some((length, new)) => text.replace_range(at..at + length, &new),
            None => from = at + 1,
        }
    }
    text
}

/// `(ARRAY[a, b])::text[]` is `ARRAY[(a)::text, (b)::text]`; answers how long the old one is.
fn rewritten(text: &str) -> Option<(usize, String)> {
    let open = "(ARRAY[".len();
    let (elements, close) = elements(&text[open..])?;
    let after = text[open + close..].strip_prefix("])::")?;
    // A type ends at its brackets; its name may have spaces, a length and quotes.
    let end = after.find("[]")?;
    let of_type = &after[..end];
    let plain = |c: char| c.is_alphanumeric() || " ._\"(,)".contains(c);
    if !of_type.chars().all(plain) || of_type.matches('(').count() != of_type.matches(')').count() {
        return None;
    }
    let cast: Vec<String> = elements.iter().map(|e| format!("({e})::{of_type}")).collect();
    let length = open + close + "])::".len() + end + "[]".len();
    Some((length, format!("ARRAY[{}]", cast.join(", "))))
}

/// The elements up to the bracket that closes the list, and where it stands.
fn elements(text: &str) -> Option<(Vec<&str>, usize)> {
    let (mut found, mut depth, mut start, mut quote) = (Vec::new(), 0_i32, 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ']') if depth == 0 => {
                found.push(text[start..at].trim());
                return Some((found, at));
            }
            (None, ')' | ']') => depth -= 1,
            (None, ',') if depth == 0 => {
                found.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_of_an_array_is_a_cast_of_its_elements() {
        let before = "CHECK (((s)::text = ANY ((ARRAY['a,]'::character varying, 'it''s'::character varying])::text[])))";
        let after = "CHECK (((s)::text = ANY (ARRAY[('a,]'::character varying)::text, ('it''s'::character varying)::text])))";
        assert_eq!(canonical(before), after);
        assert_eq!(canonical(after), after);
        for same in [
            "DEFAULT (ARRAY[1, 2])",
            "DEFAULT '(ARRAY['::text",
            "((ARRAY[a])::text[",
            "x = ANY ((ARRAY[])",
        ] {
            assert_eq!(canonical(same), same);
        }
    }
}
