//! `orca db lint`: SQL files through squawk's rules and orca's own. Errors close, warnings do not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::limits;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::sarif;
use crate::cli::report::{self, Annotation, Report};
use crate::cli::wire::Git;
use crate::db::lint::finding::{Finding, Findings, Level, Waived};
use crate::db::lint::lint_files;
use crate::db::lint::rules::Release;
use crate::db::sql::source::{Source, SourceError};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// SQL files, or folders of them, in the order in which they are applied
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Files that this commit, tag or branch has are old: they are neither linted nor counted as
    /// part of this release
    #[arg(long, value_name = "REF")]
    base: Option<String>,

    /// Also write the findings to this file as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
}

/// What the linter found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Lint {
    findings: Vec<Finding>,
    /// Findings that comments in the files tolerate.
    waived: Vec<Waived>,
    /// How many files were linted.
    files: usize,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let files = files(args, context)?;
    let applied = match &args.base {
        Some(base) => applied(base, &files, context)?,
        None => BTreeMap::new(),
    };
    let mut sources = Vec::new();
    for shown in files.iter().filter(|file| !is_applied(&applied, file)) {
        sources.push(Source::read(&context.folder.join(shown), shown)?);
    }
    let today = context.clock.now().date();
    let count = sources.len();
    let linted = tokio::task::spawn_blocking(move || {
        lint_files::lint(&Release { sources: &sources, applied }, &today)
    });
    let found = linted
        .await
        .map_err(|e| Failure::new(Code::Bug, Exit::Bug, format!("the linter ended: {e}")))?;
    if let Some(file) = &args.sarif {
        sarif::write(&context.folder.join(file), &sarif::document(&found.findings))?;
    }
    Ok(report(found, count))
}

fn report(found: Findings, files: usize) -> Report {
    let errors = found.errors();
    let exit = if errors == 0 { Exit::Done } else { Exit::Closed };
    let human = human(&found, files);
    let annotations = found.findings.iter().map(annotation).collect();
    let Findings { findings, waived } = found;
    let warnings = findings.len() - errors;
    let document = Lint { findings, waived, files };
    let mut report = Report::new(exit, "orca.db-lint/v1", &document, human)
        .output("errors", errors.to_string())
        .output("warnings", warnings.to_string());
    report.annotations = annotations;
    report
}

/// Errors first, each with its place, why, and what to do.
fn human(found: &Findings, files: usize) -> String {
    let mut sorted: Vec<&Finding> = found.findings.iter().collect();
    sorted.sort_by_key(|f| f.level);
    let errors = found.errors();
    let warnings = found.findings.len() - errors;
    let mut text = format!(
        "{}: {}, {} and {} waived in {}\n",
        if errors == 0 { "pass" } else { "fail" },
        counted(errors, "error"),
        counted(warnings, "warning"),
        found.waived.len(),
        counted(files, "file"),
    );
    for f in sorted {
        text.push_str(&format!(
            "\n{}:{}:{}: {}[{}]: {}\n  help: {}\n",
            f.file,
            f.line,
            f.column,
            f.level.as_str(),
            f.rule,
            f.message,
            f.help
        ));
    }
    if errors > 0 {
        text.push_str("\nMeant? In the file: -- orca: allow RULE until YYYY-MM-DD: REASON\n");
    }
    text
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn annotation(finding: &Finding) -> Annotation {
    Annotation {
        level: match finding.level {
            Level::Error => report::Level::Error,
            Level::Warning => report::Level::Warning,
        },
        title: finding.rule.clone(),
        message: format!("{}. {}", finding.message, finding.help),
        file: Some((finding.file.clone(), finding.line)),
    }
}

/// Files as users named them; those of a folder in the order of their names.
fn files(args: &Args, context: &Context) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for path in &args.files {
        let shown = path.to_string_lossy().replace('\\', "/");
        let whole = context.folder.join(path);
        if !whole.is_dir() {
            found.push(shown);
            continue;
        }
        let names = sql_files(&whole).map_err(|e| SourceError::Unreadable(path.clone(), e))?;
        if names.is_empty() {
            let text = format!("{shown} holds no .sql file");
            return Err(Failure::new(Code::SqlFile, Exit::Usage, text)
                .hint("name the folder of the migrations, such as supabase/migrations"));
        }
        found.extend(
            names.into_iter().map(|name| format!("{}/{name}", shown.trim_end_matches('/'))),
        );
    }
    Ok(found)
}

fn sql_files(folder: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_sql = Path::new(&name).extension().is_some_and(|e| e.eq_ignore_ascii_case("sql"));
        if is_sql && entry.path().is_file() {
            names.insert(name);
        }
    }
    Ok(names)
}

/// What `base` has in the folders of the files.
pub(super) fn applied(
    base: &str,
    files: &[String],
    context: &Context,
) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let mut found = BTreeMap::new();
    for file in files {
        let folder = file.rsplit_once('/').map_or(".", |(folder, _)| folder);
        if found.contains_key(folder) {
            continue;
        }
        let git = Git::in_folder(context.folder.join(folder));
        let args = ["ls-tree", "--name-only", "-z", "--end-of-options", base];
        let listed = git.run(&args, limits::GIT_LOCAL)?.text();
        let names = listed.split('\0').filter(|n| !n.is_empty()).map(str::to_owned).collect();
        found.insert(folder.to_owned(), names);
    }
    Ok(found)
}

pub(super) fn is_applied(applied: &BTreeMap<String, BTreeSet<String>>, file: &str) -> bool {
    let (folder, name) = file.rsplit_once('/').unwrap_or((".", file));
    applied.get(folder).is_some_and(|names| names.contains(name))
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let hint = match error {
            SourceError::TooLarge(_) => "split it: rows belong into a seed, not into a migration",
            SourceError::Missing(_) | SourceError::Unreadable(..) => "correct the path",
            SourceError::Settings(..) => "correct the line; supabase start says the same",
        };
        Self::new(Code::SqlFile, Exit::Usage, error.to_string()).hint(hint)
    }
}
