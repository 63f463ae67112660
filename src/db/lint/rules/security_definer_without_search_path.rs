//! A function that runs as its owner and finds names on the caller's path: the caller chooses what
//! it calls.

use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hits(script: &Script<'_>) -> Vec<Hit> {
    let statements: Vec<Statement<'_>> = script.statements().collect();
    let mut found = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let Some(name) = loses_its_path(*statement) else { continue };
        let mended = statements[at + 1..].iter().any(|later| sets_path_of(*later, &name));
        if !mended {
            let text = format!("{} runs as its owner on the caller's search_path", name.as_str());
            found.push(Hit::new("security-definer-without-search-path", statement.range(), text));
        }
    }
    found
}

const ROUTINES: [&str; 3] = ["function", "procedure", "routine"];

fn loses_its_path(statement: Statement<'_>) -> Option<Name> {
    let is_routine = |at: usize| ROUTINES.iter().any(|word| statement.is(at, word));
    let at = match () {
        () if statement.starts(&["create", "or", "replace"]) => 3,
        () if statement.starts(&["create"]) || statement.starts(&["alter"]) => 1,
        () => return None,
    };
    let (name, after) = is_routine(at).then(|| statement.name(at + 1))??;
    let has = |words: &[&str]| statement.find(after, words).is_some();
    let resets = has(&["reset", "search_path"]) || has(&["reset", "all"]);
    let definer = has(&["security", "definer"]) && !has(&["set", "search_path"]);
    (resets || definer).then_some(name)
}

fn sets_path_of(statement: Statement<'_>, wanted: &Name) -> bool {
    let is_routine = ROUTINES.iter().any(|word| statement.starts(&["alter", word]));
    let named = statement.name(2).filter(|(name, _)| is_routine && name == wanted);
    named.is_some_and(|(_, after)| statement.find(after, &["set", "search_path"]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definer_function_needs_a_path() {
        let body = "returns int language sql as $$ select 1 $$";
        for (source, fires) in [
            (format!("create function f() {body} security definer"), true),
            (format!("create or replace function f(a int) {body} security definer"), true),
            ("alter function f() security definer".to_owned(), true),
            ("alter function f() reset search_path".to_owned(), true),
            (format!("create function f() {body} security definer set search_path = ''"), false),
            (
                format!("create function f() {body} security definer set search_path to public"),
                false,
            ),
            (format!("create function f() {body} security invoker"), false),
            (
                format!(
                    "create function f() {body} security definer; \
                         alter function public.f() set search_path = ''"
                ),
                false,
            ),
            (
                "create function f() returns int language sql as 'security definer'".to_owned(),
                false,
            ),
        ] {
            assert_eq!(!hits(&Script::parse(&source)).is_empty(), fires, "{source}");
        }
    }
}
