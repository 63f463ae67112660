//! What a release needs of a repository, in its own words. Calls may block.
//! Names and paths given here are already checked; an implementation adds no policy of its own.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::trust_change::TrustSeen;
use crate::base::clock::Timestamp;
use crate::base::ids::CommitId;

/// What the repository could not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not {action}: {detail}")]
pub(crate) struct RepositoryError {
    /// What was tried: `read the tags`.
    pub(crate) action: String,
    pub(crate) detail: String,
    /// What to do about it.
    pub(crate) next: String,
}

/// One commit as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub(crate) id: CommitId,
    pub(crate) author: String,
    pub(crate) email: String,
    pub(crate) at: Timestamp,
    pub(crate) subject: String,
    pub(crate) body: String,
    /// A merge: its message belongs to the tool that made it.
    pub(crate) merge: bool,
}

impl Commit {
    /// Subject and body as one message.
    pub(crate) fn message(&self) -> String {
        if self.body.is_empty() {
            self.subject.clone()
        } else {
            format!("{}\n\n{}", self.subject, self.body)
        }
    }
}

/// A tag and the commit it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) commit: CommitId,
}

/// What is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) commit: CommitId,
    /// Nothing on a detached HEAD.
    pub(crate) branch: Option<String>,
}

/// Where HEAD stands against the branch of the same name on the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// The repository has no such remote: nothing to push to.
    NoRemote,
    /// The remote does not know the branch.
    NoBranch,
    /// The remote's branch is at this commit, with this many commits on either side only.
    At { commit: CommitId, ahead: usize, behind: usize },
}

/// The signature that a new tag got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    Signed,
    Unsigned,
}

/// How a push ended, when git could say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The remote has both.
    Done,
    /// The remote refused; nothing was changed there.
    Refused { why: String },
}

/// The repository that is released. `remote` is a name such as `origin`.
pub(crate) trait Repository {
    fn head(&self) -> Result<Head, RepositoryError>;
    fn is_shallow(&self) -> Result<bool, RepositoryError>;
    /// Tracked paths that differ from HEAD, staged or not.
    fn dirty_paths(&self) -> Result<Vec<String>, RepositoryError>;
    /// Whether HEAD has this path at all.
    fn is_committed(&self, path: &str) -> Result<bool, RepositoryError>;
    fn tags(&self) -> Result<Vec<Tag>, RepositoryError>;
    /// The tags as the remote has them now. Nothing without such a remote.
    fn remote_tags(&self, remote: &str) -> Result<Vec<Tag>, RepositoryError>;
    /// The place in `commits` of the first that HEAD contains.
    fn first_contained(&self, commits: &[CommitId]) -> Result<Option<usize>, RepositoryError>;
    /// Commits in HEAD and not in `base`, newest first; without a base the newest `max`.
    fn commits_since(
        &self,
        base: Option<&CommitId>,
        max: usize,
    ) -> Result<Vec<Commit>, RepositoryError>;
    /// Asks the remote itself, not what was fetched some time ago.
    fn upstream(&self, remote: &str, branch: &str) -> Result<Upstream, RepositoryError>;
    fn remote_url(&self, remote: &str) -> Result<Option<String>, RepositoryError>;
    /// A file as it stands in a commit; nothing where the commit has no such file.
    fn file_at(&self, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, RepositoryError>;
    /// A file of the working tree, its path relative to the top.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, RepositoryError>;
    /// Whether git keeps this file; an ignored one stays out of a release's commit.
    fn tracks(&self, path: &str) -> Result<bool, RepositoryError>;
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), RepositoryError>;
    /// Commits exactly these paths, with the user's hooks and signature.
    fn commit(&self, paths: &[String], message: &str) -> Result<CommitId, RepositoryError>;
    /// Makes an annotated tag, signed when the user's configuration signs tags.
    fn create_tag(
        &self,
        name: &str,
        commit: &CommitId,
        message: &str,
    ) -> Result<Signing, RepositoryError>;
    /// Pushes one tag alone; a tag that is there already, at the same commit, counts as done.
    /// Without such a remote there is nothing to do.
    fn push_tag(&self, remote: &str, tag: &str) -> Result<Pushed, RepositoryError>;
    /// Pushes the commit to `branch` and the tag, both or neither.
    fn push(&self, remote: &str, branch: &str, tag: &str) -> Result<Pushed, RepositoryError>;
}

/// Why trust could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trust cannot be read: {detail}")]
pub(crate) struct TrustUnknown {
    pub(crate) detail: String,
    pub(crate) next: String,
}

/// What the last final tag says of trust and gates, and what a candidate says otherwise.
#[async_trait]
pub(crate) trait TrustSource: Send + Sync {
    async fn look(&self, candidate: &CommitId) -> Result<TrustSeen, TrustUnknown>;
}
