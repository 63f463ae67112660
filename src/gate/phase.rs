//! A phase (preflight, load, canary, promote, watch) combines the rulings of its gates, as of now.
//! Freshness is tested here at every raise, and only an open phase yields a clearance.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clearance::{Clearance, ClearanceRecord, RaiseSubject, Refusal};
use super::engine::{Gate, GateCheck};
use super::exhibit::policy_digest;
use super::ruling::{CheckRecord, Mode, Ruling, RulingRecord, Subject};
use super::verdict::{Cause, Verdict};
use crate::base::clock::{Entropy, Timestamp};
use crate::base::digest::{Digest, canonical_json};
use crate::base::ids::OrcaId;
use crate::base::limits;

/// The phases of a release, in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Preflight,
    Load,
    Canary,
    Promote,
    Watch,
}

impl Phase {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Load => "load",
            Self::Canary => "canary",
            Self::Promote => "promote",
            Self::Watch => "watch",
        }
    }
}

/// A gate that a phase requires (or only shows), with what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GateRequirement {
    pub(crate) phase: Phase,
    pub(crate) gate: String,
    pub(crate) required: bool,
    pub(crate) mode: Mode,
    /// Sorted.
    pub(crate) checks: Vec<RequiredCheck>,
}

/// A check as a gate requires it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RequiredCheck {
    check: String,
    rule: String,
    rule_version: u32,
    /// Digest of the policy.
    policy: Digest,
    required: bool,
    /// How long it may count, whatever longer time a ruling claims for itself.
    max_age_us: u64,
}

impl From<&GateCheck> for RequiredCheck {
    fn from(item: &GateCheck) -> Self {
        let rule = item.check.rule();
        Self {
            check: item.check.id().to_string(),
            rule: rule.name.to_owned(),
            rule_version: rule.version,
            policy: policy_digest(&item.check.policy()),
            required: item.required,
            max_age_us: item.max_age_us,
        }
    }
}

impl From<&CheckRecord> for RequiredCheck {
    fn from(record: &CheckRecord) -> Self {
        Self {
            check: record.check.to_string(),
            rule: record.rule.clone(),
            rule_version: record.rule_version,
            policy: record.policy,
            required: record.required,
            max_age_us: record.max_age_us,
        }
    }
}

impl GateRequirement {
    pub(crate) fn of(phase: Phase, required: bool, gate: &Gate) -> Self {
        let mut checks: Vec<_> = gate.checks.iter().map(RequiredCheck::from).collect();
        checks.sort();
        Self { phase, gate: gate.name.clone(), required, mode: gate.mode, checks }
    }

    /// A recorded ruling as what its phase required.
    pub(crate) fn recorded(phase: Phase, record: &RulingRecord) -> Self {
        let mut checks: Vec<_> = record.checks.iter().map(RequiredCheck::from).collect();
        checks.sort();
        Self { phase, gate: record.gate.clone(), required: true, mode: record.mode, checks }
    }

    /// Until when a ruling of exactly these checks, rules, limits and this mode counts; nothing of
    /// any other one.
    fn fresh_until(&self, record: &RulingRecord, now: Timestamp) -> Option<Timestamp> {
        let mut judged: Vec<_> =
            record.checks.iter().map(|c| (RequiredCheck::from(c), c.observed_at)).collect();
        judged.sort();
        let ageless = |check: &RequiredCheck| RequiredCheck { max_age_us: 0, ..check.clone() };
        let theirs = judged.iter().map(|(check, _)| ageless(check));
        if record.mode != self.mode || !theirs.eq(self.checks.iter().map(ageless)) {
            return None;
        }
        let until = judged.iter().zip(&self.checks).filter(|(_, own)| own.required).map(
            |((theirs, observed_at), own)| {
                let age = own.max_age_us.min(theirs.max_age_us);
                observed_at.plus_us(i64::try_from(age).unwrap_or(i64::MAX))
            },
        );
        Some(until.min().unwrap_or(now))
    }
}

/// The digest of a set of required gates: a changed limit, rule or gate changes it.
pub(crate) fn gate_set_digest(requirements: &[GateRequirement]) -> Digest {
    let mut sorted: Vec<&GateRequirement> = requirements.iter().collect();
    sorted.sort_by(|a, b| (a.phase, &a.gate).cmp(&(b.phase, &b.gate)));
    Digest::of(&canonical_json(&sorted).expect("requirements are plain data"))
}

/// What a gate of a phase counts as, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct GateStanding {
    pub(crate) gate: String,
    pub(crate) required: bool,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Option<Cause>,
    pub(crate) headline: String,
}

/// What a phase decided, as of a moment.
#[derive(Debug)]
pub(crate) struct PhaseRuling {
    phase: Phase,
    subject: Subject,
    verdict: Verdict,
    cause: Option<Cause>,
    headline: String,
    rulings: Vec<Digest>,
    fresh_until: Timestamp,
}

impl PhaseRuling {
    /// Combines the rulings of one phase for `subject` at `now`.
    ///
    /// `applied_before` names gates that applied to the last release: not applicable now is then
    /// Inconclusive, so that deleting a folder cannot skip a gate. A required gate without a
    /// ruling for this subject is Inconclusive.
    pub(crate) fn assemble(
        (phase, subject): (Phase, Subject),
        requirements: &[GateRequirement],
        rulings: &[Ruling],
        applied_before: &BTreeSet<String>,
        now: Timestamp,
    ) -> Self {
        let newest = newest_by_gate(rulings, &subject);
        let mut standings = Vec::new();
        let mut digests = Vec::new();
        let mut fresh_until = Timestamp::from_us(i64::MAX);
        for requirement in requirements.iter().filter(|r| r.phase == phase) {
            let ruling = newest.get(requirement.gate.as_str()).copied();
            let (standing, until) = stand(requirement, ruling, applied_before, now);
            if let (Some(record), true) = (ruling, requirement.required) {
                fresh_until = fresh_until.min(until);
                digests.push(ruling_digest(record));
            }
            standings.push(standing);
        }
        let (verdict, cause, headline) = conclude(phase, &standings);
        Self { phase, subject, verdict, cause, headline, rulings: digests, fresh_until }
    }

    /// This phase standing on an earlier one: the worse verdict, the earlier expiry, all rulings.
    #[must_use]
    pub(crate) fn after(mut self, earlier: Self) -> Self {
        if earlier.verdict > self.verdict || earlier.subject != self.subject {
            let other = earlier.subject != self.subject;
            self.verdict = if other { Verdict::Inconclusive } else { earlier.verdict };
            self.cause = if other { Some(Cause::MissingRuling) } else { earlier.cause };
            self.headline = format!("{}: {}", earlier.phase.as_str(), earlier.headline);
        }
        self.fresh_until = self.fresh_until.min(earlier.fresh_until);
        self.rulings.extend(earlier.rulings);
        self
    }

    /// The only way to a [`Clearance`]: an open phase whose rulings are all fresh now.
    pub(crate) fn clear(
        self,
        at: &RaiseSubject,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<Clearance, Refusal> {
        if !self.verdict.opens() {
            return Err(Refusal::NotOpen(format!(
                "phase {} is {}: {}",
                self.phase.as_str(),
                self.verdict.label(),
                self.headline
            )));
        }
        if at.subject != self.subject {
            return Err(Refusal::NotOpen(format!(
                "the rulings are about commit {}, not {}",
                self.subject.commit.short(),
                at.subject.commit.short()
            )));
        }
        if now >= self.fresh_until {
            return Err(Refusal::Expired(self.fresh_until));
        }
        Ok(Clearance::issue(ClearanceRecord {
            id: OrcaId::generate("cl", entropy),
            subject: at.clone(),
            rulings: self.rulings,
            issued_at: now,
            expires_at: self.fresh_until,
        }))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.cause
    }

    pub(crate) fn headline(&self) -> &str {
        &self.headline
    }
}

/// The digest by which a clearance names a ruling.
pub(crate) fn ruling_digest(record: &RulingRecord) -> Digest {
    Digest::of(&canonical_json(record).expect("a ruling record is plain data"))
}

fn newest_by_gate<'a>(
    rulings: &'a [Ruling],
    subject: &Subject,
) -> BTreeMap<&'a str, &'a RulingRecord> {
    let observed = |r: &RulingRecord| r.checks.iter().map(|c| c.observed_at).max();
    let mut newest: BTreeMap<&str, &RulingRecord> = BTreeMap::new();
    for record in rulings.iter().map(Ruling::record).filter(|r| r.subject.covers(subject)) {
        let slot = newest.entry(record.gate.as_str()).or_insert(record);
        if observed(record) >= observed(slot) {
            *slot = record;
        }
    }
    newest
}

fn stand(
    requirement: &GateRequirement,
    ruling: Option<&RulingRecord>,
    applied_before: &BTreeSet<String>,
    now: Timestamp,
) -> (GateStanding, Timestamp) {
    let gate = &requirement.gate;
    let standing = |verdict, cause, headline: String| GateStanding {
        gate: gate.clone(),
        required: requirement.required,
        verdict,
        cause,
        headline,
    };
    let inconclusive = |cause: Cause, headline: String| {
        (standing(Verdict::Inconclusive, Some(cause), headline), now)
    };
    let Some(record) = ruling else {
        return inconclusive(Cause::MissingRuling, format!("gate {gate} has not been judged"));
    };
    let Some(until) = requirement.fresh_until(record, now) else {
        let text = format!("gate {gate} was judged by other checks or limits; run it again");
        return inconclusive(Cause::MissingRuling, text);
    };
    let skew = i64::try_from(limits::CLOCK_SKEW.as_micros()).unwrap_or(i64::MAX);
    if record.checks.iter().any(|c| c.observed_at > now.plus_us(skew)) {
        let text = format!("gate {gate} was judged in the future; set the clocks right");
        return inconclusive(Cause::FromTheFuture, text);
    }
    if now >= until {
        let text = format!("gate {gate} expired at {}; run it again", until.rfc3339());
        return inconclusive(Cause::Expired, text);
    }
    if record.verdict == Verdict::NotApplicable && applied_before.contains(gate) {
        let text = format!("gate {gate} applied to the last release and does not apply now");
        return inconclusive(Cause::NoLongerApplicable, text);
    }
    (standing(record.verdict, record.cause, record.headline.clone()), until)
}

fn conclude(phase: Phase, standings: &[GateStanding]) -> (Verdict, Option<Cause>, String) {
    let name = phase.as_str();
    let required: Vec<&GateStanding> = standings.iter().filter(|s| s.required).collect();
    let Some(worst) = required.iter().max_by_key(|s| s.verdict) else {
        let text = format!("phase {name} has no required gate");
        return (Verdict::Inconclusive, Some(Cause::Empty), text);
    };
    if !worst.verdict.opens() && worst.verdict != Verdict::NotApplicable {
        return (worst.verdict, worst.cause, worst.headline.clone());
    }
    let mut applicable = required.iter().filter(|s| s.verdict != Verdict::NotApplicable).peekable();
    let observed = |s: &&&GateStanding| s.cause == Some(Cause::Observe);
    if applicable.peek().is_some() && applicable.all(|s| observed(&s)) {
        let text = format!("every gate of phase {name} is in observe mode");
        return (Verdict::Waived, Some(Cause::Observe), text);
    }
    // A waived gate was judged, and somebody answers for it: it stands where a pass would.
    if !required.iter().any(|s| s.verdict.opens()) {
        let text = format!("no gate of phase {name} passed");
        return (Verdict::Inconclusive, Some(Cause::NoPass), text);
    }
    (worst.verdict, worst.cause, worst.headline.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::ids::{CheckId, CommitId, DeploymentId, Environment};
    use crate::gate::check::{Check, Look, RuleId, Unseen};
    use crate::gate::exhibit::Exhibit;
    use crate::gate::rules::Rules;
    use crate::gate::ruling::{Judged, rule};
    use crate::gate::verdict::{Finding, Judgement, Unit};

    /// Judges what it is told to.
    struct Told;

    impl Check for Told {
        type Policy = ();
        type Seen = String;
        const RULE: RuleId = RuleId { name: "test.told", version: 1 };

        fn id(&self) -> CheckId {
            CheckId::new("test.told").unwrap()
        }

        fn policy(&self) {}

        async fn observe(&self, _: &Look) -> Result<String, Unseen> {
            Ok(String::new())
        }

        fn judge((): &(), seen: &String) -> Judgement {
            match seen.as_str() {
                "pass" => Judgement::pass("fine", "told v1"),
                "not applicable" => Judgement::not_applicable("nothing there", "told v1"),
                "inconclusive" => Judgement::inconclusive(Cause::NoData, "no data", "told v1"),
                _ => {
                    let finding = Finding {
                        fingerprint: "f".into(),
                        title: "bad".into(),
                        place: None,
                        value: 1,
                        unit: Unit::Count,
                        next: "mend it".into(),
                    };
                    Judgement::fail("bad", "told v1", finding)
                }
            }
        }
    }

    const AT: i64 = 1_000_000_000;
    const MAX_AGE: i64 = 1_000_000;

    fn subject() -> Subject {
        Subject {
            commit: CommitId::new("a".repeat(40)).unwrap(),
            digest: None,
            environment: Environment::new("production").unwrap(),
        }
    }

    fn ruling(gate: &str, told: &str, mode: Mode) -> Ruling {
        let seen = Ok(serde_json::json!(told));
        let observed = (Timestamp::from_us(AT), 0);
        let redactor = crate::base::redact::Redactor::default();
        let judged = Judged {
            exhibit: Exhibit::of(&Told, seen, observed, &redactor),
            required: true,
            max_age_us: u64::try_from(MAX_AGE).unwrap(),
        };
        let rules = Rules::default().with::<Told>();
        rule(gate, (subject(), mode), &[judged], &rules, (&[], Timestamp::from_us(AT)))
    }

    fn requirement_in(gate: &str, mode: Mode) -> GateRequirement {
        let max_age_us = u64::try_from(MAX_AGE).unwrap();
        let check = GateCheck { check: Arc::new(Told), required: true, max_age_us };
        let gate = Gate { name: gate.to_owned(), mode, checks: vec![check] };
        GateRequirement::of(Phase::Preflight, true, &gate)
    }

    fn requirement(gate: &str) -> GateRequirement {
        requirement_in(gate, Mode::Enforce)
    }

    fn assemble(rulings: &[Ruling], before: &[&str], at: i64) -> PhaseRuling {
        let before = before.iter().map(|g| (*g).to_owned()).collect();
        let mode = |gate| {
            let ruled = rulings.iter().map(Ruling::record).find(|r| r.gate == gate);
            ruled.map_or(Mode::Enforce, |record| record.mode)
        };
        let requirements = ["a", "b"].map(|gate| requirement_in(gate, mode(gate)));
        let now = Timestamp::from_us(at);
        PhaseRuling::assemble((Phase::Preflight, subject()), &requirements, rulings, &before, now)
    }

    type Case = (Vec<Ruling>, Verdict, Option<Cause>);

    #[test]
    fn the_rules_of_a_phase() {
        let enforced = |gate, told| ruling(gate, told, Mode::Enforce);
        let observed = |gate, told| ruling(gate, told, Mode::Observe);
        let cases: Vec<Case> = vec![
            (vec![enforced("a", "pass"), enforced("b", "pass")], Verdict::Pass, None),
            (vec![enforced("a", "pass")], Verdict::Inconclusive, Some(Cause::MissingRuling)),
            (vec![enforced("a", "pass"), enforced("b", "fail")], Verdict::Fail, None),
            (
                vec![enforced("a", "pass"), enforced("b", "inconclusive")],
                Verdict::Inconclusive,
                Some(Cause::NoData),
            ),
            (vec![enforced("a", "pass"), enforced("b", "not applicable")], Verdict::Pass, None),
            (
                vec![enforced("a", "not applicable"), enforced("b", "not applicable")],
                Verdict::Inconclusive,
                Some(Cause::NoPass),
            ),
            (
                vec![observed("a", "fail"), observed("b", "inconclusive")],
                Verdict::Waived,
                Some(Cause::Observe),
            ),
            (
                vec![enforced("a", "pass"), observed("b", "fail")],
                Verdict::Waived,
                Some(Cause::Observe),
            ),
        ];
        for (rulings, verdict, cause) in cases {
            let phase = assemble(&rulings, &[], AT + 1);
            assert_eq!((phase.verdict(), phase.cause()), (verdict, cause), "{}", phase.headline());
        }
        let none = PhaseRuling::assemble(
            (Phase::Load, subject()),
            &[requirement("a")],
            &[],
            &BTreeSet::new(),
            Timestamp::from_us(AT),
        );
        assert_eq!((none.verdict(), none.cause()), (Verdict::Inconclusive, Some(Cause::Empty)));
    }

    #[test]
    fn freshness_and_clocks_at_their_boundaries() {
        let both = || [ruling("a", "pass", Mode::Enforce), ruling("b", "pass", Mode::Enforce)];
        let skew = 300_000_000;
        for (at, cause) in [
            (AT + MAX_AGE - 1, None),
            (AT + MAX_AGE, Some(Cause::Expired)),
            (AT - skew, None),
            (AT - skew - 1, Some(Cause::FromTheFuture)),
        ] {
            assert_eq!(assemble(&both(), &[], at).cause(), cause, "at {at}");
        }
    }

    /// A ruling made under a looser policy says itself how long it counts; the policy decides.
    #[test]
    fn no_ruling_prolongs_itself_and_none_is_advisory_where_it_is_required() {
        let rulings = [ruling("a", "pass", Mode::Enforce)];
        let cause = |change: fn(&mut RequiredCheck), at: i64| {
            let mut strict = requirement("a");
            change(&mut strict.checks[0]);
            let of = (Phase::Preflight, subject());
            let now = Timestamp::from_us(at);
            PhaseRuling::assemble(of, &[strict], &rulings, &BTreeSet::new(), now).cause()
        };
        assert_eq!(cause(|c| c.max_age_us = 1_000, AT + 999), None);
        assert_eq!(cause(|c| c.max_age_us = 1_000, AT + 1_000), Some(Cause::Expired));
        assert_eq!(cause(|c| c.max_age_us *= 2, AT + MAX_AGE), Some(Cause::Expired));
        assert_eq!(cause(|c| c.required = false, AT + 1), Some(Cause::MissingRuling));
    }

    #[test]
    fn a_ruling_about_another_artifact_does_not_count() {
        let rulings = [ruling("a", "pass", Mode::Enforce), ruling("b", "pass", Mode::Enforce)];
        let digest = |text: &str| Some(Digest::of(text.as_bytes()));
        for (ruled, wanted, covered) in [
            (None, None, true),
            (None, digest("x"), true),
            (digest("x"), digest("x"), true),
            (digest("x"), digest("y"), false),
            (digest("x"), None, false),
        ] {
            let with = |digest| Subject { digest, ..subject() };
            assert_eq!(with(ruled).covers(&with(wanted)), covered, "{ruled:?} {wanted:?}");
        }
        let wanted = Subject { digest: digest("x"), ..subject() };
        let requirements = [requirement("a"), requirement("b")];
        let (before, now) = (BTreeSet::new(), Timestamp::from_us(AT));
        let phase = PhaseRuling::assemble(
            (Phase::Preflight, wanted),
            &requirements,
            &rulings,
            &before,
            now,
        );
        assert_eq!(phase.verdict(), Verdict::Pass);
    }

    /// A ruling made under softer limits, or observed, does not open the strict gate.
    #[test]
    fn a_ruling_by_other_limits_does_not_count() {
        let strict = [requirement("a")];
        let now = Timestamp::from_us(AT);
        let at = |rulings: &[Ruling]| {
            let before = BTreeSet::new();
            PhaseRuling::assemble((Phase::Preflight, subject()), &strict, rulings, &before, now)
                .cause()
        };
        assert_eq!(at(&[ruling("a", "pass", Mode::Enforce)]), None);
        assert_eq!(at(&[ruling("a", "fail", Mode::Observe)]), Some(Cause::MissingRuling));
        let mut softer = requirement("a");
        softer.checks[0].policy = Digest::of(b"softer limits");
        let ruled = [ruling("a", "pass", Mode::Enforce)];
        let phase = PhaseRuling::assemble(
            (Phase::Preflight, subject()),
            &[softer],
            &ruled,
            &BTreeSet::new(),
            now,
        );
        assert_eq!(phase.cause(), Some(Cause::MissingRuling));
    }

    #[test]
    fn deleting_a_folder_does_not_skip_a_gate() {
        let rulings =
            [ruling("a", "pass", Mode::Enforce), ruling("b", "not applicable", Mode::Enforce)];
        assert_eq!(assemble(&rulings, &["b"], AT).cause(), Some(Cause::NoLongerApplicable));
    }

    #[test]
    fn a_clearance_is_for_exactly_what_was_cleared() {
        let both = [ruling("a", "pass", Mode::Enforce), ruling("b", "pass", Mode::Enforce)];
        let at = RaiseSubject {
            subject: subject(),
            gate_set: gate_set_digest(&[requirement("a"), requirement("b")]),
            serving: DeploymentId::new("base").unwrap(),
            platform: None,
        };
        let now = Timestamp::from_us(AT + 1);
        let entropy = Entropy::seeded(1);
        let clear = || assemble(&both, &[], AT + 1).clear(&at, now, &entropy).unwrap();
        assert_eq!(clear().spend(&at, now).unwrap().rulings.len(), 2);

        let moved = RaiseSubject { serving: DeploymentId::new("other").unwrap(), ..at.clone() };
        assert!(matches!(clear().spend(&moved, now), Err(Refusal::OtherSubject { .. })));
        let late = Timestamp::from_us(AT + MAX_AGE);
        assert!(matches!(clear().spend(&at, late), Err(Refusal::Expired(_))));

        let closed = assemble(&both[..1], &[], AT + 1);
        assert!(matches!(closed.clear(&at, now, &entropy), Err(Refusal::NotOpen(_))));
        let failed = assemble(&[ruling("a", "fail", Mode::Enforce)], &[], AT + 1);
        let stacked = assemble(&both, &[], AT + 1).after(failed);
        assert_eq!(stacked.verdict(), Verdict::Fail);
    }
}
