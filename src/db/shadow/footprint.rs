//! What each statement of the new files holds up: the strongest lock on every relation that was there
//! before, whether it writes the relation anew or reads all of it, and how long. Measured in the
//! transaction itself, from `pg_locks` and the counters of the session.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::ShadowFinding;
use super::ports::{Database, Row, SqlError};
use crate::base::units::Micros;
use crate::db::lint::finding::Level;

/// Every relation of the users, or only those that this transaction has locked; the strongest lock as
/// its place in the order of Postgres.
const RELATIONS: &str = "select c.oid::text, n.nspname || '.' || c.relname, \
    coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)::text, \
    pg_catalog.pg_stat_get_xact_numscans(c.oid)::text, \
    coalesce(l.mode, 0)::text \
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    left join (select relation, max(pg_catalog.array_position(array['AccessShareLock', \
      'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', \
      'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'], mode)) as mode \
      from pg_catalog.pg_locks where pid = pg_catalog.pg_backend_pid() and granted \
      and locktype = 'relation' group by 1) l on l.relation = c.oid \
    where c.relkind in ('r', 'p', 'm') and c.relpersistence = 'p' \
      and n.nspname !~ '^(pg_|information_schema)'";

/// From weak to strong, as Postgres orders them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lock {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

impl Lock {
    const ALL: [Self; 8] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
    ];

    /// The name as SQL writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Who waits while it is held.
    pub(crate) const fn waits(self) -> &'static str {
        match self {
            Self::AccessShare | Self::RowShare => "nobody waits",
            Self::RowExclusive => "writers of the same rows wait",
            Self::ShareUpdateExclusive => "readers and writers go on, other schema changes wait",
            Self::Share | Self::ShareRowExclusive => "writers wait, readers go on",
            Self::Exclusive => "writers and SELECT FOR UPDATE wait, readers go on",
            Self::AccessExclusive => "readers and writers wait",
        }
    }
}

/// One statement on one relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Footprint {
    pub(crate) file: String,
    pub(crate) line: u64,
    /// How the statement begins.
    pub(crate) statement: String,
    pub(crate) relation: String,
    pub(crate) lock: Lock,
    /// Who waits, in words.
    pub(crate) waits: String,
    /// Whether the relation was written anew.
    pub(crate) rewrites: bool,
    /// Whether every row was read.
    pub(crate) scans: bool,
    /// The statement alone.
    pub(crate) took_us: u64,
    /// From its beginning to the end of the transaction: so long the lock is held.
    pub(crate) held_us: u64,
    /// Rows that were filled in for this measurement.
    pub(crate) rows: u64,
    /// Rows that the target has, as far as anybody said.
    pub(crate) rows_expected: Option<u64>,
    /// What `took_us` becomes with that many rows.
    pub(crate) estimate_us: Option<u64>,
}

impl Footprint {
    const fn grows(&self) -> bool {
        self.rewrites || self.scans
    }

    /// Writing or reading a whole relation while others wait: worth a finding unless it is known to
    /// be short.
    pub(crate) fn finding(&self, lock_max: Micros) -> Option<ShadowFinding> {
        if !self.grows() || self.lock < Lock::Share {
            return None;
        }
        let level = match self.estimate_us {
            Some(estimate) if estimate > lock_max.0 => Level::Error,
            Some(_) => return None,
            None => Level::Warning,
        };
        let (id, does) = if self.rewrites {
            ("lock.rewrite", "writes every row anew")
        } else {
            ("lock.scan", "reads every row")
        };
        let known = match (self.estimate_us, self.rows_expected) {
            (Some(us), Some(rows)) => format!(
                "about {} with {rows} rows ({} with {})",
                Micros(us),
                Micros(self.took_us),
                self.rows
            ),
            _ => format!("for how long depends on its rows: --rows {}=NUMBER", self.relation),
        };
        let text =
            format!("{} {does} of {} while {}; {known}", self.statement, self.relation, self.waits);
        let subject = format!("{} {}", self.relation, self.file);
        Some(ShadowFinding::new(id, &subject, level, text).at(&self.file, self.line))
    }
}

/// A relation at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    filenode: u64,
    scans: i64,
    lock: Option<Lock>,
}

/// Watches relations that were there before the new files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    /// By object id; names may change.
    known: BTreeMap<String, State>,
    /// Of the file under way, each with when it began.
    open: Vec<(Footprint, std::time::Instant)>,
    pub(crate) done: Vec<Footprint>,
    /// Rows filled in and rows expected, by relation.
    pub(crate) rows: BTreeMap<String, (u64, u64)>,
}

/// The statement that ran.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ran<'a> {
    pub(crate) file: &'a str,
    pub(crate) line: u64,
    pub(crate) text: &'a str,
    pub(crate) took_us: u64,
    pub(crate) began: std::time::Instant,
}

impl Watch {
    pub(crate) async fn begin(database: &dyn Database) -> Result<Self, SqlError> {
        let known = read(database, RELATIONS).await?;
        let known = known.into_iter().map(|(oid, _, state)| (oid, state)).collect();
        Ok(Self { known, ..Self::default() })
    }

    /// A new transaction: nothing is locked, counters are as they are.
    pub(crate) async fn open(&mut self, database: &dyn Database) -> Result<(), SqlError> {
        self.open.clear();
        for (oid, _, state) in read(database, RELATIONS).await? {
            if let Some(known) = self.known.get_mut(&oid) {
                *known = State { lock: None, ..state };
            }
        }
        Ok(())
    }

    /// After a statement: what it did to relations that others use.
    pub(crate) async fn look(
        &mut self,
        database: &dyn Database,
        ran: Ran<'_>,
    ) -> Result<(), SqlError> {
        let sql = format!("{RELATIONS} and l.mode is not null");
        for (oid, relation, now) in read(database, &sql).await? {
            let Some(before) = self.known.get_mut(&oid) else { continue };
            let stronger = now.lock > before.lock;
            let rewrites = now.filenode != before.filenode && !is_truncate(ran.text);
            let scans = now.scans > before.scans && !is_truncate(ran.text);
            *before = now;
            let Some(lock) = now.lock.filter(|lock| *lock >= Lock::RowExclusive) else { continue };
            let holds_up = stronger && lock > Lock::RowExclusive;
            if !holds_up && !rewrites && !scans {
                continue;
            }
            let footprint = self.footprint(&relation, ran, lock);
            self.open.push((Footprint { rewrites, scans, ..footprint }, ran.began));
        }
        Ok(())
    }

    fn footprint(&self, relation: &str, ran: Ran<'_>, lock: Lock) -> Footprint {
        let (rows, rows_expected) = match self.rows.get(relation) {
            Some((rows, expected)) => (*rows, Some(*expected)),
            None => (0, None),
        };
        Footprint {
            file: ran.file.to_owned(),
            line: ran.line,
            statement: beginning(ran.text),
            relation: relation.to_owned(),
            lock,
            waits: lock.waits().to_owned(),
            rewrites: false,
            scans: false,
            took_us: ran.took_us,
            held_us: 0,
            rows,
            rows_expected,
            estimate_us: None,
        }
    }

    /// The transaction ended: now it is known how long each lock was held.
    pub(crate) fn close(&mut self, elapsed_us: impl Fn(std::time::Instant) -> u64) {
        for (mut footprint, began) in self.open.drain(..) {
            footprint.held_us = elapsed_us(began);
            footprint.estimate_us = estimate(&footprint);
            self.done.push(footprint);
        }
    }
}

/// In proportion to the rows, where it reads or writes all of them.
fn estimate(footprint: &Footprint) -> Option<u64> {
    let expected = footprint.rows_expected?;
    if !footprint.grows() {
        return Some(footprint.took_us);
    }
    let scaled =
        u128::from(footprint.took_us) * u128::from(expected) / u128::from(footprint.rows.max(1));
    (footprint.rows > 0).then(|| u64::try_from(scaled).unwrap_or(u64::MAX))
}

async fn read(
    database: &dyn Database,
    sql: &str,
) -> Result<Vec<(String, String, State)>, SqlError> {
    Ok(database.run(sql).await?.into_iter().filter_map(relation).collect())
}

fn relation(row: Row) -> Option<(String, String, State)> {
    let mut cells = row.into_iter().map(Option::unwrap_or_default);
    let (oid, name) = (cells.next()?, cells.next()?);
    let (filenode, scans) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
    let place: usize = cells.next()?.parse().ok()?;
    let lock = place.checked_sub(1).and_then(|at| Lock::ALL.get(at)).copied();
    Some((oid, name, State { filenode, scans, lock }))
}

/// TRUNCATE gives a relation a new file and new indexes, and touches no row.
fn is_truncate(text: &str) -> bool {
    text.get(..8).is_some_and(|word| word.eq_ignore_ascii_case("truncate"))
}

/// The first words of a statement, on one line.
fn beginning(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(72) {
        None => line,
        Some((at, _)) => {
            let whole = line[..at].rsplit_once(' ').map_or(&line[..at], |(whole, _)| whole);
            format!("{whole}...")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(lock: Lock, rewrites: bool, scans: bool, rows: Option<(u64, u64)>) -> Footprint {
        let ran = Ran {
            file: "m/1_a.sql",
            line: 3,
            text: "alter table t\n  alter column a type bigint",
            took_us: 100_000,
            began: crate::base::clock::monotonic(),
        };
        let mut watch = Watch::default();
        watch.rows.extend(rows.map(|rows| ("public.t".to_owned(), rows)));
        let footprint = Footprint { rewrites, scans, ..watch.footprint("public.t", ran, lock) };
        Footprint { estimate_us: estimate(&footprint), ..footprint }
    }

    #[test]
    fn long_waits_are_findings_and_short_ones_are_not() {
        use Lock::{AccessExclusive, RowExclusive, Share};
        let max = Micros::from_secs(2);
        for (footprint, level) in [
            (footprint(AccessExclusive, true, true, None), Some(Level::Warning)),
            (footprint(Share, false, true, None), Some(Level::Warning)),
            (footprint(AccessExclusive, false, false, None), None),
            (footprint(RowExclusive, false, true, None), None),
            (footprint(AccessExclusive, true, true, Some((1_000, 20_000))), None),
            (footprint(AccessExclusive, true, true, Some((1_000, 20_001))), Some(Level::Error)),
        ] {
            let found = footprint.finding(max).map(|found| found.level);
            assert_eq!(found, level, "{footprint:?}");
        }
        let long = footprint(AccessExclusive, true, true, Some((1_000, 50_000)));
        assert_eq!(
            long.finding(max).map(|found| found.message).as_deref(),
            Some(
                "alter table t alter column a type bigint writes every row anew of public.t while \
                 readers and writers wait; about 5 s with 50000 rows (100 ms with 1000)"
            )
        );
    }

    #[test]
    fn locks_are_in_the_order_of_postgres() {
        assert!(Lock::ALL.is_sorted());
        assert!(beginning(&"word ".repeat(40)).ends_with("word..."));
    }
}
