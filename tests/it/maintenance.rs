//! `orca maintenance`: the kill switch, on the router and on Vercel, from a repository and from nowhere.

use crate::support::fleet::{ALL, browse};
use crate::support::vercel::{Fault, Kind, Shop};
use crate::support::{Fleet, Run, World, traffic};

const ON: [&str; 5] = ["maintenance", "on", "--json", "--reason", "orders are charged twice"];
const OFF: [&str; 5] = ["maintenance", "off", "--json", "--reason", "the charge is right again"];

/// Users get a page, a rollback is still made and verified, and then they get what serves.
#[test]
fn on_the_router_users_get_a_page_and_whoever_repairs_gets_through() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[ALL]);
    fleet.users("users");
    let candidate = fleet.promoted();
    let watch = fleet.spawn(&["watch", "--for", "10m"]);
    watch.line_with("watch");
    fleet.no_users();
    let status = fleet.orca(&["maintenance"]).expect_code(0);
    assert!(status.stdout.contains("open; the front door answers HTTP 200"), "{}", status.stdout);
    let dry = fleet.orca(&[&ON[..2], &["--reason", "x", "--dry-run"]].concat()).expect_code(0);
    assert!(dry.stdout.contains("POST /close"), "{}", dry.stdout);
    assert!(browse(&fleet.front).contains("200 OK"), "a dry run changes nothing");

    let place = ["--admin", &fleet.admin, "--url", &fleet.front];
    let closed = Run::of(fleet.elsewhere(&[&ON[..], &place].concat())).expect_code(0).json();
    assert_eq!((&closed["closed"], &closed["verified"]), (&true.into(), &true.into()));
    assert_eq!(
        (&closed["front_status"], &closed["schema"]),
        (&503.into(), &"orca.maintenance/v1".into())
    );
    let page = browse(&fleet.front);
    for part in ["503", "retry-after: 120", "no-store", "text/html", "We are repairing something"] {
        assert!(page.contains(part), "no '{part}' in {page}");
    }
    assert_eq!(fleet.served_by("error", 3), 3, "programs get a line of JSON");
    fleet.orca(&ON).expect_code(0);
    let watched = watch.end().expect_code(1);
    assert!(watched.stdout.contains("closed for users"), "it blames nobody: {}", watched.stdout);
    fleet.orca(&["watch", "--for", "1s"]).expect_code(1);
    assert_ne!(fleet.platform()["base"], fleet.base.as_str(), "and moves nobody");

    let back = fleet.orca(&["rollback", "--json", "--reason", "double charges"]).expect_code(0);
    assert_eq!(back.json()["traffic"], "verified", "by probes, which get through");
    assert!(browse(&fleet.front).contains("503"), "it opens nothing");
    let opened = fleet.orca(&OFF).expect_code(0).json();
    assert_eq!((&opened["closed"], &opened["ledger"]), (&false.into(), &"synced".into()));
    assert_eq!(fleet.served_by(&candidate.commit, 20), 0, "they are where the rollback put them");
    assert!(browse(&fleet.front).contains("200 OK"));
    let told: Vec<String> = fleet.ledger().iter().map(ToString::to_string).collect();
    for part in ["maintenance on", "orders are charged twice", "maintenance off"] {
        assert!(told.iter().any(|entry| entry.contains(part)), "no '{part}' in the ledger");
    }
}

/// A restart of the router opens nothing.
#[test]
fn a_router_that_starts_again_stays_closed() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[ALL]);
    fleet.orca(&ON).expect_code(0);
    fleet.save();
    fleet.restore();
    assert!(browse(&fleet.front).contains("503"));
    let status = fleet.orca(&["maintenance", "status", "--json"]).expect_code(0).json();
    assert_eq!((&status["closed"], &status["verified"]), (&true.into(), &true.into()));
    // Where it cannot be stored it is so all the same, and a restart would undo it.
    let stored = fleet.world.folder().join("../router.json");
    std::fs::remove_file(&stored).expect("the router's file");
    std::fs::create_dir_all(stored.join("in-the-way")).expect("a folder");
    let unstored = fleet.orca(&OFF).expect_code(5).json();
    assert_eq!((&unstored["stored"], &unstored["verified"]), (&false.into(), &true.into()));
    assert!(browse(&fleet.front).contains("200 OK"));
    fleet.kill_router();
    let gone = fleet.orca(&OFF).expect_code(4);
    assert!(gone.stderr.contains("safe to repeat"), "{}", gone.stderr);
}

#[test]
fn on_vercel_the_project_is_paused_and_what_that_switches_on_is_said() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    shop.promoted();
    let lost = Fault { calls: "POST", with: "/pause", times: 1, kind: Kind::LoseAnswer };
    shop.vercel.fault(lost);
    let closed = shop.orca(&ON).expect_code(0).json();
    assert_eq!((&closed["front_status"], &closed["verified"]), (&503.into(), &true.into()));
    assert!(shop.vercel.change(|project| project.paused));
    let status = shop.orca(&["maintenance"]).expect_code(0);
    assert!(status.stdout.contains("closed; the front door answers HTTP 503"), "{}", status.stdout);

    let blind = shop.orca(&["rollback", "--reason", "double charges"]);
    assert_eq!(blind.code, Some(7), "nobody can see who serves: {}", blind.stdout);
    assert!(blind.stderr.contains("orca maintenance off --reason R"), "{}", blind.stderr);
    let opened = shop.orca(&OFF).expect_code(0).json();
    assert_eq!((&opened["front_status"], &opened["verified"]), (&200.into(), &true.into()));
    let note = opened["note"].as_str().expect("a note");
    assert!(note.contains("autoAssignCustomDomains\":false"), "{note}");
    let again = shop.orca(&OFF).expect_code(0);
    assert_eq!(again.json()["closed"], false, "safe to repeat");

    // The answer is yes and users are served all the same: that is no closed service.
    shop.vercel.change(|project| project.pause_is_late = true);
    let served = shop.orca(&ON).expect_code(7);
    assert!(served.stdout.contains("\"verified\": false"), "{}", served.stdout);
    shop.vercel.fault(Fault {
        calls: "POST",
        with: "/pause",
        times: 9,
        kind: Kind::Refuse(403, "forbidden"),
    });
    let refused = shop.orca(&ON).expect_code(4);
    assert!(refused.stderr.contains("ORCA-1810"), "{}", refused.stderr);
}

#[test]
fn bad_input_and_a_platform_without_a_page_change_nothing() {
    let world = World::repository();
    world.write(
        "orca.yaml",
        "version: 1\nservice: {name: shop, environment: production}\nplatform:\n  kind: exec\n  url: \
         http://127.0.0.1:9\n  exec: {command: [./none.sh]}\n",
    );
    let unable = world.orca(&ON).expect_code(4);
    for part in ["ORCA-1891", "orca rollback"] {
        assert!(unable.stderr.contains(part), "no '{part}' in {}", unable.stderr);
    }
    world.orca(&["maintenance", "on"]).expect_code(2);
    let empty = world.orca(&["maintenance", "on", "--reason", " "]).expect_code(2);
    assert!(empty.stderr.contains("needs a reason"), "{}", empty.stderr);
}
