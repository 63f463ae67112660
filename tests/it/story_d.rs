//! Story D: with too few users a canary cannot be decided, and that is said before it starts.

use crate::support::fleet::{ALL, BY_USERS};
use crate::support::{Fleet, traffic};

#[test]
fn story_d_three_requests_a_second_decide_nothing() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 1%, bake: 2s, max_hold: 10s}", BY_USERS, ALL]);
    let candidate = fleet.candidate();
    fleet.users("few");
    let before = fleet.platform();
    let refused = fleet.orca(&Fleet::canary(&candidate)).expect_code(3);
    for part in ["ORCA-1601", "needed", "bake time", "would do"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_eq!(fleet.platform(), before, "something was staged");
    assert!(fleet.status()["canary"].is_null());
}
