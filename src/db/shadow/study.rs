//! One look at a project on a shadow database: the old files as they are, then what the new ones
//! change. Begins at the longest run of old files whose state is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::doors::Doors;
use super::extension::Extensions;
use super::fill;
use super::finding::ShadowFinding;
use super::footprint::{Footprint, Watch};
use super::guard::Guard;
use super::mention::Mentions;
use super::migrations::Settings;
use super::ports::{Database, NoShadow, NoShadowKind, Shadow, Shadows, SqlError};
use super::replay::{FileStatus, Replay, ReplayedFile};
use super::schema_hash::schema_hash;
use super::{extension, supabase};
use crate::base::digest::Digest;
use crate::db::lint::finding::Level;
use crate::db::sql::source::Source;

/// What to look at.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Files that an earlier release has, in their order; new ones come after them.
    pub(crate) old: Vec<Source>,
    pub(crate) new: Vec<Source>,
    pub(crate) settings: Settings,
    /// One statement may take this long.
    pub(crate) statement_timeout: Duration,
    /// Rows of tables, where anybody said: the new files are measured on so many.
    pub(crate) rows: BTreeMap<String, u64>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) server_version: String,
    /// Old files, then new ones.
    pub(crate) files: Vec<ReplayedFile>,
    /// Extensions that stand-ins took the place of, and those that are missing.
    pub(crate) substitutes: Vec<String>,
    /// Of the replay itself.
    pub(crate) findings: Vec<ShadowFinding>,
    /// What the new files did to protection.
    pub(crate) protection: Vec<ShadowFinding>,
    /// Calls that the new files broke.
    pub(crate) rpc: Vec<ShadowFinding>,
    /// Functions that the API offered before the new files.
    pub(crate) functions: usize,
    /// What the new files hold up on relations that were there before.
    pub(crate) footprints: Vec<Footprint>,
    /// Of the schema after the last file; absent when not every file applied.
    pub(crate) schema_hash: Option<String>,
}

impl Shown {
    /// The first file that did not apply.
    pub(crate) fn stopped_at(&self) -> Option<&ReplayedFile> {
        self.files.iter().find(|file| file.status != FileStatus::Applied)
    }

    /// Everything that was found.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ShadowFinding> {
        self.findings.iter().chain(&self.protection).chain(&self.rpc)
    }
}

/// Why nothing was seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StudyError {
    #[error(transparent)]
    NoShadow(#[from] NoShadow),
    #[error("the shadow could not {0}: {1}")]
    Broken(&'static str, SqlError),
}

/// Looks at the project.
pub(crate) async fn study(plan: &Plan, shadows: &dyn Shadows) -> Result<Shown, StudyError> {
    let states = states(&plan.old);
    let shadow = shadows.open(&states).await?;
    let seen = look(plan, shadow.as_ref(), &states).await;
    shadow.close().await;
    seen
}

async fn look(plan: &Plan, shadow: &dyn Shadow, states: &[Digest]) -> Result<Shown, StudyError> {
    let read = |e: SqlError| StudyError::Broken("read the catalogs", e);
    let mut replay = old_files(plan, shadow, states).await?;
    let mut before = None;
    if replay.holds() {
        replay.guard = Some(Guard::begin(shadow).await.map_err(read)?);
        before = Some(Doors::look(shadow, &plan.settings.exposed).await.map_err(read)?);
        measure(plan, shadow, &mut replay).await.map_err(read)?;
    }
    replay.apply(shadow, &plan.new, plan.statement_timeout).await;
    if replay.holds() {
        for rows in &replay.filled {
            fill::empty(shadow, rows).await.map_err(read)?;
        }
    }
    let mut shown = Shown {
        server_version: shadow.version().to_owned(),
        functions: before.as_ref().map_or(0, Doors::functions),
        files: Vec::new(),
        substitutes: Vec::new(),
        findings: Vec::new(),
        protection: Vec::new(),
        rpc: Vec::new(),
        footprints: replay.watch.take().map(|watch| watch.done).unwrap_or_default(),
        schema_hash: None,
    };
    if let Some(before) = before.filter(|_| replay.holds()) {
        let after = Doors::look(shadow, &plan.settings.exposed).await.map_err(read)?;
        let mentions = Mentions::of(&plan.new);
        shown.rpc = before.broken(&after, &mentions);
        shown.protection = replay.guard.iter().flat_map(Guard::findings).collect();
        shown.protection.extend(before.opened(after, &mentions));
        shown.schema_hash = Some(schema_hash(shadow).await.map_err(read)?.to_string());
    }
    let missing = replay.extensions.unknown.keys().chain(&replay.extensions.substituted);
    shown.substitutes = missing.cloned().collect();
    shown.findings = replay.findings;
    shown.findings.extend(other_major(plan, shadow));
    shown.files = replay.files;
    Ok(shown)
}

/// From here on what statements hold up is measured, on as many rows as the tables are said to have.
async fn measure(plan: &Plan, shadow: &dyn Shadow, replay: &mut Replay) -> Result<(), SqlError> {
    if plan.new.is_empty() {
        return Ok(());
    }
    let mut watch = Watch::begin(shadow).await?;
    for (table, rows) in &plan.rows {
        let note = |why: String| {
            let text = format!("{table} was not filled, so nothing was measured on it: {why}");
            ShadowFinding::new("rows.unfit", table, Level::Warning, text)
        };
        match fill::fill(shadow, table, *rows).await {
            Ok(Some(filled)) => {
                watch.rows.insert(table.clone(), (filled.rows, *rows));
                replay.filled.push(filled);
            }
            Ok(None) => replay.findings.push(note("there is no such table before".to_owned())),
            Err(error) if error.is_of_the_server() => return Err(error),
            Err(error) => replay.findings.push(note(error.to_string())),
        }
    }
    replay.watch = Some(watch);
    Ok(())
}

/// The state of the old files: kept, or made and then kept.
async fn old_files(
    plan: &Plan,
    shadow: &dyn Shadow,
    states: &[Digest],
) -> Result<Replay, StudyError> {
    let read = |e: SqlError| StudyError::Broken("read the catalogs", e);
    let database: &dyn Database = shadow;
    let kept = shadow.kept().and_then(|(at, note)| Some((at, Note::parse(note)?)));
    let bare = kept.is_none() && !shadow.is_supabase();
    if bare {
        let made = supabase::bootstrap(database).await;
        made.map_err(|e| StudyError::Broken("make a Supabase project", e))?;
    }
    if shadow.is_supabase() {
        nothing_came_back(database).await?;
    }
    let mut replay = Replay::begin(database).await.map_err(read)?;
    replay.on_branch = shadow.is_supabase();
    let at = if let Some((at, note)) = kept {
        note.tell(&mut replay);
        at
    } else {
        keep(shadow, &states[0], &replay).await;
        0
    };
    if at < plan.old.len() {
        replay.apply(database, &plan.old[at..], plan.statement_timeout).await;
        if replay.holds() {
            keep(shadow, &states[plan.old.len()], &replay).await;
        }
    }
    Ok(replay)
}

/// What was emptied is filled again where Supabase was not done with it.
async fn nothing_came_back(database: &dyn Database) -> Result<(), StudyError> {
    let left = supabase::left(database).await;
    let left = left.map_err(|e| StudyError::Broken("read the catalogs", e))?;
    let Some(left) = left else { return Ok(()) };
    let text = format!("the branch was emptied, and Supabase filled it again: {left}");
    let again = "run it again; without --hosted-branch a local Postgres is used".to_owned();
    Err(NoShadow { kind: NoShadowKind::NotReady, text, next: vec![again] }.into())
}

async fn keep(shadow: &dyn Shadow, state: &Digest, replay: &Replay) {
    let note = serde_json::to_string(&Note::of(replay)).expect("a note is plain data");
    shadow.keep(state, &note).await;
}

/// What must be known of a kept state besides the database.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    files: Vec<ReplayedFile>,
    findings: Vec<ShadowFinding>,
    substituted: BTreeSet<String>,
    unknown: BTreeMap<String, (String, u64)>,
}

impl Note {
    fn of(replay: &Replay) -> Self {
        let Extensions { substituted, unknown, .. } = replay.extensions.clone();
        let (files, findings) = (replay.files.clone(), replay.findings.clone());
        Self { files, findings, substituted, unknown }
    }

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn tell(self, replay: &mut Replay) {
        replay.files = self.files;
        replay.findings = self.findings;
        replay.extensions.substituted = self.substituted;
        replay.extensions.unknown = self.unknown;
    }
}

/// Names of the states on the way: nothing but what Supabase has, then one more old file each.
/// What they are made by is part of the name, so that another orca makes its own.
fn states(old: &[Source]) -> Vec<Digest> {
    let mut state = Digest::of_pieces();
    for piece in [supabase::made_by(), extension::made_by(), env!("CARGO_PKG_VERSION").to_owned()] {
        state.add(piece.as_bytes());
        state.add(&[0]);
    }
    let mut states = vec![state.end()];
    for source in old {
        let mut next = Digest::of_pieces();
        next.add(states[states.len() - 1].hex().as_bytes());
        next.add(source.path.as_bytes());
        next.add(&[0]);
        next.add(source.text.as_bytes());
        states.push(next.end());
    }
    states
}

fn other_major(plan: &Plan, shadow: &dyn Shadow) -> Option<ShadowFinding> {
    let major = plan.settings.major.filter(|major| *major != shadow.major())?;
    let text = format!("the project asks for Postgres {major}, the shadow is {}", shadow.version());
    Some(ShadowFinding::new("shadow.major", "", Level::Warning, text))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::db::shadow::ports::Row;

    /// Answers everything with one cell.
    struct Answers(Option<&'static str>);

    #[async_trait]
    impl Database for Answers {
        async fn run(&self, _sql: &str) -> Result<Vec<Row>, SqlError> {
            Ok(self.0.iter().map(|cell| vec![Some((*cell).to_owned())]).collect())
        }

        async fn copy_in(&self, _sql: &str, _rows: &str) -> Result<(), SqlError> {
            unreachable!("nothing is copied")
        }
    }

    #[tokio::test]
    async fn a_branch_that_is_filled_again_decides_nothing() {
        assert_eq!(nothing_came_back(&Answers(None)).await, Ok(()));
        let error = nothing_came_back(&Answers(Some("public.notes"))).await.unwrap_err();
        assert!(error.to_string().contains("public.notes"), "{error}");
        let StudyError::NoShadow(error) = error else { panic!("{error}") };
        assert_eq!(error.kind, NoShadowKind::NotReady);
    }

    #[test]
    fn a_state_is_named_by_every_file_up_to_it() {
        let source = |name: &str, text: &str| Source::from_bytes(name, text.as_bytes().to_vec());
        let (a, b) = (source("1_a.sql", "select 1"), source("2_b.sql", "select 2"));
        let all = states(&[a.clone(), b.clone()]);
        assert_eq!(all.len(), 3);
        assert_eq!(states(std::slice::from_ref(&a)), all[..2]);
        assert_ne!(states(&[a, source("2_b.sql", "select 3")])[2], all[2]);
        assert_ne!(states(&[source("1_a.sql", "select 9"), b])[2], all[2]);
    }
}
