//! `orca db backup` and `orca db restore-check` on a real Postgres: what is dumped comes back and is
//! proved, what does not is named, and nothing half-done is left behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Postgres, Run, World, wait_until};

const LONG: Duration = Duration::from_mins(1);

/// A shop: two roles, three schemas, policies, a sequence, a partition, odd values, a definer function.
const SHOP: &str = "
create role web login; create role \"Odd Name\" nologin; grant \"Odd Name\" to web;
create schema private;
create type mood as enum ('sad', 'it''s');
create table orders (id bigint generated always as identity primary key, owner uuid, total numeric(9,2),
  state varchar(20) check (state in ('open', 'paid')), at timestamptz default now(), feeling mood);
alter table orders enable row level security;
create policy own on orders for select to web using (owner::text = current_setting('app.user', true));
grant select, insert on orders to web;
create table private.odd (a float8, b bytea, c jsonb, d interval, e money, f regclass, g point, h text[]);
create table \"Some Table\" (\"A Key\" int primary key references orders deferrable);
create table events (id int, day date) partition by range (day);
create table events_1 partition of events for values from ('2026-01-01') to ('2027-01-01');
create unlogged table scratch (a int);
create view open_orders with (security_invoker = true) as select id, total from orders where state = 'open';
create materialized view totals as select state, sum(total) from orders group by state;
create function take(a int default 1) returns int language sql security definer set search_path = ''
  as 'select a';
revoke execute on function take from public;
create index on orders (owner) where state = 'open';
insert into orders (owner, total, state, feeling)
  select gen_random_uuid(), n, case when n % 2 = 0 then 'open' else 'paid' end, 'it''s'
  from generate_series(1, 1000) n;
insert into private.odd values (0.1 + 0.2, '\\x00ff', '{\"a\": [1, null]}', '1 mon -3 days', 12.3,
  'public.orders', '(1,2)', array['x', null, '\"']), (null, null, null, null, null, null, null, null);
insert into \"Some Table\" values (1), (2);
insert into events select n, date '2026-01-01' + n from generate_series(1, 50) n;
insert into scratch values (1);
select lo_from_bytea(0, 'large');
refresh materialized view totals;
alter default privileges in schema public grant select on tables to web;
";

fn shop() -> (World, Postgres) {
    let server = Postgres::start();
    server.run("postgres", "create database shop");
    server.run("shop", SHOP);
    (World::repository(), server)
}

fn orca(world: &World, server: &Postgres, args: &[&str]) -> Run {
    let mut command = world.command(args);
    command.env("ORCA_TARGET_URL", server.url("postgres", "shop"));
    Run::of(command)
}

fn backup(world: &World, server: &Postgres) -> Value {
    orca(world, server, &["db", "backup", "--json"]).expect_code(0).json()
}

/// A path that a document names.
fn path(world: &World, document: &Value, key: &str) -> PathBuf {
    world.folder().join(document[key].as_str().expect("a path"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there").flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn clusters() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/tmp").expect("it is everywhere").flatten();
    let paths = entries.map(|e| e.path());
    paths.filter(|p| p.to_string_lossy().contains("orca-shadow-")).collect()
}

/// Everything comes back, odd values, partitions and grants included, and the ledger knows of it.
#[test]
fn a_backup_proves_itself() {
    let (world, server) = shop();
    let taken = backup(&world, &server);
    assert_eq!(taken["schema"], "orca.db-backup/v1");
    assert_eq!(taken["ledger"], "recorded", "{taken:#}");
    assert_eq!((&taken["tables"], &taken["rows"]), (&json!(5), &json!(1055)), "{taken:#}");
    let file = taken["file"].as_str().expect("a file");
    let sum = Run::of({
        let mut sum = world.outside("sha256sum");
        sum.arg(file);
        sum
    });
    let digest =
        taken["sha256"].as_str().and_then(|d| d.strip_prefix("sha256:")).expect("a digest");
    assert!(sum.stdout.starts_with(digest), "{}", sum.stdout);
    assert_eq!(names(&world.folder().join(".orca/backups")).len(), 3);
    assert_eq!(world.git(&["status", "--porcelain"]), "", "a backup is nothing for git");

    let checked = world.orca(&["db", "restore-check", "--json"]).expect_code(0).json();
    assert_eq!(checked["verdict"], "pass", "{checked:#}");
    assert_eq!(checked["differences"], json!([]));
    assert_eq!(checked["errors"], json!([]));
    let tables = checked["tables"].as_array().expect("tables");
    assert!(tables.iter().all(|t| t["equal"] == true), "{tables:#?}");
    assert!(checked["rto_us"].as_u64().is_some_and(|us| us > 0));
    let log = world.orca(&["ledger", "log", "--json"]).expect_code(0).stdout;
    assert!(log.contains("backup shop-") && log.contains("came back as they were"), "{log}");

    let human = world.orca(&["db", "restore-check", file]).expect_code(0).stdout;
    assert!(human.starts_with("pass: 5 tables with 1055 rows came back"), "{human}");
    assert!(human.contains("RTO:") && human.contains("RPO:"), "{human}");
    // World time is before the snapshot's: an age is never below zero.
    let old = world.orca(&["db", "restore-check", "--rto-max", "1us"]).expect_code(1).stdout;
    assert!(old.contains("may take 1 us"), "{old}");
}

/// A manifest that says otherwise is what a loss looks like: each kind is named.
#[test]
fn a_loss_is_named() {
    let (world, server) = shop();
    let taken = backup(&world, &server);
    let path = &path(&world, &taken, "manifest");
    let good: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("it is there"))
        .expect("it is JSON");
    let check = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest["facts"]);
        std::fs::write(path, manifest.to_string()).expect("it can be written");
        world.orca(&["db", "restore-check", "--json"]).expect_code(1).json()
    };
    let rows = check(&|facts| facts["tables"][1]["checksum"] = "1".into());
    assert!(
        rows["headline"].as_str().is_some_and(|h| h.contains("came back otherwise")),
        "{rows:#}"
    );
    let gone = check(&|facts| {
        facts["tables"][0]["name"] = "public.gone".into();
    });
    assert!(
        gone["headline"].as_str().is_some_and(|h| h.contains("public.gone did not")),
        "{gone:#}"
    );
    let other = check(&|facts| {
        let policy = json!({"kind": "policy", "name": "public.orders.more", "definition": "r"});
        facts["catalog"].as_array_mut().expect("lines").push(policy);
        facts["sequences"][0]["last"] = 5000.into();
    });
    let kinds: Vec<&str> = other["differences"]
        .as_array()
        .expect("differences")
        .iter()
        .map(|d| d["kind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["policy", "sequence value"]);

    // A file that is not the one that was written, and no file at all.
    std::fs::write(path, good.to_string()).expect("it can be written");
    let dump = &world.folder().join(taken["file"].as_str().expect("a dump"));
    let mut bytes = std::fs::read(dump).expect("it is there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(dump, bytes).expect("it can be written");
    let damaged = world.orca(&["db", "restore-check"]).expect_code(1);
    assert!(damaged.stderr.contains("ORCA-2035"), "{}", damaged.stderr);
    let none = World::new().orca(&["db", "restore-check"]).expect_code(2);
    assert!(none.stderr.contains("orca db backup"), "{}", none.stderr);
}

/// Writers go on while the dump runs: dump and checksums are of one moment all the same.
#[test]
fn writers_do_not_tear_a_backup() {
    let (world, server) = shop();
    let write = "do $$ begin loop
        insert into orders (total, state) values (1, 'open'); commit; end loop; end $$";
    let mut writer = Command::new("psql");
    writer.args(["-XAtq", "-U", "postgres", "-d", "shop", "-c", write, "-h"]).arg(server.folder());
    let mut writer = writer.stderr(Stdio::null()).spawn().expect("psql runs");
    let written =
        || server.run("shop", "select count(*) from orders").parse::<u64>().expect("a number");
    wait_until("a row is written", LONG, || written() > 1000);
    let taken = backup(&world, &server);
    let before = taken["rows"].as_u64().expect("a number") - 55;
    wait_until("it still writes", LONG, || written() > before);
    server.run(
        "shop",
        "select pg_terminate_backend(pid) from pg_stat_activity
        where query like 'do $$%' and pid <> pg_backend_pid()",
    );
    writer.wait().expect("it ends");
    world.orca(&["db", "restore-check"]).expect_code(0);
}

#[test]
fn what_cannot_be_read_or_dumped_is_refused() {
    let (world, server) = shop();
    server.run("shop", "create role reader login password 'hunter22hunter22'");
    let mut command = world.command(&["db", "backup"]);
    command.env("ORCA_TARGET_URL", server.url("reader:hunter22hunter22", "shop"));
    let run = Run::of(command).expect_code(4);
    assert!(
        run.stderr.contains("ORCA-2031") && run.stderr.contains("may not read"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("hunter22"), "{}", run.stderr);

    let none = world.orca(&["db", "backup"]).expect_code(2);
    assert!(none.stderr.contains("ORCA-2030"), "{}", none.stderr);
    let gone = ["db", "backup", "--target-url", "postgres://a:hunter22hunter22@127.0.0.1:1/x"];
    let gone = world.orca(&gone).expect_code(4);
    assert!(
        gone.stderr.contains("ORCA-2031") && !gone.stderr.contains("hunter22"),
        "{}",
        gone.stderr
    );

    // An older pg_dump than the server, as far as its own words go.
    let old = world.write("old/pg_dump", "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&old, mode).expect("the owner may");
    let mut command = world.command(&["db", "backup"]);
    command.env("ORCA_TARGET_URL", server.url("postgres", "shop")).env("ORCA_PG_BIN", "old");
    let run = Run::of(command).expect_code(4);
    assert!(run.stderr.contains("ORCA-2032") && run.stderr.contains("9.6.1"), "{}", run.stderr);

    let dry = orca(&world, &server, &["db", "backup", "--dry-run"]).expect_code(0).stdout;
    assert!(dry.contains("would dump 5 tables of shop"), "{dry}");
    assert!(!world.folder().join(".orca/backups").exists());
    let out = orca(&world, &server, &["db", "backup", "--exclude-schema", "private", "--json"]);
    assert_eq!(out.expect_code(0).json()["rows"], 1053);
    world.orca(&["db", "restore-check"]).expect_code(0);
}

/// A password stands in no command line, and a server that dies leaves no file.
#[cfg(target_os = "linux")]
#[test]
fn a_dump_that_breaks_off_leaves_nothing() {
    let (world, server) = shop();
    // Whoever reads this table waits until the test lets go.
    let mut lock = Command::new("psql");
    lock.args(["-XAtq", "-U", "postgres", "-d", "shop", "-h"]).arg(server.folder());
    lock.args(["-c", "begin; lock table scratch in access exclusive mode; select pg_sleep(600)"]);
    let mut holder = lock.spawn().expect("psql runs");
    wait_until("the lock is held", LONG, || {
        server.run("shop", "select count(*) from pg_locks where mode = 'AccessExclusiveLock'")
            != "0"
    });
    server.run("shop", "create role taker superuser login password 'hunter22hunter22'");
    let start = || {
        let mut command = world.command(&["db", "backup"]);
        command.env("ORCA_TARGET_URL", server.url("taker:hunter22hunter22", "shop"));
        let running = crate::support::Running::start(command);
        wait_until("pg_dump waits", LONG, || dumps(running.id()).len() == 1);
        running
    };
    let folder = world.folder().join(".orca/backups");
    let running = start();
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", dumps(running.id())[0]));
    let line = line.expect("it runs");
    assert!(line.contains("--snapshot=") && !line.contains("hunter22"), "{line}");
    running.signal("INT");
    assert_eq!(running.end().code, Some(130));
    assert_eq!(names(&folder), [".gitignore"]);

    // A kill leaves the beginning of a file; the next run takes it away.
    let killed = start();
    let child = dumps(killed.id())[0];
    killed.signal("KILL");
    killed.end();
    assert_eq!(names(&folder).len(), 2, "{:?}", names(&folder));
    let running = start();
    assert_eq!(names(&folder).len(), 2, "{:?}", names(&folder));

    // The connection is lost in the middle.
    server.run(
        "shop",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'taker'",
    );
    let lost = running.end();
    assert_eq!(lost.code, Some(4), "{}", lost.stdout);
    assert!(lost.stdout.contains("ORCA-2033"), "{}", lost.stdout);
    assert_eq!(names(&folder), [".gitignore"]);
    let gone = || !Path::new(&format!("/proc/{child}/cmdline")).exists();
    wait_until("the orphan has ended", LONG, gone);
    let _ = holder.kill();
    let _ = holder.wait();
}

/// The `pg_dump` children of a process.
fn dumps(orca: u32) -> Vec<u32> {
    let listed =
        Command::new("ps").args(["-o", "pid=,args=", "--ppid", &orca.to_string()]).output();
    let listed = String::from_utf8_lossy(&listed.expect("ps is everywhere").stdout).into_owned();
    let lines = listed.lines().filter(|line| line.contains("--snapshot="));
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// A full disk is said, and nothing stands there under the final name.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing() {
    let (world, server) = shop();
    server.run("shop", "create table big as select md5(n::text) from generate_series(1, 100000) n");
    // A limit on the size of a file fails as a full disk does, and needs no rights.
    let orca = world.command(&[]).get_program().to_owned();
    let mut command = world.outside("sh");
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" db backup";
    command.args(["-c", script]).arg(orca).env("ORCA_TARGET_URL", server.url("postgres", "shop"));
    let run = Run::of(command).expect_code(4);
    assert!(run.stderr.contains("ORCA-2034"), "{}", run.stderr);
    assert_eq!(names(&world.folder().join(".orca/backups")), [".gitignore"]);
}

/// An extension that is not here makes the check Inconclusive by name, unless it is accepted.
#[test]
fn a_missing_extension_weakens_the_check() {
    let (world, server) = shop();
    let taken = backup(&world, &server);
    let path = &path(&world, &taken, "manifest");
    let text = std::fs::read_to_string(path).expect("it is there");
    let mut manifest: Value = serde_json::from_str(&text).expect("it is JSON");
    manifest["facts"]["extensions"] = json!([{"name": "pg_net", "schema": "extensions"}]);
    std::fs::write(path, manifest.to_string()).expect("it can be written");
    let weak = world.orca(&["db", "restore-check", "--json"]).expect_code(3).json();
    assert_eq!(weak["substitutes"], json!(["pg_net"]), "{weak:#}");
    let accepted = ["db", "restore-check", "--json", "--allow-substitute", "pg_net"];
    assert_eq!(world.orca(&accepted).expect_code(0).json()["verdict"], "waived");
}

/// However a check ends, its cluster goes: by itself, or with the next run.
#[cfg(target_os = "linux")]
#[test]
fn a_check_leaves_no_cluster() {
    let (world, server) = shop();
    // Restoring it sleeps: the definition of a table is run by pg_restore.
    server.run(
        "shop",
        "create function slow(a int) returns boolean language plpgsql immutable as
        $$ begin perform pg_sleep(60); return true; end $$;
        create table late (a int); insert into late values (1);
        alter table late add constraint late check (slow(a)) not valid",
    );
    backup(&world, &server);
    let find = |id: u32| {
        let mut found = None;
        wait_until("a cluster of this orca", LONG, || {
            let files = std::fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
            let mut links = files.filter_map(|f| std::fs::read_link(f.path()).ok());
            found = links.find(|p| p.to_string_lossy().contains("orca-shadow-"));
            found.as_ref().is_some_and(|lock| lock.with_file_name(".s.PGSQL.5432").exists())
        });
        found.and_then(|lock| lock.parent().map(Path::to_owned)).expect("it was waited for")
    };
    let running = world.spawn_orca(&["db", "restore-check"]);
    let cluster = find(running.id());
    running.signal("TERM");
    assert_eq!(running.end().code, Some(130));
    assert!(!cluster.exists(), "{:?}", clusters());
    let killed = world.spawn_orca(&["db", "restore-check"]);
    let cluster = find(killed.id());
    killed.signal("KILL");
    killed.end();
    assert!(cluster.exists());
    let next = world.spawn_orca(&["db", "restore-check"]);
    wait_until("the next run swept it", LONG, || !cluster.exists());
    next.signal("TERM");
    next.end();
}

fn pem(name: &str, bytes: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|l| str::from_utf8(l).expect("ASCII")).collect();
    format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"))
}

/// A server that takes passwords and TLS only: both orca and `pg_dump` get through, and `verify-full`
/// refuses a certificate that nobody vouches for.
#[test]
fn passwords_and_tls() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it listens").port().to_string();
    drop(listener);
    let settings =
        ["listen_addresses=127.0.0.1", &format!("port={port}"), "ssl=on"].map(str::to_owned);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Postgres::start_with(&settings, |folder| {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        for (name, text) in [
            ("server.crt", pem("CERTIFICATE", made.cert.der())),
            ("server.key", pem("PRIVATE KEY", &made.signing_key.serialize_der())),
            ("pg_hba.conf", "local all all trust\nhostssl all all all scram-sha-256\n".to_owned()),
        ] {
            let file = folder.join(name);
            std::fs::write(&file, text).expect("the folder is there");
            crate::support::postgres::give_to_server(&file);
        }
    });
    server.run("postgres", "create role app superuser login password 'hunter22%hunter22'");
    server.run("postgres", "create table a as select generate_series(1, 10) n");
    let world = World::new();
    let backup = |password: &str, options: &str| {
        let mut command = world.command(&["db", "backup"]);
        let url = format!("postgres://app:{password}@localhost:{port}/postgres?{options}");
        command.env("ORCA_TARGET_URL", url);
        Run::of(command)
    };
    for options in ["", "sslmode=require"] {
        backup("hunter22%25hunter22", options).expect_code(0);
    }
    let certificate = server.folder().join("data/server.crt");
    let trusting = format!("sslmode=verify-full&sslrootcert={}", certificate.display());
    backup("hunter22%25hunter22", &trusting).expect_code(0);
    let wrong = backup("hunter22", "sslmode=require").expect_code(4);
    assert!(
        wrong.stderr.contains("28P01") && !wrong.stderr.contains("hunter22"),
        "{}",
        wrong.stderr
    );
    for options in ["sslmode=verify-full", "sslmode=disable"] {
        let refused = backup("hunter22%25hunter22", options).expect_code(4);
        assert!(refused.stderr.contains("ORCA-2031"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("hunter22"), "{}", refused.stderr);
    }
    world.orca(&["db", "restore-check"]).expect_code(0);
}
