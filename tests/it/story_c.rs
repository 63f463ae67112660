//! Story C: what was rolled back does not come again by running the same job again.

use serde_json::json;

use crate::support::fleet::{self, ALL, BY_USERS};
use crate::support::{Fleet, traffic};

/// The gates of the candidate are all fresh and open; only the ledger forbids it. Neither verb
/// writes to the router: its generation stays.
#[test]
fn story_c_a_condemned_candidate_moves_nothing() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[BY_USERS, ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    fleet::fail(&candidate.url, &json!({"errors": 10000}));
    let ended = fleet.orca(&Fleet::canary(&candidate)).expect_code(6).json();
    assert_eq!(ended["end"], "rolled_back", "{ended}");
    let condemns = |entry: &serde_json::Value| {
        let body = &entry["body"];
        body["kind"] == "rolled_back" || body["says"]["end"] == "rolled_back"
    };
    let back: Vec<String> =
        fleet.ledger().iter().filter(|e| condemns(e)).map(|e| fleet::text(e, "id")).collect();
    fleet::fail(&candidate.url, &json!({}));
    let before = fleet.platform();
    assert_eq!((&before["weight_bp"], &before["base"]), (&0.into(), &fleet.base.clone().into()));

    for args in [&["promote", "--rc", &candidate.release][..], &Fleet::canary(&candidate)] {
        let again = fleet.orca(args).expect_code(1);
        for part in ["ORCA-1304", "rolled back"] {
            assert!(again.stderr.contains(part), "{part}: {}", again.stderr);
        }
        assert!(back.iter().any(|id| again.stderr.contains(id)), "{back:?}: {}", again.stderr);
        assert_eq!(fleet.platform(), before, "{args:?} wrote to the router");
    }

    // The same router under another name of the environment is the same place.
    let file = fleet.world.folder().join("orca.yaml");
    let config = std::fs::read_to_string(file).expect("a file of the world");
    let renamed = config.replace("environment: production", "environment: live");
    assert_ne!(renamed, config);
    fleet.world.write("orca.yaml", &renamed);
    let again = fleet.orca(&Fleet::canary(&candidate)).expect_code(1);
    for part in ["ORCA-1304", "rolled back in production (it and live are both the router at"] {
        assert!(again.stderr.contains(part), "{part}: {}", again.stderr);
    }
    assert_eq!(fleet.platform(), before, "nothing was written to the router");
}
