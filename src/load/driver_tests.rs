//! Real sockets on loopback: each way a target can misbehave is counted by its kind, the schedule
//! is kept, and nothing is lost between due, sent and ended. No test asserts a time.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{LoadResult, Watch, run};
use crate::base::histogram::Histogram;
use crate::base::units::{BasisPoints, Micros, Rate};
use crate::load::expect::Expect;
use crate::load::plan::tests::draft;
use crate::load::plan::{Bounds, Draft, Endpoint, LoadPlan, Shape};
use crate::load::recorder::Failure;
use crate::load::sample_service::{Faults, SampleService, tests::settings};
use crate::load::slo_check;

async fn load(draft: Draft) -> LoadResult {
    let plan = LoadPlan::new(draft, &Bounds::default()).unwrap();
    run(&plan, Watch::default(), &CancellationToken::new()).await.unwrap()
}

/// A target that gives every connection to `behave`.
async fn target<F, W>(behave: F) -> u16
where
    F: Fn(TcpStream) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    port
}

async fn says(stream: &mut TcpStream, answer: &[u8]) {
    let mut buffer = [0; 1_024];
    if stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
        let _ = stream.write_all(answer).await;
    }
}

async fn sample(faults: Faults) -> u16 {
    let address = "127.0.0.1:0".parse().unwrap();
    let service = SampleService::bind(address, settings(faults)).await.unwrap();
    let port = service.address().unwrap().port();
    tokio::spawn(async move { service.run(&CancellationToken::new()).await });
    port
}

fn only(result: &LoadResult, kind: &str) -> bool {
    result.requests == 20
        && result.errors == 20
        && result.errors_by_kind.get(kind) == Some(&20)
        && result.dropped == 0
        && result.cut_off == 0
}

/// The target reads no more and closes nothing: whoever only writes waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_the_body_is_sent_counts() {
    let early = target(|mut stream| async move {
        says(&mut stream, b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
        std::future::pending::<()>().await;
    });
    let body = "x".repeat(16 * 1024 * 1024);
    let large = Endpoint { method: "POST".into(), body, ..Endpoint::get("/") };
    let result = load(Draft { endpoints: vec![large], ..draft(early.await) }).await;
    assert!(only(&result, "status_4xx"), "{:?}", result.errors_by_kind);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hyper_server_answers_every_due_request_by_weight() {
    let port = sample(Faults::default()).await;
    let checkout =
        Endpoint { method: "POST".into(), body: "{}".into(), ..Endpoint::get("/checkout") };
    let head = Endpoint { method: "HEAD".into(), ..Endpoint::get("/missing") };
    let root = Endpoint { weight: 8, ..Endpoint::get("/") };
    let result = load(Draft { endpoints: vec![root, checkout, head], ..draft(port) }).await;
    assert_eq!((result.requests, result.dropped), (20, 0));
    let each: Vec<_> = result.endpoints.iter().map(|e| (e.requests, e.errors)).collect();
    assert_eq!(each, [(16, 0), (2, 0), (2, 2)]);
    assert_eq!(result.rate_per_s, 100);
    assert_eq!(result.seconds.iter().map(|s| s.requests).sum::<u64>(), 20);
    let histogram = Histogram::try_from(&result.latency_histogram).unwrap();
    assert_eq!(histogram.count(), 18);
    let bytes = serde_json::to_vec(&result).unwrap();
    assert_eq!(LoadResult::parse(&bytes), Ok(result));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keep_alive_every_request_has_its_own_connection() {
    let port = sample(Faults::default()).await;
    let result = load(Draft { keep_alive: false, ..draft(port) }).await;
    assert_eq!((result.requests, result.errors), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn error_answers_are_counted_by_kind() {
    let port = sample(Faults { errors: BasisPoints::ALL, ..Faults::default() }).await;
    assert!(only(&load(draft(port)).await, "status_5xx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_does_not_stall_the_schedule() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(only(&load(draft(port)).await, "connect"));
    // Nobody waits an hour to hear that nobody is there.
    let shape = Shape::constant(Rate::per_second(20), Micros::from_secs(3_600));
    let result = load(Draft { shape, ..draft(port) }).await;
    assert!(result.partial && result.duration_us < 60_000_000, "{}", result.duration_us);
    assert_eq!(slo_check::unreachable(&result).map(|(kind, _)| kind), Some(Failure::Connect));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_times_out_and_the_unsent_are_dropped() {
    let port = target(|mut stream| async move {
        let mut buffer = [0; 1_024];
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    let result = load(Draft { timeout: Micros::from_secs(1), ..draft(port) }).await;
    // Four connections send one request each; nobody is free for the others.
    assert_eq!((result.requests, result.dropped), (4, 16));
    assert_eq!(result.errors_by_kind.get("timeout"), Some(&4));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_no_http_and_endless_headers_are_told_apart() {
    let half = target(|mut stream| async move {
        says(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    });
    assert!(only(&load(draft(half.await)).await, "closed_early"));
    let strange = target(|mut stream| async move { says(&mut stream, b"SSH-2.0-x\r\n\r\n").await });
    assert!(only(&load(draft(strange.await)).await, "malformed"));
    let endless = target(|mut stream| async move {
        says(&mut stream, b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X: y\r\n").await.is_ok() {}
    });
    assert!(only(&load(draft(endless.await)).await, "too_large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_filled_and_answers_are_compared() {
    let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let port = target(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut buffer = [0; 1_024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let request = String::from_utf8_lossy(&buffer[..count]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let _ = sender.send(request);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", path.len());
                let _ = stream.write_all((answer + &path).as_bytes()).await;
            }
        }
    })
    .await;
    let echo = Endpoint {
        method: "POST".into(),
        body: "n={{ticket}}".into(),
        expect: Expect { body: vec!["/7".into()], ..Expect::default() },
        ..Endpoint::get("/{{ticket}}")
    };
    let result = load(Draft { endpoints: vec![echo], ..draft(port) }).await;
    // Of the tickets 0 to 19, only the answer to ticket 7 holds "/7".
    assert_eq!((result.requests, result.errors), (20, 19));
    assert_eq!(result.errors_by_kind.get("assertion"), Some(&19));
    let mut requests = Vec::new();
    while let Ok(request) = asked.try_recv() {
        requests.push(request);
    }
    assert_eq!(requests.len(), 20);
    let twelfth = requests.iter().find(|request| request.starts_with("POST /12 ")).unwrap();
    assert!(twelfth.ends_with("Content-Length: 4\r\n\r\nn=12"), "{twelfth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_and_phases_are_counted() {
    let port = target(|mut stream| async move {
        says(&mut stream, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await;
    });
    let result = load(Draft { phases: true, ..draft(port.await) }).await;
    assert_eq!((result.redirects, result.errors), (20, 0));
    let phases = result.phases.unwrap();
    assert_eq!((phases.connections, phases.resumed), (20, 0));
    assert!(phases.first_byte_us.max > 0 && phases.tls_us.max == 0);
}

/// The same plan over HTTP/2, and what becomes of it where the target knows only HTTP/1.1.
#[tokio::test(flavor = "multi_thread")]
async fn http2_asks_as_the_plan_says() {
    let port = target(|stream| async move {
        type Incoming = http::Request<hyper::body::Incoming>;
        let answer = hyper::service::service_fn(async |request: Incoming| {
            let path = bytes::Bytes::from(request.uri().path().to_owned());
            Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(path)))
        });
        let executor = hyper_util::rt::TokioExecutor::new();
        let _ = hyper::server::conn::http2::Builder::new(executor)
            .serve_connection(hyper_util::rt::TokioIo::new(stream), answer)
            .await;
    });
    let expect = Expect { body: vec!["/a".into()], ..Expect::default() };
    let endpoints = vec![Endpoint { expect, ..Endpoint::get("/a") }];
    let plan = Draft { http2: true, endpoints, ..draft(port.await) };
    let result = load(plan.clone()).await;
    assert_eq!((result.requests, result.errors, result.dropped), (20, 0, 0));
    let old = Draft { target: draft(sample(Faults::default()).await).target, ..plan };
    let refused = load(old).await;
    assert!(only(&refused, "no_http2"), "{:?}", refused.errors_by_kind);
}

/// A server that speaks HTTP/2 and refuses is not one that speaks something else.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_http2_server_refuses_is_named() {
    let resets = target(|stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            answer.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    let http2 = |port| Draft { http2: true, ..draft(port) };
    let reset = load(http2(resets.await)).await;
    assert!(only(&reset, "reset"), "{:?}", reset.errors_by_kind);
    let leaves = target(|stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let _request = connection.accept().await;
        connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        while connection.accept().await.is_some() {}
    });
    let left = load(http2(leaves.await)).await;
    assert!(only(&left, "closed_early"), "{:?}", left.errors_by_kind);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_counted_as_one() {
    let port = target(|mut stream| async move {
        let mut buffer = [0; 8];
        // Closing with unread bytes makes the kernel send a reset.
        let _ = stream.read(&mut buffer).await;
        let _ = stream.set_zero_linger();
    })
    .await;
    let result = load(draft(port)).await;
    assert!(only(&result, "reset"), "{:?}", result.errors_by_kind);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_closed_loop_drops_nothing() {
    let port = sample(Faults::default()).await;
    let shape = Shape::Closed { duration: Micros::from_millis(100) };
    let result = load(Draft { shape, ..draft(port) }).await;
    assert!(result.requests > 0);
    assert_eq!((result.errors, result.dropped, result.asked_milli_per_s), (0, 0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_says_so_and_loses_no_request() {
    let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let port = target(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut buffer = [0; 1_024];
            let _ = stream.read(&mut buffer).await;
            let _ = sender.send(());
            let _ = stream.read(&mut buffer).await;
        }
    })
    .await;
    let shape = Shape::constant(crate::base::units::Rate::per_second(100), Micros::from_secs(600));
    let plan = LoadPlan::new(Draft { shape, ..draft(port) }, &Bounds::default()).unwrap();
    let cancel = CancellationToken::new();
    let stopper = async {
        for _ in 0..4 {
            asked.recv().await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(run(&plan, Watch::default(), &cancel), stopper);
    let result = result.unwrap();
    assert!(result.partial);
    assert_eq!((result.requests, result.cut_off, result.errors), (4, 4, 0));
}
