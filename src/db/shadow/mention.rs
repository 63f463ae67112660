//! Where in the files an object was last created, changed or granted: catalogs do not know.

use std::collections::BTreeMap;

use crate::db::sql::place::Places;
use crate::db::sql::script::Script;
use crate::db::sql::source::Source;
use crate::db::sql::statement::Statement;

const VERBS: [&str; 6] = ["create", "alter", "drop", "grant", "revoke", "comment"];
/// What follows these is no subject of the statement.
const ENDS: [&str; 5] = ["as", "using", "references", "with", "returns"];

/// Places by folded name, the last one of each.
#[derive(Debug, Default)]
pub(crate) struct Mentions(BTreeMap<String, (String, u64)>);

impl Mentions {
    pub(crate) fn of(sources: &[Source]) -> Self {
        let mut found = BTreeMap::new();
        for source in sources {
            let script = Script::parse(&source.text);
            let places = Places::new(&source.text);
            for statement in script.statements().filter(|s| VERBS.iter().any(|v| s.starts(&[v]))) {
                let line = places.of(statement.range().start).0;
                for name in subjects(statement) {
                    found.insert(name, (source.path.clone(), line));
                }
            }
        }
        Self(found)
    }

    /// Where `subject`, such as `public.t`, `public.t policy` or `public.f(a integer)`, stands.
    pub(crate) fn place(&self, subject: &str) -> Option<(&str, u64)> {
        let (file, line) = self.0.get(bare(subject))?;
        Some((file, *line))
    }
}

fn subjects(statement: Statement<'_>) -> impl Iterator<Item = String> {
    let ends = move |at: &usize| {
        statement.mark(*at, "(") || ENDS.iter().any(|word| statement.is(*at, word))
    };
    let end = (1..statement.len()).find(ends).unwrap_or(statement.len());
    (1..end).filter_map(move |at| statement.identifier(at))
}

fn bare(subject: &str) -> &str {
    let before = subject.split('(').next().unwrap_or(subject);
    match before.split_once(' ') {
        Some((_, inner)) => inner,
        None => before.rsplit('.').next().unwrap_or(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_of_a_subject_is_found() {
        let text = "create table public.users (id int);\n\
                    create policy \"All can\" on users for select using (true);\n\
                    create table t (u int references users (id));\n\
                    create function public.f(a int) returns int language sql as $$ select 1 $$;\n";
        let source = Source::from_bytes("m.sql", text.as_bytes().to_vec());
        let mentions = Mentions::of(&[source]);
        for (subject, line) in [
            ("public.users", Some(2)),
            ("public.users All can", Some(2)),
            ("public.t", Some(3)),
            ("public.f(a integer)", Some(4)),
            ("public.none", None),
        ] {
            assert_eq!(mentions.place(subject).map(|(_, line)| line), line, "{subject}");
        }
    }
}
