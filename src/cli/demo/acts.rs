//! The three acts: a release that goes all the way, one that is caught and brought back, and one
//! whose orca dies.

use std::time::Duration;

use serde_json::{Value, json};

use super::repository::{self, BAD, GOOD};
use super::stage::{self, Actor, Played, Stage, put};
use crate::base::clock::{self, Entropy};
use crate::base::digest::Digest;
use crate::base::dsse::SigningKey;
use crate::base::units::Micros;
use crate::base::{atomic_file, limits};
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::wire::Git;

/// How long the stages of the demo bake, in words of `orca.yaml`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) bake: [&'static str; 4],
    pub(crate) load: &'static str,
    /// Background requests a second.
    pub(crate) rate: u32,
}

impl Pace {
    pub(crate) const SHOWN: Self = Self { bake: ["4s", "5s", "4s", "3s"], load: "4s", rate: 1200 };
    pub(crate) const FAST: Self = Self { bake: ["3s", "4s", "3s", "2s"], load: "3s", rate: 1100 };
}

/// What an act left behind.
pub(crate) struct Left {
    pub(crate) release: String,
    pub(crate) pack: String,
    pub(crate) report: String,
    pub(crate) key: String,
}

/// The scene: repository, base version, router in front, users.
pub(crate) struct Scene<'a> {
    stage: &'a Stage,
    git: Git,
    front: String,
    traffic: Option<Actor>,
    running: Vec<Actor>,
}

const SLO: &str = "version: 1\ndefaults:\n  min_samples: 100\n  objectives: [\"p95 < 250ms\", \
                   \"errors < 2%\"]\nendpoints:\n  - {name: trust, method: GET, path: /api/trust, \
                   weight: 4, safe: true}\n  - {name: agents, method: GET, path: /api/agents, \
                   weight: 4, safe: true}\n  - {name: checkout, method: POST, path: /checkout, \
                   weight: 2, safe: false}\n";

/// Act 3's canary would bake for a minute; its grant is short, so that the act is.
const ALONE: &str = "  grant: 3s\n  stages:\n    - {weight: 25%, bake: 1m, max_hold: 2m}\n    \
                     - {weight: 100%, bake: 1m, max_hold: 2m}\n";
/// How long the demo waits for what takes seconds.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(150);

impl<'a> Scene<'a> {
    pub(crate) fn build(stage: &'a Stage, pace: Pace) -> Result<Self, Failure> {
        let key = SigningKey::from_seed(&seed());
        stage.write("orca.key", key.to_pkcs8_pem().expose().as_bytes())?;
        let git = repository::create(&stage.repository(), &stage.folder().join("remote.git"))?;
        let base_commit = repository::commit_of(&git, "v1.3.0")?;
        let (base, said) = start_service(stage, &base_commit)?;
        let base_url = text(&said, "url");
        let state = stage.folder().join("router.json");
        let (router, said) = stage.start(&[
            "router",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--base",
            &base_url,
            "--base-commit",
            &base_commit,
            "--state",
            &state.to_string_lossy(),
        ])?;
        let front = text(&said, "listen");
        let config = config(pace, &text(&said, "admin"), &front);
        repository::add_file(&git, "orca.yaml", &config, "chore: set up orca")?;
        let slo = format!(
            "{SLO}profiles:\n  baseline: {{closed: true, duration: {}, connections: 4}}\n  users: \
             {{rate: {}/s, duration: 10m, connections: 48}}\n",
            pace.load, pace.rate
        );
        repository::add_file(&git, "slo/slo_manifest.yaml", &slo, "chore: state objectives")?;
        repository::push(&git)?;
        let mut scene = Self { stage, git, front, traffic: None, running: vec![base, router] };
        scene.traffic = Some(scene.start_traffic()?);
        Ok(scene)
    }

    fn start_traffic(&self) -> Result<Actor, Failure> {
        self.stage.start_quiet(&[
            "load",
            "--json",
            "--manifest",
            "slo/slo_manifest.yaml",
            "--profile",
            "users",
            "--target",
            &self.front,
        ])
    }

    /// Act 1: tag, gates, canary to 100 %, promote, evidence.
    pub(crate) fn good(&mut self) -> Result<Left, Failure> {
        self.stage.say("\nAct 1: a good release");
        repository::add(&self.git, &GOOD)?;
        let (release, url) = self.candidate()?;
        self.expect(&["canary", "start", "--deployment-url", &url, "--rc", &release], &[0])?;
        self.expect(&["promote", "--rc", &release], &[0])?;
        let tag = release.split("-rc.").next().unwrap_or(&release).to_owned();
        self.evidence(&tag)
    }

    /// Act 2: the same gates pass, and only real users show what is wrong.
    pub(crate) fn bad(&mut self) -> Result<Left, Failure> {
        self.stage
            .say("\nAct 2: a bad release: its checkout is slow, then fails, for real users only");
        repository::add(&self.git, &BAD)?;
        let (release, url) = self.candidate()?;
        let faults = json!({
            "base_ms": 2, "slow": 100, "slow_ms": 400, "errors": 6000, "errors_at": "POST /checkout",
        });
        put(&format!("{url}/_control"), &faults).map_err(|error| {
            Failure::new(Code::Bug, Exit::Bug, format!("the sample service: {error}"))
        })?;
        self.expect(&["canary", "start", "--deployment-url", &url, "--rc", &release], &[6])?;
        self.stage.say("\nthe same job again ships nothing: the commit is condemned");
        self.expect(&["canary", "start", "--deployment-url", &url, "--rc", &release], &[1])?;
        self.evidence(&release)
    }

    /// Act 3: orca dies in the middle of a canary, and nobody is there.
    pub(crate) fn left_alone(&mut self) -> Result<(), Failure> {
        self.stage.say("\nAct 3: orca dies in the middle of a canary, and nobody is there");
        let path = self.stage.repository().join("orca.yaml");
        let config = atomic_file::read_text(&path, limits::INPUT_FILE_BYTES_MAX)
            .map_err(|error| stage::file(&path, &error))?;
        let start = config.find("  stages:").unwrap_or(config.len());
        let config = format!("{}{ALONE}", &config[..start]);
        repository::add_file(&self.git, "orca.yaml", &config, "chore: shorter grants")?;
        repository::add(&self.git, &repository::LEFT_ALONE)?;
        let (release, url) = self.candidate()?;
        let start = ["canary", "start", "--deployment-url", &url, "--rc", &release];
        self.stage.say(format!("\n$ orca {} &", start.join(" ")));
        let canary = self.stage.start_quiet(&start)?;
        self.until("the canary has 25 %", |weight| weight == 2_500)?;
        self.stage.say(format!("  => 25 % of users are on {release}"));
        self.stage.say(format!("\n$ kill -9 {}", canary.id()));
        canary.kill();
        let killed = clock::monotonic();
        self.until("users are on base", |weight| weight == 0)?;
        let took = Micros(clock::elapsed_us(killed));
        self.stage.say(format!(
            "  => nobody renewed the grant: {took} later the router has all users on base"
        ));
        self.stage.say("\n$ orca canary resume    # once the dead process's lease is over");
        let resumed = self.resumed()?;
        self.stage.say(format!("  => {}", text(&resumed, "reason")));
        self.until("resume raises nothing", |weight| weight == 0)
    }

    /// Waits until the router gives the canary such a weight, in basis points.
    fn until(&self, what: &str, is_so: impl Fn(u64) -> bool) -> Result<(), Failure> {
        let since = clock::monotonic();
        while since.elapsed() < PATIENCE {
            let status = self.stage.ask(&["release", "status"])?.json();
            let weight = status.pointer("/platform/weight_bp").and_then(Value::as_u64);
            if weight.is_some_and(&is_so) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        let text = format!("the demo waited {} s until {what}", PATIENCE.as_secs());
        Err(Failure::new(Code::Bug, Exit::Bug, text)
            .hint(format!("the scene is kept in {}", self.stage.folder().display())))
    }

    /// Refused while the lease of the dead process lives: nobody may take over from a living one.
    fn resumed(&self) -> Result<Value, Failure> {
        let since = clock::monotonic();
        loop {
            let played = self.stage.ask(&["canary", "resume"])?;
            let said = played.json();
            if played.code == Some(Exit::MovedBack.code().into()) {
                return Ok(said);
            }
            if played.code != Some(Exit::Closed.code().into()) || since.elapsed() > PATIENCE {
                let text = format!("orca canary resume: {}", text(&said, "message"));
                return Err(Failure::new(Code::Bug, Exit::Bug, text));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Tags a candidate, runs its service, and judges it by preflight and load.
    fn candidate(&mut self) -> Result<(String, String), Failure> {
        let tagged = self.expect(&["release", "tag", "--rc"], &[0])?.json();
        let release = text(&tagged, "release");
        let commit = text(&tagged, "commit");
        self.expect(&["preflight"], &[0])?;
        let (service, said) = start_service(self.stage, &commit)?;
        self.running.push(service);
        let url = text(&said, "url");
        self.load(&release, &url)?;
        Ok((release, url))
    }

    /// The load gate. A machine that was too busy to keep to the schedule decides nothing, so the
    /// load runs again, a few times.
    fn load(&self, release: &str, url: &str) -> Result<(), Failure> {
        let args = ["load", "--rc", release, "--target", url];
        for _attempt in 0..4 {
            let played = self.expect(&args, &[0, Exit::Inconclusive.code().into()])?;
            if played.code == Some(0) {
                return Ok(());
            }
        }
        self.expect(&args, &[0]).map(drop)
    }

    fn evidence(&self, tag: &str) -> Result<Left, Failure> {
        let made = self.expect(&["evidence", "generate", "--tag", tag], &[0])?.json();
        let whole = |key: &str| {
            let path = self.stage.repository().join(text(&made, key).trim_start_matches("./"));
            path.display().to_string()
        };
        let (pack, key) = (whole("pack"), whole("public_key"));
        self.expect(&["evidence", "verify", &pack, "--key", &key], &[0])?;
        Ok(Left { release: tag.to_owned(), pack, report: whole("report"), key })
    }

    fn expect(&self, args: &[&str], codes: &[i32]) -> Result<Played, Failure> {
        let played = self.stage.play(args)?;
        let shown = played.json();
        for key in ["headline", "reason"] {
            if let Some(line) = shown.get(key).and_then(Value::as_str).filter(|l| !l.is_empty()) {
                self.stage.say(format!("  => {line}"));
            }
        }
        if played.code.is_some_and(|code| codes.contains(&code)) {
            return Ok(played);
        }
        let text = format!("orca {} ended with {:?}, not {codes:?}", args.join(" "), played.code);
        Err(Failure::new(Code::Bug, Exit::Bug, text)
            .hint(format!("the scene is kept in {}", self.stage.folder().display())))
    }

    /// Ends the users' traffic and says what they saw.
    pub(crate) fn finish(mut self) -> Value {
        let printed = self.traffic.take().map(Actor::interrupt).unwrap_or_default();
        serde_json::from_str(&printed).unwrap_or_default()
    }
}

fn seed() -> [u8; 32] {
    let entropy = Entropy::from_system();
    let mut seed = [0_u8; 32];
    for chunk in seed.chunks_mut(8) {
        chunk.copy_from_slice(&entropy.next_u64().to_le_bytes());
    }
    seed
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn start_service(stage: &Stage, commit: &str) -> Result<(Actor, Value), Failure> {
    let digest = Digest::of(commit.as_bytes()).to_string();
    stage.start(&[
        "sample-service",
        "--digest",
        &digest,
        "--listen",
        "127.0.0.1:0",
        "--commit",
        commit,
        "--base-ms",
        "2",
    ])
}

fn config(pace: Pace, admin: &str, front: &str) -> String {
    let [one, five, quarter, all] = pace.bake;
    format!(
        "version: 1\nservice: {{name: shop, environment: production}}\nplatform:\n  kind: router\n  \
         admin: {admin}\n  url: {front}\ngates:\n  load: {{profile: baseline}}\ncanary:\n  p95_ratio_max_pct: 2000\n  error_increase_max: 2%\n  stages:\n    \
         - {{weight: 1%, bake: {one}, max_hold: 30s, decide_by: paired, paired_rate: 150/s}}\n    \
         - {{weight: 5%, bake: {five}, max_hold: 30s}}\n    \
         - {{weight: 25%, bake: {quarter}, max_hold: 30s}}\n    \
         - {{weight: 100%, bake: {all}, max_hold: 30s}}\n"
    )
}
