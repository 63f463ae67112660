//! `orca load` as a process, against the sample service as another: what scripts read of it, and
//! what each kind of bad luck does to its exit code.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Run, Running, World, keeping_up, quiet};

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
