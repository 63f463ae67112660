//! A command of psql, such as `\connect`: no server understands it.

use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;

pub(super) fn hits(script: &Script<'_>) -> Vec<Hit> {
    let hit = |range: &std::ops::Range<usize>| {
        let word = script.source[range.clone()].split_whitespace().next().unwrap_or_default();
        Hit::new("psql-command", range.clone(), format!("{word} is a command of psql, not SQL"))
    };
    script.commands.iter().map(hit).collect()
}
