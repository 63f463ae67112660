//! `orca db lint` through the binary: its document, its exit codes, waivers, SARIF, annotations and
//! bad input.

use serde_json::Value;

use crate::support::World;

fn rules(document: &Value) -> Vec<&str> {
    let findings = document["findings"].as_array().expect("findings are a list");
    findings.iter().map(|f| f["rule"].as_str().expect("a rule has a name")).collect()
}

#[test]
fn the_document_has_every_place() {
    let world = World::new();
    world
        .write("m/20260101000000_a.sql", "\u{feff}select 'ü';\r\n  select 'ü', 1; truncate a;\r\n");
    let run = world.orca(&["db", "lint", "--json", "m/20260101000000_a.sql"]).expect_code(1);
    let json = run.json();
    assert_eq!(json["schema"], "orca.db-lint/v1");
    let finding = &json["findings"][0];
    assert_eq!(finding["rule"], "truncate");
    assert_eq!(finding["file"], "m/20260101000000_a.sql");
    assert_eq!((&finding["line"], &finding["column"]), (&2.into(), &18.into()));
    assert_eq!(finding["byte_range"], serde_json::json!([35, 45]));
    assert_eq!(finding["level"], "error");
    assert!(finding["help"].as_str().expect("help is text").contains("orca explain truncate"));
}

#[test]
fn errors_close_and_warnings_do_not() {
    let world = World::new();
    world.write("warn.sql", "create table if not exists t (id int);\n");
    world.write("fail.sql", "drop table a;\n");
    world.write("fine.sql", "select 1;\n");
    assert_eq!(world.orca(&["db", "lint", "fine.sql"]).expect_code(0).stderr, "");
    let warned = world.orca(&["db", "lint", "warn.sql"]).expect_code(0);
    assert!(warned.stdout.starts_with("pass: 0 errors"), "{}", warned.stdout);
    let failed = world.orca(&["db", "lint", "fail.sql", "warn.sql"]).expect_code(1);
    assert!(failed.stdout.contains("fail.sql:1:1: error[ban-drop-table]"), "{}", failed.stdout);
    let page = world.orca(&["explain", "ban-drop-table"]).expect_code(0).stdout;
    assert!(page.contains("Instead"), "{page}");
}

#[test]
fn waivers_are_counted_and_unused_ones_reported() {
    let world = World::new();
    world.write(
        "a.sql",
        "-- orca: allow truncate until 2026-02-01: a cache, filled again every night\ntruncate a;\n\
         -- orca: allow drop-owned until 2026-02-01: none is here\nselect 1;\n\
         -- squawk-ignore ban-drop-table\ndrop table if exists b;\n",
    );
    let json = world.orca(&["db", "lint", "--json", "a.sql"]).expect_code(0).json();
    let waived: Vec<_> = json["waived"].as_array().expect("a list").iter().collect();
    assert_eq!(waived.len(), 2, "{json}");
    assert_eq!(waived[0]["until"], "2026-02-01");
    assert_eq!(waived[1]["reason"], "squawk-ignore");
    assert!(rules(&json).contains(&"waiver-unused"), "{json}");
    assert!(!rules(&json).contains(&"truncate"), "{json}");
}

#[test]
fn github_and_sarif_show_the_place() {
    let world = World::new();
    world.write("m/a.sql", "select 1;\n\ntruncate a;\n");
    let mut command = world.command(&["db", "lint", "m/a.sql", "--sarif", "out.sarif"]);
    command.env("GITHUB_ACTIONS", "true");
    let run = crate::support::Run::of(command).expect_code(1);
    assert!(run.stdout.contains("::error file=m/a.sql,line=3,title=truncate::"), "{}", run.stdout);
    let text = std::fs::read_to_string(world.folder().join("out.sarif")).expect("it was written");
    let sarif: Value = serde_json::from_str(&text).expect("SARIF is JSON");
    assert_eq!(sarif["version"], "2.1.0");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "truncate");
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&3.into(), &1.into()));
}

/// Files that no server takes get an error with the place in the real file.
#[test]
fn bad_input_has_a_place() {
    let world = World::new();
    let deep = format!("select {}1{};\n", "(".repeat(100_000), ")".repeat(100_000));
    let signs = format!("select {}1;\n", "- ".repeat(50_000));
    for (text, line, column) in [
        (&b"select 1;\r\ncreate tabel t (id int);\r\n"[..], 2, 1),
        (b"select 1;\nselect '\xff';\n", 2, 9),
        (b"select 1;\nsel\0ect 2;\n", 2, 4),
        (b"select 1;\nselect 'open;\n", 2, 8),
        (b"select 1;\ncreate function f() returns int as $$ select 1;\n", 2, 36),
        (b"/* open", 1, 1),
        (deep.as_bytes(), 1, 407),
    ] {
        let path = world.folder().join("bad.sql");
        std::fs::write(&path, text).expect("the world takes files");
        let json = world.orca(&["db", "lint", "--json", "bad.sql"]).expect_code(1).json();
        let found = &json["findings"][0];
        assert_eq!(found["rule"], "syntax-error", "{json}");
        assert_eq!((&found["line"], &found["column"]), (&line.into(), &column.into()), "{json}");
    }
    world.write("signs.sql", &signs);
    let json = world.orca(&["db", "lint", "--json", "signs.sql"]).expect_code(1).json();
    assert_eq!(rules(&json), ["syntax-error"]);
}

#[test]
fn a_dump_of_psql_is_read_past_its_commands() {
    let world = World::new();
    let text =
        "\\restrict x\ncopy public.a (b) from stdin;\n1;'\\\n\\.\n\ntruncate a;\n\\unrestrict x\n";
    world.write("dump.sql", text);
    let json = world.orca(&["db", "lint", "--json", "dump.sql"]).expect_code(1).json();
    let found: Vec<&str> =
        rules(&json).into_iter().filter(|rule| !rule.starts_with("require")).collect();
    assert_eq!(found, ["psql-command", "copy-from-stdin", "truncate", "psql-command"], "{json}");
    assert_eq!(json["findings"][2]["line"], 6);
}

#[test]
fn what_cannot_be_read_is_a_usage_error() {
    let world = World::new();
    std::fs::create_dir(world.folder().join("empty")).expect("a new folder");
    for (name, said) in [("none.sql", "does not exist"), ("empty", "holds no .sql file")] {
        let run = world.orca(&["db", "lint", name]).expect_code(2);
        assert!(run.stderr.contains("ORCA-2001") && run.stderr.contains(said), "{}", run.stderr);
    }
    let file = std::fs::File::create(world.folder().join("big.sql")).expect("a new file");
    file.set_len(65 * 1024 * 1024).expect("a sparse file");
    let run = world.orca(&["db", "lint", "big.sql"]).expect_code(2);
    assert!(run.stderr.contains("64 MiB"), "{}", run.stderr);
}

/// With `--base` what the commit has is old: a release is what came after it.
#[test]
fn base_tells_old_from_new() {
    let world = World::repository();
    world.write("m/20260101000000_a.sql", "alter table a add column b text;\n");
    world.write("m/20260301000000_c.sql", "select 1;\n");
    world.commit("feat: add b");
    world.write("m/20260201000000_b.sql", "alter table a drop column if exists c;\n");
    let json = world.orca(&["db", "lint", "--json", "--base", "HEAD", "m"]).expect_code(1).json();
    assert_eq!(json["files"], 1);
    let found = rules(&json);
    assert!(found.contains(&"out-of-order-version"), "{json}");
    assert!(!found.contains(&"contract-with-expand"), "{json}");
    let all = world.orca(&["db", "lint", "--json", "m"]).expect_code(1).json();
    assert!(rules(&all).contains(&"contract-with-expand"), "{all}");
    world.orca(&["db", "lint", "--base", "no-such-ref", "m"]).expect_code(4);
}
