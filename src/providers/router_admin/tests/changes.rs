//! What changes while requests are open: weights, grants, restarts, the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::support::{Bench, Client, config};
use crate::base::atomic_file;
use crate::base::clock::Clock;
use crate::base::units::{Micros, Weight};
use crate::router::lowered::Lowering;
use crate::router::persist::Origin;
use crate::router::server::{self, RouterConfig, RouterError};
use crate::router::state::Expected;

#[tokio::test(flavor = "multi_thread")]
async fn weights_change_under_load_without_a_failed_request() {
    let bench = Bench::start().await;
    bench.stage(bench.two).await;
    let mut loads = Vec::new();
    for number in 0..8 {
        let mut client = bench.client().await;
        loads.push(tokio::spawn(async move {
            let mut failed = 0;
            for request in 0..100 {
                let user = format!("x-user-id: {number}-{request}\r\n");
                failed += u32::from(client.get("/", &user).await.status != 200);
            }
            failed
        }));
    }
    for bp in [100, 500, 2_500, 10_000] {
        bench.raise(bp).await;
    }
    bench.admin().revert(Lowering::RolledBack).await.unwrap();
    for load in loads {
        assert_eq!(load.await.unwrap(), 0);
    }
    let total: u64 = bench.router.control.metrics().total.iter().map(|row| row.requests).sum();
    assert_eq!(total, 800);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_grant_brings_everyone_to_base_without_a_call() {
    let bench = Bench::start().await;
    let staged = bench.stage(bench.two).await;
    let expected = Expected { generation: staged.state.generation, epoch: staged.state.epoch };
    bench.admin().raise(Weight::FULL, Micros::from_millis(400), expected).await.unwrap();
    falls_back(&bench).await;
    bench.stop().await;
}

async fn falls_back(bench: &Bench) {
    let mut client = bench.client().await;
    let both = async {
        while client.get("/", "x-user-id: a\r\n").await.name() != "one" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(bench.router.control.state().weight, Weight::ZERO);
}

/// Somebody sets the router's clock while a grant is under way: set back it makes none longer, set
/// forward it ends none and lets it be renewed. After a restart what was left is still left.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_lasts_as_long_as_it_was_given_for_whoever_sets_the_clock() {
    const HOUR_US: i64 = 3_600_000_000;
    let set = Arc::new(AtomicI64::new(0));
    let bench = Bench::by(Clock::Set(Arc::clone(&set))).await;
    bench.stage(bench.two).await;
    let raised = bench.raise(10_000).await.state;
    set.store(HOUR_US, Ordering::SeqCst);
    let renewed = bench.admin().renew(raised.epoch, Micros::from_secs(60)).await.unwrap().state;
    assert_eq!(renewed.weight, Weight::FULL, "a clock set forward ends nothing");
    assert_eq!(bench.client().await.get("/", "x-user-id: a\r\n").await.name(), "two");
    set.store(-HOUR_US, Ordering::SeqCst);
    let path = bench.folder.path().join("state.json");
    let clock = Clock::Set(Arc::clone(&set));
    let again = server::start(RouterConfig { clock: clock.clone(), ..config(bench.one, path) });
    let again = again.unwrap();
    let left = again.control.state().grant_until.unwrap().since_us(clock.now());
    assert!((1..=60_000_000).contains(&left), "{left} us are left of a minute");
    again.stop_now();
    bench.admin().renew(raised.epoch, Micros::from_millis(400)).await.unwrap();
    set.store(-2 * HOUR_US, Ordering::SeqCst);
    falls_back(&bench).await;
    bench.stop().await;
}

/// A caller whose clock is an hour wrong asks for as long as any other, and none for a week.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_has_a_ceiling() {
    let bench = Bench::start().await;
    let staged = bench.stage(bench.two).await.state;
    let expected = Expected { generation: staged.generation, epoch: staged.epoch };
    let week = Micros::from_secs(7 * 86_400);
    let refused = bench.admin().raise(Weight::FULL, week, expected).await.unwrap_err();
    assert!(refused.to_string().contains("longer than 24 h"), "{refused}");
    assert_eq!(bench.router.control.state(), staged);
    bench.raise(10_000).await;
    let refused = bench.admin().renew(staged.epoch, week).await.unwrap_err();
    assert!(refused.to_string().contains("grant_out_of_range"), "{refused}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_a_grant_and_a_corrupt_file_means_base() {
    let bench = Bench::start().await;
    bench.stage(bench.two).await;
    let raised = bench.raise(10_000).await.state;
    let path = bench.folder.path().join("state.json");
    let again = server::start(config(bench.one, path.clone())).unwrap();
    assert_eq!((&again.origin, again.control.state()), (&Origin::Stored, raised));
    again.stop_now();
    atomic_file::write(&path, b"{ \"weight\": 10000").unwrap();
    let mut fallen = server::start(config(bench.one, path)).unwrap();
    assert!(matches!(fallen.origin, Origin::Corrupt(_)));
    let mut client = Client(TcpStream::connect(fallen.public).await.unwrap());
    assert_eq!(client.get("/", "x-user-id: a\r\n").await.name(), "one");
    fallen.stop_now();
    fallen.ended().await;
    bench.stop().await;
}

/// The disk takes nothing while somebody goes back, and later does: a router that starts again then
/// is where this one is.
#[tokio::test(flavor = "multi_thread")]
async fn a_lowering_that_could_not_be_stored_is_stored_later() {
    let bench = Bench::start().await;
    bench.stage(bench.two).await;
    bench.raise(10_000).await;
    let folder = bench.folder.path();
    let aside = folder.with_extension("aside");
    std::fs::rename(folder, &aside).unwrap();
    atomic_file::write(folder, b"a file where the folder was").unwrap();
    assert!(!bench.admin().revert(Lowering::RolledBack).await.unwrap().persisted);
    assert!(!bench.admin().state().await.unwrap().persisted);
    std::fs::remove_file(folder).unwrap();
    std::fs::rename(&aside, folder).unwrap();
    let stored = async {
        while !bench.admin().state().await.unwrap().persisted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), stored).await.unwrap();
    let again = server::start(config(bench.one, folder.join("state.json"))).unwrap();
    assert_eq!(again.control.state(), bench.router.control.state());
    assert_eq!(again.control.state().weight, Weight::ZERO);
    again.stop_now();
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_fails_health_finishes_what_is_open_and_closes_the_rest() {
    let mut bench = Bench::start().await;
    let mut idle = bench.client().await;
    assert_eq!(idle.get("/.orca/health", "").await.status, 200);
    let mut open = bench.client().await;
    let mut slow = bench.client().await;
    assert_eq!(open.get("/", "").await.status, 200);
    let answer = tokio::spawn(async move { slow.get("/slow", "").await });
    bench.slow.arrived.notified().await;
    let drain = bench.router.drain();
    assert_eq!(idle.get("/.orca/health", "").await.status, 503);
    let public = bench.router.public;
    let ended = async {
        drain.await;
        bench.router.ended().await;
        TcpStream::connect(public).await.is_err()
    };
    bench.slow.go.notify_one();
    assert!(ended.await, "the listener is closed");
    assert_eq!(answer.await.unwrap().status, 200);
}

/// Whoever sends half a head keeps the router from its end for a moment, not for the drain limit; who
/// then sends the other half is answered.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_does_not_hold_a_drain() {
    let mut bench = Bench::start().await;
    let mut halves = [bench.client().await, bench.client().await, bench.client().await];
    let [silent, later, kept] = &mut halves;
    assert_eq!(kept.get("/", "").await.status, 200);
    for client in [&mut *silent, &mut *later, kept] {
        client.0.write_all(b"GET / HTTP/1.1\r\nhost: sh").await.unwrap();
    }
    let drain = bench.router.drain();
    let ended = async {
        drain.await;
        bench.router.ended().await;
    };
    let answered = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        later.send("op\r\n\r\n").await
    };
    let both = async { tokio::join!(ended, answered).1 };
    let seen = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it ends soon");
    assert_eq!(seen.status, 200);
    assert!(seen.head.contains("connection: close"), "{}", seen.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_what_hangs() {
    let bench = Bench::start().await;
    let mut socket = bench.client().await;
    socket
        .send("GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    let _drain = bench.router.drain();
    bench.stop().await;
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut socket.0, &mut rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_is_closed_to_others() {
    let bench = Bench::start().await;
    let mut admin = Client(TcpStream::connect(bench.router.admin).await.unwrap());
    for headers in ["", "authorization: Bearer x\r\n", "authorization: Basic t\r\n"] {
        let seen = admin.get("/state", headers).await;
        assert_eq!(seen.status, 401);
        assert!(seen.body.contains("\"state\":null"), "{}", seen.body);
    }
    let token = "authorization: Bearer t\r\n";
    assert_eq!(admin.get("/health", token).await.body, "ok");
    assert_eq!(admin.get("/nothing", token).await.status, 404);
    let prometheus = admin.get("/metrics", token).await;
    assert!(prometheus.body.contains("orca_router_weight_basis_points 0"));
    let bad = admin
        .send(&format!("POST /raise HTTP/1.1\r\nhost: a\r\n{token}content-length: 2\r\n\r\n{{}}"))
        .await;
    assert_eq!(bad.status, 400, "{}", bad.body);
    let mut open = config(bench.one, bench.folder.path().join("other.json"));
    open.admin = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(server::start(open), Err(RouterError::AdminNotLoopback(_))));
    bench.stop().await;
}
