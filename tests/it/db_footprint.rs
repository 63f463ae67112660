//! What statements hold up, measured on a real Postgres: locks, rewrites, whole reads, and the time
//! they take on as many rows as the table is said to have.

use serde_json::Value;

use crate::support::World;

const ORDERS: &str = "create table public.orders (id bigint generated always as identity primary key,\n\
      customer int not null, note text, state text not null default 'open');\n\
    alter table public.orders enable row level security;\n";

/// One new file after one old file; answers what `orca db shadow` says.
fn after(change: &str, more: &[&str], code: i32) -> Value {
    let world = World::new();
    world.git(&["init", "--quiet"]);
    world.write("supabase/migrations/1_orders.sql", ORDERS);
    world.commit("feat: orders");
    world.write("supabase/migrations/2_change.sql", change);
    let args = [&["db", "shadow", "--json", "--base", "HEAD"][..], more].concat();
    world.orca(&args).expect_code(code).json()
}

fn footprints(json: &Value) -> Vec<(&str, bool, bool, &str)> {
    let all = json["footprints"].as_array().expect("a list").iter();
    let text = |value: &'_ Value| -> String { value.as_str().expect("text").to_owned() };
    all.map(|f| {
        assert_eq!(text(&f["relation"]), "public.orders");
        let flag = |name: &str| f[name].as_bool().expect("a flag");
        (
            f["lock"].as_str().expect("text"),
            flag("rewrites"),
            flag("scans"),
            f["waits"].as_str().expect("text"),
        )
    })
    .collect()
}

fn ids(json: &Value) -> Vec<&str> {
    let findings = json["findings"].as_array().expect("a list").iter();
    let ids = findings.map(|f| f["id"].as_str().expect("an id"));
    ids.filter(|id| id.starts_with("lock.") || id.starts_with("rows.")).collect()
}

#[test]
fn each_statement_says_who_waits_and_what_it_reads_or_writes() {
    let all = "readers and writers wait";
    let writers = "writers wait, readers go on";
    let nobody = "readers and writers go on, other schema changes wait";
    for (change, expected, finding) in [
        (
            "alter table public.orders alter column customer type bigint;\n",
            &[("access-exclusive", true, true, all)][..],
            &["lock.rewrite"][..],
        ),
        (
            "alter table public.orders add column x int default 5;\n",
            &[("access-exclusive", false, false, all)],
            &[],
        ),
        (
            "create index on public.orders (customer);\n",
            &[("share", false, true, writers)],
            &["lock.scan"],
        ),
        (
            "alter table public.orders add constraint c check (customer > 0);\n",
            &[("access-exclusive", false, true, all)],
            &["lock.scan"],
        ),
        (
            "alter table public.orders add constraint c check (customer > 0) not valid;\n",
            &[("access-exclusive", false, false, all)],
            &[],
        ),
        ("analyze public.orders;\n", &[("share-update-exclusive", false, false, nobody)], &[]),
        ("truncate public.orders;\n", &[("access-exclusive", false, false, all)], &[]),
        // What this release makes is nobody's yet.
        (
            "create table public.lines (id int primary key);\n\
             alter table public.lines enable row level security;\ncreate index on public.lines (id);\n",
            &[],
            &[],
        ),
        ("insert into public.orders (customer) values (1);\n", &[], &[]),
    ] {
        let json = after(change, &[], 0);
        assert_eq!(footprints(&json), expected, "{change}: {json:#}");
        assert_eq!(ids(&json), finding, "{change}: {json:#}");
    }
}

/// The first statement takes the lock, and it is held until the last one has ended.
#[test]
fn a_lock_is_held_to_the_end_of_its_transaction() {
    let json = after(
        "alter table public.orders add column x int;\nselect pg_sleep(0.2);\n\
         alter table public.orders add column y int;\n",
        &[],
        0,
    );
    assert_eq!(footprints(&json).len(), 1, "{json:#}");
    let held = &json["footprints"][0];
    assert!(held["held_us"].as_u64() >= Some(200_000), "{held}");
    assert!(held["took_us"].as_u64() < held["held_us"].as_u64(), "{held}");
}

#[test]
fn rows_make_an_estimate_and_go_again() {
    let change = "alter table public.orders alter column customer type bigint;\n\
        do $$ begin if (select count(*) from public.orders) <> 3000 then raise 'rows'; end if; end $$;\n";
    let args = ["--rows", "orders=3000", "--lock-max", "10m"];
    let json = after(change, &args, 0);
    let held = &json["footprints"][0];
    assert_eq!((&held["rows"], &held["rows_expected"]), (&3000.into(), &3000.into()), "{held}");
    assert_eq!(held["estimate_us"], held["took_us"]);
    assert_eq!(ids(&json), [] as [&str; 0], "short is no finding");

    let tight = ["--rows", "public.orders=3_000", "--lock-max", "1us"];
    let json = after(change, &tight, 1);
    assert_eq!(
        ids(&json),
        ["lock.rewrite", "lock.scan"],
        "and then counts them under the same lock"
    );
    let message = json["findings"][0]["message"].as_str().expect("text");
    assert!(message.contains("while readers and writers wait; about"), "{message}");

    // Rows that were filled in may not fit what the real ones keep: then nothing is measured.
    let unfit = "alter table public.orders add constraint few check (customer < 5);\n";
    let json = after(unfit, &args, 0);
    assert_eq!(ids(&json), ["lock.scan", "rows.unfit"], "{json:#}");
    let json = after(change.lines().next().expect("a line"), &["--rows", "no_such=5"], 0);
    assert!(ids(&json).contains(&"rows.unfit"), "{json:#}");
    let world = World::new();
    world.orca(&["db", "shadow", "--rows", "orders"]).expect_code(2);
}
