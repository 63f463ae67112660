//! Watches what guards rows while files are replayed, and keeps each loss with the file that made it.

use super::finding::ShadowFinding;
use super::mention::Mentions;
use super::own::Own;
use super::ports::{Database, SqlError};
use crate::db::protection::diff::{Loss, losses};
use crate::db::protection::snapshot::Snapshot;
use crate::db::sql::script::Script;
use crate::db::sql::source::Source;
use crate::db::sql::statement::{Name, Statement};

/// What was known, and what was lost since.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    known: Snapshot,
    now: Snapshot,
    losses: Vec<(Loss, Source)>,
    /// Files since the last look made something that is not in `now`.
    stale: bool,
}

impl Guard {
    /// From here on: what happened before is as it is.
    pub(crate) async fn begin(database: &dyn Database) -> Result<Self, SqlError> {
        let now = Snapshot::read(database).await?;
        Ok(Self { known: now.clone(), now, ..Self::default() })
    }

    /// Before a file: answers whether to look after it, for it could change what was there before.
    pub(crate) async fn before(
        &mut self,
        database: &dyn Database,
        script: &Script<'_>,
    ) -> Result<bool, SqlError> {
        let mut own = Own::default();
        let was = |name: &Name, function: bool| self.knows(name, function);
        // Every statement is asked, for each may make something.
        let touching =
            script.statements().filter(|s| !own.covers(*s, &was) && touches(*s)).count() > 0;
        if touching && std::mem::take(&mut self.stale) {
            self.now = Snapshot::read(database).await?;
            self.known.remember(&self.now);
        }
        self.stale |= !touching;
        Ok(touching)
    }

    /// After such a file.
    pub(crate) async fn after(
        &mut self,
        database: &dyn Database,
        source: &Source,
    ) -> Result<(), SqlError> {
        self.now = Snapshot::read(database).await?;
        let lost = losses(&self.known, &self.now);
        self.losses.extend(lost.into_iter().map(|loss| (loss, source.clone())));
        self.known.remember(&self.now);
        for (loss, _) in self.losses.iter().filter(|(loss, _)| loss.now.is_empty()) {
            self.known.0.remove(&loss.subject);
        }
        Ok(())
    }

    /// Whether something of that name is there, or was before it was dropped.
    fn knows(&self, name: &Name, function: bool) -> bool {
        self.known.0.keys().any(|subject| {
            let whole = subject.name.strip_prefix("public.").unwrap_or(&subject.name);
            let plain = whole.split('(').next().unwrap_or(whole);
            (subject.kind == "function") == function && plain == name.as_str()
        })
    }

    /// Losses that no later file repaired.
    pub(crate) fn findings(&self) -> Vec<ShadowFinding> {
        let stands = |loss: &Loss| match self.now.0.get(&loss.subject) {
            Some(value) => *value == loss.now,
            None => loss.now.is_empty(),
        };
        let lost = self.losses.iter().filter(|(loss, _)| stands(loss));
        lost.map(|(loss, source)| finding(loss, source)).collect()
    }
}

fn finding(loss: &Loss, source: &Source) -> ShadowFinding {
    let subject = format!("{} {}", loss.subject.name, loss.subject.attribute);
    let line =
        Mentions::of(std::slice::from_ref(source)).place(&loss.subject.name).map_or(1, |(_, l)| l);
    ShadowFinding::new(loss.id, &subject, loss.level, loss.message.clone()).at(&source.path, line)
}

/// What only makes tables, indexes and rows guards nothing and opens nothing that was guarded.
fn touches(statement: Statement<'_>) -> bool {
    let slight =
        ["insert", "update", "delete", "select", "comment", "set", "begin", "commit", "copy"];
    let made = ["table", "index", "unique", "type", "extension", "sequence", "domain", "trigger"];
    let is_slight = slight.iter().any(|word| statement.starts(&[word]));
    let is_made = made.iter().any(|word| statement.starts(&["create", word]));
    !is_slight && !is_made
}
