//! What orca decides stands beside the deployment on Vercel, where somebody asked for it; and nothing
//! depends on it.

use crate::support::vercel::{Behaviour, Fault, Kind, Shop};
use crate::support::{keeping_up, traffic};

const DEPLOY: [&str; 3] = ["deploy", "blue-green", "--json"];

fn shop() -> Shop {
    let shop = Shop::start(&["100%"]);
    let path = shop.world.folder().join("orca.yaml");
    let config = std::fs::read_to_string(path).expect("a configuration");
    shop.world.write("orca.yaml", &config.replace("back_within", "checks: true\n  back_within"));
    shop.world.commit("chore: show decisions");
    shop.push();
    shop
}

/// Conclusion and text of every run, in their order.
fn shown(shop: &Shop) -> Vec<(String, String)> {
    let runs = shop.vercel.change(|project| project.checks.runs.clone());
    assert!(runs.iter().all(|run| run.status == "completed"), "{runs:?}");
    runs.into_iter()
        .map(|run| (run.conclusion.unwrap_or_default(), run.text.unwrap_or_default()))
        .collect()
}

#[test]
fn each_decision_is_a_run_of_one_check() {
    let _quiet = traffic();
    let shop = shop();
    shop.tagged();
    let dry = shop.orca(&["deploy", "blue-green", "--dry-run"]).expect_code(0);
    assert!(dry.stdout.contains("/check-runs"), "{}", dry.stdout);
    let fails = Behaviour { fails_one_in: 3, ..Behaviour::default() };
    shop.vercel.change(|project| project.builds_behave = fails);
    keeping_up(|| shop.orca(&DEPLOY)).expect_code(1);
    let seen = shown(&shop);
    let (conclusion, text) = seen.last().expect("one is shown");
    assert_eq!(conclusion, "failed", "{seen:?}");
    assert!(text.contains("uptime"), "it says why: {text}");
    // A canary of a good one.
    shop.vercel.change(|project| project.builds_behave = Behaviour::default());
    let candidate = shop.candidate();
    shop.orca(&Shop::canary(&candidate)).expect_code(0);
    let runs = shop.vercel.change(|project| project.checks.runs.clone());
    assert_eq!(runs.last().map(|run| run.deployment.clone()), Some(candidate.deployment.id));
    assert_eq!(
        shown(&shop).last().map(|(conclusion, _)| conclusion.clone()).as_deref(),
        Some("succeeded")
    );
    let made = shop.vercel.changes().iter().filter(|line| line.ends_with("/checks")).count();
    assert_eq!(made, 1, "{:?}", shop.vercel.changes());
}

/// A token that may not write checks, or an API that is down for them, changes no decision.
#[test]
fn a_decision_that_cannot_be_shown_is_said_and_stands() {
    let _quiet = traffic();
    let shop = shop();
    shop.tagged();
    let refuse = Kind::Refuse(403, "forbidden");
    shop.vercel.fault(Fault { calls: "", with: "/checks", times: u32::MAX, kind: refuse });
    let run = keeping_up(|| shop.orca(&DEPLOY)).expect_code(0);
    assert!(run.stderr.contains("not shown beside dpl_"), "{}", run.stderr);
    assert_eq!(run.json()["traffic"], "verified");
    assert_eq!(shown(&shop), []);
}
