//! Extensions that the shadow's server does not have. Known ones get stand-ins: the objects exist, and
//! do nothing. Each stand-in weakens the verdict and is named in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::db::sql::statement::Statement;

/// Stand-ins; `@schema@` is where the extension was asked for.
const SUBSTITUTES: [(&str, &str); 17] = [
    ("http", include_str!("substitutes/http.sql")),
    ("pg_net", include_str!("substitutes/pg_net.sql")),
    ("pgjwt", include_str!("substitutes/pgjwt.sql")),
    ("supabase_vault", include_str!("substitutes/supabase_vault.sql")),
    ("vault", include_str!("substitutes/supabase_vault.sql")),
    ("pg_cron", include_str!("substitutes/pg_cron.sql")),
    ("pgmq", include_str!("substitutes/pgmq.sql")),
    ("vector", include_str!("substitutes/vector.sql")),
    ("pg_graphql", "create schema if not exists graphql_public;"),
    ("pgsodium", "create schema if not exists pgsodium;"),
    ("pg_tle", "create schema if not exists pgtle;"),
    ("plpgsql_check", ""),
    ("hypopg", ""),
    ("index_advisor", ""),
    ("pgaudit", ""),
    ("pg_repack", ""),
    ("pg_stat_monitor", ""),
];

/// Before and after the stand-ins of one extension: they belong to an extension, as the real ones do,
/// so that nothing takes them for objects of the project.
const ADOPTION: [&str; 2] =
    [include_str!("substitutes/before.sql"), include_str!("substitutes/after.sql")];

/// What stand-ins are made by.
pub(super) fn made_by() -> String {
    SUBSTITUTES.map(|(name, sql)| [name, ":", sql].concat()).concat() + &ADOPTION.concat()
}

/// Which extensions the server has, and which were replaced so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extensions {
    pub(crate) available: BTreeSet<String>,
    pub(crate) substituted: BTreeSet<String>,
    /// Neither there nor known, with the file and line that asks for each.
    pub(crate) unknown: BTreeMap<String, (String, u64)>,
}

/// What to do with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Treatment {
    AsItIs,
    Skip,
    /// Run this instead of creating the extension of this name.
    Substitute(String, String),
    /// It is there; run this where it does not start without settings of the whole server.
    OrSubstitute(String, String),
    /// An extension that is not there and has no stand-in.
    Unknown(String),
}

impl Extensions {
    pub(crate) fn treat(&self, statement: Statement<'_>) -> Treatment {
        if statement.starts(&["create", "extension"]) {
            return self.create(statement);
        }
        let named = match () {
            () if statement.starts(&["comment", "on", "extension"]) => Some(3),
            () if statement.starts(&["alter", "extension"]) => Some(2),
            () if statement.starts(&["drop", "extension"]) => Some(statement.skip_noise(2)),
            () => None,
        };
        let replaced =
            |name: &String| self.substituted.contains(name) || self.unknown.contains_key(name);
        if named.and_then(|at| statement.identifier(at)).as_ref().is_some_and(replaced) {
            return Treatment::Skip;
        }
        let is_index = statement.starts(&["create", "index"])
            || statement.starts(&["create", "unique", "index"]);
        let method = statement.find(2, &["using"]).and_then(|at| statement.identifier(at + 1));
        let of_vector = method.is_some_and(|m| m == "hnsw" || m == "ivfflat");
        if is_index && of_vector && self.substituted.contains("vector") {
            return Treatment::Skip;
        }
        Treatment::AsItIs
    }

    fn create(&self, statement: Statement<'_>) -> Treatment {
        let Some(name) = statement.identifier(statement.skip_noise(2)) else {
            return Treatment::AsItIs;
        };
        if self.substituted.contains(&name) {
            return Treatment::Skip;
        }
        let schema = statement.find(2, &["schema"]).map_or("public", |at| statement.raw(at + 1));
        let stand_ins = SUBSTITUTES.iter().find(|(known, _)| *known == name);
        let stand_ins = stand_ins.map(|(_, sql)| {
            let sql = sql.replace("@schema@", schema);
            let home = format!("create schema if not exists {schema};");
            let [before, after] = ADOPTION;
            [&home, before, &sql, after].join("\n")
        });
        match (self.available.contains(&name), stand_ins) {
            (true, None) => Treatment::AsItIs,
            (true, Some(sql)) => Treatment::OrSubstitute(name, sql),
            (false, None) => Treatment::Unknown(name),
            (false, Some(sql)) => Treatment::Substitute(name, sql),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::sql::script::Script;

    #[test]
    fn what_is_not_there_is_replaced_skipped_or_unknown() {
        let extensions = Extensions {
            available: BTreeSet::from(["pgcrypto".to_owned(), "pg_cron".to_owned()]),
            substituted: BTreeSet::from(["vector".to_owned()]),
            unknown: BTreeMap::new(),
        };
        let treat = |sql: &str| extensions.treat(Script::parse(sql).statements().next().unwrap());
        for (sql, expected) in [
            ("create extension pgcrypto", Treatment::AsItIs),
            ("create extension if not exists postgis", Treatment::Unknown("postgis".into())),
            ("create extension vector", Treatment::Skip),
            ("comment on extension vector is 'x'", Treatment::Skip),
            ("comment on extension pgcrypto is 'x'", Treatment::AsItIs),
            ("create index on a using hnsw (b vector_cosine_ops)", Treatment::Skip),
            ("create index on a using gin (b)", Treatment::AsItIs),
        ] {
            assert_eq!(treat(sql), expected, "{sql}");
        }
        assert!(matches!(treat("create extension pg_cron"), Treatment::OrSubstitute(..)));
        match treat("CREATE EXTENSION IF NOT EXISTS \"http\" WITH SCHEMA \"extensions\"") {
            Treatment::Substitute(name, sql) => {
                assert_eq!(name, "http");
                assert!(sql.contains("create type \"extensions\".http_method"), "{sql}");
            }
            other => panic!("{other:?}"),
        }
    }
}
