//! Runs gates: every check in parallel, except where two need the same resource; each with a
//! timeout; all stoppable. A check that does not answer is Inconclusive, never forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::check::{ErasedCheck, Look, Resource, Unseen};
use super::exhibit::Exhibit;
use super::rules::Rules;
use super::ruling::{self, Judged, Mode, Ruling, Subject};
use super::verdict::{Cause, Verdict};
use super::waiver::Waiver;
use crate::base::clock::{self, Clock};
use crate::base::redact::Redactor;

/// A check as a gate holds it.
#[derive(Clone)]
pub(crate) struct GateCheck {
    pub(crate) check: Arc<dyn ErasedCheck>,
    pub(crate) required: bool,
    pub(crate) max_age_us: u64,
}

/// A named set of checks.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) checks: Vec<GateCheck>,
}

/// What happens while gates run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Started {
        gate: String,
        check: String,
    },
    Progressed {
        check: String,
        text: String,
    },
    Ended {
        gate: String,
        check: String,
        verdict: Verdict,
        headline: String,
        /// What to do about a failure, first of all.
        next: Option<String>,
        took_us: u64,
    },
}

/// Where progress goes. Sending never waits and never fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Option<(String, mpsc::UnboundedSender<Event>)>);

impl Progress {
    /// One line of progress from the check at hand.
    pub(crate) fn say(&self, text: impl Into<String>) {
        if let Some((check, sender)) = &self.0 {
            let event = Event::Progressed { check: check.clone(), text: text.into() };
            let _ = sender.send(event);
        }
    }
}

/// What running gates needs from outside.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) clock: Clock,
    pub(crate) rules: Arc<Rules>,
    pub(crate) redactor: Redactor,
    pub(crate) waivers: Vec<Waiver>,
    pub(crate) cancel: CancellationToken,
    pub(crate) events: Option<mpsc::UnboundedSender<Event>>,
}

/// A ruling with the exhibits it was judged by.
#[derive(Debug, Clone)]
pub(crate) struct Ruled {
    pub(crate) ruling: Ruling,
    pub(crate) exhibits: Vec<Exhibit>,
}

/// Runs all gates at once and judges them, in the order given.
pub(crate) async fn run(gates: Vec<Gate>, subject: &Subject, bench: &Bench) -> Vec<Ruled> {
    let locks = Arc::new(Locks::for_gates(&gates));
    let mut running = tokio::task::JoinSet::new();
    for (gate_index, gate) in gates.iter().enumerate() {
        for (check_index, item) in gate.checks.iter().enumerate() {
            let (bench, locks) = (bench.clone(), Arc::clone(&locks));
            let (gate, check) = (gate.name.clone(), Arc::clone(&item.check));
            running.spawn(async move {
                ((gate_index, check_index), observe(&gate, check.as_ref(), &bench, &locks).await)
            });
        }
    }
    let mut seen = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((place, exhibit)) => {
                seen.insert(place, exhibit);
            }
            // A panic is a bug in orca: it must end the run, not look like a result.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    gates
        .into_iter()
        .enumerate()
        .map(|(gate_index, gate)| judge_gate(&gate, gate_index, &mut seen, subject, bench))
        .collect()
}

fn judge_gate(
    gate: &Gate,
    gate_index: usize,
    seen: &mut BTreeMap<(usize, usize), Exhibit>,
    subject: &Subject,
    bench: &Bench,
) -> Ruled {
    let judged: Vec<Judged> = gate
        .checks
        .iter()
        .enumerate()
        .filter_map(|(check_index, item)| {
            let exhibit = seen.remove(&(gate_index, check_index))?;
            Some(Judged { exhibit, required: item.required, max_age_us: item.max_age_us })
        })
        .collect();
    let ruling = ruling::rule(
        &gate.name,
        (subject.clone(), gate.mode),
        &judged,
        &bench.rules,
        (&bench.waivers, bench.clock.now()),
    );
    Ruled { ruling, exhibits: judged.into_iter().map(|j| j.exhibit).collect() }
}

async fn observe(gate: &str, check: &dyn ErasedCheck, bench: &Bench, locks: &Locks) -> Exhibit {
    let _held = locks.acquire(check.exclusive()).await;
    let name = check.id().to_string();
    let tell = |event: Event| {
        if let Some(sender) = &bench.events {
            let _ = sender.send(event);
        }
    };
    tell(Event::Started { gate: gate.to_owned(), check: name.clone() });
    let look = Look {
        cancel: bench.cancel.clone(),
        progress: Progress(bench.events.clone().map(|sender| (name.clone(), sender))),
    };
    let observed_at = bench.clock.now();
    let started = clock::monotonic();
    let seen = tokio::select! {
        biased;
        () = bench.cancel.cancelled() => Err(Unseen::new(
            Cause::Cancelled, format!("{name} was stopped before it ended"), "run it again")),
        answer = tokio::time::timeout(check.timeout(), check.observe(&look)) => {
            answer.unwrap_or_else(|_| Err(Unseen::new(
                Cause::Timeout,
                format!("{name} did not end within {} s", check.timeout().as_secs()),
                "find out what it waits for, or give it more time",
            )))
        }
    };
    let took_us = match bench.clock {
        Clock::Frozen(_) => 0,
        Clock::System => clock::elapsed_us(started),
        #[cfg(test)]
        Clock::Simulated { .. } | Clock::Set(_) => clock::elapsed_us(started),
    };
    let exhibit = Exhibit::of(check, seen, (observed_at, took_us), &bench.redactor);
    let judgement = bench.rules.judge(&exhibit);
    let worst = judgement.findings.iter().map(|finding| &finding.next);
    let next = judgement.next.iter().chain(worst).next().cloned();
    tell(Event::Ended {
        gate: gate.to_owned(),
        check: name,
        verdict: judgement.verdict,
        next: next.filter(|_| judgement.verdict == Verdict::Fail),
        headline: judgement.headline,
        took_us,
    });
    exhibit
}

/// One lock per resource that any check declares.
struct Locks(BTreeMap<Resource, Arc<Mutex<()>>>);

impl Locks {
    fn for_gates(gates: &[Gate]) -> Self {
        let checks = gates.iter().flat_map(|g| &g.checks);
        let resources = checks.flat_map(|c| c.check.exclusive().iter().copied());
        Self(resources.map(|r| (r, Arc::new(Mutex::new(())))).collect())
    }

    /// Takes the locks in the order of the resources, so that two checks cannot wait for each other.
    async fn acquire(&self, wanted: &[Resource]) -> Vec<tokio::sync::OwnedMutexGuard<()>> {
        let mut sorted = wanted.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut held = Vec::new();
        for resource in sorted {
            if let Some(lock) = self.0.get(&resource) {
                held.push(Arc::clone(lock).lock_owned().await);
            }
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::super::ruling::CheckRecord;
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::ids::{CheckId, CommitId, Environment};
    use crate::gate::check::{Check, RuleId};
    use crate::gate::verdict::{Finding, Judgement, Unit};

    static INSIDE: AtomicU32 = AtomicU32::new(0);
    static MOST_INSIDE: AtomicU32 = AtomicU32::new(0);

    /// Sees a number, and passes when it is at most the limit.
    struct Number {
        seen: Option<i64>,
        hangs: bool,
        exclusive: bool,
    }

    impl Check for Number {
        type Policy = i64;
        type Seen = i64;
        const RULE: RuleId = RuleId { name: "test.number", version: 1 };

        fn id(&self) -> CheckId {
            CheckId::new("test.number").unwrap()
        }

        fn policy(&self) -> i64 {
            10
        }

        async fn observe(&self, look: &Look) -> Result<i64, Unseen> {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let inside = INSIDE.fetch_add(1, Ordering::SeqCst) + 1;
            if self.exclusive {
                MOST_INSIDE.fetch_max(inside, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
            INSIDE.fetch_sub(1, Ordering::SeqCst);
            look.progress.say("looked");
            self.seen.ok_or_else(|| Unseen::new(Cause::Denied, "no token", "set TOKEN"))
        }

        fn judge(policy: &i64, seen: &i64) -> Judgement {
            if seen <= policy {
                return Judgement::pass(format!("{seen} is at most {policy}"), "number v1");
            }
            let finding = Finding {
                fingerprint: "number".into(),
                title: "too high".into(),
                place: None,
                value: *seen,
                unit: Unit::Count,
                next: "lower it".into(),
            };
            Judgement::fail(format!("{seen} is above {policy}"), "number v1", finding)
        }

        fn timeout(&self) -> Duration {
            Duration::from_millis(20)
        }

        fn exclusive(&self) -> &'static [Resource] {
            if self.exclusive { &[Resource::Timing] } else { &[] }
        }
    }

    fn bench() -> Bench {
        Bench {
            clock: Clock::Frozen(Timestamp::from_us(1_000)),
            rules: Arc::new(Rules::default().with::<Number>()),
            redactor: Redactor::default(),
            waivers: Vec::new(),
            cancel: CancellationToken::new(),
            events: None,
        }
    }

    fn gate(checks: Vec<(Number, bool)>) -> Gate {
        let checks = checks
            .into_iter()
            .map(|(check, required)| GateCheck {
                check: Arc::new(check),
                required,
                max_age_us: 1_000_000,
            })
            .collect();
        Gate { name: "numbers".into(), mode: Mode::Enforce, checks }
    }

    fn number(seen: Option<i64>) -> Number {
        Number { seen, hangs: false, exclusive: false }
    }

    fn subject() -> Subject {
        Subject {
            commit: CommitId::new("a".repeat(40)).unwrap(),
            digest: None,
            environment: Environment::new("production").unwrap(),
        }
    }

    async fn verdict_of(checks: Vec<(Number, bool)>, bench: &Bench) -> (Verdict, Option<Cause>) {
        let ruled = run(vec![gate(checks)], &subject(), bench).await;
        let record = ruled[0].ruling.record();
        (record.verdict, record.cause)
    }

    #[tokio::test]
    async fn a_gate_takes_the_worst_of_its_required_checks() {
        let hanging = || Number { seen: Some(1), hangs: true, exclusive: false };
        let bench = bench();
        for (checks, expected) in [
            (vec![], (Verdict::Inconclusive, Some(Cause::Empty))),
            (vec![(number(Some(1)), false)], (Verdict::Inconclusive, Some(Cause::Empty))),
            (vec![(number(Some(10)), true)], (Verdict::Pass, None)),
            (vec![(number(Some(10)), true), (number(Some(11)), true)], (Verdict::Fail, None)),
            (vec![(number(Some(10)), true), (number(Some(11)), false)], (Verdict::Pass, None)),
            (vec![(number(None), true)], (Verdict::Inconclusive, Some(Cause::Denied))),
            (vec![(hanging(), true)], (Verdict::Inconclusive, Some(Cause::Timeout))),
        ] {
            assert_eq!(verdict_of(checks, &bench).await, expected);
        }
    }

    #[tokio::test]
    async fn a_stopped_run_is_inconclusive() {
        let bench = bench();
        bench.cancel.cancel();
        let expected = (Verdict::Inconclusive, Some(Cause::Cancelled));
        assert_eq!(verdict_of(vec![(number(Some(1)), true)], &bench).await, expected);
    }

    /// Checks that measure time run one after the other, the rest beside them.
    #[tokio::test]
    async fn an_exclusive_resource_is_used_by_one_check_at_a_time() {
        let exclusive = || Number { seen: Some(1), hangs: false, exclusive: true };
        let checks = (0..8).map(|_| (exclusive(), true)).collect();
        assert_eq!(verdict_of(checks, &bench()).await.0, Verdict::Pass);
        assert_eq!(MOST_INSIDE.load(Ordering::SeqCst), 1);
    }

    /// Judging a stored exhibit again gives the same record, byte for byte; changed or missing
    /// bytes count as Inconclusive whatever the record claims.
    #[tokio::test]
    async fn replaying_gives_the_same_bytes_or_nothing() {
        let bench = bench();
        let ruled = run(vec![gate(vec![(number(Some(7)), true)])], &subject(), &bench).await;
        let record = ruled[0].ruling.record();
        let mut exhibits: BTreeMap<_, _> =
            ruled[0].exhibits.iter().map(|e| (e.digest(), e.bytes())).collect();
        let now = Timestamp::from_us(2_000);
        let again = ruling::replay(record, &exhibits, &bench.rules, (&[], now));
        assert_eq!(
            crate::base::digest::canonical_json(again.record()).unwrap(),
            crate::base::digest::canonical_json(record).unwrap()
        );

        let mut claimed = record.clone();
        claimed.checks[0].judgement.headline = "all is well".into();
        let other = ruling::replay(&claimed, &exhibits, &bench.rules, (&[], now));
        assert_eq!(other.record().checks[0].judgement.cause, Some(Cause::NotReproduced));

        // Nor does a record that claims another rule, or another version of it.
        let claims: [fn(&mut CheckRecord); 2] = [|c| c.rule.push('x'), |c| c.rule_version += 1];
        for claim in claims {
            let mut claimed = record.clone();
            claimed.checks.iter_mut().for_each(claim);
            let other = ruling::replay(&claimed, &exhibits, &bench.rules, (&[], now));
            assert_eq!(other.record().cause, Some(Cause::ExhibitMissing));
        }
        let unknown = ruling::replay(record, &exhibits, &Rules::default(), (&[], now));
        assert_eq!(unknown.record().cause, Some(Cause::UnknownRule));

        for bytes in exhibits.values_mut() {
            bytes[10] ^= 1;
        }
        let changed = ruling::replay(record, &exhibits, &bench.rules, (&[], now));
        assert_eq!(changed.record().cause, Some(Cause::ExhibitMissing));
        assert_eq!(changed.verdict(), Verdict::Inconclusive);
    }
}
