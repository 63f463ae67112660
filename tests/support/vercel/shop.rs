//! A repository that ships to the fake: with its remote, its key, and candidates that are built.

use std::process::Command;

use super::{Deployed, PROJECT, TEAM, TOKEN, VercelFake};
use crate::support::fleet::{KEY, lease_ends, text};
use crate::support::{Run, Running, World, keeping_up};

pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) vercel: VercelFake,
    /// What served first.
    pub(crate) base: Deployed,
}

/// A candidate whose gates are open, on a deployment of its own.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) release: String,
    pub(crate) deployment: Deployed,
}

/// One stage, as short as a test can bear.
pub(crate) fn stage(weight: &str) -> String {
    format!("{{weight: {weight}, bake: 2s, max_hold: 20s, decide_by: paired, paired_rate: 100/s}}")
}

impl Shop {
    pub(crate) fn start(weights: &[&str]) -> Self {
        let world = World::repository();
        world.git(&["remote", "add", "origin", "../origin.git"]);
        world.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"]);
        let pem = format!("-----BEGIN {0}-----\n{KEY}\n-----END {0}-----\n", "PRIVATE KEY");
        std::fs::write(world.folder().join("../orca.key"), pem).expect("a new file");
        let commit = world.git(&["rev-parse", "HEAD"]);
        let (vercel, base) = VercelFake::start(&commit);
        let stages: Vec<String> =
            weights.iter().map(|weight| format!("    - {}\n", stage(weight))).collect();
        let config = format!(
            "version: 1\nservice: {{name: shop, environment: production}}\nplatform:\n  kind: \
             vercel\n  project: {PROJECT}\n  url: {}\n  back_within: 4s\ngates:\n  load: {{profile: \
             baseline}}\ncanary:\n  p95_ratio_max_pct: 1000\n  error_increase_max: 5%\n  \
             stages:\n{}deploy: \
             {{uptime: 99%, p95: 5s, p99: 10s, drain: 100ms}}\n",
            vercel.front,
            stages.concat()
        );
        world.write("orca.yaml", &config);
        world.write("slo/slo_manifest.yaml", MANIFEST);
        world.write(".gitignore", ".orca/\n");
        world.commit("chore: set up orca");
        let shop = Self { world, vercel, base };
        shop.push();
        shop
    }

    pub(crate) fn push(&self) {
        self.world.git(&["push", "--quiet", "--follow-tags", "origin", "main"]);
    }

    /// The command with what Vercel needs, by the real clock.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.env_remove("ORCA_TEST_NOW_US").env_remove("ORCA_TEST_SEED");
        command.env("ORCA_SIGNING_KEY", self.world.folder().join("../orca.key"));
        command.env("ORCA_ACTOR", "ada");
        command.env("VERCEL_API_URL", &self.vercel.api).env("VERCEL_TOKEN", TOKEN);
        command.env("VERCEL_ORG_ID", TEAM);
        command
    }

    pub(crate) fn orca(&self, args: &[&str]) -> Run {
        Run::of(self.command(args))
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// A fix becomes a candidate: tagged, and judged by preflight. Its name and commit.
    pub(crate) fn tagged(&self) -> (String, String) {
        self.world.commit("fix(cart): count twice");
        self.push();
        let tagged = self.orca(&["release", "tag", "--rc", "--json"]).expect_code(0).json();
        self.orca(&["preflight"]).expect_code(0);
        (text(&tagged, "release"), text(&tagged, "commit"))
    }

    /// The same, built and loaded.
    pub(crate) fn candidate(&self) -> Candidate {
        let (release, commit) = self.tagged();
        let deployment = self.vercel.deploy(&commit);
        let target = ["load", "--rc", &release, "--target", &deployment.url];
        keeping_up(|| self.orca(&target)).expect_code(0);
        Candidate { release, deployment }
    }

    /// The canary of this candidate, as one types it.
    pub(crate) fn canary(candidate: &Candidate) -> [&str; 7] {
        let (url, release) = (candidate.deployment.url.as_str(), candidate.release.as_str());
        ["canary", "start", "--json", "--deployment-url", url, "--rc", release]
    }

    /// Ships a candidate to its end.
    pub(crate) fn promoted(&self) -> Candidate {
        let candidate = self.candidate();
        self.orca(&Self::canary(&candidate)).expect_code(0);
        self.orca(&["promote", "--rc", &candidate.release]).expect_code(0);
        candidate
    }

    /// The time of the lease passes.
    pub(crate) fn lease_ends(&self) {
        lease_ends(&self.world);
    }

    /// Who serves the domain.
    pub(crate) fn production(&self) -> String {
        self.vercel.change(|project| {
            project.settle();
            project.production.clone()
        })
    }

    /// Share of visitors on the canary while a release is under way, in percent.
    pub(crate) fn percent(&self) -> u32 {
        self.vercel.change(|project| project.rolling.percent())
    }
}

/// The load of the gate is a closed loop: it is the same on a machine that stands still for a while.
const MANIFEST: &str = "\
version: 1
defaults:
  min_samples: 50
  objectives: [\"p90 < 5s\", \"errors < 5%\"]
endpoints:
  - {name: trust, method: GET, path: /api/trust, weight: 4, safe: true}
  - {name: checkout, method: POST, path: /checkout, weight: 2, safe: false}
profiles:
  baseline: {closed: true, duration: 1s, connections: 2}
";
