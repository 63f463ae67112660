//! `orca evidence`: a pack says the same every time, and a changed one is found out.

use std::path::PathBuf;

use crate::support::fleet::text;
use crate::support::{Fleet, quiet};

#[test]
fn a_pack_is_what_was_signed() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&[crate::support::fleet::ALL]);
    let release = fleet.candidate().release;
    let generate = |out: &str| {
        let args = ["evidence", "generate", "--json", "--tag", &release, "--out", out];
        fleet.orca(&args).expect_code(0).json()
    };
    let [one, two] = [generate("../one"), generate("../two")];
    let file = |made: &serde_json::Value, key: &str| -> PathBuf {
        fleet.world.folder().join(text(made, key))
    };
    let pack = std::fs::read(file(&one, "pack")).unwrap();
    assert!(pack == std::fs::read(file(&two, "pack")).unwrap(), "the same bytes twice");

    let (shown, key) = (text(&one, "pack"), text(&one, "public_key"));
    let verify = ["evidence", "verify", &shown];
    fleet.orca(&[&verify[..], &["--key", &key]].concat()).expect_code(0);
    fleet.orca(&verify).expect_code(3);

    let mut changed = pack;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(file(&one, "pack"), changed).unwrap();
    fleet.orca(&[&verify[..], &["--key", &key]].concat()).expect_code(1);
}
