//! Clients that leave before the answer: what counts against a version, and what does not.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::support::Bench;
use crate::base::histogram::Histogram;
use crate::router::split::Arm;

const HANGS: &[u8] = b"GET /hang HTTP/1.1\r\nhost: shop\r\n\r\n";

/// A router that waits for a minute, with a base of which `answers` are known.
async fn known(answers: usize) -> Bench {
    let bench = Bench::patient(Duration::from_mins(1)).await;
    let mut client = bench.client().await;
    for _ in 0..answers {
        assert_eq!(client.get("/", "").await.status, 200);
    }
    let two = bench.two;
    bench.all_on(two).await
}

/// Three clients ask what hangs, and leave after `limit`.
async fn three_leave(bench: &Bench, limit: Duration) {
    let leaves = async || {
        let mut client = bench.client().await;
        client.0.write_all(HANGS).await.unwrap();
        assert!(tokio::time::timeout(limit, client.read()).await.is_err(), "it hangs");
    };
    tokio::join!(leaves(), leaves(), leaves());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_hangs_fails_though_its_clients_leave_first() {
    let bench = known(200).await;
    three_leave(&bench, Duration::from_secs(2)).await;
    let row = bench.users_of(Arm::Canary, |row| row.requests == 3).await;
    assert_eq!((row.failed, row.faults["gave_up"], row.faults["abandoned"]), (3, 3, 0));
    let waits = Histogram::try_from(&row.latency).unwrap();
    assert_eq!(waits.count_above(1_000_000), 3);
    bench.stop().await;
}

/// Who stops loading a page at once has waited for nothing unusual; and where nobody knows what is
/// unusual, nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn an_impatient_client_fails_no_arm() {
    for (answers, limit) in [(200, Duration::from_millis(50)), (10, Duration::from_millis(1_100))] {
        let bench = known(answers).await;
        three_leave(&bench, limit).await;
        let row = bench.users_of(Arm::Canary, |row| row.requests == 3).await;
        assert_eq!((row.failed, row.faults["gave_up"], row.faults["abandoned"]), (0, 0, 3));
        bench.stop().await;
    }
}
