//! Smoke tests through the binary, against a real service on loopback: what each test says of an
//! answer, what is refused before anything is sent, and that no secret comes out.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::fleet::ALL;
use crate::support::{Fleet, Run, World, traffic};

/// A request as the service got it.
#[derive(Debug, Clone)]
struct Got {
    /// `GET /path`.
    line: String,
    headers: String,
    body: String,
}

/// Status, a header line, body.
type Answer = (u16, &'static str, String);

/// A service that keeps what it was asked.
struct Service {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Service {
    /// `answer` is told the request and how often this line came before.
    fn start(answer: fn(&Got, usize) -> Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let got = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&got);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(&stream, answer, &log);
            }
        });
        Self { url, got }
    }

    fn lines(&self) -> Vec<String> {
        self.got.lock().expect("nobody panics with it").iter().map(|got| got.line.clone()).collect()
    }
}

/// One request a connection.
fn serve(
    stream: &TcpStream,
    answer: fn(&Got, usize) -> Answer,
    log: &Mutex<Vec<Got>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers) = (String::new(), String::new());
    reader.read_line(&mut line)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let lower = header.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        headers.push_str(&header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let words: Vec<&str> = line.split_whitespace().take(2).collect();
    let body = String::from_utf8_lossy(&body).into_owned();
    let got = Got { line: words.join(" "), headers, body };
    let before = {
        let mut log = log.lock().expect("nobody panics with it");
        let before = log.iter().filter(|earlier| earlier.line == got.line).count();
        log.push(got.clone());
        before
    };
    let (status, header, body) = answer(&got, before);
    let length = body.len();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

const JSON: &str = "content-type: application/json";

fn shop(got: &Got, before: usize) -> Answer {
    let has = |text: &str| got.headers.to_ascii_lowercase().contains(text);
    match got.line.as_str() {
        "GET /health" => (200, JSON, r#"{"ok": true, "items": [1, 2]}"#.to_owned()),
        "POST /login" if got.body.contains("hunter2") => {
            (201, JSON, r#"{"token": "t0ken-that-is-long-and-secret"}"#.to_owned())
        }
        "GET /me" if has("authorization: bearer t0ken-that-is-long-and-secret") => {
            (200, JSON, r#"{"name": "ada", "token": "t0ken-that-is-long-and-secret"}"#.to_owned())
        }
        "GET /warm" if before == 0 => (503, JSON, String::new()),
        "GET /warm" => (200, JSON, String::new()),
        "GET /old" => (302, "location: /health", String::new()),
        _ => (404, JSON, "none".to_owned()),
    }
}

const SHOP: &str = "\
@api = {{url}}

### health
# @critical
# @category API
GET {{api}}/health

?? status == 200
?? header content-type includes json
?? jsonpath $.ok == true
?? jsonpath $.items count == 2
?? duration < 60000

### login
# @capture token = jsonpath $.token
POST {{api}}/login
Content-Type: application/json

{\"password\": \"{{password}}\"}

?? status == 201

### who am I
GET {{api}}
    /me
Authorization: Bearer {{token}}

?? jsonpath $.name == ada

### warm
# @retry 2 1ms
GET /warm

### old
# @follow
GET /old
";

fn with_shop() -> (World, Service) {
    let world = World::new();
    world.write("synthetics/shop.http", SHOP);
    world.write("synthetics/http-client.private.env.json", r#"{"dev": {"password": "hunter2"}}"#);
    (world, Service::start(shop))
}

fn smoke(world: &World, service: &Service, args: &[&str]) -> Run {
    world.orca(&[&["smoke", "--target", &service.url], args].concat())
}

#[test]
fn every_file_of_the_folder_is_asked_once_in_order() {
    let (world, service) = with_shop();
    world.write("synthetics/uptime.http", "GET {{url}}/health\n");
    world.write("synthetics/README.md", "not a test");
    let run = smoke(&world, &service, &["--env", "dev"]).expect_code(0);
    assert!(run.stdout.starts_with("6 of 6 passed, 1 flaky, in "), "{}", run.stdout);
    assert!(run.stdout.contains("flaky: warm (synthetics/shop.http:32)\n  status is 503"));
    assert!(run.stderr.contains("ok    health (critical), "), "{}", run.stderr);
    let flaky = run.stderr.lines().find(|line| line.starts_with("flaky warm, ")).unwrap();
    assert!(flaky.ends_with(": 1. status is 503; asked: 2xx; 2. passed"), "{flaky}");
    let asked = [
        "GET /health",
        "POST /login",
        "GET /me",
        "GET /warm",
        "GET /warm",
        "GET /old",
        "GET /health",
        "GET /health",
    ];
    assert_eq!(service.lines(), asked);
    let strict = smoke(&world, &service, &["--env", "dev", "--strict"]).expect_code(0);
    assert!(strict.stdout.starts_with("6 of 6 passed, in "), "it is warm by now");
}

#[test]
fn a_failure_is_told_with_its_place_in_every_format() {
    let world = World::new();
    let service = Service::start(shop);
    world.write(
        "a.http",
        "### gone\n# @critical\nGET /gone\n###\nGET /health\n?? jsonpath $.ok == false\n###\n# @critical\nGET /health\n",
    );
    let run = smoke(&world, &service, &["a.http", "--junit", "junit.xml", "--json"]).expect_code(1);
    let document = run.json();
    assert_eq!(document["schema"], "orca.smoke/v1");
    assert_eq!((&document["failed"], &document["passed"]), (&2.into(), &1.into()));
    assert_eq!(document["tests"][0]["attempts"][0]["status"], 404);
    assert_eq!(
        document["tests"][1]["attempts"][0]["wrong"][0],
        "the value is true; asked: jsonpath $.ok == false"
    );
    let junit = std::fs::read_to_string(world.folder().join("junit.xml")).unwrap();
    assert!(junit.contains("tests=\"3\" failures=\"2\""), "{junit}");
    assert!(junit.contains("name=\"gone\""), "{junit}");
    let critical = smoke(&world, &service, &["a.http", "--critical"]).expect_code(1);
    assert!(critical.stdout.starts_with("1 of 2 passed, 1 failed"), "{}", critical.stdout);
    assert!(critical.stdout.contains("failed: gone (a.http:3)"), "{}", critical.stdout);
    assert!(critical.stderr.contains("1 tests are not critical, and not run"));
    assert!(critical.stdout.contains("orca explain ORCA-2054"), "{}", critical.stdout);
}

#[test]
fn what_depends_on_a_failed_test_is_not_sent() {
    let (world, service) = with_shop();
    let run = smoke(&world, &service, &["--var", "password=wrong"]).expect_code(1);
    let said = "FAIL  who am I, 0 us: not sent: 'login' failed, so {{token}} was not captured";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert!(!service.lines().contains(&"GET /me".to_owned()));
}

/// Nothing is sent when a file is wrong, also when only the last line of the last file is.
#[test]
fn a_wrong_file_is_refused_before_anything_is_sent() {
    let (world, service) = with_shop();
    for (text, says) in [
        ("GET /health\n\n> {% client.test() %}\n", "z.http:3:1: scripts are not supported: line 3"),
        ("GET /health/{{nobody}}\n", "z.http:1:13: nothing defines {{nobody}}"),
        ("# @critcal\nGET /health\n", "did you mean @critical?"),
        ("GET /health\n?? status is 200\n", "'is' is no operator"),
        ("POST /a\n\n< none.json\n", "none.json cannot be read"),
    ] {
        world.write("synthetics/z.http", text);
        let run = smoke(&world, &service, &["--env", "dev"]).expect_code(2);
        assert!(run.stderr.contains(says), "{text}: {}", run.stderr);
        assert!(run.stderr.contains("ORCA-2050"), "{}", run.stderr);
    }
    assert_eq!(service.lines(), Vec::<String>::new());
    let missing = smoke(&world, &service, &["none.http"]).expect_code(2);
    assert!(missing.stderr.contains("none.http: cannot be read"), "{}", missing.stderr);
    let binary = world.write("binary.http", "");
    std::fs::write(&binary, b"GET /\xff\xfe\0").unwrap();
    let binary = smoke(&world, &service, &["binary.http"]).expect_code(2);
    assert!(binary.stderr.contains("binary.http: cannot be read"), "{}", binary.stderr);
    world.write("large.http", &"# comment\n".repeat(200_000));
    let large = smoke(&world, &service, &["large.http"]).expect_code(2);
    assert!(large.stderr.contains("large.http: larger than"), "{}", large.stderr);
    let folder = smoke(&world, &service, &["synthetics"]).expect_code(2);
    assert!(folder.stderr.contains("name .http files"), "{}", folder.stderr);
    let unknown =
        smoke(&world, &service, &["synthetics/shop.http", "--env", "live"]).expect_code(2);
    assert!(unknown.stderr.contains("no environment is called 'live'"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("known are dev"), "{}", unknown.stderr);
    let undefined = smoke(&world, &service, &["synthetics/shop.http"]).expect_code(2);
    assert!(undefined.stderr.contains("nothing defines {{password}}"), "{}", undefined.stderr);
}

#[test]
fn nothing_to_run_and_nobody_to_ask_are_no_success() {
    let world = World::new();
    let service = Service::start(shop);
    let none = smoke(&world, &service, &[]).expect_code(2);
    assert!(none.stderr.contains("there is no synthetics/*.http"), "{}", none.stderr);
    assert!(none.stderr.contains("GET {{url}}/health"), "{}", none.stderr);
    world.write("synthetics/a.http", "GET {{url}}/health\n");
    let uncritical = smoke(&world, &service, &["--critical"]).expect_code(2);
    assert!(uncritical.stderr.contains("none of 1 tests is marked # @critical"));
    let untargeted = world.orca(&["smoke"]).expect_code(2);
    assert!(untargeted.stderr.contains("orca smoke --target URL"), "{}", untargeted.stderr);
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let run = world.orca(&["smoke", "--target", &nobody]).expect_code(4);
    assert!(run.stderr.contains("nobody was reached: no connection to"), "{}", run.stderr);
    assert!(run.stderr.contains("ORCA-2053"), "{}", run.stderr);
}

#[test]
fn production_is_asked_and_not_changed() {
    let world = World::new();
    let service = Service::start(shop);
    let manifest = "version: 1\nendpoints:\n  - {name: health, path: /health}\nenvironments:\n  \
                    - {name: live, production: true, hosts: [127.0.0.1]}\n";
    world.write("slo/slo_manifest.yaml", manifest);
    world.write("a.http", "GET /health\n");
    smoke(&world, &service, &["a.http"]).expect_code(0);
    world.write("a.http", "GET /health\n### login\nPOST /login\n\nhunter2\n");
    let refused = smoke(&world, &service, &["a.http"]).expect_code(2);
    let says = "a.http:3: 'login' sends POST to 127.0.0.1, and 'live' is marked production";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    assert_eq!(service.lines().len(), 1);
    smoke(&world, &service, &["a.http", "--allow-production"]).expect_code(0);
    world.write("a.http", "### login\n# @safe\nPOST /login\n\nhunter2\n");
    smoke(&world, &service, &["a.http"]).expect_code(0);
}

/// Values of the private file, credentials of requests, and tokens that answers bring.
#[test]
fn no_secret_comes_out() {
    let world = World::new();
    let service = Service::start(|got, _| (500, JSON, format!("{} {}", got.headers, got.body)));
    world.write(
        "a.http",
        "### one\n# @capture t = regex t=(\\S+)\nPOST /a?key={{secret}}\nAuthorization: Basic ada {{secret}}\n\
         X-Api-Key: {{$env.SHOP_SETTING}}\n\nt=n0t-to-be-seen-by-anybody\n?? body == x\n?? header content-type == {{secret}}\n\
         ### two\nGET /{{t}}\nCookie: sid={{t}}\n\n?? body matches \"{{secret}}\"\n?? jsonpath $ == {{t}}\n",
    );
    world.write("http-client.private.env.json", r#"{"dev": {"secret": "n0t-to-be-seen"}}"#);
    for format in [&["--json"][..], &[]] {
        let mut command = world.command(&["smoke", "a.http", "--target", &service.url]);
        command.args(["--env", "dev", "--junit", "junit.xml"]).args(format);
        command.env("SHOP_SETTING", "n0t-to-be-seen-either").env("ORCA_DEBUG", "1");
        let run = Run::of(command).expect_code(1);
        let junit = std::fs::read_to_string(world.folder().join("junit.xml")).unwrap();
        for text in [&run.stdout, &run.stderr, &junit] {
            assert!(!text.contains("n0t-to-be-seen"), "{text}");
            assert!(!text.contains("bjB0LXRvL"), "{text}");
        }
    }
    let got = service.got.lock().unwrap();
    assert!(got[0].line.contains("n0t-to-be-seen"), "{:?}", got[0]);
    assert!(got[0].headers.contains("Basic YWRhOm4wdC10by1iZS1zZWVu"), "{:?}", got[0]);
}

/// Silence is no answer: where nobody else answered, nothing is known of the target.
#[test]
fn a_test_ends_at_its_timeout() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    world.write("a.http", "# @timeout 50ms\nGET /health\n");
    let url = format!("http://{}", silent.local_addr().unwrap());
    let run = world.orca(&["smoke", "a.http", "--target", &url]).expect_code(4);
    assert!(run.stderr.contains("ORCA-2053"), "{}", run.stderr);
    assert!(run.stderr.contains("did not answer within 50 ms"), "{}", run.stderr);
    let service = Service::start(|_, _| (200, JSON, "{}".to_owned()));
    let both = format!("# @timeout 50ms\nGET {url}/health\n### there\nGET /\n");
    world.write("a.http", &both);
    let run = world.orca(&["smoke", "a.http", "--target", &service.url]).expect_code(1);
    assert!(run.stdout.contains("did not answer within 50 ms"), "{}", run.stdout);
}

#[test]
fn the_schema_describes_the_document() {
    let (world, service) = with_shop();
    let run = smoke(&world, &service, &["--env", "dev", "--json"]).expect_code(0);
    let schema = world.orca(&["schema", "orca.smoke/v1"]).expect_code(0).json();
    assert!(jsonschema::is_valid(&schema, &run.json()), "{}", run.stdout);
}

const HEALTHY: &str = "\
### trust
# @critical
GET {{url}}/api/trust

### checkout
# @critical
POST {{url}}/checkout
";

/// A gate before load, and the last step of a rollback: after it, and without a word in it that
/// could stop it.
#[test]
fn smoke_tests_close_a_gate_and_validate_a_rollback() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[ALL]);
    fleet.users("users");
    let path = fleet.world.folder().join("orca.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let gated = config.replace("gates:\n", "gates:\n  smoke: {max_age: 1h}\n");
    fleet.world.write("orca.yaml", &gated);
    fleet.world.write("synthetics/shop.http", HEALTHY);
    let candidate = fleet.complete();
    fleet.orca(&["promote", "--rc", &candidate.release]).expect_code(0);

    let wrong = HEALTHY.replace("/api/trust", "/api/trust\n\n?? status == 418");
    fleet.world.write("synthetics/shop.http", &wrong);
    let load = ["load", "--rc", &candidate.release, "--target", &candidate.url];
    let closed = fleet.orca(&[&load[..], &["--json"]].concat()).expect_code(1);
    let gates = closed.json()["gates"].as_array().unwrap().clone();
    assert_eq!(gates.len(), 1, "no load is sent: {}", closed.stdout);
    let finding = &gates[0]["checks"][0]["findings"][0];
    assert_eq!(finding["fingerprint"], "synthetics/shop.http:trust", "{finding}");
    assert!(closed.stderr.contains("no load was sent"), "{}", closed.stderr);
    fleet.world.write("synthetics/shop.http", "GET {{url}}/{{nobody}}\n");
    let open = fleet.orca(&load).expect_code(3);
    assert!(open.stdout.contains("shop.http:1:13: nothing defines {{nobody}}"), "{}", open.stdout);

    fleet.world.write("synthetics/shop.http", &wrong);
    let back = ["rollback", "--reason", "checkout is down"];
    let dry = fleet.orca(&[&back[..], &["--dry-run"]].concat()).expect_code(0);
    assert!(dry.stdout.contains("ask the critical smoke tests"), "{}", dry.stdout);
    let failed = fleet.orca(&back).expect_code(5);
    let said = "SMOKE TESTS FAIL on what users get now: 0 of 1 passed, 1 failed";
    assert!(failed.stdout.contains(said), "{}", failed.stdout);
    assert!(failed.stdout.contains("verified after"), "{}", failed.stdout);
    assert_eq!(fleet.platform()["base"], fleet.base.as_str());
    fleet.world.write("synthetics/shop.http", HEALTHY);
    let fast = fleet.orca(&[&back[..], &["--emergency", "--json"]].concat()).expect_code(0).json();
    let validation = &fast["validation"];
    assert_eq!(validation["verdict"], "pass", "{fast}");
    let headline = validation["headline"].as_str().unwrap();
    assert!(headline.starts_with("1 of 1 passed"), "what changes something is not asked: {fast}");
    fleet.world.write("synthetics/shop.http", "# @critical\nGET {{url}}/{{nobody}}\n");
    let unread = fleet.orca(&back).expect_code(5);
    assert!(unread.stdout.contains("SMOKE TESTS COULD NOT DECIDE"), "{}", unread.stdout);
    fleet.world.write("synthetics/shop.http", "GET {{url}}/version\n");
    let none = fleet.orca(&back).expect_code(0);
    assert!(!none.stdout.to_lowercase().contains("smoke"), "none is critical: {}", none.stdout);
}
