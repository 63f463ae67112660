//! Runs the commands of `docs/guides/audit.md` on a pack, word for word: what an auditor does with
//! openssl, unzip and sha256sum alone must work, and must find a changed pack.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::base::atomic_file;
use crate::evidence::fixture::{good, key, rules};
use crate::evidence::pack;

const GUIDE: &str = include_str!("../../docs/guides/audit.md");

fn runs(folder: &Path, script: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn an_auditor_needs_no_orca() {
    let folder = tempfile::tempdir().unwrap();
    let tools = "openssl pkeyutl -help 2>&1 | grep -q rawin; unzip -v; sha256sum --version";
    if !runs(folder.path(), tools) {
        return;
    }
    let script: Vec<&str> =
        GUIDE.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert_eq!(script.len(), 4, "the guide's four steps");
    let pack = pack::build(&good(), &key(), &rules()).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        atomic_file::write(&folder.path().join(name), bytes).unwrap();
    };
    write("PACK.zip", &pack.zip);
    write("PACK.zip.sig", &pack.signature);
    write("KEY.pub", key().public().to_spki_pem().as_bytes());
    for step in &script {
        assert!(runs(folder.path(), step), "{step}");
    }
    let mut changed = pack.zip.clone();
    changed[100] ^= 1;
    write("PACK.zip", &changed);
    assert!(!runs(folder.path(), script[0]), "a changed pack passed");
    write("pack/report.html", b"<p>all is well</p>");
    let check = script[1].lines().last().unwrap();
    assert!(!runs(&folder.path().join("pack"), check), "a changed file passed");
    write("pack/statement.pae", b"another statement");
    assert!(!runs(folder.path(), script[2]), "a changed statement passed");
    write("pack/manifest.json", b"{}");
    assert!(!runs(folder.path(), script[3]), "another manifest passed");
}
