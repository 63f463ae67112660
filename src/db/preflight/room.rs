//! What the checks of one run share: the project is read once and replayed once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::ports::Projects;
use super::project::Project;
use crate::base::limits;
use crate::db::shadow::ports::{NoShadowKind, Shadows};
use crate::db::shadow::study::{Plan, Shown, StudyError, study};
use crate::gate::check::Unseen;
use crate::gate::verdict::Cause;

/// One run.
pub(crate) struct Room {
    projects: Arc<dyn Projects>,
    shadows: Arc<dyn Shadows>,
    statement_timeout: Duration,
    /// Rows of tables, to measure on; the target knows others.
    rows: BTreeMap<String, u64>,
    project: OnceCell<Result<Arc<Project>, Unseen>>,
    shown: OnceCell<Result<Arc<Shown>, Unseen>>,
}

impl Room {
    pub(crate) fn new(
        projects: Arc<dyn Projects>,
        shadows: Arc<dyn Shadows>,
        (statement_timeout, rows): (Duration, BTreeMap<String, u64>),
    ) -> Self {
        let (project, shown) = (OnceCell::new(), OnceCell::new());
        Self { projects, shadows, statement_timeout, rows, project, shown }
    }

    /// Time for a check that asks for what was shown.
    pub(super) fn timeout(&self) -> Duration {
        limits::CHECK + self.shadows.patience()
    }

    /// The project, read by whoever asks first.
    pub(super) async fn project(&self) -> Result<Arc<Project>, Unseen> {
        let read = || async { self.projects.read().await.map(Arc::new) };
        self.project.get_or_init(read).await.clone()
    }

    /// What the shadow showed; nothing without a migration.
    pub(super) async fn shown(&self) -> Result<Option<Arc<Shown>>, Unseen> {
        let project = self.project().await?;
        if project.files.is_empty() {
            return Ok(None);
        }
        let look = || async {
            let (old, new) = project.split();
            let statement_timeout = self.statement_timeout;
            let rows = project.rows_of(&new, &self.rows);
            let settings = project.settings.clone();
            let plan = Plan { old, new, settings, statement_timeout, rows };
            study(&plan, self.shadows.as_ref()).await.map(Arc::new).map_err(unseen)
        };
        self.shown.get_or_init(look).await.clone().map(Some)
    }
}

fn unseen(error: StudyError) -> Unseen {
    let again = "run it again; ORCA_PG_BIN chooses another Postgres";
    match error {
        StudyError::Broken(..) => Unseen::new(Cause::Unobserved, error.to_string(), again),
        StudyError::NoShadow(error) => {
            let cause = match error.kind {
                NoShadowKind::Missing => Cause::NoData,
                NoShadowKind::Unusable
                | NoShadowKind::Unreachable
                | NoShadowKind::Limited
                | NoShadowKind::Unanswered
                | NoShadowKind::NotReady => Cause::Unobserved,
                NoShadowKind::IsTheTarget | NoShadowKind::Denied | NoShadowKind::Refused => {
                    Cause::Denied
                }
            };
            Unseen::new(cause, error.text, error.next.join("; or "))
        }
    }
}
