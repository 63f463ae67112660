//! Just enough of a repository to tag a release: tags here and on the remote.

use async_trait::async_trait;

use super::orca::Orca;
use crate::base::ids::CommitId;
use crate::ledger::sign::Trust;
use crate::release::ports::{
    Commit, Head, Pushed, Repository, RepositoryError, Signing, Tag, TrustSource, TrustUnknown,
    Upstream,
};
use crate::release::trust_change::TrustSeen;
use crate::verbs::trusted::{Root, TrustRoot};

pub(super) struct SimRepository {
    pub(super) orca: Orca,
}

/// No key is trusted here, and no candidate changes that.
pub(super) struct NoTrust;

#[async_trait]
impl TrustSource for NoTrust {
    async fn look(&self, candidate: &CommitId) -> std::result::Result<TrustSeen, TrustUnknown> {
        self.root(candidate).await.map(|root| root.seen)
    }
}

#[async_trait]
impl TrustRoot for NoTrust {
    async fn root(&self, _: &CommitId) -> std::result::Result<Root, TrustUnknown> {
        let seen =
            TrustSeen { tag: None, keys: Vec::new(), required: false, differences: Vec::new() };
        Ok(Root { trust: Trust::default(), seen, doubts: Vec::new() })
    }
}

type Result<T> = std::result::Result<T, RepositoryError>;

fn failed(action: &str) -> RepositoryError {
    let next = "run it again".to_owned();
    RepositoryError { action: action.to_owned(), detail: "no space left".to_owned(), next }
}

impl SimRepository {
    /// Does one write, unless bad luck or the death of the process is before it.
    fn change<T>(
        &self,
        call: &str,
        effect: impl FnOnce(&mut super::storage::Git, usize) -> T,
    ) -> Result<T> {
        let mut world = self.orca.lock();
        let place = world.place(&self.orca.name, call);
        let luck = world.luck;
        let dies = world.misfortune(&place, luck.deaths, "the process dies before it");
        if dies {
            self.orca.dead.cancel();
        }
        if self.orca.dead.is_cancelled() || world.misfortune(&place, luck.disk, "it fails") {
            return Err(failed(call));
        }
        let done = effect(&mut world.git, self.orca.clone);
        if world.misfortune(&place, luck.deaths, "the process dies after it") {
            self.orca.dead.cancel();
        }
        Ok(done)
    }
}

impl Repository for SimRepository {
    fn head(&self) -> Result<Head> {
        Err(failed("read HEAD"))
    }

    fn is_shallow(&self) -> Result<bool> {
        Ok(false)
    }

    fn dirty_paths(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn is_committed(&self, _: &str) -> Result<bool> {
        Ok(true)
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        let world = self.orca.lock();
        let tags = world.git.clones[self.orca.clone].tags.iter();
        let tag = |(name, commit): &(String, String)| Tag {
            name: name.clone(),
            commit: CommitId::new(commit.clone()).expect("a stored commit"),
        };
        Ok(tags.map(tag).collect())
    }

    fn remote_tags(&self, _: &str) -> Result<Vec<Tag>> {
        Ok(Vec::new())
    }

    fn first_contained(&self, _: &[CommitId]) -> Result<Option<usize>> {
        Ok(None)
    }

    fn commits_since(&self, _: Option<&CommitId>, _: usize) -> Result<Vec<Commit>> {
        Ok(Vec::new())
    }

    fn upstream(&self, _: &str, _: &str) -> Result<Upstream> {
        Ok(Upstream::NoRemote)
    }

    fn remote_url(&self, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    fn file_at(&self, _: &CommitId, _: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn read(&self, _: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn tracks(&self, _: &str) -> Result<bool> {
        Ok(false)
    }

    fn write(&self, path: &str, _: &[u8]) -> Result<()> {
        Err(failed(&format!("write {path}")))
    }

    fn commit(&self, _: &[String], _: &str) -> Result<CommitId> {
        Err(failed("commit"))
    }

    fn create_tag(&self, name: &str, commit: &CommitId, _: &str) -> Result<Signing> {
        let tag = (name.to_owned(), commit.to_string());
        self.change("create_tag", |git, clone| {
            git.clones[clone].tags.insert(tag);
            Signing::Unsigned
        })
    }

    fn push_tag(&self, _: &str, name: &str) -> Result<Pushed> {
        self.change("push_tag", |git, clone| {
            let tag = git.clones[clone].tags.iter().find(|(tag, _)| tag == name).cloned();
            let elsewhere =
                git.remote_tags.iter().any(|there| there.0 == name && Some(there) != tag.as_ref());
            if elsewhere {
                return Pushed::Refused { why: format!("{name} is there, at another commit") };
            }
            git.remote_tags.extend(tag);
            Pushed::Done
        })
    }

    fn push(&self, remote: &str, _: &str, tag: &str) -> Result<Pushed> {
        self.push_tag(remote, tag)
    }
}
