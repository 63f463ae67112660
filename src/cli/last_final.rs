//! Which final tag is the root of trust. From one final to the next: the tag must stand where the
//! ledger says, and where the one before requires trust, one of its keys must have signed the entry.
//! Who can write to the ledger alone moves nothing. Pure, apart from what it asks.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Timestamp;
use crate::base::ids::CommitId;
use crate::gate::waiver::Role;
use crate::ledger::fold::Tagged;
use crate::ledger::sign::Trust;
use crate::release::ports::TrustUnknown;
use crate::verbs::trusted::Signatures;

/// A final tag: its name, and the commit it stands for.
pub(super) type Final = (String, CommitId);

/// Tags of the repository by name.
pub(super) type Tags = BTreeMap<String, CommitId>;

/// The last final, and what the ledger says of others that do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) root: Option<Final>,
    pub(super) doubts: Vec<String>,
}

/// What is asked on the way.
pub(super) struct Ask<'a> {
    /// The stable tags here, but that of the candidate; their prefix.
    pub(super) tags: &'a Tags,
    pub(super) prefix: &'a str,
    /// Nothing until a final needs them.
    pub(super) signatures: Option<&'a Signatures>,
    pub(super) now: Timestamp,
    pub(super) trust_of: &'a dyn Fn(&CommitId) -> Result<Trust, TrustUnknown>,
    /// The tags as the remote has them; none where there is no remote.
    pub(super) remote: &'a dyn Fn() -> Result<Tags, String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Last(Last),
    /// A final has to be signed: ask again with the signatures of all.
    WantsSignatures,
}

/// A final of the ledger whose tag is not here.
struct Untagged<'a> {
    tagged: &'a Tagged,
    signed: bool,
}

/// The last of these finals of the ledger, oldest first, that counts; before orca made one, the
/// highest stable tag.
pub(super) fn last_final(finals: &[&Tagged], ask: &Ask<'_>) -> Result<Found, TrustUnknown> {
    let highest = highest_of_others(finals, ask);
    let mut last = Last { root: highest.clone(), doubts: Vec::new() };
    if finals.is_empty() {
        return Ok(Found::Last(last));
    }
    let mut trust = match &last.root {
        Some((_, commit)) => (ask.trust_of)(commit)?,
        None => Trust::default(),
    };
    let mut untagged: Vec<Untagged<'_>> = Vec::new();
    let mut told: BTreeSet<(&str, &CommitId)> = BTreeSet::new();
    for tagged in finals {
        let (name, commit) = (tagged.release.as_str(), &tagged.commit);
        if trust.required {
            let Some(signatures) = ask.signatures else { return Ok(Found::WantsSignatures) };
            if let Err(why) = signatures.counts((&trust, &tagged.by), &Role::ALL, ask.now) {
                refuse_above(tagged, (&last.root, &highest), ask.prefix)?;
                last.doubts.push(format!(
                    "{name} is no final tag to trust: ledger entry {}: {why}",
                    tagged.by.entry
                ));
                continue;
            }
        } else if !told.insert((name, commit)) {
            continue;
        }
        match ask.tags.get(name) {
            Some(there) if there == commit => {
                untagged.clear();
                last.doubts.clear();
            }
            Some(there) if !trust.required => {
                let place = (there.short(), commit.short());
                last.doubts.push(format!(
                    "{name} is no final tag to trust: it stands at {}, and ledger entry {} says {}",
                    place.0, tagged.by.entry, place.1
                ));
                continue;
            }
            // What is signed goes on without its tag; whether that may be the last is said below.
            _ => {
                untagged.push(Untagged { tagged, signed: trust.required });
                if !trust.required {
                    continue;
                }
            }
        }
        trust = (ask.trust_of)(commit)?;
        last.root = Some((name.to_owned(), commit.clone()));
    }
    settle(&untagged, ask, &mut last)?;
    Ok(Found::Last(last))
}

/// The highest stable tag that the ledger does not tell of.
fn highest_of_others(finals: &[&Tagged], ask: &Ask<'_>) -> Option<Final> {
    let others = ask
        .tags
        .iter()
        .filter(|(name, _)| finals.iter().all(|tagged| tagged.release.as_str() != name.as_str()));
    let newest = others.filter_map(|tag| Some((version(tag.0, ask.prefix)?, tag))).max();
    newest.map(|(_, (name, commit))| (name.clone(), commit.clone()))
}

/// The version of a final tag's name.
pub(super) fn version(name: &str, prefix: &str) -> Option<semver::Version> {
    let version = semver::Version::parse(name.strip_prefix(prefix)?).ok()?;
    version.pre.is_empty().then_some(version)
}

/// A tag that orca did not make, above the first final that it made, would be a root that nobody
/// vouched for. Which of the two came first cannot be seen, so neither counts.
fn refuse_above(
    tagged: &Tagged,
    (root, highest): (&Option<Final>, &Option<Final>),
    prefix: &str,
) -> Result<(), TrustUnknown> {
    let Some((other, _)) = highest.as_ref().filter(|_| root == highest) else { return Ok(()) };
    let name = tagged.release.as_str();
    if version(other, prefix) <= version(name, prefix) {
        return Ok(());
    }
    Err(TrustUnknown {
        detail: format!(
            "tag {other} is not orca's, is above {name} of the ledger, and trusts no key that \
             signed that one"
        ),
        next: format!("find out who made {other}; delete it here and there if it is no release"),
    })
}

/// Finals whose tag is not here, after the last that counts.
fn settle(untagged: &[Untagged<'_>], ask: &Ask<'_>, last: &mut Last) -> Result<(), TrustUnknown> {
    let fetch = |name: &str, more: &str| TrustUnknown {
        detail: format!("{name} is a final of the ledger, and its tag is not here{more}"),
        next: "git fetch --tags".to_owned(),
    };
    if let Some(signed) = untagged.iter().rev().find(|one| one.signed) {
        let name = signed.tagged.release.as_str();
        let text = match ask.tags.get(name) {
            Some(there) => format!(": {name} stands at {}", there.short()),
            None => String::new(),
        };
        return Err(fetch(name, &text));
    }
    let Some(first) = untagged.first() else { return Ok(()) };
    let remote = (ask.remote)().map_err(|why| {
        fetch(first.tagged.release.as_str(), &format!(", and the remote does not say: {why}"))
    })?;
    for Untagged { tagged, .. } in untagged {
        let name = tagged.release.as_str();
        if remote.get(name) == Some(&tagged.commit) {
            return Err(fetch(name, ""));
        }
        last.doubts.push(format!(
            "{name} is no final tag to trust: ledger entry {} tells of it, and there is no such tag",
            tagged.by.entry
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::base::dsse::SigningKey;
    use crate::base::ids::ReleaseName;
    use crate::ledger::entry::{Body, Entry};
    use crate::ledger::fixture::{Told, commit};
    use crate::ledger::sign::{TrustedKey, sign};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    /// Requires the key of this seed; zero requires nothing.
    fn trust(seed: u8) -> Trust {
        let key = TrustedKey {
            id: format!("key-{seed}"),
            key: key(seed).public(),
            roles: vec![Role::Ci],
            valid_from: None,
            valid_until: None,
            revoked_at: None,
        };
        Trust { required: seed != 0, keys: vec![key].into_iter().filter(|_| seed != 0).collect() }
    }

    /// A repository: tags here and on the remote; finals of the ledger and who signed them. A
    /// version is at the commit of that digit, whose trust list is that of the second number.
    struct Case<'a> {
        here: &'a [(&'a str, char)],
        there: Result<&'a [(&'a str, char)], &'a str>,
        finals: &'a [(&'a str, char, Option<u8>)],
        lists: &'a [(char, u8)],
    }

    fn tags(list: &[(&str, char)]) -> Tags {
        list.iter().map(|(name, digit)| ((*name).to_owned(), commit(*digit))).collect()
    }

    fn found(case: &Case<'_>) -> Result<(Option<String>, usize), String> {
        let mut told = Told::new();
        let mut stored = Vec::new();
        for (name, digit, by) in case.finals {
            let release = ReleaseName::new(*name).unwrap();
            let rc = ReleaseName::new("v9.0.0-rc.1").unwrap();
            let body = Body::FinalTagged { release, rc, commit: commit(*digit) };
            let entry: Entry = told.tell(None, body);
            let bytes = entry.bytes();
            let dsse = by.map(|seed| sign(&bytes, &key(seed)).bytes());
            stored.push((bytes, dsse));
        }
        let state = told.state();
        let digests: Vec<Digest> = stored.iter().map(|(bytes, _)| Digest::of(bytes)).collect();
        assert!(state.final_tags.iter().map(|t| *t.by.digest).eq(digests));
        let signatures = Signatures::of(stored);
        let trust_of = |at: &CommitId| {
            let list = case.lists.iter().find(|(digit, _)| commit(*digit) == *at);
            Ok(trust(list.map_or(0, |(_, seed)| *seed)))
        };
        let remote = || case.there.map(tags).map_err(str::to_owned);
        let ask = Ask {
            tags: &tags(case.here),
            prefix: "v",
            signatures: Some(&signatures),
            now: Timestamp::from_us(1_000_000_000),
            trust_of: &trust_of,
            remote: &remote,
        };
        let finals: Vec<&Tagged> = state.final_tags.iter().collect();
        match last_final(&finals, &ask) {
            Ok(Found::Last(last)) => Ok((last.root.map(|(name, _)| name), last.doubts.len())),
            Ok(Found::WantsSignatures) => panic!("they are given"),
            Err(why) => Err(format!("{}; {}", why.detail, why.next)),
        }
    }

    /// Each case: what stands, and the last final with the number of doubts, or what is refused.
    #[test]
    fn the_root_of_trust_moves_with_a_tag_and_a_signature_only() {
        let one = ("v1.0.0", '1');
        let two = ("v1.1.0", '2');
        let lists = &[('1', 7), ('2', 7), ('9', 9)][..];
        let both = &[one, two][..];
        let evil = &[one, two, ("v1.2.0", '9')][..];
        let signed = &[("v1.0.0", '1', Some(7)), ("v1.1.0", '2', Some(7))][..];
        let with = |by| [("v1.0.0", '1', Some(7)), ("v1.1.0", '2', Some(7)), ("v1.2.0", '9', by)];
        let is = |name: &str, doubts| Ok((Some(name.to_owned()), doubts));
        for (here, finals, wanted) in [
            (both, &[][..], is("v1.1.0", 0)),
            (both, signed, is("v1.1.0", 0)),
            // One entry, with or without its tag, signed by nobody or by the intruder.
            (both, &with(None), is("v1.1.0", 1)),
            (evil, &with(None), is("v1.1.0", 1)),
            (evil, &with(Some(9)), is("v1.1.0", 1)),
            (evil, &with(Some(7)), is("v1.2.0", 0)),
            // It was made by hand, and the first of the ledger is forged.
            (both, &[("v1.2.0", '9', None)], is("v1.1.0", 1)),
            (evil, &[("v1.2.0", '9', Some(9))], is("v1.1.0", 1)),
            // The name of a genuine one, at another commit.
            (both, &[signed[0], signed[1], ("v1.1.0", '9', None)], is("v1.1.0", 1)),
        ] {
            let case = Case { here, there: Ok(&[]), finals, lists };
            assert_eq!(found(&case), wanted, "{here:?} {finals:?}");
        }
        for (here, finals, wanted) in [
            // Signed, so it is genuine: tags were not fetched, or were taken away.
            (&[one][..], signed, "git fetch --tags"),
            (&[one, ("v1.1.0", '9')], signed, "v1.1.0 stands at 9999"),
            // A tag of somebody else's above the first final of orca.
            (&[one, ("v9.0.0", '9')], &signed[..1], "v9.0.0 is not orca's"),
        ] {
            let case = Case { here, there: Ok(&[]), finals, lists };
            let refused = found(&case).unwrap_err();
            assert!(refused.contains(wanted), "{refused}");
        }
    }

    /// Without a trust list a tag is asked for and no signature: here, else at the remote.
    #[test]
    fn unsigned_repositories_need_the_tag() {
        let one = ("v1.0.0", '1');
        let two = ("v1.1.0", '2');
        let finals = &[("v1.0.0", '1', None), ("v1.1.0", '2', None)][..];
        let is = |name: &str, doubts| Ok((Some(name.to_owned()), doubts));
        for (here, there, wanted) in [
            (&[one, two][..], Err("down"), is("v1.1.0", 0)),
            (&[one], Ok(&[one][..]), is("v1.0.0", 1)),
            (&[one, ("v1.1.0", '9')], Err("down"), is("v1.0.0", 1)),
            (&[two], Err("down"), is("v1.1.0", 0)),
            (&[], Ok(&[]), Ok((None, 2))),
        ] {
            let case = Case { here, there, finals, lists: &[] };
            assert_eq!(found(&case), wanted, "{here:?} {there:?}");
        }
        for there in [Ok(&[one, two][..]), Err("down")] {
            let refused = found(&Case { here: &[one], there, finals, lists: &[] }).unwrap_err();
            assert!(refused.ends_with("git fetch --tags"), "{refused}");
        }
    }
}
