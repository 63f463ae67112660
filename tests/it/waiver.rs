//! `--force`: one finding is tolerated up to a worst value and until a time, and everybody can read
//! who did it. What proves a release at all cannot be waived.

use serde_json::{Value, json};

use crate::support::fleet::{self, ALL};
use crate::support::{Fleet, Run, World, quiet};

/// Runs a load until this machine keeps up with it: exit 3 says that it did not.
fn judged(fleet: &Fleet, args: &[&str]) -> Run {
    let tries = || fleet.orca(args);
    (0..20).map(|_| tries()).find(|run| run.code != Some(3)).expect("a quiet moment in twenty")
}

/// Few requests: a machine that is busy sends some of many late, and then nothing is judged.
const FEW: &str = "\
version: 1
defaults: {min_samples: 10, objectives: [\"errors < 5%\"]}
endpoints: [{name: trust, path: /api/trust}]
profiles: {baseline: {rate: 40/s, duration: 500ms, connections: 4}}
";

/// Some requests fail: waived up to 80 % the gate opens, at 100 % it closes again, and the ruling,
/// the pack and its report say who waived it.
#[test]
fn a_waived_finding_opens_its_gate_up_to_the_worst_value() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&[ALL]);
    fleet.world.write("slo/slo_manifest.yaml", FEW);
    fleet.world.commit("fix(cart): count twice");
    fleet.push();
    let tagged = fleet.orca(&["release", "tag", "--rc", "--json"]).expect_code(0).json();
    let (release, commit) = (fleet::text(&tagged, "release"), fleet::text(&tagged, "commit"));
    let url = fleet.service(&commit);
    let load = ["load", "--json", "--rc", &release, "--target", &url];
    fleet::fail(&url, &json!({"errors": 4000}));
    let closed = judged(&fleet, &load).expect_code(1).json();
    let findings = closed["gates"][0]["checks"][0]["findings"].as_array().unwrap().clone();
    assert!(!findings.is_empty(), "{closed}");

    // The integer that JSON shows: a run that this machine could not keep up with has no finding
    // to take a unit from.
    let mut opened = Value::Null;
    for (number, finding) in (1..).zip(&findings) {
        let fingerprint = fleet::text(finding, "fingerprint");
        let force = ["--force", "load.slo", "--finding", &fingerprint, "--worst", "800000"];
        let why = ["--until", "1h", "--reason", "the vendor is down, SHOP-118"];
        let code = i32::from(number != findings.len());
        opened = judged(&fleet, &[&load[..], &force, &why].concat()).expect_code(code).json();
    }
    assert_eq!(opened["verdict"], "waived", "{opened}");
    let waiver = &opened["waivers"][0];
    assert_eq!((&waiver["by"], &waiver["role"]), (&"ada".into(), &"engineering".into()));
    assert_eq!(waiver["worst"], 800_000);
    let headline = fleet::text(&opened, "headline");
    for part in ["waived by ada (engineering) until 20", "the vendor is down, SHOP-118"] {
        assert!(headline.contains(part), "{part}: {headline}");
    }

    fleet::fail(&url, &json!({"errors": 10000}));
    judged(&fleet, &load).expect_code(1);
    fleet::fail(&url, &json!({"errors": 4000}));
    let human: Vec<&str> = load.iter().copied().filter(|arg| *arg != "--json").collect();
    let again = judged(&fleet, &human).expect_code(0);
    assert!(again.stdout.starts_with("waived: "), "{}", again.stdout);

    let generate = ["evidence", "generate", "--json", "--tag", &release];
    let pack = fleet.orca(&generate).expect_code(0).json();
    let report = fleet.world.folder().join(fleet::text(&pack, "report"));
    let html = std::fs::read_to_string(report).unwrap();
    for part in ["Finding waived", "waived by ada (engineering)", "SHOP-118"] {
        assert!(html.contains(part), "{part} is not in the report");
    }
}

/// By the clock of the world, which goes on by a second with every command.
#[test]
fn an_expired_waiver_closes_the_gate() {
    let world = World::repository();
    let commit = world.commit("a change without a type");
    let preflight = ["preflight", "--json"];
    world.orca(&preflight).expect_code(1);
    let finding = format!("release.commits:{commit}");
    let force = ["--force", "release.commits", "--finding", &finding, "--worst", "1"];
    let why = ["--until", "10s", "--reason", "pushed before the hook"];
    let waived = world.orca(&[&preflight[..], &force, &why].concat()).expect_code(0).json();
    assert_eq!(waived["gates"][0]["verdict"], "waived", "{waived}");
    for _ in 0..10 {
        world.git(&["rev-parse", "HEAD"]);
    }
    let expired = world.orca(&preflight).expect_code(1).json();
    assert_eq!(expired["gates"][0]["verdict"], "fail", "{expired}");
    assert_eq!(expired["waivers"], json!([]));
}

#[test]
fn what_proves_a_release_cannot_be_waived() {
    let world = World::repository();
    let force = |check: &str, finding: &str, more: &[&str]| {
        let asked = ["preflight", "--force", check, "--finding", finding, "--worst", "1"];
        let why = ["--until", "1h", "--reason", "it is urgent"];
        world.orca(&[&asked[..], &why, more].concat())
    };
    for check in ["release.identity", "artifact.digest", "ledger.chain", "ledger.signature"] {
        let refused = force(check, "identity", &[]).expect_code(1);
        for part in ["ORCA-1210", check, "never be waived"] {
            assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        }
    }
    for (check, finding, more, code, said) in [
        ("canary.users", "canary.hard_limit:users", &[][..], 1, "live limit"),
        ("load.slo", "p95:all", &["--role", "ci"], 1, "role ci may not waive"),
        ("load.slo", "p95:all", &["--role", "boss"], 2, "is no role"),
        ("load.sl", "p95:all", &[], 2, "did you mean load.slo?"),
    ] {
        let refused = force(check, finding, more).expect_code(code);
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    let asked = ["preflight", "--force", "load.slo", "--finding", "p95:all", "--reason", "x"];
    for (more, said) in [
        (&["--worst", "1", "--until", "2026-01-01"][..], "ended at 2026-01-01T00:00:00Z"),
        (&["--worst", "1", "--until", "tomorrow"], "'tomorrow' is not a time"),
        (&["--worst", "fast", "--until", "1h"], "'fast' is not an integer"),
        (&["--worst", "1"], "--until"),
    ] {
        let refused = world.orca(&[&asked[..], more].concat()).expect_code(2);
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    let mut ci = world.command(&[&asked[..], &["--worst", "1", "--until", "1h"]].concat());
    ci.env("CI", "true");
    let refused = crate::support::Run::of(ci).expect_code(1);
    assert!(refused.stderr.contains("role ci"), "{}", refused.stderr);
}
