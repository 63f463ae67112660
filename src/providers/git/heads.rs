//! Where the ledger stood, by witnesses other than its own ref: release tags that name its head,
//! and chains that are still here or in another clone. They find out and heal a rewound ledger.

use git2::Oid;

use super::durable::{damaged, oid_of, tip_of};
use super::objects::{FETCHED, GitStorage, HIGH_WATER, LEDGER};
use super::remote::{Expect, NO_HOOKS, first_lines, unavailable};
use crate::base::digest::Digest;
use crate::base::limits;
use crate::ledger::ports::{Result, StorageError, Swap, Tip};

/// How a tag's message names the ledger's head at its time.
const TRAILER: &str = "Orca-Ledger: ";
/// Chains that lost a race, or were set aside by healing.
const LOST: &str = "refs/orca/lost/";
/// Chains of another clone, while healing looks at them.
const FOREIGN: &str = "refs/orca/restore/";

impl GitStorage {
    pub(super) fn heads_in_tags(&self) -> Result<Vec<(String, Digest)>> {
        let names = self.repository.references_glob("refs/tags/*");
        let mut names = names.map_err(|e| damaged("refs/tags", &e))?;
        let names: Vec<String> =
            names.names().filter_map(|name| name.ok().map(str::to_owned)).collect();
        let mut heads = Vec::new();
        for name in names {
            let Ok(oid) = self.repository.refname_to_id(&name) else { continue };
            let Ok(tag) = self.repository.find_tag(oid) else { continue };
            let message = String::from_utf8_lossy(tag.message_bytes().unwrap_or_default());
            // The last one: notes above it may quote an older tag.
            let named = message.lines().rev().find_map(|line| line.strip_prefix(TRAILER));
            let short = name.trim_start_matches("refs/tags/").to_owned();
            heads.extend(named.and_then(|text| Digest::parse(text.trim())).map(|d| (short, d)));
        }
        Ok(heads)
    }

    /// The chains of this repository by their refs, then those of the clone or remote `from`.
    pub(super) fn chains_here_and(&self, from: Option<&str>) -> Result<Vec<(String, Tip)>> {
        let mut chains = Vec::new();
        for name in [LEDGER, HIGH_WATER, FETCHED] {
            chains.extend(self.read_ref(name)?.map(|oid| (name.to_owned(), tip_of(oid))));
        }
        chains.extend(self.chains_below(LOST)?);
        if let Some(from) = from {
            self.fetch_chains(from)?;
            let named = |(_, tip)| (from.to_owned(), tip);
            chains.extend(self.chains_below(FOREIGN)?.into_iter().map(named));
        }
        Ok(chains)
    }

    fn chains_below(&self, prefix: &str) -> Result<Vec<(String, Tip)>> {
        let names = self.repository.references_glob(&format!("{prefix}*"));
        let mut names = names.map_err(|e| damaged(prefix, &e))?;
        let names: Vec<String> =
            names.names().filter_map(|name| name.ok().map(str::to_owned)).collect();
        let tip = |name: String| Ok(self.read_ref(&name)?.map(|oid| (name, tip_of(oid))));
        names.into_iter().filter_map(|name| tip(name).transpose()).collect()
    }

    /// Everything that the other side knows of its ledger, not only its ref: that may be rewound.
    fn fetch_chains(&self, from: &str) -> Result<()> {
        let spec = |theirs: &str, ours: &str| format!("+refs/orca/{theirs}*:{FOREIGN}{ours}*");
        let specs = [
            spec("ledger", "ledger"),
            spec("high-water", "high-water"),
            spec("remote/ledger", "fetched"),
            spec("lost/", "lost/"),
        ];
        let mut args = vec![
            "-c",
            NO_HOOKS,
            "fetch",
            "--quiet",
            "--no-tags",
            "--prune",
            "--no-write-fetch-head",
            "--recurse-submodules=no",
            "--end-of-options",
            from,
        ];
        args.extend(specs.iter().map(String::as_str));
        let output = self.git.try_run(&args, limits::GIT_REMOTE);
        let output = output.map_err(|e| unavailable(from, &e))?;
        if output.success {
            return Ok(());
        }
        let (remote, detail) = (from.to_owned(), first_lines(&output.stderr));
        Err(StorageError::RemoteUnavailable { remote, detail })
    }

    pub(super) fn push_ledger(&self, tip: &Tip, expect: Expect<'_>) -> Result<Swap> {
        let swap = self.push_to(LEDGER, &tip.0, expect)?;
        if swap == Swap::Done {
            self.set_ref(FETCHED, oid_of(tip)?)?;
        }
        Ok(swap)
    }

    /// The first ref of the ledger whose newest object cannot be read: git itself then says that
    /// the remote is at fault.
    pub(super) fn damaged_ref(&self) -> Option<StorageError> {
        let unreadable = |oid: Oid| self.repository.find_commit(oid).err();
        [LEDGER, HIGH_WATER, FETCHED].iter().find_map(|name| {
            let oid = self.repository.refname_to_id(name).ok()?;
            unreadable(oid).map(|error| damaged(&format!("{name} ({oid})"), &error))
        })
    }
}
