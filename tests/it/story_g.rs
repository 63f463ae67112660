//! Story G: the ledger's ref is deleted, forced back or replaced. Nothing is raised on it, users
//! can go back, and any clone that saw more heals it.

use crate::support::fleet::{ALL, BY_USERS};
use crate::support::{Fleet, World, traffic};

const REF: &str = "refs/orca/ledger";

struct Scene {
    fleet: Fleet,
    release: String,
    /// What the router said before anybody touched the ledger.
    before: serde_json::Value,
}

impl Scene {
    fn git_of_the_remote(&self, args: &[&str]) -> String {
        self.fleet.world.git(&[&["--git-dir", "../origin.git"], args].concat())
    }

    /// In this clone `promote` moves nothing, and says why.
    #[track_caller]
    fn refuses(&self, what: &str, folder: &str) {
        let promote = ["-C", folder, "promote", "--rc", &self.release];
        let refused = self.fleet.orca(&promote);
        assert_eq!(refused.code, Some(1), "{what}: {refused:#?}");
        for part in ["ledger rewound", "ORCA-1203", "orca ledger restore"] {
            assert!(refused.stderr.contains(part), "{what}: {part}: {}", refused.stderr);
        }
        assert_eq!(self.fleet.platform(), self.before, "{what}: traffic moved");
    }
}

/// A ledger of somebody else's, pushed over this one by mistake.
fn replace_by_another_repository(scene: &Scene) {
    let other = World::repository();
    other.orca(&["release", "tag", "--rc"]).expect_code(0);
    let from = other.folder().join(".git");
    let from = from.to_str().expect("a plain name");
    let url = scene.fleet.world.folder().join("../origin.git");
    let url = url.to_str().expect("a plain name");
    let spec = format!("{REF}:{REF}");
    scene.fleet.world.git(&["--git-dir", from, "push", "--quiet", "--force", url, &spec]);
}

#[test]
fn story_g_a_rewound_ledger_raises_nothing_and_is_healed_by_any_clone() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[BY_USERS, ALL]);
    fleet.users("users");
    let candidate = fleet.complete();
    let seen = fleet.cloned("seen");
    fleet.orca(&["-C", &seen, "ledger", "sync"]).expect_code(0);
    let before = fleet.platform();
    let head = fleet.world.git(&["rev-parse", REF]);
    let scene = Scene { fleet, release: candidate.release, before };

    // Back by one entry: the tags say nothing of it, a clone that saw it does.
    scene.git_of_the_remote(&["update-ref", REF, &format!("{head}~1")]);
    scene.refuses("back by one entry", &seen);
    // Back behind the tag's head: a clone that never saw it has the tag.
    scene.git_of_the_remote(&["update-ref", REF, &format!("{head}~{}", count(&scene, &head) - 1)]);
    let fresh = scene.fleet.cloned("behind");
    scene.refuses("behind the tag's head, fresh clone", &fresh);
    replace_by_another_repository(&scene);
    scene.refuses("another repository's ledger", &seen);
    let fresh = scene.fleet.cloned("replaced");
    scene.refuses("another repository's ledger, fresh clone", &fresh);
    scene.git_of_the_remote(&["update-ref", "-d", REF]);
    scene.refuses("deleted", &seen);
    let fresh = scene.fleet.cloned("deleted");
    scene.refuses("deleted, fresh clone", &fresh);

    // Users go back from the very clone that knows nothing; what happened waits there.
    let back = ["-C", &fresh, "rollback", "--json", "--reason", "checkout is down"];
    let back = scene.fleet.orca(&back).expect_code(0).json();
    assert_eq!(
        (&back["traffic"], &back["to"]),
        (&"verified".into(), &scene.fleet.base.clone().into())
    );
    assert!(back["ledger"].as_str().unwrap().contains("ledger rewound"), "{back}");

    let alone = scene.fleet.orca(&["-C", &fresh, "ledger", "restore"]).expect_code(1);
    assert!(alone.stderr.contains("--from CLONE"), "{}", alone.stderr);
    // A path is meant from where one stands.
    let restore = ["-C", &fresh, "ledger", "restore", "--json", "--from", "../seen"];
    let healed = scene.fleet.orca(&restore).expect_code(0).json();
    assert_eq!(healed["remote"], "pushed", "{healed}");
    assert!(!healed["carried"].as_array().unwrap().is_empty(), "the rollback is kept: {healed}");

    // The clone that had taken the other repository's ledger takes nothing of it along.
    let replaced = ["-C", "../replaced", "ledger", "restore", "--json", "--from", "../seen"];
    let replaced = scene.fleet.orca(&replaced).expect_code(0).json();
    assert_eq!(replaced["carried"], serde_json::json!([]), "{replaced}");

    // One history again, everywhere, with the rollback in it: the candidate is condemned.
    for folder in [".", &seen, &fresh, "../replaced"] {
        scene.fleet.orca(&["-C", folder, "ledger", "sync"]).expect_code(0);
        scene.fleet.orca(&["-C", folder, "ledger", "verify"]).expect_code(0);
        let log = scene.fleet.log(folder);
        assert!(log.iter().any(|e| e["kind"] == "rolled_back"), "{folder}: {log:#?}");
        assert_eq!(scene.fleet.log(folder), scene.fleet.log("."), "{folder}");
    }
    let refused = scene.fleet.orca(&["promote", "--rc", &scene.release]).expect_code(1);
    assert!(refused.stderr.contains("ORCA-1304"), "{}", refused.stderr);
}

fn count(scene: &Scene, head: &str) -> usize {
    scene.fleet.world.git(&["rev-list", "--count", head]).parse().expect("a number")
}
