//! Packs under attack: every byte flipped, every file removed, renamed, doubled and swapped, every
//! lie that a zip can tell, every key exchanged. Each is tried twice: as an attacker leaves it, and
//! with the zip signed anew by the key's owner, so that what is inside must find it alone. Nothing
//! of it may pass, panic, or take more memory than the limits allow.

use crate::base::dsse::SigningKey;
use crate::evidence::fixture::{Story, bad, good, key, rules, small};
use crate::evidence::forged_zip::{End, Forged, deflated, zip as forge};
use crate::evidence::pack::{self, Pack, build};
use crate::evidence::verify::{Submission, Verification, pack_signature, verify};
use crate::evidence::zip::{self, Files};
use crate::gate::phase::Phase;
use crate::gate::verdict::Verdict;

fn submitted(zip: &[u8], signature: &[u8]) -> Verification {
    let public = key().public();
    verify(&Submission { zip, signature: Some(signature), key: Some(&public) }, &rules())
}

/// Signed by the key that the auditor trusts.
fn sealed(zip: &[u8]) -> Verification {
    submitted(zip, &key().sign(zip))
}

fn packed(bundle: &crate::evidence::bundle::Bundle) -> Pack {
    build(bundle, &key(), &rules()).unwrap()
}

/// Nobody changes a byte unseen: the signature finds each. Signed anew, a flip is found by what is
/// inside, or changes none of the files.
#[test]
fn every_flipped_byte_is_caught() {
    let mut story = Story::begin("a fix");
    story.rule(Phase::Load, "load", 100);
    let pack = packed(&story.bundle);
    let files = zip::read(&pack.zip).unwrap();
    let public = key().public();
    let mut bytes = pack.zip.clone();
    let mut harmless = 0;
    for index in 0..bytes.len() {
        let bit = 1 << (index % 8);
        bytes[index] ^= bit;
        let signature = Some(&pack.signature[..]);
        let submission = Submission { zip: &bytes, signature, key: Some(&public) };
        assert_eq!(pack_signature(&submission).unwrap_err().0, Verdict::Fail, "byte {index}");
        if sealed(&bytes).verdict != Verdict::Fail {
            assert_eq!(zip::read(&bytes).unwrap(), files, "byte {index}");
            harmless += 1;
        }
        bytes[index] ^= bit;
    }
    // The version of the program that made it, and the bits that fill a last byte.
    assert!(harmless <= files.len() * 3, "{harmless} flips were not found by what is inside");
    for index in 0..64 {
        let mut signature = pack.signature;
        signature[index] ^= 0x01;
        assert_eq!(submitted(&pack.zip, &signature).verdict, Verdict::Fail, "signature {index}");
    }
}

#[test]
fn every_length_is_caught() {
    let pack = packed(&small());
    for length in (0..pack.zip.len()).step_by(37).chain(pack.zip.len() - 30..pack.zip.len()) {
        assert_eq!(sealed(&pack.zip[..length]).verdict, Verdict::Fail, "{length} bytes");
    }
}

/// Every file flipped, emptied, removed, renamed, doubled, and exchanged with the one of the same
/// name in another pack and with its neighbour in this one.
#[test]
fn a_changed_set_of_files_is_caught() {
    let (pack, other) = (packed(&small()), packed(&good()));
    let (files, others) = (zip::read(&pack.zip).unwrap(), zip::read(&other.zip).unwrap());
    let mut tries = 0;
    let mut attempt = |what: &str, path: &str, change: &dyn Fn(&mut Files)| {
        let mut changed = files.clone();
        change(&mut changed);
        if changed == files {
            return;
        }
        tries += 1;
        let bytes = zip::write(&changed).unwrap();
        for answer in [submitted(&bytes, &pack.signature), sealed(&bytes)] {
            assert_eq!(answer.verdict, Verdict::Fail, "{what} {path}: {}", answer.headline);
        }
    };
    for (path, bytes) in &files {
        attempt("flipped", path, &|f| {
            let middle = bytes.len() / 2;
            f.get_mut(path).unwrap()[middle] ^= 1;
        });
        attempt("emptied", path, &|f| f.get_mut(path).unwrap().clear());
        attempt("longer", path, &|f| f.get_mut(path).unwrap().push(b'\n'));
        attempt("removed", path, &|f| drop(f.remove(path)));
        attempt("renamed", path, &|f| {
            let content = f.remove(path).unwrap();
            f.insert(format!("{path}.old"), content);
        });
        attempt("doubled", path, &|f| drop(f.insert(format!("{path}.old"), bytes.clone())));
        attempt("swapped between packs", path, &|f| {
            if let Some(theirs) = others.get(path) {
                f.insert(path.clone(), theirs.clone());
            }
        });
        let next = files.range::<String, _>(path..).nth(1).map(|(name, _)| name);
        attempt("swapped with its neighbour", path, &|f| {
            if let Some(next) = next {
                f.insert(path.clone(), files[next].clone());
                f.insert(next.clone(), bytes.clone());
            }
        });
    }
    attempt("extra", "extra", &|f| drop(f.insert("extra".into(), Vec::new())));
    assert!(tries > files.len() * 6, "{tries}");
}

/// A ledger entry behind a gap would be listed and signed, and in no chain.
#[test]
fn files_without_a_place_are_caught() {
    for extra in ["ledger/000099.json", "ledger/000001.txt", "exhibits/notes.json"] {
        let mut files = zip::read(&packed(&small()).zip).unwrap();
        files.insert(extra.to_owned(), files["ledger/000001.json"].clone());
        let answer = sealed(&zip::write(&files).unwrap());
        let step = answer.steps.iter().find(|s| s.name == "file names").unwrap();
        assert_eq!(step.verdict, Verdict::Fail, "{extra}");
        assert!(step.detail.contains(extra), "{}", step.detail);
    }
}

#[test]
fn exchanged_keys_are_caught() {
    let mallory = SigningKey::from_seed(&[9; 32]);
    let (ours, hers) = (packed(&bad()), build(&good(), &mallory, &rules()).unwrap());
    let public = key().public();
    let (mut inside, theirs) = (zip::read(&ours.zip).unwrap(), zip::read(&hers.zip).unwrap());
    inside.insert(pack::PUBLIC_KEY.into(), theirs[pack::PUBLIC_KEY].clone());
    let inside = zip::write(&inside).unwrap();
    for (what, zip, signature, trusted, expected) in [
        ("her pack", &hers.zip, hers.signature, Some(&public), Verdict::Fail),
        ("her pack by our key", &hers.zip, key().sign(&hers.zip), Some(&public), Verdict::Fail),
        ("our pack by her key", &ours.zip, mallory.sign(&ours.zip), Some(&public), Verdict::Fail),
        ("the other signature", &ours.zip, hers.signature, Some(&public), Verdict::Fail),
        ("her key inside", &inside, key().sign(&inside), Some(&public), Verdict::Fail),
        ("nobody's key", &hers.zip, hers.signature, None, Verdict::Inconclusive),
    ] {
        let submission = Submission { zip, signature: Some(&signature), key: trusted };
        let answer = verify(&submission, &rules());
        assert_eq!(answer.verdict, expected, "{what}: {}", answer.headline);
    }
}

fn honest() -> Vec<Forged> {
    vec![Forged::honest("a.json", b"{}\n"), Forged::honest("b.txt", &[b'b'; 3_000])]
}

#[test]
fn what_is_forged_honestly_is_read() {
    let read = zip::read(&forge(&honest(), &End::default())).unwrap();
    assert_eq!(read["a.json"], b"{}\n");
    assert_eq!(zip::write(&read).map(|bytes| zip::read(&bytes).unwrap()).unwrap(), read);
}

type Lie = Box<dyn FnOnce(&mut Forged)>;

/// One lie in the headers of the second file.
#[test]
fn every_lie_of_a_header_is_refused() {
    let zip64 = [1, 0, 16, 0].into_iter().chain([0xff; 16]).collect::<Vec<u8>>();
    let lies: Vec<(&str, Lie)> = vec![
        ("climbs out", Box::new(|f| f.name = "b/../../etc/passwd".into())),
        ("absolute", Box::new(|f| f.name = "/etc/passwd".into())),
        ("backslash", Box::new(|f| f.name = "b\\..\\c".into())),
        ("drive", Box::new(|f| f.name = "c:b".into())),
        ("nul", Box::new(|f| f.name = "b\0.txt".into())),
        ("no name", Box::new(|f| f.name = String::new())),
        ("long name", Box::new(|f| f.name = "b".repeat(201))),
        ("looks alike", Box::new(|f| f.name = "b\u{430}.txt".into())),
        ("folder", Box::new(|f| f.name = "b/".into())),
        ("twice", Box::new(|f| f.name = "a.json".into())),
        ("out of order", Box::new(|f| f.name = "a.jsom".into())),
        ("link", Box::new(|f| f.attributes = 0o120_777 << 16)),
        ("device", Box::new(|f| f.attributes = 0o020_644 << 16)),
        ("executable", Box::new(|f| f.attributes = 0o100_755 << 16)),
        ("hidden on DOS", Box::new(|f| f.attributes |= 2)),
        ("another system", Box::new(|f| f.made_by = 20)),
        ("encrypted", Box::new(|f| f.flags = 1)),
        ("length afterwards", Box::new(|f| f.flags = 8)),
        ("UTF-8 flag", Box::new(|f| f.flags = 0x800)),
        ("stored", Box::new(|f| f.method = 0)),
        ("deflate64", Box::new(|f| f.method = 9)),
        ("version", Box::new(|f| f.version = 45)),
        ("time", Box::new(|f| f.time = 1)),
        ("date", Box::new(|f| f.date = 0x22)),
        ("zip64", Box::new(move |f| f.extra.clone_from(&zip64))),
        ("central extra", Box::new(|f| f.central_extra = vec![1, 0, 0, 0])),
        ("comment", Box::new(|f| f.comment = b"hello".to_vec())),
        ("text flag", Box::new(|f| f.internal = 1)),
        ("another disk", Box::new(|f| f.disk = 1)),
        ("two names", Box::new(|f| f.central_name = Some("c.txt".into()))),
        ("two sizes", Box::new(|f| f.central_sizes = Some((f.packed_size, f.size + 1)))),
        ("gap", Box::new(|f| f.gap = b"hidden".to_vec())),
        ("another place", Box::new(|f| f.begins = Some(0))),
        ("far away", Box::new(|f| f.begins = Some(u32::MAX))),
        ("wrong checksum", Box::new(|f| f.crc ^= 1)),
        ("too short", Box::new(|f| f.size -= 1)),
        ("too long", Box::new(|f| f.size += 1)),
        ("largest", Box::new(|f| f.size = u32::MAX)),
        ("packed largest", Box::new(|f| f.packed_size = u32::MAX)),
        ("packed shorter", Box::new(|f| f.packed_size -= 1)),
        (
            "hides bytes",
            Box::new(|f| {
                f.packed.extend(b"hidden");
                f.packed_size += 6;
            }),
        ),
        (
            "never ends",
            Box::new(|f| {
                // A stored block that is not the last one.
                f.packed = [&[0, 3, 0, 0xfc, 0xff][..], b"bbb"].concat();
                (f.packed_size, f.size) = (8, 3);
                f.crc = Forged::honest("x", b"bbb").crc;
            }),
        ),
        ("reserved block", Box::new(|f| f.packed[0] = 0xff)),
    ];
    for (what, lie) in lies {
        let mut files = honest();
        lie(&mut files[1]);
        let bytes = forge(&files, &End::default());
        assert!(zip::read(&bytes).is_err(), "{what}");
        assert_eq!(sealed(&bytes).verdict, Verdict::Fail, "{what}");
    }
}

#[test]
fn every_lie_of_the_end_is_refused() {
    let whole = forge(&honest(), &End::default());
    let mut shell = b"#!/bin/sh\n".to_vec();
    shell.extend(&whole);
    let doubled = [whole.clone(), whole.clone()].concat();
    let zip64_locator = b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0".to_vec();
    let with = |change: &dyn Fn(&mut End)| {
        let mut end = End::default();
        change(&mut end);
        forge(&honest(), &end)
    };
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("text", b"this is no zip file, only a text".to_vec()),
        ("something before", shell),
        ("two zips", doubled),
        ("trailing byte", with(&|e| e.after = vec![0])),
        ("comment", with(&|e| (e.comment_length, e.after) = (5, b"hello".to_vec()))),
        ("comment that is missing", with(&|e| e.comment_length = 5)),
        ("zip64 locator", with(&|e| e.before.clone_from(&zip64_locator))),
        ("fewer files", with(&|e| (e.count, e.count_here) = (Some(1), Some(1)))),
        ("more files", with(&|e| (e.count, e.count_here) = (Some(3), Some(3)))),
        ("zip64 count", with(&|e| (e.count, e.count_here) = (Some(u16::MAX), Some(u16::MAX)))),
        ("fewer files here", with(&|e| e.count_here = Some(1))),
        ("two disks", with(&|e| e.disks = 1)),
        ("central length", with(&|e| e.central_length = Some(0))),
        ("central start", with(&|e| e.central_start = Some(0))),
        ("central start far away", with(&|e| e.central_start = Some(u32::MAX))),
    ] {
        assert!(zip::read(&bytes).is_err(), "{what}");
        assert_eq!(sealed(&bytes).verdict, Verdict::Fail, "{what}");
    }
}

/// What unfolds to more than the limits is refused by its headers, before it unfolds.
#[test]
fn bombs_are_refused_unopened() {
    let many = |name: &dyn Fn(usize) -> String, count: usize, size: u32| {
        let packed = vec![0; 70_000];
        let file = |n| {
            let honest = Forged::honest(&name(n), b"");
            honest.with(|f| {
                f.packed.clone_from(&packed);
                (f.packed_size, f.size) = (70_000, size);
            })
        };
        forge(&(0..count).map(file).collect::<Vec<_>>(), &End::default())
    };
    let bomb = |content: &[u8], claimed: u32| {
        let file = Forged::honest("bomb", b"").with(|f| {
            f.packed = deflated(content);
            f.packed_size = u32::try_from(f.packed.len()).unwrap();
            f.size = claimed;
        });
        forge(&[file], &End::default())
    };
    let none = |n: usize| Forged::honest(&format!("{n:06}"), b"");
    for (what, bytes, reason) in [
        ("many", many(&|n| format!("{n:06}"), 9, 70_000_000), "unpacks to 630000000 bytes"),
        ("ledger", many(&|n| format!("ledger/{n}"), 2, 70_000_000), "'ledger/' unpacks to"),
        ("ratio", bomb(&[0; 100], 64 << 20), "bytes unpack to"),
        ("says less", bomb(&vec![0; 8 << 20], 8 << 10), "longer than its header says"),
        (
            "files",
            forge(&(0..20_001).map(none).collect::<Vec<_>>(), &End::default()),
            "20001 files",
        ),
    ] {
        let answer = sealed(&bytes);
        assert_eq!(answer.verdict, Verdict::Fail, "{what}");
        assert!(answer.headline.contains(reason), "{what}: {}", answer.headline);
    }
}
