//! The ledger on real repositories: clones, a bare remote, races, rewinding, damage.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::command::Git;
use super::objects::GitStorage;
use crate::base::atomic_file;
use crate::base::clock::{Clock, Entropy};
use crate::base::digest::Digest;
use crate::base::dsse::{Envelope, SigningKey};
use crate::base::ids::OrcaId;
use crate::base::limits;
use crate::base::redact::{Redactor, Secret};
use crate::ledger::entry::{Actor, Body, TrafficProof};
use crate::ledger::fixture::*;
use crate::ledger::lease::LeaseError;
use crate::ledger::ports::StorageError;
use crate::ledger::reconcile::Standing;
use crate::ledger::sign::PAYLOAD_TYPE;
use crate::ledger::store::{Draft, Kept, Ledger, LedgerError, Writer};
use crate::ledger::validate::Refused;

fn git(folder: &Path, args: &[&str]) -> String {
    Git::in_folder(folder).run(args, limits::GIT_LOCAL).unwrap().text()
}

fn repository() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q"]);
    folder
}

/// A bare remote and clones of it, in one folder.
fn world(clones: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "--bare", "remote.git"]);
    for name in clones {
        git(folder.path(), &["clone", "-q", "remote.git", name]);
    }
    folder
}

fn open_as(folder: &Path, who: &str, key: Option<SigningKey>) -> Ledger {
    let seed = who.bytes().map(u64::from).sum();
    let writer = Writer {
        clock: Clock::Frozen(at(50)),
        entropy: Entropy::seeded(seed),
        actor: Actor { name: who.into(), role: None },
        holder: who.into(),
        redactor: Redactor::new([Secret::new("hunter22")]),
        key,
        orca: "0.1.0".into(),
    };
    Ledger::open(Box::new(GitStorage::open(folder).unwrap()), writer)
}

fn open(folder: &Path, who: &str) -> Ledger {
    open_as(folder, who, None)
}

fn live(body: Body) -> Draft {
    Draft::new(Some(environment("production")), body)
}

fn ids(ledger: &Ledger) -> Vec<OrcaId> {
    ledger.entries().unwrap().iter().map(|k| k.record.id().clone()).collect()
}

#[test]
fn appends_reopens_and_keeps_exhibits() {
    let folder = repository();
    let mut ledger = open(folder.path(), "ana");
    let (small, large) = (b"{}\n".to_vec(), vec![b'x'; limits::EXHIBIT_BLOB_BYTES_MAX + 1]);
    let draft = Draft {
        exhibits: vec![small.clone(), large.clone()],
        ..live(rollout("v1.4.0-rc.1", '4', "d3"))
    };
    let first = ledger.append(draft).unwrap();
    let body = Told::frozen("v1.4.0-rc.1", "the key is hunter22");
    let second = ledger.append(Draft::new(None, body)).unwrap();
    assert_eq!(second.prev_sha256, Some(Digest::of(&first.bytes())));
    assert!(!String::from_utf8(second.bytes()).unwrap().contains("hunter22"));

    let mut again = open(folder.path(), "bo");
    assert_eq!(again.state().unwrap(), ledger.state().unwrap());
    assert_eq!(again.head().unwrap().count, 2);
    assert_eq!(again.exhibit(&Digest::of(&small)).unwrap(), Some(small));
    assert_eq!(again.exhibit(&Digest::of(&large)).unwrap(), Some(large.clone()));
    assert_eq!(again.exhibit(&Digest::of(b"else")).unwrap(), None);
    let beside = folder.path().join(format!(".orca/exhibits/{}.json", Digest::of(&large).hex()));
    std::fs::remove_file(beside).unwrap();
    assert_eq!(again.exhibit(&Digest::of(&large)).unwrap(), None);
    assert_eq!(git(folder.path(), &["status", "--porcelain"]), "");
    assert_eq!(again.sync().unwrap(), Standing::NoRemote);
}

#[test]
fn a_decision_is_refused_on_a_newer_state_and_a_fact_never() {
    let folder = repository();
    let mut ledger = open(folder.path(), "ana");
    ledger.append(live(rollout("v1.4.0-rc.1", '4', "d3"))).unwrap();
    // Another process writes meanwhile: the next append sees it.
    let mut other = open(folder.path(), "bo");
    let back = other.append(live(rolled_back('4', "d3", TrafficProof::Verified))).unwrap();
    let error = ledger.append(live(rollout("v1.4.0-rc.1", '4', "d3"))).unwrap_err();
    assert!(matches!(&error, LedgerError::Refused(r) if r.entry() == Some(&back.id)), "{error}");
    ledger.append(live(rolled_back('4', "d3", TrafficProof::Verified))).unwrap();
}

#[test]
fn signed_entries_verify_against_their_key() {
    let folder = repository();
    let key = SigningKey::from_seed(&[7; 32]);
    let mut ledger = open_as(folder.path(), "ci", Some(key.clone()));
    ledger.append(Draft::new(None, Told::frozen("v1.4.0-rc.1", "x"))).unwrap();
    let kin = &ledger.entries().unwrap()[0];
    let dsse = Envelope::parse(kin.stored.dsse.as_deref().unwrap()).unwrap();
    assert_eq!(dsse.verify(PAYLOAD_TYPE, &key.public()).unwrap(), kin.stored.entry);
}

/// Whose signature one entry bears is asked of that entry: the chain is not read again for it.
#[test]
fn one_entry_is_read_by_its_digest() {
    let folder = repository();
    let key = SigningKey::from_seed(&[7; 32]);
    let mut ledger = open_as(folder.path(), "ci", Some(key));
    for reason in ["x", "y"] {
        ledger.append(Draft::new(None, Told::frozen("v1.4.0-rc.1", reason))).unwrap();
    }
    let kin = ledger.entries().unwrap();
    let blob = git(folder.path(), &["rev-parse", "refs/orca/ledger~1:entry.json"]);
    let file = folder.path().join(format!(".git/objects/{}/{}", &blob[..2], &blob[2..]));
    std::fs::remove_file(&file).unwrap();
    assert!(ledger.entries().is_err());
    let newest = &kin[1].stored;
    assert_eq!(ledger.stored(&Digest::of(&newest.entry)).unwrap().as_ref(), Some(newest));
    assert!(ledger.stored(&Digest::of(&kin[0].stored.entry)).is_err());
    assert_eq!(ledger.stored(&Digest::of(b"nothing")).unwrap(), None);
}

/// A driver that appends all the time keeps nobody else in its clone from being in step with the remote.
#[test]
fn what_another_orca_appends_meanwhile_is_its_own_to_push() {
    let folder = world(&["a"]);
    let clone = folder.path().join("a");
    let (mut ana, is_over) = (open(&clone, "ana"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut driver = open(&clone, "driver");
            while !is_over.load(Ordering::Relaxed) {
                driver.append(Draft::new(None, Told::frozen("v1.4.0-rc.1", "x"))).unwrap();
            }
        });
        let standings: Vec<_> = (0..5)
            .map(|_| {
                ana.append(Draft::new(None, Told::frozen("v1.4.0-rc.1", "y"))).unwrap();
                ana.sync()
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(standings.iter().all(|s| matches!(s, Ok(Standing::Synced))), "{standings:?}");
    });
}

/// Who moves a decision onto another chain signs it only where that was their own word before.
#[test]
fn nobody_vouches_for_anothers_decision_by_moving_it() {
    let folder = world(&["a", "b"]);
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let (mine, foreign) = (SigningKey::from_seed(&[7; 32]), SigningKey::from_seed(&[9; 32]));
    open(&b, "bo").append(Draft::new(None, rc("v1.4.0-rc.1", '4', "1.4.0"))).unwrap();
    let said = |key: Option<&SigningKey>, name: &str, version: &str| {
        let mut ledger = open_as(&a, name, key.cloned());
        ledger.append(Draft::new(None, rc(name, '6', version))).unwrap().id
    };
    let own = said(Some(&mine), "v1.5.0-rc.1", "1.5.0");
    said(None, "v1.6.0-rc.1", "1.6.0");
    said(Some(&foreign), "v1.7.0-rc.1", "1.7.0");
    open(&b, "bo").sync().unwrap();
    let mut ana = open_as(&a, "ana", Some(mine));
    assert_eq!(ana.sync().unwrap(), Standing::Synced);
    let entries = ana.entries().unwrap();
    assert_eq!(entries.len(), 4);
    let signed = entries.iter().filter(|k| k.stored.dsse.is_some());
    assert!(signed.map(|k| k.record.id()).eq([&own]), "{entries:?}");
}

#[test]
fn two_clones_racing_end_in_one_history() {
    let folder = world(&["a", "b"]);
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let (mut ana, mut bo) = (open(&a, "ana"), open(&b, "bo"));
    ana.append(live(rollout("v1.4.0-rc.1", '4', "d3"))).unwrap();
    assert_eq!(ana.synced().unwrap(), Standing::Pending);
    assert_eq!(ana.sync().unwrap(), Standing::Synced);
    assert_eq!(bo.sync().unwrap(), Standing::Synced);

    let cleared = ana.append(live(cleared("cl_1", '4', 100))).unwrap();
    let rc = ana.append(Draft::new(None, rc("v1.5.0-rc.1", '6', "1.5.0"))).unwrap();
    let decided = ana
        .append(Draft::new(None, step_ended("st_9", crate::ledger::entry::Outcome::Done)))
        .unwrap();
    let back = bo.append(live(rolled_back('4', "d3", TrafficProof::Verified))).unwrap();
    assert_eq!(bo.sync().unwrap(), Standing::Synced);

    // Ana's clearance is for a commit that bo rolled back; her tag and her fact are fine.
    let error = ana.sync().unwrap_err();
    let LedgerError::Lost(lost) = &error else { panic!("{error}") };
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].0, cleared.id);
    assert!(matches!(&lost[0].1, Refused::Condemned { by, .. } if by.entry == back.id));
    assert_eq!(ana.synced().unwrap(), Standing::Synced);
    let expected = [back.id.clone(), rc.id.clone(), decided.id.clone()];
    assert_eq!(ids(&ana)[1..], expected);
    assert_eq!(bo.sync().unwrap(), Standing::Synced);
    assert_eq!(ids(&bo), ids(&ana));
    assert!(bo.state().unwrap().contains(&decided.id));
    let carried = &ana.entries().unwrap()[3].record;
    assert_eq!(carried.entry(), Some(&decided), "the fact is unchanged");
}

#[test]
fn a_rewound_remote_is_refused_and_a_rollback_still_works() {
    let folder = world(&["a"]);
    let a = folder.path().join("a");
    let mut ana = open(&a, "ana");
    ana.append(live(rollout("v1.4.0-rc.1", '4', "d3"))).unwrap();
    ana.sync().unwrap();
    let remote = folder.path().join("remote.git");
    git(&remote, &["update-ref", "-d", "refs/orca/ledger"]);
    assert!(matches!(ana.sync(), Err(LedgerError::Rewound { .. })));
    git(&a, &["update-ref", "-d", "refs/orca/ledger"]);
    assert_eq!(ana.synced().unwrap(), Standing::Rewound);
    let raise = ana.append(live(rollout("v1.4.0-rc.1", '4', "d3"))).unwrap_err();
    assert!(matches!(raise, LedgerError::Rewound { .. }), "{raise}");
    let kept = ana.append_rollback(live(rolled_back('4', "d3", TrafficProof::Verified))).unwrap();
    assert!(matches!(kept, Kept::Appended(_)));
}

#[test]
fn a_remote_that_is_away_is_named() {
    let folder = world(&["a"]);
    let mut ana = open(&folder.path().join("a"), "ana");
    ana.append(live(rollout("v1.4.0-rc.1", '4', "d3"))).unwrap();
    std::fs::rename(folder.path().join("remote.git"), folder.path().join("gone")).unwrap();
    let error = ana.sync().unwrap_err();
    let unavailable =
        StorageError::RemoteUnavailable { remote: "origin".into(), detail: String::new() };
    let LedgerError::Storage(error) = error else { panic!("{error}") };
    assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&unavailable), "{error}");
    assert_eq!(ana.synced().unwrap(), Standing::Pending);
}

#[test]
fn one_lease_over_all_clones_and_a_rollback_takes_it() {
    let folder = world(&["a", "b"]);
    let (mut ci, mut bo) =
        (open(&folder.path().join("a"), "ci"), open(&folder.path().join("b"), "bo"));
    let production = environment("production");
    let held = ci.acquire_lease(&production).unwrap();
    assert_eq!(held.epoch, 1);
    let error = bo.acquire_lease(&production).unwrap_err();
    assert!(matches!(error, LedgerError::Lease(LeaseError::Held { .. })), "{error}");
    assert_eq!(ci.renew_lease(&production, 1).unwrap().epoch, 1);
    let taken = bo.preempt_lease(&production).unwrap();
    assert_eq!(taken.epoch, 2);
    bo.sync().unwrap();
    let error = ci.renew_lease(&production, 1).unwrap_err();
    assert!(matches!(error, LedgerError::Lease(LeaseError::Lost { newest: 2, .. })), "{error}");
    bo.release_lease(&production, 2).unwrap();
    assert_eq!(ci.acquire_lease(&production).unwrap().epoch, 3);
}

#[test]
fn a_rollback_under_a_held_lock_waits_in_a_file_and_comes_in_once() {
    let folder = repository();
    let mut ledger = open(folder.path(), "ana");
    ledger.append(live(rollout("v1.4.0-rc.1", '4', "d3"))).unwrap();
    let storage = GitStorage::open(folder.path()).unwrap();
    let held = crate::ledger::ports::Storage::lock(&storage, limits::LEDGER_LOCK).unwrap();
    let kept =
        ledger.append_rollback(live(rolled_back('4', "d3", TrafficProof::Verified))).unwrap();
    let Kept::Pending { file, because } = kept else { panic!("{kept:?}") };
    assert!(matches!(because, LedgerError::Storage(StorageError::Locked { .. })));
    let bytes = std::fs::read(&file).unwrap();
    drop(held);
    ledger.append(Draft::new(None, Told::frozen("v1.5.0-rc.1", "x"))).unwrap();
    assert!(!file.exists());
    assert!(
        ledger.state().unwrap().environments[&environment("production")]
            .condemned
            .contains_key(&commit('4'))
    );
    // The process died before the file was removed: it does not come in twice.
    crate::base::atomic_file::write(&file, &bytes).unwrap();
    let count = ledger.head().unwrap().count;
    ledger.append(Draft::new(None, Told::frozen("v1.5.0-rc.1", "y"))).unwrap();
    assert_eq!(ledger.head().unwrap().count, count + 1);
}

#[test]
fn a_corrupted_object_is_named_and_a_leftover_lock_file_is_removed() {
    let folder = repository();
    let mut ledger = open(folder.path(), "ana");
    let entry = ledger.append(Draft::new(None, Told::frozen("v1.4.0-rc.1", "x"))).unwrap();
    let leftover = folder.path().join(".git/refs/orca/ledger.lock");
    crate::base::atomic_file::write(&leftover, b"").unwrap();
    ledger.append(Draft::new(None, Told::frozen("v1.4.0-rc.1", "y"))).unwrap();
    let blob = git(folder.path(), &["rev-parse", "refs/orca/ledger~1:entry.json"]);
    let file = folder.path().join(format!(".git/objects/{}/{}", &blob[..2], &blob[2..]));
    std::fs::remove_file(&file).unwrap();
    crate::base::atomic_file::write(&file, b"not zlib").unwrap();
    let mut again = open(folder.path(), "bo");
    let error = again.state().unwrap_err();
    assert!(error.to_string().contains(entry.id.as_str()), "{error}");
    let kept = again.append_rollback(live(rolled_back('4', "d3", TrafficProof::Verified))).unwrap();
    assert!(matches!(kept, Kept::Pending { .. }));
}

#[test]
fn what_was_read_before_is_a_shortcut_and_never_the_truth() {
    let folder = repository();
    let mut ledger = open(folder.path(), "ann");
    let freeze = |number: u32| live(Told::frozen("v1.4.0-rc.1", &number.to_string()));
    for number in 0..9 {
        ledger.append(freeze(number)).unwrap();
    }
    let file = folder.path().join(".git/orca/entries");
    let state = |ledger: &mut Ledger| (*ledger.state().unwrap()).clone();
    let whole = state(&mut ledger);
    assert!(!file.exists());
    assert_eq!(state(&mut open(folder.path(), "bob")), whole);
    let kept = std::fs::read(&file).unwrap();
    // It is used: an old object that is gone is not missed, except by who reads all of git again.
    let first = git(folder.path(), &["rev-list", "--max-parents=0", "refs/orca/ledger"]);
    let object = folder.path().join(format!(".git/objects/{}/{}", &first[..2], &first[2..]));
    let aside = folder.path().join("aside");
    std::fs::rename(&object, &aside).unwrap();
    assert_eq!(state(&mut open(folder.path(), "bob")), whole);
    assert!(open(folder.path(), "bob").entries().is_err());
    std::fs::rename(&aside, &object).unwrap();
    // Whatever stands in it, the state is that of git.
    let digest_of = |bytes: &[u8]| Digest::of(bytes).hex().into_bytes();
    let mut forged = kept.clone();
    let place = forged.windows(3).position(|w| w == b"ann").unwrap();
    forged[place] = b'b';
    let head = digest_of(&forged[64..]);
    forged[..64].copy_from_slice(&head);
    let half = [digest_of(&kept[64..900]), kept[64..900].to_vec()].concat();
    let mut flipped = kept.clone();
    flipped[200] ^= 1;
    for bytes in [forged, half, flipped, kept[..700].to_vec(), Vec::new()] {
        atomic_file::write(&file, &bytes).unwrap();
        assert_eq!(state(&mut open(folder.path(), "bob")), whole);
    }
    // Another chain shares what it shares.
    git(folder.path(), &["update-ref", "refs/orca/ledger", "refs/orca/ledger~2"]);
    assert_ne!(state(&mut open(folder.path(), "bob")), whole);
}

#[test]
fn unsupported_repositories_are_refused_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    for (args, feature) in [
        (["init", "-q", "--ref-format=reftable", "r"], "reftable refs"),
        (["init", "-q", "--object-format=sha256", "s"], "SHA-256 objects"),
    ] {
        git(folder.path(), &args);
        let error = GitStorage::open(&folder.path().join(args[3])).err().unwrap();
        assert!(
            matches!(&error, StorageError::Unsupported { feature: f, .. } if *f == feature),
            "{error}"
        );
    }
    let nowhere = tempfile::tempdir().unwrap();
    let error = GitStorage::open(nowhere.path()).err().unwrap();
    assert!(matches!(error, StorageError::NoRepository { .. }), "{error}");
}
