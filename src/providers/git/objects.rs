//! The ledger in a git repository: one commit an entry at `refs/orca/ledger`, through libgit2.
//!
//! libgit2 syncs nothing to disk by itself and can report success for an object that is not there,
//! so every write is synced and read back here. Refs move only from an expected old value.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{ErrorCode, Repository};

use super::command::Git;
use super::durable::{DSSE, ENTRY, damaged, name_of, not_written, oid_of, signature, tip_of};
use super::lock::RepositoryLock;
use super::remote::Expect;
use super::state_folder::{self, StateFolder};
use crate::base::atomic_file;
use crate::base::digest::Digest;
use crate::base::ids::{Environment, OrcaId};
use crate::base::limits;
use crate::ledger::entry::{ExhibitRef, Stored as Place};
use crate::ledger::ports::{
    Held, Pending, Remote, Result, Side, Storage, StorageError, Stored, StoredLease, Swap, Tip,
    ToStore,
};

pub(super) const LEDGER: &str = "refs/orca/ledger";
/// The remote's ledger as it was fetched last.
pub(super) const FETCHED: &str = "refs/orca/remote/ledger";
pub(super) const HIGH_WATER: &str = "refs/orca/high-water";
const LEASES: &str = "refs/orca/lease/";
pub(super) const FETCHED_LEASES: &str = "refs/orca/remote/lease/";

/// One repository, and the remote that shares its ledger.
pub(crate) struct GitStorage {
    pub(super) repository: Repository,
    pub(super) git: Git,
    pub(super) remote: Option<String>,
    /// Folders outside the repository where intents wait that it did not take; the first is
    /// written to.
    outside: Vec<PathBuf>,
}

impl GitStorage {
    /// Opens the repository around `folder`. The remote is `origin`, or the only one there is.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let repository = Repository::discover(folder).map_err(|e| refuse_opening(folder, &e))?;
        let remote = repository.remotes().ok().and_then(|names| {
            let names: Vec<String> = (0..names.len())
                .filter_map(|i| names.get(i).ok().flatten().map(str::to_owned))
                .collect();
            let origin = names.iter().find(|n| *n == "origin").cloned();
            origin.or_else(|| (names.len() == 1).then(|| names[0].clone()))
        });
        let place = repository.workdir().unwrap_or_else(|| repository.path()).to_owned();
        Ok(Self { repository, git: Git::in_folder(place), remote, outside: Vec::new() })
    }

    /// The same, with a place for intents when the repository takes none: in `state`, under the
    /// name of this repository, and under `others` that belong to it too.
    pub(crate) fn with_state_folder(mut self, state: &StateFolder, others: &[String]) -> Self {
        let own = self.repository.commondir();
        let own = own.canonicalize().unwrap_or_else(|_| own.to_owned());
        let own = own.display().to_string();
        self.outside = std::iter::once(&own).chain(others).map(|place| state.of(place)).collect();
        self
    }

    pub(super) fn own_folder(&self) -> PathBuf {
        self.repository.commondir().join("orca")
    }

    fn beside(&self) -> PathBuf {
        match self.repository.workdir() {
            Some(folder) => folder.join(".orca"),
            None => self.own_folder(),
        }
    }

    fn lease_ref(environment: &Environment, side: Side) -> String {
        match side {
            Side::Here => format!("{LEASES}{environment}"),
            Side::There => format!("{FETCHED_LEASES}{environment}"),
        }
    }
}

impl Storage for GitStorage {
    fn lock(&self, deadline: Duration) -> Result<Box<dyn Held>> {
        let held = RepositoryLock::take(&self.own_folder().join("lock"), deadline)?;
        // While the lock is held, a lock file of libgit2 belongs to nobody alive.
        let leftover = self.repository.commondir().join(format!("{LEDGER}.lock"));
        match fs::remove_file(&leftover) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(not_written(&leftover.display().to_string(), &e))
            }
            _ => Ok(Box::new(held)),
        }
    }

    fn tip(&self) -> Result<Option<Tip>> {
        Ok(self.read_ref(LEDGER)?.map(tip_of))
    }

    fn read(&self, tip: &Tip, after: Option<&Tip>) -> Result<Vec<Stored>> {
        let after = after.map(oid_of).transpose()?;
        let mut next = Some(oid_of(tip)?);
        let mut entries = Vec::new();
        while let Some(oid) = next.filter(|oid| Some(*oid) != after) {
            let (entry, parent) = self.read_one(oid)?;
            entries.push(entry);
            next = parent;
        }
        entries.reverse();
        Ok(entries)
    }

    fn entry(&self, tip: &Tip) -> Result<Stored> {
        Ok(self.read_one(oid_of(tip)?)?.0)
    }

    fn recall(&self, tip: &Tip) -> Result<Vec<Stored>> {
        self.recall_chain(oid_of(tip)?)
    }

    fn write(&self, parent: Option<&Tip>, new: &ToStore<'_>) -> Result<Tip> {
        let failed = |e: git2::Error| not_written("the entry", &e.message());
        let mut tree = self.repository.treebuilder(None).map_err(failed)?;
        let mut files = vec![(ENTRY, new.entry)];
        files.extend(new.dsse.map(|dsse| (DSSE, dsse)));
        let small = new.exhibits.iter().filter(|(r, _)| r.stored == Place::Blob);
        files.extend(small.map(|(reference, bytes)| (reference.name.as_str(), bytes.as_slice())));
        let mut objects = Vec::new();
        for (name, bytes) in files {
            let oid = self.blob(bytes, name)?;
            tree.insert(name, oid, 0o100_644).map_err(failed)?;
            objects.push((oid, name));
        }
        let tree = tree.write().map_err(failed)?;
        objects.push((tree, "the tree"));
        let tree = self.repository.find_tree(tree).map_err(failed)?;
        let who = signature(new.at).map_err(failed)?;
        let parent = parent.map(oid_of).transpose()?;
        let parent = parent.map(|p| self.repository.find_commit(p)).transpose().map_err(failed)?;
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        let message = format!("orca: {} {}\n", new.kind, new.id);
        let commit =
            self.repository.commit(None, &who, &who, &message, &tree, &parents).map_err(failed)?;
        objects.push((commit, "the commit"));
        self.sync_objects(&objects)?;
        Ok(tip_of(commit))
    }

    fn advance(&self, expected: Option<&Tip>, to: &Tip) -> Result<Swap> {
        self.swap_ref(LEDGER, expected.map(oid_of).transpose()?, oid_of(to)?)
    }

    fn exhibit(&self, tip: &Tip, exhibit: &ExhibitRef) -> Result<Option<Vec<u8>>> {
        let name = format!("{}.json", exhibit.sha256.hex());
        if exhibit.stored == Place::Beside {
            let file = self.beside().join("exhibits").join(&name);
            let bytes_max = u64::try_from(limits::EXHIBIT_BYTES_MAX).unwrap_or(u64::MAX);
            return match atomic_file::read_limited(&file, bytes_max) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(damaged(&format!("exhibit {name}"), &e)),
            };
        }
        let oid = oid_of(tip)?;
        let commit = self.repository.find_commit(oid).map_err(|e| damaged(&name_of(oid), &e))?;
        let tree = commit.tree().map_err(|e| damaged(&name_of(oid), &e))?;
        let blob = tree.get_name(&name).map(|entry| entry.id());
        let what = format!("exhibit {name}");
        blob.map(|oid| self.read_blob(oid, &what, limits::EXHIBIT_BYTES_MAX)).transpose()
    }

    fn put_beside(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let folder = self.beside();
        let file = folder.join("exhibits").join(format!("{}.json", digest.hex()));
        let what = file.display().to_string();
        // The folder ignores itself, so that it never makes a tree dirty.
        let ignore = folder.join(".gitignore");
        if !ignore.exists() {
            atomic_file::write(&ignore, b"*\n").map_err(|e| not_written(&what, &e))?;
        }
        atomic_file::write(&file, bytes).map_err(|e| not_written(&what, &e))
    }

    fn descends(&self, tip: &Tip, ancestor: &Tip) -> Result<bool> {
        let (tip, ancestor) = (oid_of(tip)?, oid_of(ancestor)?);
        let descends = || self.repository.graph_descendant_of(tip, ancestor);
        if tip == ancestor {
            return Ok(true);
        }
        descends().map_err(|e| damaged(&name_of(tip), &e))
    }

    fn common(&self, a: &Tip, b: &Tip) -> Result<Option<Tip>> {
        let (a, b) = (oid_of(a)?, oid_of(b)?);
        match self.repository.merge_base(a, b) {
            Ok(oid) => Ok(Some(tip_of(oid))),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(damaged(&name_of(a), &e)),
        }
    }

    fn keep_lost(&self, tip: &Tip) -> Result<()> {
        self.set_ref(&format!("refs/orca/lost/{}", tip.0), oid_of(tip)?)
    }

    fn high_water(&self) -> Result<Option<Tip>> {
        Ok(self.read_ref(HIGH_WATER)?.map(tip_of))
    }

    fn set_high_water(&self, tip: &Tip) -> Result<()> {
        self.set_ref(HIGH_WATER, oid_of(tip)?)
    }

    fn pending(&self) -> Result<Vec<Pending>> {
        let mut waiting = state_folder::waiting(&self.own_folder().join("pending"))?;
        for folder in &self.outside {
            // Not ours alone, and no reason to stop: what cannot be listed waits on.
            waiting.extend(state_folder::waiting(folder).unwrap_or_default());
        }
        Ok(waiting)
    }

    fn put_pending(&self, id: &OrcaId, bytes: &[u8]) -> Result<PathBuf> {
        let own = self.own_folder().join("pending");
        state_folder::put(std::iter::once(&own).chain(self.outside.first()), id, bytes)
    }

    fn drop_pending(&self, pending: &Pending) -> Result<()> {
        let what = pending.file.display().to_string();
        fs::remove_file(&pending.file).map_err(|e| not_written(&what, &e))
    }

    fn has_remote(&self) -> bool {
        self.remote.is_some()
    }

    fn fetch(&self) -> Result<Remote> {
        self.fetch_remote()
    }

    fn fetched(&self) -> Result<Remote> {
        if self.remote.is_none() {
            return Ok(Remote::None);
        }
        Ok(self.read_ref(FETCHED)?.map_or(Remote::Empty, |oid| Remote::At(tip_of(oid))))
    }

    fn push(&self, tip: &Tip) -> Result<Swap> {
        self.push_ledger(tip, Expect::Ancestor)
    }

    fn replace(&self, expected: &Remote, tip: &Tip) -> Result<Swap> {
        let old = match expected {
            Remote::At(old) => Some(old.0.as_str()),
            Remote::Empty | Remote::None => None,
        };
        self.push_ledger(tip, Expect::Exactly(old))
    }

    fn tagged_heads(&self) -> Result<Vec<(String, Digest)>> {
        self.heads_in_tags()
    }

    fn chains(&self, from: Option<&str>) -> Result<Vec<(String, Tip)>> {
        self.chains_here_and(from)
    }

    fn lease(&self, environment: &Environment, side: Side) -> Result<Option<StoredLease>> {
        let name = Self::lease_ref(environment, side);
        let Some(oid) = self.read_ref(&name)? else { return Ok(None) };
        let bytes = self.read_blob(oid, &name, limits::ENTRY_BYTES_MAX)?;
        Ok(Some(StoredLease { version: oid.to_string(), bytes }))
    }

    fn leases(&self) -> Result<Vec<Environment>> {
        let names = self.repository.references_glob(&format!("{LEASES}*"));
        let mut names = names.map_err(|e| damaged(LEASES, &e))?;
        let environments = names
            .names()
            .filter_map(|name| Environment::new(name.ok()?.strip_prefix(LEASES)?).ok());
        Ok(environments.collect())
    }

    fn swap_lease(
        &self,
        environment: &Environment,
        side: Side,
        expected: Option<&str>,
        bytes: &[u8],
    ) -> Result<Swap> {
        let name = Self::lease_ref(environment, side);
        let oid = self.blob(bytes, &name)?;
        self.sync_objects(&[(oid, "the lease")])?;
        if side == Side::There {
            let theirs = format!("{LEASES}{environment}");
            let swap = self.push_to(&theirs, &oid.to_string(), Expect::Exactly(expected))?;
            if swap == Swap::Done {
                self.set_ref(&name, oid)?;
            }
            return Ok(swap);
        }
        let expected = expected.map(|hex| oid_of(&Tip(hex.to_owned()))).transpose()?;
        self.swap_ref(&name, expected, oid)
    }
}

fn refuse_opening(folder: &Path, error: &git2::Error) -> StorageError {
    let path = folder.display().to_string();
    let message = error.message().to_ascii_lowercase();
    let unsupported = |feature, fix: &str| StorageError::Unsupported {
        path: path.clone(),
        feature,
        fix: fix.to_owned(),
    };
    if error.code() == ErrorCode::Owner {
        let fix = format!("run: git config --global --add safe.directory {path}");
        return unsupported("files of another owner", &fix);
    }
    if message.contains("refstorage") {
        return unsupported("reftable refs", "run: git refs migrate --ref-format=files");
    }
    if message.contains("objectformat") || message.contains("object format") {
        return unsupported("SHA-256 objects", "clone it into a repository with SHA-1 objects");
    }
    if error.code() == ErrorCode::NotFound {
        return StorageError::NoRepository { path };
    }
    damaged(&path, error)
}
