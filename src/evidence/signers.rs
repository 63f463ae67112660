//! Who signed which entry of a pack, by the trust list that was in force when the pack was made. The
//! list is one of the pack's files, so it is as genuine as the pack.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::dsse::PublicKey;
use crate::evidence::contents::Contents;
use crate::evidence::pack;
use crate::gate::waiver::Role;
use crate::ledger::chain::speaks_for;
use crate::ledger::entry::Entry;
use crate::ledger::sign::{Distrust, Trust, TrustedKey};

/// Where the list stands in a pack.
pub(crate) const PATH: &str = "release/trust.json";

const SCHEMA: &str = "orca.trust/v1";

/// The trust list as a pack holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustList {
    schema: String,
    /// The final tag it was read from; nothing before the first one: `trust: first release`.
    tag: Option<String>,
    required: bool,
    keys: Vec<ListedKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedKey {
    id: String,
    /// SPKI PEM.
    key: String,
    roles: Vec<Role>,
    valid_from: Option<Timestamp>,
    valid_until: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

/// The entries that one key signed, or that count for nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Signer {
    /// The key's id in the trust list; `unsigned`, or why a signature does not count, otherwise.
    pub(crate) who: String,
    pub(crate) trusted: bool,
    pub(crate) roles: Vec<Role>,
    /// 1-based places in the ledger of the pack.
    pub(crate) entries: Vec<usize>,
}

impl TrustList {
    pub(crate) fn new(tag: Option<String>, trust: &Trust) -> Self {
        let keys = trust.keys.iter().map(|key| ListedKey {
            id: key.id.clone(),
            key: key.key.to_spki_pem(),
            roles: key.roles.clone(),
            valid_from: key.valid_from,
            valid_until: key.valid_until,
            revoked_at: key.revoked_at,
        });
        let keys = keys.collect();
        Self { schema: SCHEMA.to_owned(), tag, required: trust.required, keys }
    }

    /// Canonical JSON, for the pack.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        crate::base::digest::canonical_json(self).expect("a trust list is plain data")
    }

    fn parse(bytes: &[u8]) -> Option<Trust> {
        let list: Self = serde_json::from_slice(bytes).ok()?;
        let keys = list.keys.into_iter().map(|key| {
            Some(TrustedKey {
                key: PublicKey::from_spki_pem(&key.key).ok()?,
                id: key.id,
                roles: key.roles,
                valid_from: key.valid_from,
                valid_until: key.valid_until,
                revoked_at: key.revoked_at,
            })
        });
        let keys: Option<Vec<TrustedKey>> = keys.collect();
        Some(Trust { required: list.required, keys: keys? }).filter(|_| list.schema == SCHEMA)
    }
}

/// Whose word counts in a pack: everybody's, unless its trust list requires signatures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing(Option<Strict>);

#[derive(Debug, Clone)]
struct Strict {
    trust: Trust,
    /// The newest time that an entry names: a pack is judged as of itself.
    as_of: Timestamp,
    /// What speaks for each entry, in the order of the ledger.
    stored: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Standing {
    /// By the bytes of a trust list, for stored entries with their signatures, oldest first.
    pub(crate) fn of(
        list: Option<&[u8]>,
        stored: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Self {
        let trust = list.and_then(TrustList::parse).filter(|trust| trust.required);
        Self(trust.map(|trust| {
            let stored: Vec<_> =
                stored.map(|(entry, dsse)| speaks_for(&entry, dsse.as_deref())).collect();
            let times = stored.iter().filter_map(|(entry, _)| {
                serde_json::from_slice::<Entry>(entry).ok().map(|said| said.at)
            });
            Strict { as_of: times.max().unwrap_or(Timestamp::from_us(0)), trust, stored }
        }))
    }

    pub(crate) fn of_pack(contents: &Contents<'_>) -> Self {
        let stored = (1..=contents.digests().len()).map_while(|place| {
            let entry = contents.file(&pack::entry_path(place)).ok()?;
            Some((entry, contents.file(&pack::entry_dsse_path(place)).ok()))
        });
        Self::of(contents.file(PATH).ok().as_deref(), stored)
    }

    /// Why the entry at a 1-based place does not count as signed by one of these roles, if so.
    pub(crate) fn distrust(&self, place: usize, roles: &[Role]) -> Option<Distrust> {
        let Strict { trust, as_of, stored } = self.0.as_ref()?;
        let Some((entry, dsse)) = place.checked_sub(1).and_then(|index| stored.get(index)) else {
            return Some(Distrust::Unsigned);
        };
        trust.counts((entry, dsse.as_deref()), roles, *as_of).err()
    }
}

/// Who signed what. Empty where the pack holds no trust list with keys.
pub(crate) fn of_pack(contents: &Contents<'_>) -> Vec<Signer> {
    let Some(trust) = contents.file(PATH).ok().and_then(|bytes| TrustList::parse(&bytes)) else {
        return Vec::new();
    };
    if trust.keys.is_empty() {
        return Vec::new();
    }
    let mut signers: BTreeMap<(bool, String), Signer> = BTreeMap::new();
    for place in 1..=contents.digests().len() {
        let Ok(bytes) = contents.file(&pack::entry_path(place)) else { break };
        let dsse = contents.file(&pack::entry_dsse_path(place)).ok();
        let (bytes, dsse) = speaks_for(&bytes, dsse.as_deref());
        let (who, roles) = match signer(&trust, &bytes, dsse.as_deref()) {
            Ok(key) => (key.id.clone(), key.roles.clone()),
            Err(Distrust::Unsigned) => ("unsigned".to_owned(), Vec::new()),
            Err(why) => (why.to_string(), Vec::new()),
        };
        let trusted = !roles.is_empty();
        let slot = signers.entry((!trusted, who.clone()));
        let slot = slot.or_insert(Signer { who, trusted, roles, entries: Vec::new() });
        slot.entries.push(place);
    }
    signers.into_values().collect()
}

fn signer<'a>(
    trust: &'a Trust,
    entry: &[u8],
    dsse: Option<&[u8]>,
) -> Result<&'a TrustedKey, Distrust> {
    let said: Entry =
        serde_json::from_slice(entry).map_err(|e| Distrust::Unreadable(e.to_string()))?;
    trust.signer((entry, said.at), dsse)
}

/// One line a signer: `ci-2026 (ci): entries 1-14, 16`.
pub(crate) fn human(signers: &[Signer]) -> String {
    let line = |signer: &Signer| {
        let roles: Vec<&str> = signer.roles.iter().map(|role| role.as_str()).collect();
        let roles =
            if roles.is_empty() { String::new() } else { format!(" ({})", roles.join(", ")) };
        format!("{}{roles}: entries {}\n", signer.who, ranges(&signer.entries))
    };
    signers.iter().map(line).collect()
}

/// `1, 2, 3, 5` as `1-3, 5`.
fn ranges(places: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for place in places {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *place => *end = *place,
            _ => runs.push((*place, *place)),
        }
    }
    let show = |(start, end): &(usize, usize)| {
        if start == end { start.to_string() } else { format!("{start}-{end}") }
    };
    runs.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::dsse::SigningKey;
    use crate::evidence::fixture::{key, rules, small, trusted};
    use crate::ledger::sign::sign;

    /// Entries by a trusted key, a foreign one and nobody, in one pack.
    #[test]
    fn every_entry_has_its_signer() {
        let trust = Trust { required: true, keys: vec![trusted()] };
        let mut bundle = small();
        let foreign = SigningKey::from_seed(&[9; 32]);
        for (index, entry) in bundle.ledger.iter_mut().enumerate() {
            let by = match index {
                0..3 => &key(),
                3 => &foreign,
                _ => continue,
            };
            entry.dsse = Some(sign(&entry.entry, by).bytes());
        }
        let list = TrustList::new(Some("v1.3.0".into()), &trust);
        bundle.files.insert(PATH.into(), list.bytes());
        let built = pack::build(&bundle, &key(), &rules()).unwrap();
        let signers = of_pack(&Contents::open(&built.zip).unwrap());
        let who: Vec<(&str, bool)> = signers.iter().map(|s| (s.who.as_str(), s.trusted)).collect();
        assert_eq!(who[0], ("ci-2026", true));
        assert_eq!(signers[0].entries, [1, 2, 3]);
        assert!(who[1].0.starts_with("no trusted key signed it"), "{who:?}");
        assert_eq!((who[2], signers[2].entries[0]), (("unsigned", false), 5));
        assert!(human(&signers).starts_with("ci-2026 (ci): entries 1-3\n"));
        let without = pack::build(&small(), &key(), &rules()).unwrap();
        assert_eq!(of_pack(&Contents::open(&without.zip).unwrap()), []);
    }
}
