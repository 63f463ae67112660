//! `COPY ... FROM stdin` with its rows in the file: only psql sends them.

use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;

pub(super) fn hits(script: &Script<'_>) -> Vec<Hit> {
    let copies = script.statements().filter(|s| s.is_copy_from_stdin());
    let text = "the rows after COPY ... FROM stdin are sent by psql only";
    copies.map(|s| Hit::new("copy-from-stdin", s.range(), text)).collect()
}
