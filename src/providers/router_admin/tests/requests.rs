//! What happens to a request.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::support::{Bench, Client, read_head, scripted};
use crate::router::lowered::Lowering;
use crate::router::metrics::ArmMetrics;
use crate::router::split::{Arm, Source};
use crate::router::testers::signed;

fn row(bench: &Bench, arm: Arm, source: Source) -> ArmMetrics {
    bench.router.control.metrics().in_window(arm, source).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_stick_and_users_stay_in_while_the_weight_grows() {
    let bench = Bench::start().await;
    bench.stage(bench.two).await;
    let mut client = bench.client().await;
    let mut before = vec![false; 400];
    for (bp, least, most) in [(100, 0, 20), (500, 5, 40), (2_500, 60, 140), (10_000, 400, 400)] {
        bench.raise(bp).await;
        let mut inside = Vec::new();
        for user in 0..400 {
            let seen = client.get("/", &format!("x-user-id: u{user}\r\n")).await;
            assert!(!seen.head.contains("set-cookie"), "a user needs no cookie");
            inside.push(seen.name() == "two");
        }
        assert!(before.iter().zip(&inside).all(|(was, is)| is >= was), "someone left at {bp}");
        let count = inside.iter().filter(|is| **is).count();
        assert!((least..=most).contains(&count), "{count} of 400 at {bp}");
        let window = row(&bench, Arm::Canary, Source::Users);
        assert_eq!(window.requests, count as u64, "a raise begins a window");
        let visits = window.visits.expect("the window tells who came");
        assert_eq!(visits.requests(), count as u64);
        assert_eq!(visits.keys(), window.distinct_buckets);
        before = inside;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_key_gets_its_bucket_and_keeps_its_arm() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    assert!(!client.get("/", "").await.head.contains("set-cookie"), "nothing is staged");
    bench.stage(bench.two).await;
    bench.raise(5_000).await;
    let first = client.get("/", "").await;
    let cookie = first.head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.ends_with("; path=/; httponly; samesite=lax"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    for _ in 0..5 {
        let again = client.get("/", &format!("cookie: {pair}\r\n")).await;
        assert_eq!(again.name(), first.name());
        assert!(!again.head.contains("set-cookie"));
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn testers_choose_are_counted_apart_and_their_secret_stays_here() {
    let bench = Bench::start().await;
    bench.stage(bench.two).await;
    let mut client = bench.client().await;
    let secret = bench.admin().tester_secret();
    let tester = |name: &str, what: &str| format!("{name}: {}\r\n", signed(what, &secret));
    let choosing = tester("x-orca-arm", "canary");
    let forced = client.get("/", &choosing).await;
    assert_eq!(forced.name(), "two");
    assert!(forced.head.contains("x-orca-served-by: canary"));
    assert!(!forced.body.contains("x-orca-arm"), "{}", forced.body);
    let probe = client.get("/", &tester("x-orca-probe", "smoke")).await;
    assert_eq!(probe.name(), "one");
    assert!(probe.body.contains("x-orca-probe: smoke\r\n"), "{}", probe.body);
    assert_eq!(client.get("/", "").await.name(), "one");
    assert_eq!(row(&bench, Arm::Canary, Source::Probes).requests, 1);
    assert_eq!(row(&bench, Arm::Base, Source::Probes).requests, 1);
    assert_eq!(row(&bench, Arm::Base, Source::Users).requests, 1);
    assert_eq!(row(&bench, Arm::Canary, Source::Users).requests, 0);
    bench.admin().revert(Lowering::RolledBack).await.unwrap();
    assert_eq!(client.get("/", &choosing).await.name(), "one");
    bench.stop().await;
}

/// What anybody can write opens nothing: neither a staged candidate nor a closed door, and no failure
/// is counted as a probe's.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_no_secret_is_a_user() {
    let bench = Bench::start().await;
    bench.stage(bench.two).await;
    let mut client = bench.client().await;
    let secret = bench.admin().tester_secret();
    let claims =
        ["x-orca-arm: canary", "x-orca-arm: canary:t", "x-orca-probe: 1", "x-orca-probe: 1:"];
    for claim in claims {
        let seen = client.get("/", &format!("{claim}\r\n")).await;
        assert_eq!(seen.name(), "one", "{claim}");
        assert!(!seen.head.contains("x-orca-served-by"), "{claim}");
        assert!(!seen.body.to_ascii_lowercase().contains("x-orca"), "{claim}: {}", seen.body);
    }
    assert_eq!(row(&bench, Arm::Base, Source::Users).requests, 4);
    assert_eq!(row(&bench, Arm::Base, Source::Probes).requests, 0);
    bench.admin().close(true).await.unwrap();
    for claim in claims {
        assert_eq!(client.get("/", &format!("{claim}\r\n")).await.status, 503, "{claim}");
    }
    let mine = format!("x-orca-arm: {}\r\n", signed("canary", &secret));
    assert_eq!(client.get("/", &mine).await.name(), "two", "whoever repairs gets through");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_cleaned_both_ways() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let seen =
        client.get("/a?b=c", "connection: keep-alive, x-hop\r\nx-hop: 1\r\nte: gzip\r\n").await;
    let upstream_saw = seen.body.to_ascii_lowercase();
    assert!(upstream_saw.contains("get /a?b=c http/1.1"), "{upstream_saw}");
    for expected in ["host: shop", "x-forwarded-for: 127.0.0.1", "x-forwarded-host: shop"] {
        assert!(upstream_saw.contains(expected), "{expected} in {upstream_saw}");
    }
    for gone in ["x-hop", "\nte:", "connection:"] {
        assert!(!upstream_saw.contains(gone), "{gone} in {upstream_saw}");
    }
    assert!(!seen.head.contains("keep-alive: 5"), "{}", seen.head);
    let absolute = client.send("GET http://other/x HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let upstream_saw = absolute.body.to_ascii_lowercase();
    assert!(upstream_saw.contains("get /x http/1.1"), "{upstream_saw}");
    assert!(upstream_saw.contains("host: other"), "{upstream_saw}");
    bench.stop().await;
}

/// What two servers could read differently is refused, or framed anew as one request and the
/// connection closed, so that hidden bytes never become a second request.
#[tokio::test(flavor = "multi_thread")]
async fn smuggled_requests_do_not_pass() {
    let bench = Bench::start().await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: shop\r\n\r\n";
    for head in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "content-length: +3\r\n",
        "host: two\r\n",
        "x: a\r\n continued\r\n",
        "bad name: 1\r\n",
    ] {
        let mut client = bench.client().await;
        let seen = client.send(&format!("POST / HTTP/1.1\r\nhost: shop\r\n{head}\r\n")).await;
        assert_eq!(seen.status, 400, "{head}");
    }
    let mut client = bench.client().await;
    let both = "content-length: 4\r\ntransfer-encoding: chunked\r\n";
    let raw = format!("POST / HTTP/1.1\r\nhost: shop\r\n{both}\r\n0\r\n\r\n{hidden}");
    let seen = client.send(&raw).await;
    assert!(!seen.body.to_ascii_lowercase().contains("content-length"), "{}", seen.body);
    let mut rest = String::new();
    let _ = client.0.read_to_string(&mut rest).await;
    assert!(!rest.contains("hidden"), "{rest}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_upstream_have_an_answer_and_a_count() {
    let bench = Bench::start().await;
    for (path, status, kind) in [("/hang", 504, "timeout"), ("/reset", 502, "reset")] {
        let seen = bench.client().await.get(path, "").await;
        assert_eq!(seen.status, status, "{path}");
        assert_eq!(row(&bench, Arm::Base, Source::Users).faults[kind], 1, "{path}");
    }
    assert_eq!(bench.client().await.get("/fail", "").await.status, 500);
    assert_eq!(bench.client().await.get("/cut", "").await.body, "CUT");
    let base = row(&bench, Arm::Base, Source::Users);
    assert_eq!((base.requests, base.failed, base.status["5xx"]), (4, 4, 1));
    assert_eq!(base.faults["body"], 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_falls_back_and_stays_a_canary_error() {
    let bench = Bench::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    bench.stage(nobody).await;
    bench.raise(10_000).await;
    let mut client = bench.client().await;
    assert_eq!(client.get("/", "").await.name(), "one");
    let post = "POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(client.send(post).await.name(), "one");
    let canary = row(&bench, Arm::Canary, Source::Users);
    assert_eq!((canary.requests, canary.failed, canary.faults["connect"]), (2, 2, 2));
    assert_eq!(row(&bench, Arm::Base, Source::Users).requests, 2);
    bench.stop().await;
}

/// The canary answers once on each connection, and drops the next request there.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_while_idle_costs_no_request_that_can_be_repeated() {
    let canary = scripted(|mut stream, _| async move {
        if read_head(&mut stream).await.is_some() {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let _ = read_head(&mut stream).await;
        }
    });
    let bench = Bench::start().await.all_on(canary.await).await;
    let mut client = bench.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/", "").await.status, 200);
    }
    let canary = row(&bench, Arm::Canary, Source::Users);
    assert_eq!((canary.requests, canary.failed), (5, 0));
    // Whether the other side has acted on it nobody knows.
    let post = "POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(client.send(post).await.status, 502);
    let canary = row(&bench, Arm::Canary, Source::Users);
    assert_eq!((canary.requests, canary.failed, canary.faults["reset"]), (6, 1, 1));
    bench.stop().await;
}

/// A canary that hangs after its head fails, though it answered.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_hangs_in_its_middle_is_cut_and_counted() {
    let canary = scripted(|mut stream, _| async move {
        let _ = read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
        let _ = read_head(&mut stream).await;
    });
    let bench = Bench::start().await.all_on(canary.await).await;
    assert_eq!(bench.client().await.get("/", "").await.body, "CUT");
    let canary = row(&bench, Arm::Canary, Source::Users);
    assert_eq!((canary.requests, canary.failed, canary.faults["body"]), (1, 1, 1));
    bench.stop().await;
}

/// Chunks say where the body ends; the length beside them lies.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_two_lengths_keeps_the_right_one() {
    let canary = scripted(|mut stream, _| async move {
        let _ = read_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n";
        let _ = stream.write_all(format!("{head}3\r\nabc\r\n0\r\n\r\n").as_bytes()).await;
    });
    let bench = Bench::start().await.all_on(canary.await).await;
    let seen = bench.client().await.get("/", "").await;
    assert!(!seen.head.contains("content-length"), "{}", seen.head);
    assert!(seen.head.contains("transfer-encoding: chunked"), "{}", seen.head);
    bench.stop().await;
}

/// Balancers want to be the ones who close, so how long the router waits is theirs to say.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_no_more_is_left_when_it_was_said() {
    let bench = Bench::with(|mut config| {
        config.proxy.keep_alive = Duration::from_secs(1);
        config
    });
    let bench = bench.await;
    let mut client = bench.client().await;
    assert_eq!(client.get("/", "").await.status, 200);
    let mut rest = Vec::new();
    let ended = client.0.read_to_end(&mut rest);
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it is left").unwrap();
    assert!(rest.is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_protocol_passes() {
    let bench = Bench::start().await;
    let asked =
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n";
    let seen = bench.client().await.get("/", asked).await;
    let upstream_saw = seen.body.to_ascii_lowercase();
    assert_eq!((seen.status, seen.name()), (200, "one"));
    assert!(!upstream_saw.contains("h2c") && !upstream_saw.contains("http2-"), "{upstream_saw}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_through() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let head =
        "GET /ws HTTP/1.1\r\nhost: shop\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    client.0.write_all(head.as_bytes()).await.unwrap();
    let answer = read_head(&mut client.0).await.unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(answer.contains("upgrade: websocket"), "{answer}");
    client.0.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    client.0.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
    bench.stop().await;
}

/// Opens a WebSocket of this user.
async fn websocket(bench: &Bench, user: &str) -> Client {
    let mut client = bench.client().await;
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: shop\r\nx-user-id: {user}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    assert_eq!(client.send(&head).await.status, 101);
    client
}

async fn echoes(client: &mut Client) -> bool {
    let _ = client.0.write_all(b"ping").await;
    client.0.read_exact(&mut [0; 4]).await.is_ok()
}

/// A revert brings everybody to base, also those with an open WebSocket; whoever has one to the base
/// notices nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_revert_ends_websockets_to_the_canary_and_no_others() {
    let bench = Bench::start().await;
    let mut on_base = websocket(&bench, "early").await;
    bench.stage(bench.two).await;
    bench.raise(10_000).await;
    let mut on_canary = websocket(&bench, "late").await;
    assert!(echoes(&mut on_canary).await);
    assert_eq!(row(&bench, Arm::Canary, Source::Users).requests, 1);
    bench.admin().revert(Lowering::RolledBack).await.unwrap();
    let mut rest = Vec::new();
    let ended = on_canary.0.read_to_end(&mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends");
    assert!(echoes(&mut on_base).await);
    let mut again = websocket(&bench, "late").await;
    assert!(echoes(&mut again).await);
    bench.stop().await;
}
