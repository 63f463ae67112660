//! `orca env sync`: a file's variables become those of an environment on Vercel, compared by key.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::place::set_project;
use super::typed::typed;
use crate::base::call_made::CallMade;
use crate::base::dotenv::{self, Variable};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::{ledger, table};
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet, wire_platform};
use crate::verbs::book::Sync;
use crate::verbs::env_sync::{Change, EnvSync, Kind, SyncError, VariablesError};

#[derive(Debug, Clone, clap::Args)]
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
    /// Others that share it: environments, and custom ones by their id.
    also: Vec<String>,
}

impl From<&Change> for VariableDocument {
    fn from(change: &Change) -> Self {
        Self {
            key: change.key.clone(),
            change: change.kind.as_str(),
            line: change.line,
            also: change.sharers(),
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
    let exit = match &shared {
        Some(Sync::Unwritten(_)) => Exit::PartDone,
        _ => Exit::Done,
    };
    let report = Report::new(exit, "orca.env-sync/v1", &document, human);
    Ok(next(report, args, &changes))
}

/// The plain run of a dry run, as it was typed; and what a change asks for.
fn next(report: Report, args: &Args, changes: &[Change]) -> Report {
    let shared = || changes.iter().filter(|change| change.kind == Kind::Shared);
    let changes_any = changes.iter().any(|change| change.kind.changes());
    match args.dry_run {
        true if shared().any(|change| !change.custom.is_empty()) => {
            report.next("split the shared ones in the project's settings, then run it again")
        }
        true if shared().next().is_some() => {
            let shared = Args { shared: true, ..args.clone() };
            report.next(format!("{} changes them there too", command(&shared)))
        }
        true if changes_any => report.next(command(args)),
        false if changes_any => report.next(
            "orca deploy blue-green --rebuild: deployments that are there keep the old values",
        ),
        _ => report,
    }
}

/// The same without `--dry-run`.
fn command(args: &Args) -> String {
    let mut words = vec!["orca env sync --env".to_owned(), args.env.as_str().to_owned()];
    if let Some(file) = &args.from {
        words.extend(["--from".to_owned(), typed(&file.to_string_lossy()).into_owned()]);
    }
    if let Some(project) = &args.project {
        words.extend(["--project".to_owned(), typed(project).into_owned()]);
    }
    let flags =
        [("--prune", args.prune), ("--shared", args.shared), ("--sensitive", args.sensitive)];
    words
        .extend(flags.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| (*name).to_owned()));
    words.join(" ")
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
    let shared = match (shared, dry_run) {
        (0, _) => String::new(),
        (count, true) => format!(", {count} shared: the plain run would refuse everything"),
        (count, false) => format!(", {count} shared and refused"),
    };
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
            let does = if change.custom.is_empty() { "; --shared does it" } else { "" };
            format!("it would change in {} too{does}", change.sharers().join(", "))
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
            SyncError::Shared { is_custom: true, .. } => {
                Self::new(Code::VariablesShared, Exit::Closed, text).hint(
                    "split what custom environments share in the project's settings: orca never \
                     changes those",
                )
            }
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
            SyncError::Variables(error) => of_variables(&error, text),
            // Whatever it was: something may be changed, and running it again finds out.
            SyncError::Begun(error) => {
                let mut failure = of_variables(&error, text);
                failure.exit = Exit::PartDone;
                failure.hints.insert(0, AGAIN.to_owned());
                failure
            }
        }
    }
}

/// Why nothing was changed.
fn of_variables(error: &VariablesError, text: String) -> Failure {
    match error {
        VariablesError::NoAccess(_) => Failure::new(Code::VercelAccess, Exit::Unavailable, text)
            .hint("make a token for the team and export VERCEL_TOKEN")
            .hint("see that VERCEL_ORG_ID and VERCEL_PROJECT_ID name team and project"),
        VariablesError::NotInPlan(_) => Failure::new(Code::VercelPlan, Exit::Closed, text)
            .hint("see the limits of your plan in the dashboard"),
        VariablesError::Refused(_) => Failure::new(Code::PlatformRefused, Exit::Closed, text)
            .hint("see the file and the project's settings; its log in the dashboard says more"),
        VariablesError::Unavailable(_) => {
            Failure::new(Code::PlatformUnavailable, Exit::Unavailable, text)
                .hint("see whether the platform answers, then run it again")
        }
    }
}
