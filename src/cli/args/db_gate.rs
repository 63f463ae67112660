//! What `orca preflight` can be told about migrations.

use crate::base::redact::Secret;
use crate::cli::config::resolve::Config;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::wire_db_gate::{self, Asked};
use crate::db::shadow::fill::RowsOf;
use crate::verbs::ship::PhaseGate;
use crate::verbs::tag_rc::SharedRepository;

#[derive(Debug, clap::Args)]
pub(crate) struct DbGate {
    /// Migrations that this commit, tag or branch has are old [default: the last final tag]; a
    /// ruling since anything else is shown and kept, and opens nothing
    #[arg(long, value_name = "REF", help_heading = "Migrations")]
    since: Option<String>,

    #[arg(
        long,
        value_name = "URL",
        help_heading = "Migrations",
        help = "Ask this database which migrations it has [env: ORCA_TARGET_URL]"
    )]
    target_url: Option<String>,

    #[arg(
        long,
        value_name = "URL",
        help_heading = "Migrations",
        help = "A server to make the shadow database on, instead of a throwaway one [env: ORCA_SHADOW_URL]"
    )]
    shadow_url: Option<String>,

    /// Fill this table before the new migrations and measure them on it
    #[arg(long, value_name = "TABLE=NUMBER", help_heading = "Migrations")]
    rows: Vec<RowsOf>,
}

impl DbGate {
    /// The gate of migrations, where there is one.
    pub(crate) async fn gate(
        &self,
        context: &Context,
        config: &Config,
        repository: &SharedRepository,
    ) -> Result<Option<PhaseGate>, Failure> {
        let asked = Asked {
            since: self.since.clone(),
            target_url: self.target_url.as_deref().map(Secret::new),
            shadow_url: self.shadow_url.as_deref().map(Secret::new),
            rows: self.rows.clone(),
        };
        wire_db_gate::gate(context, config, repository, &asked).await
    }
}
