//! The rollout, pure: `step(plan, state, event)` gives the next state and what to do.
//!
//! Invariants: traffic is raised only after a clearance was granted for that very stage; once on
//! the way back, or ended, nothing raises again; every hold has an end; only a judged breach ends
//! as `RolledBack`; going back is never refused. Every action is safe to repeat.

#![expect(clippy::needless_pass_by_value, reason = "a state is used up by the step that leaves it")]

use super::advance::{advanced, can_advance};
use super::decision::{Decision, StageJudgement, decide};
use super::machine::{Action, At, Denied, Event, ExitKind, Found, RaiseRefused, StageNext, State};
use super::plan::{OnFail, OnInterrupt, RolloutPlan};
use crate::base::clock::Timestamp;
use crate::base::units::{Micros, Weight};
use crate::ledger::entry::{AfterPause, RolloutEnd};

/// How often a lowering that was not accepted is called again before a human is needed.
const LOWER_ATTEMPTS_MAX: u32 = 10;
/// How often an accepted lowering is read back before a human is needed. The call is not repeated.
const VERIFY_ATTEMPTS_MAX: u32 = 3;

pub(super) type Next = (State, Vec<Action>);

/// The next state and what to do, given what happened at `now`.
pub(crate) fn step(plan: &RolloutPlan, state: State, now: Timestamp, event: Event) -> Next {
    match state.at {
        At::Ended { .. } => (state, Vec::new()),
        At::Lowering { .. } | At::Verifying { .. } => going_back(state, event),
        At::Idle => begin(state, event),
        _ => going_forward(plan, state, now, event),
    }
}

fn begin(state: State, event: Event) -> Next {
    match event {
        Event::Started => clear(state),
        // Both ways lower: a raise of the dead process may still be on its way, and is stale then.
        Event::Resumed { weight, granted } if weight > Weight::ZERO || !granted => {
            let text = "the process that watched this canary is gone".to_owned();
            back(state, RolloutEnd::Aborted, ExitKind::BackOnBase, text)
        }
        Event::Resumed { .. } => {
            let text = "nobody renewed the grant; users are on base".to_owned();
            back(state, RolloutEnd::GrantEnded, ExitKind::BackOnBase, text)
        }
        Event::Interrupted { signal } => end(state, None, ExitKind::Interrupted, signal),
        _ => (state, Vec::new()),
    }
}

fn going_forward(plan: &RolloutPlan, state: State, now: Timestamp, event: Event) -> Next {
    match event {
        Event::Tick => tick(plan, state, now),
        Event::Paused { pause, by } => {
            let text = format!("paused by {by}");
            (State { paused: Some(pause), ..state }, vec![Action::Say(text)])
        }
        Event::Unpaused => (unpaused(state, now), vec![Action::Say("resumed".to_owned())]),
        Event::Advanced { stage, by } if stage == state.stage && can_advance(&state) => {
            advanced(plan, state, &by)
        }
        Event::ClearanceGranted { stage }
            if state.at == At::Clearing && stage == state.stage && state.paused.is_some() =>
        {
            hold(state, now, "paused: the raise waits".to_owned())
        }
        Event::ClearanceGranted { stage } if state.at == At::Clearing && stage == state.stage => {
            let weight = plan.stages[stage].weight;
            let next = State { at: At::Raising, exposed: true, ..state };
            (next, vec![Action::RaiseTo { stage, weight }])
        }
        Event::ClearanceDenied { stage, denied }
            if state.at == At::Clearing && stage == state.stage =>
        {
            refused_proof(state, now, denied)
        }
        Event::Raised { stage } if state.at == At::Raising && stage == state.stage => {
            baking(state, now)
        }
        Event::RaiseRefused { stage, refused }
            if state.at == At::Raising && stage == state.stage =>
        {
            refused_raise(state, now, refused)
        }
        Event::Looked { weight } if state.at == At::Looking => looked(plan, state, now, weight),
        Event::LookFailed { detail } if state.at == At::Looking => {
            hold(state, now, format!("the platform cannot be read: {detail}"))
        }
        Event::StageJudged { stage, judged } if state.at == At::Judging && stage == state.stage => {
            judged_stage(plan, state, now, judged)
        }
        Event::HardLimit { headline, both_arms_breach: Some(shared) } => {
            let state = State { shared: true, ..state };
            hold(state, now, format!("both versions fail on {shared}: {headline}"))
        }
        Event::HardLimit { headline, .. } | Event::Unreachable { headline } => {
            breach(plan, state, now, headline)
        }
        other => stopped(plan, state, other),
    }
}

/// Events that end the way forward, wherever it stands.
fn stopped(plan: &RolloutPlan, state: State, event: Event) -> Next {
    match event {
        Event::Interrupted { signal } if !state.exposed => {
            end(state, Some(RolloutEnd::Aborted), ExitKind::Interrupted, signal)
        }
        Event::Interrupted { signal } => match plan.on_interrupt {
            OnInterrupt::Abort => back(state, RolloutEnd::Aborted, ExitKind::BackOnBase, signal),
            OnInterrupt::Hold => {
                end(state, None, ExitKind::PartDone, format!("{signal}; held as asked"))
            }
        },
        Event::Preempted { by } => preempted(state, &by),
        Event::ForeignChange { who, found } => {
            let (ended, exit) = match found {
                Found::Base => (Some(RolloutEnd::Aborted), ExitKind::Closed),
                Found::Canary | Found::Split => (None, ExitKind::Unverified),
            };
            end(state, ended, exit, format!("{who} changed the traffic; nothing is overwritten"))
        }
        Event::GrantLost => {
            let text = "the grant ended before it was renewed".to_owned();
            back(state, RolloutEnd::GrantEnded, ExitKind::BackOnBase, text)
        }
        Event::PlatformUncertain { detail } => {
            let said = Action::Say(format!("the platform did not answer: {detail}"));
            (state, vec![said])
        }
        // Answers to a question that is no longer asked.
        _ => (state, Vec::new()),
    }
}

fn tick(plan: &RolloutPlan, mut state: State, now: Timestamp) -> Next {
    let terms = &plan.stages[state.stage];
    let waited = |since: Timestamp, span: Micros| now.since_us(since) >= span.as_i64();
    // A breach that waits for a person goes back in its time, paused or not.
    if let Some(pause) = state.paused.filter(|_| !state.breached) {
        match pause.then {
            _ if now < pause.until => return paused(plan, state, now),
            AfterPause::Withdraw => return pause_ended(state),
            AfterPause::Resume => state = unpaused(state, now),
        }
    }
    if state.held_since.is_some_and(|since| waited(since, terms.max_hold)) {
        return hold_ended(state);
    }
    let mut actions = Vec::new();
    if state.exposed && waited(state.renewed, plan.renewal) {
        state.renewed = now;
        actions.push(Action::RenewGrant);
    }
    match state.at {
        At::Baking { since } if waited(since, terms.bake) => {
            state.at = At::Judging;
            actions.push(Action::JudgeStage { stage: state.stage });
        }
        At::Holding { asked } if !state.breached && waited(asked, plan.renewal) => {
            state.at = At::Looking;
            actions.push(Action::LookAgain);
        }
        _ => {}
    }
    (state, actions)
}

/// Only the grant goes on.
fn paused(plan: &RolloutPlan, mut state: State, now: Timestamp) -> Next {
    let due = now.since_us(state.renewed) >= plan.renewal.as_i64();
    if !(state.exposed && due) {
        return (state, Vec::new());
    }
    state.renewed = now;
    (state, vec![Action::RenewGrant])
}

/// The time of a pause does not count against the patience for an undecided stage.
fn unpaused(state: State, now: Timestamp) -> State {
    State { paused: None, held_since: state.held_since.map(|_| now), ..state }
}

fn pause_ended(state: State) -> Next {
    let text = "the pause ended, and nobody resumed the canary".to_owned();
    back(state, RolloutEnd::Withdrawn, ExitKind::Undecided, text)
}

fn hold_ended(state: State) -> Next {
    if state.breached {
        let text = "a judged breach, and nobody decided until max_hold".to_owned();
        return back(state, RolloutEnd::RolledBack, ExitKind::BackOnBase, text);
    }
    let text = "undecided until max_hold".to_owned();
    back(state, RolloutEnd::Withdrawn, ExitKind::Undecided, text)
}

/// The platform is readable again: go on from what it really gives the canary.
fn looked(plan: &RolloutPlan, state: State, now: Timestamp, weight: Weight) -> Next {
    let before = state.stage.checked_sub(1).map_or(Weight::ZERO, |i| plan.stages[i].weight);
    match state.baking_since {
        None if weight == plan.stages[state.stage].weight => return baking(state, now),
        None if weight == before => return clear(state),
        Some(since) if weight == plan.stages[state.stage].weight => {
            return (State { at: At::Baking { since }, ..state }, Vec::new());
        }
        _ => {}
    }
    if weight == Weight::ZERO {
        let text = "the platform went back to base by itself".to_owned();
        return back(state, RolloutEnd::GrantEnded, ExitKind::BackOnBase, text);
    }
    let text = format!("the canary has {weight}, which this canary never asked for");
    end(state, None, ExitKind::Unverified, text)
}

/// To the next stage, or to the end of the last.
pub(super) fn go_on(plan: &RolloutPlan, state: State) -> (StageNext, Next) {
    let stage = state.stage + 1;
    if stage == plan.stages.len() {
        let text = "all traffic is on the canary; the old base is kept ready".to_owned();
        return (StageNext::Done, end(state, Some(RolloutEnd::Complete), ExitKind::Done, text));
    }
    let next = State { stage, baking_since: None, held_since: None, shared: false, ..state };
    (StageNext::Raise, clear(next))
}

fn judged_stage(plan: &RolloutPlan, state: State, now: Timestamp, judged: StageJudgement) -> Next {
    let index = state.stage;
    let state = State { shared: judged.both_arms_breach.is_some(), ..state };
    let headline = judged.headline.clone();
    let decision = decide(plan.stages[index].decide_by, &judged);
    let (step_next, (next, mut actions)) = match decision {
        Decision::Proceed => go_on(plan, state),
        Decision::Hold => {
            let text = match &judged.both_arms_breach {
                Some(shared) => format!("both versions fail on {shared}: {headline}"),
                None => headline,
            };
            // Judged again after a further bake: every look more is a chance more to be wrong.
            let next = State { baking_since: Some(now), ..state };
            (StageNext::Hold, hold(next, now, text))
        }
        Decision::Back => {
            let next = match plan.stages[index].on_fail {
                OnFail::Rollback => StageNext::Abort,
                OnFail::Hold => StageNext::Hold,
            };
            (next, breach(plan, state, now, headline))
        }
    };
    // Going back comes before writing it down.
    let record = Action::RecordStage { stage: index, next: step_next, judged };
    let place = usize::from(matches!(actions.first(), Some(Action::LowerToBase { .. })));
    actions.insert(place, record);
    (next, actions)
}

fn breach(plan: &RolloutPlan, state: State, now: Timestamp, headline: String) -> Next {
    if !state.exposed {
        return (state, vec![Action::Say(headline)]);
    }
    let state = State { breached: true, ..state };
    // A raise in flight could land during a hold, so only a settled weight is held.
    match plan.stages[state.stage].on_fail {
        OnFail::Hold if state.at != At::Raising => hold(state, now, headline),
        _ => back(state, RolloutEnd::RolledBack, ExitKind::BackOnBase, headline),
    }
}

fn refused_proof(state: State, now: Timestamp, denied: Denied) -> Next {
    match denied {
        Denied::Expired { detail } | Denied::Undecided { detail } => hold(state, now, detail),
        Denied::Closed { detail } if state.exposed => {
            back(state, RolloutEnd::Withdrawn, ExitKind::BackOnBase, detail)
        }
        Denied::Closed { detail } => {
            end(state, Some(RolloutEnd::Withdrawn), ExitKind::Closed, detail)
        }
    }
}

fn refused_raise(state: State, now: Timestamp, refused: RaiseRefused) -> Next {
    match refused {
        // Nothing changed: before the first raise nobody is exposed.
        RaiseRefused::Expired { detail } | RaiseRefused::Unavailable { detail } => {
            let exposed = state.stage > 0;
            hold(State { exposed, ..state }, now, detail)
        }
        RaiseRefused::InDoubt { detail } => {
            let next =
                State { at: At::Looking, held_since: state.held_since.or(Some(now)), ..state };
            (next, vec![Action::Say(detail), Action::LookAgain])
        }
        RaiseRefused::Preempted { by } => preempted(state, &by),
        RaiseRefused::Refused { detail } => {
            let exit = if state.stage == 0 { ExitKind::Unavailable } else { ExitKind::BackOnBase };
            back(state, RolloutEnd::Aborted, exit, detail)
        }
    }
}

fn preempted(state: State, by: &str) -> Next {
    end(state, None, ExitKind::Closed, format!("{by} took over; this canary raises nothing more"))
}

/// On the way back only the answers to going back count.
fn going_back(state: State, event: Event) -> Next {
    match (state.at.clone(), event) {
        (At::Lowering { end, exit, reason, .. }, Event::Lowered) => {
            let next = State { at: At::Verifying { end, exit, attempt: 1, reason }, ..state };
            (next, vec![Action::VerifyBase])
        }
        (At::Verifying { end: ended, exit, reason, .. }, Event::Verified { on_base: true }) => {
            end(state, Some(ended), exit, reason)
        }
        (At::Lowering { .. }, Event::LowerFailed { detail }) => {
            let text = format!("going back failed and is tried again: {detail}");
            (state, vec![Action::Say(text)])
        }
        (At::Lowering { end, exit, attempt, reason }, Event::Tick) => {
            lower_again(state, (end, exit), attempt, reason)
        }
        (
            At::Verifying { end, exit, attempt, reason },
            Event::Verified { on_base: false } | Event::Tick,
        ) => verify_again(state, (end, exit), attempt, reason),
        // Asked by a person while a grant's end or a breach already goes back: one way, one end.
        _ => (state, Vec::new()),
    }
}

fn lower_again(
    state: State,
    (ended, exit): (RolloutEnd, ExitKind),
    attempt: u32,
    reason: String,
) -> Next {
    if attempt >= LOWER_ATTEMPTS_MAX {
        return unverified(state, ended, &format!("{reason}; going back to base failed"));
    }
    let say = reason.clone();
    let at = At::Lowering { end: ended, exit, attempt: attempt + 1, reason };
    (State { at, ..state }, vec![Action::LowerToBase { reason: say }])
}

/// The platform has accepted: asking it again would change nothing, reading again may.
fn verify_again(
    state: State,
    (ended, exit): (RolloutEnd, ExitKind),
    attempt: u32,
    reason: String,
) -> Next {
    if attempt >= VERIFY_ATTEMPTS_MAX {
        return unverified(state, ended, &format!("{reason}; going back could not be verified"));
    }
    let at = At::Verifying { end: ended, exit, attempt: attempt + 1, reason };
    (State { at, ..state }, vec![Action::VerifyBase])
}

/// A judged breach condemns whatever became of the traffic; no other end may be claimed.
fn unverified(state: State, ended: RolloutEnd, text: &str) -> Next {
    let ended = (ended == RolloutEnd::RolledBack).then_some(ended);
    end(state, ended, ExitKind::Unverified, text.to_owned())
}

fn clear(state: State) -> Next {
    let ask = Action::RequestClearance { stage: state.stage };
    (State { at: At::Clearing, ..state }, vec![ask])
}

fn baking(state: State, now: Timestamp) -> Next {
    let next = State {
        at: At::Baking { since: now },
        exposed: true,
        baking_since: Some(now),
        held_since: None,
        renewed: now,
        ..state
    };
    (next, Vec::new())
}

fn hold(state: State, now: Timestamp, why: String) -> Next {
    let held_since = state.held_since.or(Some(now));
    (State { at: At::Holding { asked: now }, held_since, ..state }, vec![Action::Say(why)])
}

fn back(state: State, ended: RolloutEnd, exit: ExitKind, reason: String) -> Next {
    lower_again(state, (ended, exit), 0, reason)
}

fn end(state: State, ended: Option<RolloutEnd>, exit: ExitKind, reason: String) -> Next {
    let at = At::Ended { end: ended, exit };
    (State { at, ..state }, vec![Action::End { end: ended, exit, reason }])
}

#[cfg(test)]
mod tests {
    use super::super::machine::Pause;
    use super::super::plan::tests::plan;
    use super::*;
    use crate::gate::verdict::Verdict;

    const NOW: Timestamp = Timestamp::from_us(1_000_000_000);

    fn after_us(us: i64) -> Timestamp {
        NOW.plus_us(us)
    }

    /// Stage `stage` bakes since `NOW`.
    fn baking_at(stage: usize) -> State {
        baking(State { stage, ..State::new(NOW) }, NOW).0
    }

    fn judging_at(stage: usize) -> State {
        State { at: At::Judging, ..baking_at(stage) }
    }

    fn judged(stage: usize, users: Verdict, both: Option<&str>) -> Event {
        Event::StageJudged {
            stage,
            judged: StageJudgement {
                users,
                probes: None,
                cause: None,
                headline: "seen".to_owned(),
                both_arms_breach: both.map(str::to_owned),
            },
        }
    }

    /// The kinds of the actions, in order.
    fn kinds(actions: &[Action]) -> Vec<&'static str> {
        let kind = |action: &Action| match action {
            Action::RequestClearance { .. } => "clearance",
            Action::RaiseTo { .. } => "raise",
            Action::RenewGrant => "renew",
            Action::LookAgain => "look",
            Action::JudgeStage { .. } => "judge",
            Action::RecordStage { .. } => "record",
            Action::LowerToBase { .. } => "lower",
            Action::VerifyBase => "verify",
            Action::End { .. } => "end",
            Action::Say(_) => "say",
        };
        actions.iter().map(kind).collect()
    }

    #[test]
    fn each_event_has_its_answer() {
        let text = String::new;
        let raising = State { at: At::Raising, exposed: true, ..State::new(NOW) };
        let clearing = State { at: At::Clearing, ..State::new(NOW) };
        let expired = Denied::Expired { detail: text() };
        let doubt = RaiseRefused::InDoubt { detail: text() };
        let cases: Vec<(State, Event, &[&str])> = vec![
            (State::new(NOW), Event::Started, &["clearance"]),
            (State::new(NOW), Event::Resumed { weight: Weight::FULL, granted: true }, &["lower"]),
            (State::new(NOW), Event::Resumed { weight: Weight::ZERO, granted: true }, &["lower"]),
            (State::new(NOW), Event::Resumed { weight: Weight::ZERO, granted: false }, &["lower"]),
            (clearing.clone(), Event::ClearanceGranted { stage: 0 }, &["raise"]),
            (clearing.clone(), Event::ClearanceGranted { stage: 1 }, &[]),
            (clearing.clone(), Event::ClearanceDenied { stage: 0, denied: expired }, &["say"]),
            (clearing, Event::Interrupted { signal: text() }, &["end"]),
            (raising.clone(), Event::Raised { stage: 1 }, &[]),
            (raising, Event::RaiseRefused { stage: 0, refused: doubt }, &["say", "look"]),
            (judging_at(0), judged(0, Verdict::Pass, None), &["record", "clearance"]),
            (judging_at(3), judged(3, Verdict::Pass, None), &["record", "end"]),
            (judging_at(0), judged(0, Verdict::Fail, None), &["lower", "record"]),
            (judging_at(0), judged(0, Verdict::Inconclusive, None), &["record", "say"]),
            (judging_at(0), judged(0, Verdict::Fail, Some("db")), &["record", "say"]),
            (baking_at(0), Event::Unreachable { headline: text() }, &["lower"]),
            (baking_at(0), Event::GrantLost, &["lower"]),
            (baking_at(0), Event::Interrupted { signal: text() }, &["lower"]),
            (baking_at(0), Event::Preempted { by: text() }, &["end"]),
            (baking_at(0), Event::ClearanceGranted { stage: 0 }, &[]),
        ];
        for (state, event, expected) in cases {
            let said = format!("{:?} {event:?}", state.at);
            let (_, actions) = step(&plan(), state, NOW, event);
            assert_eq!(kinds(&actions), expected, "{said}");
        }
    }

    /// Only where there are grants may one have ended.
    #[test]
    fn a_found_weight_of_zero_is_named_for_what_it_is() {
        for (granted, expected) in [(true, RolloutEnd::GrantEnded), (false, RolloutEnd::Aborted)] {
            let found = Event::Resumed { weight: Weight::ZERO, granted };
            let (state, _) = step(&plan(), State::new(NOW), NOW, found);
            let At::Lowering { end, .. } = state.at else { panic!("{:?}", state.at) };
            assert_eq!(end, expected);
        }
    }

    #[test]
    fn time_decides_on_the_microsecond() {
        for (us, expected) in [
            (14_999_999, [].as_slice()),
            (15_000_000, &["renew"]),
            (59_999_999, &["renew"]),
            (60_000_000, &["renew", "judge"]),
        ] {
            let (_, actions) = step(&plan(), baking_at(0), after_us(us), Event::Tick);
            assert_eq!(kinds(&actions), expected, "{us}");
        }
        let (held, _) = step(&plan(), judging_at(0), NOW, judged(0, Verdict::Inconclusive, None));
        let (_, before) = step(&plan(), held.clone(), after_us(119_999_999), Event::Tick);
        assert_eq!(kinds(&before), ["renew", "look"]);
        let (state, actions) = step(&plan(), held, after_us(120_000_000), Event::Tick);
        assert_eq!(kinds(&actions), ["lower"]);
        let At::Lowering { end, exit, .. } = state.at else { panic!("{:?}", state.at) };
        assert_eq!((end, exit), (RolloutEnd::Withdrawn, ExitKind::Undecided));
    }

    /// A pause judges and raises nothing, keeps the grant, and ends as it was asked to; a breach
    /// goes back all the same.
    #[test]
    fn a_pause_holds_the_weight_until_it_ends() {
        for (then, at_end) in
            [(AfterPause::Resume, &["renew", "judge"][..]), (AfterPause::Withdraw, &["lower"][..])]
        {
            let pause = Pause { until: after_us(90_000_000), then };
            let asked = Event::Paused { pause, by: "ana".to_owned() };
            let (state, _) = step(&plan(), baking_at(0), NOW, asked);
            let (_, waits) = step(&plan(), state.clone(), after_us(89_999_999), Event::Tick);
            assert_eq!(kinds(&waits), ["renew"], "{then:?}");
            let (_, ends) = step(&plan(), state.clone(), after_us(90_000_000), Event::Tick);
            assert_eq!(kinds(&ends), at_end, "{then:?}");
            let (lifted, _) = step(&plan(), state.clone(), after_us(70_000_000), Event::Unpaused);
            let (_, goes_on) = step(&plan(), lifted, after_us(70_000_000), Event::Tick);
            assert_eq!(kinds(&goes_on), ["renew", "judge"], "{then:?}");
            let clearing = State { at: At::Clearing, ..state.clone() };
            let granted = Event::ClearanceGranted { stage: 0 };
            let (held, raise) = step(&plan(), clearing, NOW, granted);
            assert_eq!(kinds(&raise), ["say"], "nothing is raised");
            assert!(matches!(held.at, At::Holding { .. }));
            let unreachable = Event::Unreachable { headline: String::new() };
            let (_, back) = step(&plan(), state, NOW, unreachable);
            assert_eq!(kinds(&back), ["lower"]);
        }
    }

    #[test]
    fn going_back_ends_verified_or_says_it_does_not_know() {
        let failed = || step(&plan(), judging_at(0), NOW, judged(0, Verdict::Fail, None)).0;
        let (verifying, _) = step(&plan(), failed(), NOW, Event::Lowered);
        let (ended, _) = step(&plan(), verifying, NOW, Event::Verified { on_base: true });
        let end = Some(RolloutEnd::RolledBack);
        assert_eq!(ended.at, At::Ended { end, exit: ExitKind::BackOnBase });
        let mut state = failed();
        for _ in 0..LOWER_ATTEMPTS_MAX {
            state = step(&plan(), state, NOW, Event::Tick).0;
        }
        assert_eq!(state.at, At::Ended { end, exit: ExitKind::Unverified });
    }

    /// Once the platform accepted, only reading back is repeated: one changing call.
    #[test]
    fn an_accepted_lowering_is_called_once_and_read_back_again() {
        let failed = step(&plan(), judging_at(0), NOW, judged(0, Verdict::Fail, None)).0;
        let (mut state, actions) = step(&plan(), failed, NOW, Event::Lowered);
        assert_eq!(kinds(&actions), ["verify"]);
        for _ in 1..VERIFY_ATTEMPTS_MAX {
            let (next, actions) = step(&plan(), state, NOW, Event::Verified { on_base: false });
            assert_eq!(kinds(&actions), ["verify"]);
            state = next;
        }
        let (ended, actions) = step(&plan(), state, NOW, Event::Verified { on_base: false });
        assert_eq!(kinds(&actions), ["end"]);
        let end = Some(RolloutEnd::RolledBack);
        assert_eq!(ended.at, At::Ended { end, exit: ExitKind::Unverified });
    }
}
