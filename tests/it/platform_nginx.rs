//! The nginx example of `platform: exec`, run for real: users come through nginx while orca moves
//! them with the example's own script, and not one of their requests fails.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::fleet::{self, DEADLINE};
use crate::support::{Fleet, Run, Running, traffic, wait_until};

const FIRST: &str = "{weight: 30%, bake: 3s, max_hold: 40s, decide_by: paired, paired_rate: 100/s}";
const ALL: &str = "{weight: 100%, bake: 3s, max_hold: 40s, decide_by: paired, paired_rate: 100/s}";

/// An nginx of the test's own; stopped with its workers when dropped.
struct Nginx {
    folder: PathBuf,
    _master: Running,
}

impl Nginx {
    /// The example's files with another port; everything it writes stays in `folder`.
    fn start(folder: &Path, base: &str, commit: &str) -> (Self, String) {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nginx");
        for sub in ["run", "orca"] {
            std::fs::create_dir_all(folder.join(sub)).expect("a folder of the world");
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("loopback has a free port").to_string();
        let conf = std::fs::read_to_string(example.join("nginx.conf")).expect("it is there");
        let conf = conf.replace("127.0.0.1:8080", &address);
        // A worker that may not read what root wrote would answer with errors.
        let conf = if is_root() { format!("user root;\n{conf}") } else { conf };
        std::fs::write(folder.join("nginx.conf"), conf).expect("a new file");
        let text = std::fs::read_to_string(example.join("state.json")).expect("it is there");
        let mut state: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        state["base"] = json!({"deployment": base, "commit": commit});
        std::fs::write(folder.join("orca/state.json"), state.to_string()).expect("a new file");
        // A rollback of nothing writes the first split, with no nginx to reload yet.
        let mut first = Command::new("sh");
        let script = format!(
            "echo '{{}}' | NGINX_RELOAD=true python3 {}/canary.py {}/orca rollback",
            example.display(),
            folder.display()
        );
        first.args(["-c", &script]);
        Run::of(first).expect_code(0);
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-g", "daemon off;"]);
        let master = Running::start(command);
        let url = format!("http://{address}");
        wait_until("nginx to listen", DEADLINE, || std::net::TcpStream::connect(&address).is_ok());
        (Self { folder: folder.to_owned(), _master: master }, url)
    }

    /// What orca.yaml says of it.
    fn platform(&self, url: &str) -> String {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nginx/canary.py");
        format!(
            "platform:\n  kind: exec\n  url: {url}\n  exec:\n    command: [python3, {}, {}]\n    \
             env: [NGINX_RELOAD, NGINX_STATUS]\n    weights: any\n",
            example.display(),
            self.folder.join("orca").display()
        )
    }

    fn reload(&self) -> String {
        format!("/usr/sbin/nginx -p {} -c nginx.conf -s reload", self.folder.display())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let mut stop = Command::new("/usr/sbin/nginx");
        stop.arg("-p").arg(&self.folder).args(["-c", "nginx.conf", "-s", "stop"]);
        let _ = stop.output();
        // Its workers end after it; the master must not be killed before they know.
        let address = self.folder.join("run/nginx.pid");
        for _ in 0..100 {
            if !address.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_root() -> bool {
    let mut id = Command::new("id");
    id.arg("-u");
    Run::of(id).stdout.trim() == "0"
}

/// As the other programs of apt: without apt nobody could install it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn is_installed() -> bool {
    let there = Path::new("/usr/sbin/nginx").exists();
    if !there {
        let apt = Path::new("/usr/bin/apt-get").exists();
        assert!(!apt, "nginx is missing: run scripts/setup-tests.sh");
        eprintln!("skipped: there is no nginx here, and no apt-get to install it");
    }
    there
}

/// The fleet behind nginx, with what its commands need of the environment.
fn behind_nginx() -> (Fleet, Nginx) {
    let mut nginx = None;
    let fleet = Fleet::on_platform(&[FIRST, ALL], |fleet, commit| {
        let folder = fleet.world.folder().join("../nginx");
        let (started, url) = Nginx::start(&folder, &fleet.base, commit);
        let platform = started.platform(&url);
        nginx = Some(started);
        (url, platform)
    });
    (fleet, nginx.expect("it was started"))
}

fn with_nginx(fleet: &Fleet, nginx: &Nginx, args: &[&str]) -> Command {
    let mut command = fleet.command(args);
    command.env("NGINX_RELOAD", nginx.reload());
    command.env("NGINX_STATUS", format!("{}/orca-generation", fleet.front));
    command
}

/// Users who come while `during` runs, each with a connection of their own: nginx closes idle ones
/// when it reloads, and that race is the client's, not the split's. None of them may fail.
fn without_a_failed_request(fleet: &Fleet, during: impl FnOnce()) {
    let mut users = fleet.command(&["load", "--rate", "100/s", "--duration", "10m"]);
    let out = fleet.world.folder().join("../users.json");
    users.args(["--no-keep-alive", "--connections", "16", "--target"]);
    users.arg(format!("{}/api/trust", fleet.front)).arg("--out").arg(&out);
    let users = Running::start(users);
    during();
    users.signal("INT");
    let ended = users.end();
    let text = std::fs::read(&out).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
    let result: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
    assert!(result["requests"].as_u64().expect("a count") > 300, "{result}");
    assert_eq!(result["errors"], 0, "{}", result["errors_by_kind"]);
}

#[test]
fn platform_nginx_moves_users_without_a_failed_request() {
    if !is_installed() {
        return;
    }
    let _quiet = traffic();
    let (mut fleet, nginx) = behind_nginx();
    let candidate = fleet.candidate();
    let dry = [&Fleet::canary(&candidate)[..], &["--dry-run"]].concat();
    let plan = Run::of(with_nginx(&fleet, &nginx, &dry)).expect_code(0).json();
    let dies = plan["when_orca_dies"].as_str().expect("it is said");
    assert!(dies.contains("nothing moves by itself"), "{dies}");

    without_a_failed_request(&fleet, || {
        let canary = Run::of(with_nginx(&fleet, &nginx, &Fleet::canary(&candidate)));
        assert_eq!(canary.expect_code(0).json()["end"], "complete");
        let promote = ["promote", "--rc", &candidate.release];
        Run::of(with_nginx(&fleet, &nginx, &promote)).expect_code(0);
    });
    assert_eq!(fleet.served_by(&candidate.commit, 50), 50);

    // The way back from a promoted release, by hand.
    let back = ["rollback", "--json", "--reason", "checkout is down"];
    let back = Run::of(with_nginx(&fleet, &nginx, &back)).expect_code(0).json();
    assert_eq!(back["traffic"], "verified", "{back}");
    assert_eq!(fleet.served_by(&candidate.commit, 50), 0);

    // The next one fails where users do not ask: probes find it, and nobody else notices.
    let broken = fleet.candidate();
    fleet::fail(&broken.url, &json!({"errors": 10000, "errors_at": "GET /api/agents"}));
    without_a_failed_request(&fleet, || {
        let canary = Run::of(with_nginx(&fleet, &nginx, &Fleet::canary(&broken)));
        let ended = canary.expect_code(6).json();
        assert_eq!(ended["end"], "rolled_back", "{ended}");
    });
    assert_eq!(fleet.served_by(&broken.commit, 50), 0);
}

/// The canary has everybody; whoever is on call goes back on another machine, without the
/// repository, so the ledger does not know. What nginx was told counts: nothing is promoted.
#[test]
fn platform_nginx_nothing_is_promoted_over_a_rollback_from_elsewhere() {
    if !is_installed() {
        return;
    }
    let _quiet = traffic();
    let (mut fleet, nginx) = behind_nginx();
    let candidate = fleet.candidate();
    let canary = Run::of(with_nginx(&fleet, &nginx, &Fleet::canary(&candidate)));
    assert_eq!(canary.expect_code(0).json()["end"], "complete");
    let folder = fleet.world.folder().join("../elsewhere");
    std::fs::create_dir_all(&folder).expect("a folder of the world");
    let config = fleet.world.folder().join("orca.yaml");
    std::fs::copy(config, folder.join("orca.yaml")).expect("a new file");
    let mut back = with_nginx(&fleet, &nginx, &["rollback", "--reason", "checkout is down"]);
    back.current_dir(&folder).env("XDG_STATE_HOME", folder.join("state"));
    Run::of(back).expect_code(0);
    let promote = with_nginx(&fleet, &nginx, &["promote", "--rc", &candidate.release]);
    let refused = Run::of(promote).expect_code(1);
    assert!(refused.stderr.contains("is not on"), "{}", refused.stderr);
    assert!(refused.stderr.contains("went back to"), "{}", refused.stderr);
    assert_eq!(fleet.served_by(&candidate.commit, 50), 0);
}
