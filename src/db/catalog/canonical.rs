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

/// A view of one relation: Postgres 15 names it before each of its columns, 16 and newer do not.
pub(crate) fn canonical_view(definition: &str) -> String {
    let text = canonical(definition);
    let Some(alias) = only_alias(&text) else { return text };
    let (mut out, mut quote, mut last) = (String::with_capacity(text.len()), None, ' ');
    let prefix = format!("{alias}.");
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let inside = last.is_alphanumeric() || "_.\"$".contains(last);
        if quote.is_none() && !inside && rest.starts_with(&prefix) {
            rest = &rest[prefix.len()..];
            last = '.';
            continue;
        }
        match quote {
            Some(open) if open == c => quote = None,
            None if c == '\'' => quote = Some(c),
            _ => {}
        }
        out.push(c);
        last = c;
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// How a query names the one relation that it reads; none when it reads several.
fn only_alias(text: &str) -> Option<&str> {
    let (mut depth, mut quoted, mut from, mut end) = (0_i32, false, None, text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if quoted || depth != 0 {
            continue;
        }
        let here = &text[at..];
        let begins = |words: &[&str]| words.iter().any(|word| here.starts_with(word));
        if begins(&[" UNION", " INTERSECT", " EXCEPT", " JOIN "]) {
            return None;
        }
        match from {
            None if begins(&[" FROM "]) => from = Some(at + " FROM ".len()),
            Some(_) if c == ',' && end == text.len() => return None,
            Some(_)
                if begins(&[
                    " WHERE ",
                    " GROUP BY",
                    " HAVING ",
                    " ORDER BY",
                    " LIMIT ",
                    " OFFSET ",
                    " WINDOW ",
                    ";",
                ]) =>
            {
                end = end.min(at);
            }
            _ => {}
        }
    }
    let item = text.get(from?..end)?.trim();
    let name = item.rsplit([' ', '.', '\n']).next()?;
    let plain = |c: char| c.is_alphanumeric() || "_\"$".contains(c);
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
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
    fn a_view_of_one_relation_names_it_nowhere() {
        for (fifteen, seventeen) in [
            (
                " SELECT orders.id,\n    orders.total\n   FROM public.orders\n  WHERE ((orders.state)::text = 'orders.x'::text);",
                " SELECT id,\n    total\n   FROM public.orders\n  WHERE ((state)::text = 'orders.x'::text);",
            ),
            (
                " SELECT o.id, count(*) AS count\n   FROM public.orders o\n  GROUP BY o.id;",
                " SELECT id, count(*) AS count\n   FROM public.orders o\n  GROUP BY id;",
            ),
            (
                " SELECT a.id FROM public.a WHERE (EXISTS ( SELECT 1 FROM public.b WHERE (b.a = a.id)));",
                " SELECT id FROM public.a WHERE (EXISTS ( SELECT 1 FROM public.b WHERE (b.a = a.id)));",
            ),
        ] {
            assert_eq!(canonical_view(fifteen), canonical_view(seventeen), "{fifteen}");
        }
        for several in [
            " SELECT a.id FROM public.a, public.b;",
            " SELECT a.id FROM (public.a JOIN public.b ON ((a.id = b.a)));",
            " SELECT a.id FROM public.a UNION SELECT b.id FROM public.b;",
        ] {
            assert_eq!(canonical_view(several), several);
        }
    }

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
