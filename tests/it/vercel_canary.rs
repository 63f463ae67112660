//! A canary on Vercel, through the binary and against the fake: every stage up, every way back.

use std::time::{Duration, Instant};

use crate::support::vercel::{Behaviour, Deployed, Fault, Kind, Plan, Shop};
use crate::support::{Run, traffic, wait_until};

const RAMP: [&str; 4] = ["1%", "5%", "25%", "100%"];
const DEADLINE: Duration = Duration::from_mins(1);

/// The changing calls that carry `text`.
fn calls(shop: &Shop, text: &str) -> usize {
    shop.vercel.changes().iter().filter(|line| line.contains(text)).count()
}

fn failing(one_in: u64) -> Behaviour {
    Behaviour { fails_one_in: one_in, ..Behaviour::default() }
}

#[test]
fn a_healthy_version_gets_everything_stage_by_stage_and_is_promoted() {
    let _quiet = traffic();
    let shop = Shop::start(&RAMP);
    let candidate = shop.candidate();
    let run = shop.orca(&Shop::canary(&candidate)).expect_code(0);
    assert_eq!(run.json()["end"], "complete", "{}", run.stdout);
    assert_eq!(run.json()["deployment"], candidate.deployment.id.as_str());
    assert!(run.stderr.contains("stages 1 %, 5 %, 25 %, 100 % with approval"), "{}", run.stderr);
    assert_eq!(shop.production(), candidate.deployment.id);
    let changes = shop.vercel.changes();
    let project = "/v1/projects/prj_shop/rolling-release";
    let approve = format!("POST {project}/approve-stage");
    assert_eq!(
        changes,
        [
            format!("PATCH {project}/config"),
            format!("POST {project}/start"),
            approve.clone(),
            approve.clone(),
            approve
        ]
    );
    let promoted = shop.orca(&["promote", "--rc", &candidate.release, "--json"]).expect_code(0);
    assert_eq!(shop.vercel.changes().len(), 5, "nothing is left to move: {}", promoted.stdout);
    let before = shop.vercel.asked().len();
    let status = shop.orca(&["release", "status", "--json"]).expect_code(0).json();
    assert_eq!(status["platform"]["base"], candidate.deployment.id.as_str(), "{status}");
    // One look asks nothing twice: its limits count calls of an endpoint by the minute.
    let look = shop.vercel.asked().split_off(before);
    let lines: std::collections::BTreeSet<&str> = look.iter().map(|a| a.line.as_str()).collect();
    assert_eq!(lines.len(), look.len(), "{look:?}");
}

/// At 100 % Vercel has made the candidate the production deployment, so there is nothing to move. Its
/// final tag still needs what a promotion needs; only a promotion that had its clearance, and whose
/// process died, is tagged without asking again.
#[test]
fn the_tag_of_what_serves_already_needs_a_fresh_clearance() {
    let _quiet = traffic();
    let shop = Shop::start(&["25%", "100%"]);
    let candidate = shop.candidate();
    let id = candidate.deployment.id.clone();
    shop.orca(&Shop::canary(&candidate)).expect_code(0);
    assert_eq!(shop.production(), id);
    let load = ["load", "--rc", &candidate.release, "--target", &candidate.deployment.url];
    let promote = ["promote", "--rc", &candidate.release];
    let (name, _) = candidate.release.split_once("-rc.").unwrap();
    let finals = || shop.world.git(&["tag", "--list", name]);
    let judged = |one_in: Option<u64>, code: i32| {
        shop.vercel.behave(&id, one_in.map_or_else(Behaviour::default, failing));
        shop.orca(&load).expect_code(code);
        shop.vercel.behave(&id, Behaviour::default());
    };

    judged(Some(1), 1);
    let refused = shop.orca(&promote).expect_code(1);
    for part in ["serves everybody already", "needs a clearance"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_eq!(finals(), "", "no final tag on a load that failed");
    assert_eq!(shop.production(), id, "users stay where they are");

    // A freeze of another version stops it, as it stops every promotion.
    judged(None, 0);
    shop.orca(&["unfreeze", "--reason", "its own freeze makes room"]).expect_code(0);
    shop.orca(&["freeze", "--until", "1h", "--reason", "holidays"]).expect_code(0);
    shop.orca(&promote).expect_code(1);
    shop.orca(&["unfreeze", "--reason", "they are over"]).expect_code(0);

    // Recorded with its clearance, and killed before the tag: the tag is all that is left.
    let mut dying = shop.command(&promote);
    dying.env("ORCA_TEST_CRASH", "StepAfterOutcome");
    assert_eq!(Run::of(dying).code, None);
    assert_eq!(finals(), "");
    judged(Some(1), 1);
    shop.orca(&promote).expect_code(0);
    assert_ne!(finals(), "");
    assert_eq!(calls(&shop, "/promote/"), 0, "nothing was moved");
}

/// Where a version says nothing of itself, Vercel knows what it built it from.
#[test]
fn the_gate_loads_no_other_deployment_than_the_candidates() {
    let shop = Shop::start(&RAMP);
    let (release, _) = shop.tagged();
    let nameless = Behaviour { nameless: true, ..Behaviour::default() };
    shop.vercel.behave(&shop.base.id, nameless);
    let run = shop.orca(&["load", "--rc", &release, "--target", &shop.base.url]).expect_code(1);
    for part in ["ORCA-1404", "runs commit"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
}

/// A version that breaks once it has so much traffic goes back, whichever stage that is.
#[expect(clippy::print_stdout, reason = "the script reads it")]
fn breaks_at(weight: &str, percent: u32) {
    let shop = Shop::start(&["1%", "5%", "25%", "100%"]);
    let candidate = shop.candidate();
    let running = shop.spawn(&Shop::canary(&candidate));
    let reached = || match percent {
        100 => shop.production() == candidate.deployment.id,
        _ => shop.percent() == percent,
    };
    wait_until(&format!("the canary has {weight}"), DEADLINE, reached);
    shop.vercel.behave(&candidate.deployment.id, failing(2));
    running.line_with("requests by probes failed on the new version");
    let judged = Instant::now();
    let run = running.end();
    assert_eq!(run.code, Some(6), "{weight}: {}", run.stdout);
    let asked = shop.vercel.asked();
    let back = asked.iter().rev().find(|asked| asked.line.contains("/rollback/")).expect("a call");
    println!("from verdict to call: {} ms", back.at.duration_since(judged).as_millis());
    assert!(run.stdout.contains("rolled_back"), "{}", run.stdout);
    assert!(run.stdout.contains("no longer gives production domains"), "{}", run.stdout);
    assert_eq!(shop.production(), shop.base.id);
    assert_eq!(shop.percent(), 0);
    let back = format!("POST /v1/projects/prj_shop/rollback/{}", shop.base.id);
    assert_eq!(shop.vercel.changes().last(), Some(&back), "to the base, and last of all");
    assert_eq!(calls(&shop, "/rollback/"), 1, "{}", run.stdout);
    shop.orca(&Shop::canary(&candidate)).expect_code(1);
}

#[test]
fn a_breach_at_the_first_stage_goes_back() {
    let _quiet = traffic();
    breaks_at("1 %", 1);
}

#[test]
fn a_breach_in_the_middle_goes_back() {
    let _quiet = traffic();
    breaks_at("5 %", 5);
    breaks_at("25 %", 25);
}

#[test]
fn a_breach_at_everything_goes_back_although_the_release_is_complete() {
    let _quiet = traffic();
    breaks_at("100 %", 100);
}

#[test]
fn a_signal_brings_everybody_back() {
    let _quiet = traffic();
    let shop = Shop::start(&["5%", "100%"]);
    let candidate = shop.candidate();
    let running = shop.spawn(&Shop::canary(&candidate));
    wait_until("the canary has 5 %", DEADLINE, || shop.percent() == 5);
    running.signal("INT");
    let run = running.end();
    assert_eq!(run.code, Some(6), "{}", run.stdout);
    assert!(run.stdout.contains("aborted"), "{}", run.stdout);
    assert_eq!((shop.production(), shop.percent()), (shop.base.id.clone(), 0));
    assert_eq!(calls(&shop, "/rollback/"), 1);
}

/// Refused at the start: exit, what it says, and not one change.
fn refused(shop: &Shop, run: &Run, exit: i32, said: &[&str]) {
    assert_eq!(run.code, Some(exit), "{}{}", run.stdout, run.stderr);
    for text in said {
        assert!(run.stderr.contains(text), "no '{text}' in {}", run.stderr);
    }
    assert_eq!(shop.vercel.changes(), [] as [&str; 0]);
    assert_eq!(shop.production(), shop.base.id);
}

#[test]
fn a_plan_without_rolling_releases_is_refused_with_what_else_there_is() {
    let _quiet = traffic();
    let shop = Shop::start(&RAMP);
    let candidate = shop.candidate();
    for (plan, reason) in
        [(Plan::Hobby, "plan_not_supported"), (Plan::ProWithoutSlot, "no_available_slots")]
    {
        shop.vercel.change(|project| project.plan = plan);
        let run = shop.orca(&Shop::canary(&candidate));
        let said = [reason, "blue/green", "flag", "orca explain ORCA-1811"];
        refused(&shop, &run, 1, &said);
    }
}

#[test]
fn what_cannot_be_released_is_refused_before_anything_changes() {
    let _quiet = traffic();
    let shop = Shop::start(&RAMP);
    let candidate = shop.candidate();
    let on = |deployment: &Deployed| {
        let args = ["canary", "start", "--deployment-url", &deployment.url];
        shop.orca(&[&args[..], &["--rc", &candidate.release]].concat())
    };
    let commit = candidate.deployment.commit.clone();
    let preview = shop.vercel.deploy_to(None, &commit);
    refused(&shop, &on(&preview), 1, &["is a preview", "ORCA-1813"]);
    let other = shop.vercel.deploy(&shop.base.commit);
    refused(&shop, &on(&other), 1, &["was built from", "ORCA-1813"]);
    shop.vercel.change(|project| project.build_ms = 600_000);
    let building = shop.vercel.deploy(&commit);
    refused(&shop, &on(&building), 1, &["not READY", "ORCA-1813"]);
    let gone = Deployed { url: "http://127.0.0.1:1".to_owned(), ..building };
    refused(&shop, &on(&gone), 1, &["there is no deployment", "ORCA-1813"]);
    // Somebody else's release is under way.
    shop.vercel.change(|project| {
        project.build_ms = 0;
        project.rolling.template = Some(vec![10, 100]);
    });
    let theirs = shop.vercel.deploy(&commit);
    shop.vercel.change(|project| project.start(&theirs.id)).expect("nothing is under way");
    let run = on(&candidate.deployment);
    refused(&shop, &run, 1, &["is under way at 10 %", &theirs.id, "ORCA-1812"]);
}

/// A push that gets users by itself walks around every gate: no canary, unless somebody answers for it.
#[test]
fn a_push_that_reaches_users_stops_a_canary_until_somebody_answers_for_it() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    let candidate = shop.candidate();
    shop.vercel.change(|project| project.auto_assigns = true);
    let run = shop.orca(&Shop::canary(&candidate)).expect_code(1);
    let said = ["a push to main reaches users without orca", "autoAssignCustomDomains"];
    for text in said {
        assert!(run.stderr.contains(text) || run.stdout.contains(text), "no '{text}' in {run:#?}");
    }
    assert_eq!(shop.production(), shop.base.id);
    let mut forced = Shop::canary(&candidate).to_vec();
    forced.extend(["--force", "platform.bypass", "--finding", "push", "--worst", "1"]);
    forced.extend(["--until", "1h", "--reason", "the last release without orca"]);
    assert_eq!(shop.orca(&forced).expect_code(0).json()["end"], "complete");
    // Nobody pushes to a project that has no repository.
    shop.vercel.change(|project| project.is_linked = false);
    shop.orca(&["promote", "--rc", &candidate.release]).expect_code(0);
}

#[test]
fn credentials_that_do_not_reach_the_project_are_told() {
    let shop = Shop::start(&RAMP);
    let status = |name: &str, value: &str| {
        let mut command = shop.command(&["rollback", "--reason", "checkout is down"]);
        command.env(name, value);
        Run::of(command)
    };
    for (name, value) in [("VERCEL_TOKEN", "expired-token"), ("VERCEL_ORG_ID", "team_other")] {
        let run = status(name, value);
        assert_eq!(run.code, Some(7), "{}{}", run.stdout, run.stderr);
        for text in ["HTTP 403", "ORCA-1810", "VERCEL_TOKEN", "VERCEL_PROJECT_ID"] {
            assert!(run.stderr.contains(text), "no '{text}' in {}", run.stderr);
        }
        assert!(!run.stderr.contains("expired-token"), "{}", run.stderr);
    }
    let mut wrong = shop.command(&["rollback", "--reason", "x", "--project", "prj_other"]);
    wrong.env("VERCEL_PROJECT_ID", "prj_shop");
    let run = Run::of(wrong);
    assert_eq!(run.code, Some(7), "{}", run.stderr);
    assert!(run.stderr.contains("ORCA-1810"), "{}", run.stderr);
    let mut none = shop.command(&["rollback", "--reason", "x"]);
    none.env_remove("VERCEL_TOKEN");
    let run = Run::of(none).expect_code(2);
    assert!(run.stderr.contains("VERCEL_TOKEN is not set"), "{}", run.stderr);
}

/// A limit that ends in days: nobody waits for it, and the end is said.
#[test]
fn a_rate_limit_of_days_is_told_with_its_end() {
    let _quiet = traffic();
    let shop = Shop::start(&RAMP);
    let candidate = shop.candidate();
    let days = Kind::Limited { retry_after: None, reset_secs: 3 * 86_400 };
    shop.vercel.fault(Fault { calls: "GET", with: "billing", times: 9, kind: days });
    let run = shop.orca(&Shop::canary(&candidate));
    refused(&shop, &run, 4, &["the rate limit is used up until 20"]);
    shop.vercel.no_faults();
    let soon = Kind::Limited { retry_after: Some("1"), reset_secs: 0 };
    shop.vercel.fault(Fault { calls: "GET", with: "billing", times: 1, kind: soon });
    let dry = shop.orca(&[&Shop::canary(&candidate)[..], &["--dry-run"]].concat()).expect_code(0);
    assert!(dry.stdout.contains("Vercel project prj_shop"), "{}", dry.stdout);
    for call in ["rolling-release/config", "approve-stage", "/rollback/BASE"] {
        assert!(dry.stdout.contains(call), "no '{call}' in {}", dry.stdout);
    }
}
