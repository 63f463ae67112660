//! A whole product under way: a repository with its remote, a base version of the sample service,
//! the router in front of it, users who ask it, and candidates. All of it real, on loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::run::{Run, Running, keeping_up};
use super::world::World;

/// How long a state may take before the test gives up; a sound product needs a tenth of it.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) const TOKEN: &str = "the-token-of-this-router";

/// An Ed25519 key of no value, in PKCS #8.
pub(crate) const KEY: &str = "MC4CAQAwBQYDK2VwBCIEIDc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3";

/// One stage that is judged by the users themselves, and all of them.
pub(crate) const BY_USERS: &str = "{weight: 25%, bake: 2s, max_hold: 30s}";
pub(crate) const ALL: &str = "{weight: 100%, bake: 2s, max_hold: 30s}";
/// A stage that paired safe requests judge.
pub(crate) const PAIRED: &str =
    "{weight: 5%, bake: 2s, max_hold: 30s, decide_by: paired, paired_rate: 100/s}";

pub(crate) struct Fleet {
    pub(crate) world: World,
    /// Address of the router's users and of its operators.
    pub(crate) front: String,
    pub(crate) admin: String,
    /// The deployment that serves first.
    pub(crate) base: String,
    router: Option<Running>,
    traffic: Option<Running>,
    services: Vec<Running>,
}

/// A candidate whose preflight and load gates are open.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) release: String,
    pub(crate) commit: String,
    pub(crate) url: String,
}

impl Fleet {
    /// The stages are flow mappings of `canary.stages`.
    pub(crate) fn start(stages: &[&str]) -> Self {
        Self::start_with("p95_ratio_max_pct: 1000", stages)
    }

    /// With one more line under `canary`.
    pub(crate) fn start_with(canary: &str, stages: &[&str]) -> Self {
        let mut fleet = Self::unrouted();
        let commit = fleet.world.git(&["rev-parse", "HEAD"]);
        fleet.start_router(&commit);
        let (admin, front) = (&fleet.admin, &fleet.front);
        let platform = format!("platform:\n  kind: router\n  admin: {admin}\n  url: {front}\n");
        fleet.set_up(&platform, canary, stages);
        fleet
    }

    /// With all of `canary` and what follows it, and no stages of its own.
    pub(crate) fn on_track(canary: &str) -> Self {
        Self::start_with(canary, &[])
    }

    /// On another platform than orca's router: `platform` starts it in front of the base, and says
    /// where users come in and what `orca.yaml` says of it.
    pub(crate) fn on_platform(
        stages: &[&str],
        platform: impl FnOnce(&Self, &str) -> (String, String),
    ) -> Self {
        let mut fleet = Self::unrouted();
        let commit = fleet.world.git(&["rev-parse", "HEAD"]);
        let (front, platform) = platform(&fleet, &commit);
        fleet.front = front;
        fleet.set_up(&platform, "p95_ratio_max_pct: 1000", stages);
        fleet
    }

    /// A repository and its base, with nothing in front.
    fn unrouted() -> Self {
        let world = World::repository();
        world.git(&["remote", "add", "origin", "../origin.git"]);
        world.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"]);
        let pem = format!("-----BEGIN {0}-----\n{KEY}\n-----END {0}-----\n", "PRIVATE KEY");
        std::fs::write(world.folder().join("../orca.key"), pem).expect("a new file");
        let mut fleet = Self {
            world,
            front: String::new(),
            admin: String::new(),
            base: String::new(),
            router: None,
            traffic: None,
            services: Vec::new(),
        };
        let commit = fleet.world.git(&["rev-parse", "HEAD"]);
        fleet.base = fleet.service(&commit);
        fleet
    }

    fn set_up(&self, platform: &str, canary: &str, stages: &[&str]) {
        let stages: Vec<String> = stages.iter().map(|stage| format!("    - {stage}\n")).collect();
        let stages = stages.concat();
        let stages = if stages.is_empty() { stages } else { format!("  stages:\n{stages}") };
        let config = format!(
            "version: 1\nservice: {{name: shop, environment: production}}\n{platform}gates:\n  \
             load: {{profile: baseline}}\ncanary:\n  error_increase_max: 5%\n  {canary}\n{stages}"
        );
        self.world.write("orca.yaml", &config);
        self.world.write("slo/slo_manifest.yaml", MANIFEST);
        self.world.write(".gitignore", ".orca/\n");
        self.world.commit("chore: set up orca");
        self.push();
    }

    fn start_router(&mut self, base_commit: &str) {
        let mut command = self.command(&["router", "--json", "--state", "../router.json"]);
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.args(["--base", &self.base, "--base-commit", base_commit]);
        let router = Running::start(command);
        let said = listening(&router.line_with("orca.router-listening/v1"));
        self.front = text(&said, "listen");
        self.admin = text(&said, "admin");
        self.router = Some(router);
    }

    /// The router is gone, as after a crash of its machine.
    pub(crate) fn kill_router(&mut self) {
        self.router = None;
    }

    /// The router ends and starts again from its stored state as `edit` leaves it.
    pub(crate) fn restart_router(&mut self, edit: impl FnOnce(&mut serde_json::Value)) {
        self.kill_router();
        let path = self.world.folder().join("../router.json");
        let stored = std::fs::read(&path).expect("the router stored its state");
        let mut state = serde_json::from_slice(&stored).expect("a state is JSON");
        edit(&mut state);
        std::fs::write(path, state.to_string()).expect("a file of the world");
        let base_commit = self.world.git(&["rev-parse", "HEAD"]);
        self.start_router(&base_commit);
    }

    /// Users stop coming.
    pub(crate) fn no_users(&mut self) {
        self.traffic = None;
    }

    /// Repository, remote and router as they are now, for [`Self::restore`].
    pub(crate) fn save(&self) {
        self.in_home("rm -rf saved && mkdir saved && cp -a work origin.git router.json saved/");
    }

    /// Everything as it was saved. The router starts again from its stored state, elsewhere.
    pub(crate) fn restore(&mut self) {
        self.router = None;
        self.in_home("rm -rf work origin.git router.json && cp -a saved/. .");
        let base_commit = self.world.git(&["rev-parse", "HEAD"]);
        self.start_router(&base_commit);
    }

    fn in_home(&self, script: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(self.world.folder().join(".."));
        Run::of(shell).expect_code(0);
    }

    /// The time of a lease passes: it ends now, whoever holds it.
    pub(crate) fn lease_ends(&self) {
        lease_ends(&self.world);
    }

    /// Another clone with the same ledger, for a second person; answers their command.
    pub(crate) fn colleague(&self, args: &[&str]) -> Command {
        let folder = self.world.folder().join("../colleague");
        if !folder.exists() {
            self.world.git(&["clone", "--quiet", "../origin.git", "../colleague"]);
            let refs = "refs/orca/ledger:refs/orca/ledger";
            self.world.git(&["-C", "../colleague", "fetch", "--quiet", "origin", refs]);
        }
        let mut command = self.command(args);
        command.current_dir(folder).env("ORCA_ACTOR", "bob");
        command
    }

    /// The command with everything it needs from the environment, by the real clock.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.env_remove("ORCA_TEST_NOW_US").env_remove("ORCA_TEST_SEED");
        command.env("ORCA_ROUTER_TOKEN", TOKEN);
        command.env("ORCA_SIGNING_KEY", self.world.folder().join("../orca.key"));
        command.env("ORCA_ACTOR", "ada");
        if !self.admin.is_empty() {
            command.env("ORCA_ROUTER_ADMIN", &self.admin).env("ORCA_ROUTER_URL", &self.front);
        }
        command
    }

    /// A command that knows the router by its environment only, in an empty folder.
    pub(crate) fn elsewhere(&self, args: &[&str]) -> Command {
        let folder = self.world.folder().join("../elsewhere");
        std::fs::create_dir_all(&folder).expect("a folder of the world");
        let mut command = self.command(args);
        command.current_dir(folder);
        command
    }

    pub(crate) fn orca(&self, args: &[&str]) -> Run {
        Run::of(self.command(args))
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    pub(crate) fn push(&self) {
        self.world.git(&["push", "--quiet", "--follow-tags", "origin", "main"]);
    }

    /// Starts a version of the service that says it is `commit`; answers where it runs.
    pub(crate) fn service(&mut self, commit: &str) -> String {
        let digest = format!("sha256:{commit:0>64}");
        let args = ["sample-service", "--base-ms", "1", "--commit", commit, "--digest", &digest];
        let service = self.spawn(&args);
        let said = listening(&service.line_with("orca.sample-service"));
        self.services.push(service);
        text(&said, "url")
    }

    /// Users come, as many a second as the manifest's profile says.
    pub(crate) fn users(&mut self, profile: &str) {
        let args = ["load", "--json", "--manifest", "slo/slo_manifest.yaml", "--profile", profile];
        let mut command = self.command(&args);
        command.args(["--target", &self.front]);
        self.traffic = Some(Running::start(command));
    }

    /// A fix becomes a candidate: tagged, running, and judged by preflight and load.
    pub(crate) fn candidate(&mut self) -> Candidate {
        self.world.commit("fix(cart): count twice");
        self.push();
        let tagged = self.orca(&["release", "tag", "--rc", "--json"]).expect_code(0).json();
        let (release, commit) = (text(&tagged, "release"), text(&tagged, "commit"));
        self.orca(&["preflight"]).expect_code(0);
        let url = self.service(&commit);
        keeping_up(|| self.orca(&["load", "--rc", &release, "--target", &url])).expect_code(0);
        Candidate { release, commit, url }
    }

    /// The canary of this candidate, as one types it.
    pub(crate) fn canary(candidate: &Candidate) -> [&str; 7] {
        let (url, release) = (candidate.url.as_str(), candidate.release.as_str());
        ["canary", "start", "--json", "--deployment-url", url, "--rc", release]
    }

    /// A candidate on all traffic, every stage judged, not promoted yet.
    pub(crate) fn complete(&mut self) -> Candidate {
        let candidate = self.candidate();
        self.orca(&Self::canary(&candidate)).expect_code(0);
        candidate
    }

    /// Another clone of the remote, beside this one.
    pub(crate) fn cloned(&self, name: &str) -> String {
        let folder = format!("../{name}");
        self.world.git(&["clone", "--quiet", "../origin.git", &folder]);
        folder
    }

    /// What the ledger in `folder` says, newest first.
    pub(crate) fn log(&self, folder: &str) -> Vec<serde_json::Value> {
        let log = self.orca(&["-C", folder, "ledger", "log", "-n", "0", "--json"]);
        log.expect_code(0).json()["entries"].as_array().expect("a list").clone()
    }

    /// Ships a candidate to its end.
    pub(crate) fn promoted(&mut self) -> Candidate {
        let candidate = self.complete();
        self.orca(&["promote", "--rc", &candidate.release]).expect_code(0);
        candidate
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        self.orca(&["release", "status", "--json"]).expect_code(0).json()
    }

    /// The entries of the ledger, the newest first.
    pub(crate) fn ledger(&self) -> Vec<serde_json::Value> {
        let read = |commit: &str| {
            let text = self.world.git(&["show", &format!("{commit}:entry.json")]);
            serde_json::from_str(&text).expect("an entry is JSON")
        };
        self.world.git(&["rev-list", "refs/orca/ledger"]).lines().map(read).collect()
    }

    /// What the router says of itself: base, canary, weight, generation.
    pub(crate) fn platform(&self) -> serde_json::Value {
        self.status()["platform"].clone()
    }

    /// Share of users on the canary, in basis points.
    pub(crate) fn weight(&self) -> u64 {
        self.platform()["weight_bp"].as_u64().expect("the router says its weight")
    }

    /// The router's own cookie of a user whom it sent to the canary.
    pub(crate) fn canary_cookie(&self, commit: &str) -> String {
        let is_cookie = |line: &&str| line.to_ascii_lowercase().starts_with("set-cookie:");
        let new_user = || http(&self.front, "GET", "/version", "x-test: yes", "");
        let answer = (0..500).map(|_| new_user()).find(|answer| answer.contains(commit));
        let answer = answer.expect("one of 500 new users meets the canary");
        let line = answer.lines().find(is_cookie).expect("a new user gets a cookie");
        let value = line.split_once(':').expect("a header").1;
        value.split(';').next().expect("at least one part").trim().to_owned()
    }

    /// Whether the user with this cookie is answered by `commit`.
    pub(crate) fn serves_canary(&self, commit: &str, cookie: &str) -> bool {
        let header = format!("cookie: {cookie}");
        http(&self.front, "GET", "/version", &header, "").contains(commit)
    }

    /// How many of `count` users of the front door are answered by `commit`.
    pub(crate) fn served_by(&self, commit: &str, count: usize) -> usize {
        (0..count).filter(|number| self.meets(commit, *number)).count()
    }

    /// Whether one request of this user at the front door is answered by `commit`.
    pub(crate) fn meets(&self, commit: &str, user: usize) -> bool {
        let key = format!("x-user-id: user-{user}");
        http(&self.front, "GET", "/version", &key, "").contains(commit)
    }
}

/// What a browser gets of `url`: the whole answer.
pub(crate) fn browse(url: &str) -> String {
    http(url, "GET", "/", "Accept: text/html,*/*;q=0.8", "")
}

/// The time of a lease passes: it ends now, whoever holds it.
pub(crate) fn lease_ends(world: &World) {
    let name = "refs/orca/lease/production";
    let origin = |args: &[&str]| world.git(&[&["--git-dir", "../origin.git"], args].concat());
    let text = origin(&["cat-file", "blob", name]);
    let mut lease: serde_json::Value = serde_json::from_str(&text).expect("a lease is JSON");
    assert!(lease["expires_at"].is_i64(), "{lease}");
    lease["expires_at"] = 1.into();
    std::fs::write(world.folder().join("../lease"), lease.to_string()).expect("a file");
    let blob = origin(&["hash-object", "-w", "../lease"]);
    origin(&["update-ref", name, &blob]);
}

/// Changes the faults of a running service.
pub(crate) fn fail(url: &str, faults: &serde_json::Value) {
    let answer = http(url, "PUT", "/_control", "x-test: yes", &faults.to_string());
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

fn http(url: &str, method: &str, path: &str, header: &str, body: &str) -> String {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout above zero");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\n");
    let rest = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(format!("{head}{rest}").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

fn listening(line: &str) -> serde_json::Value {
    serde_json::from_str(line).expect("the first line is JSON")
}

pub(crate) fn text(value: &serde_json::Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}

/// The load of the gate is a closed loop: it is the same on a machine that stands still for a while.
const MANIFEST: &str = "\
version: 1
defaults:
  min_samples: 50
  objectives: [\"p90 < 5s\", \"errors < 5%\"]
endpoints:
  - {name: trust, method: GET, path: /api/trust, weight: 4, safe: true}
  - {name: agents, method: GET, path: /api/agents, weight: 4, safe: true}
  - {name: checkout, method: POST, path: /checkout, weight: 2, safe: false}
profiles:
  baseline: {closed: true, duration: 1s, connections: 4}
  users: {rate: 500/s, duration: 10m, connections: 24}
  few: {rate: 3/s, duration: 10m, connections: 2}
";
