//! `orca release`: what would be released, and how it reads.

use std::path::Path;

use clap::{Subcommand, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::{release_status, release_tag};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::{Annotation, Level, Report};
use crate::cli::wire;
use crate::gate::verdict::Verdict;
use crate::release::ports::Repository;
use crate::release::version::{self, Bump, History, Next, Rules};
use crate::release::{commits, notes};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tag a release candidate
    Tag(release_tag::Args),
    /// Show what serves, what is on its way and what is condemned
    Status(release_status::Args),
    /// Say which version comes next, and why
    Next(VersionArgs),
    /// Check that commits follow the conventional-commits convention
    CheckCommits(CheckCommitsArgs),
    /// Write the release notes of the next version
    Notes(NotesArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    /// How far the version moves
    #[arg(long, value_enum, default_value_t = BumpArg::Auto)]
    bump: BumpArg,

    /// Trust the tags that are here, do not ask the remote
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BumpArg {
    /// As the commits say
    Auto,
    Patch,
    Minor,
    Major,
}

#[derive(Debug, clap::Args)]
struct CheckCommitsArgs {
    /// Commits after this one, such as origin/main or origin/main..HEAD; without it those since
    /// the last stable release
    range: Option<String>,
}

#[derive(Debug, clap::Args)]
struct NotesArgs {
    /// Who reads them
    #[arg(long = "for", value_enum, default_value_t = Audience::Engineers)]
    audience: Audience,

    #[command(flatten)]
    version: VersionArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Audience {
    Engineers,
    Customers,
}

/// The answer of `orca release notes --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Notes {
    version: String,
    audience: Audience,
    markdown: String,
}

/// The answer of `orca release check-commits --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    verdict: Verdict,
    headline: String,
    /// Commits looked at, merges too.
    commits: usize,
    /// The first fifty that do not follow the convention.
    offending: Vec<Offending>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Offending {
    commit: String,
    title: String,
    next: String,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.command {
        Command::Tag(args) => release_tag::run(args, context).await,
        Command::Status(args) => release_status::run(args, context).await,
        Command::Next(args) => next(args, context),
        Command::CheckCommits(args) => check_commits(args, context),
        Command::Notes(args) => notes(args, context),
    }
}

impl VersionArgs {
    /// The rules and the history that the next version is decided from.
    pub(crate) fn look(
        &self,
        repository: &dyn Repository,
        context: &Context,
    ) -> Result<(Rules, History), Failure> {
        let config = wire::load_config_or_default(context)?;
        let bump = match self.bump {
            BumpArg::Auto => None,
            BumpArg::Patch => Some(Bump::Patch),
            BumpArg::Minor => Some(Bump::Minor),
            BumpArg::Major => Some(Bump::Major),
        };
        let rules = Rules { tag_prefix: config.release.tag_prefix, bump, ..Rules::default() };
        let remote = config.release.remote.unwrap_or_else(|| wire::REMOTE.to_owned());
        if repository.is_shallow()? {
            context.warn("the clone is shallow, the last release may not be in it: git fetch --unshallow --tags");
        }
        let remote = (!self.offline).then_some(remote.as_str());
        Ok((rules.clone(), version::history(repository, &rules, remote)?))
    }
}

fn next(args: &VersionArgs, context: &Context) -> Result<Report, Failure> {
    let repository = wire::repository(context)?;
    let (rules, history) = args.look(&repository, context)?;
    let next = version::next(&rules, &history)?;
    let document = serde_json::to_value(&next).expect("a version is plain data");
    let report = Report::bare(Exit::Done, document, next_text(&next))
        .output("version", next.next.clone())
        .output("tag", next.tag.clone());
    Ok(report.next("orca release tag --rc"))
}

fn next_text(next: &Next) -> String {
    let from = next.current.as_deref().unwrap_or("no release");
    let exists = if next.exists { "\nHEAD carries its tag already." } else { "" };
    format!("{from} -> {}\n{}\n{} commits since.{exists}", next.next, next.reason, next.commits)
}

fn check_commits(args: &CheckCommitsArgs, context: &Context) -> Result<Report, Failure> {
    let repository = wire::repository(context)?;
    let found = if let Some(range) = &args.range {
        let base = repository.resolve(range_start(range)?)?;
        repository.commits_since(Some(&base), usize::MAX)?
    } else {
        let local = VersionArgs { bump: BumpArg::Auto, offline: true };
        local.look(&repository, context)?.1.commits
    };
    let judgement = commits::judge(&found);
    let offending: Vec<Offending> = judgement
        .findings
        .into_iter()
        .map(|f| Offending { commit: f.place.unwrap_or_default(), title: f.title, next: f.next })
        .collect();
    let mut human = judgement.headline.clone();
    for offence in &offending {
        human.push_str(&format!("\n  {}", offence.title));
    }
    let annotations = offending.iter().map(|offence| Annotation {
        level: Level::Error,
        title: "commit message".to_owned(),
        message: format!("{}: {}", offence.title, offence.next),
        file: None,
    });
    let annotations = annotations.collect();
    let next: Vec<String> = offending.first().map(|o| o.next.clone()).into_iter().collect();
    let document = Checked {
        verdict: judgement.verdict,
        headline: judgement.headline,
        commits: found.len(),
        offending,
    };
    let exit = Exit::from(judgement.verdict);
    let report = Report::new(exit, "orca.release-check-commits/v1", &document, human);
    Ok(Report { next, annotations, ..report })
}

/// The commit before the range, which ends at HEAD.
fn range_start(range: &str) -> Result<&str, Failure> {
    let (base, end) = range.split_once("..").unwrap_or((range, ""));
    if base.is_empty() || !matches!(end, "" | "HEAD") {
        let text = format!("the range '{range}' does not end at HEAD");
        return Err(Failure::new(Code::Usage, Exit::Usage, text)
            .hint("orca release check-commits origin/main..HEAD"));
    }
    Ok(base)
}

fn notes(args: &NotesArgs, context: &Context) -> Result<Report, Failure> {
    let repository = wire::repository(context)?;
    let config = wire::load_config_or_default(context)?;
    let (rules, history) = args.version.look(&repository, context)?;
    let next = version::next(&rules, &history)?;
    let remote = config.release.remote.as_deref().unwrap_or(wire::REMOTE);
    let remote_url = repository.remote_url(remote)?;
    let (version, date) = (next.core.0.to_string(), context.clock.now().date());
    let facts = notes::Facts {
        service: &config.service,
        version: &version,
        date: &date,
        tag: &next.tag,
        previous: history.stable.as_ref().map(|tag| tag.name.as_str()),
        commits: &history.commits,
        remote_url: remote_url.as_deref(),
    };
    let markdown = match args.audience {
        Audience::Engineers => notes::engineers(&facts),
        Audience::Customers => customers(&repository, &facts)?,
    };
    let document = Notes { version, audience: args.audience, markdown };
    let human = document.markdown.clone();
    Ok(Report::new(Exit::Done, "orca.release-notes/v1", &document, human))
}

/// By the repository's own template where it has one.
fn customers(repository: &dyn Repository, facts: &notes::Facts<'_>) -> Result<String, Failure> {
    use crate::base::yaml::InputError;
    let path = Path::new(notes::TEMPLATE_PATH);
    let own = repository.read(notes::TEMPLATE_PATH)?;
    let own = own.map(String::from_utf8).transpose();
    let own = own.map_err(|e| InputError::whole_file(path, e.to_string()))?;
    notes::customers(facts, own.as_deref().unwrap_or(notes::TEMPLATE))
        .map_err(|e| InputError::whole_file(path, e.to_string()).into())
}
