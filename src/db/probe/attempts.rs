//! Tries the API as nobody and as a second user: which reads no policy filters, and what can be done
//! to a row of the first user. Everything happens in one transaction that is rolled back.
//!
//! A row stands for a tenant where a column refers to `auth.users` or is called like an owner. What
//! is shared by membership has no row here that the second user is a member of.

use super::tables::{Table, tables};
use crate::db::lint::finding::Level;
use crate::db::shadow::finding::ShadowFinding;
use crate::db::shadow::ports::{Database, SqlError};

/// The first user, whose rows these are, and the second one.
const FIRST: &str = "00000000-0000-4000-a000-00000000000a";
const SECOND: &str = "00000000-0000-4000-a000-00000000000b";

/// Whoever asks the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Anon,
    Second,
}

impl Caller {
    const ALL: [Self; 2] = [Self::Anon, Self::Second];

    const fn role(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Second => "authenticated",
        }
    }

    /// As the API sets them for one request.
    fn becomes(self) -> String {
        let claims = match self {
            Self::Anon => "{\"role\": \"anon\"}".to_owned(),
            Self::Second => format!(
                "{{\"sub\": \"{SECOND}\", \"role\": \"authenticated\", \"aud\": \"authenticated\", \
                 \"email\": \"second@example.com\"}}"
            ),
        };
        format!(
            "select pg_catalog.set_config('request.jwt.claims', '{claims}', true); \
             set local role {}",
            self.role()
        )
    }

    /// How findings name this caller at a table.
    fn at(self, table: &Table) -> String {
        format!("{}({})", table.name, self.role())
    }

    fn may(self, table: &Table, letter: char) -> bool {
        let may = match self {
            Self::Anon => &table.may[0],
            Self::Second => &table.may[1],
        };
        may.contains(letter)
    }
}

/// What is possible and should not be.
pub(crate) async fn probe(database: &dyn Database) -> Result<Vec<ShadowFinding>, SqlError> {
    let tables = tables(database).await?;
    database.run("begin").await?;
    let found = within(database, &tables).await;
    let ended = database.run("rollback; reset search_path").await;
    let found = found?;
    ended?;
    Ok(found)
}

async fn within(database: &dyn Database, tables: &[Table]) -> Result<Vec<ShadowFinding>, SqlError> {
    let owned = first_rows(database, tables).await?;
    let mut found: Vec<ShadowFinding> = Vec::new();
    for table in tables {
        for caller in Caller::ALL {
            let filtered = read(database, table, caller, &mut found).await?;
            let owner = table.owner.as_ref().filter(|_| owned.contains(&table.name.as_str()));
            let Some(owner) = owner else { continue };
            for attempt in attempts(table, owner, caller, filtered) {
                let finding = attempt.finding(table, caller);
                if found.iter().any(|known| known.key == finding.key) {
                    continue;
                }
                let Ok(rows) = tried(database, &attempt.sql(table, owner, caller)).await? else {
                    continue;
                };
                undo(database).await?;
                if rows.last().map(String::as_str) == Some("t") {
                    found.push(finding);
                }
            }
        }
    }
    Ok(found)
}

/// Two users, and a row of the first one in every table that takes it; answers in which.
async fn first_rows<'a>(
    database: &dyn Database,
    tables: &'a [Table],
) -> Result<Vec<&'a str>, SqlError> {
    // What the rows refer to is not here, and triggers would act for nobody.
    database.run("set local session_replication_role = replica").await?;
    let users = format!(
        "insert into auth.users (id, email) values ('{FIRST}', 'first@example.com'), \
         ('{SECOND}', 'second@example.com')"
    );
    kept(database, &users).await?;
    let mut owned = Vec::new();
    for table in tables {
        let Some(owner) = &table.owner else { continue };
        if kept(database, &insert(table, owner)).await? {
            owned.push(table.name.as_str());
        }
    }
    database.run("set local session_replication_role = origin").await?;
    Ok(owned)
}

/// A row of the first user.
fn insert(table: &Table, owner: &str) -> String {
    let Table { quoted, columns, values, .. } = table;
    let comma = if columns.is_empty() { "" } else { ", " };
    format!("insert into {quoted} ({owner}{comma}{columns}) values ('{FIRST}'{comma}{values})")
}

/// Runs something that may fail; what it did stands until [`undo`]. The error outside is the server's.
async fn tried(
    database: &dyn Database,
    sql: &str,
) -> Result<Result<Vec<String>, SqlError>, SqlError> {
    match database.run(&format!("savepoint probe; {sql}")).await {
        Ok(rows) => Ok(Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?).collect())),
        Err(error) if error.is_of_the_server() => Err(error),
        Err(error) => {
            undo(database).await?;
            Ok(Err(error))
        }
    }
}

async fn undo(database: &dyn Database) -> Result<(), SqlError> {
    database.run("rollback to savepoint probe; release savepoint probe").await.map(drop)
}

/// Runs something that may fail and keeps it; answers whether it worked.
async fn kept(database: &dyn Database, sql: &str) -> Result<bool, SqlError> {
    let worked = tried(database, sql).await?.is_ok();
    if worked {
        database.run("release savepoint probe").await?;
    }
    Ok(worked)
}

/// Whether a filter stands between the caller and all rows, or it may not read at all.
async fn read(
    database: &dyn Database,
    table: &Table,
    caller: Caller,
    found: &mut Vec<ShadowFinding>,
) -> Result<bool, SqlError> {
    if !caller.may(table, 'r') {
        return Ok(true);
    }
    let (role, subject) = (caller.role(), caller.at(table));
    let select = format!("select * from {}", table.quoted);
    let plan = format!("{}; explain (costs off) {select}", caller.becomes());
    let (id, level, text) = match tried(database, &plan).await? {
        Ok(lines) => {
            undo(database).await?;
            if lines.iter().any(|line| line.contains("Filter:") || line.contains("Cond:")) {
                return Ok(true);
            }
            let text = format!("as {role}, {select} reads every row: no policy filters it");
            ("probe.unfiltered-read", Level::Warning, text)
        }
        Err(error) if error.code == "42501" => return Ok(true),
        Err(error) => {
            let level = if error.code == "42P17" { Level::Error } else { Level::Warning };
            ("probe.policy-fails", level, format!("as {role}, {select} fails: {error}"))
        }
    };
    found.push(ShadowFinding::new(id, &subject, level, text));
    Ok(id != "probe.unfiltered-read")
}

/// Something that another user's row should withstand.
struct Attempt {
    id: &'static str,
    /// The statement that shows it.
    statement: String,
    /// What it did, in words.
    did: &'static str,
    goal: Goal,
}

/// How it shows that it worked.
#[derive(Clone, Copy)]
enum Goal {
    /// The statement itself says so.
    Seen,
    /// The row is gone from where it was.
    Moved,
    /// There is a row where there was none.
    Added,
}

fn attempts(table: &Table, owner: &str, caller: Caller, filtered: bool) -> Vec<Attempt> {
    let quoted = &table.quoted;
    let mut all = Vec::new();
    let mut add = |letter, id, statement: String, did, goal| {
        if caller.may(table, letter) {
            all.push(Attempt { id, statement, did, goal });
        }
    };
    // A policy that says true means it; one that filters and shows it all the same does not.
    if filtered {
        let select = format!("select true from {quoted} where {owner} = '{FIRST}' limit 1");
        add('r', "probe.cross-tenant-read", select, "reads a row of another user", Goal::Seen);
    }
    for to in [owner.to_owned(), format!("'{SECOND}'")] {
        let update = format!("update {quoted} set {owner} = {to}");
        let did = "changes a row of another user";
        add('w', "probe.cross-tenant-update", update, did, Goal::Moved);
    }
    let delete = format!("delete from {quoted}");
    add('d', "probe.cross-tenant-delete", delete, "deletes a row of another user", Goal::Moved);
    let did = "adds a row in the name of another user";
    add('a', "probe.cross-tenant-insert", insert(table, owner), did, Goal::Added);
    all
}

impl Attempt {
    /// Everything up to the answer, which is its last row.
    fn sql(&self, table: &Table, owner: &str, caller: Caller) -> String {
        let Self { statement, goal, .. } = self;
        let (becomes, of_first) =
            (caller.becomes(), format!("from {} where {owner}::text = '{FIRST}'", table.quoted));
        match goal {
            Goal::Seen => format!("{becomes}; {statement}"),
            Goal::Moved => format!(
                "select pg_catalog.set_config('orca.place', (select ctid::text {of_first} limit 1), \
                 true); {becomes}; {statement}; set local role none; select not exists (select \
                 {of_first} and ctid::text = pg_catalog.current_setting('orca.place'))"
            ),
            Goal::Added => format!(
                "set local session_replication_role = replica; delete {of_first}; \
                 set local session_replication_role = origin; {becomes}; {statement}; \
                 set local role none; select exists (select {of_first})"
            ),
        }
    }

    fn finding(&self, table: &Table, caller: Caller) -> ShadowFinding {
        let text = format!("as {}, {} {}", caller.role(), self.statement, self.did);
        ShadowFinding::new(self.id, &caller.at(table), Level::Error, text)
    }
}
