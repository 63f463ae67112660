//! `orca load`: sends load with a truthful clock and judges what comes back.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::force::Force;
use super::load_output::OutputArgs;
use super::load_request::RequestArgs;
use super::{load_capacity, load_gate, load_merge};
use crate::base::clock::Timestamp;
use crate::base::ids::ReleaseName;
use crate::base::units::{Micros, Rate};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::load;
use crate::cli::report::Report;
use crate::load::driver::{self, LoadError, Watch};
use crate::load::from_manifest::{self, Around, ManifestPlanError};
use crate::load::machine;
use crate::load::plan::{Bounds, Draft, LoadPlan, PlanError, Shape, Target};
use crate::load::recorder::Failure as Kind;
use crate::load::result::{LoadResult, SCHEMA};
use crate::load::shard::Shard;
use crate::load::slo_check::{self, Policy};
use crate::slo::manifest::Manifest;

/// Where hosts of production are looked up when no manifest is given.
const MANIFEST: &str = "slo/slo_manifest.yaml";
const CONNECTIONS: u32 = 64;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    part: Option<Part>,

    /// Where to send it, like <http://127.0.0.1:3000/path>; without one, the load gate of
    /// orca.yaml runs against gates.load.target
    #[arg(long, value_name = "URL")]
    target: Option<String>,

    /// Judge this candidate by the load gate of orca.yaml, and keep the ruling in the ledger
    #[arg(long, value_name = "RELEASE", conflicts_with_all = ["manifest", "rate", "closed", "RequestArgs"])]
    rc: Option<ReleaseName>,

    /// Objectives, endpoints and profiles; the verdict follows from them
    #[arg(long, value_name = "FILE", requires = "target")]
    manifest: Option<PathBuf>,

    /// A profile of the manifest
    #[arg(long, value_name = "NAME", default_value = "baseline", requires = "manifest")]
    profile: String,

    /// Requests a second, kept whatever the target does
    #[arg(
        long,
        value_name = "RATE",
        default_value = "100/s",
        requires = "target",
        conflicts_with = "manifest"
    )]
    rate: Rate,

    /// How long
    #[arg(long, value_name = "TIME", default_value = "10s", requires = "target",
        conflicts_with_all = ["manifest", "rc"])]
    duration: Micros,

    /// Connections to spread it over [default: 64, or the profile's]
    #[arg(long, value_name = "NUMBER", requires = "target", conflicts_with = "rc")]
    connections: Option<u32>,

    /// As fast as answers come, instead of at a rate
    #[arg(long, requires = "target", conflicts_with_all = ["rate", "manifest"])]
    closed: bool,

    /// For one request, from its sending to the last byte
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10s",
        requires = "target",
        conflicts_with = "rc"
    )]
    timeout: Micros,

    #[command(flatten)]
    request: RequestArgs,

    /// Also send to hosts that the manifest marks as production
    #[arg(long)]
    allow_production: bool,

    /// Go on to the end, although a breach is certain
    #[arg(long, requires = "target", conflicts_with = "rc")]
    keep_going: bool,

    /// Send only this part of the run, such as 3/8; needs --out, for `orca load merge`
    #[arg(long, value_name = "I/N", requires_all = ["out", "target"], conflicts_with = "rc")]
    shard: Option<Shard>,

    /// When the first request is due, the same for all shards: 2026-11-21T04:05:06Z
    #[arg(long, value_name = "TIME", value_parser = start_time, requires = "target",
        conflicts_with = "rc")]
    start_at: Option<Timestamp>,

    /// Append each second to this file as a line of JSON, endpoint by endpoint
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "rc")]
    stream: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    force: Force,
}

/// RFC 3339, or seconds since 1970 behind an @, as date(1) reads them.
fn start_time(text: &str) -> Result<Timestamp, String> {
    match text.strip_prefix('@').map(str::parse::<u32>) {
        Some(Ok(secs)) => Ok(Timestamp::from_us(i64::from(secs) * 1_000_000)),
        Some(Err(_)) => Err("write it as @1795233906".to_owned()),
        None => Timestamp::parse_rfc3339(text),
    }
}

/// What else load does.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Join the shards of one run and judge it
    Merge(load_merge::Args),
    /// Find the highest rate at which the objectives hold
    Capacity(Box<load_capacity::Args>),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.part {
        Some(Part::Merge(merge)) => return load_merge::run(merge, context),
        Some(Part::Capacity(capacity)) => return load_capacity::run(capacity, context).await,
        None => {}
    }
    if args.rc.is_some() || args.target.is_none() {
        if args.output.is_given() {
            let text = "the load gate keeps its result in the ledger, and writes no other file";
            return Err(Failure::new(Code::Usage, Exit::Usage, text.to_owned())
                .hint("leave the file out, or give --target and no --rc"));
        }
        let (rc, target) = (args.rc.as_ref(), args.target.as_deref());
        return load_gate::run(rc, target, &args.force, context).await;
    }
    if args.force.is_given() {
        let text = "--force waives a finding of the load gate, and this load is no gate".to_owned();
        return Err(Failure::new(Code::Usage, Exit::Usage, text).hint("add --rc RELEASE"));
    }
    let manifest = args.manifest(context)?;
    let plan = args.plan(manifest.as_ref(), context)?;
    let policy =
        manifest.filter(|_| args.manifest.is_some()).map(|m| Policy::of(&m.at_url(args.target())));
    let policy = policy.unwrap_or_default();
    let result = args.run_plan(&plan, &policy, context).await?;
    if let Some((kind, text)) = slo_check::unreachable(&result) {
        return Err(unreachable(kind, text, args.target()));
    }
    // A part is judged with the others, unless it was stopped: then nothing will decide.
    let judgement =
        (plan.shard.is_whole() || result.partial).then(|| slo_check::judge(&policy, &result));
    let result = if plan.shard.is_whole() { result } else { result.of_shard(&plan, &policy) };
    let result = match judgement {
        Some(judgement) => result.judged(judgement),
        None => result,
    };
    args.output.write(&result, context)?;
    let mut human = load::human(&result, context.columns);
    if !plan.shard.is_whole() {
        human.push_str(&format!("\nshard {}: orca load merge judges all of them\n", plan.shard));
    }
    Ok(Report::new(Exit::from(result.verdict), SCHEMA, &result, human)
        .output("verdict", result.verdict.as_str()))
}

/// Writes the lines that come, until there are no more.
async fn append(mut lines: UnboundedReceiver<String>, file: Option<File>) -> std::io::Result<()> {
    let Some(mut file) = file else { return Ok(()) };
    while let Some(line) = lines.recv().await {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

impl Args {
    /// Runs a plan to its end or until a signal, and tells people how it goes.
    async fn run_plan(
        &self,
        plan: &LoadPlan,
        policy: &Policy,
        context: &Context,
    ) -> Result<LoadResult, Failure> {
        let (progress, news) = unbounded_channel();
        let (lines, streamed) = unbounded_channel();
        let unwritable = |error: std::io::Error| {
            let file = self.stream.as_deref().unwrap_or(Path::new("")).display();
            Failure::new(Code::File, Exit::Usage, format!("{file} could not be written: {error}"))
                .hint("give --stream a file in a folder that exists")
        };
        let file = self
            .stream
            .as_ref()
            .map(|file| File::options().create(true).append(true).open(context.folder.join(file)));
        let file = file.transpose().map_err(unwritable)?;
        let watch = Watch {
            progress: Some(progress),
            lines: file.is_some().then_some(lines),
            judge_by: Some(policy.clone()),
            keep_going: self.keep_going,
        };
        if let Some(at) = plan.start_at {
            context.say(format!("load: waits for its start at {}", at.rfc3339()));
        }
        let running = driver::run(plan, watch, &context.cancel);
        let telling = load::tell(news, plan, context);
        let (result, (), written) = tokio::join!(running, telling, append(streamed, file));
        written.map_err(unwritable)?;
        Ok(result?)
    }

    /// The manifest given; else the one at the usual place, for its production hosts alone.
    fn manifest(&self, context: &Context) -> Result<Option<Manifest>, Failure> {
        let usual = context.folder.join(MANIFEST);
        match &self.manifest {
            Some(file) => Ok(Some(Manifest::read(&context.folder.join(file))?)),
            None if !self.allow_production && usual.exists() => Ok(Some(Manifest::read(&usual)?)),
            None => Ok(None),
        }
    }

    fn plan(&self, manifest: Option<&Manifest>, context: &Context) -> Result<LoadPlan, Failure> {
        let mut draft = match (manifest, &self.manifest) {
            (Some(manifest), Some(file)) => {
                let file = context.folder.join(file);
                let env = |name: &str| context.env.get(name).map(str::to_owned);
                let folder = file.parent().unwrap_or(&context.folder);
                let around = Around { folder, env: &env };
                from_manifest::draft(manifest, &self.profile, self.target(), around)?
            }
            _ => self.draft(context)?,
        };
        let ceiling = manifest.filter(|_| self.manifest.is_none() && !self.closed);
        if let Some(ceiling) = ceiling.map(|m| m.rate_max).filter(|max| self.rate > *max) {
            return Err(PlanError::RateOverManifest { asked: self.rate, ceiling }.into());
        }
        draft.timeout = self.timeout;
        draft.detailed = self.output.out.is_some();
        draft.shard = self.shard.unwrap_or_default();
        draft.start_at = self.start_at;
        draft.connections = self.connections.unwrap_or(draft.connections);
        self.request.apply(&mut draft, context)?;
        let production = manifest.map(|m| from_manifest::production(m, &draft.target));
        let bounds = Bounds {
            production: production.as_deref().unwrap_or_default(),
            allow_production: self.allow_production,
            file_limit: machine::file_limit(),
        };
        Ok(LoadPlan::new(draft, &bounds)?)
    }

    fn target(&self) -> &str {
        self.target.as_deref().unwrap_or_default()
    }

    fn draft(&self, context: &Context) -> Result<Draft, Failure> {
        let (target, path) = Target::parse(self.target())?;
        Ok(Draft {
            target,
            endpoints: vec![self.request.endpoint(&path, context)?],
            shape: if self.closed {
                Shape::Closed { duration: self.duration }
            } else {
                Shape::constant(self.rate, self.duration)
            },
            connections: CONNECTIONS,
            timeout: self.timeout,
            keep_alive: true,
            insecure: false,
            http2: false,
            phases: false,
            detailed: false,
            shard: Shard::default(),
            start_at: None,
        })
    }
}

pub(super) fn unreachable(kind: Kind, text: String, target: &str) -> Failure {
    let (code, hint) = match kind {
        Kind::TlsExpired | Kind::TlsWrongHost | Kind::TlsUntrusted => (
            Code::LoadCertificate,
            "correct the certificate, or add --insecure if that is what you mean".to_owned(),
        ),
        Kind::Tls | Kind::Malformed | Kind::NoHttp2 => {
            (Code::LoadProtocol, format!("curl -v {target}, and see which protocol it speaks"))
        }
        _ => (Code::LoadTarget, format!("curl -v {target}")),
    };
    Failure::new(code, Exit::Unavailable, text).hint(hint)
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let code = match error {
            PlanError::Production { .. } => Code::LoadProduction,
            _ => Code::LoadPlan,
        };
        Self::new(code, Exit::Usage, error.to_string()).hint(error.hint())
    }
}

impl From<ManifestPlanError> for Failure {
    fn from(error: ManifestPlanError) -> Self {
        match error {
            ManifestPlanError::Plan(error) => error.into(),
            ManifestPlanError::Rows(_) => {
                Self::new(Code::Input, Exit::Usage, error.to_string()).hint(error.hint())
            }
            ManifestPlanError::UnknownProfile { .. } => {
                Self::new(Code::LoadPlan, Exit::Usage, error.to_string()).hint(error.hint())
            }
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let text = error.to_string();
        match error {
            LoadError::Resolve { host, .. } => unreachable(Kind::Connect, text, &host),
            LoadError::Passed(_) | LoadError::FarAhead(_) => {
                Self::new(Code::LoadPlan, Exit::Usage, text)
                    .hint("give --start-at a time some seconds ahead, the same for all shards")
            }
            LoadError::Worker(_) => Self::new(Code::LoadPlan, Exit::Unavailable, text)
                .hint("use fewer --connections, or raise `ulimit -n` and `ulimit -u`"),
        }
    }
}
