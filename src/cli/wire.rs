//! Where providers are named: ports get their implementations here, and provider errors their codes.

use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use crate::providers::git::command::GitError;

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
