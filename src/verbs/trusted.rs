//! Which entries count as proof: those signed by a key that the last final tag trusts for it. This is
//! asked where rulings and waivers are recalled, and nowhere on the way back.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::book::{Book, BookError, RawEntry};
use super::ship::Ship;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::CommitId;
use crate::gate::engine::Ruled;
use crate::gate::ruling::Ruling;
use crate::gate::ruling::Subject;
use crate::gate::verdict::Cause;
use crate::gate::waiver::{Role, Waiver};
use crate::ledger::advance::LetGo;
use crate::ledger::chain::speaks_for;
use crate::ledger::fold::{Author, State};
use crate::ledger::sign::{Distrust, Trust};
use crate::release::ports::{TrustSource, TrustUnknown};
use crate::release::trust_change::{self, TrustSeen};

/// What counts for a candidate: the trust list of the last final tag, and how the candidate differs.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub(crate) trust: Trust,
    pub(crate) seen: TrustSeen,
    /// Finals of the ledger that do not count as the root, and why.
    pub(crate) doubts: Vec<String>,
}

/// Where trust, roles and required gates are read from.
#[async_trait]
pub(crate) trait TrustRoot: TrustSource {
    async fn root(&self, candidate: &CommitId) -> Result<Root, TrustUnknown>;
}

/// Roles that sign rulings.
pub(crate) const RULES: [Role; 1] = [Role::Ci];

/// Stored entries with their signatures, by the digest of the entry. An id would not do: whoever can
/// write can write an id again.
pub(crate) struct Signatures(BTreeMap<Digest, RawEntry>);

impl Signatures {
    /// Of the entries that these wrote. A fact that lost a race stands for itself, inside its carrier.
    /// Of the same bytes stored twice the first signature is the one.
    pub(crate) async fn read(
        book: &dyn Book,
        authors: impl Iterator<Item = &Author> + Send,
    ) -> Result<Self, BookError> {
        let wanted: BTreeSet<Digest> = authors.map(|by| *by.digest).collect();
        Ok(Self::of(book.raw_entries_of(wanted.into_iter().collect()).await?))
    }

    pub(crate) fn of(stored: Vec<RawEntry>) -> Self {
        let mut known = BTreeMap::new();
        for (entry, dsse) in stored {
            let (entry, dsse) = speaks_for(&entry, dsse.as_deref());
            known.entry(Digest::of(&entry)).or_insert((entry, dsse));
        }
        Self(known)
    }

    /// Whether the entry that was folded counts, signed by one of these roles.
    pub(crate) fn counts(
        &self,
        (trust, by): (&Trust, &Author),
        roles: &[Role],
        now: Timestamp,
    ) -> Result<(), Distrust> {
        let (entry, dsse) = self.0.get(&by.digest).ok_or(Distrust::Unsigned)?;
        trust.counts((entry, dsse.as_deref()), roles, now).map(drop)
    }
}

/// The waivers that hold now and that somebody trusted wrote, where trust asks for that. A change of
/// trust itself is approved by a key that was trusted before, where there was one.
pub(crate) async fn waivers(
    ship: &Ship,
    state: &State,
    candidate: &CommitId,
) -> Result<Vec<Waiver>, BookError> {
    let now = ship.now();
    let holds = |waiver: &Waiver| {
        waiver.validate(now).is_ok() && waiver.is_about(candidate, &ship.environment)
    };
    let holding: Vec<&(Waiver, Author)> =
        state.waivers.iter().filter(|(waiver, _)| holds(waiver)).collect();
    if holding.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(Root { trust, .. }) = ship.trust.root(candidate).await else {
        return Ok(Vec::new());
    };
    let is_signed_for = |waiver: &Waiver| {
        trust.required || (waiver.check.as_str() == trust_change::ID && !trust.keys.is_empty())
    };
    let wanted = holding.iter().filter(|(waiver, _)| is_signed_for(waiver)).map(|(_, by)| by);
    let signatures = Signatures::read(ship.book.as_ref(), wanted).await?;
    let counts = |(waiver, by): &&&(Waiver, Author)| {
        !is_signed_for(waiver) || signatures.counts((&trust, by), &[waiver.role], now).is_ok()
    };
    Ok(holding.iter().filter(counts).map(|(waiver, _)| waiver.clone()).collect())
}

/// Roles of people.
pub(crate) const PEOPLE: [Role; 3] = [Role::Engineering, Role::Product, Role::Ops];

/// The stages of the rollout under way that somebody let go on, where trust asks for it signed by a
/// person.
pub(crate) async fn advances(
    ship: &Ship,
    state: &State,
    subject: &Subject,
) -> Result<Vec<LetGo>, BookError> {
    let running = state.environment(&subject.environment).and_then(|e| e.rollout.as_ref());
    let Some(running) = running.filter(|r| r.started.commit == subject.commit) else {
        return Ok(Vec::new());
    };
    if running.advanced.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(Root { trust, .. }) = ship.trust.root(&subject.commit).await else {
        return Ok(Vec::new());
    };
    let wanted = running.advanced.iter().filter(|_| trust.required).map(|let_go| &let_go.by);
    let signatures = Signatures::read(ship.book.as_ref(), wanted).await?;
    let counts = |by: &Author| {
        !trust.required || signatures.counts((&trust, by), &PEOPLE, ship.now()).is_ok()
    };
    Ok(running.advanced.iter().filter(|let_go| counts(&let_go.by)).cloned().collect())
}

/// Rulings of the ledger as far as they count. Each comes with who wrote its entry.
pub(crate) async fn rulings(
    ship: &Ship,
    candidate: &CommitId,
    replayed: Vec<(Ruling, Author)>,
) -> Vec<Ruling> {
    let root = match ship.trust.root(candidate).await {
        Ok(root) => root,
        Err(why) => return all_distrusted(replayed, &why.to_string()),
    };
    if !root.trust.required {
        return replayed.into_iter().map(|(ruling, _)| ruling).collect();
    }
    let authors = replayed.iter().map(|(_, by)| by);
    let signatures = match Signatures::read(ship.book.as_ref(), authors).await {
        Ok(signatures) => signatures,
        Err(error) => return all_distrusted(replayed, &error.to_string()),
    };
    let counted = replayed.into_iter().map(|(ruling, by)| {
        match signatures.counts((&root.trust, &by), &RULES, ship.now()) {
            Ok(()) => ruling,
            Err(why) => distrusted(ruling, &why),
        }
    });
    counted.collect()
}

/// Rulings judged in this process, as far as what this orca signs counts for one of these roles.
pub(crate) async fn judged_here(
    ship: &Ship,
    candidate: &CommitId,
    roles: &[Role],
    ruled: Vec<Ruled>,
) -> Vec<Ruled> {
    let Err((cause, text)) = may_rule(ship, candidate, roles).await else { return ruled };
    let told = |item: Ruled| {
        let ruling = item.ruling.distrusted(cause, &text);
        Ruled { ruling, ..item }
    };
    ruled.into_iter().map(told).collect()
}

/// Whether what this orca signs counts for one of these roles, and otherwise why not.
pub(crate) async fn may_rule(
    ship: &Ship,
    candidate: &CommitId,
    roles: &[Role],
) -> Result<(), (Cause, String)> {
    match ship.trust.root(candidate).await {
        Err(why) => Err((Cause::Unobserved, why.to_string())),
        Ok(Root { trust, .. }) if trust.required => trust
            .holds(ship.signer.as_ref(), roles, ship.now())
            .map(drop)
            .map_err(|why| (why.cause(), format!("trust is required: {why}"))),
        Ok(_) => Ok(()),
    }
}

fn distrusted(ruling: Ruling, why: &Distrust) -> Ruling {
    ruling.distrusted(why.cause(), &format!("its ruling does not count: {why}"))
}

fn all_distrusted(replayed: Vec<(Ruling, Author)>, why: &str) -> Vec<Ruling> {
    replayed.into_iter().map(|(ruling, _)| ruling.distrusted(Cause::Unobserved, why)).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::base::dsse::SigningKey;
    use crate::base::ids::OrcaId;
    use crate::gate::verdict::Verdict;
    use crate::ledger::entry::{Body, Entry};
    use crate::ledger::fixture::{Told, ruled};
    use crate::ledger::sign::{TrustedKey, sign};

    fn author(entry: &Entry) -> Author {
        Author {
            entry: entry.id.clone(),
            name: "ci".into(),
            at: entry.at,
            digest: Box::new(Digest::of(&entry.bytes())),
        }
    }

    /// A forged entry bears the id of a genuine one, which comes later inside a carrier with its
    /// signature: the signature speaks for what was signed, whatever its id is.
    #[test]
    fn a_signature_speaks_for_its_bytes_and_not_for_an_id() {
        let key = SigningKey::from_seed(&[7; 32]);
        let trusted = TrustedKey {
            id: "ci".into(),
            key: key.public(),
            roles: vec![Role::Ci],
            valid_from: None,
            valid_until: None,
            revoked_at: None,
        };
        let trust = Trust { required: true, keys: vec![trusted] };
        let told = Told::new();
        let genuine = told.next(None, ruled("db", '4', Verdict::Fail));
        let id: OrcaId = genuine.id.clone();
        let forged = Entry { id, ..told.next(None, ruled("db", '4', Verdict::Pass)) };
        let signature = sign(&genuine.bytes(), &key).bytes();
        let carrier = told.next(
            None,
            Body::Reconciled {
                entry_base64: STANDARD.encode(genuine.bytes()),
                dsse_base64: Some(STANDARD.encode(signature)),
            },
        );
        let signatures = Signatures::of(vec![(forged.bytes(), None), (carrier.bytes(), None)]);
        let now = Timestamp::from_us(i64::MAX / 2);
        let counts = |entry: &Entry| signatures.counts((&trust, &author(entry)), &RULES, now);
        assert_eq!(counts(&forged), Err(Distrust::Unsigned));
        assert_eq!(counts(&genuine), Ok(()));
    }
}
