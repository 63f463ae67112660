//! Entries that are forged past orca, by somebody who may push and has no trusted key.

use crate::support::fleet::KEY;
use crate::support::{Run, World, forge};

/// The public half of [`KEY`], and that of nobody's.
const CI: &str = "MCowBQYDK2VwAyEALISK2GZO5lHkiWwTqEqJopZKyl63eouIHmDe1cgbTp0=";
const EVE: &str = "MCowBQYDK2VwAyEALwp7KfU2UgBc1HIKP+es0IyFpOKc1vSNGQXidtrG/+8=";

/// Runs orca with the trusted key.
fn signed(world: &World, args: &[&str]) -> Run {
    let file = world.folder().join("../ci.key");
    let pem = format!("-----BEGIN {0}-----\n{KEY}\n-----END {0}-----\n", "PRIVATE KEY");
    std::fs::write(&file, pem).expect("a new file");
    let mut command = world.command(args);
    command.env("ORCA_SIGNING_KEY", file);
    Run::of(command)
}

fn configure(world: &World, key: &str, gates: &str) -> String {
    world.write(
        "orca.yaml",
        &format!(
            "version: 1\n{gates}trust:\n  required: true\n  keys:\n    - {{id: k, key: {key}, \
             roles: [ci, engineering]}}\n"
        ),
    );
    world.git(&["add", "orca.yaml"]);
    world.commit("fix(deploy): settle the set-up")
}

/// An id stands for one content: nobody writes a second one under it, be it directly or inside a
/// carrier, and borrows the signature of the first.
#[test]
fn an_id_that_says_two_things_is_a_fault_of_the_chain() {
    let world = World::repository();
    world.orca(&["release", "tag", "--rc"]).expect_code(0);
    world.orca(&["preflight"]).expect_code(0);
    world.orca(&["ledger", "verify"]).expect_code(0);
    let tip = world.git(&["rev-parse", "refs/orca/ledger"]);
    let entry = forge::file(&world, ".", &format!("{tip}:entry.json"));
    let id: serde_json::Value = serde_json::from_str(&entry).unwrap();
    let id = id["id"].as_str().unwrap().to_owned();
    let other = entry.replace("\"verdict\":\"pass\"", "\"verdict\":\"waived\"");
    assert_ne!(entry, other);
    for carried in [false, true] {
        world.git(&["update-ref", "refs/orca/ledger", &tip]);
        forge::append(&world, |forged| {
            if carried {
                forged["body"] = forge::carrier(&other, None);
            } else {
                forged["id"] = id.clone().into();
            }
        });
        for args in [&["ledger", "verify"][..], &["release", "tag", "--rc"], &["preflight"]] {
            let refused = world.orca(args).expect_code(1);
            assert!(refused.stderr.contains("ORCA-1202"), "{args:?}: {}", refused.stderr);
            let said = format!("entry {id} was written before, and said something else");
            assert!(refused.stderr.contains(&said), "{args:?}: {}", refused.stderr);
        }
    }
    // A rollback does not stop at the ledger: it gets as far as the router, which is down here.
    let back = ["rollback", "--reason", "x", "--admin", "http://127.0.0.1:1"];
    let mut command = world.command(&[&back[..], &["--url", "http://127.0.0.1:1"]].concat());
    command.env("ORCA_ROUTER_TOKEN", "token");
    let run = Run::of(command).expect_code(7);
    assert!(run.stderr.contains("asking the platform instead"), "{}", run.stderr);
    // The same once more is told once.
    world.git(&["update-ref", "refs/orca/ledger", &tip]);
    forge::append(&world, |forged| forged["body"] = forge::carrier(&entry, None));
    world.orca(&["ledger", "verify"]).expect_code(0);
    world.orca(&["preflight"]).expect_code(0);
}

/// `ledger verify --key` holds a fact to its author's signature, wherever it lies.
#[test]
fn what_a_carrier_holds_is_held_to_its_own_signature() {
    let world = World::repository();
    let remote = world.bare_remote();
    signed(&world, &["release", "tag", "--rc"]).expect_code(0);
    signed(&world, &["preflight"]).expect_code(0);
    let url = remote.to_str().unwrap();
    world.git(&["clone", "--quiet", url, "../other"]);
    let refs = "refs/orca/ledger:refs/orca/ledger";
    world.git(&["-C", "../other", "fetch", "--quiet", "origin", refs]);
    world.git(&["-C", "../other", "remote", "remove", "origin"]);
    signed(&world, &["-C", "../other", "preflight", "--only", "commits"]);
    let show = |name: &str| forge::file(&world, "../other", &format!("refs/orca/ledger:{name}"));
    let (entry, dsse) = (show("entry.json"), show("entry.dsse.json"));
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{CI}\n-----END PUBLIC KEY-----\n");
    std::fs::write(world.folder().join("../ci.pub"), pem).unwrap();
    let verify = ["ledger", "verify", "--key", "../ci.pub"];
    world.orca(&verify).expect_code(0);

    let tip = world.git(&["rev-parse", "refs/orca/ledger"]);
    let changed = entry.replacen("\"verdict\":\"pass\"", "\"verdict\":\"fail\"", 1);
    assert_ne!(entry, changed);
    let mut broken: serde_json::Value = serde_json::from_str(&dsse).unwrap();
    let sig = broken["signatures"][0]["sig"].as_str().unwrap().to_owned();
    let first = if sig.starts_with('A') { "B" } else { "A" };
    broken["signatures"][0]["sig"] = format!("{first}{}", &sig[1..]).into();
    let broken = broken.to_string();
    for (entry, dsse, code, said) in [
        (&entry, Some(&dsse), 0, "all by 1 keys given"),
        (&changed, Some(&dsse), 1, "is of other bytes"),
        (&entry, Some(&broken), 1, "is wrong"),
        (&entry, None, 3, "1 of"),
    ] {
        world.git(&["update-ref", "refs/orca/ledger", &tip]);
        let dsse = dsse.map(String::as_str);
        forge::append(&world, |forged| forged["body"] = forge::carrier(entry, dsse));
        let answer = world.orca(&verify).expect_code(code);
        assert!(answer.stdout.contains(said), "{said}: {}", answer.stdout);
        world.orca(&["ledger", "verify"]);
    }
}

/// One entry in the ledger, with or without a tag of that name, moves no root of trust.
#[test]
fn a_final_that_nobody_trusted_signed_is_no_root_of_trust() {
    let world = World::repository();
    world.bare_remote();
    configure(&world, CI, "");
    world.git(&["tag", "-a", "-m", "1.1.0", "v1.1.0"]);
    world.git(&["push", "--quiet", "--follow-tags", "origin", "main"]);
    let evil = configure(&world, EVE, "");
    world.commit("fix(cart): count twice");
    world.git(&["push", "--quiet", "origin", "main"]);
    signed(&world, &["release", "tag", "--rc"]).expect_code(0);
    signed(&world, &["preflight"]).expect_code(1);
    let says = serde_json::json!({"release": "v1.1.1", "rc": "v1.1.1-rc.1", "commit": evil});
    forge::append(&world, |forged| {
        forged["body"] = serde_json::json!({"kind": "final_tagged", "says": says});
    });
    for tagged in [false, true] {
        if tagged {
            world.git(&["tag", "-a", "-m", "1.1.1", "v1.1.1", &evil]);
        }
        let refused = signed(&world, &["preflight"]).expect_code(1);
        assert!(refused.stdout.contains("since v1.1.0"), "{}", refused.stdout);
        let said =
            "v1.1.1 is no final tag to trust: ledger entry en_evevevevevevevev: it is unsigned";
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
        let status = signed(&world, &["release", "status", "--json"]).json();
        let trust = status["trust"].as_str().unwrap();
        assert!(trust.starts_with("trust: v1.1.0") && trust.contains(said), "{trust}");
    }
}

/// A pack tells whose signatures it bears. Where that cannot be read there is none, rather than one
/// that takes everybody's word.
#[test]
fn no_pack_is_made_where_trust_cannot_be_read() {
    let world = World::repository();
    configure(&world, CI, "");
    let tagged = signed(&world, &["release", "tag", "--rc", "--json"]).expect_code(0).json();
    let generate = ["evidence", "generate", "--json", "--tag", tagged["release"].as_str().unwrap()];
    let made = signed(&world, &generate).expect_code(0).json();
    assert!(made["trust"].as_str().unwrap().ends_with("1 key, required"), "{made}");
    assert_eq!(made["trust_doubts"], serde_json::json!([]));
    let pack = world.folder().join(made["pack"].as_str().unwrap());
    std::fs::remove_file(&pack).expect("a file of the world");

    world.write("orca.yaml", "version: 1\ntrust: {required: true}\n");
    world.git(&["add", "orca.yaml"]);
    world.commit("fix(deploy): trust nobody");
    world.git(&["tag", "v9.0.0"]);
    configure(&world, CI, "");
    let refused = signed(&world, &generate).expect_code(3);
    for part in ["ORCA-1211", "no pack is made", "no key has the role ci", "correct trust in"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert!(!pack.exists());
}
