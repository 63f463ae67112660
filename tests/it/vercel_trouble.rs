//! Bad luck on Vercel: lost answers, an API that is down exactly now, people in the dashboard, and
//! processes that die.

use std::time::Duration;

use crate::support::vercel::{Behaviour, Fault, Kind, Phase, Plan, Shop};
use crate::support::{Run, traffic, wait_until};

const DEADLINE: Duration = Duration::from_mins(1);

fn posts(shop: &Shop, text: &str) -> usize {
    let changes = shop.vercel.changes();
    changes.iter().filter(|line| line.starts_with("POST") && line.contains(text)).count()
}

fn failing() -> Behaviour {
    Behaviour { fails_one_in: 2, ..Behaviour::default() }
}

/// `rollback` with what it was told from an empty folder: no repository, no configuration.
fn elsewhere(shop: &Shop, args: &[&str]) -> Run {
    let folder = shop.world.folder().join("../elsewhere");
    std::fs::create_dir_all(&folder).expect("a folder of the world");
    let mut command = shop.command(args);
    command.current_dir(folder).env("VERCEL_PROJECT_ID", "prj_shop");
    Run::of(command)
}

/// `canary abort` where there is the configuration, and no repository.
fn abort_elsewhere(shop: &Shop) -> Run {
    let folder = shop.world.folder().join("../elsewhere");
    std::fs::create_dir_all(&folder).expect("a folder of the world");
    let config = shop.world.folder().join("orca.yaml");
    std::fs::copy(config, folder.join("orca.yaml")).expect("a new file");
    elsewhere(shop, &["canary", "abort"])
}

/// What a rollback says of its time, for `scripts/bench/vercel-rollback.sh`.
#[expect(clippy::print_stdout, reason = "the script reads it")]
fn tell(text: &str) {
    println!("{text}");
}

#[test]
fn a_rollback_is_one_changing_call_and_says_what_it_left_switched_off() {
    let _quiet = traffic();
    let shop = Shop::start(&["50%", "100%"]);
    let candidate = shop.promoted();
    assert_eq!(shop.production(), candidate.deployment.id);
    let before = shop.vercel.changes().len();
    let dry = shop.orca(&["rollback", "--reason", "x", "--dry-run"]).expect_code(0);
    let call = format!("call: POST /v1/projects/prj_shop/rollback/{}", shop.base.id);
    assert!(dry.stdout.contains(&call), "no '{call}' in {}", dry.stdout);
    shop.vercel.latency(Duration::from_millis(50));
    let run = shop.orca(&["rollback", "--reason", "checkout is down"]).expect_code(0);
    assert_eq!(
        shop.vercel.changes()[before..],
        [format!("POST /v1/projects/prj_shop/rollback/{}", shop.base.id)]
    );
    assert_eq!(shop.production(), shop.base.id);
    for text in
        ["verified", "traffic moved after", "platform calls: 1 change", "Undo Rollback", "PATCH"]
    {
        assert!(run.stdout.contains(text), "no '{text}' in {}", run.stdout);
    }
    tell(&run.stdout);
    // Once more, by anybody: it stays.
    shop.orca(&["rollback", "--reason", "checkout is down"]).expect_code(0);
    assert_eq!(shop.production(), shop.base.id);
    // The commit is condemned.
    shop.orca(&Shop::canary(&candidate)).expect_code(1);
}

#[test]
fn a_rollback_needs_no_repository() {
    let shop = Shop::start(&["100%"]);
    let next = shop.vercel.deploy(&"b".repeat(40));
    shop.vercel.change(|project| project.promote(&next.id)).expect("it is a production one");
    wait_until("the domain moves", DEADLINE, || shop.production() == next.id);
    let args = ["rollback", "--reason", "checkout is down", "--url", &shop.vercel.front];
    let run = elsewhere(&shop, &args).expect_code(0);
    assert_eq!(shop.production(), shop.base.id, "{}", run.stdout);
    let only = [format!("POST /v1/projects/prj_shop/rollback/{}", shop.base.id)];
    assert_eq!(shop.vercel.changes(), only);
}

/// The plan goes back one step only, or not where it is asked to: nothing is claimed.
#[test]
fn a_plan_that_does_not_go_back_so_far_is_told() {
    let shop = Shop::start(&["100%"]);
    for number in ["b", "c"] {
        let next = shop.vercel.deploy(&number.repeat(40));
        shop.vercel.change(|project| project.served(&next.id));
    }
    shop.vercel.change(|project| project.plan = Plan::Hobby);
    let (front, base) = (shop.vercel.front.clone(), shop.base.id.clone());
    let args = ["rollback", "--reason", "x", "--url", &front, "--to", &base];
    let run = elsewhere(&shop, &args);
    assert_eq!(run.code, Some(1), "never served by what the platform remembers: {}", run.stderr);
    shop.vercel.change(|project| project.before = None);
    let run = elsewhere(&shop, &args[..5]);
    assert_eq!(run.code, Some(7), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("ORCA-1811"), "{}", run.stderr);
}

/// Story F: the answer is lost, then the API is down, then a person promotes in the dashboard.
#[test]
fn story_f_a_lost_answer_is_followed_by_reading_and_people_are_not_overwritten() {
    let _quiet = traffic();
    let shop = Shop::start(&["50%", "100%"]);
    let candidate = shop.promoted();
    let lost = Fault { calls: "POST", with: "/rollback/", times: 1, kind: Kind::LoseAnswer };
    shop.vercel.fault(lost);
    shop.vercel.fault(Fault { calls: "GET", with: "", times: 9, ..Fault::down() });
    let run = shop.orca(&["rollback", "--reason", "checkout is down"]).expect_code(0);
    assert_eq!(posts(&shop, "/rollback/"), 1, "it was accepted once: {}", run.stdout);
    assert_eq!(shop.production(), shop.base.id);
    // Now the same with a person who decides otherwise while nobody can read.
    shop.vercel.change(|project| project.served(&candidate.deployment.id));
    let person = shop.vercel.deploy(&"c".repeat(40));
    shop.vercel.fault(Fault {
        calls: "POST",
        with: "/rollback/",
        times: 1,
        kind: Kind::LoseAnswer,
    });
    shop.vercel.change(|project| project.rolling.template = None);
    shop.vercel.fault(Fault { calls: "GET", with: "", times: u32::MAX, ..Fault::down() });
    let to = ["rollback", "--reason", "checkout is down", "--to", &shop.base.id];
    let running = shop.spawn(&to);
    wait_until("the call is made", DEADLINE, || posts(&shop, "/rollback/") == 2);
    shop.vercel.change(|project| project.promote(&person.id)).expect("nothing is under way");
    wait_until("the person's choice serves", DEADLINE, || shop.production() == person.id);
    shop.vercel.no_faults();
    let run = running.end();
    assert_eq!(run.code, Some(7), "{}", run.stdout);
    assert!(run.stdout.contains(&person.id), "who serves is named: {}", run.stdout);
    assert_eq!(posts(&shop, "/rollback/"), 2, "nothing is called again over a person's choice");
    assert_eq!(shop.production(), person.id);
}

/// One domain went back and another did not: users are still hurt, so somebody is called.
#[test]
fn a_way_back_that_moves_some_domains_only_is_no_arrival() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    let other = shop.vercel.deploy(&"c".repeat(40));
    shop.vercel.change(|project| {
        project.served(&other.id);
        (project.moving_fails, project.moves_partly) = (true, true);
    });
    let run = shop.orca(&["rollback", "--reason", "checkout is down"]);
    assert_eq!(run.code, Some(7), "{}{}", run.stdout, run.stderr);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(
        said.contains("made the change in part: Vercel could not move www.shop.example"),
        "{said}"
    );
    assert_eq!(shop.production(), shop.base.id);
    // Asked again, Vercel says that it is there already: that is no arrival of the others either.
    let again = shop.orca(&["rollback", "--reason", "checkout is down"]);
    assert_eq!(again.code, Some(7), "{}{}", again.stdout, again.stderr);
}

/// The same on the way back from a breach: trying again does not make it whole.
#[test]
fn a_breach_whose_way_back_moves_some_domains_only_is_unverified() {
    let _quiet = traffic();
    let shop = Shop::start(&["50%", "100%"]);
    let candidate = shop.candidate();
    let running = shop.spawn(&Shop::canary(&candidate));
    wait_until("the canary has 50 %", DEADLINE, || shop.percent() == 50);
    shop.vercel.change(|project| (project.moving_fails, project.moves_partly) = (true, true));
    shop.vercel
        .behave(&candidate.deployment.id, Behaviour { fails_one_in: 2, ..Behaviour::default() });
    let run = running.end();
    assert_eq!(run.code, Some(7), "{}", run.stdout);
    assert!(run.stdout.contains("could not move www.shop.example"), "{}", run.stdout);
    assert_eq!(shop.production(), shop.base.id);
}

/// Story J: the API is down exactly when a breach needs it. It is tried until the deadline.
#[test]
fn story_j_an_api_that_is_down_during_a_breach_is_tried_until_the_deadline() {
    let _quiet = traffic();
    let shop = Shop::start(&["10%", "100%"]);
    let candidate = shop.candidate();
    let running = shop.spawn(&Shop::canary(&candidate));
    running.line_with("the new version gets 10 %");
    shop.vercel.fault(Fault::down());
    shop.vercel.behave(&candidate.deployment.id, failing());
    let run = running.end();
    assert_eq!(run.code, Some(7), "{}", run.stdout);
    assert!(run.stdout.contains("going back to base failed"), "{}", run.stdout);
    assert_eq!(shop.percent(), 10, "nothing reached it");
    // It comes back, and so does everybody.
    shop.vercel.no_faults();
    shop.orca(&["rollback", "--reason", "the canary fails"]).expect_code(0);
    assert_eq!((shop.production(), shop.percent()), (shop.base.id.clone(), 0));
}

#[test]
fn an_api_that_comes_back_in_time_is_enough() {
    let _quiet = traffic();
    let shop = Shop::start(&["10%", "100%"]);
    let candidate = shop.candidate();
    let running = shop.spawn(&Shop::canary(&candidate));
    wait_until("the canary has 10 %", DEADLINE, || shop.percent() == 10);
    let refuse = Kind::Refuse(503, "internal_server_error");
    shop.vercel.fault(Fault { calls: "POST", with: "/rollback/", times: 2, kind: refuse });
    shop.vercel.behave(&candidate.deployment.id, failing());
    let run = running.end();
    assert_eq!(run.code, Some(6), "{}", run.stdout);
    assert_eq!((shop.production(), shop.percent()), (shop.base.id.clone(), 0));
}

/// A person presses buttons while a canary runs: orca raises nothing more and takes nothing over.
#[test]
fn what_a_person_does_meanwhile_stops_the_canary() {
    let _quiet = traffic();
    let shop = Shop::start(&["10%", "50%", "100%"]);
    let candidate = shop.candidate();
    let running = shop.spawn(&Shop::canary(&candidate));
    running.line_with("the new version gets 10 %");
    let id = candidate.deployment.id.clone();
    shop.vercel.change(|project| project.complete(&id)).expect("it is under way");
    let run = running.end();
    assert_eq!(run.code, Some(7), "{}", run.stdout);
    assert!(run.stdout.contains("nothing is overwritten"), "{}", run.stdout);
    assert_eq!(posts(&shop, "rolling-release/approve-stage"), 0);
    assert_eq!(posts(&shop, "/rollback/"), 0);
    assert_eq!(shop.production(), candidate.deployment.id);
}

/// A raise whose answer is lost is read, not repeated.
#[test]
fn a_raise_whose_answer_is_lost_is_made_once() {
    let _quiet = traffic();
    let shop = Shop::start(&["10%", "100%"]);
    let candidate = shop.candidate();
    for with in ["/start", "/approve-stage"] {
        shop.vercel.fault(Fault { calls: "POST", with, times: 1, kind: Kind::LoseAnswer });
    }
    let run = shop.orca(&Shop::canary(&candidate)).expect_code(0);
    assert_eq!(run.json()["end"], "complete");
    assert_eq!((posts(&shop, "/start"), posts(&shop, "/approve-stage")), (1, 1));
}

/// kill -9 while the canary has users: nothing moves by itself, `resume` brings them back and never
/// raises, and a new canary begins at its first stage.
#[test]
fn after_a_kill_resume_brings_everybody_back() {
    let _quiet = traffic();
    let shop = Shop::start(&["10%", "100%"]);
    let candidate = shop.candidate();
    let running = shop.spawn(&Shop::canary(&candidate));
    wait_until("the canary has 10 %", DEADLINE, || shop.percent() == 10);
    running.signal("KILL");
    drop(running);
    assert_eq!(shop.percent(), 10, "Vercel holds no grant");
    shop.lease_ends();
    let run = shop.orca(&["canary", "resume"]);
    assert_eq!(run.code, Some(6), "{}{}", run.stdout, run.stderr);
    assert_eq!((shop.production(), shop.percent()), (shop.base.id.clone(), 0));
    let phase = shop.vercel.change(|project| project.rolling.newest.as_ref().map(|r| r.phase));
    assert_eq!(phase, Some(Phase::Aborted));
    shop.orca(&Shop::canary(&candidate)).expect_code(0);
}

#[test]
fn an_abort_from_anywhere_brings_everybody_back() {
    let _quiet = traffic();
    let shop = Shop::start(&["10%", "100%"]);
    let candidate = shop.candidate();
    let running = shop.spawn(&Shop::canary(&candidate));
    wait_until("the canary has 10 %", DEADLINE, || shop.percent() == 10);
    running.signal("STOP");
    let args = ["rollback", "--reason", "x", "--url", &shop.vercel.front];
    elsewhere(&shop, &args).expect_code(0);
    assert_eq!((shop.production(), shop.percent()), (shop.base.id.clone(), 0));
    running.signal("CONT");
    let run = running.end();
    assert_ne!(run.code, Some(0), "{}", run.stdout);
    assert_eq!(posts(&shop, "/approve-stage"), 0);
    assert_eq!(shop.production(), shop.base.id);
}

/// The release is complete on Vercel and its last stage still bakes when everything dies: a fresh
/// checkout knows no base, and Vercel does.
#[test]
fn an_abort_without_a_ledger_takes_back_a_complete_release() {
    let _quiet = traffic();
    let shop = Shop::start(&["10%", "100%"]);
    let candidate = shop.candidate();
    let idle = abort_elsewhere(&shop);
    assert_eq!(idle.code, Some(7), "nothing was lowered: {}{}", idle.stdout, idle.stderr);
    assert_eq!(shop.vercel.changes(), [] as [&str; 0]);
    let running = shop.spawn(&Shop::canary(&candidate));
    wait_until("it is complete", DEADLINE, || shop.production() == candidate.deployment.id);
    running.signal("KILL");
    drop(running);
    abort_elsewhere(&shop).expect_code(0);
    assert_eq!(posts(&shop, "/rollback/"), 1);
    assert_eq!(shop.production(), shop.base.id);
    // Once more: everybody is on what somebody went back to.
    abort_elsewhere(&shop).expect_code(0);
    assert_eq!((posts(&shop, "/rollback/"), shop.production()), (1, shop.base.id.clone()));
}

/// A canary that was promoted is over: where the ledger knows it, an abort takes nothing back.
#[test]
fn an_abort_after_a_promotion_takes_nothing_back() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    let candidate = shop.promoted();
    shop.orca(&["canary", "abort"]).expect_code(0);
    assert_eq!(posts(&shop, "/rollback/"), 0);
    assert_eq!(shop.production(), candidate.deployment.id);
}

/// A version that does not say which it is could not be verified on the way back: refused.
#[test]
fn a_domain_that_does_not_name_its_version_is_refused() {
    let _quiet = traffic();
    let shop = Shop::start(&["10%", "100%"]);
    let candidate = shop.candidate();
    shop.vercel.behave(&shop.base.id, Behaviour { nameless: true, ..Behaviour::default() });
    let run = shop.orca(&Shop::canary(&candidate));
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("does not say which version answers"), "{}", run.stderr);
    assert_eq!(shop.vercel.changes(), [] as [&str; 0]);
}

/// A proxy stands between: the calls go through it.
#[test]
fn calls_go_through_the_proxy_of_the_environment() {
    let shop = Shop::start(&["100%"]);
    let mut command = shop.command(&["release", "status", "--json"]);
    command.env("VERCEL_API_URL", "http://api.vercel.test").env("HTTP_PROXY", &shop.vercel.api);
    let status = Run::of(command).expect_code(0).json();
    assert_eq!(status["platform"]["base"], shop.base.id.as_str(), "{status}");
}
