//! The verbs that ask a hosted Supabase: `db project`, `db restore-point` and `db roles`, against a
//! project with state in this process; and the gate that asks the same before a release.

use serde_json::{Value, json};

use crate::support::supabase::{REFERENCE, Supabase, TOKEN};
use crate::support::{Postgres, Run, World};

fn orca(world: &World, supabase: &Supabase, args: &[&str]) -> Run {
    let mut command = world.command(args);
    command.env("SUPABASE_API_URL", supabase.url()).env("SUPABASE_ACCESS_TOKEN", TOKEN);
    command.env("SUPABASE_PROJECT_REF", REFERENCE);
    Run::of(command)
}

/// A project that is fit for a release; worlds begin at 2026-01-05T09:00:00Z.
fn healthy() -> Supabase {
    let supabase = Supabase::start();
    let mut state = supabase.state();
    state.backups.push(("2026-01-04T23:30:00.123Z".to_owned(), "COMPLETED"));
    state.keys.push(("server", "secret", Some("2025-11-01T00:00:00Z".to_owned())));
    state.keys.push(("browser", "publishable", None));
    drop(state);
    supabase
}

#[test]
fn a_project_is_fit_or_says_why_not() {
    let (world, supabase) = (World::new(), healthy());
    let fit = orca(&world, &supabase, &["db", "project", "--json", "--key-age-max", "90d"]);
    let fit = fit.expect_code(0).json();
    assert_eq!((&fit["schema"], &fit["verdict"]), (&json!("orca.db-project/v1"), &json!("pass")));
    assert!(fit["backup_age_us"].as_u64().is_some_and(|us| us > 9 * 3_600_000_000), "{fit:#}");

    supabase.state().services.insert("auth", "UNHEALTHY");
    let args = ["db", "project", "--json", "--age-max", "1h", "--pitr", "--key-age-max", "7d"];
    let unfit = orca(&world, &supabase, &args).expect_code(1).json();
    let keys: Vec<&Value> =
        unfit["findings"].as_array().expect("a list").iter().map(|f| &f["key"]).collect();
    assert_eq!(keys, ["db.project:service:auth", "db.project:pitr", "db.project:key:server"]);
    let mut state = supabase.state();
    state.services.insert("auth", "COMING_UP");
    state.pitr = true;
    state.backups.clear();
    drop(state);
    let open = orca(&world, &supabase, &["db", "project"]).expect_code(3).stdout;
    assert!(open.contains("the service auth is COMING_UP"), "{open}");
    let asked = supabase.state().asked.join("\n");
    assert!(!asked.contains("POST"), "looking changes nothing:\n{asked}");
}

#[test]
fn limits_and_failures_are_waited_for_and_said() {
    let (world, supabase) = (World::new(), healthy());
    supabase.state().broken = 1;
    orca(&world, &supabase, &["db", "project"]).expect_code(0);
    supabase.state().limited = (1, 1);
    orca(&world, &supabase, &["db", "project"]).expect_code(0);
    supabase.state().limited = (20, 3600);
    let limited = orca(&world, &supabase, &["db", "project"]).expect_code(4);
    assert!(
        limited.stderr.contains("ORCA-2042") && limited.stderr.contains("3600 s"),
        "{}",
        limited.stderr
    );
    supabase.state().limited = (0, 0);
    supabase.state().broken = 20;
    let broken = orca(&world, &supabase, &["db", "project"]).expect_code(4);
    assert!(broken.stderr.contains("ORCA-2044"), "{}", broken.stderr);
}

#[test]
fn a_token_is_needed_and_goes_nowhere_else() {
    let (world, supabase) = (World::new(), healthy());
    let with = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = world.command(&[&["db", "project"], args].concat());
        command.envs(variables.iter().copied());
        Run::of(command)
    };
    let url = supabase.url();
    let api = ("SUPABASE_API_URL", url.as_str());
    let project = ("SUPABASE_PROJECT_REF", REFERENCE);
    let token = ("SUPABASE_ACCESS_TOKEN", TOKEN);
    for (variables, args) in [
        (&[api, project][..], &[][..]),
        (&[api, token][..], &[][..]),
        (&[api, token][..], &["--project", "Short"][..]),
        (&[("SUPABASE_API_URL", "http://example.com"), project, token][..], &[][..]),
    ] {
        let run = with(variables, args).expect_code(2);
        assert!(run.stderr.contains("ORCA-2040"), "{}", run.stderr);
    }
    assert!(supabase.state().asked.is_empty());
    let wrong = "sbp_fedcba9876543210fedcba9876543210fedcba98";
    let denied = with(&[api, project, ("SUPABASE_ACCESS_TOKEN", wrong)], &[]).expect_code(4);
    assert!(
        denied.stderr.contains("ORCA-2041") && !denied.stderr.contains(wrong),
        "{}",
        denied.stderr
    );
    let other = with(&[api, token], &["--project", "zzzzzzzzzzzzzzzzzzzz"]).expect_code(4);
    assert!(other.stderr.contains("ORCA-2041"), "{}", other.stderr);
    // The command line of Supabase keeps what it is linked to.
    world.write("supabase/.temp/project-ref", REFERENCE);
    with(&[api, token], &[]).expect_code(0);
}

#[test]
fn a_restore_point_is_made_once() {
    let (world, supabase) = (World::repository(), healthy());
    let args = ["db", "restore-point", "before-1.4.0", "--json"];
    let dry = [&args[..], &["--dry-run"]].concat();
    assert_eq!(orca(&world, &supabase, &dry).expect_code(0).json()["status"], Value::Null);
    // The answer is lost, and the point is there: it is found, not made again.
    supabase.state().lost = 1;
    let made = orca(&world, &supabase, &args).expect_code(0).json();
    assert_eq!((&made["made"], &made["status"]), (&json!(true), &json!("AVAILABLE")), "{made:#}");
    assert_eq!(made["ledger"], "recorded");
    let again = orca(&world, &supabase, &args).expect_code(0).json();
    assert_eq!(again["made"], false);
    let posts = supabase.state().asked.iter().filter(|a| a.starts_with("POST")).count();
    assert_eq!(posts, 1);
    supabase.state().small_plan = true;
    let refused = orca(&world, &supabase, &["db", "restore-point", "other"]).expect_code(4);
    assert!(
        refused.stderr.contains("ORCA-2043") && refused.stderr.contains("Pro plan"),
        "{}",
        refused.stderr
    );
    let long = ["db", "restore-point", "a-name-of-more-than-twenty"];
    orca(&world, &supabase, &long).expect_code(2);
}

/// The same question to a real database, by a connection and through the API.
#[test]
fn roles_that_may_too_much_are_named() {
    let (world, supabase) = (World::new(), healthy());
    let server = std::sync::Arc::new(Postgres::start());
    server.run("postgres", "create database app");
    let bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/src/db/shadow/bootstrap.sql");
    server.run("app", &std::fs::read_to_string(bootstrap).expect("it is in the tree"));
    let url = server.url("postgres", "app");
    let args = ["db", "roles", "--json", "--target-url", &url];
    let none = world.orca(&args).expect_code(0).json();
    assert_eq!((&none["schema"], &none["verdict"]), (&json!("orca.db-roles/v1"), &json!("pass")));

    server.run(
        "app",
        "grant create on schema public to public; grant service_role to authenticated;
         create role reporting login; grant pg_read_all_data to reporting;
         create role legacy login superuser; alter role authenticator inherit",
    );
    let found = world.orca(&args).expect_code(1).json();
    let keys: Vec<&str> = found["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| f["key"].as_str().expect("a key"))
        .collect();
    assert_eq!(
        keys,
        [
            "db.roles:public",
            "db.roles:anon:create",
            "db.roles:authenticated:create",
            "db.roles:authenticated:service_role",
            "db.roles:authenticator:service_role",
            "db.roles:legacy:superuser",
            "db.roles:reporting:pg_read_all_data",
        ]
    );
    let shared = std::sync::Arc::clone(&server);
    supabase.state().ask = Some(Box::new(move |sql| shared.run("app", sql)));
    let api = ["db", "roles", "--json", "--via-api", "--allow-role", "legacy"];
    let by_api = orca(&world, &supabase, &api).expect_code(1).json();
    assert_eq!(by_api["findings"].as_array().map(Vec::len), Some(keys.len() - 1), "{by_api:#}");
}

fn check<'a>(document: &'a Value, name: &str) -> &'a Value {
    let gates = document["gates"].as_array().expect("gates are a list").iter();
    let mut checks = gates.flat_map(|gate| gate["checks"].as_array().expect("a list"));
    checks.find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name}: {document:#}"))
}

/// Not asked unless the configuration says so; asked without credentials they are Inconclusive, and
/// with them they judge, and are judged again from the ledger to the same bytes.
#[test]
fn the_gate_asks_for_the_project_and_its_roles_where_it_is_told_to() {
    let (world, supabase) = (World::repository(), healthy());
    let only = ["preflight", "--only", "db", "--json"];
    world.orca(&only).expect_code(2);
    world.write(
        "orca.yaml",
        "version: 1\ngates:\n  preflight:\n    db: {project: {key_age_max: 90d}, roles: {}}\n",
    );
    world.commit("feat: ask");
    let without = world.orca(&only).expect_code(3).json();
    for (name, wanted) in [("db.project", "SUPABASE_PROJECT_REF"), ("db.roles", "ORCA_TARGET_URL")]
    {
        let found = check(&without, name);
        assert_eq!(found["verdict"], "inconclusive");
        assert!(found["next"].to_string().contains(wanted), "{found:#}");
    }
    let roles = json!({"public_creates": false, "roles": [
        {"name": "anon", "superuser": false, "login": false, "inherit": true, "bypass_rls": false,
         "makes_roles": false, "makes_databases": false, "replication": false, "creates": false,
         "member_of": []}]});
    let answer = roles.to_string();
    supabase.state().ask = Some(Box::new(move |_| answer.clone()));
    let fit = orca(&world, &supabase, &only).expect_code(0).json();
    assert_eq!(check(&fit, "db.project")["verdict"], "pass");
    assert_eq!(check(&fit, "db.roles")["headline"], "none of 1 roles may more than it needs");
    assert_eq!(check(&fit, "db.lint")["verdict"], "not_applicable");

    let excess = roles.to_string().replacen("\"bypass_rls\":false", "\"bypass_rls\":true", 1);
    let mut state = supabase.state();
    state.ask = Some(Box::new(move |_| excess.clone()));
    state.backups = vec![("2026-01-02T00:00:00Z".to_owned(), "COMPLETED")];
    drop(state);
    let unfit = orca(&world, &supabase, &only).expect_code(1).json();
    let old = &check(&unfit, "db.project")["findings"][0];
    assert_eq!(
        (&old["fingerprint"], &old["unit"]),
        (&json!("db.project:backup"), &json!("microseconds"))
    );
    let strong = &check(&unfit, "db.roles")["findings"][0];
    assert_eq!(strong["fingerprint"], "db.roles:anon:bypassrls");
}

/// An auditor needs neither the database nor the project: what was seen judges to the same bytes.
#[test]
fn every_check_of_a_database_is_judged_again_from_a_pack() {
    let (world, supabase) = (World::new(), healthy());
    world.git(&["init", "--quiet"]);
    world.write("supabase/migrations/1_a.sql", "create table public.a (id int primary key);\n");
    world.commit("feat: a");
    world.git(&["tag", "-a", "-m", "1.0.0", "v1.0.0"]);
    world.write("supabase/migrations/2_b.sql", "create table public.b (id int);\nvacuum;\n");
    world.write(
        "orca.yaml",
        "version: 1\ngates:\n  preflight:\n    db: {project: {key_age_max: 90d}, roles: {}}\n",
    );
    world.commit("feat: b");
    let answer = json!({"public_creates": true, "roles": []}).to_string();
    supabase.state().ask = Some(Box::new(move |_| answer.clone()));
    let tagged = orca(&world, &supabase, &["release", "tag", "--rc", "--json"]).expect_code(0);
    let release = tagged.json()["release"].as_str().expect("a release").to_owned();
    orca(&world, &supabase, &["preflight", "--only", "db"]).expect_code(1);

    let key = world.folder().join("../orca.key");
    let mut openssl = world.outside("openssl");
    openssl.args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key);
    Run::of(openssl).expect_code(0);
    let mut pack = world.command(&["evidence", "generate", "--json", "--tag", &release]);
    let made = Run::of({
        pack.env("ORCA_SIGNING_KEY", &key);
        pack
    });
    let pack = made.json()["pack"].as_str().expect("a pack").to_owned();
    let again = world.orca(&["evidence", "rejudge", "--json", &pack]).expect_code(0).json();
    let rulings = again["rulings"].as_array().expect("a list").iter();
    let checks = rulings.flat_map(|ruling| ruling["checks"].as_array().expect("a list"));
    let mut judged = Vec::new();
    for check in checks {
        assert_eq!(check["judged_sha256"], check["recorded_sha256"], "{check:#}");
        judged.extend(check["rule"].as_str().and_then(|rule| rule.strip_prefix("db.")));
    }
    assert_eq!(judged, ["history", "lint", "shadow", "protection", "rpc", "project", "roles"]);
}
