//! Migrations in their order: one transaction a file, settings reset before each, statements one by
//! one so that an error has its place in the real file. Statements that refuse a transaction run
//! outside of one, and are reported.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extension::{Extensions, Treatment};
use super::fill::{self, Filled};
use super::finding::ShadowFinding;
use super::footprint::{Ran, Watch};
use super::guard::Guard;
use super::own::Own;
use super::ports::{Database, SqlError};
use super::supabase::SETTINGS;
use crate::base::clock;
use crate::db::lint::finding::Level;
use crate::db::lint::rules::refuses_transaction;
use crate::db::sql::place::Places;
use crate::db::sql::script::Script;
use crate::db::sql::source::Source;
use crate::db::sql::statement::Statement;

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FileStatus {
    Applied,
    Failed,
    /// It could not be decided: the server failed, an extension is missing, or a branch was not empty.
    Inconclusive,
    /// A file before it did not apply.
    NotRun,
    /// Its name is no migration's.
    Skipped,
}

/// One file of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReplayedFile {
    pub(crate) file: String,
    pub(crate) status: FileStatus,
    /// Statements that ran.
    pub(crate) statements: usize,
    pub(crate) duration_us: u64,
}

/// What a replay did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replay {
    pub(crate) files: Vec<ReplayedFile>,
    pub(crate) findings: Vec<ShadowFinding>,
    pub(crate) extensions: Extensions,
    /// On a preview branch, which began with what production has: not all of that is surely gone.
    pub(crate) on_branch: bool,
    /// Watches what guards rows, from when it is set.
    pub(crate) guard: Option<Guard>,
    /// Rows that are there to be measured on.
    pub(crate) filled: Vec<Filled>,
    /// Measures what statements hold up, from when it is set.
    pub(crate) watch: Option<Watch>,
}

impl Replay {
    /// Asks the server what it has.
    pub(crate) async fn begin(database: &dyn Database) -> Result<Self, SqlError> {
        let rows = database.run("select name from pg_catalog.pg_available_extensions").await?;
        let available = rows.into_iter().filter_map(|row| row.into_iter().next()?).collect();
        let extensions = Extensions { available, ..Extensions::default() };
        Ok(Self { extensions, ..Self::default() })
    }

    /// Whether every file so far applied.
    pub(crate) fn holds(&self) -> bool {
        self.files.iter().all(|f| f.status == FileStatus::Applied)
    }

    /// Replays `files` after those before; stops at the first that does not apply.
    pub(crate) async fn apply(
        &mut self,
        database: &dyn Database,
        files: &[Source],
        statement_timeout: Duration,
    ) {
        for source in files {
            if !self.holds() {
                self.note(source, FileStatus::NotRun, 0, 0);
                continue;
            }
            let start = clock::monotonic();
            let (ran, ended) = self.file(database, source, statement_timeout).await;
            self.note(source, ended, ran, clock::elapsed_us(start));
        }
    }

    fn note(&mut self, source: &Source, status: FileStatus, statements: usize, duration_us: u64) {
        let file = source.path.clone();
        self.files.push(ReplayedFile { file, status, statements, duration_us });
    }

    async fn file(
        &mut self,
        database: &dyn Database,
        source: &Source,
        statement_timeout: Duration,
    ) -> (usize, FileStatus) {
        let script = Script::parse(&source.text);
        let places = Places::new(&source.text);
        let broken = script.broken.iter().map(|b| (b.at, b.why)).min();
        if let Some((at, why)) = source.bad.or(broken) {
            return (0, self.failed(source, &places, at, &format!("this {why}")));
        }
        let mut file = File { database, source, script: &script, places: &places, ran: 0 };
        let ended = self.guarded(&mut file, statement_timeout).await;
        let ran = file.ran;
        match ended {
            Ok(()) => (ran, FileStatus::Applied),
            Err((at, error)) => {
                // The connection may be gone; then there is nothing to roll back.
                let _ = database.run("rollback").await;
                if error.is_of_the_rows() && self.without_rows(database, source, &error).await {
                    return Box::pin(self.file(database, source, statement_timeout)).await;
                }
                (ran, self.broke(source, &places, at, &error))
            }
        }
    }

    /// The file, with a look at what it takes away.
    async fn guarded(
        &mut self,
        file: &mut File<'_>,
        statement_timeout: Duration,
    ) -> Result<(), Placed> {
        let at_start = |error| (0, error);
        let database = file.database;
        let touching = match &mut self.guard {
            Some(guard) => guard.before(database, file.script).await.map_err(at_start)?,
            None => false,
        };
        file.open(statement_timeout).await.map_err(at_start)?;
        self.open_watch(database).await.map_err(at_start)?;
        file.statements(self).await?;
        match self.guard.as_mut().filter(|_| touching) {
            Some(guard) => guard.after(database, file.source).await.map_err(at_start),
            None => Ok(()),
        }
    }

    async fn open_watch(&mut self, database: &dyn Database) -> Result<(), SqlError> {
        match &mut self.watch {
            Some(watch) => watch.open(database).await,
            None => Ok(()),
        }
    }

    /// Rows that were filled in may break a rule that the real ones keep: the file runs again
    /// without them. Answers whether there were any.
    async fn without_rows(
        &mut self,
        database: &dyn Database,
        source: &Source,
        error: &SqlError,
    ) -> bool {
        let filled = std::mem::take(&mut self.filled);
        for rows in &filled {
            if fill::empty(database, rows).await.is_err() {
                return false;
            }
        }
        if let Some(watch) = &mut self.watch {
            watch.rows.clear();
        }
        if !filled.is_empty() {
            let text = format!("not measured: the rows that were filled in break it: {error}");
            let finding = ShadowFinding::new("rows.unfit", &source.path, Level::Warning, text);
            self.findings.push(finding.at(&source.path, 1));
        }
        !filled.is_empty()
    }

    fn failed(&mut self, source: &Source, places: &Places<'_>, at: usize, why: &str) -> FileStatus {
        let finding = ShadowFinding::new("replay.failed", &source.path, Level::Error, why);
        self.findings.push(finding.at(&source.path, places.of(at).0));
        FileStatus::Failed
    }

    fn broke(
        &mut self,
        source: &Source,
        places: &Places<'_>,
        at: usize,
        error: &SqlError,
    ) -> FileStatus {
        let mut why = error.to_string();
        if let Some(hint) = &error.hint {
            why.push_str(&format!("; {hint}"));
        }
        let missing: Vec<&str> = self.extensions.unknown.keys().map(String::as_str).collect();
        let (id, why) = match () {
            () if error.is_of_the_server() => ("replay.server", why),
            () if self.on_branch && error.is_there_already() => {
                ("branch.left", format!("may be left of what the branch began with: {why}"))
            }
            () if error.is_undefined() && !missing.is_empty() => {
                let names = missing.join(", ");
                (
                    "extension.needed",
                    format!("needs an extension that is not here ({names}): {why}"),
                )
            }
            () => return self.failed(source, places, at, &why),
        };
        let finding = ShadowFinding::new(id, &source.path, Level::Warning, why);
        self.findings.push(finding.at(&source.path, places.of(at).0));
        FileStatus::Inconclusive
    }
}

/// A transaction ended: its locks are free.
fn close(replay: &mut Replay) {
    if let Some(watch) = &mut replay.watch {
        watch.close(clock::elapsed_us);
    }
}

/// The file at hand.
struct File<'a> {
    database: &'a dyn Database,
    source: &'a Source,
    script: &'a Script<'a>,
    places: &'a Places<'a>,
    ran: usize,
}

/// An error with the byte of the file where it stands.
type Placed = (usize, SqlError);

impl File<'_> {
    /// Dumps leave settings behind; every file begins with those of the database.
    async fn open(&self, statement_timeout: Duration) -> Result<(), SqlError> {
        let millis = statement_timeout.as_millis();
        self.database.run(SETTINGS).await?;
        self.database.run(&format!("set statement_timeout = {millis}")).await?;
        self.database.run("begin").await.map(drop)
    }

    async fn statements(&mut self, replay: &mut Replay) -> Result<(), Placed> {
        let alone = self.script.statements().len() == 1;
        let mut own = Own::default();
        let mut rows = self.script.rows.iter().peekable();
        for (number, statement) in self.script.statements().enumerate() {
            let rows = rows.next_if(|(of, _)| *of == number).map(|(_, range)| range.clone());
            match replay.extensions.treat(statement) {
                Treatment::Skip => continue,
                Treatment::Unknown(name) => self.unknown(replay, statement, name),
                Treatment::Substitute(name, sql) => {
                    self.run(statement, &sql).await?;
                    self.substituted(replay, statement, name);
                }
                Treatment::OrSubstitute(name, sql) => {
                    self.run(statement, "savepoint extension").await?;
                    match self.run(statement, self.text(statement)).await {
                        Err((_, error)) if !error.is_of_the_server() => {
                            self.run(statement, "rollback to savepoint extension").await?;
                            self.run(statement, &sql).await?;
                            self.substituted(replay, statement, name);
                        }
                        ran => ran?,
                    }
                }
                Treatment::AsItIs => match refuses_transaction(statement) {
                    Some(what) => self.outside(replay, statement, what, alone).await?,
                    None if own.covers(statement, &|_, _| false) => {
                        self.one(statement, rows).await?;
                    }
                    None => self.measured(replay, statement, rows).await?,
                },
            }
            self.ran += 1;
        }
        let end = self.source.text.len();
        self.database.run("commit").await.map_err(|error| (end, error))?;
        close(replay);
        Ok(())
    }

    /// Runs a statement; while somebody watches, what it holds up is noted.
    async fn measured(
        &self,
        replay: &mut Replay,
        statement: Statement<'_>,
        rows: Option<std::ops::Range<usize>>,
    ) -> Result<(), Placed> {
        let began = clock::monotonic();
        self.one(statement, rows).await?;
        let quiet = ["set", "reset", "begin", "commit", "comment"];
        let Some(watch) = &mut replay.watch else { return Ok(()) };
        if quiet.iter().any(|word| statement.starts(&[word])) {
            return Ok(());
        }
        let start = statement.range().start;
        let ran = Ran {
            file: &self.source.path,
            line: self.places.of(start).0,
            text: self.text(statement),
            took_us: clock::elapsed_us(began),
            began,
        };
        watch.look(self.database, ran).await.map_err(|error| (start, error))
    }

    async fn one(
        &self,
        statement: Statement<'_>,
        rows: Option<std::ops::Range<usize>>,
    ) -> Result<(), Placed> {
        if !statement.is_copy_from_stdin() {
            return self.run(statement, self.text(statement)).await;
        }
        let rows = rows.map_or("", |range| &self.source.text[range]);
        let rows = rows.trim_end_matches(['\r', '\n']).trim_end_matches("\\.");
        let copied = self.database.copy_in(self.text(statement), rows).await;
        copied.map_err(|error| (statement.range().start, error))
    }

    /// Postgres refuses these inside a transaction, so the file is not atomic.
    async fn outside(
        &self,
        replay: &mut Replay,
        statement: Statement<'_>,
        what: &str,
        alone: bool,
    ) -> Result<(), Placed> {
        self.run(statement, "commit").await?;
        close(replay);
        self.run(statement, self.text(statement)).await?;
        self.run(statement, "begin").await?;
        let start = statement.range().start;
        replay.open_watch(self.database).await.map_err(|error| (start, error))?;
        let (level, why) = if alone {
            (Level::Warning, "ran outside of a transaction; supabase db push refuses it")
        } else {
            (Level::Error, "cannot run in the transaction of its file: put it alone into one")
        };
        self.note(
            replay,
            statement,
            ("replay.transaction", what),
            (level, format!("{what} {why}")),
        );
        Ok(())
    }

    fn substituted(&self, replay: &mut Replay, statement: Statement<'_>, name: String) {
        let text =
            format!("{name} is not on this server; stand-ins that do nothing took its place");
        self.note(replay, statement, ("extension.substitute", &name), (Level::Warning, text));
        replay.extensions.substituted.insert(name);
    }

    fn unknown(&self, replay: &mut Replay, statement: Statement<'_>, name: String) {
        let text = format!("{name} is not on this server and has no stand-in");
        self.note(replay, statement, ("extension.unknown", &name), (Level::Warning, text));
        let place = (self.source.path.clone(), self.places.of(statement.range().start).0);
        replay.extensions.unknown.entry(name).or_insert(place);
    }

    fn note(
        &self,
        replay: &mut Replay,
        statement: Statement<'_>,
        (id, subject): (&'static str, &str),
        (level, text): (Level, String),
    ) {
        let line = self.places.of(statement.range().start).0;
        let subject = match id {
            "replay.transaction" => format!("{}:{subject}", self.source.path),
            _ => subject.to_owned(),
        };
        let finding = ShadowFinding::new(id, &subject, level, text);
        replay.findings.push(finding.at(&self.source.path, line));
    }

    fn text(&self, statement: Statement<'_>) -> &str {
        &self.source.text[statement.range()]
    }

    async fn run(&self, statement: Statement<'_>, sql: &str) -> Result<(), Placed> {
        let Err(error) = self.database.run(sql).await else { return Ok(()) };
        let start = statement.range().start;
        let characters = error.position.filter(|_| sql == self.text(statement)).unwrap_or(1);
        let inner = sql.char_indices().nth(characters - 1).map_or(0, |(byte, _)| byte);
        Err((start + inner, error))
    }
}
