//! Story H: a candidate cannot vouch for itself. Trust, roles and required gates are read from the
//! last final tag, and whoever changes them needs a key that was trusted before.

use crate::support::fleet::{self, ALL};
use crate::support::{Fleet, Run, traffic};

/// Keys of no value as pairs: the public one of the CI job (with which [`Fleet`] signs), and both of
/// a person and of an intruder.
const CI: &str = "MCowBQYDK2VwAyEALISK2GZO5lHkiWwTqEqJopZKyl63eouIHmDe1cgbTp0=";
const ANA: [&str; 2] = [
    "MC4CAQAwBQYDK2VwBCIEIDg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4",
    "MCowBQYDK2VwAyEAdtgbM7pyHfibjgsO8mw063LpeJUQRHmM1gik9tvy5tY=",
];
const EVE: [&str; 2] = [
    "MC4CAQAwBQYDK2VwBCIEIDk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
    "MCowBQYDK2VwAyEALwp7KfU2UgBc1HIKP+es0IyFpOKc1vSNGQXidtrG/+8=",
];

/// Whose key signs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Ci,
    Ana,
    Eve,
    Nobody,
}

fn orca(fleet: &Fleet, by: By, args: &[&str]) -> Run {
    let mut command = fleet.command(args);
    let named = match by {
        By::Ci => None,
        By::Ana => Some(ANA),
        By::Eve => Some(EVE),
        By::Nobody => {
            command.env_remove("ORCA_SIGNING_KEY");
            None
        }
    };
    if let Some([private, _]) = named {
        let pem = format!("-----BEGIN {0}-----\n{private}\n-----END {0}-----\n", "PRIVATE KEY");
        let file = fleet.world.folder().join(format!("../{by:?}.key"));
        std::fs::write(&file, pem).expect("a new file");
        command.env("ORCA_SIGNING_KEY", file);
        command.env("ORCA_ACTOR", format!("{by:?}").to_lowercase());
    }
    Run::of(command)
}

/// Adds lines to `orca.yaml` and commits them.
fn configure(fleet: &Fleet, change: impl FnOnce(&str) -> String) {
    let file = fleet.world.folder().join("orca.yaml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    fleet.world.write("orca.yaml", &change(&text));
    fleet.world.commit("fix(deploy): settle the set-up");
    fleet.push();
}

/// The edit of the story: an own key, and a load gate that no longer closes.
fn corrupt(text: &str) -> String {
    let key = format!("    - {{id: eve, key: {}, roles: [ci, engineering]}}\n", EVE[1]);
    let text =
        text.replace("load: {profile: baseline}", "load: {profile: baseline, mode: observe}");
    if text.contains("trust:") { text + &key } else { format!("{text}trust:\n  keys:\n{key}") }
}

fn with_trust(text: &str) -> String {
    format!(
        "{text}trust:\n  required: true\n  keys:\n    - {{id: ci-2026, key: {CI}, roles: [ci]}}\n    \
         - {{id: ana, key: {}, roles: [engineering]}}\n",
        ANA[1]
    )
}

/// Before the first final tag trust is the candidate's own, and said to be. After it, a candidate
/// that changes it moves nothing, whoever runs it.
#[test]
fn story_h_a_candidate_that_edits_its_own_trust_is_refused() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[ALL]);
    fleet.users("users");
    configure(&fleet, with_trust);
    let first = fleet.orca(&["preflight", "--json"]).expect_code(0);
    assert!(first.stdout.contains("trust: first release: 2 keys, required"), "{}", first.stdout);
    let promoted = fleet.promoted();
    let final_tag = promoted.release.split("-rc.").next().unwrap().to_owned();
    let status = fleet.status();
    assert_eq!(fleet::text(&status, "trust"), format!("trust: {final_tag}: 2 keys, required"));

    configure(&fleet, corrupt);
    let tagged = fleet.orca(&["release", "tag", "--rc", "--json"]).expect_code(0).json();
    let (release, commit) = (fleet::text(&tagged, "release"), fleet::text(&tagged, "commit"));
    let url = fleet.service(&commit);
    let (before, tags) = (fleet.platform(), fleet.world.git(&["tag"]));
    let start = ["canary", "start", "--deployment-url", &url, "--rc", &release];
    let promote = ["promote", "--rc", &release];
    let differences = ["+ trust.keys eve: ", "+ gates.load.mode: observe", &final_tag];
    for (by, args) in
        [(By::Ci, &promote[..]), (By::Ci, &start), (By::Eve, &promote), (By::Nobody, &promote)]
    {
        let refused = orca(&fleet, by, args).expect_code(1);
        assert!(refused.stderr.contains("ORCA-1211"), "{}", refused.stderr);
        for part in differences {
            assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        }
    }
    let shown = fleet.orca(&["preflight"]).expect_code(1);
    assert!(shown.stdout.contains("+ gates.load.mode: observe"), "{}", shown.stdout);

    let finding = shown.stdout.split("--finding trust:").nth(1).expect("how to approve it");
    let finding = format!("trust:{}", finding.split_whitespace().next().unwrap());
    let approve = ["--force", "release.trust", "--finding", &finding, "--worst", "1"];
    let why = ["--until", "1h", "--reason", "eve joins the team"];
    for by in [By::Eve, By::Ci, By::Nobody] {
        let tried = orca(&fleet, by, &[&promote[..], &approve, &why].concat()).expect_code(1);
        assert!(tried.stderr.contains("ORCA-1211"), "{by:?}: {}", tried.stderr);
    }
    assert_eq!((fleet.platform(), fleet.world.git(&["tag"])), (before, tags), "something moved");
    // With an old key the change is approved; what is left is that no canary was run.
    let approved = orca(&fleet, By::Ana, &[&promote[..], &approve, &why].concat()).expect_code(1);
    assert!(approved.stderr.contains("ORCA-1303"), "{}", approved.stderr);
    // A further change is not what was approved.
    configure(&fleet, |text| text.replace("mode: observe", "mode: observe, max_age: 90d"));
    let further = orca(&fleet, By::Ci, &promote).expect_code(1);
    assert!(further.stderr.contains("+ gates.load.max_age: 90d"), "{}", further.stderr);
}

/// One release, complete but for its promotion; then its preflight is written again by those who
/// may not. Going back needs no signature at all.
#[test]
fn story_h_only_rulings_of_a_trusted_ci_key_count() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[ALL]);
    fleet.users("users");
    configure(&fleet, with_trust);
    let candidate = fleet.candidate();
    let refused = orca(&fleet, By::Ana, &Fleet::canary(&candidate)).expect_code(3);
    assert!(refused.stderr.contains("ORCA-1212"), "{}", refused.stderr);
    fleet.orca(&Fleet::canary(&candidate)).expect_code(0);
    // Whose word would not count hears so before it is written.
    let advance = ["canary", "advance", "--reason", "we know it"];
    for (by, code) in [(By::Ci, "ORCA-1898"), (By::Nobody, "ORCA-1898"), (By::Ana, "ORCA-1873")] {
        let refused = orca(&fleet, by, &advance).expect_code(1);
        assert!(refused.stderr.contains(code), "{by:?}: {}", refused.stderr);
    }
    let before = fleet.platform();
    let promote = ["promote", "--json", "--rc", &candidate.release];
    for (by, said) in [
        (By::Nobody, "unsigned"),
        (By::Eve, "no trusted key signed it"),
        (By::Ana, "has the role engineering, and ci must sign it"),
    ] {
        let own = orca(&fleet, by, &["preflight"]).expect_code(3);
        assert!(own.stdout.contains("trust is required"), "{by:?}: {}", own.stdout);
        let closed = fleet.orca(&promote).expect_code(3);
        assert!(closed.stderr.contains(said), "{by:?}: {}", closed.stderr);
        assert_eq!(fleet.platform(), before, "{by:?}");
    }
    fleet.orca(&["preflight"]).expect_code(0);
    // A person may promote: what was proved was proved by the CI job.
    orca(&fleet, By::Ana, &promote).expect_code(0);
    let back = ["rollback", "--json", "--reason", "checkout is down"];
    let made = orca(&fleet, By::Nobody, &back).expect_code(0).json();
    assert_eq!((&made["to"], &made["traffic"]), (&fleet.base.clone().into(), &"verified".into()));
}
