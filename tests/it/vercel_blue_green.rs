//! Blue/green on Vercel, through the binary and against the fake: built, judged without users,
//! switched, read back, and every way in which nobody is sent anywhere.

use std::time::Duration;

use crate::support::vercel::{BYPASS, Behaviour, Fault, Kind, Shop};
use crate::support::{Run, keeping_up, traffic, wait_until};

const DEADLINE: Duration = Duration::from_mins(1);
const BUILD: &str = "POST /v13/deployments";
const DEPLOY: [&str; 3] = ["deploy", "blue-green", "--json"];

fn promote_of(id: &str) -> String {
    format!("POST /v10/projects/prj_shop/promote/{id}")
}

fn count(shop: &Shop, text: &str) -> usize {
    shop.vercel.changes().iter().filter(|line| line.contains(text)).count()
}

/// Nobody was sent anywhere.
fn untouched(shop: &Shop, run: &Run) {
    assert_eq!(shop.production(), shop.base.id, "{}{}", run.stdout, run.stderr);
    assert_eq!(count(shop, "/promote/"), 0, "{}{}", run.stdout, run.stderr);
}

fn refused(shop: &Shop, run: &Run, exit: i32, said: &[&str]) {
    assert_eq!(run.code, Some(exit), "{}{}", run.stdout, run.stderr);
    for text in said {
        let all = format!("{}{}", run.stdout, run.stderr);
        assert!(all.contains(text), "no '{text}' in {all}");
    }
    untouched(shop, run);
}

fn criterion<'a>(document: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let rows = document["criteria"].as_array().expect("criteria");
    rows.iter().find(|row| row["criterion"] == name).expect("one of the seven")
}

#[test]
fn a_good_standby_gets_everybody_and_the_version_before_stays_the_way_back() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    let (release, commit) = shop.tagged();
    shop.vercel.change(|project| {
        project.build_ms = 1_200;
        project.is_protected = true;
    });
    let tests = "### trust\n# @critical\nGET /api/trust\n\n?? jsonpath $.ok == true\n\
                 ### buy\n# @capture id = jsonpath $.id\nPOST /buy\n### bought\nGET /{{id}}\n\
                 ### find\n# @safe\nPOST /find\n";
    shop.world.write("synthetics/shop.http", tests);
    let dry = shop.orca(&["deploy", "blue-green", "--dry-run"]).expect_code(0);
    assert_eq!(shop.vercel.asked(), [], "a dry run asks nothing");
    for text in [BUILD, "/promote/ID", "drain", "/rollback/PREVIOUS", "seven criteria"] {
        assert!(dry.stdout.contains(text), "no '{text}' in {}", dry.stdout);
    }
    let asked = ["--dry-run", "--rebuild", "--force", "--reason", "it is slow"];
    let dry = shop.orca(&[&DEPLOY[..2], &asked].concat()).expect_code(0);
    let next = format!("blue-green --ref {release} --reason 'it is slow' --rebuild --force");
    assert!(dry.stdout.contains(&next), "no '{next}' in {}", dry.stdout);
    let mut told = String::new();
    let run = keeping_up(|| {
        let mut command = shop.command(&[&DEPLOY[..], &["--ref", &commit[..12]]].concat());
        command.env("VERCEL_AUTOMATION_BYPASS_SECRET", BYPASS);
        let run = Run::of(command);
        told.push_str(&run.stderr);
        run
    });
    let run = run.expect_code(0);
    let said = run.json();
    let id = said["deployment"].as_str().expect("a deployment").to_owned();
    assert_eq!(shop.production(), id);
    assert_eq!(shop.vercel.changes(), [BUILD.to_owned(), promote_of(&id)], "each once");
    assert_eq!(said["criteria"].as_array().map(Vec::len), Some(7), "{said}");
    for row in said["criteria"].as_array().expect("criteria") {
        assert_eq!(row["verdict"], "pass", "{row}");
    }
    // Behind its door: one endpoint of the manifest and two tests that change nothing.
    assert_eq!(criterion(&said, "smoke")["why"], "3 of 3 smoke tests passed", "{told}");
    assert!(told.contains("smoke: 2 tests change something"), "{told}");
    assert_eq!((&said["traffic"], &said["switched"]), (&"verified".into(), &true.into()));
    assert_eq!(said["previous"], shop.base.id.as_str());
    assert!(said["drained_us"].as_u64().is_some_and(|us| us >= 100_000), "{said}");
    assert!(told.contains("BUILDING"), "the build is told: {told}");
    assert!(!format!("{told}{}", run.stdout).contains(BYPASS));
    // Once more: it is so already.
    let again = shop.orca(&DEPLOY).expect_code(0).json();
    assert_eq!((&again["switched"], &again["traffic"]), (&true.into(), &"verified".into()));
    shop.orca(&["promote", "--rc", &release]).expect_code(0);
    assert_eq!(shop.vercel.changes().len(), 2, "the tag alone was left to make");
    let back = shop.orca(&["rollback", "--reason", "checkout is down"]).expect_code(0);
    assert_eq!(shop.production(), shop.base.id, "{}", back.stdout);
    assert!(back.stdout.contains("smoke tests: 1 of 1 passed"), "{}", back.stdout);
    assert_eq!(count(&shop, &format!("/rollback/{}", shop.base.id)), 1);
    let condemned = shop.orca(&DEPLOY);
    assert_eq!(condemned.code, Some(1), "{}", condemned.stderr);
    assert!(condemned.stdout.contains("was rolled back"), "{}", condemned.stdout);
}

#[test]
fn a_standby_that_fails_gets_nobody_unless_somebody_answers_for_it() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    let (_, commit) = shop.tagged();
    let behave = |one_in| Behaviour { fails_one_in: one_in, ..Behaviour::default() };
    shop.vercel.change(|project| project.builds_behave = behave(5));
    let mut run = keeping_up(|| shop.orca(&DEPLOY));
    wait_until("a load that is enough for the criteria", DEADLINE, || {
        let decides = criterion(&run.json(), "errors")["verdict"] != "inconclusive";
        if !decides {
            run = keeping_up(|| shop.orca(&DEPLOY));
        }
        decides
    });
    refused(&shop, &run, 1, &[]);
    let said = run.json();
    assert_eq!(said["verdict"], "fail", "{said}");
    assert_eq!(criterion(&said, "errors")["verdict"], "fail", "{said}");
    assert_eq!(criterion(&said, "smoke")["verdict"], "pass", "{said}");
    let force = [&DEPLOY[..], &["--force", "--reason", "the vendor is slow today"]].concat();
    let as_ci = || {
        let mut command = shop.command(&force);
        command.env("ORCA_ROLE", "ci");
        Run::of(command)
    };
    let asked = shop.vercel.asked().len();
    refused(&shop, &as_ci(), 1, &["ORCA-1210"]);
    assert_eq!(shop.vercel.asked().len(), asked, "refused before anything is asked or built");
    // Where its one request in five that fails is the smoke test's, no load says anything.
    let mut forced = shop.orca(&force);
    wait_until("its smoke test to pass", DEADLINE, || {
        if forced.code == Some(3) {
            forced = shop.orca(&force);
        }
        forced.code != Some(3)
    });
    let forced = forced.expect_code(0).json();
    assert_eq!(forced["verdict"], "waived", "{forced}");
    let waived = forced["waivers"].as_array().expect("waivers");
    assert!(waived.iter().any(|waiver| waiver["finding"] == "errors:all"), "{forced}");
    assert!(waived.iter().all(|waiver| waiver["reason"] == "the vendor is slow today"));
    assert_eq!(shop.production(), forced["deployment"].as_str().expect("a deployment"));
    assert_eq!(count(&shop, "/v13/deployments"), 1, "the same standby all along");
    let only = format!("\"only\":{{\"commit\":\"{commit}\",\"environment\":\"production\"}}");
    assert!(shared(&shop).contains(&only), "it tolerates nothing of another commit");
}

#[test]
fn what_cannot_be_known_is_no_pass_and_nobody_forces_it() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    shop.tagged();
    shop.vercel.change(|project| project.is_protected = true);
    let run = shop.orca(&DEPLOY);
    refused(&shop, &run, 3, &["VERCEL_AUTOMATION_BYPASS_SECRET"]);
    let said = run.json();
    assert_eq!(criterion(&said, "health")["verdict"], "inconclusive", "{said}");
    assert_eq!(criterion(&said, "traffic")["verdict"], "inconclusive", "{said}");
    let force = [&DEPLOY[..], &["--force", "--reason", "it will do"]].concat();
    refused(&shop, &shop.orca(&force), 3, &[]);
    // Not healthy at all: nothing is loaded, and nothing is tolerated.
    shop.vercel.change(|project| {
        project.is_protected = false;
        for deployment in &mut project.deployments {
            deployment.behaviour.fails_one_in = u64::from(!deployment.has_served);
        }
    });
    let run = shop.orca(&force);
    refused(&shop, &run, 1, &["it is not healthy, so no load was sent"]);
    assert_eq!(criterion(&run.json(), "health")["verdict"], "fail");
}

#[test]
fn builds_that_do_not_end_well_are_told_and_nobody_is_moved() {
    let shop = Shop::start(&["100%"]);
    shop.tagged();
    shop.vercel.change(|project| project.builds_fail = true);
    refused(&shop, &shop.orca(&DEPLOY), 1, &["ORCA-1880", "BUILD_FAILED"]);
    shop.vercel.change(|project| {
        project.builds_fail = false;
        project.build_ms = 600_000;
    });
    // It is deleted in the dashboard meanwhile.
    let running = shop.spawn(&DEPLOY);
    running.line_with("QUEUED");
    shop.vercel.change(|project| project.deployments.retain(|d| d.ready_ms < d.created_ms + 9));
    refused(&shop, &running.end(), 4, &["ORCA-1882"]);
    // A signal: what this run began ends with it.
    let running = shop.spawn(&DEPLOY);
    running.line_with("QUEUED");
    running.signal("INT");
    let run = running.end();
    refused(&shop, &run, 130, &["ORCA-1801", "goes on with the same standby"]);
    assert_eq!(count(&shop, "/cancel"), 1, "{}", run.stderr);
    // Too long.
    let config = std::fs::read_to_string(shop.world.folder().join("orca.yaml")).expect("a file");
    shop.world.write("orca.yaml", &config.replace("drain: 100ms", "build_within: 1s"));
    refused(&shop, &shop.orca(&DEPLOY), 4, &["ORCA-1881", "after 1 s"]);
    assert_eq!(count(&shop, "/cancel"), 2);
    assert_eq!(count(&shop, "/v13/deployments"), 4, "each run began its own");
}

#[test]
fn refusals_of_the_api_are_told_before_anybody_is_moved() {
    let shop = Shop::start(&["100%"]);
    let (release, _) = shop.tagged();
    let strikes = |kind: Kind| {
        shop.vercel.no_faults();
        shop.vercel.fault(Fault { calls: "POST", with: "/v13/", times: 1, kind });
        shop.orca(&DEPLOY)
    };
    let quota = strikes(Kind::Refuse(402, "api-deployments-free-per-day"));
    refused(&shop, &quota, 1, &["ORCA-1811", "api-deployments-free-per-day"]);
    refused(&shop, &strikes(Kind::Refuse(403, "forbidden")), 4, &["ORCA-1810"]);
    let days = Kind::Limited { retry_after: None, reset_secs: 3 * 86_400 };
    refused(&shop, &strikes(days), 4, &["the rate limit is used up until 20"]);
    shop.vercel.no_faults();
    shop.vercel.change(|project| project.is_linked = false);
    refused(&shop, &shop.orca(&DEPLOY), 4, &["ORCA-1884", "canary start"]);
    let unknown = shop.orca(&["deploy", "blue-green", "--ref", "v9.9.9-rc.1"]);
    refused(&shop, &unknown, 2, &["v9.9.9-rc.1", "ORCA-1106"]);
    assert_eq!(count(&shop, "/v13/deployments"), 3, "each was sent once");
    // A preflight that nobody ran stops it before anything is built.
    shop.world.commit("fix(cart): count thrice");
    shop.push();
    let tagged = shop.orca(&["release", "tag", "--rc", "--json"]).expect_code(0).json();
    assert_ne!(tagged["release"], release.as_str());
    refused(&shop, &shop.orca(&DEPLOY), 3, &["phase preflight", "orca preflight"]);
    assert_eq!(count(&shop, "/v13/deployments"), 3);
}

/// A build whose answer is lost is looked for, never asked for twice; a project with rolling releases
/// on is switched whole.
#[test]
fn lost_answers_and_rolling_releases_still_end_in_one_switch() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    shop.tagged();
    shop.vercel.change(|project| project.rolling.template = Some(vec![10, 100]));
    for with in ["/v13/deployments", "/promote/"] {
        shop.vercel.fault(Fault { calls: "POST", with, times: 1, kind: Kind::LoseAnswer });
    }
    let said = keeping_up(|| shop.orca(&DEPLOY)).expect_code(0).json();
    let id = said["deployment"].as_str().expect("a deployment").to_owned();
    assert_eq!((shop.production(), shop.percent()), (id.clone(), 0));
    let complete = "POST /v1/projects/prj_shop/rolling-release/complete".to_owned();
    assert_eq!(shop.vercel.changes(), [BUILD.to_owned(), promote_of(&id), complete]);
    shop.orca(&["rollback", "--reason", "checkout is down"]).expect_code(0);
    assert_eq!(shop.production(), shop.base.id);
}

/// A person promotes something else while the standby is judged: that is not overwritten.
#[test]
fn what_a_person_does_meanwhile_is_not_overwritten() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    shop.tagged();
    let mut persons = String::new();
    let run = keeping_up(|| {
        persons = shop.vercel.deploy(&"c".repeat(40)).id;
        let running = shop.spawn(&DEPLOY);
        running.line_with("load.slo: looking");
        shop.vercel.change(|project| project.promote(&persons)).expect("nothing is under way");
        wait_until("the person's choice serves", DEADLINE, || shop.production() == persons);
        running.end()
    });
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("nothing is overwritten"), "{}", run.stdout);
    assert_eq!(count(&shop, "/promote/"), 0);
    assert_eq!(shop.production(), persons);
}

/// The ledger as the remote has it: what another clone reads.
fn shared(shop: &Shop) -> String {
    let log = ["--git-dir", "../origin.git", "log", "-p", "--format=%B", "refs/orca/ledger"];
    shop.world.git(&log)
}

/// A run, interrupted when an entry of this kind reaches the remote.
fn interrupted_at(shop: &Shop, kind: &str) -> Run {
    let folder = shop.world.folder().join("..");
    let hook = folder.join("origin.git/hooks/pre-receive");
    let script = format!(
        "#!/bin/sh\nwhile read -r old new name; do\n  git cat-file -p \"$new:entry.json\" 2>/dev/null | \
         grep -q '\"kind\":\"{kind}\"' || continue\n  kill -INT \"$(cat ../pid)\"\n  sleep 1\ndone\n"
    );
    std::fs::write(&hook, script).expect("a new file");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, executable).expect("it is ours");
    let run = keeping_up(|| {
        let running = shop.spawn(&DEPLOY);
        std::fs::write(folder.join("pid"), running.id().to_string()).expect("a new file");
        running.end()
    });
    std::fs::remove_file(&hook).expect("it is ours");
    run
}

/// A signal is heard until the one call, whatever was judged and cleared by then; and what happened
/// is on the remote before anybody else may take the lease, and before the drain.
#[test]
fn a_signal_before_the_call_moves_nobody_and_others_read_what_happened() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    shop.tagged();
    let run = interrupted_at(&shop, "promote_intended");
    refused(&shop, &run, 130, &["ORCA-1801", "before anybody was sent"]);
    let told = shared(&shop);
    for text in ["stopped before the call", "\"kind\":\"rollout_ended\""] {
        assert!(told.contains(text), "no '{text}' in {told}");
    }
    let config = std::fs::read_to_string(shop.world.folder().join("orca.yaml")).expect("a file");
    shop.world.write("orca.yaml", &config.replace("drain: 100ms", "drain: 5m"));
    let run = keeping_up(|| {
        let running = shop.spawn(&DEPLOY);
        if running.line_or_end("drain: open requests").is_ok() {
            assert!(shared(&shop).contains("\"kind\":\"promoted\""), "shared before the drain");
            running.signal("INT");
        }
        running.end()
    });
    assert_eq!(run.code, Some(0), "{}", run.stdout);
    let said = run.stdout.replace(' ', "");
    assert!(said.contains("\"traffic\":\"verified\""), "{}", run.stdout);
}

/// One domain moved and another did not: that is no success, and a second run does not call it one.
#[test]
fn a_switch_that_moves_some_domains_only_is_no_arrival() {
    let _quiet = traffic();
    let shop = Shop::start(&["100%"]);
    shop.tagged();
    shop.vercel.change(|project| (project.moving_fails, project.moves_partly) = (true, true));
    for _ in 0..2 {
        let run = keeping_up(|| shop.orca(&DEPLOY));
        assert_eq!(run.code, Some(7), "{}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains("Vercel could not move"), "{}", run.stdout);
        assert_ne!(shop.production(), shop.base.id);
    }
    assert_eq!(count(&shop, "/promote/"), 1, "it is not asked for again");
}

/// Killed after each step and run again, it ends where an undisturbed run ends.
#[test]
fn story_k_blue_green() {
    let _quiet = traffic();
    for (built, point) in [
        (false, "StepAfterIntent:1"),
        (false, "StepAfterApply:1"),
        (true, "StepAfterIntent:1"),
        (true, "StepAfterApply:1"),
    ] {
        let shop = Shop::start(&["100%"]);
        shop.tagged();
        let killed_at = |point: &str| {
            let killed = keeping_up(|| {
                let mut command = shop.command(&DEPLOY);
                command.env("ORCA_TEST_CRASH", point);
                Run::of(command)
            });
            assert_eq!(killed.code, None, "{point} was not met: {}", killed.stderr);
        };
        if built {
            killed_at("StepAfterOutcome:1");
        }
        killed_at(point);
        if built && point == "StepAfterApply:1" {
            wait_until("the domain moves", DEADLINE, || shop.production() != shop.base.id);
        } else {
            assert_eq!(shop.production(), shop.base.id, "{point}");
        }
        if built {
            shop.lease_ends();
        }
        let said = keeping_up(|| shop.orca(&DEPLOY)).expect_code(0).json();
        assert_eq!(shop.production(), said["deployment"].as_str().expect("one"), "{point}");
        assert_eq!(said["previous"], shop.base.id.as_str(), "{point}: {said}");
        assert_eq!(count(&shop, "/v13/deployments"), 1, "{point}");
        assert_eq!(count(&shop, "/promote/"), 1, "{point}");
        let status = shop.orca(&["release", "status", "--json"]).expect_code(0).json();
        assert_eq!(status["unattended"].as_array().map(Vec::len), Some(0), "{point}: {status}");
        shop.orca(&["rollback", "--reason", "checkout is down"]).expect_code(0);
        assert_eq!(shop.production(), shop.base.id, "{point}");
    }
}

/// A platform that starts no builds says so, and what to do instead.
#[test]
fn a_platform_that_builds_nothing_is_told_before_anything_happens() {
    let shop = Shop::start(&["100%"]);
    shop.tagged();
    let exec = "kind: exec\n  url: http://127.0.0.1:9\n  exec: {command: [./none.sh]}\n";
    shop.world.write("orca.yaml", &format!("version: 1\nplatform:\n  {exec}"));
    for args in [&["deploy", "blue-green"][..], &["deploy", "blue-green", "--dry-run"]] {
        refused(&shop, &shop.orca(args), 4, &["ORCA-1884", "orca canary start"]);
    }
}
