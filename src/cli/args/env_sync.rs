//! `orca env sync`: a file's variables become those of an environment on Vercel, compared by key.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::rollback::set_project;
use crate::base::call_made::CallMade;
use crate::base::dotenv::{self, Variable};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::{ledger, table};
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet, wire_platform};
use crate::verbs::env_sync::{Change, EnvSync, Kind, SyncError, VariablesError};

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Whose variables: production, preview or development
    #[arg(long, value_name = "NAME")]
    env: Target,

    /// The file; `.env.` and the environment's name unless given
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// The project on Vercel, unless orca.yaml or `VERCEL_PROJECT_ID` names it
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,

    /// Remove variables that the file does not name
    #[arg(long)]
    prune: bool,

    /// Change variables that other environments share, there too
    #[arg(long)]
    shared: bool,

    /// Make new variables sensitive: nobody can read them back, not even orca
    #[arg(long)]
    sensitive: bool,

    /// Show what differs, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    Production,
    Preview,
    Development,
}

impl Target {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Preview => "preview",
            Self::Development => "development",
        }
    }
}

/// What differed, and what was done about it. Names, and never values.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EnvSyncDocument {
    dry_run: bool,
    env: &'static str,
    file: String,
    variables: Vec<VariableDocument>,
    /// Whether everything that can be read back is as the file says; absent on a dry run.
    verified: Option<bool>,
    headline: String,
    /// The calls to the platform, in their order.
    calls: Vec<CallMade>,
    /// `synced`, `no remote` or `pending: ...`.
    ledger: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VariableDocument {
    key: String,
    /// `added`, `changed`, `set_again` (it cannot be read back), `unchanged`, `left_alone`, `removed`
    /// or `shared` (it would change in other environments too).
    change: &'static str,
    /// The line of the file, where it names it.
    line: Option<u64>,
    /// Other environments that share it.
    also: Vec<String>,
}

impl From<&Change> for VariableDocument {
    fn from(change: &Change) -> Self {
        Self {
            key: change.key.clone(),
            change: change.kind.as_str(),
            line: change.line,
            also: change.also.clone(),
        }
    }
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let mut config = wire::load_config_or_default(context)?;
    set_project(&mut config, args.project.as_ref());
    let target = args.env.as_str();
    let name = args.from.clone().unwrap_or_else(|| format!(".env.{target}").into());
    let file = dotenv::read(&context.folder.join(&name)).map_err(|mut error| {
        error.file.clone_from(&name);
        Failure::from(error)
    })?;
    learn(&file, context);
    if args.sensitive && args.env == Target::Development {
        let text = "variables of development cannot be sensitive";
        return Err(Failure::new(Code::Usage, Exit::Usage, text).hint("leave out --sensitive"));
    }
    let variables = wire_platform::variables(context, &config)?;
    let sync = EnvSync {
        variables: variables.as_ref(),
        book: wire_fleet::book(context, &config)?,
        environment: config.environment.value.clone(),
        target: target.to_owned(),
        file,
        prunes: args.prune,
        shares: args.shared,
        new_kind: if args.sensitive { "sensitive" } else { "encrypted" }.to_owned(),
        tell: wire_fleet::tell(context),
    };
    let (changes, verified, shared) = if args.dry_run {
        (sync.plan().await?.0, None, None)
    } else {
        let synced = sync.run().await?;
        (synced.changes, Some(synced.verified), Some(synced.ledger))
    };
    let headline = headline(&changes, args.dry_run);
    let mut human = format!("{headline}\n\n{}", shown(&changes, context.columns));
    human.push_str(&shared.as_ref().map(ledger::line).unwrap_or_default());
    let document = EnvSyncDocument {
        dry_run: args.dry_run,
        env: target,
        file: name.display().to_string(),
        variables: changes.iter().map(Into::into).collect(),
        verified,
        headline,
        calls: variables.calls(),
        ledger: shared.as_ref().map(ledger::word),
    };
    let report = Report::new(Exit::Done, "orca.env-sync/v1", &document, human);
    Ok(match (args.dry_run, changes.iter().any(|change| change.kind.changes())) {
        (true, true) => report.next(format!("orca env sync --env {target}")),
        (false, true) => report.next(
            "orca deploy blue-green --rebuild: deployments that are there keep the old values",
        ),
        (_, false) => report,
    })
}

/// Every value is a secret from here on. Words that orca itself says are none.
fn learn(file: &[Variable], context: &Context) {
    let words = ["production", "preview", "development"];
    let is_word = |value: &str| {
        words.contains(&value) || file.iter().any(|variable| variable.key.contains(value))
    };
    for variable in file.iter().filter(|variable| !is_word(variable.value.expose())) {
        context.redactor.learn(&variable.value);
        context.redactor.learn_url(variable.value.expose());
    }
}

fn headline(changes: &[Change], dry_run: bool) -> String {
    let count = |wanted: &[Kind]| changes.iter().filter(|c| wanted.contains(&c.kind)).count();
    let (added, changed) = (count(&[Kind::Added]), count(&[Kind::Changed, Kind::SetAgain]));
    let (removed, rest) = (count(&[Kind::Removed]), count(&[Kind::LeftAlone]));
    let shared = count(&[Kind::Shared]);
    let would = if dry_run { "would be " } else { "" };
    let shared = if shared > 0 { format!(", {shared} shared and refused") } else { String::new() };
    format!(
        "{added} {would}added, {changed} {would}changed, {removed} {would}removed, {rest} left \
         alone{shared}"
    )
}

fn shown(changes: &[Change], columns: usize) -> String {
    let why = |change: &Change| match change.kind {
        Kind::SetAgain => "it is sensitive and cannot be read back or compared".to_owned(),
        Kind::LeftAlone => "the file does not name it; --prune removes it".to_owned(),
        Kind::Shared => {
            format!("it would change in {} too; --shared does it", change.also.join(", "))
        }
        _ => change.line.map(|line| format!("line {line}")).unwrap_or_default(),
    };
    let row = |change: &Change| {
        vec![change.key.clone(), change.kind.as_str().replace('_', " "), why(change)]
    };
    let rows: Vec<Vec<String>> = changes.iter().map(row).collect();
    table::table(&["variable", "change", "why"], &rows, columns)
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        const AGAIN: &str = "run it again: it compares anew, and setting twice is setting once";
        let text = error.to_string();
        match error {
            SyncError::Book(error) => error.into(),
            SyncError::Shared { .. } => Self::new(Code::VariablesShared, Exit::Closed, text)
                .hint("orca env sync --shared changes them everywhere")
                .hint("or split them in the project's settings, one for each environment"),
            SyncError::Unset { unset, of } => {
                let exit = if unset.len() < of { Exit::PartDone } else { Exit::Closed };
                Self::new(Code::VariablesUnset, exit, text)
                    .hint("correct these in the file, then run it again")
            }
            SyncError::Differs { .. } => {
                Self::new(Code::VariablesDiffer, Exit::PartDone, text).hint(AGAIN)
            }
            SyncError::Variables(error) => match error {
                VariablesError::NoAccess(_) => {
                    Self::new(Code::VercelAccess, Exit::Unavailable, text)
                        .hint("make a token for the team and export VERCEL_TOKEN")
                        .hint("see that VERCEL_ORG_ID and VERCEL_PROJECT_ID name team and project")
                }
                VariablesError::NotInPlan(_) => Self::new(Code::VercelPlan, Exit::Closed, text)
                    .hint("see the limits of your plan in the dashboard"),
                VariablesError::Refused(_) => {
                    Self::new(Code::PlatformRefused, Exit::Closed, text).hint(AGAIN)
                }
                VariablesError::Unavailable(_) => {
                    Self::new(Code::PlatformUnavailable, Exit::PartDone, text).hint(AGAIN)
                }
            },
        }
    }
}
