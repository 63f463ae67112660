//! Story B: a sleeper that wakes up raises nothing.

use std::process::Command;

use crate::support::fleet::{ALL, BY_USERS, DEADLINE};
use crate::support::{Fleet, Run, traffic, wait_until};

/// The canary stops (SIGSTOP) between its written intent and its call for 100 %. Meanwhile somebody
/// rolls back: in the repository, then in another folder that knows nothing of lease and ledger,
/// after the lease has ended by itself. The sleeper wakes with its old generation and epoch.
#[test]
fn story_b_a_sleeper_is_refused() {
    let _quiet = traffic();
    let mut fleet = Fleet::start_with("p95_ratio_max_pct: 5000\n  grant: 4s", &[BY_USERS, ALL]);
    fleet.users("users");
    for in_repository in [true, false] {
        let candidate = fleet.candidate();
        let mut command = fleet.command(&Fleet::canary(&candidate));
        command.env("ORCA_TEST_CRASH", "StepAfterIntent:2:stop");
        let canary = crate::support::Running::start(command);
        wait_until("the canary to stop", DEADLINE, || is_stopped(canary.id()));
        let back = ["rollback", "--json", "--reason", "checkout is down"];
        if in_repository {
            fleet.orca(&back).expect_code(0);
        } else {
            Run::of(fleet.elsewhere(&back)).expect_code(0);
            let lease = ["cat-file", "blob", "refs/orca/lease/production"];
            wait_until("the end of the lease", DEADLINE, || {
                let lease: serde_json::Value =
                    serde_json::from_str(&fleet.world.git(&lease)).expect("a lease is JSON");
                let end = lease["expires_at"].as_u64().expect("a time");
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                u128::from(end) < now.expect("after 1970").as_micros()
            });
        }
        let before = fleet.platform();
        assert_eq!(
            (&before["weight_bp"], &before["base"]),
            (&0.into(), &fleet.base.clone().into())
        );

        canary.signal("CONT");
        let ended = canary.end().expect_code(1);
        assert!(ended.stdout.contains("took over"), "{}", ended.stdout);
        assert_eq!(fleet.platform(), before, "the router refused it");
        assert_eq!(fleet.served_by(&candidate.commit, 50), 0);
    }
}

/// `T` in the process table.
fn is_stopped(id: u32) -> bool {
    let mut ps = Command::new("ps");
    ps.args(["-o", "stat=", "-p", &id.to_string()]);
    Run::of(ps).stdout.trim_start().starts_with('T')
}
