//! What a migration does to protection and to API calls, on a real Postgres: each silent loss, door
//! and break fires where it should and nowhere else.

use serde_json::Value;

use crate::support::World;

const TABLE: &str = "create table public.notes (id bigint primary key, owner uuid not null);\n\
    alter table public.notes enable row level security;\n\
    create policy own on public.notes for all to authenticated\n\
      using ((select auth.uid()) = owner) with check ((select auth.uid()) = owner);\n";
const SET_UP: &str = "create function public.total(a int) returns int language sql stable\n\
      security definer set search_path = '' as $$ select a $$;\n\
    revoke execute on function public.total(int) from public, anon;\n\
    create view public.mine with (security_invoker = true) as select id from public.notes;\n";

/// Replays old files, commits them, then adds one new file; answers what `orca db shadow --base` says.
fn after(change: &str) -> Value {
    let world = World::new();
    world.git(&["init", "--quiet"]);
    world.write("supabase/migrations/1_table.sql", TABLE);
    world.write("supabase/migrations/2_set_up.sql", SET_UP);
    world.commit("feat: start");
    world.write("supabase/migrations/3_change.sql", change);
    let run = world.orca(&["db", "shadow", "--json", "--base", "HEAD"]);
    assert!(matches!(run.code, Some(0 | 1)), "{run:?}");
    run.json()
}

/// Ids of the errors, with the file and line of the first.
fn errors(document: &Value) -> Vec<&str> {
    let findings = document["findings"].as_array().expect("findings are a list").iter();
    let errors = findings.filter(|f| f["level"] == "error");
    errors.map(|f| f["id"].as_str().expect("an id")).collect()
}

#[test]
fn silent_losses_are_errors() {
    let replaced = "\nreturns int language sql stable";
    for (change, expected) in [
        (
            format!(
                "drop function public.total(int);\ncreate function public.total(a int) {replaced} \
                     security definer set search_path = '' as $$ select a + 1 $$;\n"
            ),
            &["protection.execute-regained", "function.definer-for-anon"][..],
        ),
        (
            format!(
                "create or replace function public.total(a int) {replaced} as $$ select a + 1 $$;\n"
            ),
            &["protection.definer-lost"],
        ),
        (
            format!(
                "create or replace function public.total(a int) {replaced} security definer \
                     as $$ select a + 1 $$;\n"
            ),
            &["protection.search-path-lost", "function.search-path"],
        ),
        (
            "create or replace view public.mine as select id from public.notes;\n".to_owned(),
            &["protection.security-invoker-lost", "rls.security-definer-view"],
        ),
        (
            "alter table public.notes disable row level security;\n".to_owned(),
            &["protection.rls-disabled"],
        ),
        (
            "alter policy own on public.notes to public;\n".to_owned(),
            &["protection.policy-widened"],
        ),
        (
            "alter policy own on public.notes using (true);\n".to_owned(),
            &["protection.policy-widened"],
        ),
        (
            "grant execute on function public.total(int) to anon;\n".to_owned(),
            &["protection.execute-regained"],
        ),
    ] {
        let json = after(&change);
        let found = errors(&json);
        for id in expected {
            assert!(found.contains(id), "{change}: no {id} in {json:#}");
        }
        let first =
            json["findings"].as_array().and_then(|f| f.iter().find(|f| f["id"] == expected[0]));
        assert_eq!(
            first.expect("it is there")["file"],
            "supabase/migrations/3_change.sql",
            "{json:#}"
        );
    }
}

#[test]
fn what_keeps_protection_is_silent() {
    for change in [
        "create or replace function public.total(a int) returns int language sql stable\n\
         security definer set search_path = '' as $$ select a + 1 $$;\n",
        "drop function public.total(int);\ncreate function public.total(a int) returns int\n\
         language sql stable security definer set search_path = '' as $$ select a + 1 $$;\n\
         revoke execute on function public.total(int) from public, anon;\n",
        "create or replace view public.mine with (security_invoker = true) as\n\
         select id from public.notes where id > 0;\n",
        "alter table public.notes disable row level security;\n\
         alter table public.notes enable row level security;\n",
        "alter policy own on public.notes using ((select auth.uid()) = owner);\n",
        "revoke all on public.notes from anon;\n",
        "create table public.tags (id int primary key);\n\
         alter table public.tags enable row level security;\n",
    ] {
        let json = after(change);
        assert_eq!(errors(&json), [] as [&str; 0], "{change}: {json:#}");
    }
}

#[test]
fn doors_that_open_are_named_and_old_ones_are_not() {
    for (change, id) in [
        ("create table public.open (id int primary key);\n", "rls.disabled-in-public"),
        (
            "create policy p on public.notes for insert to anon with check (true);\n",
            "rls.policy-always-true",
        ),
        ("create view public.all_users as select id from auth.users;\n", "rls.auth-users-exposed"),
        (
            "create materialized view public.counted as select 1 as n;\n",
            "rls.materialized-view-in-api",
        ),
        ("create table public.keys (id int primary key, api_key text);\n", "rls.sensitive-columns"),
        (
            "create function public.f() returns int language sql security definer\n\
             set search_path = '' as $$ select 1 $$;\n",
            "function.definer-for-anon",
        ),
        (
            "create policy m on public.notes for select to authenticated\n\
             using ((auth.jwt() -> 'user_metadata' ->> 'role') = 'admin');\n",
            "rls.user-metadata",
        ),
    ] {
        let json = after(change);
        assert!(errors(&json).contains(&id), "{change}: {json:#}");
        let found = json["findings"].as_array().and_then(|f| f.iter().find(|f| f["id"] == id));
        assert_eq!(found.expect("it is there")["line"], 1, "{json:#}");
    }
}

#[test]
fn broken_calls_are_named_as_the_client_sees_them() {
    for (change, code) in [
        ("drop function public.total(int);\n", "PGRST202"),
        (
            "create or replace function public.total(a int, b int default 1) returns int\n\
             language sql stable set search_path = '' as $$ select a $$;\n\
             revoke execute on function public.total(int, int) from public, anon;\n",
            "PGRST203",
        ),
        ("alter function public.total(int) volatile;\n", "405"),
        ("revoke execute on function public.total(int) from authenticated;\n", "42501"),
    ] {
        let json = after(change);
        let found = json["findings"].as_array().expect("a list").iter();
        let broken: Vec<&Value> = found.filter(|f| f["id"] == "rpc.break").collect();
        let says = |f: &&Value| f["message"].as_str().is_some_and(|m| m.contains(code));
        assert!(broken.iter().any(says), "{change}: {json:#}");
    }
}

/// A loss that a later file repairs is none, and without a base every file is new.
#[test]
fn repaired_losses_are_forgotten() {
    let lost = "create or replace view public.mine as select id from public.notes;\n";
    let mended = "alter view public.mine set (security_invoker = true);\n";
    let world = World::new();
    for (name, text) in [("1_a.sql", TABLE), ("2_b.sql", SET_UP), ("3_c.sql", lost)] {
        world.write(&format!("supabase/migrations/{name}"), text);
    }
    let json = world.orca(&["db", "shadow", "--json"]).expect_code(1).json();
    assert!(errors(&json).contains(&"protection.security-invoker-lost"), "{json:#}");
    world.write("supabase/migrations/4_d.sql", mended);
    let json = world.orca(&["db", "shadow", "--json"]).json();
    assert!(!errors(&json).contains(&"protection.security-invoker-lost"), "{json:#}");
}

/// One project in which every door stands open, and one in which each is closed in the way its advice
/// says.
#[test]
fn every_door_is_seen_open_and_not_seen_closed() {
    let ids = |text: &str, code| {
        let world = World::new();
        world.write(
            "supabase/config.toml",
            "[api]\nschemas = [\"public\", \"shop\", \"pgmq_public\"]\n",
        );
        world.write("supabase/migrations/1_a.sql", text);
        let json = world.orca(&["db", "shadow", "--json"]).expect_code(code).json();
        assert_eq!(json["files"][0]["status"], "applied", "{json:#}");
        let found = json["findings"].as_array().expect("a list").iter();
        let ids = found.filter_map(|f| f["id"].as_str()).map(str::to_owned);
        let door = |id: &String| ["rls.", "function.", "schema."].iter().any(|d| id.starts_with(d));
        let doors: std::collections::BTreeSet<String> = ids.filter(door).collect();
        (doors, json)
    };
    let (open, json) = ids(include_str!("db_doors_open.sql"), 1);
    let source = include_str!("../../src/db/protection/lints.rs");
    let known = source.split("= [").nth(1).and_then(|rest| rest.split("];").next());
    let known = known.expect("the list of ids").split('"').skip(1).step_by(2).map(str::to_owned);
    assert_eq!(open, known.collect(), "{json:#}");
    let keys = json["findings"].to_string();
    assert!(keys.contains("rls.disabled-in-public:shop.open"), "{keys}");

    let (closed, json) = ids(include_str!("db_doors_closed.sql"), 3);
    assert_eq!(closed, std::collections::BTreeSet::new(), "{json:#}");
}
