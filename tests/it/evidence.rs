//! `orca evidence`: a pack says the same every time, a changed one is found out, and one that was
//! made long ago is still judged to the same bytes.

use std::path::{Path, PathBuf};

use crate::support::fleet::{self, text};
use crate::support::{Fleet, World, quiet};

/// Made by `orca evidence generate` when ledger and pack had their first format, and never again.
const OLD_PACK: &str = "tests/fixtures/pack_v1";

#[test]
fn a_pack_is_what_was_signed() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&[fleet::ALL]);
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
    let again = fleet.orca(&["evidence", "rejudge", "--json", &shown]).expect_code(0).json();
    assert_eq!(again["verdict"], "pass");
    assert!(again["rulings"].as_array().unwrap().len() >= 2, "{again:#}");
}

/// The pack in a folder of its own, with its signature and the key of its maker.
fn old_pack(world: &World) -> [PathBuf; 3] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(OLD_PACK);
    let decoded = |name: &str, how: &str| {
        let path = world.folder().join(name);
        let mut command = world.outside("sh");
        command.args(["-c", how]).current_dir(&folder);
        std::fs::write(&path, command.output().expect("a shell is everywhere").stdout)
            .expect("a new file");
        path
    };
    let key = world.folder().join("orca.pub");
    std::fs::copy(folder.join("orca.pub"), &key).expect("a new file");
    let pack = decoded("pack.zip", "base64 -d pack.zip.gz.base64 | gzip -dc");
    [pack, decoded("pack.zip.sig", "base64 -d pack.zip.sig.base64"), key]
}

#[test]
fn a_pack_of_the_first_format_is_judged_to_the_same_bytes() {
    let world = World::new();
    old_pack(&world);
    world.orca(&["evidence", "verify", "pack.zip", "--key", "orca.pub"]).expect_code(0);
    let again = world.orca(&["evidence", "rejudge", "--json", "pack.zip"]).expect_code(0);
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join(OLD_PACK).join("rejudge.json");
    assert_eq!(again.stdout, std::fs::read_to_string(expected).unwrap());
}

/// What `attack.rs` tries in thousands, in a few through the binary, for the exit codes.
#[test]
fn a_pack_under_attack_closes_the_gate() {
    let world = World::new();
    let [pack, signature, _] = old_pack(&world);
    let whole = std::fs::read(&pack).unwrap();
    let verify = ["evidence", "verify", "pack.zip", "--key", "orca.pub"];
    let step = whole.len() / 7;
    for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        std::fs::write(&pack, changed).unwrap();
        let answer = world.orca(&verify).expect_code(1);
        assert!(answer.stdout.starts_with("fail: pack signature"), "{}", answer.stdout);
    }
    for changed in [&whole[..whole.len() / 2], &[&whole[..], b"\n"].concat(), b""] {
        std::fs::write(&pack, changed).unwrap();
        world.orca(&verify).expect_code(1);
        for verb in ["rejudge", "show"] {
            let refused = world.orca(&["evidence", verb, "pack.zip"]).expect_code(1);
            assert!(refused.stderr.contains("ORCA-1701"), "{}", refused.stderr);
        }
    }
    std::fs::write(&pack, &whole).unwrap();
    std::fs::remove_file(&signature).unwrap();
    world.orca(&verify).expect_code(3);
    world.orca(&["evidence", "verify", "lost.zip", "--key", "orca.pub"]).expect_code(2);
    world.write("orca.pub", "no key");
    world.orca(&verify).expect_code(2);
}
