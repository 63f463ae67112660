//! A preview branch as shadow: made for one run on a fake Supabase, whose branches lead to a real
//! Postgres of the test's own that looks like one of Supabase's, and deleted however the run ends.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::branches::Branch;
use crate::support::supabase::{REFERENCE, Supabase, TOKEN};
use crate::support::{Postgres, Run, Running, World, wait_until};

const LONG: Duration = Duration::from_mins(1);
const PASSWORD: &str = "branch:p@ss/w%rd-4711";
const SHADOW: [&str; 4] = ["db", "shadow", "--json", "--hosted-branch"];

const TABLES: &str = "create table public.notes (id bigint primary key, owner uuid not null);\n\
                      alter table public.notes enable row level security;\n\
                      create type public.mood as enum ('well', 'ill');\n";
const POLICY: &str = "create policy own on public.notes for select to authenticated\n\
                      using ((select auth.uid()) = owner);\n\
                      create function public.f() returns int language sql stable as 'select 1';\n";

fn command(world: &World, supabase: &Supabase, args: &[&str]) -> Command {
    let mut command = world.command(args);
    command.env("SUPABASE_API_URL", supabase.url()).env("SUPABASE_ACCESS_TOKEN", TOKEN);
    command.env("SUPABASE_PROJECT_REF", REFERENCE);
    command
}

fn orca(world: &World, supabase: &Supabase, args: &[&str]) -> Run {
    Run::of(command(world, supabase, args))
}

fn project(files: &[(&str, &str)]) -> World {
    let world = World::new();
    for (name, text) in files {
        world.write(&format!("supabase/migrations/{name}"), text);
    }
    world
}

/// A server as a branch has it: what Supabase has, a copy of what production has, and a role that is
/// no superuser.
fn hosted() -> (Postgres, Supabase) {
    let (server, port) = Postgres::start_with_passwords();
    let bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/src/db/shadow/bootstrap.sql");
    server.run("postgres", &std::fs::read_to_string(bootstrap).expect("it is in the tree"));
    server.run(
        "postgres",
        &format!(
            "create role owner_of_branch login createdb createrole bypassrls password '{PASSWORD}';
             grant anon, authenticated, service_role, supabase_auth_admin, supabase_storage_admin
               to owner_of_branch;
             alter database postgres owner to owner_of_branch;
             alter table auth.users owner to supabase_auth_admin;
             alter table storage.objects owner to supabase_storage_admin;
             alter table storage.buckets owner to supabase_storage_admin;
             alter schema supabase_migrations owner to owner_of_branch;
             alter table supabase_migrations.schema_migrations owner to owner_of_branch;
             alter publication supabase_realtime owner to owner_of_branch;
             grant set on parameter session_replication_role to owner_of_branch;
             alter default privileges for role owner_of_branch in schema public
               grant all on tables to postgres, anon, authenticated, service_role;
             alter default privileges for role owner_of_branch in schema public
               grant all on functions to postgres, anon, authenticated, service_role;
             alter default privileges for role owner_of_branch in schema public
               grant all on sequences to postgres, anon, authenticated, service_role;"
        ),
    );
    server.run(
        "postgres",
        "set role owner_of_branch;
         create schema app; create table app.a (id serial primary key);
         create type public.mood as enum ('older');
         create domain public.short as varchar(3);
         create table public.notes (id int primary key, m public.mood, s public.short);
         create view public.seen as select * from public.notes;
         create materialized view public.kept as select * from public.seen;
         create sequence public.numbers;
         create function public.f() returns trigger language plpgsql as 'begin return new; end';
         create procedure public.p(in x int, out y int) language plpgsql as 'begin y := x; end';
         create trigger t before insert on public.notes for each row execute function public.f();
         create operator public.=== (leftarg = int, rightarg = int, function = int4eq);
         create collation public.plain from \"C\";
         create text search dictionary public.words (template = simple);
         create text search configuration public.words (copy = simple);
         create policy all_of_it on storage.objects using (true);
         create publication of_production for table public.notes;
         insert into storage.buckets (id, name) values ('b', 'b');
         insert into supabase_migrations.schema_migrations (version) values ('1')",
    );
    let supabase = Supabase::start();
    supabase.state().branches.login =
        ("127.0.0.1".to_owned(), port, "owner_of_branch".to_owned(), PASSWORD.to_owned());
    (server, supabase)
}

/// Without what differs from run to run.
fn timeless(mut document: Value) -> Value {
    for file in document["files"].as_array_mut().expect("files are a list") {
        file["duration_us"] = json!(0);
    }
    document
}

fn asked(supabase: &Supabase, method: &str) -> usize {
    supabase.state().asked.iter().filter(|call| call.starts_with(method)).count()
}

fn nothing_is_left(supabase: &Supabase) {
    let left = supabase.state().branches.list.clone();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_branch_shows_what_a_local_shadow_shows_and_goes() {
    let (server, supabase) = hosted();
    let world = project(&[("1_a.sql", TABLES), ("2_b.sql", POLICY)]);
    let local = world.orca(&SHADOW[..3]).expect_code(0).json();
    let run = orca(&world, &supabase, &SHADOW).expect_code(0);
    let mut on_branch = timeless(run.json());
    // The version is that of the server, and the hash knows who made the tables; nothing else differs.
    for own in ["server_version", "schema_hash"] {
        assert!(on_branch[own].is_string(), "{on_branch:#}");
        on_branch[own] = local[own].clone();
    }
    assert_eq!(on_branch, timeless(local), "{}", run.stderr);
    nothing_is_left(&supabase);

    let body = supabase.state().branches.made[0].clone();
    let name = body["branch_name"].as_str().expect("a name").to_owned();
    assert_eq!(
        body,
        json!({"branch_name": name, "with_data": false, "persistent": false, "postgres_engine": "17"})
    );
    for said in [
        format!("creates the preview branch {name} of project {REFERENCE}: it costs money"),
        "it is COMING_UP".to_owned(),
        "Supabase is at 'migrate'".to_owned(),
        format!("deleted the preview branch {name}"),
    ] {
        assert!(run.stderr.contains(&said), "no '{said}' in:\n{}", run.stderr);
    }
    assert!(!run.stderr.contains("please wait"), "{}", run.stderr);
    for secret in [PASSWORD, TOKEN, "a-secret-that-signs-tokens"] {
        assert!(!run.stderr.contains(secret) && !run.stdout.contains(secret), "{run:?}");
    }
    // What production has was taken away, and what the run made is there.
    let there = "select string_agg(c.oid::regclass::text, ' ' order by 1) from pg_class c
                 where relkind in ('r', 'v', 'm', 'S') and relnamespace = 'public'::regnamespace";
    assert_eq!(server.run("postgres", there), "notes");

    // A failing file fails as it does anywhere, and its branch goes too.
    world.write("supabase/migrations/3_c.sql", "select 1;\nselect no_such();\n");
    let failed = orca(&world, &supabase, &SHADOW).expect_code(1).json();
    assert_eq!(failed["findings"][0]["id"], "replay.failed", "{failed:#}");
    assert_eq!(failed["findings"][0]["line"], 2);
    nothing_is_left(&supabase);

    // The one answer that says whether it was made is lost: it is found, and not made again.
    std::fs::remove_file(world.folder().join("supabase/migrations/3_c.sql")).expect("it is there");
    let before = asked(&supabase, "POST");
    supabase.state().lost = 1;
    let again = orca(&world, &supabase, &SHADOW).expect_code(0);
    assert_eq!(asked(&supabase, "POST"), before + 1);
    assert_eq!(again.json()["schema_hash"], run.json()["schema_hash"], "each begins with nothing");
    nothing_is_left(&supabase);

    // A database with users is not emptied, whoever says that it is a branch without data.
    server.run("postgres", "insert into auth.users (id) values (gen_random_uuid())");
    let refused = orca(&world, &supabase, &SHADOW).expect_code(3);
    assert!(refused.stderr.contains("it has users"), "{}", refused.stderr);
    assert_eq!(server.run("postgres", there), "notes");
    nothing_is_left(&supabase);
    server.run("postgres", "delete from auth.users");

    // The target is never the shadow, whatever Supabase says where the branch is.
    let port = supabase.state().branches.login.1;
    let password = PASSWORD.replace('%', "%25").replace('@', "%40").replace('/', "%2F");
    let url = format!("postgres://owner_of_branch:{password}@127.0.0.1:{port}/postgres");
    let target = [&SHADOW[..], &["--target-url", &url]].concat();
    let refused = orca(&world, &supabase, &target).expect_code(2);
    assert!(refused.stderr.contains("ORCA-2004"), "{}", refused.stderr);
    nothing_is_left(&supabase);
    supabase.state().branches.login.0 = format!("db.{REFERENCE}.supabase.co");
    let refused = orca(&world, &supabase, &SHADOW).expect_code(2);
    assert!(refused.stderr.contains("ORCA-2004"), "{}", refused.stderr);
    nothing_is_left(&supabase);
}

/// Nothing is decided about migrations that meet what production has.
#[test]
fn what_a_branch_keeps_of_production_is_named() {
    let (server, supabase) = hosted();
    let world = project(&[("1_a.sql", TABLES)]);
    // What no look finds and is in the way says nothing about the migrations.
    server.run("postgres", "create role of_production superuser");
    world.write("supabase/migrations/2_b.sql", "select 1;\ncreate role of_production;\n");
    let unsure = orca(&world, &supabase, &SHADOW).expect_code(3).json();
    assert_eq!(unsure["findings"][0]["id"], "branch.left", "{unsure:#}");
    assert!(unsure["findings"][0]["message"].to_string().contains("of_production"));
    nothing_is_left(&supabase);

    // What a look finds is in the way before any file, and is named.
    server.run(
        "postgres",
        "create function auth.watched() returns event_trigger language plpgsql
           as 'begin end';
         create event trigger of_somebody on ddl_command_end when tag in ('CREATE STATISTICS')
           execute function auth.watched();
         create role somebody superuser;
         alter event trigger of_somebody owner to somebody;
         alter role somebody nosuperuser",
    );
    let unsure = orca(&world, &supabase, &SHADOW).expect_code(3);
    assert!(unsure.stderr.contains("event trigger of_somebody"), "{}", unsure.stderr);
    nothing_is_left(&supabase);
}

#[test]
fn what_supabase_refuses_is_said_and_leaves_nothing() {
    let (world, supabase) = (project(&[("1_a.sql", TABLES)]), Supabase::start());
    for (status, why, code) in [
        (402, "Branching needs the Pro plan", "ORCA-2043"),
        (400, "Maximum number of branches reached", "ORCA-2043"),
        (403, "Your role may not", "ORCA-2041"),
    ] {
        supabase.state().branches.refused = Some((status, why));
        let run = orca(&world, &supabase, &SHADOW).expect_code(4);
        assert!(run.stderr.contains(code) && run.stderr.contains(why), "{}", run.stderr);
        assert_eq!(run.json()["code"], code);
    }
    let posts = asked(&supabase, "POST");
    assert_eq!(posts, 3);
    supabase.state().limited = (20, 3600);
    let run = orca(&world, &supabase, &SHADOW).expect_code(4);
    assert!(run.stderr.contains("ORCA-2042"), "{}", run.stderr);
    nothing_is_left(&supabase);
    // Nothing is asked without a token, and nothing else may be named beside it.
    let calls = supabase.state().asked.len();
    let mut command = world.command(&SHADOW);
    command.env("SUPABASE_API_URL", supabase.url()).env("SUPABASE_PROJECT_REF", REFERENCE);
    assert!(Run::of(command).expect_code(2).stderr.contains("ORCA-2040"));
    orca(&world, &supabase, &[&SHADOW[..], &["--shadow-url", "postgres://h/x"]].concat())
        .expect_code(2);
    orca(&world, &supabase, &["db", "shadow", "--project", REFERENCE]).expect_code(2);
    // Another run would take its branch for left behind.
    let long = [&SHADOW[..], &["--branch-wait", "121m"]].concat();
    let refused = orca(&world, &supabase, &long).expect_code(2);
    assert!(refused.stderr.contains("more than 2 h"), "{}", refused.stderr);
    assert_eq!(supabase.state().asked.len(), calls);
}

#[test]
fn a_branch_that_is_never_ready_decides_nothing_and_goes() {
    let (world, supabase) = (project(&[("1_a.sql", TABLES)]), Supabase::start());
    let soon = [&SHADOW[..], &["--branch-wait", "1s"]].concat();
    for (status, args) in [("COMING_UP", &soon[..]), ("INIT_FAILED", &SHADOW)] {
        supabase.state().branches.never = Some(status);
        let run = orca(&world, &supabase, args).expect_code(3);
        assert!(run.stderr.contains("ORCA-2045") && run.stderr.contains(status), "{}", run.stderr);
        nothing_is_left(&supabase);
    }
    // Healthy, and its database does not answer: the environment is not there.
    supabase.state().branches.never = None;
    // Too new to be found is not deleted.
    supabase.state().branches.unfound = 1;
    let run = orca(&world, &supabase, &soon).expect_code(4);
    assert!(run.stderr.contains("ORCA-2003") && run.stderr.contains("IPv"), "{}", run.stderr);
    nothing_is_left(&supabase);
    assert_eq!(asked(&supabase, "DELETE"), 4);
}

#[test]
fn a_signal_deletes_the_branch() {
    // While it comes up.
    let (world, supabase) = (project(&[("1_a.sql", TABLES)]), Supabase::start());
    supabase.state().branches.never = Some("COMING_UP");
    let running = Running::start(command(&world, &supabase, &SHADOW));
    running.line_with("it is COMING_UP");
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stdout.contains("deleted the preview branch"), "{ended:?}");
    nothing_is_left(&supabase);

    // In the middle of a file; the first try to delete fails, and more signals change nothing.
    let (server, supabase) = hosted();
    let world = project(&[("1_a.sql", "select pg_sleep(600);\n")]);
    let args = [&SHADOW[..], &["--statement-timeout", "700s"]].concat();
    supabase.state().branches.undeletable = 1;
    let running = Running::start(command(&world, &supabase, &args));
    let sleeps = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'";
    wait_until("the migration runs", LONG, || server.run("postgres", sleeps) == "1");
    running.signal("TERM");
    running.signal("INT");
    assert_eq!(running.end().code, Some(130));
    nothing_is_left(&supabase);
}

#[test]
fn what_killed_runs_left_is_deleted_and_nothing_else() {
    let (world, supabase) = (project(&[("1_a.sql", TABLES)]), Supabase::start());
    let stale = "2026-01-05T01:00:00Z";
    let named = |name: &str, letter| Branch::old(name, letter, stale);
    let mut state = supabase.state();
    state.branches.refused = Some((402, "no room"));
    state.branches.list = vec![
        named("orca-shadow-00a1b2c3d4e5", 'q'),
        Branch::old("orca-shadow-00a1b2c3d4e6", 'r', "2026-01-05T08:30:00Z"),
        named("orca-shadow-notes", 's'),
        named("staging", 't'),
        Branch { persistent: true, ..named("orca-shadow-00a1b2c3d4e7", 'u') },
        Branch { is_default: true, ..named("orca-shadow-00a1b2c3d4e8", 'v') },
        Branch { reference: REFERENCE.to_owned(), ..named("orca-shadow-00a1b2c3d4e9", 'w') },
    ];
    drop(state);
    let run = orca(&world, &supabase, &SHADOW).expect_code(4);
    assert!(run.stderr.contains("which a run left behind 8 h ago"), "{}", run.stderr);
    assert!(
        run.stderr.contains("leaves the preview branch orca-shadow-00a1b2c3d4e6"),
        "{}",
        run.stderr
    );
    let state = supabase.state();
    let left: Vec<char> =
        state.branches.list.iter().filter_map(|b| b.reference.chars().next()).collect();
    assert_eq!(left, ['r', 's', 't', 'u', 'v', 'a']);
    let deleted: Vec<&String> = state.asked.iter().filter(|a| a.starts_with("DELETE")).collect();
    assert_eq!(deleted, [&format!("DELETE /v1/branches/{}", "q".repeat(20))]);
}

#[test]
fn a_branch_that_cannot_be_deleted_is_said_loudly() {
    let (_server, supabase) = hosted();
    let world = project(&[("1_a.sql", TABLES)]);
    supabase.state().branches.undeletable = u32::MAX;
    let run = orca(&world, &supabase, &SHADOW).expect_code(0);
    assert_eq!(run.json()["verdict"], "pass");
    let reference = supabase.state().branches.list[0].reference.clone();
    let by_hand = format!(
        "curl -X DELETE -H \"Authorization: Bearer $SUPABASE_ACCESS_TOKEN\" {}/v1/branches/{reference}",
        supabase.url()
    );
    for said in ["warning: ORCA-2046", "costs money until it is", &by_hand] {
        assert!(run.stderr.contains(said), "no '{said}' in:\n{}", run.stderr);
    }
}

/// Most machines of CI have no IPv6, and direct connections nothing else.
#[test]
fn the_pooler_is_the_way_where_the_direct_one_leads_nowhere() {
    let (server, supabase) = hosted();
    let world = project(&[("1_a.sql", TABLES), ("2_b.sql", POLICY)]);
    let mut state = supabase.state();
    let port = std::mem::replace(&mut state.branches.login.1, 1);
    state.branches.pooler = Some(port);
    drop(state);
    // A pooler takes the project out of the name of the user.
    let user = format!("postgres.{}", "b".repeat(20));
    server.run(
        "postgres",
        &format!("create role \"{user}\" login in role owner_of_branch password '{PASSWORD}'"),
    );
    let run = orca(&world, &supabase, &SHADOW);
    let run = run.expect_code(0);
    assert_eq!(run.json()["verdict"], "pass");
    nothing_is_left(&supabase);
    assert!(!run.stderr.contains(PASSWORD) && !run.stdout.contains(PASSWORD), "{run:?}");
}

/// The gate does the same where the configuration says so, and only there.
#[test]
fn the_gate_uses_a_branch_where_it_is_told_to() {
    let (_server, supabase) = hosted();
    let world = World::repository();
    world.write("supabase/migrations/1_a.sql", TABLES);
    world.commit("feat: notes");
    let only = ["preflight", "--only", "db", "--json"];
    orca(&world, &supabase, &only);
    assert_eq!(supabase.state().asked.len(), 0, "no branch unless it is asked for");
    world.write("orca.yaml", "version: 1\ngates:\n  preflight:\n    db: {hosted_branch: true}\n");
    world.commit("feat: on a branch");
    let run = orca(&world, &supabase, &only);
    let verdict = |run: &Run, name: &str| {
        let gates = run.json()["gates"].as_array().expect("a list").clone();
        let checks = gates.iter().flat_map(|gate| gate["checks"].as_array().expect("a list"));
        let found = checks.clone().find(|check| check["check"] == name).cloned();
        found.unwrap_or_else(|| panic!("no {name} in {run:?}"))
    };
    assert_eq!(verdict(&run, "db.shadow")["verdict"], "pass", "{run:?}");
    assert_eq!(supabase.state().branches.made.len(), 1, "three checks share one branch");
    nothing_is_left(&supabase);
    assert!(!run.stdout.contains(PASSWORD) && !run.stderr.contains(PASSWORD), "{run:?}");
    let kept = world.git(&["log", "-p", "--all"]);
    assert!(!kept.contains(PASSWORD));

    // What a statement holds up is measured there as well, on rows, without being a superuser.
    world.write("supabase/migrations/2_b.sql", "alter table notes alter id type numeric;\n");
    let rows = ["--base", "HEAD", "--rows", "notes=1000"];
    let measured = orca(&world, &supabase, &[&SHADOW[..], &rows].concat()).json();
    let held = &measured["footprints"][0];
    assert_eq!((&held["rewrites"], &held["rows"]), (&json!(true), &json!(1000)), "{measured:#}");
    std::fs::remove_file(world.folder().join("supabase/migrations/2_b.sql")).expect("it is there");

    // Refused, or without a token: nothing was seen.
    supabase.state().branches.refused = Some((402, "Branching needs the Pro plan"));
    let refused = orca(&world, &supabase, &only).expect_code(3);
    let shadow = verdict(&refused, "db.shadow");
    assert_eq!(shadow["verdict"], "inconclusive");
    assert!(shadow["headline"].to_string().contains("Pro plan"), "{shadow:#}");
    let without = world.orca(&only).expect_code(3);
    let shadow = verdict(&without, "db.shadow");
    assert!(shadow["next"].to_string().contains("SUPABASE_PROJECT_REF"), "{shadow:#}");
}
