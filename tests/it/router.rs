//! `orca router` as a process: it says where it listens, serves, and drains at SIGTERM.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use crate::support::World;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\ndone";

/// A request that is open when SIGTERM comes is finished, then the process ends with 0. The
/// upstream answers only after the router has said that it drains.
#[test]
fn sigterm_finishes_what_is_open() {
    let world = World::new();
    world.write("token", "secret-token\n");
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", upstream.local_addr().unwrap());
    let (arrived, arrival) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    thread::spawn(move || {
        // The router's health check connects, too; it is answered at once.
        loop {
            let (mut stream, _) = upstream.accept().unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            if head.starts_with(b"GET / ") {
                arrived.send(read).unwrap();
                gone.recv().unwrap();
            }
            stream.write_all(ANSWER.as_bytes()).unwrap();
        }
    });
    let router = world.spawn_orca(&[
        "router",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--base",
        &base,
        "--state",
        "state.json",
        "--token-file",
        "token",
        "--health-interval",
        "1h",
        "--workers",
        "1",
    ]);
    let line = router.line_with("orca.router-listening/v1");
    let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(listening["state"], "missing");
    let address = listening["listen"].as_str().unwrap().trim_start_matches("http://").to_owned();

    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    assert!(arrival.recv().unwrap() > 0);
    let sent = Command::new("kill").args(["-TERM", &router.id().to_string()]).status().unwrap();
    assert!(sent.success());
    router.line_with("draining");
    go.send(()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("done"), "{answer}");
    router.line_with("\"cut\": false");
}

#[test]
fn a_router_without_a_token_or_on_an_open_admin_address_does_not_start() {
    let world = World::new();
    let base = ["router", "--base", "http://127.0.0.1:1", "--state", "state.json"];
    let run = world.orca(&base).expect_code(2);
    assert!(run.stderr.contains("ORCA_ROUTER_TOKEN"), "{}", run.stderr);
    world.write("token", "secret-token");
    let open = ["--token-file", "token", "--admin", "0.0.0.0:0", "--listen", "127.0.0.1:0"];
    let run = world.orca(&[&base[..], &open[..]].concat()).expect_code(4);
    assert!(run.stderr.contains("not loopback"), "{}", run.stderr);
}

/// An upstream that answers every request at once, and where it listens.
fn prompt() -> String {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", upstream.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for mut stream in upstream.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(ANSWER.as_bytes());
            });
        }
    });
    base
}

/// What a router prints of its addresses, without the scheme.
fn address(line: &str, which: &str) -> String {
    let listening: serde_json::Value = serde_json::from_str(line).expect("one line of JSON");
    listening[which].as_str().expect("an address").trim_start_matches("http://").to_owned()
}

const ANYWHERE: [&str; 11] = [
    "router",
    "--json",
    "--listen",
    "127.0.0.1:0",
    "--admin",
    "127.0.0.1:0",
    "--state",
    "state.json",
    "--token-file",
    "token",
    "--base",
];

/// Clients that connect and ask nothing take every place there is for users, and no more: whoever goes
/// back gets through, and the state is stored.
#[test]
fn idle_clients_keep_nobody_from_going_back() {
    let world = World::new();
    world.write("token", "secret-token\n");
    let mut command = world.outside("sh");
    command.args(["-c", "ulimit -n 256; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_orca")]);
    command.args(ANYWHERE).args([&prompt(), "--workers", "1"]);
    let router = crate::support::Running::start(command);
    let line = router.line_with("orca.router-listening/v1");
    let public = address(&line, "listen");
    let clients: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(&public).unwrap()).collect();
    let mut admin = TcpStream::connect(address(&line, "admin")).unwrap();
    admin.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let head = "POST /revert HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n";
    write!(admin, "{head}authorization: Bearer secret-token\r\n\r\n").unwrap();
    let mut answer = String::new();
    admin.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"persisted\":true"), "{answer}");
    drop(clients);
    // Those who come after them are served.
    let mut client = TcpStream::connect(&public).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("done"), "{answer}");
}

/// Clients that connected and asked while the router stood still, and then SIGTERM: each is answered.
#[test]
fn sigterm_answers_whoever_waits_to_be_let_in() {
    let world = World::new();
    world.write("token", "secret-token\n");
    let base = prompt();
    let router = world.spawn_orca(&[&ANYWHERE[..], &[&base, "--workers", "1"]].concat());
    let public = address(&router.line_with("orca.router-listening/v1"), "listen");
    router.signal("STOP");
    let mut clients: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut client = TcpStream::connect(&public).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
            client
        })
        .collect();
    router.signal("TERM");
    router.signal("CONT");
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("done"), "{answer}");
    }
    router.line_with("\"cut\": false");
}
