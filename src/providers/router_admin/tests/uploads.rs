//! Bodies of requests, whole and broken: what the client does is told apart from what an arm does.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::support::{Bench, Client, read_head, scripted};
use crate::base::histogram::Histogram;
use crate::router::split::Arm;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn post(framing: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: shop\r\n{framing}\r\n\r\n")
}

/// Whoever uploads and leaves, or sends what is no body, says nothing of the canary: no rollback.
/// Nor does the canary ever take what came for a whole body.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_its_own_request_fails_no_arm() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let canary = scripted(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await;
            let _ = tell.send(String::from_utf8(all).unwrap());
        }
    });
    let bench = Bench::start().await.all_on(canary.await).await;
    for (number, (framing, part)) in
        [("content-length: 100", "abc"), ("transfer-encoding: chunked", "3\r\nabc\r\n")]
            .into_iter()
            .enumerate()
    {
        let mut client = bench.client().await;
        client.0.write_all((post(framing) + part).as_bytes()).await.unwrap();
        drop(client);
        let count = number as u64 + 1;
        let row = bench.users_of(Arm::Canary, |row| row.requests == count).await;
        assert_eq!((row.failed, row.faults["abandoned"]), (0, count), "{framing}");
        let saw = told.recv().await.unwrap();
        assert!(!saw.ends_with("0\r\n\r\n"), "it looks whole: {saw}");
    }
    let mut client = bench.client().await;
    let bad = client.send(&(post("transfer-encoding: chunked") + "3\r\nabc\r\nzz\r\n")).await;
    assert_eq!(bad.status, 400, "{}", bad.body);
    let row = bench.users_of(Arm::Canary, |row| row.requests == 3).await;
    assert_eq!((row.failed, row.faults["abandoned"]), (0, 3));
    let waits = Histogram::try_from(&row.latency).unwrap();
    assert_eq!(waits.count(), 0, "how long a client took says nothing of the canary");
    bench.stop().await;
}

/// The canary answers before it has the body, and goes on reading: the answer breaks because the
/// client leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_both_bodies_flow_fails_no_arm() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let canary = scripted(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            let _ = read_head(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
            let _ = stream.write_all(head).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            let _ = tell.send(());
        }
    });
    let bench = Bench::patient(Duration::from_mins(1)).await.all_on(canary.await).await;
    for leaving in [true, false] {
        let mut client = bench.client().await;
        let mut raw = post("transfer-encoding: chunked");
        assert_eq!(client.send(&raw).await.status, 200);
        raw.clear();
        if leaving {
            drop(client);
        } else {
            client.0.write_all(b"zz\r\n").await.unwrap();
            let _ = client.0.read_to_end(&mut Vec::new()).await;
        }
        told.recv().await.unwrap();
    }
    let row = bench.users_of(Arm::Canary, |row| row.requests == 2).await;
    assert_eq!((row.failed, row.faults["body"]), (0, 0));
    bench.stop().await;
}

/// hyper takes a GET for one without a body unless it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_keeps_its_chunked_body() {
    let canary = scripted(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap().to_ascii_lowercase();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            body.push(stream.read_u8().await.unwrap());
        }
        let text = String::from_utf8(body).unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    let bench = Bench::start().await.all_on(canary.await).await;
    let raw = post("transfer-encoding: chunked").replace("POST", "GET");
    let seen = bench.client().await.send(&format!("{raw}3\r\nabc\r\n0\r\n\r\n")).await;
    assert!(seen.body.contains("abc"), "{}", seen.body);
    bench.stop().await;
}

/// An upload that flows may take longer than the upstream may take to answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_answer_begins_when_the_body_was_sent() {
    let canary = scripted(|mut stream, _| async move {
        let _ = read_head(&mut stream).await;
        let _ = stream.read_exact(&mut [0; 15]).await;
        let _ = stream.write_all(OK).await;
    });
    let bench = Bench::patient(Duration::from_secs(1)).await.all_on(canary.await).await;
    let mut client = bench.client().await;
    client.0.write_all(post("content-length: 15").as_bytes()).await.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..15 {
        pace.tick().await;
        client.0.write_all(b"x").await.unwrap();
    }
    assert_eq!(client.read().await.status, 200);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stalls_an_upload_is_the_one_who_is_told() {
    let canary = scripted(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        if head.starts_with("POST /unread ") {
            std::future::pending::<()>().await;
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let bench = Bench::start().await.all_on(canary.await).await;
    let seen = bench.client().await.send(&(post("content-length: 100") + "abc")).await;
    assert_eq!(seen.status, 408, "the client stalls");
    assert!(seen.head.contains("connection: close"), "{}", seen.head);
    let row = bench.users_of(Arm::Canary, |row| row.requests == 1).await;
    assert_eq!((row.failed, row.faults["abandoned"]), (0, 1));

    let (read, mut write) = bench.client().await.0.into_split();
    let head = post("content-length: 500000000").replace("POST /", "POST /unread");
    let writer = tokio::spawn(async move {
        let _ = write.write_all(head.as_bytes()).await;
        while write.write_all(&[0; 4_096]).await.is_ok() {}
        write
    });
    let mut line = [0; 12];
    let mut read = read;
    read.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 504", "the upstream stalls");
    drop(read);
    let row = bench.users_of(Arm::Canary, |row| row.requests == 2).await;
    assert_eq!((row.failed, row.faults["timeout"]), (1, 1));
    writer.abort();
    bench.stop().await;
}

/// A client that asks and says nothing of a body has none, and one that says 0 has none either.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_body_gets_none() {
    let bench = Bench::start().await;
    let mut client: Client = bench.client().await;
    for head in ["", "content-length: 0\r\n"] {
        let seen = client.get("/", head).await;
        assert!(!seen.body.to_ascii_lowercase().contains("transfer-encoding"), "{}", seen.body);
    }
    bench.stop().await;
}
