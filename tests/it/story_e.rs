//! Story E: clean probes do not excuse what users see.

use serde_json::json;

use crate::support::fleet::{self, ALL, BY_USERS, PAIRED};
use crate::support::{Fleet, traffic};

/// Paired safe GETs pass; every POST /checkout of a user fails. The canary goes back, by a ruling
/// whose samples are the users'.
#[test]
fn story_e_users_decide() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[PAIRED, BY_USERS, ALL]);
    let base_commit = fleet.world.git(&["rev-parse", "HEAD~1"]);
    fleet.users("users");
    let candidate = fleet.candidate();
    fleet::fail(&candidate.url, &json!({"errors": 10000, "errors_at": "POST /checkout"}));
    let ended = fleet.orca(&Fleet::canary(&candidate)).expect_code(6).json();
    assert_eq!(ended["end"], "rolled_back", "{ended}");
    assert!(ended["reason"].as_str().unwrap().contains("user"), "{ended}");
    assert_eq!(fleet.weight(), 0);
    assert_eq!(fleet.served_by(&base_commit, 200), 200);

    let entries = fleet.ledger();
    let failed: Vec<&str> = entries
        .iter()
        .filter(|entry| entry["body"]["kind"] == "ruled")
        .flat_map(|entry| entry["body"]["says"]["ruling"]["checks"].as_array().unwrap())
        .filter(|check| check["counted"] == "fail")
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert!(
        !failed.is_empty() && failed.iter().all(|check| *check == "canary.users"),
        "{failed:?}"
    );
}
