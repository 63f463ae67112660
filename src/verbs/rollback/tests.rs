//! Going back with a ledger that is told and a platform that is scripted: where to, how many calls,
//! and what is written down.

use std::sync::Arc;
use std::time::Duration;

use super::{BackError, Rollback, planned};
use crate::base::clock;
use crate::base::units::Micros;
use crate::ledger::entry::{Body, Outcome, RolloutEnd, TrafficProof};
use crate::ledger::fixture::{
    Told, at, commit, deployment, ended, environment, id, promoted, rolled_back, rollout, stable,
};
use crate::ledger::fold::State;
use crate::rollout::ports::{Known, Lowered, Lowering};
use crate::verbs::book::Sync;
use crate::verbs::settle;
use crate::verbs::stand_in::{Memory, Scripted};

/// A told ledger and a scripted platform, and whoever goes back.
struct Scene {
    book: Arc<Memory>,
    platform: Arc<Scripted>,
    rollback: Rollback,
}

fn scene(bodies: Vec<Body>, platform: Scripted, to: Option<&str>) -> Scene {
    let mut told = Told::new();
    for body in bodies {
        told.live(body);
    }
    let (book, platform) = (Arc::new(Memory::new(told)), Arc::new(platform));
    let rollback = Rollback {
        platform: platform.clone(),
        book: Some(book.clone()),
        environment: environment("production"),
        reason: "checkout is down".to_owned(),
        to: to.map(deployment),
        emergency: false,
        fails: None,
        since: clock::monotonic(),
        now: at(1_000_000),
        tell: Arc::new(|_| ()),
    };
    Scene { book, platform, rollback }
}

impl Scene {
    fn state(&self) -> State {
        self.book.told.lock().unwrap().state()
    }

    async fn where_to(&self) -> Result<(String, Option<char>), BackError> {
        let target = self.rollback.target().await?;
        let digit = target.condemned.and_then(|commit| commit.as_str().chars().next());
        Ok((target.deployment.to_string(), digit))
    }
}

/// v1.1 stable, v1.2 and v1.3 promoted.
fn history() -> Vec<Body> {
    vec![
        promoted("v1.1.0", '1', "d0"),
        stable("v1.1.0", '1'),
        promoted("v1.2.0", '2', "d1"),
        promoted("v1.3.0", '3', "d2"),
    ]
}

#[tokio::test]
async fn back_is_past_a_condemned_release() {
    let mut bodies = history();
    // v1.2 was taken back, and that failed; it was fixed forward by v1.3.
    bodies.insert(3, rolled_back('2', "d1", TrafficProof::Failed));
    let scene = scene(bodies, Scripted::at("d3", Some("d2"), false), None);
    assert_eq!(scene.where_to().await, Ok(("d1".to_owned(), Some('3'))));
    let target = scene.rollback.target().await.unwrap();
    let back = scene.rollback.run(target).await.unwrap();
    assert_eq!(back.proof, TrafficProof::Verified);
    assert_eq!(scene.platform.calls(), ["revert to d1"]);
}

/// A clone that never heard of v1.3 and its rollback would go one release too far.
#[tokio::test]
async fn an_old_ledger_never_walks_one_release_further() {
    let known = history()[..3].to_vec();
    for (platform, expected) in [
        (Scripted::at("d2", None, true), ("d2", None)),
        // Nobody went back: v1.2 is what is wrong.
        (Scripted::at("d2", Some("d1"), false), ("d1", Some('2'))),
        // A canary was aborted since, which says nothing of v1.2.
        (Scripted::at("d2", Some("d1"), true), ("d1", Some('2'))),
        // v1.3 serves, which this ledger does not know.
        (Scripted::at("d3", Some("d2"), false), ("d2", None)),
    ] {
        let scene = scene(known.clone(), platform, None);
        let (to, condemned) = expected;
        assert_eq!(scene.where_to().await, Ok((to.to_owned(), condemned)));
    }
}

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

/// The platform remembers what served last, and not that it was rolled back.
#[tokio::test]
async fn nobody_is_sent_back_to_what_the_ledger_condemns() {
    let mut bodies = history()[..3].to_vec();
    bodies.push(rolled_back('2', "d1", TrafficProof::Verified));
    let of = |named: Option<char>| {
        let platform = Scripted::at("d7", Some("d2"), false);
        let known = Known { deployment: deployment("d2"), commit: named.map(commit) };
        platform.state.lock().unwrap().previous = Some(known);
        platform
    };
    // d7 serves, which this ledger does not know; d2 is what it saw rolled back.
    for named in [Some('2'), None] {
        let scene = scene(bodies.clone(), of(named), None);
        assert_eq!(scene.where_to().await.map(|(to, _)| to), Ok("d1".to_owned()));
        let named = self::scene(bodies.clone(), of(named), Some("d2"));
        assert_eq!(
            named.where_to().await.map(|(to, _)| to),
            Ok("d2".to_owned()),
            "a person's word"
        );
    }
    // Nothing else ever served: there is no way back.
    let bodies =
        vec![promoted("v1.2.0", '2', "d1"), rolled_back('2', "d1", TrafficProof::Verified)];
    let scene = scene(bodies, of(Some('2')), None);
    let error = scene.where_to().await.unwrap_err();
    assert!(matches!(&error, BackError::NoWay(why) if why.contains("was rolled back")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_platform_is_waited_for_where_nobody_else_knows_the_way() {
    let slow = || {
        let platform = Scripted::at("d3", Some("d2"), false);
        *platform.slow.lock().unwrap() = Duration::from_secs(5);
        platform
    };
    let mut alone = scene(Vec::new(), slow(), None);
    alone.rollback.book = None;
    assert_eq!(alone.where_to().await, Ok(("d2".to_owned(), None)));
    let began = tokio::time::Instant::now();
    let scene = scene(history(), slow(), None);
    assert_eq!(scene.where_to().await.map(|(to, _)| to), Ok("d2".to_owned()));
    assert!(began.elapsed() < Duration::from_secs(2), "the ledger knows the way");
}

#[tokio::test]
async fn a_named_target_must_have_served() {
    for (to, platform, expected) in [
        ("d1", Scripted::at("d3", Some("d2"), false), Ok(("d1".to_owned(), Some('3')))),
        (
            "d9",
            Scripted::at("d3", Some("d2"), false),
            Err(BackError::NeverServed(deployment("d9"))),
        ),
        // This ledger is old, and still knows that d1 served.
        ("d1", Scripted::at("d7", Some("d3"), false), Ok(("d1".to_owned(), None))),
    ] {
        let scene = scene(history(), platform, Some(to));
        assert_eq!(scene.where_to().await, expected);
    }
}

#[tokio::test]
async fn an_accepted_call_is_made_once_and_read_back_again() {
    let platform = Scripted::at("d3", Some("d2"), false);
    *platform.blind.lock().unwrap() = 2;
    let scene = scene(history(), platform, None);
    let target = scene.rollback.target().await.unwrap();
    let back = scene.rollback.run(target).await.unwrap();
    assert_eq!(
        (back.proof, back.moved_us <= back.verified_us.unwrap()),
        (TrafficProof::Verified, true)
    );
    assert_eq!(scene.platform.calls(), ["revert to d2"]);
    let state = scene.state();
    assert!(state.dangling.is_empty());
    assert!(state.environments[&environment("production")].condemned.contains_key(&commit('3')));
}

#[tokio::test]
async fn a_call_without_effect_condemns_nothing_and_leaves_nothing_open() {
    let platform = Scripted { down: true, ..Scripted::at("d3", Some("d2"), false) };
    let scene = scene(history(), platform, None);
    let target = scene.rollback.target().await.unwrap();
    assert!(matches!(scene.rollback.run(target).await, Err(BackError::Platform(_))));
    let state = scene.state();
    assert!(state.dangling.is_empty());
    assert!(state.environments[&environment("production")].condemned.is_empty());
}

#[tokio::test]
async fn what_is_served_and_not_stored_is_said() {
    let platform = Scripted::at("d3", Some("d2"), false);
    platform.state.lock().unwrap().stored = false;
    let scene = scene(history(), platform, None);
    let back = scene.rollback.run(scene.rollback.target().await.unwrap()).await.unwrap();
    assert!(back.unstored.unwrap().contains("a restart brings back"));
}

#[tokio::test]
async fn an_emergency_does_less_and_still_validates() {
    let mut scene = scene(history(), Scripted::at("d3", Some("d2"), false), None);
    let target = scene.rollback.target().await.unwrap();
    let names = |rollback: &Rollback| -> Vec<&str> {
        planned(rollback, &target).iter().map(|step| step.name).collect()
    };
    assert_eq!(names(&scene.rollback), ["traffic", "verify", "record", "share"]);
    scene.rollback.emergency = true;
    assert_eq!(names(&scene.rollback), ["traffic", "verify", "record"]);
    let back = scene.rollback.run(target.clone()).await.unwrap();
    assert_eq!(back.proof, TrafficProof::Verified);
    assert!(matches!(back.ledger, Sync::Pending(_)));
}

fn begun(condemns: Option<char>) -> Body {
    Body::LowerIntended {
        step: id("st_1"),
        rollout: None,
        to: deployment("d2"),
        reason: "checkout is down".to_owned(),
        condemns: condemns.map(commit),
    }
}

/// The process died between its call and its last entry, or before its call.
#[tokio::test]
async fn a_rollback_whose_process_died_is_written_down_by_the_next() {
    for (serves, proof) in [("d2", TrafficProof::Verified), ("d3", TrafficProof::Failed)] {
        let bodies = [history(), vec![begun(Some('3'))]].concat();
        let scene = scene(bodies, Scripted::at(serves, None, serves == "d2"), None);
        let (book, at) = (&*scene.book, environment("production"));
        let found = settle::rollbacks(book, &*scene.platform, &at).await.unwrap().unwrap();
        assert_eq!((found.verified, found.release.unwrap().as_str()), (proof, "v1.3.0"));
        assert!(found.reason.contains("begun by ana, whose process died"), "{}", found.reason);
        assert!(scene.platform.calls().is_empty(), "nothing is moved");
        let state = scene.state();
        assert!(state.environments[&at].condemned.contains_key(&commit('3')));
        assert!(state.dangling.is_empty());
        assert_eq!(settle::rollbacks(book, &*scene.platform, &at).await, Ok(None));
    }
}

/// A second rollback finds traffic moved by the first, which died: it condemns what that one took
/// back, and closes its step.
#[tokio::test]
async fn a_second_rollback_writes_what_the_first_could_not() {
    let bodies = [history(), vec![begun(Some('3'))]].concat();
    let scene = scene(bodies, Scripted::at("d2", None, true), None);
    assert_eq!(scene.where_to().await, Ok(("d2".to_owned(), Some('3'))));
    scene.rollback.run(scene.rollback.target().await.unwrap()).await.unwrap();
    let state = scene.state();
    assert!(state.environments[&environment("production")].condemned.contains_key(&commit('3')));
    assert!(state.dangling.is_empty(), "{:?}", state.dangling);
}

#[tokio::test]
async fn steps_of_a_dead_process_end_as_unknown() {
    let bodies = vec![
        rollout("v1.4.0-rc.1", '4', "d3"),
        crate::ledger::fixture::raise("st_2", '4', "cl_1"),
        begun(None),
    ];
    let scene = scene(bodies, Scripted::at("d3", None, false), None);
    settle::steps(&*scene.book, &environment("production")).await.unwrap();
    let state = scene.state();
    assert!(state.dangling.is_empty());
    let running = state.environments[&environment("production")].rollout.clone().unwrap();
    assert_eq!(running.weight.basis_points(), 100, "{:?}", Outcome::Unknown);
}
