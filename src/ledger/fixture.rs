//! Chains of entries for tests.

use std::collections::BTreeMap;

use super::chain::{Link, verify};
use super::entry::*;
use super::fold::State;
use crate::base::clock::{Entropy, Timestamp};
use crate::base::digest::Digest;
use crate::base::ids::*;
use crate::base::units::Weight;
use crate::gate::clearance::{ClearanceRecord, RaiseSubject, SeenLive};
use crate::gate::phase::Phase;
use crate::gate::ruling::{Mode, RulingRecord, Subject};
use crate::gate::verdict::Verdict;
use crate::gate::waiver::{Role, Waiver};

/// Writes a chain, one second an entry.
#[derive(Clone)]
pub(crate) struct Told {
    entropy: Entropy,
    entries: Vec<Entry>,
}

pub(crate) fn environment(name: &str) -> Environment {
    Environment::new(name).unwrap()
}

pub(crate) fn commit(digit: char) -> CommitId {
    CommitId::new(digit.to_string().repeat(40)).unwrap()
}

pub(crate) fn deployment(name: &str) -> DeploymentId {
    DeploymentId::new(name).unwrap()
}

pub(crate) fn release(name: &str) -> ReleaseName {
    ReleaseName::new(name).unwrap()
}

pub(crate) fn id(text: &str) -> OrcaId {
    OrcaId::new(text).unwrap()
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_us(secs * 1_000_000)
}

pub(crate) fn waived(check: &str) -> Body {
    let waiver = Waiver {
        id: id("wa_1"),
        check: CheckId::new(check).unwrap(),
        finding: "f".into(),
        worst: 1,
        until: at(1_000),
        reason: "known".into(),
        by: "ana".into(),
        role: Role::Engineering,
        only: None,
    };
    Body::Waived { waiver }
}

pub(crate) fn rc(name: &str, digit: char, version: &str) -> Body {
    Body::RcTagged(RcTagged {
        release: release(name),
        commit: commit(digit),
        version: version.parse().unwrap(),
        since: None,
        reason: "feat".into(),
    })
}

/// Rollout `ro_<digit>` of the commit of that digit, on deployment `d<digit>`.
pub(crate) fn rollout(name: &str, digit: char, base: &str) -> Body {
    Body::RolloutStarted(RolloutStarted {
        rollout: id(&format!("ro_{digit}")),
        release: release(name),
        commit: commit(digit),
        digest: None,
        canary: deployment(&format!("d{digit}")),
        base: deployment(base),
        base_commit: None,
        plan: serde_json::json!({}),
    })
}

pub(crate) fn ended(digit: char, end: RolloutEnd) -> Body {
    Body::RolloutEnded { rollout: id(&format!("ro_{digit}")), end, reason: "x".into() }
}

pub(crate) fn cleared(name: &str, digit: char, expires: i64) -> Body {
    let subject =
        Subject { commit: commit(digit), digest: None, environment: environment("production") };
    let clearance = ClearanceRecord {
        id: id(name),
        subject: RaiseSubject {
            subject,
            gate_set: Digest::of(b"gates"),
            serving: deployment("d0"),
            platform: None,
        },
        rulings: Vec::new(),
        issued_at: at(0),
        expires_at: at(expires),
    };
    Body::Cleared { clearance, phase: Phase::Canary }
}

pub(crate) fn raise(step: &str, digit: char, clearance: &str) -> Body {
    Body::RaiseIntended {
        step: id(step),
        rollout: id(&format!("ro_{digit}")),
        clearance: id(clearance),
        from: Weight::ZERO,
        to: Weight::from_basis_points(100).unwrap(),
    }
}

pub(crate) fn step_ended(step: &str, outcome: Outcome) -> Body {
    Body::StepEnded { step: id(step), outcome, detail: String::new() }
}

pub(crate) fn promoted(name: &str, digit: char, previous: &str) -> Body {
    Body::Promoted(Promoted {
        release: release(name),
        commit: commit(digit),
        digest: None,
        deployment: deployment(&format!("d{digit}")),
        previous: deployment(previous),
        previous_commit: None,
    })
}

pub(crate) fn rolled_back(digit: char, to: &str, verified: TrafficProof) -> Body {
    Body::RolledBack(RolledBack {
        release: None,
        commit: Some(commit(digit)),
        from: Some(deployment(&format!("d{digit}"))),
        to: deployment(to),
        seen: SeenLive::Platform { platform: "router".into() },
        reason: "checkout is down".into(),
        verified,
        moved_us: 1,
        verified_us: None,
    })
}

pub(crate) fn stable(name: &str, digit: char) -> Body {
    Body::Stable { release: release(name), commit: commit(digit) }
}

pub(crate) fn ruled(gate: &str, digit: char, verdict: Verdict) -> Body {
    let ruling = RulingRecord {
        gate: gate.into(),
        subject: Subject {
            commit: commit(digit),
            digest: None,
            environment: environment("production"),
        },
        mode: Mode::Enforce,
        checks: Vec::new(),
        verdict,
        cause: None,
        headline: "h".into(),
    };
    Body::Ruled { phase: Phase::Preflight, ruling: Box::new(ruling) }
}

pub(crate) fn step_intended(step: &str) -> Body {
    Body::StepIntended { step: id(step), name: "tag".into(), detail: BTreeMap::new() }
}

impl Told {
    pub(crate) fn new() -> Self {
        Self { entropy: Entropy::seeded(1), entries: Vec::new() }
    }

    pub(crate) fn frozen(name: &str, reason: &str) -> Body {
        Body::Frozen { release: release(name), until: at(1_000), reason: reason.into() }
    }

    /// The next entry, not yet told.
    pub(crate) fn next(&self, environment: Option<&str>, body: Body) -> Entry {
        Entry {
            schema: SCHEMA.into(),
            id: OrcaId::generate("en", &self.entropy),
            prev_sha256: self.entries.last().map(|e| Digest::of(&e.bytes())),
            at: at(i64::try_from(self.entries.len()).unwrap() + 1),
            actor: Actor { name: "ana".into(), role: None },
            orca: "0.1.0".into(),
            environment: environment.map(|e| Environment::new(e).unwrap()),
            epoch: None,
            body,
            exhibits: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, environment: Option<&str>, body: Body) -> Entry {
        let entry = self.next(environment, body);
        self.entries.push(entry.clone());
        entry
    }

    /// Tells it in production.
    pub(crate) fn live(&mut self, body: Body) -> OrcaId {
        self.tell(Some("production"), body).id
    }

    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        self.entries.iter().map(Entry::bytes).collect()
    }

    pub(crate) fn state(&self) -> State {
        let bytes = self.bytes();
        let records = verify(&mut Link::default(), bytes.iter().map(Vec::as_slice)).unwrap();
        let mut state = State::default();
        for record in &records {
            state.apply(record);
        }
        state
    }
}
