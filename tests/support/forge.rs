//! Entries that somebody writes with git alone, past orca: chained properly, and signed by nobody.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::run::Run;
use super::world::World;

const LEDGER: &str = "refs/orca/ledger";

/// Appends a copy of the newest entry, changed.
pub(crate) fn append(world: &World, change: impl FnOnce(&mut Value)) {
    let tip = world.git(&["rev-parse", LEDGER]);
    let newest = file(world, ".", &format!("{tip}:entry.json"));
    let mut entry: Value = serde_json::from_str(&newest).expect("an entry is JSON");
    let before = entry["prev_sha256"].as_str().expect("not the first entry").starts_with("sha256:");
    let mut digest = String::new();
    for byte in Sha256::digest(&newest) {
        write!(digest, "{byte:02x}").expect("a string takes it");
    }
    let digest = if before { format!("sha256:{digest}") } else { digest };
    entry["prev_sha256"] = digest.into();
    entry["id"] = "en_evevevevevevevev".into();
    entry["exhibits"] = Value::Array(Vec::new());
    change(&mut entry);
    std::fs::write(world.folder().join("../forged.json"), entry.to_string()).expect("a file");
    let blob = world.git(&["hash-object", "-w", "../forged.json"]);
    let mut shell = world.outside("sh");
    shell.args(["-c", &format!("printf '100644 blob {blob}\\tentry.json\\n' | git mktree")]);
    let tree = Run::of(shell).expect_code(0).stdout;
    let commit = world.git(&["commit-tree", tree.trim(), "-p", &tip, "-m", "x"]);
    world.git(&["update-ref", LEDGER, &commit]);
}

/// A file of a ledger commit, to the last byte.
pub(crate) fn file(world: &World, folder: &str, place: &str) -> String {
    let mut git = world.outside("git");
    git.args(["-C", folder, "show", place]);
    Run::of(git).expect_code(0).stdout
}

/// The body of a carrier of these bytes.
pub(crate) fn carrier(entry: &str, dsse: Option<&str>) -> Value {
    let dsse = dsse.map(|dsse| STANDARD.encode(dsse));
    let says = serde_json::json!({"entry_base64": STANDARD.encode(entry), "dsse_base64": dsse});
    serde_json::json!({"kind": "reconciled", "says": says})
}
