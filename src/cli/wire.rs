//! Where providers are named: ports get their implementations here, and provider errors their codes.

use std::path::{Path, PathBuf};

use super::config::resolve::{self, Config};
use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
pub(crate) use crate::providers::git::command::Git;
use crate::providers::git::command::GitError;
use crate::providers::git::release::GitRepository;
use crate::release::ports::RepositoryError;
use crate::release::version::NextError;

/// The remote that is meant when nobody says.
pub(crate) const REMOTE: &str = "origin";

/// The configuration; a missing file is a failure.
pub(crate) fn load_config(context: &Context) -> Result<Config, Failure> {
    let file = config_file(context);
    if !file.is_file() {
        return Err(no_config(&file));
    }
    let config = resolve::read(&file, &context.env)?;
    learn_addresses(context, &config);
    Ok(config)
}

pub(crate) fn no_config(file: &Path) -> Failure {
    let text = format!("there is no {}", file.display());
    Failure::new(Code::NoConfig, Exit::Usage, text)
        .hint("orca init writes one")
        .hint("orca --config FILE reads another")
}

/// An address may hold a password.
pub(crate) fn learn_addresses(context: &Context, config: &Config) {
    for url in [&config.platform.admin.value, &config.platform.url.value].into_iter().flatten() {
        context.redactor.learn_url(url);
    }
}

/// The configuration, or the defaults where there is no file and none was asked for.
pub(crate) fn load_config_or_default(context: &Context) -> Result<Config, Failure> {
    let file = config_file(context);
    if context.config.is_some() || file.is_file() {
        return load_config(context);
    }
    Ok(resolve::parse("version: 1\n", &file, &context.env)?)
}

/// `--config`, else `orca.yaml` here or above, up to the top of the repository.
pub(crate) fn config_file(context: &Context) -> PathBuf {
    if let Some(file) = &context.config {
        return context.folder.join(file);
    }
    let here = match context.folder.strip_prefix(".") {
        Ok(folder) => folder.join(resolve::FILE),
        Err(_) => context.folder.join(resolve::FILE),
    };
    let Ok(folder) = context.folder.canonicalize() else { return here };
    let top = |folder: &&Path| folder.join(".git").exists();
    let has = |folder: &&Path| folder.join(resolve::FILE).is_file();
    if has(&folder.as_path()) || top(&folder.as_path()) {
        return here;
    }
    let above = folder.ancestors().skip(1).find(|folder| has(folder) || top(folder));
    above.filter(has).map_or(here, |folder| folder.join(resolve::FILE))
}

/// The repository that holds the folder.
pub(crate) fn repository(context: &Context) -> Result<GitRepository, Failure> {
    GitRepository::open(&context.folder, context.redactor.clone()).map_err(|error| {
        Failure::new(Code::NoRepository, Exit::Usage, error.to_string())
            .hint("orca -C FOLDER ... runs it in a repository")
            .hint(error.next)
    })
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        Self::new(Code::Git, Exit::Unavailable, error.to_string()).hint(error.next)
    }
}

impl From<NextError> for Failure {
    fn from(error: NextError) -> Self {
        let text = error.to_string();
        match error {
            NextError::Nothing { .. } => {
                Self::new(Code::NothingToRelease, Exit::NothingToRelease, text)
                    .hint("--bump patch releases all the same")
            }
            NextError::ReleaseAs { .. } | NextError::NotAbove { .. } => {
                Self::new(Code::Input, Exit::Usage, text)
                    .hint("commit a footer such as Release-As: 1.3.0; the newest counts")
            }
            NextError::Overflow(_) => Self::new(Code::Input, Exit::Usage, text)
                .hint("name the version: commit a footer such as Release-As: 2.0.0"),
            NextError::Repository(error) => error.into(),
        }
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let failure = Self::new(Code::Git, Exit::Unavailable, error.to_string());
        match error {
            GitError::Missing => failure.hint("install git 2.30 or newer and put it on PATH"),
            GitError::Timeout { .. } => {
                failure.hint("see whether the remote answers: git ls-remote")
            }
            _ => failure.hint("run the same git command by hand to see more"),
        }
    }
}
