//! What stands open, and which calls work, before and after the new files: only what they change is
//! theirs.

use std::collections::BTreeSet;

use super::finding::ShadowFinding;
use super::mention::Mentions;
use super::ports::{Database, SqlError};
use crate::db::lint::finding::Level;
use crate::db::probe::attempts::probe;
use crate::db::protection::lints::lints;
use crate::db::rpc::contract::{Function, breaks};
use crate::db::rpc::functions::functions;

/// The state at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doors {
    open: Vec<ShadowFinding>,
    functions: Vec<Function>,
}

impl Doors {
    /// Looks at the schemas that the API shows.
    pub(crate) async fn look(
        database: &dyn Database,
        exposed: &[String],
    ) -> Result<Self, SqlError> {
        // As PostgREST keeps them; the questions below read it.
        let schemas = exposed.join(",").replace('\'', "''");
        let told = format!("select pg_catalog.set_config('pgrst.db_schemas', '{schemas}', false)");
        database.run(&told).await?;
        let mut open = lints(database).await?;
        open.extend(probe(database).await?);
        Ok(Self { open, functions: functions(database).await? })
    }

    /// How many functions the API offers.
    pub(crate) const fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Calls that worked and do not `after`.
    pub(crate) fn broken(&self, after: &Self, mentions: &Mentions) -> Vec<ShadowFinding> {
        let breaks = breaks(&self.functions, &after.functions).into_iter();
        let found = breaks.map(|broken| {
            let message = format!("{}: {}", broken.call, broken.message);
            ShadowFinding::new("rpc.break", &broken.call, Level::Error, message)
        });
        placed(found.collect(), mentions)
    }

    /// Doors that are open `after` and were not before.
    pub(crate) fn opened(self, after: Self, mentions: &Mentions) -> Vec<ShadowFinding> {
        let known: BTreeSet<String> = self.open.into_iter().map(|f| f.key).collect();
        placed(after.open.into_iter().filter(|f| !known.contains(&f.key)).collect(), mentions)
    }
}

fn placed(mut found: Vec<ShadowFinding>, mentions: &Mentions) -> Vec<ShadowFinding> {
    for finding in &mut found {
        let subject = finding.key.split_once(':').map_or("", |(_, subject)| subject);
        let Some((file, line)) = mentions.place(subject) else { continue };
        finding.file = Some(file.to_owned());
        finding.line = Some(line);
    }
    found
}
