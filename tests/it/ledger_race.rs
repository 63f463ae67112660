//! Eight processes write through one bare remote at once, and end in one chain with every fact in
//! it. `scripts/race.sh` does the same with 1,000 entries.

use std::collections::BTreeSet;

use crate::support::{Run, Running, World, quiet};

const WRITERS: usize = 8;
const ENTRIES_EACH: usize = 3;

#[test]
fn eight_writers_end_in_one_chain_with_every_fact() {
    let _quiet = quiet();
    let world = World::repository();
    world.bare_remote();
    world.orca(&["release", "tag", "--rc"]).expect_code(0);
    let folders: Vec<String> = (0..WRITERS).map(|number| format!("../writer-{number}")).collect();
    for folder in &folders {
        world.git(&["clone", "--quiet", "../origin.git", folder]);
    }
    for _ in 0..ENTRIES_EACH {
        let running: Vec<Running> = folders
            .iter()
            .map(|folder| {
                let mut command = world.command(&["-C", folder, "preflight"]);
                command.env("ORCA_ACTOR", folder.trim_start_matches("../"));
                Running::start(command)
            })
            .collect();
        for (run, folder) in running.into_iter().zip(&folders) {
            let ended: Run = run.end();
            assert_eq!(ended.code, Some(0), "{folder}: {ended:#?}");
        }
    }
    // Whoever lost every race shares now; then all see what all wrote.
    for _ in 0..2 {
        for folder in &folders {
            world.orca(&["-C", folder, "ledger", "sync"]).expect_code(0);
        }
    }
    let log = |folder: &str| {
        let log = world.orca(&["-C", folder, "ledger", "log", "-n", "0", "--json"]);
        log.expect_code(0).json()["entries"].as_array().expect("a list").clone()
    };
    let one = log(&folders[0]);
    let rulings: Vec<_> = one.iter().filter(|entry| entry["kind"] == "ruled").collect();
    // A preflight rules twice: on the commits, and on trust.
    assert_eq!(rulings.len(), 2 * WRITERS * ENTRIES_EACH, "every fact, and none twice");
    let ids: BTreeSet<&str> = one.iter().filter_map(|entry| entry["id"].as_str()).collect();
    assert_eq!(ids.len(), one.len(), "no entry stands twice");
    let writers: BTreeSet<&str> =
        rulings.iter().filter_map(|entry| entry["who"].as_str()).collect();
    assert_eq!(writers.len(), WRITERS, "{writers:?}");
    for folder in &folders {
        assert_eq!(log(folder), one, "{folder}");
        world.orca(&["-C", folder, "ledger", "verify"]).expect_code(0);
    }
}
