//! `orca canary advance`: nobody comes, so no stage can be decided; a person lets each go on, and
//! that stays visible up to the pack.

use serde_json::{Value, json};

use crate::support::fleet::{DEADLINE, text};
use crate::support::{Fleet, Run, traffic, wait_until};

const ADVANCE: [&str; 5] = ["canary", "advance", "--json", "--reason", "nobody shops at night"];
const FIRST: &str = "{weight: 25%, bake: 1s, max_hold: 10m}";
const ALL: &str = "{weight: 100%, bake: 1s, max_hold: 10m}";

fn entries(fleet: &Fleet, kind: &str) -> Vec<Value> {
    let of_kind = |entry: &Value| entry["body"]["kind"] == kind;
    let says = |entry: Value| entry["body"]["says"].clone();
    fleet.ledger().into_iter().filter(of_kind).map(says).collect()
}

#[test]
fn a_person_lets_undecided_stages_go_on_and_answers_for_it() {
    let _quiet = traffic();
    let mut fleet = Fleet::start_with("p95_ratio_max_pct: 5000\n  grant: 30s", &[FIRST, ALL]);
    let candidate = fleet.candidate();
    let refused = fleet.orca(&ADVANCE).expect_code(1);
    assert!(refused.stdout.contains("no canary is under way"), "{refused:?}");
    fleet.orca(&["canary", "advance", "--reason", " "]).expect_code(2);

    let start = [&Fleet::canary(&candidate)[..], &["--allow-undecidable"]].concat();
    let canary = fleet.spawn(&start);
    for (stage, weight) in [(1, 2_500), (2, 10_000)] {
        wait_until("the stage's weight", DEADLINE, || fleet.weight() == weight);
        // Until it was judged once, nothing holds.
        let mut last = None;
        wait_until("a stage that holds", DEADLINE, || {
            let run = Run::of(fleet.colleague(&ADVANCE));
            assert!(matches!(run.code, Some(0 | 1)), "{run:?}");
            let done = run.code == Some(0);
            last = Some(run);
            done
        });
        let said = last.expect("it was tried").json();
        assert_eq!((&said["stage"], &said["dry_run"]), (&json!(stage), &json!(false)), "{said}");
    }
    let ended = canary.end().expect_code(0).stdout;
    assert!(ended.contains("\"end\": \"complete\""), "{ended}");

    let decided = entries(&fleet, "stage_decided");
    let waived: Vec<&Value> = decided.iter().filter(|d| d["verdict"] == "waived").collect();
    assert_eq!(waived.len(), 2, "{decided:?}");
    let headline = text(waived[0], "headline");
    assert!(headline.contains("bob: nobody shops at night"), "{headline}");
    let refused = fleet.orca(&ADVANCE).expect_code(1);
    assert!(refused.stdout.contains("every stage was decided"), "{refused:?}");
    let status = fleet.orca(&["canary", "status"]).expect_code(0).stdout;
    assert!(status.contains("stage 2 by bob: nobody shops at night"), "{status}");

    fleet.orca(&["promote", "--rc", &candidate.release]).expect_code(0);
    let pack = ["evidence", "generate", "--tag", &candidate.release, "--json"];
    let pack = fleet.orca(&pack);
    let told = format!("{}{}", pack.stdout, pack.stderr);
    assert_eq!(pack.code, Some(0), "{told}");
    let shown = fleet.orca(&["why", &candidate.release]).expect_code(0).stdout;
    assert!(shown.contains("let stage 1 go on undecided: nobody shops at night"), "{shown}");
}
