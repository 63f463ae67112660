//! The migrations of a project: as its folder has them, as the release before had them, and as the
//! target says it applied them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use async_trait::async_trait;

use super::command::{Git, GitError};
use crate::base::limits;
use crate::base::redact::Secret;
use crate::db::preflight::ports::Projects;
use crate::db::preflight::project::{Base, Project};
use crate::db::shadow::migrations::{self, FOLDER};
use crate::gate::check::Unseen;
use crate::gate::verdict::Cause;
use crate::providers::postgres::target::{self, Target};

/// Reads them.
pub(crate) struct Migrations {
    pub(crate) folder: PathBuf,
    /// The commit, tag or branch of the release before, and how people call it.
    pub(crate) base: Option<(String, String)>,
    pub(crate) target: Option<Secret>,
}

#[async_trait]
impl Projects for Migrations {
    async fn read(&self) -> Result<Project, Unseen> {
        let (folder, base) = (self.folder.clone(), self.base.clone());
        let read = tokio::task::spawn_blocking(move || here(folder, base));
        let mut project = read
            .await
            .map_err(|e| Unseen::new(Cause::Unobserved, e.to_string(), "run it again"))??;
        if let Some(url) = &self.target {
            let Target { applied, rows } = target::read(url).await.map_err(|error| {
                let text = format!("the target database does not answer: {error}");
                Unseen::new(Cause::Unobserved, text, "try ORCA_TARGET_URL with psql")
            })?;
            (project.target, project.rows) = (Some(applied), rows);
        }
        Ok(project)
    }
}

fn here(folder: PathBuf, base: Option<(String, String)>) -> Result<Project, Unseen> {
    let unread = |why: String| Unseen::new(Cause::Unobserved, why, "correct the file");
    let found = migrations::read(&folder).map_err(|e| unread(e.to_string()))?.unwrap_or_default();
    let git = Git::in_folder(folder);
    let unknown = |e: GitError| {
        let next = "git fetch --tags --unshallow, or another --since";
        Unseen::new(Cause::Unobserved, e.to_string(), next)
    };
    let base = base.map(|base| at_base(&git, base)).transpose().map_err(unknown)?;
    let uncommitted = uncommitted(&git).map_err(unknown)?;
    let (files, settings) = (found.files, found.settings);
    Ok(Project { files, settings, base, uncommitted, ..Project::default() })
}

/// Whether `base` has migrations below the folder that git runs in.
pub(crate) fn has_migrations(git: &Git, base: &str) -> Result<bool, GitError> {
    Ok(!files_of(git, base)?.is_empty())
}

fn files_of(git: &Git, base: &str) -> Result<BTreeSet<String>, GitError> {
    let inside = format!("{FOLDER}/");
    let args = ["ls-tree", "--name-only", "-z", "--end-of-options", base, &inside];
    let listed = listed(git, &args)?;
    let is_migration = |path: &String| {
        path.rsplit_once('/').is_some_and(|(_, name)| migrations::is_migration(name))
    };
    Ok(listed.into_iter().filter(is_migration).collect())
}

fn at_base(git: &Git, (base, name): (String, String)) -> Result<Base, GitError> {
    let files = files_of(git, &base)?;
    let args = [
        "diff",
        "--relative",
        "--no-renames",
        "--no-ext-diff",
        "--diff-filter=M",
        "--name-only",
        "-z",
        "--end-of-options",
        &base,
        "--",
        FOLDER,
    ];
    let edited = listed(git, &args)?.into_iter().filter(|file| files.contains(file)).collect();
    Ok(Base { name, files, edited })
}

/// What differs from the commit at hand, and what it does not know.
fn uncommitted(git: &Git) -> Result<Vec<String>, GitError> {
    let changed =
        ["diff", "--relative", "--no-ext-diff", "--name-only", "-z", "HEAD", "--", FOLDER];
    let unknown = ["ls-files", "--others", "--exclude-standard", "-z", "--", FOLDER];
    let mut found = listed(git, &changed)?;
    found.extend(listed(git, &unknown)?);
    found.sort();
    found.dedup();
    Ok(found)
}

fn listed(git: &Git, args: &[&str]) -> Result<Vec<String>, GitError> {
    let text = git.run(args, limits::GIT_LOCAL)?.text();
    Ok(text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
