//! One history with the remote.
//!
//! After a lost race the remote's chain stands. My facts go onto it unchanged, inside carriers; my
//! decisions are validated again, rebuilt and signed anew, or refused with the name of whoever was
//! first. The chain that lost stays reachable. A remote that does not go on from what was seen
//! before is never taken, nor written to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::chain::{Said, verify_next};
use super::entry::{Body, Entry, ExhibitRef};
use super::ports::{Remote, Stored, Swap, Tip, ToStore};
use super::sign;
use super::store::{Draft, Fold, Kin, Ledger, LedgerError, TRIES};
use super::validate::{Proposal, Refused};
use crate::base::crash_point::{self, CrashPoint};
use crate::base::dsse::{Envelope, SigningKey};
use crate::base::ids::OrcaId;
use crate::base::limits;

/// How this ledger stands to the remote's, as far as is known without asking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is waiting to be pushed.
    Synced,
    Pending,
    NoRemote,
    Rewound,
}

pub(super) type Lost = Vec<(OrcaId, Refused)>;

impl Ledger {
    /// Makes one history with the remote: fetch, verify, reconcile, push.
    pub(crate) fn sync(&mut self) -> Result<Standing, LedgerError> {
        // A damaged ledger here is said as such, not as a remote that does not answer.
        self.refresh()?;
        if !self.storage.has_remote() {
            if !self.storage.pending()?.is_empty() {
                let _held = self.storage.lock(limits::LEDGER_LOCK)?;
                self.refresh()?;
                self.fold_pending_in()?;
            }
            return Ok(Standing::NoRemote);
        }
        let mut lost = Lost::new();
        for _ in 0..TRIES {
            let remote = self.storage.fetch()?;
            self.check_high_water(&remote)?;
            let push = {
                let _held = self.storage.lock(limits::LEDGER_LOCK)?;
                self.refresh()?;
                self.fold_pending_in()?;
                self.meet(&remote, &mut lost)?
            };
            let Some(tip) = push else { return self.settled(lost) };
            // What does not have every head that a tag names is not written to the remote.
            self.refuse_rewound()?;
            if self.storage.push(&tip)? == Swap::Done {
                crash_point::hit(CrashPoint::LedgerAfterPush);
                self.storage.set_high_water(&tip)?;
                return self.settled(lost);
            }
        }
        Err(LedgerError::Contended)
    }

    /// How things stand, without asking the remote.
    pub(crate) fn synced(&self) -> Result<Standing, LedgerError> {
        if !self.storage.has_remote() {
            return Ok(Standing::NoRemote);
        }
        let (tip, seen) = (self.storage.tip()?, self.storage.high_water()?);
        let waiting = !self.storage.pending()?.is_empty();
        Ok(match (tip, seen) {
            (None, None) if !waiting => Standing::Synced,
            (Some(tip), Some(seen)) if tip == seen && !waiting => Standing::Synced,
            (None, Some(_)) => Standing::Rewound,
            (Some(tip), Some(seen)) if !self.storage.descends(&tip, &seen)? => Standing::Rewound,
            _ => Standing::Pending,
        })
    }

    /// All that stood here when the remote was met is there now. What another orca of this clone
    /// appended since is its own to push.
    fn settled(&mut self, lost: Lost) -> Result<Standing, LedgerError> {
        self.push_leases()?;
        self.refresh()?;
        if !lost.is_empty() {
            return Err(LedgerError::Lost(lost));
        }
        match self.synced()? {
            Standing::Pending if self.storage.pending()?.is_empty() => Ok(Standing::Synced),
            standing => Ok(standing),
        }
    }

    fn check_high_water(&self, remote: &Remote) -> Result<(), LedgerError> {
        let Some(seen) = self.storage.high_water()? else { return Ok(()) };
        let found = match remote {
            Remote::At(tip) if self.storage.descends(tip, &seen)? => return Ok(()),
            Remote::At(tip) => tip.0.clone(),
            Remote::Empty | Remote::None => "an empty remote".to_owned(),
        };
        Err(LedgerError::Rewound { seen: before(&seen), found })
    }

    /// What raises exposure needs a chain that goes on from what was seen before: by this clone,
    /// or by whoever tagged a release.
    pub(crate) fn refuse_rewound(&mut self) -> Result<(), LedgerError> {
        self.refresh()?;
        for (tag, head) in self.storage.tagged_heads()? {
            if !self.fold.digests.contains_key(&head) {
                let seen = format!("entry {} that tag {tag} names", head.short());
                return Err(LedgerError::Rewound { seen, found: self.found() });
            }
        }
        self.refuse_below_high_water()
    }

    /// A chain that does not go on from what this clone and the remote agreed on.
    pub(super) fn refuse_below_high_water(&self) -> Result<(), LedgerError> {
        let Some(seen) = self.storage.high_water()? else { return Ok(()) };
        let is_whole = match &self.fold.tip {
            Some(tip) => *tip == seen || self.storage.descends(tip, &seen)?,
            None => false,
        };
        if is_whole {
            return Ok(());
        }
        Err(LedgerError::Rewound { seen: before(&seen), found: self.found() })
    }

    fn found(&self) -> String {
        self.fold.tip.as_ref().map_or_else(|| "an empty ledger".to_owned(), |tip| tip.0.clone())
    }

    /// Brings this chain onto the remote's; the tip to push, where there is something to push.
    fn meet(&mut self, remote: &Remote, lost: &mut Lost) -> Result<Option<Tip>, LedgerError> {
        let here = self.storage.tip()?;
        let Remote::At(there) = remote else { return Ok(here) };
        let Some(here) = here else { return self.follow(None, there) };
        if here == *there || self.storage.descends(there, &here)? {
            return self.follow(Some(&here), there);
        }
        if self.storage.descends(&here, there)? {
            return Ok(Some(here));
        }
        self.reconcile(&here, there, lost)
    }

    /// Takes the remote's chain, once it is verified.
    fn follow(&mut self, here: Option<&Tip>, there: &Tip) -> Result<Option<Tip>, LedgerError> {
        let fold = self.fold_at(Some(there))?;
        if here != Some(there) && self.storage.advance(here, there)? == Swap::Lost {
            return Err(LedgerError::Contended);
        }
        self.fold = fold;
        self.storage.set_high_water(there)?;
        Ok(None)
    }

    fn reconcile(
        &mut self,
        here: &Tip,
        there: &Tip,
        lost: &mut Lost,
    ) -> Result<Option<Tip>, LedgerError> {
        let base = self.storage.common(here, there)?;
        let mine = self.kin_after(here, base.as_ref())?;
        let mut fold = self.fold_at(Some(there))?;
        for kin in &mine {
            if let Err(refused) = self.carry_over(kin, &mut fold)? {
                lost.push((kin.record.id().clone(), refused));
            }
        }
        self.storage.keep_lost(here)?;
        let tip = fold.tip.clone().unwrap_or_else(|| there.clone());
        if self.storage.advance(Some(here), &tip)? == Swap::Lost {
            return Err(LedgerError::Contended);
        }
        self.fold = fold;
        if tip == *there {
            self.storage.set_high_water(there)?;
            return Ok(None);
        }
        Ok(Some(tip))
    }

    /// Entries of the chain at `tip` after `base`, verified.
    pub(super) fn kin_after(&self, tip: &Tip, base: Option<&Tip>) -> Result<Vec<Kin>, LedgerError> {
        let mut link = self.fold_at(base)?.link;
        let mut kin = Vec::new();
        for stored in self.storage.read(tip, base)? {
            let record = verify_next(&mut link, &stored.entry)?;
            kin.push(Kin { record, stored });
        }
        Ok(kin)
    }

    /// Puts one of my entries onto the chain of `fold`, or says why a decision cannot go there.
    pub(super) fn carry_over(
        &self,
        kin: &Kin,
        fold: &mut Fold,
    ) -> Result<Result<(), Refused>, LedgerError> {
        if fold.state.contains(kin.record.id()) {
            return Ok(Ok(()));
        }
        let entry = match &kin.record.said {
            Said::Known(entry) if entry.body.is_fact() => self.carrier(entry, &kin.stored, fold),
            Said::Known(entry) => {
                // Judged as of its own time: what changed is the state, not the clock.
                if let Err(refused) = fold.state.validate(Proposal::from(entry.as_ref()), entry.at)
                {
                    return Ok(Err(refused));
                }
                Entry { prev_sha256: fold.link.newest, ..entry.as_ref().clone() }
            }
            Said::Reconciled { carrier, .. } => {
                Entry { prev_sha256: fold.link.newest, ..carrier.as_ref().clone() }
            }
            Said::Unknown(unknown) => {
                let (entry, kind) = (unknown.id.clone(), unknown.kind.clone());
                return Ok(Err(Refused::NewerOrca { entry, kind }));
            }
        };
        let exhibits = self.exhibits_of(&entry, &kin.stored.tip)?;
        let bytes = entry.bytes();
        let dsse = self.sign_again(&bytes, kin);
        let to_store = ToStore {
            id: &entry.id,
            kind: entry.body.kind(),
            at: entry.at,
            entry: &bytes,
            dsse: dsse.as_deref(),
            exhibits: &exhibits,
        };
        let tip = self.storage.write(fold.tip.as_ref(), &to_store)?;
        fold.go_on(&Stored { tip, entry: bytes, dsse })?;
        Ok(Ok(()))
    }

    /// A rebuilt decision gets my signature where I had signed it: nobody vouches for another's word
    /// by moving it. What a carrier carries keeps the signature of its author.
    fn sign_again(&self, bytes: &[u8], kin: &Kin) -> Option<Vec<u8>> {
        let is_decision = matches!(&kin.record.said, Said::Known(entry) if !entry.body.is_fact());
        let mine = self.writer.key.as_ref().map(SigningKey::public);
        let was_mine = || {
            let envelope = Envelope::parse(kin.stored.dsse.as_deref()?).ok()?;
            let payload = envelope.verify(sign::PAYLOAD_TYPE, mine.as_ref()?).ok()?;
            (payload == kin.stored.entry).then_some(())
        };
        if is_decision && was_mine().is_none() { None } else { self.sign(bytes) }
    }

    fn carrier(&self, fact: &Entry, stored: &Stored, fold: &Fold) -> Entry {
        let body = Body::Reconciled {
            entry_base64: STANDARD.encode(&stored.entry),
            dsse_base64: stored.dsse.as_ref().map(|dsse| STANDARD.encode(dsse)),
        };
        let mut draft = Draft::new(fact.environment.clone(), body.clone());
        draft.epoch = fact.epoch;
        self.build(&draft, body, fact.exhibits.clone(), fold.link.newest)
    }

    fn exhibits_of(
        &self,
        entry: &Entry,
        at: &Tip,
    ) -> Result<Vec<(ExhibitRef, Vec<u8>)>, LedgerError> {
        let mut exhibits = Vec::new();
        for reference in &entry.exhibits {
            if let Some(bytes) = self.storage.exhibit(at, reference)? {
                exhibits.push((reference.clone(), bytes));
            }
        }
        Ok(exhibits)
    }
}

fn before(seen: &Tip) -> String {
    format!("{}, which was here before", seen.0)
}
