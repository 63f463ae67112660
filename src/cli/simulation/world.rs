//! The false world: time, the router with its users, the git remote and its clones, and how much
//! bad luck there is. Everything that happens happens here, in one order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::audit::Audit;
use super::dice::Dice;
use super::storage::Git;
use super::truth::Users;
use crate::base::clock::{self, Timestamp};
use crate::base::ids::{CommitId, DeploymentId};
use crate::rollout::plan::RolloutPlan;
use crate::router::state::{RouterState, Upstream};

pub(super) type Shared = Arc<Mutex<World>>;

/// How much of each kind of bad luck a schedule may have, per thousand calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Luck {
    pub(super) calls: u64,
    pub(super) reads: u64,
    pub(super) deaths: u64,
    pub(super) lies: u64,
    pub(super) stalls: u64,
    pub(super) disk: u64,
    pub(super) remote: u64,
    pub(super) slow_ledger: u64,
}

/// What the platform does for orca beside splitting traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Grants, epochs and generations, as orca's router has them.
    Router,
    /// None of them, as on Vercel: a weight stands until somebody takes it back, a raise names the
    /// stage that it comes from, and what was accepted may show later.
    Hosted,
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) start: tokio::time::Instant,
    pub(super) begins: Timestamp,
    pub(super) luck: Luck,
    pub(super) plan: RolloutPlan,
    pub(super) router: RouterState,
    pub(super) users: Users,
    pub(super) git: Git,
    pub(super) audit: Audit,
    pub(super) kind: Kind,
    pub(super) gates_pass: bool,
    pub(super) gate_max_age_secs: u64,
    pub(super) skew_us_max: u64,
    /// Clone and span (microseconds since the beginning) in which it cannot reach the remote.
    pub(super) outages: Vec<(usize, i64, i64)>,
    /// Spans in which the platform's own interface answers nobody.
    pub(super) away: Vec<(i64, i64)>,
    /// How often each place was passed.
    pub(super) passed: BTreeMap<String, u32>,
    /// What happened, for people; kept only when somebody reads it.
    pub(super) story: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(dice: Dice, plan: RolloutPlan, tells: bool) -> Self {
        let begins = Timestamp::from_us(1_800_000_000_000_000);
        Self {
            dice,
            start: tokio::time::Instant::from_std(clock::monotonic()),
            begins,
            luck: Luck::default(),
            plan,
            router: RouterState::all_base(upstream("http://a")),
            users: Users::new(begins),
            git: Git::default(),
            audit: Audit::default(),
            kind: Kind::Router,
            gates_pass: true,
            gate_max_age_secs: 600,
            skew_us_max: 0,
            outages: Vec::new(),
            away: Vec::new(),
            passed: BTreeMap::new(),
            story: tells.then(Vec::new),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.begins.plus(self.elapsed())
    }

    /// The clones that somebody works in.
    pub(super) fn used_clones(&self) -> Vec<usize> {
        (0..self.git.clones.len()).filter(|clone| self.git.clones[*clone].used).collect()
    }

    /// How far the clock of a process is off.
    pub(super) fn skew_us(&self, name: &str) -> i64 {
        let span = self.skew_us_max * 2 + 1;
        let drawn = self.dice.below(&format!("{name}.skew"), span);
        i64::try_from(drawn).unwrap_or(0) - i64::try_from(self.skew_us_max).unwrap_or(0)
    }

    /// The name of this passing of a place.
    pub(super) fn place(&mut self, who: &str, call: &str) -> String {
        let count = self.passed.entry(format!("{who}.{call}")).or_default();
        *count += 1;
        format!("{who}.{call}#{count}")
    }

    /// Whether bad luck of this chance strikes here.
    pub(super) fn misfortune(&mut self, place: &str, per_mille: u64, what: &str) -> bool {
        if per_mille == 0 {
            return false;
        }
        let place = format!("{place} {what}");
        if !self.dice.happens(&place, per_mille) {
            return false;
        }
        self.audit.quiet = false;
        self.tell("fate", &place);
        true
    }

    pub(super) fn tell(&mut self, who: &str, text: &str) {
        let at = self.start.elapsed();
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9.3} {who}: {text}", at.as_secs_f64()));
        }
    }

    /// Brings router and users up to now: a grant whose time has come ends.
    pub(super) fn pass(&mut self) {
        let now = self.now();
        if let Some(until) = self.router.grant_until.filter(|until| *until <= now)
            && let Some(next) = self.router.tick(now)
        {
            self.users.pass(until, &self.router);
            self.router = next;
            self.tell("router", "the grant ended");
        }
        self.users.pass(now, &self.router);
    }

    /// Whether the platform answers now.
    pub(super) fn reaches_platform(&self) -> bool {
        let at = i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX);
        !self.away.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// Whether `clone` can reach the remote now.
    pub(super) fn reaches_remote(&self, clone: usize) -> bool {
        let at = i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX);
        !self.outages.iter().any(|(c, from, to)| *c == clone && (*from..*to).contains(&at))
    }
}

/// The deployment of one letter runs the commit of that letter.
pub(super) fn commit_of(deployment: &str) -> Option<CommitId> {
    let letter = deployment.strip_prefix("http://")?;
    CommitId::new(letter.repeat(40)).ok()
}

pub(super) fn deployment(name: &str) -> DeploymentId {
    DeploymentId::new(name).expect("a constant deployment")
}

pub(super) fn upstream(name: &str) -> Upstream {
    Upstream {
        deployment: name.to_owned(),
        url: name.to_owned(),
        commit: commit_of(name).map(|commit| commit.to_string()),
        digest: None,
    }
}
