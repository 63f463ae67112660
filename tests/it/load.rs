//! `orca load` as a process, against the sample service as another: what scripts read of it, and
//! what each kind of bad luck does to its exit code.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::fleet::ALL;
use crate::support::{Fleet, Run, Running, World, keeping_up, quiet, wait_until};

fn service(world: &World, more: &[&str]) -> (Running, String) {
    let service = world.spawn_orca(&[&["sample-service"], more].concat());
    let line = service.line_with("orca.sample-service/v1");
    let document: serde_json::Value = serde_json::from_str(&line).expect("one JSON line");
    (service, document["url"].as_str().expect("a url").to_owned())
}

fn load<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let short = ["load", "--json", "--target", target, "--duration", "300ms", "--rate", "100/s"];
    [&short, more].concat()
}

fn manifest(objective: &str, hosts: &str) -> String {
    format!(
        "version: 1\ndefaults: {{objectives: [{objective}], min_samples: 10}}\n\
         endpoints: [{{name: home, path: /, weight: 2}}, {{name: trust, path: /api/trust}}]\n\
         profiles: {{baseline: {{rate: 100/s, duration: 600ms, connections: 4}}}}\n\
         environments: [{{name: live, production: true, hosts: [{hosts}]}}]\n"
    )
}

#[test]
fn the_result_carries_what_the_contract_names() {
    let world = World::new();
    let (_service, url) = service(&world, &[]);
    let run =
        world.orca(&load(&url, &["--connections", "4", "--header", "x-a: b", "--out", "r.json"]));
    let result = run.expect_code(0).json();
    assert_eq!(result["schema"], "orca.load/v1");
    assert_eq!(result["verdict"], "not_applicable");
    for (name, value) in [("requests", 30), ("errors", 0), ("dropped", 0), ("rate_per_s", 100)] {
        assert_eq!(result[name], value, "{name}");
    }
    assert!(result["errors_by_kind"].as_object().unwrap().is_empty());
    for point in ["p50", "p90", "p95", "p99", "p999", "max", "mean"] {
        assert!(result["latency_us"][point].is_u64(), "{point}");
    }
    assert_eq!(result["endpoints"][0]["name"], "GET /");
    assert!(result["cpu_us"].is_u64());
    let kept = std::fs::read_to_string(world.folder().join("r.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&kept).unwrap(), result);
}

#[test]
fn the_closed_loop_needs_no_rate() {
    let world = World::new();
    let (_service, url) = service(&world, &["--base-ms", "1"]);
    let args = ["load", "--json", "--target", &url, "--closed", "--duration", "200ms"];
    let result = world.orca(&args).expect_code(0).json();
    assert_eq!(result["model"], "closed");
    assert!(result["asked_milli_per_s"].is_null());
    assert!(result["requests"].as_u64().unwrap() > 0);
}

/// The same judge as the gate: the objectives of the manifest decide the exit code.
#[test]
fn the_manifest_decides() {
    let _quiet = quiet();
    let world = World::new();
    let (_service, url) = service(&world, &["--errors", "100%", "--errors-at", "GET /"]);
    for (objective, code, verdict) in [("errors <= 100%", 0, "pass"), ("errors < 1%", 1, "fail")] {
        world.write("m.yaml", &manifest(objective, "www.example.com"));
        let args = ["load", "--json", "--manifest", "m.yaml", "--target", &url];
        let result = keeping_up(|| world.orca(&args)).expect_code(code).json();
        assert_eq!(result["verdict"], verdict);
        assert_eq!(result["requests"], 60);
        assert_eq!(result["judgement"]["decided_by"], "load.slo v1");
    }
    let human = keeping_up(|| world.orca(&["load", "--manifest", "m.yaml", "--target", &url]));
    let human = human.expect_code(1);
    assert!(human.stdout.starts_with("fail: "), "{}", human.stdout);
    assert!(human.stdout.contains("home: errors < 1%"), "{}", human.stdout);
}

/// The service answers its first request and by then the run is under way.
#[test]
fn ctrl_c_keeps_what_was_measured() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let args = ["load", "--json", "--target", &url, "--duration", "1h"];
    let mut command = world.command(&args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let _request = listener.accept().unwrap();
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let result = Run::from(child.wait_with_output().unwrap()).expect_code(3).json();
    assert_eq!((&result["partial"], &result["verdict"]), (&true.into(), &"inconclusive".into()));
    assert_eq!(result["judgement"]["cause"], "cancelled");
}

#[test]
fn what_cannot_or_may_not_run_is_said_before_anything_is_sent() {
    let world = World::new();
    world.write("m.yaml", &manifest("errors < 1%", "127.0.0.1"));
    world.write("slo/slo_manifest.yaml", &manifest("errors < 1%", "shop.example"));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{closed}");
    let of =
        |more: &[&'static str]| more.iter().map(|arg| (*arg).to_owned()).collect::<Vec<String>>();
    for (mut args, code, says) in [
        (of(&["--manifest", "m.yaml"]), 2, "ORCA-1402"),
        (of(&["--manifest", "m.yaml", "--profile", "soak"]), 2, "ORCA-1401"),
        (of(&["--target", "http://shop.example"]), 2, "ORCA-1402"),
        (of(&["--rate", "0/s"]), 2, "ORCA-1401"),
        (of(&["--rate", "100"]), 2, "ORCA-1001"),
        (of(&["--duration", "20"]), 2, "ORCA-1001"),
        (of(&["--header", "nonsense"]), 2, "ORCA-1001"),
        (of(&["--shard", "9/8", "--out", "s.json"]), 2, "ORCA-1001"),
        (of(&["--shard", "1/8"]), 2, "ORCA-1001"),
        (of(&["--start-at", "2020-01-01T00:00:00Z"]), 2, "ORCA-1401"),
        (of(&["--rate", "10000000/s"]), 2, "ORCA-1401"),
        (of(&["--duration", "8d"]), 2, "ORCA-1401"),
        (of(&["--body-file", "none.txt"]), 2, "ORCA-1005"),
        (of(&["--data", "none.csv"]), 2, "ORCA-1002"),
        (of(&["--body", "{{env.NOT_SET}}"]), 2, "ORCA-1401"),
        (of(&["--expect-status", "2xx"]), 2, "ORCA-1001"),
        (of(&["--expect-json", "a=1"]), 2, "ORCA-1001"),
        (of(&["--duration", "200ms"]), 4, "ORCA-1403"),
    ] {
        if !args.contains(&"--target".to_owned()) {
            args.extend(["--target".to_owned(), dead.clone()]);
        }
        let args: Vec<&str> =
            std::iter::once("load").chain(args.iter().map(String::as_str)).collect();
        let run = world.orca(&args).expect_code(code);
        assert!(run.stderr.contains(says), "{args:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{args:?}");
    }
}

/// When each request arrived and when it was answered, as the target saw it.
type Seen = Arc<Mutex<Vec<(Instant, Instant)>>>;

/// A target that answers at once, except that whoever arrives within `stall`, counted from the
/// first request, waits for its end.
fn stalling_target(stall: Range<Duration>) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    let seen: Seen = Arc::default();
    let (all, first) = (Arc::clone(&seen), Arc::new(Mutex::new(None)));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (all, first, stall) = (Arc::clone(&all), Arc::clone(&first), stall.clone());
            std::thread::spawn(move || answer(stream.expect("a connection"), &all, &first, &stall));
        }
    });
    (address, seen)
}

fn answer(
    mut stream: TcpStream,
    seen: &Seen,
    first: &Mutex<Option<Instant>>,
    stall: &Range<Duration>,
) {
    let mut request = [0; 1_024];
    while stream.read(&mut request).is_ok_and(|count| count > 0) {
        let arrived = Instant::now();
        let start = *first.lock().expect("nobody panics").get_or_insert(arrived);
        if stall.contains(&(arrived - start)) {
            std::thread::sleep((start + stall.end).saturating_duration_since(Instant::now()));
        }
        seen.lock().expect("nobody panics").push((arrived, Instant::now()));
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// Request `k` was due `k` periods after the first, so the target itself knows how long each user
/// would have waited. Whatever the machine did meanwhile is in both accounts.
fn waited_us(seen: &Seen, period: Duration) -> Vec<u128> {
    let mut seen = seen.lock().expect("nobody panics").clone();
    seen.sort_unstable();
    let due = |k: usize| period * u32::try_from(k).expect("few requests");
    let starts =
        seen.iter().enumerate().filter_map(|(k, (arrived, _))| arrived.checked_sub(due(k)));
    let start = starts.min().expect("requests came");
    let mut waited: Vec<u128> = seen
        .iter()
        .enumerate()
        .map(|(k, (_, answered))| answered.duration_since(start + due(k)).as_micros())
        .collect();
    waited.sort_unstable();
    waited
}

/// A target that stands still for one of four seconds: a generator that waits for answers before
/// it asks again would hide it below the 99th percentile. Truth is what the target measured.
#[test]
fn a_stall_is_charged_to_everyone_who_had_to_wait() {
    let _quiet = quiet();
    let (address, seen) = stalling_target(Duration::from_secs(1)..Duration::from_secs(2));
    let target = format!("http://{address}");
    let args = ["--rate", "200/s", "--duration", "4s", "--connections", "16"];
    let world = World::new();
    let run = world.orca(&[&["load", "--json", "--target", &target], &args[..]].concat());
    let result = run.expect_code(0).json();
    assert_eq!((&result["requests"], &result["dropped"]), (&800.into(), &0.into()));
    let waited = waited_us(&seen, Duration::from_millis(5));
    assert_eq!(waited.len(), 800);
    for (name, rank) in [("p50", 400), ("p90", 720), ("p95", 760), ("p99", 792), ("p999", 800)] {
        let truth = waited[rank - 1];
        let said = u128::from(result["latency_us"][name].as_u64().unwrap());
        // 2 %, and 25 ms for the way back on a busy machine.
        assert!(said.abs_diff(truth) <= truth / 50 + 25_000, "{name}: {said} us, truth {truth} us");
    }
    assert!(waited[759] > 500_000, "the stall reaches the 95th percentile");
    assert!(result["service_time_us"]["p95"].as_u64() < result["latency_us"]["p95"].as_u64());
}

/// Sends both halves of one run from a process each, beginning together.
fn send_halves(world: &World, url: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let start = now.expect("a clock after 1970").as_secs() + 3;
    let start_at = format!("@{start}");
    let halves: Vec<_> = (1..=2)
        .map(|index| {
            let (shard, out) = (format!("{index}/2"), format!("s{index}.json"));
            let args = ["load", "--json", "--manifest", "m.yaml", "--target", url];
            let more = ["--shard", &shard, "--out", &out, "--start-at", &start_at];
            let mut command = world.command(&[&args[..], &more[..]].concat());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("orca starts")
        })
        .collect();
    let each = halves.into_iter().map(|half| {
        let output = half.wait_with_output().expect("orca ends");
        let result = Run::from(output).expect_code(0).json();
        assert_eq!(result["verdict"], "not_applicable");
        assert_eq!(result["started_us"], start * 1_000_000);
        result["requests"].as_u64().expect("a number")
    });
    assert_eq!(each.sum::<u64>(), 60);
}

/// Two processes send the halves of one run; what they wrote is joined, judged once, and refused
/// where it is not the whole of one run.
#[test]
fn shards_of_one_run_are_merged_exactly_and_judged_once() {
    let _quiet = quiet();
    let world = World::new();
    let (_service, url) = service(&world, &[]);
    world.write("m.yaml", &manifest("errors < 50%", "www.example.com"));
    let merged = keeping_up(|| {
        send_halves(&world, &url);
        world.orca(&["load", "merge", "--json", "s2.json", "s1.json"])
    });
    let merged = merged.expect_code(0).json();
    assert_eq!((&merged["requests"], &merged["verdict"]), (&60.into(), &"pass".into()));
    assert_eq!((&merged["merged_shards"], &merged["rate_per_s"]), (&2.into(), &100.into()));
    let endpoints = merged["endpoints"].as_array().unwrap();
    let each: Vec<_> = endpoints.iter().map(|e| e["requests"].as_u64().unwrap()).collect();
    assert_eq!(each, [40, 20]);
    world.write("old.json", "{\"schema\": \"orca.load/v0\"}");
    for (files, says) in [
        (["s1.json", "s1.json"], "both shard 1/2"),
        (["s1.json", "old.json"], "old.json"),
        (["s1.json", "none.json"], "none.json"),
    ] {
        let run = world.orca(&["load", "merge", files[0], files[1]]).expect_code(2);
        assert!(run.stderr.contains("ORCA-1712") && run.stderr.contains(says), "{}", run.stderr);
    }
    let run = world.orca(&["load", "merge", "s2.json"]).expect_code(2);
    assert!(run.stderr.contains("shards 1 of 2 are missing"), "{}", run.stderr);
}

/// A part that was stopped is still a part: the whole that it belongs to decides nothing.
#[test]
fn a_stopped_shard_keeps_its_place() {
    let world = World::new();
    let (_service, url) = service(&world, &[]);
    let args = ["load", "--target", &url, "--duration", "1h"];
    for out in ["1", "2"] {
        let (shard, file) = (format!("{out}/2"), format!("s{out}.json"));
        let more = ["--shard", &shard, "--out", &file, "--stream", "began.jsonl"];
        let load = world.spawn_orca(&[&args[..], &more[..]].concat());
        wait_until("its first second", Duration::from_secs(30), || {
            let lines = std::fs::read_to_string(world.folder().join("began.jsonl"));
            lines.is_ok_and(|lines| !lines.is_empty())
        });
        load.signal("INT");
        load.end().expect_code(3);
        std::fs::remove_file(world.folder().join("began.jsonl")).unwrap();
    }
    // They began one after the other, which is the next thing to be wrong with them.
    let merged = world.orca(&["load", "merge", "s1.json", "s2.json"]).expect_code(2);
    assert!(merged.stderr.contains("after the first shard"), "{}", merged.stderr);
    let start = "@4000000000";
    let far = world.orca(&[&args[..], &["--start-at", start]].concat()).expect_code(2);
    assert!(far.stderr.contains("more than a day ahead"), "{}", far.stderr);
}

/// Every answer fails, so nothing that is still to come could save the run.
#[test]
fn a_run_that_nothing_can_save_ends_early() {
    let _quiet = quiet();
    let world = World::new();
    let (_service, url) = service(&world, &["--errors", "100%"]);
    let of = |secs: &str| manifest("errors < 1%", "www.example.com").replace("600ms", secs);
    world.write("m.yaml", &of("10s"));
    let args = ["load", "--json", "--manifest", "m.yaml", "--target", &url];
    let result = keeping_up(|| world.orca(&args)).expect_code(1).json();
    let early = result["stopped_early"].as_str().unwrap();
    assert!(early.contains(" nothing could save: "), "{early}");
    assert!(result["requests"].as_u64().unwrap() < 1_000);
    world.write("m.yaml", &of("1100ms"));
    let all = [&args[..], &["--keep-going"]].concat();
    let full = keeping_up(|| world.orca(&all)).expect_code(1).json();
    assert_eq!((&full["requests"], &full["partial"]), (&110.into(), &false.into()));
}

#[test]
fn a_result_is_written_in_the_formats_of_others() {
    let world = World::new();
    let (_service, url) = service(&world, &["--errors", "100%", "--errors-at", "GET /"]);
    world.write("m.yaml", &manifest("errors < 1%", "www.example.com"));
    let files =
        ["--report", "r.html", "--csv", "r.csv", "--junit", "r.xml", "--prometheus", "r.prom"];
    let args = ["load", "--manifest", "m.yaml", "--target", &url, "--stream", "r.jsonl"];
    let all = [&args[..], &files[..]].concat();
    keeping_up(|| world.orca(&all)).expect_code(1);
    for (file, holds) in [
        ("r.html", "<h1>fail: "),
        ("r.csv", "second,requests,errors,p50_us,p95_us\n0,60,40,"),
        ("r.xml", "name=\"home: errors &lt; 1%\"><failure "),
        ("r.prom", "orca_load_errors{endpoint=\"home\",kind=\"status_5xx\"} 40\n"),
        ("r.jsonl", "\"schema\":\"orca.load-second/v1\""),
    ] {
        let text = std::fs::read_to_string(world.folder().join(file)).unwrap();
        assert!(text.contains(holds), "{file}: {text}");
    }
}

#[test]
fn capacity_is_the_place_where_an_objective_breaks() {
    let _quiet = quiet();
    let world = World::new();
    let (_service, url) = service(&world, &[]);
    world.write("m.yaml", &manifest("errors < 50%", "www.example.com"));
    let common = ["load", "capacity", "--json", "--manifest", "m.yaml", "--target", &url];
    let short = ["--from", "60/s", "--to", "120/s", "--hold", "600ms", "--peak", "840/s"];
    let args = [&common[..], &short[..]].concat();
    let found = keeping_up(|| world.orca(&args)).expect_code(0).json();
    assert_eq!(found["schema"], "orca.load-capacity/v1");
    assert_eq!(
        (&found["holds_milli_per_s"], &found["breaks_milli_per_s"]),
        (&120_000.into(), &serde_json::Value::Null)
    );
    assert_eq!(found["curve"].as_array().unwrap().len(), 3);
    assert!(found["advice"][1].as_str().unwrap().contains("needs 10 instances"), "{found}");
    world.write("m.yaml", &manifest("p95 < 1us", "www.example.com"));
    let none = keeping_up(|| world.orca(&args)).expect_code(1).json();
    assert_eq!(none["holds_milli_per_s"], serde_json::Value::Null);
    // No rate could keep it that is lower than what it asks for.
    world.write("m.yaml", &manifest("throughput > 1000/s", "www.example.com"));
    world.orca(&args).expect_code(2);
}

/// What stands still is this machine, not the target: nobody is blamed, and nothing is compared.
#[test]
fn a_generator_that_was_stopped_does_not_blame_the_target() {
    let _quiet = quiet();
    let world = World::new();
    let (_service, url) = service(&world, &[]);
    let slow = manifest("p95 < 200ms", "www.example.com").replace("600ms", "2s");
    world.write("m.yaml", &slow);
    let args = ["load", "--manifest", "m.yaml", "--target", &url, "--out", "stopped.json"];
    let load = world.spawn_orca(&args);
    std::thread::sleep(Duration::from_millis(900));
    load.signal("STOP");
    std::thread::sleep(Duration::from_millis(600));
    load.signal("CONT");
    let run = load.end();
    run.expect_code(3);
    let kept = std::fs::read_to_string(world.folder().join("stopped.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(result["judgement"]["cause"], "generator_too_slow", "{kept}");
    let judged = world.orca(&["canary", "judge", "stopped.json", "stopped.json", "--json"]);
    assert_eq!(judged.expect_code(3).json()["judgement"]["cause"], "generator_too_slow");
    // Every connection waits for the target and none for its turn: it shows all the same.
    let closed = ["--closed", "--duration", "2s", "--connections", "1", "--out", "closed.json"];
    let load = world.spawn_orca(&[&["load", "--target", &url], &closed[..]].concat());
    std::thread::sleep(Duration::from_millis(900));
    load.signal("STOP");
    std::thread::sleep(Duration::from_millis(600));
    load.signal("CONT");
    load.end().expect_code(0);
    let judged = world.orca(&["canary", "judge", "closed.json", "closed.json", "--json"]);
    assert_eq!(judged.expect_code(3).json()["judgement"]["cause"], "generator_too_slow");
    // Without a target these would belong to nothing.
    for more in [["--manifest", "m.yaml"], ["--header", "a: b"], ["--out", "x.json"]] {
        world.orca(&[&["load"], &more[..]].concat()).expect_code(2);
        world.orca(&[&["load", "--rc", "v1.0.0-rc.1"], &more[..]].concat()).expect_code(2);
    }
    world.orca(&["load", "--rc", "v1.0.0-rc.1", "--connections", "3"]).expect_code(2);
}

/// A pass that was earned elsewhere would open the gate for something nobody loaded.
#[test]
fn the_gate_loads_no_other_version_than_the_candidate() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&[ALL]);
    let candidate = fleet.candidate();
    let load = ["load", "--rc", &candidate.release, "--target", &fleet.base];
    let run = fleet.orca(&load).expect_code(1);
    assert!(run.stderr.contains("runs commit"), "{}", run.stderr);
    assert!(run.stderr.contains("ORCA-1404"), "{}", run.stderr);
}

/// A file of an older orca has none of the newer fields.
#[test]
fn an_older_result_is_still_read() {
    let world = World::new();
    let (_service, url) = service(&world, &[]);
    let result = world.orca(&load(&url, &[])).expect_code(0).json();
    let mut old = result.as_object().unwrap().clone();
    for newer in ["redirects", "phases", "stopped_early", "started_us", "shard", "merged_shards"] {
        old.remove(newer);
    }
    world.write("old.json", &serde_json::to_string(&old).unwrap());
    let run = world.orca(&["load", "merge", "old.json"]).expect_code(2);
    assert!(run.stderr.contains("result of a whole run"), "{}", run.stderr);
}
