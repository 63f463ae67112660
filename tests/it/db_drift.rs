//! `orca db drift` against a real Postgres that was made like a Supabase project: none where there is
//! none, and every change by hand named both ways.

use serde_json::{Value, json};

use crate::support::{Postgres, Run, World};

const FIRST: &str = "create table public.notes (id bigint generated always as identity primary key,
  owner uuid not null, state varchar(10) check (state in ('open', 'done')));
alter table public.notes enable row level security;
create policy own on public.notes for select to authenticated using ((select auth.uid()) = owner);
create view public.open_notes with (security_invoker = true) as
  select n.id, n.owner from public.notes n where n.state = 'open';
create function public.take(a int default 1) returns int language sql security definer
  set search_path = '' as 'select a';
revoke execute on function public.take from public, anon;
";
const SECOND: &str = "create table public.more (id int primary key);
alter table public.more enable row level security;
";

/// A project, and a database on which its first `count` files ran as the command line of Supabase
/// runs them.
fn project(count: usize) -> (World, Postgres) {
    let world = World::new();
    let files = [("20260101000000_first.sql", FIRST), ("20260102000000_second.sql", SECOND)];
    let server = Postgres::start();
    server.run("postgres", "create database app");
    let bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/src/db/shadow/bootstrap.sql");
    server.run("app", &std::fs::read_to_string(bootstrap).expect("it is in the tree"));
    for (number, (name, text)) in files.iter().enumerate() {
        world.write(&format!("supabase/migrations/{name}"), text);
        if number < count {
            server.run("app", text);
            let version = name.split('_').next().expect("a version");
            let sql =
                format!("insert into supabase_migrations.schema_migrations values ('{version}')");
            server.run("app", &sql);
        }
    }
    (world, server)
}

fn drift(world: &World, server: &Postgres, more: &[&str]) -> Run {
    let mut command = world.command(&[&["db", "drift"], more].concat());
    command.env("ORCA_TARGET_URL", server.url("postgres", "app"));
    Run::of(command)
}

fn found<'a>(document: &'a Value, key: &str) -> &'a Value {
    let all = document["differences"].as_array().expect("differences are a list");
    all.iter().find(|d| d["key"] == key).unwrap_or_else(|| panic!("no {key} in {document:#}"))
}

#[test]
fn every_change_by_hand_is_named_both_ways() {
    let (world, server) = project(2);
    let none = drift(&world, &server, &["--json"]).expect_code(0).json();
    assert_eq!(none["schema"], "orca.db-drift/v1");
    assert_eq!(none["verdict"], "pass", "{none:#}");
    assert_eq!(none["shadow_hash"], none["target_hash"]);
    let shadow = world.orca(&["db", "shadow", "--json"]).json();
    assert_eq!(none["shadow_hash"], shadow["schema_hash"]);

    server.run(
        "app",
        "alter table notes add column note text; drop policy own on notes;
         create policy every on notes for select to anon using (true);
         alter table more disable row level security;
         grant execute on function take to anon;
         create or replace view open_notes as select n.id, n.owner from notes n where n.state = 'open';
         create table by_hand (id int primary key); drop extension pgcrypto;
         create or replace function take(a int default 1) returns int language sql
           set search_path = '' as 'select a + 1';",
    );
    let json = drift(&world, &server, &["--json"]).expect_code(1).json();
    assert_ne!(json["shadow_hash"], json["target_hash"]);
    assert_eq!(
        found(&json, "drift.column:public.notes.note")["target"],
        json!(["alter table public.notes add column note text"])
    );
    let own = found(&json, "drift.policy:public.notes.own");
    assert_eq!(own["target"], json!([]));
    let text = own["migrations"][0].as_str().expect("a line");
    assert!(
        text.starts_with(
            "create policy own on public.notes as permissive for select to authenticated using"
        ),
        "{text}"
    );
    assert_eq!(
        found(&json, "drift.policy:public.notes.every")["target"],
        json!(["create policy every on public.notes as permissive for select to anon using true"])
    );
    assert_eq!(
        found(&json, "drift.table:public.more")["migrations"],
        json!(["create table public.more", "alter table public.more enable row level security"])
    );
    assert_eq!(
        found(&json, "drift.grant:function public.take(a integer)")["target"],
        json!(["grant execute on function public.take(a integer) to anon"])
    );
    let view = found(&json, "drift.view:public.open_notes");
    let first = |side: &str| view[side][0].as_str().expect("a line").to_owned();
    assert!(first("migrations").contains("security_invoker=true"), "{view}");
    assert!(!first("target").contains("security_invoker"), "{view}");
    found(&json, "drift.function:public.take(a integer)");
    found(&json, "drift.table:public.by_hand");
    found(&json, "drift.extension:pgcrypto");
    let by_hand = json["differences"].as_array().expect("a list").iter();
    let by_hand = by_hand.filter(|d| d["name"].as_str().is_some_and(|n| n.contains("by_hand")));
    // Its columns, its key's constraint and its grants go along; an index is listed by itself.
    assert_eq!(by_hand.count(), 2, "{json:#}");

    let human = drift(&world, &server, &[]).expect_code(1).stdout;
    assert!(
        human.starts_with("fail: 10 objects of the target are not as migrations make them"),
        "{human}"
    );
    assert!(human.contains("+ alter table public.notes add column note text"), "{human}");
    assert!(human.contains("- create policy own on public.notes"), "{human}");
    let keys: Vec<&Value> =
        json["differences"].as_array().expect("a list").iter().map(|d| &d["key"]).collect();
    world.write("known.json", &json!({"keys": keys}).to_string());
    let known =
        drift(&world, &server, &["--json", "--baseline", "known.json"]).expect_code(0).json();
    assert_eq!(known["known"], keys.len());
}

#[test]
fn what_waits_is_no_drift_and_what_nobody_wrote_is() {
    let (world, server) = project(1);
    let json = drift(&world, &server, &["--json"]).expect_code(0).json();
    assert_eq!(json["pending"], json!(["supabase/migrations/20260102000000_second.sql"]));
    let all = drift(&world, &server, &["--json", "--with-pending"]).expect_code(1).json();
    found(&all, "drift.table:public.more");
    server
        .run("app", "insert into supabase_migrations.schema_migrations values ('20251231000000')");
    let unknown = drift(&world, &server, &["--json"]).expect_code(1).json();
    assert_eq!(unknown["unknown_versions"], json!(["20251231000000"]));
    assert_eq!(unknown["differences"], json!([]));

    // A target that went through a dump and a restore is still the same.
    server.run("postgres", "create database copy");
    let (from, to) = (server.url("postgres", "app"), server.url("postgres", "copy"));
    let mut copy = world.outside("sh");
    copy.args(["-c", "pg_dump \"$0\" | psql -q \"$1\" >&2", &from, &to]);
    Run::of(copy).expect_code(0);
    server.run("copy", "delete from supabase_migrations.schema_migrations where version < '2026'");
    let mut command = world.command(&["db", "drift", "--json"]);
    command.env("ORCA_TARGET_URL", &to);
    let same = Run::of(command).expect_code(0).json();
    assert_eq!(same["shadow_hash"], same["target_hash"]);
}

#[test]
fn nothing_is_said_without_both_sides() {
    let (world, server) = project(2);
    world.write("supabase/migrations/20260103000000_broken.sql", "select nonsense;\n");
    let broken = drift(&world, &server, &["--with-pending"]).expect_code(3);
    assert!(broken.stderr.contains("ORCA-2037"), "{}", broken.stderr);
    let gone =
        world.orca(&["db", "drift", "--target-url", "postgres://127.0.0.1:1/x"]).expect_code(4);
    assert!(gone.stderr.contains("ORCA-2031"), "{}", gone.stderr);
    assert!(world.orca(&["db", "drift"]).expect_code(2).stderr.contains("ORCA-2030"));
    // The target cannot be its own shadow.
    let url = server.url("postgres", "app");
    let itself = drift(&world, &server, &["--shadow-url", &url]).expect_code(2);
    assert!(itself.stderr.contains("ORCA-2004"), "{}", itself.stderr);
}
