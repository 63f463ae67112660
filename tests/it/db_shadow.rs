//! `orca db shadow` on a real Postgres: replay in order, places of errors, stand-ins, transactions,
//! and nothing left behind, however it ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{World, wait_until};

const LONG: Duration = Duration::from_mins(1);

/// Clusters live where the server's user may go: as root that is not the folder of the world.
fn homes(world: &World) -> [PathBuf; 2] {
    [PathBuf::from("/tmp"), world.folder().parent().expect("the world has a home").join("tmp")]
}

/// A project with these migrations.
fn project(files: &[(&str, &str)]) -> World {
    let world = World::new();
    for (name, text) in files {
        world.write(&format!("supabase/migrations/{name}"), text);
    }
    world
}

fn statuses(document: &Value) -> Vec<&str> {
    let files = document["files"].as_array().expect("files are a list");
    files.iter().map(|f| f["status"].as_str().expect("a status")).collect()
}

fn finding<'a>(document: &'a Value, id: &str) -> &'a Value {
    let found = document["findings"].as_array().expect("findings are a list").iter();
    found.clone().find(|f| f["id"] == id).unwrap_or_else(|| panic!("no {id} in {document:#}"))
}

#[test]
fn a_project_replays_in_order_and_has_a_hash() {
    let tables = "create table public.notes (id bigint primary key, owner uuid not null);\n\
                  alter table public.notes enable row level security;\n";
    let policy = "create policy own on public.notes for select to authenticated\n\
                  using ((select auth.uid()) = owner);\n";
    let world = project(&[
        ("20260101000000_notes.sql", tables),
        ("20260102000000_policy.sql", policy),
        ("README.md", "no migration"),
    ]);
    let first = world.orca(&["db", "shadow", "--json"]).expect_code(0).json();
    assert_eq!(first["schema"], "orca.db-shadow/v1");
    assert_eq!(first["verdict"], "pass");
    assert_eq!(statuses(&first), ["applied", "applied", "skipped"]);
    assert_eq!(first["substitutions"], serde_json::json!([]));
    assert!(first["server_version"].as_str().is_some_and(|v| v.starts_with(char::is_numeric)));
    let hash = first["schema_hash"].as_str().expect("a hash").to_owned();

    // The same schema by another way has the same hash; another policy has another one.
    let moved = project(&[("1_all.sql", &format!("begin;\n{tables}commit;\n{policy}"))]);
    let same = moved.orca(&["db", "shadow", "--json"]).expect_code(0).json();
    assert_eq!(same["schema_hash"], hash.as_str());
    let wider = policy.replace("((select auth.uid()) = owner)", "(true)");
    let other = project(&[("1_a.sql", tables), ("2_b.sql", &wider)]);
    let other = other.orca(&["db", "shadow", "--json"]).expect_code(0).json();
    assert_ne!(other["schema_hash"], hash.as_str());
}

#[test]
fn an_error_has_its_place_in_the_real_file() {
    let world = project(&[
        ("1_a.sql", "create table a (id int);\n"),
        ("2_b.sql", "\u{feff}select 'ü';\r\n\r\ninsert into a\r\n  values ('x');\r\n"),
        ("3_c.sql", "select 1;\n"),
    ]);
    let json = world.orca(&["db", "shadow", "--json"]).expect_code(1).json();
    assert_eq!(json["verdict"], "fail");
    assert_eq!(statuses(&json), ["applied", "failed", "not-run"]);
    let found = finding(&json, "replay.failed");
    assert_eq!(found["file"], "supabase/migrations/2_b.sql");
    assert_eq!(found["line"], 4, "{found}");
    assert!(found["message"].as_str().is_some_and(|m| m.contains("22P02")), "{found}");
    assert_eq!(json["schema_hash"], Value::Null);
}

/// Dumps empty the search path; the next file must not notice.
#[test]
fn settings_and_psql_stay_in_their_file() {
    let dump = "\\restrict x\nselect pg_catalog.set_config('search_path', '', false);\n\
                create table public.a (id int, name text);\n\
                alter table public.a enable row level security;\n\
                copy public.a (id, name) from stdin;\n1\tone;'\n2\t\\N\n\\.\n\n\\unrestrict x\n";
    let check = "do $$ begin if (select count(*) from a) <> 2 then raise 'rows'; end if; end $$;\n";
    let world = project(&[("1_dump.sql", dump), ("2_check.sql", check)]);
    let json = world.orca(&["db", "shadow", "--json"]).expect_code(0).json();
    assert_eq!(statuses(&json), ["applied", "applied"]);
}

#[test]
fn missing_extensions_get_stand_ins_and_weaken_the_verdict() {
    let world = project(&[(
        "1_a.sql",
        "create extension if not exists pg_net;\n\
         create extension if not exists \"vector\" with schema extensions;\n\
         comment on extension vector is 'x';\n\
         create table d (id int, e extensions.vector(1536));\n\
         alter table d enable row level security;\n\
         create index on d using hnsw (e vector_cosine_ops);\n\
         select net.http_post('http://example.com');\n",
    )]);
    let json = world.orca(&["db", "shadow", "--json"]).expect_code(3).json();
    assert_eq!(json["verdict"], "inconclusive");
    assert_eq!(json["substitutions"], serde_json::json!(["pg_net", "vector"]));
    assert_eq!(statuses(&json), ["applied"]);
    assert_eq!(finding(&json, "extension.substitute")["line"], 1);
    let allowed = ["--allow-substitute", "pg_net", "--allow-substitute", "vector"];
    let args = [&["db", "shadow", "--json"][..], &allowed].concat();
    assert_eq!(world.orca(&args).expect_code(0).json()["verdict"], "waived");
    world.orca(&args[..5]).expect_code(3);

    let unknown = "create extension no_such_thing;\nselect 1;\nselect no_such_function();\n";
    let world = project(&[("1_a.sql", unknown)]);
    let json = world.orca(&["db", "shadow", "--json"]).expect_code(3).json();
    let needed = finding(&json, "extension.needed");
    assert_eq!(needed["line"], 3);
    assert!(needed["message"].as_str().is_some_and(|m| m.contains("no_such_thing")), "{needed}");
}

#[test]
fn what_refuses_a_transaction_runs_outside_and_is_reported() {
    let index = "create index concurrently i on a (id);\n";
    let table = "create table a (id int); alter table a enable row level security;\n";
    let alone = project(&[("1_a.sql", table), ("2_b.sql", index)]);
    let json = alone.orca(&["db", "shadow", "--json"]).expect_code(0).json();
    assert_eq!(finding(&json, "replay.transaction")["level"], "warning");
    let mixed = project(&[("1_a.sql", &format!("{table}{index}"))]);
    let json = mixed.orca(&["db", "shadow", "--json"]).expect_code(1).json();
    assert_eq!(statuses(&json), ["applied"]);
    let found = finding(&json, "replay.transaction");
    assert_eq!((&found["level"], &found["line"]), (&"error".into(), &2.into()));
    // A finding that the baseline knows closes nothing.
    let baseline = serde_json::json!({"keys": [found["key"]]});
    mixed.write("known.json", &baseline.to_string());
    mixed.orca(&["db", "shadow", "--baseline", "known.json"]).expect_code(0);
}

#[test]
fn an_endless_statement_ends() {
    let world = project(&[("1_a.sql", "select 1;\nselect pg_sleep(3600);\n")]);
    let args = ["db", "shadow", "--json", "--statement-timeout", "300ms"];
    let json = world.orca(&args).expect_code(1).json();
    assert_eq!(finding(&json, "replay.failed")["line"], 2);
}

#[test]
fn without_a_postgres_it_is_inconclusive_and_says_what_to_install() {
    let world = project(&[("1_a.sql", "select 1;\n")]);
    world.write("supabase/config.toml", "[db]\nmajor_version = 99\n");
    let run = world.orca(&["db", "shadow"]).expect_code(3);
    assert!(run.stderr.contains("ORCA-2002"), "{}", run.stderr);
    assert!(
        run.stderr.contains("embedded-postgres") && run.stderr.contains("@99"),
        "{}",
        run.stderr
    );
    let run = World::new().orca(&["db", "shadow"]).expect_code(2);
    assert!(run.stderr.contains("ORCA-2005"), "{}", run.stderr);
    let mut command = world.command(&["db", "shadow"]);
    command.env("ORCA_PG_BIN", "/nowhere");
    let run = crate::support::Run::of(command).expect_code(3);
    assert!(run.stderr.contains("/nowhere"), "{}", run.stderr);
}

/// Ids of processes whose command line has `text`.
fn processes_with(text: &str) -> Vec<String> {
    let listed = Command::new("ps").args(["-eo", "pid=,args="]).output().expect("ps is everywhere");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let lines = listed.lines().filter(|line| line.contains(text) && !line.contains("ps -eo"));
    lines.map(str::to_owned).collect()
}

/// The cluster that this orca made, by the lock file that it holds open.
fn cluster_of(orca: u32, world: &World) -> PathBuf {
    let mut found = None;
    wait_until("a cluster of this orca", LONG, || {
        let files = std::fs::read_dir(format!("/proc/{orca}/fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        let ours = |path: &PathBuf| homes(world).iter().any(|home| path.starts_with(home));
        found = links.find(|p| p.to_string_lossy().contains("orca-shadow-") && ours(p));
        found.as_ref().is_some_and(|lock| lock.with_file_name(".s.PGSQL.5432").exists())
    });
    found.expect("it was waited for").parent().expect("a lock stands in a folder").to_owned()
}

fn is_gone(folder: &Path) -> bool {
    let name = folder.to_str().expect("plain names");
    !folder.exists() && processes_with(name).is_empty()
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_left_after_a_signal() {
    let world = project(&[("1_a.sql", "select pg_sleep(600);\n")]);
    let orca = world.spawn_orca(&["db", "shadow", "--statement-timeout", "700s"]);
    let folder = cluster_of(orca.id(), &world);
    orca.signal("INT");
    assert_eq!(orca.end().code, Some(130));
    assert!(is_gone(&folder), "{folder:?}: {:?}", processes_with("orca-shadow"));

    // A killed orca leaves its cluster; the next one sweeps it, and not that of a living one.
    let killed = world.spawn_orca(&["db", "shadow", "--statement-timeout", "700s"]);
    let left = cluster_of(killed.id(), &world);
    let living = world.spawn_orca(&["db", "shadow", "--statement-timeout", "700s"]);
    let kept = cluster_of(living.id(), &world);
    killed.signal("KILL");
    killed.end();
    let next = project(&[("1_a.sql", "select 1;\n")]);
    let mut command = next.command(&["db", "shadow"]);
    command.env("TMPDIR", world.folder().parent().expect("a home").join("tmp"));
    crate::support::Run::of(command).expect_code(0);
    wait_until("the cluster of the killed one is gone", LONG, || is_gone(&left));
    assert!(kept.exists());
    living.signal("TERM");
    living.end();
    assert!(is_gone(&kept));
}

/// A server that dies in the middle decides nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_server_that_is_killed_is_inconclusive() {
    let world = project(&[("1_a.sql", "select pg_sleep(600);\n")]);
    let orca = world.spawn_orca(&["db", "shadow", "--statement-timeout", "700s"]);
    let folder = cluster_of(orca.id(), &world);
    let note = std::fs::read_to_string(folder.join("data/postmaster.pid")).expect("it runs");
    let id = note.lines().next().expect("its id").trim().to_owned();
    wait_until("the statement runs", LONG, || {
        let children = Command::new("ps").args(["-o", "args=", "--ppid", &id]).output();
        String::from_utf8_lossy(&children.expect("ps is everywhere").stdout).contains("SELECT")
    });
    assert!(Command::new("kill").args(["-QUIT", &id]).status().expect("kill").success());
    assert_eq!(orca.end().code, Some(3));
    assert!(is_gone(&folder));
}

/// A full disk decides nothing about the migration, and leaves nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_inconclusive() {
    let big = "create table big as select md5(n::text) from generate_series(1, 2000000) n;\n";
    let world = project(&[("1_a.sql", big)]);
    let mut command = world.outside("sh");
    // A limit on the size of a file fails as a full disk does, and needs no rights. Logs have 16 MiB.
    let script = "trap '' XFSZ; ulimit -f 65536; exec \"$0\" db shadow --json";
    command.args(["-c", script]).arg(world.command(&[]).get_program());
    let json = crate::support::Run::of(command).expect_code(3).json();
    assert_eq!(statuses(&json), ["inconclusive"]);
    assert!(
        finding(&json, "replay.server")["message"].as_str().is_some_and(|m| m.contains("large"))
    );
}

/// A database on another server: made, used, dropped; and never the target itself.
#[test]
fn a_shadow_url_is_never_the_target() {
    let host = World::new();
    let server = Server::start(&host);
    let world = project(&[("1_a.sql", "create schema b; create table b.a (id int);\n")]);
    let url = server.url();
    let args = ["db", "shadow", "--json", "--shadow-url", &url];
    world.orca(&args).expect_code(0);
    assert_eq!(server.ask("select count(*) from pg_database where datname like 'orca%'"), "0");
    let refused = world.orca(&[&args[..], &["--target-url", &url]].concat()).expect_code(2);
    assert!(refused.stderr.contains("ORCA-2004"), "{}", refused.stderr);
    // A role that may not make databases is said to be that, and not to be a server that is down.
    server.ask("create role weak login");
    let weak = url.replace("//postgres@", "//weak@");
    let weak = world.orca(&["db", "shadow", "--shadow-url", &weak]).expect_code(3);
    assert!(weak.stderr.contains("no database can be made"), "{}", weak.stderr);
    let gone =
        world.orca(&["db", "shadow", "--shadow-url", "postgres://127.0.0.1:1/x"]).expect_code(4);
    assert!(gone.stderr.contains("ORCA-2003"), "{}", gone.stderr);
}

/// A server of the test's own: that of an `orca db shadow` which waits.
pub(crate) struct Server {
    folder: PathBuf,
    orca: Option<crate::support::Running>,
}

impl Server {
    pub(crate) fn start(world: &World) -> Self {
        world.write("supabase/migrations/1_a.sql", "select pg_sleep(600);\n");
        let orca = world.spawn_orca(&["db", "shadow", "--statement-timeout", "700s"]);
        let server = Self { folder: cluster_of(orca.id(), world), orca: Some(orca) };
        // Its socket is there before it answers, and it answers before it has its roles.
        let waits = "select 1 from pg_stat_activity where query = 'select pg_sleep(600)'";
        wait_until("the migration waits", LONG, || {
            server.psql(waits).output().is_ok_and(|output| output.stdout.starts_with(b"1"))
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        let host = self.folder.to_str().expect("plain names").replace('/', "%2F");
        format!("postgres://postgres@{host}/postgres")
    }

    pub(crate) fn ask(&self, sql: &str) -> String {
        crate::support::Run::of(self.psql(sql)).expect_code(0).stdout.trim().to_owned()
    }

    fn psql(&self, sql: &str) -> Command {
        let mut command = Command::new("psql");
        command.args(["-XAtq", "-U", "postgres", "-d", "postgres", "-c", sql, "-h"]);
        command.arg(&self.folder);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(orca) = self.orca.take() {
            orca.signal("TERM");
            orca.end();
        }
    }
}
