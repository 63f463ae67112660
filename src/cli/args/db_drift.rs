//! `orca db drift`: whether a database is what its migrations make.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::db_look::{Baseline, no_migrations};
use crate::base::redact::Secret;
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_db::{self, Asked, broken};
use crate::cli::wire_db_backup;
use crate::db::catalog::lines::{self, Line, OF_SUPABASE};
use crate::db::drift::difference::{Drifted, differences};
use crate::db::drift::platform::without_platform;
use crate::db::shadow::migrations::{self, Migrations};
use crate::db::shadow::ports::{Database, SqlError};
use crate::db::shadow::replay::Replay;
use crate::db::shadow::supabase;
use crate::db::sql::source::Source;
use crate::gate::verdict::Verdict;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "URL", help = "The database to look at [env: ORCA_TARGET_URL]")]
    target_url: Option<String>,

    #[arg(
        long,
        value_name = "URL",
        help = "A server to make the shadow database on, instead of a throwaway one [env: ORCA_SHADOW_URL]"
    )]
    shadow_url: Option<String>,

    /// The major version of the shadow [default: that of the target]
    #[arg(long, value_name = "NUMBER")]
    major: Option<u32>,

    /// Compare after every file, also those that the target has not run yet
    #[arg(long)]
    with_pending: bool,

    /// Leave this schema out; may be given several times
    #[arg(long, value_name = "NAME")]
    exclude_schema: Vec<String>,

    /// Accept the stand-in for this extension; may be given several times
    #[arg(long, value_name = "EXTENSION")]
    allow_substitute: Vec<String>,

    /// Differences that are known: a JSON document {"keys": [...]}
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// One statement may take this long
    #[arg(long, value_name = "TIME", default_value = "60s")]
    statement_timeout: Micros,
}

/// How a database differs from its migrations.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DriftDocument {
    verdict: Verdict,
    headline: String,
    target_version: String,
    shadow_version: String,
    /// Files that were replayed.
    replayed: usize,
    /// Files that the target has not run yet.
    pending: Vec<String>,
    /// Versions that the target ran and that no file has.
    unknown_versions: Vec<String>,
    /// Objects that are not the same, without those that the baseline knows.
    differences: Vec<Drifted>,
    /// Differences that the baseline knows.
    known: usize,
    /// Equal when nothing differs.
    shadow_hash: String,
    target_hash: String,
    /// Extensions that stand-ins took the place of, and those that are missing.
    substitutes: Vec<String>,
}

/// What the target says of itself.
struct Target {
    version: String,
    major: u32,
    /// Versions of its migrations; none where it keeps no list.
    ran: Option<BTreeSet<String>>,
    lines: Vec<Line>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let project = migrations::read(&context.folder)?.filter(|found| !found.files.is_empty());
    let project = project.ok_or_else(no_migrations)?;
    let baseline = Baseline::read(args.baseline.as_deref(), context)?;
    let url = wire_db_backup::target(args.target_url.as_deref(), context)?;
    let target = args.look(&url, context).await?;
    let sides = Sides::of(&project, target.ran.as_ref().filter(|_| !args.with_pending));
    let asked = Asked {
        shadow_url: args.shadow_url.as_deref().map(Secret::new),
        target_url: Some(url),
        major: args.major.or(Some(target.major)),
        statement_timeout: args.statement_timeout,
    };
    let shadow = wire_db::shadows(asked, context).open(&[]).await?;
    let shadow_version = shadow.version().to_owned();
    let made = args.replay(shadow.as_ref(), &sides.replayed).await;
    shadow.close().await;
    let (made, substitutes) = made?;
    let found = without_platform(target.lines, &made);
    let all = differences(&made, &found);
    let (known, new): (Vec<_>, Vec<_>) = all.into_iter().partition(|d| baseline.knows(&d.key));
    let open = substitutes.iter().any(|name| !args.allow_substitute.contains(name));
    let (verdict, headline) = judge(&new, &sides.unknown, (open, &substitutes));
    let document = DriftDocument {
        verdict,
        headline,
        target_version: target.version,
        shadow_version,
        replayed: sides.replayed.len(),
        pending: sides.pending,
        unknown_versions: sides.unknown,
        differences: new,
        known: known.len(),
        shadow_hash: lines::hash(&made).to_string(),
        target_hash: lines::hash(&found).to_string(),
        substitutes,
    };
    let human = human(&document);
    Ok(Report::new(Exit::from(verdict), "orca.db-drift/v1", &document, human)
        .output("verdict", verdict.as_str())
        .output("differences", document.differences.len().to_string()))
}

/// Which files to replay, in the light of what the target ran.
struct Sides {
    replayed: Vec<Source>,
    pending: Vec<String>,
    unknown: Vec<String>,
}

impl Sides {
    fn of(project: &Migrations, ran: Option<&BTreeSet<String>>) -> Self {
        let version = |file: &Source| {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            name.split('_').next().unwrap_or_default().to_owned()
        };
        let Some(ran) = ran else {
            let replayed = project.files.clone();
            return Self { replayed, pending: Vec::new(), unknown: Vec::new() };
        };
        let here: BTreeSet<String> = project.files.iter().map(version).collect();
        let (replayed, pending): (Vec<_>, Vec<_>) =
            project.files.iter().cloned().partition(|file| ran.contains(&version(file)));
        Self {
            replayed,
            pending: pending.into_iter().map(|file| file.path).collect(),
            unknown: ran.difference(&here).cloned().collect(),
        }
    }
}

impl Args {
    fn hidden(&self) -> Vec<&str> {
        OF_SUPABASE.iter().copied().chain(self.exclude_schema.iter().map(String::as_str)).collect()
    }

    async fn look(&self, url: &Secret, context: &Context) -> Result<Target, Failure> {
        let timeout = self.statement_timeout;
        let session = wire_db_backup::read_only(url, timeout.duration()).await?;
        context.say("reading the target");
        let unreadable = |e: SqlError| wire_db_backup::unreadable(&e);
        let list = "to_regclass('supabase_migrations.schema_migrations')";
        let sql = format!(
            "select current_setting('server_version'), current_setting('server_version_num'), {list}"
        );
        let row = session.run(&sql).await.map_err(unreadable)?.into_iter().next();
        let mut cells = row.unwrap_or_default().into_iter();
        let mut next = || cells.next().flatten();
        let (version, number) = (next().unwrap_or_default(), next().unwrap_or_default());
        let mut ran = None;
        if next().is_some() {
            let sql = "select version from supabase_migrations.schema_migrations";
            let rows = session.run(sql).await.map_err(unreadable)?;
            // A list without an entry says nothing of what is there.
            let list: BTreeSet<String> = rows.into_iter().flatten().flatten().collect();
            ran = Some(list).filter(|list| !list.is_empty());
        }
        Ok(Target {
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            major: number.parse::<u32>().unwrap_or_default() / 10_000,
            ran,
            lines: lines::read(&session, &self.hidden()).await.map_err(unreadable)?,
        })
    }

    /// What the files make, and which extensions are missing.
    async fn replay(
        &self,
        session: &dyn Database,
        files: &[Source],
    ) -> Result<(Vec<Line>, Vec<String>), Failure> {
        supabase::bootstrap(session).await.map_err(|e| broken("make a Supabase project", &e))?;
        let read = |e: SqlError| broken("read the catalogs", &e);
        let mut replay = Replay::begin(session).await.map_err(read)?;
        replay.apply(session, files, self.statement_timeout.duration()).await;
        if !replay.holds() {
            let why = replay.findings.last().map(|f| f.message.clone()).unwrap_or_default();
            let text =
                format!("the migrations do not replay, so there is nothing to compare: {why}");
            return Err(Failure::new(Code::NoReplay, Exit::Inconclusive, text)
                .hint("orca db shadow shows the file and the line"));
        }
        let extensions = replay.extensions;
        let missing = extensions.unknown.keys().chain(&extensions.substituted).cloned().collect();
        Ok((lines::read(session, &self.hidden()).await.map_err(read)?, missing))
    }
}

fn judge(
    new: &[Drifted],
    unknown: &[String],
    (open, substitutes): (bool, &[String]),
) -> (Verdict, String) {
    match (new.len(), unknown.len()) {
        (0, 0) if open => {
            let names = substitutes.join(", ");
            (Verdict::Inconclusive, format!("nothing differs, as far as it goes without {names}"))
        }
        (0, 0) => {
            let verdict = if substitutes.is_empty() { Verdict::Pass } else { Verdict::Waived };
            (verdict, "the target is what its migrations make".to_owned())
        }
        (0, count) => {
            (Verdict::Fail, format!("the target ran {count} migrations that are not here"))
        }
        (count, _) => {
            let objects = if count == 1 { "object" } else { "objects" };
            (
                Verdict::Fail,
                format!("{count} {objects} of the target are not as migrations make them"),
            )
        }
    }
}

/// As many differences as fit a screen, and lines of each.
const SHOWN: (usize, usize) = (20, 6);

fn human(document: &DriftDocument) -> String {
    let mut text = format!(
        "{}: {}\ntarget: Postgres {}, schema {}\nshadow: Postgres {}, schema {}, after {} files\n",
        document.verdict.label(),
        document.headline,
        document.target_version,
        document.target_hash,
        document.shadow_version,
        document.shadow_hash,
        document.replayed,
    );
    for (name, list) in [
        ("not run there yet", &document.pending),
        ("run there, and not here", &document.unknown_versions),
        ("weakened by missing extensions", &document.substitutes),
    ] {
        if !list.is_empty() {
            text.push_str(&format!("{name}: {}\n", list.join(", ")));
        }
    }
    if document.known > 0 {
        text.push_str(&format!("{} differences are in the baseline\n", document.known));
    }
    if !document.differences.is_empty() {
        text.push_str("\n- only in the migrations\n+ only in the target\n");
    }
    for drifted in document.differences.iter().take(SHOWN.0) {
        text.push_str(&format!("\n{} {}\n", drifted.kind, drifted.name));
        for (sign, lines) in [('-', &drifted.migrations), ('+', &drifted.target)] {
            for line in lines.iter().take(SHOWN.1) {
                text.push_str(&format!("{sign} {line}\n"));
            }
            if lines.len() > SHOWN.1 {
                text.push_str(&format!("{sign} ... {} more lines\n", lines.len() - SHOWN.1));
            }
        }
    }
    if let Some(more) = document.differences.len().checked_sub(SHOWN.0).filter(|more| *more > 0) {
        text.push_str(&format!("\nand {more} more: --json has them all\n"));
    }
    text
}
