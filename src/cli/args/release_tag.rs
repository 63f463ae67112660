//! `orca release tag --rc`: the next candidate, from conventional commits.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::render::plan::{self, PlanStep};
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet, wire_gates};
use crate::plan::executor;
use crate::release::version::{self, Bump, NextError};
use crate::verbs::book_journal::BookJournal;
use crate::verbs::candidate_files::{self, Places};
use crate::verbs::settle;
use crate::verbs::tag_rc::{TagRc, on_repository};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A release candidate: vX.Y.Z-rc.N
    #[arg(long, required = true)]
    rc: bool,

    #[command(flatten)]
    pub(crate) how: How,
}

/// What `tag-rc` takes too.
#[derive(Debug, clap::Args)]
pub(crate) struct How {
    /// How far to raise the version
    #[arg(long, value_enum, default_value = "auto")]
    bump: BumpArg,

    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BumpArg {
    Auto,
    Patch,
    Minor,
    Major,
}

/// A release candidate, as it was tagged or would be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tagged {
    /// The tag.
    release: String,
    /// The final version this is a candidate for.
    version: String,
    reason: String,
    /// Absent on a dry run of a candidate whose commit is not made yet.
    commit: Option<String>,
    dry_run: bool,
    /// Steps that were, or would be, carried out.
    steps: Vec<PlanStep>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    tag(&args.how, context).await
}

pub(crate) async fn tag(how: &How, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let repository = wire_fleet::repository(context)?;
    let book = wire_fleet::book(context, &config)?;
    let mut rules = wire_gates::version_rules(&config);
    rules.bump = match how.bump {
        BumpArg::Auto => None,
        BumpArg::Patch => Some(Bump::Patch),
        BumpArg::Minor => Some(Bump::Minor),
        BumpArg::Major => Some(Bump::Major),
    };
    let remote = wire_gates::remote(&config);
    let (asked, own_rules) = (remote.clone(), rules.clone());
    let (history, next) = on_repository(&repository, move |found| {
        let history = version::history(found, &rules, Some(&asked))?;
        let next = version::next(&rules, &history)?;
        Ok::<_, NextError>((history, next))
    })
    .await?;
    let path = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    let places = Places {
        service: config.service.clone(),
        changelog: path(&config.release.changelog),
        version_files: config.release.version_files.iter().map(path).collect(),
        remote: remote.clone(),
        date: context.clock.now().date(),
    };
    let made = candidate_files::make(&repository, (&next, &history), &own_rules, places).await?;
    let tag = TagRc {
        repository,
        book: book.clone(),
        environment: config.environment.value.clone(),
        next,
        files: made.files,
        notes: made.notes,
        remote,
        now: context.clock.now(),
        frozen_until: context.clock.now().plus(config.release.freeze.duration()),
    };
    let mut steps = tag.plan().await?;
    let described = executor::describe(&steps);
    if how.dry_run {
        return Ok(report(&tag, None, &described, true));
    }
    let journal = BookJournal::new(book.clone(), config.environment.value.clone());
    let say = context.clone();
    executor::execute(&mut steps, &journal, &context.cancel, &move |event| {
        say.say(plan::line(&event));
    })
    .await
    .map_err(plan::stopped)?;
    settle::release_steps(&*book, &config.environment.value, &tag.next.tag).await?;
    book.share().await;
    let head = on_repository(&tag.repository, |found| found.head()).await?;
    Ok(report(&tag, Some(head.commit.to_string()), &described, false))
}

fn report(
    tag: &TagRc,
    commit: Option<String>,
    described: &[crate::plan::step::Description],
    dry_run: bool,
) -> Report {
    let release = tag.next.tag.clone();
    let steps = plan::steps(described);
    let human = if dry_run {
        format!("would tag {release}: {}\n\n{}", tag.next.reason, plan::human(&steps))
    } else if steps.is_empty() {
        format!("{release} stands already, everywhere: {}", tag.next.reason)
    } else {
        let at = commit.as_deref().and_then(|c| c.get(..9)).unwrap_or_default();
        format!("{release} is commit {at}: {}", tag.next.reason)
    };
    let document = Tagged {
        release: release.clone(),
        version: tag.next.core.0.to_string(),
        reason: tag.next.reason.clone(),
        commit,
        dry_run,
        steps,
    };
    let report =
        Report::new(Exit::Done, "orca.release-tag/v1", &document, human).output("release", release);
    if dry_run { report.next("orca release tag --rc") } else { report.next("orca preflight") }
}
