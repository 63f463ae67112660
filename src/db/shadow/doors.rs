//! What stands open, and which calls work, before and after the new files: only what they change is
//! theirs.

use std::collections::BTreeSet;

use super::finding::ShadowFinding;
use super::mention::Mentions;
use super::ports::{Database, SqlError};
use crate::db::lint::finding::Level;
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
    pub(crate) async fn look(database: &dyn Database) -> Result<Self, SqlError> {
        Ok(Self { open: lints(database).await?, functions: functions(database).await? })
    }

    /// Doors that are open in `after` and were not before, and calls that broke.
    pub(crate) fn opened(self, after: Self, mentions: &Mentions) -> Vec<ShadowFinding> {
        let known: BTreeSet<String> = self.open.into_iter().map(|f| f.key).collect();
        let mut found: Vec<ShadowFinding> =
            after.open.into_iter().filter(|f| !known.contains(&f.key)).collect();
        for broken in breaks(&self.functions, &after.functions) {
            let message = format!("{}: {}", broken.call, broken.message);
            found.push(ShadowFinding::new("rpc.break", &broken.call, Level::Error, message));
        }
        for finding in &mut found {
            let subject = finding.key.split_once(':').map_or("", |(_, subject)| subject);
            let Some((file, line)) = mentions.place(subject) else { continue };
            finding.file = Some(file.to_owned());
            finding.line = Some(line);
        }
        found
    }
}
