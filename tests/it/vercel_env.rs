//! Environment variables on Vercel, through the binary and against the fake: compared by key, set,
//! read back, and never shown.

use serde_json::{Value, json};

use crate::support::Run;
use crate::support::vercel::{Fault, Kind, Shop};

const SYNC: [&str; 5] = ["env", "sync", "--env", "production", "--json"];

fn put(shop: &Shop, key: &str, value: &str, kind: &str, target: &Value) {
    shop.vercel.change(|project| {
        project.variables.push(json!({
            "id": format!("env_{key}"), "key": key, "value": value, "type": kind,
            "target": target, "createdAt": 1, "updatedAt": 1,
        }));
    });
}

fn hosted(shop: &Shop, key: &str) -> Option<String> {
    shop.vercel.change(|project| {
        let found = project.variables.iter().find(|variable| variable["key"] == key)?;
        found["value"].as_str().map(str::to_owned)
    })
}

fn changes(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let rows = document["variables"].as_array().expect("variables");
    rows.iter().map(|row| (text(&row["key"]), text(&row["change"]))).collect()
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, change)| ((*key).to_owned(), (*change).to_owned())).collect()
}

/// Values that must not be seen anywhere.
const SECRETS: [&str; 4] =
    ["value-of-api-key", "value-of-database", "value-hosted-before", "value-of-stripe"];

fn shop() -> Shop {
    let shop = Shop::start(&["100%"]);
    let production = json!(["production"]);
    put(&shop, "DATABASE", "value-hosted-before", "encrypted", &production);
    put(&shop, "SAME", "the-same", "plain", &production);
    put(&shop, "STRIPE", "unknown", "sensitive", &production);
    put(&shop, "OLD", "value-hosted-before", "encrypted", &production);
    put(&shop, "PREVIEW_ONLY", "x", "plain", &json!(["preview"]));
    shop.world.write(
        ".env.production",
        "# of production\nAPI_KEY=value-of-api-key\nexport DATABASE=\"value-of-database\"\n\
         SAME=the-same\nSTRIPE='value-of-stripe'\n",
    );
    shop
}

fn silent(shop: &Shop, runs: &[&Run]) {
    let ledger = shop.world.git(&["log", "-p", "--format=%B", "refs/orca/ledger"]);
    for secret in SECRETS {
        for run in runs {
            assert!(!run.stdout.contains(secret), "{secret} in {}", run.stdout);
            assert!(!run.stderr.contains(secret), "{secret} in {}", run.stderr);
        }
        assert!(!ledger.contains(secret), "{secret} in the ledger");
    }
    assert!(ledger.contains("API_KEY"), "names are remembered");
}

#[test]
fn a_file_becomes_the_environment_and_no_value_is_seen() {
    let shop = shop();
    let plan = own(&[
        ("API_KEY", "added"),
        ("DATABASE", "changed"),
        ("OLD", "left_alone"),
        ("SAME", "unchanged"),
        ("STRIPE", "set_again"),
    ]);
    let dry = shop.orca(&[&SYNC[..], &["--dry-run"]].concat()).expect_code(0);
    assert_eq!(changes(&dry.json()), plan);
    assert_eq!(shop.vercel.changes(), [] as [&str; 0]);
    let human = shop.orca(&["env", "sync", "--env", "production", "--dry-run"]).expect_code(0);
    assert!(human.stdout.contains("cannot be read back"), "{}", human.stdout);
    let run = shop.orca(&SYNC).expect_code(0);
    assert_eq!((changes(&run.json()), &run.json()["verified"]), (plan, &json!(true)));
    assert_eq!(shop.vercel.changes(), ["POST /v10/projects/prj_shop/env"], "one call");
    for (key, value) in [
        ("API_KEY", "value-of-api-key"),
        ("DATABASE", "value-of-database"),
        ("STRIPE", "value-of-stripe"),
        ("OLD", "value-hosted-before"),
        ("PREVIEW_ONLY", "x"),
    ] {
        assert_eq!(hosted(&shop, key).as_deref(), Some(value), "{key}");
    }
    let again = shop.orca(&["env", "sync", "--env", "production"]).expect_code(0);
    assert!(again.stdout.contains("orca deploy blue-green --rebuild"), "{}", again.stdout);
    // What cannot be compared is set again; the rest is left as it is. Asked for, the rest goes.
    let pruned = shop.orca(&[&SYNC[..], &["--prune"]].concat()).expect_code(0);
    let kinds = changes(&pruned.json());
    assert!(kinds.contains(&("OLD".to_owned(), "removed".to_owned())), "{kinds:?}");
    assert!(kinds.contains(&("API_KEY".to_owned(), "unchanged".to_owned())), "{kinds:?}");
    assert_eq!(hosted(&shop, "OLD"), None);
    assert!(hosted(&shop, "PREVIEW_ONLY").is_some(), "another environment's");
    silent(&shop, &[&dry, &human, &run, &again, &pruned]);
}

#[test]
fn what_fails_inside_a_success_is_a_failure() {
    let shop = shop();
    shop.world.write(".env.production", "API_KEY=value-of-api-key\nVERCEL_URL=mine\n");
    let run = shop.orca(&SYNC);
    assert_eq!(run.code, Some(5), "{}{}", run.stdout, run.stderr);
    assert!(!run.stdout.contains("mine"), "short values neither: {}", run.stdout);
    for text in ["VERCEL_URL", "RESERVED_ENV_VARIABLE", "1 of 2", "ORCA-1887"] {
        assert!(run.stdout.contains(text), "no '{text}' in {}", run.stdout);
    }
    assert_eq!(hosted(&shop, "API_KEY").as_deref(), Some("value-of-api-key"));
    shop.world.write(".env.production", "VERCEL_URL=mine\n");
    shop.orca(&SYNC).expect_code(1);
    silent(&shop, &[&run]);
}

#[test]
fn what_others_share_is_not_changed_unasked() {
    let shop = shop();
    let both = json!(["production", "preview"]);
    put(&shop, "API_KEY", "value-hosted-before", "encrypted", &both);
    let dry = shop.orca(&["env", "sync", "--env", "production", "--prune", "--dry-run"]);
    for text in ["1 shared: the plain run would refuse", "--env production --prune --shared"] {
        assert!(dry.stdout.contains(text), "no '{text}' in {}", dry.stdout);
    }
    let run = shop.orca(&SYNC);
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("ORCA-1888") && run.stdout.contains("API_KEY"), "{}", run.stdout);
    assert_eq!(shop.vercel.changes(), [] as [&str; 0]);
    shop.orca(&[&SYNC[..], &["--shared"]].concat()).expect_code(0);
    assert_eq!(hosted(&shop, "API_KEY").as_deref(), Some("value-of-api-key"));
    // A custom environment's is never changed from here.
    let changes = shop.vercel.changes().len();
    shop.vercel.change(|project| {
        let found = project.variables.iter_mut().find(|variable| variable["key"] == "DATABASE");
        let found = found.expect("it is there");
        (found["value"], found["customEnvironmentIds"]) = ("x".into(), json!(["env_qa"]));
    });
    let run = shop.orca(&[&SYNC[..], &["--shared"]].concat()).expect_code(1);
    assert!(run.stdout.contains("DATABASE is shared"), "{}", run.stdout);
    assert_eq!(shop.vercel.changes().len(), changes);
}

#[test]
fn bad_files_and_bad_luck_are_told() {
    let shop = shop();
    for (file, says) in [
        ("API_KEY=value-of-api-key\nnonsense value-of-stripe\n", ".env.production:2:"),
        ("A=1\nB=2\nA=value-of-api-key\n", "A stands here twice"),
        ("A=\"value-of-api-key\n", "a quote is not closed"),
    ] {
        shop.world.write(".env.production", file);
        let run = shop.orca(&SYNC).expect_code(2);
        assert!(run.stdout.contains(says), "no '{says}' in {}", run.stdout);
        for secret in SECRETS {
            assert!(!format!("{}{}", run.stdout, run.stderr).contains(secret), "{}", run.stdout);
        }
    }
    shop.orca(&["env", "sync", "--env", "production", "--from", "none.env"]).expect_code(2);
    shop.orca(&["env", "sync", "--env", "staging"]).expect_code(2);
    shop.world.write(".env.production", "API_KEY=value-of-api-key\n");
    let denied = Kind::Refuse(403, "forbidden");
    shop.vercel.fault(Fault { calls: "POST", with: "/env", times: 1, kind: denied });
    let run = shop.orca(&SYNC).expect_code(4);
    assert!(run.stdout.contains("ORCA-1810"), "{}", run.stdout);
    // What Vercel says of a refusal may quote a value, so its words are not repeated.
    let refused = Kind::Refuse(400, "bad_request");
    shop.vercel.fault(Fault { calls: "POST", with: "/env", times: 1, kind: refused });
    let run = shop.orca(&SYNC).expect_code(1);
    assert!(run.stdout.contains("bad_request") && !run.stdout.contains("scripted"));
    // Nothing was sent: nothing changed.
    shop.vercel.fault(Fault { calls: "GET", with: "/env", ..Fault::down() });
    shop.orca(&SYNC).expect_code(4);
    shop.vercel.no_faults();
    // What fails after a change says so, whatever it is.
    let denied = Kind::Refuse(403, "forbidden");
    shop.vercel.fault(Fault { calls: "DELETE", with: "/env", times: 1, kind: denied });
    let run = shop.orca(&[&SYNC[..], &["--prune"]].concat()).expect_code(5);
    assert!(run.stdout.contains("variables may have changed"), "{}", run.stdout);
    let ledger = shop.world.git(&["log", "-p", "--format=%B", "refs/orca/ledger"]);
    assert!(ledger.contains("\"outcome\":\"unknown\""), "{ledger}");
    shop.world.write(".env.production", "API_KEY=value-of-stripe\n");
    // A lost answer is asked again: setting twice is setting once.
    let lost = Fault { calls: "POST", with: "/env", times: 1, kind: Kind::LoseAnswer };
    shop.vercel.fault(lost);
    shop.orca(&SYNC).expect_code(0);
    assert_eq!(hosted(&shop, "API_KEY").as_deref(), Some("value-of-stripe"));
    // Killed after the call: the next run finds it done, and closes what was left open.
    shop.world.write(".env.production", "API_KEY=value-of-database\n");
    let mut command = shop.command(&SYNC);
    command.env("ORCA_TEST_CRASH", "StepAfterApply:1");
    assert_eq!(Run::of(command).code, None);
    let again = shop.orca(&SYNC).expect_code(0).json();
    assert!(changes(&again).contains(&("API_KEY".to_owned(), "unchanged".to_owned())), "{again}");
    let status = shop.orca(&["release", "status", "--json"]).expect_code(0).json();
    assert_eq!(status["unattended"].as_array().map(Vec::len), Some(0), "{status}");
    // A platform without variables.
    shop.world.write("orca.yaml", "version: 1\n");
    let run = shop.orca(&SYNC).expect_code(4);
    assert!(run.stdout.contains("ORCA-1890"), "{}", run.stdout);
}
