//! A small release for tests: a candidate judged by one check, shifted and promoted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::base::clock::{Entropy, Timestamp};
use crate::base::digest::Digest;
use crate::base::dsse::SigningKey;
use crate::base::ids::{CheckId, CommitId, DeploymentId, Environment, OrcaId, ReleaseName};
use crate::base::units::Weight;
use crate::evidence::bundle::{Bundle, LedgerBytes};
use crate::evidence::chart::NINES;
use crate::evidence::manifest::EvidenceManifest;
use crate::gate::check::{Check, Look, RuleId, Series, Unseen};
use crate::gate::clearance::{ClearanceRecord, RaiseSubject};
use crate::gate::exhibit::{self, Exhibit, Sight};
use crate::gate::phase::Phase;
use crate::gate::rules::Rules;
use crate::gate::ruling::{self, Judged, Mode, Subject};
use crate::gate::verdict::{Finding, Judgement, Measure, Unit, Verdict};
use crate::gate::waiver::{Role, Waiver};
use crate::ledger::entry::{
    self, Actor, Body, Entry, Promoted, RcTagged, RolledBack, RolloutStarted, StageDecided,
    TrafficProof,
};
use crate::ledger::sign::TrustedKey;

/// A check whose limit is a latency.
pub(crate) struct Latency;

#[derive(Serialize, Deserialize)]
pub(crate) struct LatencyPolicy {
    pub(crate) p95_us_max: i64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct LatencySeen {
    pub(crate) base: Vec<(i64, i64)>,
    pub(crate) canary: Vec<(i64, i64)>,
    pub(crate) samples: u64,
}

impl Check for Latency {
    type Policy = LatencyPolicy;
    type Seen = LatencySeen;
    const RULE: RuleId = RuleId { name: "load.slo", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("load.slo").unwrap()
    }

    fn policy(&self) -> LatencyPolicy {
        LatencyPolicy { p95_us_max: 500_000 }
    }

    async fn observe(&self, _: &Look) -> Result<LatencySeen, Unseen> {
        Ok(LatencySeen { base: Vec::new(), canary: Vec::new(), samples: 0 })
    }

    fn judge(policy: &LatencyPolicy, seen: &LatencySeen) -> Judgement {
        let p95 = seen.canary.iter().find(|p| p.0 == 950_000).map(|p| p.1);
        let slow = p95.is_some_and(|v| v > policy.p95_us_max);
        let measure = Measure {
            asked: "p95 < 500ms".into(),
            seen: p95,
            lower: p95.map(|v| v - v / 20),
            upper: p95.map(|v| v + v / 20),
            limit: Some(policy.p95_us_max),
            unit: Unit::Microseconds,
            samples: seen.samples,
            verdict: if slow { Verdict::Fail } else { Verdict::Pass },
        };
        let judgement = if slow {
            let finding = Finding {
                fingerprint: "p95".into(),
                title: "p95 is above 500 ms".into(),
                place: None,
                value: p95.unwrap_or_default(),
                unit: Unit::Microseconds,
                next: "look at the slowest endpoint".into(),
            };
            Judgement::fail("p95 is too slow", "order-statistic interval", finding)
        } else {
            Judgement::pass("p95 is within 500 ms", "order-statistic interval")
        };
        judgement.with_measures(vec![measure])
    }

    fn chart(_: &LatencyPolicy, seen: &LatencySeen) -> Vec<Series> {
        [("base", &seen.base), ("canary", &seen.canary)]
            .map(|(name, points)| Series {
                title: "Latency of canary and base".into(),
                name: name.into(),
                x_unit: NINES.into(),
                y_unit: "us".into(),
                points: points.clone(),
            })
            .into()
    }
}

pub(crate) fn rules() -> Rules {
    Rules::default().with::<Latency>()
}

/// That key, trusted for what a CI job signs.
pub(crate) fn trusted() -> TrustedKey {
    TrustedKey {
        id: "ci-2026".into(),
        key: key().public(),
        roles: vec![Role::Ci],
        valid_from: None,
        valid_until: None,
        revoked_at: None,
    }
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// A bundle under construction.
pub(crate) struct Story {
    pub(crate) bundle: Bundle,
    entropy: Entropy,
    at: Timestamp,
}

impl Story {
    /// A candidate, tagged with `reason`.
    pub(crate) fn begin(reason: &str) -> Self {
        let mut story = Self {
            bundle: Bundle {
                release: ReleaseName::new("v1.4.0").unwrap(),
                commit: CommitId::new("4".repeat(40)).unwrap(),
                ledger: Vec::new(),
                exhibits: BTreeMap::new(),
                files: [("release/notes.md".to_owned(), b"# v1.4.0\n".to_vec())].into(),
                manifest: EvidenceManifest::shipped(),
            },
            entropy: Entropy::seeded(1),
            at: Timestamp::parse_rfc3339("2026-11-21T04:05:06Z").unwrap(),
        };
        let tagged = RcTagged {
            release: ReleaseName::new("v1.4.0-rc.1").unwrap(),
            commit: story.bundle.commit.clone(),
            version: semver::Version::new(1, 4, 0),
            since: Some(ReleaseName::new("v1.3.2").unwrap()),
            reason: reason.to_owned(),
        };
        story.add(Body::RcTagged(tagged));
        story
    }

    pub(crate) fn id(&self, kind: &str) -> OrcaId {
        OrcaId::generate(kind, &self.entropy)
    }

    pub(crate) fn add(&mut self, body: Body) {
        self.at = self.at.plus_us(1_000_000);
        let prev = self.bundle.ledger.last().map(|before| Digest::of(&before.entry));
        let entry = Entry {
            schema: entry::SCHEMA.into(),
            id: self.id("en"),
            prev_sha256: prev,
            at: self.at,
            actor: Actor { name: "ana".into(), role: None },
            orca: "0.1.0".into(),
            environment: None,
            epoch: None,
            body,
            exhibits: Vec::new(),
        };
        self.bundle.ledger.push(LedgerBytes { entry: entry.bytes(), dsse: None });
    }

    /// A gate of one check that saw this 95th percentile on the canary.
    pub(crate) fn rule(&mut self, phase: Phase, gate: &str, p95_us: i64) -> Digest {
        let exhibit = Exhibit {
            schema: exhibit::SCHEMA.into(),
            check: CheckId::new("load.slo").unwrap(),
            rule: "load.slo".into(),
            rule_version: 1,
            policy: json!({"p95_us_max": 500_000}),
            sight: Sight::Seen {
                seen: json!({"samples": 12_000, "base": curve(180_000), "canary": curve(p95_us)}),
            },
            observed_at: self.at,
            took_us: 20_000_000,
        };
        let subject = Subject {
            commit: self.bundle.commit.clone(),
            digest: None,
            environment: Environment::new("production").unwrap(),
        };
        let judged = [Judged { exhibit: exhibit.clone(), required: true, max_age_us: 1 << 40 }];
        let how = (subject, Mode::Enforce);
        let ruling = ruling::rule(gate, how, &judged, &rules(), (&[], self.at));
        self.bundle.exhibits.insert(exhibit.digest(), exhibit.bytes());
        self.add(Body::Ruled { phase, ruling: Box::new(ruling.record().clone()) });
        exhibit.digest()
    }

    /// Tolerates the finding of [`Latency`] up to `worst`, for an hour.
    pub(crate) fn waive(&mut self, worst: i64) {
        let waiver = Waiver {
            id: self.id("wa"),
            check: CheckId::new("load.slo").unwrap(),
            finding: "p95".into(),
            worst,
            until: self.at.plus_us(3_600_000_000),
            reason: "known, SHOP-9".into(),
            by: "ana".into(),
            role: Role::Engineering,
            only: None,
        };
        self.add(Body::Waived { waiver });
    }

    /// A raise of this commit was permitted.
    pub(crate) fn clear(&mut self) {
        let subject = Subject {
            commit: self.bundle.commit.clone(),
            digest: None,
            environment: Environment::new("production").unwrap(),
        };
        let serving = DeploymentId::new("http://127.0.0.1:4001").unwrap();
        let clearance = ClearanceRecord {
            id: self.id("cl"),
            subject: RaiseSubject {
                subject,
                gate_set: Digest::of(b"gates"),
                serving,
                platform: None,
            },
            rulings: Vec::new(),
            issued_at: self.at,
            expires_at: self.at.plus_us(3_600_000_000),
        };
        self.add(Body::Cleared { clearance, phase: Phase::Canary });
    }

    pub(crate) fn rollout(&mut self, stages: &[(u32, u32, i64)]) {
        let rollout = self.id("ro");
        let started = RolloutStarted {
            rollout: rollout.clone(),
            release: ReleaseName::new("v1.4.0-rc.1").unwrap(),
            commit: self.bundle.commit.clone(),
            digest: None,
            canary: DeploymentId::new("http://127.0.0.1:4002").unwrap(),
            base: DeploymentId::new("http://127.0.0.1:4001").unwrap(),
            base_commit: None,
            plan: json!({}),
        };
        self.add(Body::RolloutStarted(started));
        for (stage, weight, p95_us) in stages {
            self.rule(Phase::Canary, &format!("canary.stage-{stage}"), *p95_us);
            let bad = *p95_us > 500_000;
            let weight = Weight::from_basis_points(*weight).unwrap();
            let canary_requests = u64::from(weight.basis_points()) * 2;
            self.add(Body::StageDecided(StageDecided {
                rollout: rollout.clone(),
                stage: *stage,
                weight,
                verdict: if bad { Verdict::Fail } else { Verdict::Pass },
                next: if bad { "abort" } else { "raise" }.into(),
                headline: if bad { "p95 is too slow" } else { "within the limits" }.into(),
                base_requests: 20_000 - canary_requests,
                base_errors: 3,
                canary_requests,
                canary_errors: if bad { 41 } else { 0 },
            }));
        }
    }

    pub(crate) fn promoted(mut self) -> Bundle {
        self.add(Body::Promoted(Promoted {
            release: self.bundle.release.clone(),
            commit: self.bundle.commit.clone(),
            digest: None,
            deployment: DeploymentId::new("http://127.0.0.1:4002").unwrap(),
            previous: DeploymentId::new("http://127.0.0.1:4001").unwrap(),
            previous_commit: None,
        }));
        self.bundle
    }

    pub(crate) fn rolled_back(mut self) -> Bundle {
        self.add(Body::RolledBack(RolledBack {
            release: Some(self.bundle.release.clone()),
            commit: Some(self.bundle.commit.clone()),
            from: None,
            to: DeploymentId::new("http://127.0.0.1:4001").unwrap(),
            seen: crate::gate::clearance::SeenLive::Platform { platform: "router".into() },
            reason: "p95 of the canary is 1.2 s, the limit is 500 ms".into(),
            verified: TrafficProof::Verified,
            moved_us: 900,
            verified_us: Some(4_000),
        }));
        self.bundle
    }
}

/// A latency curve by quantile with this 95th percentile.
fn curve(p95_us: i64) -> Vec<(i64, i64)> {
    [(0, 10), (500_000, 35), (750_000, 52), (900_000, 80), (950_000, 100), (990_000, 160)]
        .into_iter()
        .chain([(995_000, 185), (999_000, 240), (999_900, 330)])
        .map(|(quantile, percent)| (quantile, p95_us * percent / 100))
        .collect()
}

/// A release that went well.
pub(crate) fn good() -> Bundle {
    let mut story = Story::begin("2 features since v1.3.2");
    story.rule(Phase::Preflight, "preflight", 150_000);
    story.rule(Phase::Load, "load", 310_000);
    story.rollout(&[
        (1, 100, 190_000),
        (2, 500, 200_000),
        (3, 2_500, 210_000),
        (4, 10_000, 220_000),
    ]);
    story.promoted()
}

/// A release that was caught at 5 %.
pub(crate) fn bad() -> Bundle {
    let mut story = Story::begin("a fix since v1.4.0");
    story.rule(Phase::Load, "load", 420_000);
    story.rollout(&[(1, 100, 230_000), (2, 500, 1_200_000)]);
    story.rolled_back()
}

/// The smallest one that is complete.
pub(crate) fn small() -> Bundle {
    let mut story = Story::begin("a fix");
    story.rule(Phase::Load, "load", 100);
    story.rollout(&[(1, 10_000, 100)]);
    story.promoted()
}
