//! `orca db restore-check`: a backup proves itself by a restore, row by row.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::db_backup::{FOLDER, beside, size};
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_db_backup;
use crate::db::backup::compare::{ComparedTable, Difference, compare_tables, differences};
use crate::db::backup::manifest::Manifest;
use crate::db::backup::verdict::{Shown, judge};
use crate::gate::verdict::Verdict;
use crate::ledger::entry::Outcome;
use crate::verbs::database_step::Done;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The dump [default: the newest in --from]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Folder of the backups
    #[arg(long, value_name = "FOLDER", default_value = FOLDER)]
    from: PathBuf,

    /// The backup may be this old
    #[arg(long, value_name = "TIME")]
    age_max: Option<Micros>,

    /// The restore may take this long
    #[arg(long, value_name = "TIME")]
    rto_max: Option<Micros>,

    /// Accept the stand-in for this extension; may be given several times
    #[arg(long, value_name = "EXTENSION")]
    allow_substitute: Vec<String>,

    /// Connections that restore side by side
    #[arg(long, value_name = "COUNT", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,

    /// Restore and comparison together may take this long
    #[arg(long, value_name = "TIME", default_value = "6h")]
    timeout: Micros,
}

/// What the restore showed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RestoreDocument {
    verdict: Verdict,
    headline: String,
    file: String,
    sha256: String,
    /// The moment of the snapshot: what was committed later is not in the backup.
    taken_at: String,
    /// How old the backup is: the work that would be lost.
    rpo_us: u64,
    /// From the start of a server to the last restored object, on this machine.
    rto_us: u64,
    steps: Vec<StepTime>,
    restored_version: String,
    tables: Vec<ComparedTable>,
    /// Constraints, sequences, roles, row level security, policies, grants and everything else.
    differences: Vec<Difference>,
    /// What `pg_restore` complained about.
    errors: Vec<String>,
    /// Extensions that stand-ins took the place of, and those that are missing.
    substitutes: Vec<String>,
    left_out: Vec<String>,
    /// `recorded`, `pending` (kept here, not shared yet) or `none`.
    ledger: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StepTime {
    step: &'static str,
    duration_us: u64,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let folder = beside(&args.from, context);
    let (path, manifest) = match &args.file {
        Some(file) => Manifest::read(&beside(file, context))?,
        None => Manifest::newest(&folder)?,
    };
    let dump = path.with_file_name(&manifest.file);
    let limits = (args.jobs, args.timeout.duration());
    let restored = wire_db_backup::restore((&dump, &manifest), limits, context).await?;
    let tables = compare_tables(&manifest.facts, &restored.facts);
    let differences = differences(&manifest.facts, &restored.facts, &restored.stand_ins);
    let age = context.clock.now().since_us(manifest.taken_at);
    let age = Micros(u64::try_from(age).unwrap_or_default());
    let rto = restored.steps.iter().filter(|(step, _)| *step != "compare").map(|(_, t)| t.0).sum();
    let (verdict, headline) = judge(&Shown {
        tables: &tables,
        differences: &differences,
        errors: &restored.errors,
        substitutes: &restored.substitutes,
        accepted: &args.allow_substitute,
        rto: Micros(rto),
        age,
        rto_max: args.rto_max,
        age_max: args.age_max,
    });
    let steps = restored.steps.iter();
    let steps = steps.map(|(step, time)| StepTime { step, duration_us: time.0 }).collect();
    let mut document = RestoreDocument {
        verdict,
        headline,
        file: dump.display().to_string(),
        sha256: manifest.sha256.clone(),
        taken_at: manifest.taken_at.rfc3339(),
        rpo_us: age.0,
        rto_us: rto,
        steps,
        restored_version: restored.version,
        tables,
        differences,
        errors: restored.errors,
        substitutes: restored.substitutes,
        left_out: manifest.left_out.clone(),
        ledger: "none",
    };
    document.ledger = wire_db_backup::record(done(&document, &manifest), context).await;
    Ok(report(&document, &manifest))
}

fn done(document: &RestoreDocument, manifest: &Manifest) -> Done {
    let detail = [
        ("file", manifest.file.clone()),
        ("sha256", manifest.sha256.clone()),
        ("taken_at", document.taken_at.clone()),
        ("verdict", document.verdict.as_str().to_owned()),
        ("rto_us", document.rto_us.to_string()),
        ("rpo_us", document.rpo_us.to_string()),
    ];
    let outcome = match document.verdict {
        Verdict::Pass | Verdict::Waived | Verdict::NotApplicable => Outcome::Done,
        Verdict::Inconclusive => Outcome::Unknown,
        Verdict::Fail => Outcome::Failed,
    };
    Done {
        name: "db restore-check",
        detail: BTreeMap::from(detail.map(|(key, value)| (key.to_owned(), value))),
        outcome,
        says: format!("restore of {}: {}", manifest.file, document.headline),
    }
}

/// As many lines of each kind as fit a screen.
const SHOWN: usize = 8;

fn report(document: &RestoreDocument, manifest: &Manifest) -> Report {
    let mut human = format!(
        "{}: {}\nfile: {} ({}, Postgres {})\nRTO:  {} on this machine, restored on Postgres {}\n\
         RPO:  {}: what was committed after {} is not in it\n",
        document.verdict.label(),
        document.headline,
        document.file,
        size(manifest.bytes),
        manifest.source.version,
        Micros(document.rto_us),
        document.restored_version,
        Micros(document.rpo_us),
        document.taken_at,
    );
    for step in &document.steps {
        human.push_str(&format!("  {:<30} {}\n", step.step, Micros(step.duration_us)));
    }
    if !document.left_out.is_empty() {
        human.push_str(&format!("left out of the backup: {}\n", document.left_out.join(", ")));
    }
    if !document.substitutes.is_empty() {
        let names = document.substitutes.join(", ");
        human.push_str(&format!(
            "weakened by missing extensions: {names}\n  help: install them, or --allow-substitute NAME\n"
        ));
    }
    let unequal = document.tables.iter().filter(|t| !t.equal).map(|t| {
        let back = t.restored_rows.map_or("is missing".to_owned(), |rows| format!("{rows} rows"));
        format!("table {}: {} rows before, now {back}", t.name, t.rows)
    });
    let differences = document.differences.iter().map(|d| {
        let text = |side: &Option<String>| side.as_deref().unwrap_or("(absent)").to_owned();
        format!("{} {}: {} -> {}", d.kind, d.name, text(&d.before), text(&d.after))
    });
    let errors = document.errors.iter().map(|error| format!("pg_restore: {error}"));
    for lines in [unequal.collect::<Vec<_>>(), differences.collect(), errors.collect()] {
        for line in lines.iter().take(SHOWN) {
            human.push_str(&format!("{}\n", line.replace('\n', " ")));
        }
        if let Some(more) = lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            human.push_str(&format!("and {more} more: --json has them all\n"));
        }
    }
    human.push_str(&format!("ledger: {}\n", document.ledger));
    Report::new(Exit::from(document.verdict), "orca.db-restore-check/v1", document, human)
        .output("verdict", document.verdict.as_str())
        .output("rto_us", document.rto_us.to_string())
        .output("rpo_us", document.rpo_us.to_string())
}
