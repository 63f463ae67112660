//! A canary token stands in every place where a secret can stand: environment, configuration, URLs,
//! commit and tag messages, reasons, arguments, what platforms and git answer. It must come out
//! nowhere: not in what any verb prints in any format, at the most verbose, not in the files for
//! GitHub, not in a git object that orca wrote, not in a pack. Every verb of `docs/cli.md` is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::fleet::{self, text};
use crate::support::{Fault, FaultServer, Fleet, Run, Running, World, keeping_up, quiet};

/// Part of every canary, so that one search finds them all.
const CANARY: &str = "c4nary";

/// What orca derives from the router's token for its own requests at the front door.
const TESTERS: &str = "ffac4771df3e0a8bb9b4786378a8728da2579f46";

/// Variables whose values are secrets, by their names or by their form.
const VARIABLES: [(&str, &str); 8] = [
    ("SHOP_API_TOKEN", "c4nary-by-token-name"),
    ("STRIPE_SECRET", "c4nary/by+secret name\"quoted"),
    ("DB_PASSWORD", "c4nary-by-password-name"),
    ("CI_DEPLOY_PAT", "c4nary-by-pat-name"),
    ("DATABASE_URL", "postgres://app:c4nary%21by-url@127.0.0.1:1/shop"),
    ("SLACK_WEBHOOK_URL", "https://hooks.slack.example/services/c4nary/webhook"),
    (
        "DEPLOY_PRIVATE_KEY",
        "-----BEGIN X-----\nc4naryLine1AAAAAAAA\nc4naryLine2BBBBBBBB\n-----END X-----",
    ),
    ("GITHUB_TOKEN", "ghs_c4nary0123456789abcdefghijklmnop"),
];

/// What a text looks like that holds a secret nobody told orca about.
const SHAPES: [&str; 7] = [
    "ghp_c4nary0123456789abcdefghijklmnop",
    "postgres://app:c4nary-in-url@db.example/shop",
    "password=c4nary-named",
    "Authorization: Bearer c4nary-bearer-1",
    "AKIAc4naryAAAAAAAAAA",
    "sk_live_c4nary0123456789abcd",
    "eyJhbGciOiJIUzI1NiJ9.c4naryAAAAAAAA.c2lnbmF0dXJl",
];

/// Where orca writes for GitHub.
const FOR_GITHUB: [&str; 2] = ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"];

fn poisoned(world: &World, mut command: Command) -> Command {
    command.envs(VARIABLES).env("ORCA_DEBUG", "1").env("RUNNER_DEBUG", "1");
    command.env("GITHUB_ACTIONS", "true");
    for name in FOR_GITHUB {
        command.env(name, github_file(world, name));
    }
    command
}

fn github_file(world: &World, name: &str) -> PathBuf {
    world.folder().join("..").join(name)
}

#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lower = text.to_lowercase();
    let leaks = [CANARY, "YzRuYXJ5", "M0bmFye", "jNG5hcn", "the-token-of-this-router", TESTERS];
    for leak in leaks {
        let found = if leak == CANARY { lower.find(leak) } else { text.find(leak) };
        if let Some(at) = found {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            let to = text.floor_char_boundary(at + 100);
            panic!("{what} shows a secret:\n...{}...", text.get(from..to).unwrap_or(&text));
        }
    }
}

#[track_caller]
fn clean(what: &str, run: Run) -> Run {
    assert_clean(&format!("{what} (stdout)"), run.stdout.as_bytes());
    assert_clean(&format!("{what} (stderr)"), run.stderr.as_bytes());
    run
}

fn assert_github_files_clean(world: &World) {
    for name in FOR_GITHUB {
        assert_clean(name, &std::fs::read(github_file(world, name)).unwrap_or_default());
    }
}

/// Every object that orca wrote: the ledger with its leases, and the tags it made.
fn assert_objects_clean(world: &World) {
    let refs = world.git(&["for-each-ref", "--format=%(refname)", "refs/orca"]);
    assert!(refs.contains("refs/orca/ledger"), "{refs}");
    let objects = world.git(&["rev-list", "--objects", "--no-object-names", "--glob=refs/orca/*"]);
    let tags = world.git(&["for-each-ref", "--format=%(objectname)", "refs/tags/*-rc.*"]);
    assert!(!tags.is_empty(), "a candidate was tagged");
    for object in objects.lines().chain(tags.lines()) {
        let bytes = world.git(&["cat-file", "-p", object]);
        assert_clean(&format!("git object {object}"), bytes.as_bytes());
    }
}

/// Every file below `folder`, and every file inside a pack.
fn assert_files_clean(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_files_clean(&path);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert_clean(&path.display().to_string(), &bytes);
        if path.extension().is_some_and(|end| end == "zip") {
            let inside = Command::new("unzip").arg("-p").arg(&path).output();
            let inside = inside.expect("unzip is everywhere").stdout;
            assert!(!inside.is_empty(), "{} cannot be unpacked", path.display());
            assert_clean(&format!("inside {}", path.display()), &inside);
        }
    }
}

/// The commands of the reference that have none below them.
fn every_verb() -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let page = std::fs::read_to_string(page).expect("the reference is there");
    let titles: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("## orca ")).collect();
    let is_group = |title: &str| titles.iter().any(|t| t.starts_with(&format!("{title} ")));
    let leaves = titles.iter().filter(|title| !is_group(title));
    leaves.map(|title| title.split(' ').map(str::to_owned).collect()).collect()
}

/// A repository whose configuration, remote, history and tags hold canaries.
fn poisoned_repository(platform: &FaultServer) -> World {
    let world = World::repository();
    for shape in SHAPES {
        world.commit(&format!("fix(keys): rotate {shape}\n\nIt was {shape} before."));
    }
    world.git(&["tag", "-a", "-m", SHAPES[0], "v1.0.1-rc.1"]);
    world.git(&["remote", "add", "origin", "http://bot:c4nary-remote@127.0.0.1:1/shop.git"]);
    let admin = platform.url().replace("http://", "http://ops:c4nary-config@");
    let config = format!(
        "version: 1\nservice: {{name: shop, environment: production}}\nplatform:\n  kind: router\n  \
         admin: {admin}\n  url: {admin}\n  token_env: ODDLY_NAMED\n"
    );
    world.write("orca.yaml", &config);
    world.write("slo/slo_manifest.yaml", &format!("version: 1\n# {}\n", SHAPES[0]));
    world.write(
        "synthetics/shop.http",
        "GET {{url}}/x?token=c4nary-query\nAuthorization: Bearer c4nary-bearer-1\n\n?? body == ok\n\
         ?? jsonpath $.error == ok\n?? jsonpath $.token == ok\n",
    );
    world.write(
        "bad.yaml",
        &format!("version: 1\npassword: c4nary-config-value\n{}: 1\n", SHAPES[2]),
    );
    world
}

/// Every verb, wrong and right, with canaries as arguments, in every format.
#[test]
fn no_verb_shows_a_secret() {
    let body = format!("{{\"error\": \"{}\", \"token\": \"c4nary-body\"}}", SHAPES[1]);
    let platform = FaultServer::start(vec![Fault::Answer(500, body)]);
    let world = poisoned_repository(&platform);
    let url = format!("{}/x?token=c4nary-query", platform.url());
    let target = url.replace("http://", "http://user:c4nary-url@");
    let tails: Vec<Vec<&str>> = vec![
        vec![],
        vec![SHAPES[0]],
        vec!["--reason", SHAPES[1]],
        vec!["--rc"],
        vec!["--rc", SHAPES[0]],
        vec!["--target", &target],
        vec!["--deployment-url", &target, "--rc", "v1.0.1-rc.1"],
        vec!["--to", &target, "--reason", SHAPES[3]],
        vec!["--tag", SHAPES[5]],
        vec!["--config", "bad.yaml"],
        vec!["--config", SHAPES[0]],
    ];
    let mut ran = 0;
    for verb in every_verb() {
        for tail in &tails {
            for json in [&[][..], &["--json"]] {
                let args: Vec<&str> = verb
                    .iter()
                    .map(String::as_str)
                    .chain(tail.iter().copied())
                    .chain(json.iter().copied())
                    .collect();
                let mut command = poisoned(&world, world.outside("timeout"));
                command.args(["--signal=INT", "--kill-after=5", "3", env!("CARGO_BIN_EXE_orca")]);
                command.args(&args).env("ODDLY_NAMED", "c4nary-oddly-named");
                clean(&args.join(" "), Run::of(command));
                ran += 1;
            }
        }
    }
    assert!(ran > 400, "{ran} runs");
    assert_github_files_clean(&world);
    assert_files_clean(&world.folder().join(".orca"));
    let ledger = world.git(&["for-each-ref", "--format=%(refname)", "refs/orca"]);
    for name in ledger.lines() {
        let objects = world.git(&["rev-list", "--objects", "--no-object-names", name]);
        for object in objects.lines() {
            assert_clean(object, world.git(&["cat-file", "-p", object]).as_bytes());
        }
    }
}

/// A release from tag to pack and back, with everything that people and platforms say poisoned.
#[test]
fn no_secret_stays_in_ledger_or_pack() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&[fleet::ALL]);
    for shape in SHAPES {
        fleet.world.commit(&format!("fix(keys): rotate {shape}\n\nIt was {shape} before."));
    }
    fleet.world.write(
        "evidence/manifest.json",
        &include_str!("../../evidence/manifest.json")
            .replace("\"title\": \"", &format!("\"title\": \"{} ", SHAPES[0])),
    );
    fleet.world.commit("docs: what we must prove");
    fleet.push();
    let run = |fleet: &Fleet, args: &[&str]| {
        let mut command = poisoned(&fleet.world, fleet.command(args));
        command.env("ORCA_ACTOR", SHAPES[0]);
        clean(&args.join(" "), Run::of(command))
    };
    let tagged = run(&fleet, &["release", "tag", "--rc", "--json"]).expect_code(0).json();
    let (release, commit) = (text(&tagged, "release"), text(&tagged, "commit"));
    run(&fleet, &["preflight"]);
    let url = fleet.service(&commit);
    // Whether the machine kept up, and what is refused without it, does not matter here: whatever
    // each verb does and says, no secret is in it.
    keeping_up(|| run(&fleet, &["load", "--rc", &release, "--target", &url]));
    let command = poisoned(&fleet.world, fleet.command(&["load", "--json", "--manifest"]));
    let mut command = command;
    command.args(["slo/slo_manifest.yaml", "--profile", "users", "--target", &fleet.front]);
    let _users = Running::start(command);
    let start = ["canary", "start", "--deployment-url", &url, "--rc", &release];
    run(&fleet, &start);
    run(&fleet, &["release", "status"]).expect_code(0);
    run(&fleet, &["release", "notes"]);
    run(&fleet, &["promote", "--rc", &release]);
    let pack =
        run(&fleet, &["evidence", "generate", "--tag", &release, "--out", "../pack", "--json"]);
    let pack = text(&pack.expect_code(0).json(), "pack");
    run(&fleet, &["evidence", "verify", &pack]).expect_code(3);
    run(&fleet, &["evidence", "show", &pack]).expect_code(0);
    run(&fleet, &["evidence", "rejudge", &pack]).expect_code(0);
    for shape in SHAPES {
        run(&fleet, &["rollback", "--reason", &format!("{shape} leaked, {}", VARIABLES[2].1)]);
    }
    assert_github_files_clean(&fleet.world);
    assert_objects_clean(&fleet.world);
    assert_files_clean(&fleet.world.folder().join("../pack"));
    assert_files_clean(&fleet.world.folder().join(".orca"));
    assert_files_clean(&fleet.world.folder().join("../state"));
    assert_clean(
        "the changelog",
        fleet.world.git(&["show", &format!("{release}:CHANGELOG.md")]).as_bytes(),
    );
}
