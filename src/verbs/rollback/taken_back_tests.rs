//! What took users back last decides where a rollback goes: a canary's abort, a rollback, or a judged
//! breach, known to the platform, to the ledger, or to both.

use super::tests::{history, scene};
use crate::base::units::{Micros, Weight};
use crate::ledger::entry::{Body, Outcome, RolloutEnd, TrafficProof};
use crate::ledger::fixture::{
    at, cleared, commit, deployment, ended, environment, id, rollout, step_ended,
};
use crate::rollout::ports::{Known, Lowered, Lowering};
use crate::verbs::stand_in::Scripted;

/// d2 serves over d1, a canary of it was taken back so many seconds ago, and nothing serves it now.
fn lowered(previous: Option<&str>, how: Lowering, secs: u64) -> Scripted {
    let platform = Scripted::at("d2", previous, how != Lowering::GrantEnded);
    let mut state = platform.state.lock().unwrap();
    state.lowered = Some(Lowered { how, ago: Micros::from_secs(secs) });
    state.lowered_by = Some("bob".to_owned());
    drop(state);
    platform
}

/// A bad release serves, and somebody aborted a canary of the next one: the base is what is left to
/// go back from. Within a minute nobody can tell, and the command that goes on is named.
#[tokio::test]
async fn without_a_ledger_an_abort_keeps_nobody_on_a_bad_base() {
    use Lowering::{GrantEnded, RolledBack, Withdrawn};
    for (how, secs, expected) in [
        (Withdrawn, 3_600, ("d1", Some("d2"))),
        (Withdrawn, 5, ("d2", Some("d1"))),
        (GrantEnded, 3_600, ("d1", Some("d2"))),
        (GrantEnded, 5, ("d2", Some("d1"))),
        (RolledBack, 3_600, ("d2", Some("d1"))),
    ] {
        let mut scene = scene(Vec::new(), lowered(Some("d1"), how, secs), None);
        scene.rollback.book = None;
        let target = scene.rollback.target().await.unwrap();
        let or_to = target.or_to.as_ref().map(ToString::to_string);
        let found = (target.deployment.as_str(), or_to.as_deref());
        assert_eq!(found, expected, "{how:?} {secs} s ago: {:?}", target.because);
        assert!(target.because.as_ref().unwrap().contains("ago"), "{:?}", target.because);
        let moves = expected.0 == "d1";
        assert_eq!((target.lowers, target.from.is_some()), (!moves, moves));
        scene.rollback.run(target).await.unwrap();
        let call = if moves { "revert to d1" } else { "lower" };
        assert_eq!(scene.platform.calls(), [call]);
    }
    // Whoever names what serves already is taken at their word.
    let mut scene = scene(Vec::new(), lowered(Some("d1"), Withdrawn, 3_600), Some("d2"));
    scene.rollback.book = None;
    assert_eq!(scene.where_to().await, Ok(("d2".to_owned(), None)));
}

/// v1.2 (d2) serves over v1.1 (d1), and the canary of v1.4 (d4) was taken back.
fn aborted() -> Vec<Body> {
    let canary = vec![rollout("v1.4.0-rc.1", '4', "d2"), ended('4', RolloutEnd::Aborted)];
    [history()[..3].to_vec(), canary].concat()
}

/// One person aborts and another rolls back: both mean the canary. What the platform or the ledger
/// saw a moment ago counts; what is older keeps nobody on the base.
#[tokio::test]
async fn with_a_ledger_a_rollback_right_after_an_abort_stays() {
    let told_at = 5;
    for (platform, now, expected) in [
        // The platform knows neither why nor when; the ledger knows both.
        (Scripted::at("d2", None, true), told_at + 59, "d2"),
        (Scripted::at("d2", None, true), told_at + 60, "d1"),
        // Another clock is behind: nobody can tell.
        (Scripted::at("d2", None, true), told_at - 4, "d2"),
        (lowered(Some("d1"), Lowering::Withdrawn, 5), 1_000, "d2"),
        (lowered(Some("d1"), Lowering::Withdrawn, 600), 1_000, "d1"),
    ] {
        let mut scene = scene(aborted(), platform, None);
        scene.rollback.now = at(now);
        let target = scene.rollback.target().await.unwrap();
        assert_eq!(target.deployment.as_str(), expected, "{:?}", target.because);
        if expected == "d2" {
            assert_eq!((target.condemned, target.from), (None, None));
            assert_eq!(target.or_to, Some(deployment("d1")), "{:?}", target.because);
            assert!(target.because.unwrap().contains("took the canary"));
        }
        // Whoever knows that the base fails means nothing else.
        scene.rollback.fails = Some(deployment("d2"));
        assert_eq!(scene.where_to().await, Ok(("d1".to_owned(), Some('2'))));
    }
}

/// What is watched fails beside a canary that is staged: one call, past the base, and the canary ends
/// without a verdict.
#[tokio::test]
async fn a_failing_base_is_left_whatever_is_staged_beside_it() {
    let platform = Scripted::at("d2", Some("d1"), false);
    let canary = Known { deployment: deployment("d4"), commit: None };
    platform.state.lock().unwrap().canary = Some(canary);
    let mut scene = scene(aborted()[..4].to_vec(), platform, None);
    assert_eq!(scene.where_to().await, Ok(("d2".to_owned(), Some('4'))), "a rollout under way");
    scene.rollback.fails = Some(deployment("d2"));
    let target = scene.rollback.target().await.unwrap();
    let back = scene.rollback.run(target).await.unwrap();
    assert_eq!(
        (back.proof, scene.platform.calls()),
        (TrafficProof::Verified, vec!["revert to d1".to_owned()])
    );
    let state = scene.state();
    let known = &state.environments[&environment("production")];
    let condemned: Vec<_> = known.condemned.keys().collect();
    assert_eq!(condemned, [&commit('2')]);
    let ends: Vec<_> = known.ended.iter().map(|ended| ended.end).collect();
    assert_eq!(ends, [RolloutEnd::Aborted]);
    assert_eq!(known.base.as_ref().unwrap().deployment, deployment("d1"));
}

/// This ledger believes that the canary runs; the platform shows that somebody took it back long ago.
#[tokio::test]
async fn a_canary_that_was_taken_back_elsewhere_keeps_nobody_on_the_base() {
    let running = aborted()[..4].to_vec();
    for (how, secs, expected) in [
        (Lowering::Withdrawn, 600, ("d1", Some('2'))),
        (Lowering::Withdrawn, 5, ("d2", Some('4'))),
        // Nobody said that it is over: a rollout goes back to its base.
        (Lowering::GrantEnded, 6_000, ("d2", Some('4'))),
    ] {
        let scene = scene(running.clone(), lowered(Some("d1"), how, secs), None);
        let (to, condemned) = expected;
        assert_eq!(scene.where_to().await, Ok((to.to_owned(), condemned)), "{how:?} {secs}");
    }
}

/// Somebody rolled a canary back from an empty folder: this ledger, which never heard of it, stays.
#[tokio::test]
async fn a_rollback_that_the_ledger_never_heard_of_is_not_walked_past() {
    let known = history()[..3].to_vec();
    let platform = || lowered(Some("d1"), Lowering::RolledBack, 86_400);
    let stays = scene(known.clone(), platform(), None);
    let target = stays.rollback.target().await.unwrap();
    assert_eq!((target.deployment.as_str(), target.lowers), ("d2", true));
    assert_eq!(target.or_to, Some(deployment("d1")));
    let named = scene(known, platform(), Some("d1"));
    assert_eq!(named.where_to().await, Ok(("d1".to_owned(), Some('2'))), "a person's word");
}

/// A judged breach took the canary back, and the base stays; a person who means the base is told
/// the command.
#[tokio::test]
async fn after_a_judged_breach_the_command_that_leaves_the_base_is_named() {
    let judged = vec![rollout("v1.4.0-rc.1", '4', "d2"), ended('4', RolloutEnd::RolledBack)];
    let bodies = [history()[..3].to_vec(), judged].concat();
    for platform in [
        lowered(Some("d1"), Lowering::RolledBack, 86_400),
        Scripted::at("d2", None, true),
        Scripted { down: true, ..Scripted::at("d2", Some("d1"), true) },
    ] {
        let scene = scene(bodies.clone(), platform, None);
        let target = scene.rollback.target().await.unwrap();
        assert_eq!((target.deployment.as_str(), &target.from), ("d2", &None));
        assert_eq!(target.or_to, Some(deployment("d1")));
        let why = target.because.unwrap();
        assert!(why.contains("the canary v1.4.0-rc.1 was rolled back at"), "{why}");
    }
}

/// d2 serves and d4 is its canary. Somebody names d1: whoever has users is left and condemned, so a
/// job that runs again ships neither, and no way back leads to d2.
#[tokio::test]
async fn a_name_past_the_base_of_a_canary_leaves_both() {
    let (nobody, some) = (Weight::ZERO, Weight::from_basis_points(2_500).unwrap());
    for (weight, is_open, condemns, end) in [
        (nobody, false, &['2'][..], RolloutEnd::Aborted),
        (some, false, &['2', '4'], RolloutEnd::RolledBack),
        (nobody, true, &['2', '4'], RolloutEnd::RolledBack),
        (Weight::FULL, false, &['4'], RolloutEnd::RolledBack),
    ] {
        let mut bodies = aborted()[..4].to_vec();
        bodies.push(cleared("cl_1", '4', 1_000));
        let to = if is_open { Weight::FULL } else { weight };
        if to != Weight::ZERO {
            let (step, rollout, clearance) = (id("st_1"), id("ro_4"), id("cl_1"));
            let from = Weight::ZERO;
            bodies.push(Body::RaiseIntended { step, rollout, clearance, from, to });
        }
        if weight != Weight::ZERO {
            bodies.push(step_ended("st_1", Outcome::Done));
        }
        let platform = Scripted::at("d2", Some("d1"), false);
        let canary = Known { deployment: deployment("d4"), commit: Some(commit('4')) };
        platform.state.lock().unwrap().canary = Some(canary);
        platform.state.lock().unwrap().weight = weight;
        let scene = scene(bodies, platform, Some("d1"));
        let target = scene.rollback.target().await.unwrap();
        assert_eq!(target.condemned, Some(commit(condemns[0])), "{:?}", target.because);
        let back = scene.rollback.run(target).await.unwrap();
        assert_eq!(
            (back.proof, scene.platform.calls()),
            (TrafficProof::Verified, vec!["revert to d1".to_owned()])
        );
        let state = scene.state();
        let known = &state.environments[&environment("production")];
        let condemned: Vec<_> = known.condemned.keys().cloned().collect();
        assert_eq!(condemned, condemns.iter().map(|c| commit(*c)).collect::<Vec<_>>(), "{weight}");
        assert_eq!(known.ended.last().unwrap().end, end, "{weight}");
        assert_eq!(known.base.as_ref().unwrap().deployment, deployment("d1"));
    }
}
