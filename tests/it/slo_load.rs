//! One run of load as a source of measurements: judged as `orca load` judges it, by the manifest at
//! hand, and never taken for days of real users.

use serde_json::{Value, json};

use crate::support::World;

fn manifest(errors: &str) -> String {
    format!(
        "version: 1
defaults:
  source: run
  min_samples: 10
  errors: [{errors}]
  objectives: [p80 < 50s, errors < 20%, uptime > 99% over 30d]
endpoints: [{{name: home, path: /, objectives: [errors < 20%]}}]
profiles: {{baseline: {{rate: 100/s, duration: 300ms, connections: 4}}}}
budget: {{on_spent: close}}
sources:
  run: {{type: load, path: run.json}}
"
    )
}

/// A short run against the sample service, freed of what this machine had to do with it.
fn result(world: &World) -> Value {
    let service = world.spawn_orca(&["sample-service"]);
    let line = service.line_with("orca.sample-service/v1");
    let document: Value = serde_json::from_str(&line).expect("one JSON line");
    let url = document["url"].as_str().expect("a url");
    world.write("slo/slo_manifest.yaml", &manifest("5xx"));
    let args = ["load", "--json", "--manifest", "slo/slo_manifest.yaml", "--target", url];
    let mut result = world.orca(&args).json();
    result["late_starts"] = 0.into();
    result["dropped"] = 0.into();
    result["endpoints"][0]["dropped"] = 0.into();
    result
}

#[test]
fn a_run_is_judged_by_the_manifest_at_hand_and_is_its_own_window() {
    let world = World::new();
    let result = result(&world);
    let write = |name: &str, change: &[(&str, Value)]| {
        let mut changed = result.clone();
        for (key, value) in change {
            changed[*key] = value.clone();
        }
        world.write(name, &changed.to_string());
    };
    let check = |more: &[&str]| world.orca(&[&["slo", "check", "--json"], more].concat());
    world.write("slo/slo_manifest.yaml", &manifest("5xx"));
    write("run.json", &[]);
    let checked = check(&[]).expect_code(0).json();
    assert_eq!(checked["not_judged"], json!(["all: uptime > 99% over 30d"]), "{checked}");
    let all = &checked["seen"]["windows"][0];
    assert_eq!(
        (&all["requests"], &all["window_us"]),
        (&result["requests"], &result["duration_us"])
    );
    assert_eq!((&all["scope"], &all["errors"]), (&json!("all"), &json!(0)));

    // Half of all failed, by a kind that the manifest counts, or does not.
    let half = result["requests"].as_u64().unwrap() / 2;
    let failed = ("errors_by_kind", json!({ "status_5xx": half }));
    write("bad.json", std::slice::from_ref(&failed));
    let bad = check(&["--source", "load", "--path", "bad.json"]).expect_code(1).json();
    assert_eq!(bad["seen"]["windows"][0]["errors"], half, "{bad}");
    world.write("slo/slo_manifest.yaml", &manifest("timeout"));
    check(&["--path", "bad.json"]).expect_code(0);

    for (change, cause) in [
        (("late_starts", json!(999)), "generator_too_slow"),
        (("partial", json!(true)), "cancelled"),
    ] {
        write("odd.json", &[change]);
        let odd = check(&["--path", "odd.json"]).expect_code(3).json();
        assert_eq!(odd["judgement"]["cause"], cause);
        assert_eq!(odd["seen"]["windows"][0]["requests"], Value::Null, "it tells nothing");
    }
}

#[test]
fn what_no_run_is_judged_by_is_listed_and_alone_decides_nothing() {
    let world = World::new();
    world.write("run.json", &result(&world).to_string());
    let list = "objectives: [p80 < 50s, errors < 20%, uptime > 99% over 30d]";
    let home = "objectives: [errors < 20%]}";
    let check = || world.orca(&["slo", "check", "--json"]);
    for (objectives, of_home, code, not_judged) in [
        (
            list,
            "phases: {load: [errors < 20%], canary: [p99 < 1s]}}",
            0,
            json!([
                "all: uptime > 99% over 30d",
                "home: p99 < 1s",
                "home: p80 < 50s",
                "home: uptime > 99% over 30d",
            ]),
        ),
        (
            "objectives: [uptime > 99% over 30d]",
            "phases: {canary: [p99 < 1s]}}",
            3,
            json!(["home: p99 < 1s", "all: uptime > 99% over 30d", "home: uptime > 99% over 30d",]),
        ),
        (
            "objectives: [uptime > 99% over 30d]",
            "objectives: []}",
            3,
            json!(["all: uptime > 99% over 30d",]),
        ),
    ] {
        let text = manifest("5xx").replace(list, objectives).replace(home, of_home);
        world.write("slo/slo_manifest.yaml", &text);
        let checked = check().expect_code(code).json();
        let sorted = |list: &Value| {
            let mut names: Vec<String> = list
                .as_array()
                .expect("a list")
                .iter()
                .map(|name| name.as_str().expect("a name").to_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(sorted(&checked["not_judged"]), sorted(&not_judged), "{checked}");
        if code == 3 {
            assert_eq!(checked["judgement"]["cause"], "no_data", "{checked}");
        }
    }
    // There is nothing to judge by.
    let none = manifest("5xx").replace(list, "objectives: []").replace(home, "objectives: []}");
    world.write("slo/slo_manifest.yaml", &none);
    check().expect_code(0);
}

#[test]
fn what_a_run_cannot_say_is_refused_with_the_way_on() {
    let world = World::new();
    let result = result(&world);
    world.write("slo/slo_manifest.yaml", &manifest("5xx"));
    let policy = json!({
        "overall": [], "endpoints": {}, "confidence_bp": 9_500, "min_samples": 1, "errors": [],
    });
    let mut shard = result.clone();
    shard["shard"] = json!({
        "index": 3, "count": 8, "plan": "x", "started_us": 1, "asked_milli_per_s": 1,
        "policy": policy,
    });
    world.write("shard.json", &shard.to_string());
    world.write("run.json", &result.to_string());
    world.write("seen.json", "{}");
    for (args, code, says) in [
        (vec!["check", "--path", "shard.json"], 2, "orca load merge"),
        (vec!["check", "--path", "none.json"], 4, "ORCA-1741"),
        (vec!["check", "--path", "seen.json"], 4, "is no load result"),
        (vec!["check", "--out", "kept.json"], 2, "stands in run.json already"),
        (vec!["check", "--source", "file", "--path", "run.json"], 4, "is not an orca.slo-seen/v1"),
        (vec!["budget"], 2, "tells nothing of an error budget"),
        (vec!["alerts"], 2, "is no Prometheus"),
    ] {
        let run = world.orca(&[&["slo"], &args[..]].concat()).expect_code(code);
        assert!(run.stderr.contains(says), "{args:?}: {}", run.stderr);
    }
    let none = manifest("5xx")
        .replace("  source: run\n", "")
        .replace("sources:\n  run: {type: load, path: run.json}\n", "");
    world.write("slo/slo_manifest.yaml", &none);
    world.orca(&["slo", "check", "--source", "load", "--path", "run.json"]).expect_code(0);
    world.orca(&["slo", "check", "--path", "run.json"]).expect_code(2);
}
