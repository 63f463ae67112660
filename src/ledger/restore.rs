//! Healing a ledger whose ref was deleted, forced back or replaced: of all chains that are still
//! somewhere, the one that goes on from what was seen before stands, and the facts of the others
//! go onto it. Nothing is dropped: a chain that does not stand stays reachable.

use super::ports::{Remote, StorageError, Swap, Tip};
use super::reconcile::Lost;
use super::store::{Fold, Kin, Ledger, LedgerError};
use crate::base::digest::Digest;
use crate::base::ids::OrcaId;
use crate::base::limits;

/// What healing found and did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Where the chain that stands was found.
    pub(crate) from: String,
    /// How many entries it has, and how many the ledger here had.
    pub(crate) entries: u64,
    pub(crate) before: u64,
    /// Facts and decisions of other chains that went onto it.
    pub(crate) carried: Vec<OrcaId>,
    /// Decisions that the chain makes wrong.
    pub(crate) refused: Lost,
    /// Chains that were not taken, and why.
    pub(crate) set_aside: Vec<(String, String)>,
    pub(crate) remote: RemoteHealed,
}

/// What became of the remote's ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RemoteHealed {
    /// There is no remote.
    None,
    /// It has this chain already.
    Same,
    /// It has it now, or would.
    Pushed,
    /// Somebody wrote meanwhile.
    Lost,
    Unreachable(String),
}

/// Why nothing was restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotRestored {
    #[error("no chain can be read here or there")]
    NoChain,
    #[error(
        "ledger rewound: no chain here or there has entry {} that tag {tag} names; a clone that \
         saw it has", head.short()
    )]
    Missing { tag: String, head: Digest },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<StorageError> for NotRestored {
    fn from(error: StorageError) -> Self {
        Self::Ledger(error.into())
    }
}

/// A chain that reads whole.
struct Candidate {
    place: String,
    fold: Fold,
    /// Heads named by tags that it has, then whether it goes on from what this clone saw.
    proof: (usize, bool),
}

/// What there is to choose from.
struct Found {
    chains: Vec<Candidate>,
    set_aside: Vec<(String, String)>,
    remote: Result<Remote, String>,
}

impl Ledger {
    /// Heals from what is here, from the remote, and from the clone or remote `from`.
    pub(crate) fn restore(
        &mut self,
        from: Option<&str>,
        dry_run: bool,
    ) -> Result<Restored, NotRestored> {
        let heads = self.storage.tagged_heads()?;
        let mut found = self.gather(from, &heads)?;
        let best = found.chains.iter().max_by_key(|c| (c.proof, c.fold.link.count));
        let best = best.ok_or(NotRestored::NoChain)?;
        let (place, mut fold) = (best.place.clone(), best.fold.clone());
        if let Some((tag, head)) = heads.iter().find(|(_, head)| !fold.digests.contains_key(head)) {
            return Err(NotRestored::Missing { tag: tag.clone(), head: *head });
        }
        let _held = if dry_run { None } else { Some(self.storage.lock(limits::LEDGER_LOCK)?) };
        let here = self.storage.tip()?;
        let mut restored = Restored {
            from: place,
            entries: fold.link.count,
            before: 0,
            carried: Vec::new(),
            refused: Vec::new(),
            set_aside: std::mem::take(&mut found.set_aside),
            remote: RemoteHealed::None,
        };
        for chain in &found.chains {
            if chain.fold.tip == here {
                restored.before = chain.fold.link.count;
            }
            self.take_over(chain, here.as_ref(), &mut fold, &mut restored, dry_run)?;
        }
        restored.entries = fold.link.count;
        let Some(tip) = fold.tip.clone() else { return Err(NotRestored::NoChain) };
        if !dry_run {
            self.stand(here.as_ref(), &tip, fold)?;
        }
        restored.remote = self.heal_remote(found.remote, &tip, dry_run)?;
        Ok(restored)
    }

    fn gather(
        &mut self,
        from: Option<&str>,
        heads: &[(String, Digest)],
    ) -> Result<Found, NotRestored> {
        let remote = self.storage.fetch().map_err(|error| error.to_string());
        let seen = self.storage.high_water()?;
        let mut found = Found { chains: Vec::new(), set_aside: Vec::new(), remote };
        for (place, tip) in self.storage.chains(from)? {
            if found.chains.iter().any(|known| known.fold.tip.as_ref() == Some(&tip)) {
                continue;
            }
            let fold = match self.fold_on(Fold::default(), Some(&tip)) {
                Ok(fold) => fold,
                Err(error) => {
                    found.set_aside.push((place, error.to_string()));
                    continue;
                }
            };
            let named = heads.iter().filter(|(_, head)| fold.digests.contains_key(head)).count();
            let goes_on = match &seen {
                Some(seen) => self.storage.descends(&tip, seen).unwrap_or(false),
                None => false,
            };
            found.chains.push(Candidate { place, fold, proof: (named, goes_on) });
        }
        Ok(found)
    }

    /// Puts what only `chain` has onto `fold`. A chain that shares nothing with it is another
    /// repository's; of such a one only what this clone itself wrote on top is taken.
    fn take_over(
        &self,
        chain: &Candidate,
        here: Option<&Tip>,
        fold: &mut Fold,
        restored: &mut Restored,
        dry_run: bool,
    ) -> Result<(), NotRestored> {
        let (Some(tip), Some(best)) = (&chain.fold.tip, &fold.tip) else { return Ok(()) };
        if self.storage.descends(best, tip)? {
            return Ok(());
        }
        let common = self.storage.common(tip, best)?;
        if common.is_none() {
            let why = "it shares no entry with this ledger".to_owned();
            restored.set_aside.push((chain.place.clone(), why));
        }
        // What this clone and the remote once agreed on was not written here alone.
        let agreed = self.storage.high_water()?;
        let floor = match (&common, chain.fold.tip.as_ref() == here, agreed) {
            (Some(common), _, _) => Some(common.clone()),
            (None, true, Some(agreed)) => self.storage.common(tip, &agreed)?,
            (None, true, None) => None,
            (None, false, _) => Some(tip.clone()),
        };
        for kin in self.kin_after(tip, floor.as_ref())? {
            self.take_one(&kin, fold, restored, dry_run)?;
        }
        if !dry_run {
            self.storage.keep_lost(tip)?;
        }
        Ok(())
    }

    fn take_one(
        &self,
        kin: &Kin,
        fold: &mut Fold,
        restored: &mut Restored,
        dry_run: bool,
    ) -> Result<(), LedgerError> {
        let id = kin.record.id().clone();
        if fold.state.contains(&id) {
            return Ok(());
        }
        if dry_run {
            restored.carried.push(id);
            return Ok(());
        }
        match self.carry_over(kin, fold)? {
            Ok(()) => restored.carried.push(id),
            Err(refused) => restored.refused.push((id, refused)),
        }
        Ok(())
    }

    /// Makes the healed chain the ledger here.
    fn stand(&mut self, here: Option<&Tip>, tip: &Tip, fold: Fold) -> Result<(), LedgerError> {
        if here != Some(tip) && self.storage.advance(here, tip)? == Swap::Lost {
            return Err(LedgerError::Contended);
        }
        self.fold = fold;
        self.fold_pending_in()
    }

    fn heal_remote(
        &mut self,
        remote: Result<Remote, String>,
        tip: &Tip,
        dry_run: bool,
    ) -> Result<RemoteHealed, NotRestored> {
        let remote = match remote {
            Ok(Remote::None) => return Ok(RemoteHealed::None),
            Ok(remote) => remote,
            Err(why) => return Ok(RemoteHealed::Unreachable(why)),
        };
        let tip = if dry_run { tip.clone() } else { self.fold.tip.clone().unwrap_or(tip.clone()) };
        let healed = match &remote {
            Remote::At(there) if *there == tip => RemoteHealed::Same,
            _ if dry_run => return Ok(RemoteHealed::Pushed),
            _ => match self.storage.replace(&remote, &tip) {
                Ok(Swap::Done) => RemoteHealed::Pushed,
                Ok(Swap::Lost) => RemoteHealed::Lost,
                Err(error) => RemoteHealed::Unreachable(error.to_string()),
            },
        };
        if !dry_run && matches!(healed, RemoteHealed::Same | RemoteHealed::Pushed) {
            self.storage.set_high_water(&tip)?;
        }
        Ok(healed)
    }
}

/// What a verification looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) entries: u64,
    pub(crate) head: Option<Digest>,
    pub(crate) signed: u64,
    /// Entries of a newer orca.
    pub(crate) unknown: u64,
    pub(crate) exhibits: u64,
    /// Exhibits whose bytes are not here, or not those that were recorded: entry and name.
    pub(crate) missing: Vec<(OrcaId, String)>,
    /// Tags whose ledger head is in the chain, and those whose head is not here.
    pub(crate) tags: u64,
    pub(crate) strange_tags: Vec<String>,
    pub(crate) pending: u64,
}

impl Ledger {
    /// Reads every entry and every exhibit again; the entries, so that signatures can be checked.
    pub(crate) fn verify(&mut self) -> Result<(Verified, Vec<Kin>), LedgerError> {
        self.fold = Fold::default();
        self.refresh()?;
        self.refuse_below_high_water()?;
        let kin = self.entries()?;
        let (known, strange): (Vec<_>, Vec<_>) = self
            .storage
            .tagged_heads()?
            .into_iter()
            .partition(|(_, head)| self.fold.digests.contains_key(head));
        let mut seen = Verified {
            entries: self.fold.link.count,
            head: self.fold.link.newest,
            signed: count(kin.iter().filter(|k| k.stored.dsse.is_some())),
            unknown: count(self.fold.state.unknown_entries.iter()),
            tags: count(known.iter()),
            strange_tags: strange.into_iter().map(|(tag, _)| tag).collect(),
            pending: count(self.storage.pending()?.iter()),
            ..Verified::default()
        };
        for one in &kin {
            for reference in one.record.exhibits() {
                seen.exhibits += 1;
                let bytes = self.storage.exhibit(&one.stored.tip, reference)?;
                if bytes.is_none_or(|bytes| Digest::of(&bytes) != reference.sha256) {
                    seen.missing.push((one.record.id().clone(), reference.name.clone()));
                }
            }
        }
        Ok((seen, kin))
    }

    /// How this ledger would be shared: what waits here, by what is known without asking.
    pub(crate) fn waiting(&mut self) -> Result<(u64, usize), LedgerError> {
        self.refresh()?;
        let pending = self.storage.pending()?.len();
        let (Some(tip), true) = (self.fold.tip.clone(), self.storage.has_remote()) else {
            return Ok((0, pending));
        };
        let shared = match self.storage.high_water()? {
            Some(seen) if self.storage.descends(&tip, &seen)? => Some(seen),
            _ => None,
        };
        Ok((count(self.storage.read(&tip, shared.as_ref())?.iter()), pending))
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}
