//! One run on several machines. Shard `i` of `n` takes the tickets `i - 1`, `i - 1 + n` and so on
//! of the one schedule, so no machine tells another anything while it runs.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::Draft;
use super::slo_check::Policy;
use crate::base::digest::Digest;

/// Most shards of one run.
pub(crate) const SHARDS_MAX: u32 = 1_000;

/// Which part of a run this machine sends. The default is all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 1.
    index: u32,
    count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 1, count: 1 }
    }
}

impl Shard {
    pub(crate) fn is_whole(self) -> bool {
        self.count == 1
    }

    pub(crate) fn index(self) -> u32 {
        self.index
    }

    pub(crate) fn count(self) -> u32 {
        self.count
    }

    /// The first ticket of one of `workers` workers, and how far it is to its next.
    pub(crate) fn tickets(self, worker: u32, workers: u32) -> (u64, u64) {
        let count = u64::from(self.count);
        let first = u64::from(self.index - 1) + count * u64::from(worker);
        (first, count * u64::from(workers))
    }
}

impl FromStr for Shard {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("write it as 3/8: the third of eight, at most {SHARDS_MAX}");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let index: u32 = index.trim().parse().map_err(|_| wrong())?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        if (1..=count).contains(&index) && count <= SHARDS_MAX {
            Ok(Self { index, count })
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

/// What a shard's result says about the run it is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ShardRecord {
    /// From 1.
    pub(crate) index: u32,
    pub(crate) count: u32,
    /// SHA-256 of everything that all shards must agree on.
    pub(crate) plan: String,
    /// When the first request was due, in microseconds since 1970.
    pub(crate) started_us: i64,
    /// Mean rate of the whole run; absent when closed.
    pub(crate) asked_milli_per_s: Option<u64>,
    /// By what the whole is judged.
    pub(crate) policy: Policy,
}

/// The digest of what all shards must agree on. Header values may be secrets and differ between
/// machines, so only their names count.
pub(crate) fn plan_digest(plan: &Draft, policy: &Policy) -> String {
    let endpoints: Vec<_> = plan
        .endpoints
        .iter()
        .map(|e| {
            let headers: Vec<&str> = e.headers.iter().map(|(name, _)| name.as_str()).collect();
            (&e.name, &e.method, &e.path, headers, &e.body, e.weight, &e.expect)
        })
        .collect();
    let shape = (&plan.shape, plan.timeout, plan.keep_alive, plan.http2, plan.shard.count());
    let policy = serde_json::to_string(policy).expect("a policy is plain data");
    let text = format!("{:?}\n{endpoints:?}\n{shape:?}\n{policy}", plan.target);
    Digest::of(text.as_bytes()).hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::tests::draft;

    #[test]
    fn shards_and_their_workers_split_the_tickets_without_gap_or_double() {
        let mut all = Vec::new();
        for index in 1..=3 {
            let shard: Shard = format!("{index}/3").parse().unwrap();
            for worker in 0..2 {
                let (first, step) = shard.tickets(worker, 2);
                all.extend((0..5).map(|n| first + n * step));
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
        assert_eq!(Shard::default().tickets(1, 4), (1, 4));
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in ["0/8", "9/8", "3", "a/b", "1/0", "-1/8", "1/1001"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("8/8".parse::<Shard>().unwrap().to_string(), "8/8");
    }

    #[test]
    fn the_digest_tells_plans_apart_but_no_secrets_and_no_machines() {
        let digest = |change: fn(&mut Draft)| {
            let mut plan = draft(80);
            change(&mut plan);
            plan_digest(&plan, &Policy::default())
        };
        let base = digest(|_| {});
        assert_eq!(digest(|d| d.connections = 99), base);
        assert_ne!(digest(|d| d.endpoints[0].path = "/b".into()), base);
        assert_ne!(digest(|d| d.target.port = 81), base);
        let token = |value: &str| {
            let mut plan = draft(80);
            plan.endpoints[0].headers = vec![("authorization".into(), value.into())];
            plan_digest(&plan, &Policy::default())
        };
        assert_eq!(token("a"), token("b"));
    }
}
