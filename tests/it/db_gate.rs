//! The gate of migrations through the binary: what it finds since the last final tag, what it says
//! when it cannot look, and that nothing leads around it.

use serde_json::Value;

use crate::db_shadow::Server;
use crate::support::{Run, World};

const NOTES: &str = "create table public.notes (id bigint primary key, owner uuid not null);\n\
    alter table public.notes enable row level security;\n\
    create policy own on public.notes for all to authenticated\n\
      using ((select auth.uid()) = owner) with check ((select auth.uid()) = owner);\n\
    create view public.mine with (security_invoker = true) as select id from public.notes;\n\
    create function public.total(a int) returns int language sql stable\n\
      set search_path = '' as $$ select a $$;\n";
const SAFE: &str = "set lock_timeout = '1s';\nset statement_timeout = '5s';\n\
    alter table public.notes add column if not exists title text;\n";

/// A repository whose last final tag has one migration.
fn released() -> World {
    let world = World::new();
    world.git(&["init", "--quiet"]);
    world.write("supabase/migrations/20260101000000_notes.sql", NOTES);
    world.commit("feat: notes");
    world.git(&["tag", "-a", "-m", "notes 1.0.0", "v1.0.0"]);
    world
}

fn change(world: &World, name: &str, text: &str) {
    world.write(&format!("supabase/migrations/{name}"), text);
    world.commit("feat: change");
}

fn preflight(world: &World, more: &[&str]) -> Run {
    world.orca(&[&["preflight", "--only", "db", "--json"][..], more].concat())
}

/// The check of that name.
fn check<'a>(document: &'a Value, name: &str) -> &'a Value {
    let gates = document["gates"].as_array().expect("gates are a list").iter();
    let mut checks = gates.flat_map(|gate| gate["checks"].as_array().expect("a list"));
    checks.find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name}: {document:#}"))
}

fn verdicts(document: &Value) -> [String; 5] {
    ["db.history", "db.lint", "db.shadow", "db.protection", "db.rpc"]
        .map(|name| check(document, name)["verdict"].as_str().expect("a verdict").to_owned())
}

#[test]
fn a_safe_migration_passes_and_the_second_look_begins_with_a_copy() {
    let world = released();
    change(&world, "20260102000000_title.sql", SAFE);
    let first = preflight(&world, &[]).expect_code(0).json();
    assert_eq!(verdicts(&first), ["pass"; 5].map(str::to_owned), "{first:#}");
    let history = check(&first, "db.history")["headline"].as_str().expect("text");
    assert_eq!(history, "1 old migrations are unchanged; 1 are new since v1.0.0");
    let cache = world.folder().join("../.cache/orca/shadow");
    let kept = |what: &str| {
        let entries = std::fs::read_dir(&cache).expect("the cache").flatten();
        entries.filter(|e| e.file_name().to_string_lossy().contains(what)).count()
    };
    assert_eq!((kept("-"), kept("new-")), (2, 0), "Supabase alone, and with the old file");
    let again = preflight(&world, &[]).expect_code(0).json();
    assert_eq!(verdicts(&again), verdicts(&first));
    // A plain preflight has the gate too.
    let plain = world.orca(&["preflight", "--json"]).expect_code(0).json();
    check(&plain, "db.shadow");
}

#[test]
fn every_check_fires_with_place_reason_remedy_and_waiver() {
    let world = released();
    change(
        &world,
        "20260102000000_change.sql",
        "truncate public.notes;\n\
         create or replace view public.mine as select id from public.notes;\n\
         drop function public.total(int);\n",
    );
    change(&world, "20260103000000_broken.sql", "select 1;\n");
    let run = preflight(&world, &["--sarif", "found.sarif"]).expect_code(1);
    let json = run.json();
    assert_eq!(verdicts(&json), ["pass", "fail", "pass", "fail", "fail"].map(str::to_owned));
    let lint = &check(&json, "db.lint")["findings"][0];
    assert_eq!(lint["place"], "supabase/migrations/20260102000000_change.sql:1", "{lint}");
    let lost = check(&json, "db.protection")["findings"].as_array().expect("a list").iter();
    let lost: Vec<&str> = lost.map(|f| f["fingerprint"].as_str().expect("text")).collect();
    assert!(lost.contains(&"protection.security-invoker-lost:public.mine security_invoker"));
    let broken = &check(&json, "db.rpc")["findings"][0]["title"];
    assert!(broken.as_str().is_some_and(|t| t.contains("PGRST202")), "{broken}");

    let sarif = std::fs::read_to_string(world.folder().join("found.sarif")).expect("it is there");
    let sarif: Value = serde_json::from_str(&sarif).expect("SARIF is JSON");
    let results = sarif["runs"][0]["results"].as_array().expect("results").iter();
    let rules: Vec<&str> = results.map(|r| r["ruleId"].as_str().expect("a rule")).collect();
    for rule in ["db.lint", "db.protection", "db.rpc"] {
        assert!(rules.contains(&rule), "{rules:?}");
    }

    let human = world.orca(&["preflight", "--only", "db"]).expect_code(1).stdout;
    for part in ["change.sql:1: ", "  fix:   ", "  waive: --force db.lint --finding "] {
        assert!(human.contains(part), "{part}: {human}");
    }
    let mut command = world.command(&["preflight", "--only", "db"]);
    command.env("GITHUB_ACTIONS", "true");
    let shown = Run::of(command).expect_code(1).stdout;
    let beside = "::error file=supabase/migrations/20260102000000_change.sql,line=1,title=db.lint";
    assert!(shown.contains(beside), "{shown}");

    // What the ledger keeps is judged again to the same bytes, or its ruling would not be recalled.
    let log = world.orca(&["ledger", "log", "-n", "0", "--json"]).expect_code(0).stdout;
    assert!(log.contains("\"db\""), "{log}");
}

#[test]
fn what_was_applied_stays_as_it_is() {
    for (change, why) in [
        (
            &["sh", "-c", "echo '-- more' >> supabase/migrations/20260101000000_notes.sql"][..],
            "20260101000000_notes.sql was edited after v1.0.0 had it",
        ),
        (
            &["git", "rm", "--quiet", "-r", "supabase"],
            "20260101000000_notes.sql is gone, and databases have it",
        ),
    ] {
        let world = released();
        let mut command = world.outside(change[0]);
        command.args(&change[1..]);
        Run::of(command).expect_code(0);
        world.commit("chore: change what was applied");
        let json = world.orca(&["preflight", "--json"]).expect_code(1).json();
        let history = check(&json, "db.history");
        assert_eq!(history["verdict"], "fail");
        assert!(history["headline"].as_str().is_some_and(|h| h.contains(why)), "{history}");
    }
}

#[test]
fn versions_keep_their_order_and_steps_their_releases() {
    for (files, rule) in [
        (&[("20251231000000_early.sql", SAFE)][..], "out-of-order-version"),
        (&[("20260101000000_again.sql", SAFE)], "duplicate-version"),
        (
            &[(
                "20260102000000_swap.sql",
                "alter table public.notes add column holder uuid;\n\
                 alter table public.notes drop column owner cascade;\n",
            )],
            "contract-with-expand",
        ),
    ] {
        let world = released();
        for (name, text) in files {
            change(&world, name, text);
        }
        let json = preflight(&world, &[]).expect_code(1).json();
        let found = check(&json, "db.lint")["findings"].as_array().expect("a list").iter();
        let mut rules = found.map(|f| f["fingerprint"].as_str().expect("text").to_owned());
        assert!(rules.any(|f| f.starts_with(rule)), "{rule}: {json:#}");
    }
}

/// A ruling is about a commit; and one since another commit than the last final tag opens nothing,
/// for whoever raises asks for the gate since that tag.
#[test]
fn what_is_not_committed_cannot_be_ruled_on() {
    let world = released();
    world.write("supabase/migrations/20260102000000_title.sql", SAFE);
    let json = preflight(&world, &[]).expect_code(3).json();
    let why = check(&json, "db.history")["headline"].as_str().expect("text");
    assert!(why.contains("is not committed"), "{why}");
    world.commit("feat: title");
    let json = preflight(&world, &["--since", "HEAD"]).expect_code(0).json();
    let counted = check(&json, "db.lint")["headline"].as_str().expect("text");
    assert_eq!(counted, "0 of 2 migrations are new since HEAD");
    preflight(&world, &["--since", "no-such-ref"]).expect_code(4);
    let none = World::repository();
    let run = none.orca(&["preflight", "--only", "db"]).expect_code(2);
    assert!(run.stderr.contains("ORCA-2005"), "{}", run.stderr);
}

#[test]
fn without_a_postgres_it_is_inconclusive_and_says_what_to_install() {
    let world = released();
    world.write("supabase/config.toml", "[db]\nmajor_version = 99\n");
    change(&world, "20260102000000_title.sql", SAFE);
    let json = preflight(&world, &[]).expect_code(3).json();
    let shadow = check(&json, "db.shadow");
    assert_eq!(shadow["verdict"], "inconclusive");
    let next = shadow["next"][0].as_str().expect("text");
    assert!(next.contains("@embedded-postgres") && next.contains("@99"), "{next}");
    assert_eq!(check(&json, "db.lint")["verdict"], "pass", "text needs no server");
}

/// A stand-in weakens the verdict until somebody accepts it by name.
#[test]
fn stand_ins_are_accepted_by_name_only() {
    let world = released();
    change(&world, "20260102000000_net.sql", "create extension if not exists pg_net;\n");
    let json = preflight(&world, &[]).expect_code(3).json();
    let finding = &check(&json, "db.shadow")["findings"][0];
    assert_eq!(finding["fingerprint"], "substitute:pg_net");
    world.write(
        "orca.yaml",
        "version: 1\ngates:\n  preflight:\n    db: {allow_substitutes: [pg_net]}\n",
    );
    let json = preflight(&world, &[]).expect_code(0).json();
    assert_eq!(check(&json, "db.shadow")["verdict"], "waived");
}

/// A baseline excuses what the release before knew, not what this one adds to it.
#[test]
fn a_release_cannot_excuse_itself() {
    let world = World::new();
    world.git(&["init", "--quiet"]);
    world.write(
        "supabase/migrations/1_open.sql",
        "create table public.open (id int primary key);\n",
    );
    let config = "version: 1\ngates:\n  preflight:\n    db: {baseline: supabase/known.json}\n";
    world.write("orca.yaml", config);
    world.write("supabase/known.json", "{\"keys\": []}");
    world.commit("feat: open");
    let json = preflight(&world, &[]).expect_code(1).json();
    let key = check(&json, "db.protection")["findings"][0]["fingerprint"].clone();
    world.write("supabase/known.json", &serde_json::json!({"keys": [key]}).to_string());
    world.commit("chore: know it");
    let json = preflight(&world, &[]).json();
    assert_eq!(check(&json, "db.protection")["verdict"], "pass", "{json:#}");
    world.git(&["tag", "-a", "-m", "1.0.0", "v1.0.0"]);
    change(&world, "2_more.sql", "create table public.more (id int primary key);\n");
    let keys = serde_json::json!({"keys": [key, "rls.disabled-in-public:public.more"]});
    world.write("supabase/known.json", &keys.to_string());
    world.commit("chore: excuse it");
    let json = preflight(&world, &[]).expect_code(1).json();
    assert_eq!(check(&json, "db.protection")["verdict"], "fail");
}

/// What the target has is asked, not assumed: what it lacks is new though it was released, what it
/// has in another form was edited, and what nobody here has is named.
#[cfg(target_os = "linux")]
#[test]
fn the_target_says_what_it_has() {
    let host = World::new();
    let server = Server::start(&host);
    let world = released();
    change(&world, "20260102000000_title.sql", SAFE);
    let tell = |rows: &str| {
        server.ask("drop table if exists supabase_migrations.schema_migrations");
        server.ask(
            "create table supabase_migrations.schema_migrations \
             (version text primary key, statements text[], name text)",
        );
        server.ask(&format!("insert into supabase_migrations.schema_migrations values {rows}"));
    };
    let look = |code| {
        let mut command = world.command(&["preflight", "--only", "db", "--json"]);
        command.env("ORCA_TARGET_URL", server.url());
        Run::of(command).expect_code(code).json()
    };
    let same = NOTES.replace('\'', "''").replace("create view", "-- the same\ncreate view");
    tell(&format!("('20260101000000', array['{same}'], 'notes')"));
    let json = look(0);
    let since = check(&json, "db.lint")["headline"].as_str().expect("text");
    assert_eq!(since, "1 of 2 migrations are new since v1.0.0 and in the target");
    for (rows, why) in [
        ("('20260101000000', array['select 1'], 'notes')", "was edited after the target had it"),
        ("('20251231000000', null, 'x')", "has version 20251231000000, which no file here has"),
        ("('20260102000000', null, 'title')", "comes before 20260102000000, which the target has"),
    ] {
        tell(rows);
        let json = look(1);
        let history = &check(&json, "db.history")["headline"];
        assert!(history.as_str().is_some_and(|h| h.contains(why)), "{history}");
    }
    let mut command = world.command(&["preflight", "--only", "db", "--json"]);
    command.args(["--target-url", "postgres://127.0.0.1:1/x"]);
    let json = Run::of(command).expect_code(3).json();
    let history = &check(&json, "db.history")["headline"];
    assert!(history.as_str().is_some_and(|h| h.contains("does not answer")), "{history}");
}
