//! What a hosted Supabase project has beyond any migration: it is no drift. Pure.

use std::collections::BTreeSet;

use crate::db::catalog::lines::{Line, OF_SUPABASE};

/// Extensions that a new project has.
const EXTENSIONS: [&str; 8] = [
    "pg_graphql",
    "pg_net",
    "pg_stat_statements",
    "pgcrypto",
    "pgjwt",
    "pgsodium",
    "supabase_vault",
    "uuid-ossp",
];

/// The role that owns what the platform makes.
const OWNER: &str = "supabase_admin";

/// The target's lines without those that the platform made, unless migrations made them too.
pub(crate) fn without_platform(target: Vec<Line>, made: &[Line]) -> Vec<Line> {
    let made: BTreeSet<(&str, &str)> =
        made.iter().map(|l| (l.kind.as_str(), l.name.as_str())).collect();
    let of_platform = |line: &Line| match line.kind.as_str() {
        "extension" => EXTENSIONS.contains(&line.name.as_str()),
        "default grant" => {
            let mut words = line.name.split(' ');
            words.next() == Some(OWNER) || words.any(|word| OF_SUPABASE.contains(&word))
        }
        // Triggers and policies of the platform's own tables.
        "trigger" | "policy" => {
            OF_SUPABASE.contains(&line.name.split('.').next().unwrap_or_default())
        }
        _ => false,
    };
    let kept = |line: &Line| {
        made.contains(&(line.kind.as_str(), line.name.as_str())) || !of_platform(line)
    };
    target.into_iter().filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, name: &str) -> Line {
        Line { kind: kind.into(), name: name.into(), definition: String::new() }
    }

    #[test]
    fn only_what_the_platform_makes_is_left_out() {
        for (of, kept) in [
            (line("extension", "pg_net"), false),
            (line("extension", "postgis"), true),
            (line("default grant", "supabase_admin public r"), false),
            (line("default grant", "postgres storage r"), false),
            (line("default grant", "postgres public r"), true),
            (line("trigger", "storage.objects.protect"), false),
            (line("trigger", "public.a.t"), true),
            (line("table", "public.a"), true),
        ] {
            let found = without_platform(vec![of.clone()], &[]);
            assert_eq!(found.len(), usize::from(kept), "{of:?}");
            assert_eq!(without_platform(vec![of.clone()], std::slice::from_ref(&of)).len(), 1);
        }
    }
}
