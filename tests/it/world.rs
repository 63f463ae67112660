//! The test support itself: what other tests take for granted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Fault, FaultServer, Running, World, quiet, wait_until};

#[test]
fn two_repositories_have_the_same_commits() {
    let [one, two] = [World::repository(), World::repository()];
    assert_eq!(one.git(&["rev-parse", "HEAD"]), two.git(&["rev-parse", "HEAD"]));
    assert_eq!(one.git(&["describe", "--tags"]), two.git(&["describe", "--tags"]));
    assert!(one.git(&["log", "--format=%s"]).contains("feat(cart): keep the cart"));
    assert_eq!(one.git(&["config", "user.email"]), "ada@example.com");
}

#[test]
fn a_remote_holds_what_was_pushed() {
    let world = World::repository();
    let remote = world.bare_remote();
    let head = world.git(&["rev-parse", "HEAD"]);
    let shown = remote.to_str().unwrap();
    assert_eq!(world.git(&["--git-dir", shown, "rev-parse", "main"]), head);
    assert_eq!(world.git(&["--git-dir", shown, "tag"]), "v1.0.0");
    world.commit("fix: one more");
    assert_ne!(world.git(&["rev-parse", "HEAD"]), head);
}

#[test]
fn an_empty_world_is_no_repository() {
    let world = World::new();
    assert!(!world.folder().join(".git").exists());
    let file = world.write("a/b.txt", "text");
    assert!(file.starts_with(world.folder()));
}

#[test]
fn what_a_test_starts_ends_with_it() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; exec sleep 600"]);
    let running = Running::start(command);
    assert_eq!(running.line_with("ready"), "ready");
    let id = running.id();
    drop(running);
    if cfg!(target_os = "linux") {
        let folder = format!("/proc/{id}");
        wait_until("the child is gone", Duration::from_secs(10), || !Path::new(&folder).exists());
    }
}

#[test]
fn orca_runs_beside_a_test() {
    let world = World::new();
    let running = world.spawn_orca(&["--version"]);
    assert!(running.line_with("orca").starts_with("orca "));
}

/// Each fault as a client on a bare socket sees it, in the order of the script.
#[test]
fn a_server_plays_its_script() {
    let _quiet = quiet();
    let server = FaultServer::start(vec![
        Fault::Answer(503, "busy".into()),
        Fault::CutShort,
        Fault::Garbage,
        Fault::Hangup,
        Fault::Silence,
        Fault::Answer(200, "fine".into()),
    ]);
    assert!(server.url().ends_with(&server.address().port().to_string()));
    let ask = || {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        stream
    };
    let answer = || {
        let mut text = String::new();
        ask().read_to_string(&mut text).unwrap();
        text
    };
    assert!(answer().starts_with("HTTP/1.1 503"));
    assert!(answer().ends_with("half "));
    assert!(answer().contains("not http"));
    assert_eq!(answer(), "");
    let silent = ask();
    wait_until("the fifth request", Duration::from_secs(10), || server.asked().len() == 5);
    silent.set_nonblocking(true).unwrap();
    assert!((&silent).read(&mut [0; 8]).is_err(), "silence has no bytes");
    assert!(answer().ends_with("fine"));
    assert!(answer().ends_with("fine"), "the last entry repeats");
    assert_eq!(server.asked()[0], "POST /x HTTP/1.1");
}
