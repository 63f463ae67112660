//! Going back with a ledger that is told and a platform that is scripted: where to, how many calls,
//! and what is written down.

use std::sync::Arc;
use std::time::Duration;

use super::{BackError, Rollback, planned};
use crate::base::clock;
use crate::ledger::entry::{Body, Outcome, TrafficProof};
use crate::ledger::fixture::{
    Told, at, commit, deployment, environment, id, promoted, rolled_back, rollout, stable,
};
use crate::ledger::fold::State;
use crate::rollout::ports::Known;
use crate::verbs::book::Sync;
use crate::verbs::settle;
use crate::verbs::stand_in::{Memory, Scripted};

/// A told ledger and a scripted platform, and whoever goes back.
pub(super) struct Scene {
    pub(super) book: Arc<Memory>,
    pub(super) platform: Arc<Scripted>,
    pub(super) rollback: Rollback,
}

pub(super) fn scene(bodies: Vec<Body>, platform: Scripted, to: Option<&str>) -> Scene {
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
    pub(super) fn state(&self) -> State {
        self.book.told.lock().unwrap().state()
    }

    pub(super) async fn where_to(&self) -> Result<(String, Option<char>), BackError> {
        let target = self.rollback.target().await?;
        let digit = target.condemned.and_then(|commit| commit.as_str().chars().next());
        Ok((target.deployment.to_string(), digit))
    }
}

/// v1.1 stable, v1.2 and v1.3 promoted.
pub(super) fn history() -> Vec<Body> {
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
