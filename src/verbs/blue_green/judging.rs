//! The standby is asked at its own address: health, every safe endpoint once, then load. The seven
//! criteria are judged of that, and the load gate by the manifest's objectives.

use std::sync::Arc;

use super::run::{BlueGreen, BlueGreenError, Forced};
use crate::base::units::Micros;
use crate::gate::engine::Ruled;
use crate::gate::exhibit::{Exhibit, Sight};
use crate::gate::phase::{GateRequirement, Phase};
use crate::gate::ruling::{Mode, RulingRecord};
use crate::gate::verdict::Verdict;
use crate::load::result::LoadResult;
use crate::load::slo_check::Policy;
use crate::rollout::criteria::{self, CriteriaCheck, LoadSeen, Row, StandbySeen};
use crate::rollout::ports::Arm;
use crate::slo::sample::{ALL, Sample};
use crate::verbs::canary::start::Candidate;
use crate::verbs::gates;
use crate::verbs::ship::PhaseGate;
use crate::verbs::waive::{Asked, Reach, waive};

/// The gate of the criteria.
pub(super) const GATE: &str = "standby";
/// How long the criteria stay fresh: a switch comes at once.
const MAX_AGE: Micros = Micros::from_secs(3_600);
/// How long what `--force` tolerates is tolerated: one switch.
const FORCED_FOR: Micros = Micros::from_secs(3_600);
/// Kinds of failures that are an answer all the same.
const ANSWERS: [&str; 5] = ["status_4xx", "status_other", "assertion", "malformed", "too_large"];

/// What was decided about the standby.
pub(crate) struct Judged {
    pub(crate) rows: Vec<Row>,
    pub(crate) verdict: Verdict,
    pub(crate) headline: String,
    /// The load gate and the criteria, with the waivers that count now.
    pub(crate) gates: Vec<RulingRecord>,
    pub(super) load: Option<PhaseGate>,
    pub(super) criteria: GateRequirement,
}

impl BlueGreen<'_> {
    pub(super) async fn judged(&self, candidate: &Candidate) -> Result<Judged, BlueGreenError> {
        let ship = &self.fleet.ship;
        let subject = candidate.subject(&ship.environment);
        let (seen, load) = self.seen(candidate).await?;
        self.stopped(&candidate.deployment)?;
        let policy = self.settings.criteria.clone();
        let rows = criteria::rows(&policy, &seen).to_vec();
        let check = Arc::new(CriteriaCheck { policy, seen });
        let gate = gates::gate(Phase::Promote, (GATE, Mode::Enforce), MAX_AGE, vec![check]);
        let ruled = ship.judge(std::slice::from_ref(&gate), &subject).await?;
        if let Some(forced) = &self.forced {
            let of_load = load.iter().flat_map(|(_, ruled)| ruled);
            self.tolerate(forced, of_load.chain(&ruled)).await?;
        }
        let state = ship.book.state().await?;
        let wanted = [GATE, "load"];
        let gates: Vec<RulingRecord> = ship
            .recall(&state, &subject)
            .await?
            .iter()
            .map(|ruling| ruling.record().clone())
            .filter(|record| wanted.contains(&record.gate.as_str()))
            .filter(|record| load.is_some() || record.gate == GATE)
            .collect();
        let worst = gates.iter().max_by_key(|record| record.verdict);
        let verdict = worst.map_or(Verdict::Inconclusive, |record| record.verdict);
        let headline = worst.map(|record| record.headline.clone()).unwrap_or_default();
        let load = load.map(|(gate, _)| gate);
        Ok(Judged { rows, verdict, headline, gates, load, criteria: gate.requirement() })
    }

    /// Asks it. A version that is not well is not loaded.
    async fn seen(
        &self,
        candidate: &Candidate,
    ) -> Result<(StandbySeen, Option<(PhaseGate, Vec<Ruled>)>), BlueGreenError> {
        let ship = &self.fleet.ship;
        let door = self.fleet.platform.door(Arm::Canary).await?;
        ship.say(format!("standby: asking {}", door.url));
        let (standby, id) = (self.standby, &candidate.deployment);
        let health = self.unless_stopped(id, standby.health(&door)).await?;
        let smoke = self.unless_stopped(id, standby.smoke(&door)).await?;
        let failed = smoke.iter().filter(|test| test.asked.wrong.is_some()).count();
        let said = health.status.map_or_else(|| "no answer".to_owned(), |s| format!("HTTP {s}"));
        ship.say(format!("standby: health {said}, smoke {} asked, {failed} failed", smoke.len()));
        let no_load = match (health.status, failed) {
            (Some(200), 0) => None,
            (Some(200), _) => Some("its smoke tests fail, so no load was sent".to_owned()),
            _ => Some("it is not healthy, so no load was sent".to_owned()),
        };
        let load = if no_load.is_some() {
            None
        } else {
            self.stopped(id)?;
            let gate = self.standby.load(&door).map_err(BlueGreenError::Load)?;
            let subject = candidate.subject(&ship.environment);
            let ruled = ship.judge(std::slice::from_ref(&gate), &subject).await?;
            Some((gate, ruled))
        };
        let exhibit = load.as_ref().and_then(|(_, ruled)| ruled.first()?.exhibits.first());
        let seen = exhibit.map(load_seen).transpose();
        let (load_seen, no_load) = match seen {
            Ok(seen) => (seen, no_load),
            Err(why) => (None, Some(why)),
        };
        Ok((StandbySeen { health, smoke, load: load_seen, no_load }, load))
    }

    /// Writes a waiver for each finding of the criteria and of load: as bad as it was seen, for one
    /// hour, and for this commit here alone, because other standbys have findings of the same names.
    /// A standby that is not healthy stays closed, and so does what was not measured.
    async fn tolerate<'a>(
        &self,
        forced: &Forced,
        ruled: impl Iterator<Item = &'a Ruled>,
    ) -> Result<(), BlueGreenError> {
        let ship = &self.fleet.ship;
        let until = ship.now().plus(FORCED_FOR.duration());
        for check in ruled.flat_map(|item| &item.ruling.record().checks) {
            for finding in check.judgement.findings.iter().filter(|f| f.fingerprint != "health") {
                let asked = Asked {
                    check: check.check.clone(),
                    finding: finding.fingerprint.clone(),
                    worst: finding.value.to_string(),
                    until,
                    reason: forced.reason.clone(),
                    by: forced.by.clone(),
                    role: forced.role,
                    reach: Reach::ThisCommit,
                };
                let waiver = waive(ship, &self.commit, asked).await?;
                ship.say(format!("{} of {}: {}", waiver.finding, waiver.check, waiver.told()));
            }
        }
        Ok(())
    }
}

/// What the load gate measured, in the words of the criteria.
fn load_seen(exhibit: &Exhibit) -> Result<LoadSeen, String> {
    let seen = match &exhibit.sight {
        Sight::Seen { seen } => seen,
        Sight::Unseen { detail, .. } => return Err(detail.clone()),
    };
    let unreadable = |error: serde_json::Error| format!("its load cannot be read: {error}");
    let result: LoadResult = serde_json::from_value(seen.clone()).map_err(unreadable)?;
    let policy: Policy = serde_json::from_value(exhibit.policy.clone()).map_err(unreadable)?;
    if result.partial {
        let why = result.stopped_early.unwrap_or_else(|| "the load was stopped".to_owned());
        return Err(why);
    }
    let of = |counts: &dyn Fn(&str) -> bool| -> u64 {
        let kinds = result.errors_by_kind.iter().filter(|(kind, _)| counts(kind));
        kinds.map(|(_, count)| count).sum()
    };
    let unanswered = of(&|kind| !ANSWERS.contains(&kind));
    let errors = of(&|kind| policy.errors.contains(kind));
    let sample = Sample {
        scope: ALL.to_owned(),
        requests: result.requests,
        errors,
        dropped: result.dropped,
        timeouts: result.errors_by_kind.get("timeout").copied().unwrap_or_default(),
        duration: Micros(result.duration_us),
        latency: result.latency_histogram,
    };
    Ok(LoadSeen { sample, unanswered })
}
