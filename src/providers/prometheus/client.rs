//! Asks a Prometheus server. Every call has the timeout and the size limit of all provider calls,
//! may be repeated, and its errors carry neither query nor token.

use std::time::Duration;

use async_trait::async_trait;

use super::answer;
use crate::base::clock::{Clock, Entropy};
use crate::base::limits;
use crate::base::redact::Secret;
use crate::base::retry::RetryBudget;
use crate::base::units::Micros;
use crate::gate::check::Unseen;
use crate::gate::verdict::Cause;
use crate::providers::http::{Call, HttpAnswer, HttpClient, HttpError, Repeat};
use crate::slo::source::{Prometheus, Queries, over};
use crate::slo::telemetry::{NoNumber, Observed, Telemetry, Wanted, WindowSeen};

/// Parts of a window that are looked at for data.
const PARTS: u64 = 20;
/// The shortest range in which a counter is looked for.
const RANGE_MIN: Micros = Micros::from_secs(60);
const TRIES: RetryBudget = RetryBudget {
    tries: 3,
    first_wait: Duration::from_millis(200),
    wait_max: Duration::from_secs(1),
};

/// A server with what it is asked.
#[derive(Debug)]
pub(crate) struct PrometheusTelemetry {
    name: String,
    /// Without a slash at its end.
    url: String,
    token: Option<Secret>,
    asked: Prometheus,
    http: HttpClient,
    clock: Clock,
}

impl PrometheusTelemetry {
    /// `name` is that of the source in the manifest.
    pub(crate) fn new(
        name: String,
        asked: Prometheus,
        (url, token): (&str, Option<Secret>),
        (clock, entropy): (Clock, Entropy),
    ) -> Result<Self, HttpError> {
        let http = HttpClient::new(entropy)?;
        Ok(Self { name, url: url.trim_end_matches('/').to_owned(), token, asked, http, clock })
    }

    async fn window(&self, wanted: &Wanted, queries: &Queries) -> WindowSeen {
        let window = wanted.window;
        let mut seen = WindowSeen::empty(wanted);
        let (total, errors, covered) = tokio::join!(
            self.instant(queries.total.as_deref(), window, answer::count),
            self.instant(queries.errors.as_deref(), window, answer::count),
            self.covered(queries, window),
        );
        seen.requests = seen.keep("requests", total);
        seen.errors = seen.keep("errors", errors);
        if !wanted.limits_us.is_empty() {
            let found = self.instant(queries.latency.as_deref(), window, answer::buckets).await;
            seen.buckets = seen.keep("latency", found);
        }
        seen.covered_us = seen.keep("coverage", covered).unwrap_or_default();
        seen
    }

    async fn instant<T>(
        &self,
        query: Option<&str>,
        window: Micros,
        read: fn(u16, &[u8]) -> Result<T, NoNumber>,
    ) -> Result<T, NoNumber> {
        let query = query.ok_or_else(|| NoNumber {
            cause: Cause::NoData,
            detail: "the source has no query for it".to_owned(),
        })?;
        let call = format!("query?query={}", encoded(&over(query, window)));
        let answer = self.call(call).await?;
        read(answer.status, &answer.body)
    }

    /// How much of the window has data: a range query at its parts.
    async fn covered(&self, queries: &Queries, window: Micros) -> Result<u64, NoNumber> {
        let Some(query) = queries.total.as_ref().or(queries.latency.as_ref()) else { return Ok(0) };
        let step = Micros((window.0 / PARTS).max(1_000));
        let range = step.max(RANGE_MIN);
        let end_us = self.clock.now().as_us();
        let start_us = end_us.saturating_sub(window.as_i64());
        let call = format!(
            "query_range?query={}&start={}&end={}&step={}",
            encoded(&over(query, range)),
            seconds(start_us),
            seconds(end_us),
            seconds(step.as_i64()),
        );
        let answer = self.call(call).await?;
        let points = answer::points(answer.status, &answer.body)?;
        // One more point than parts: both ends are asked.
        Ok(step.0.saturating_mul(points.saturating_sub(1)).min(window.0))
    }

    async fn call(&self, path: String) -> Result<HttpAnswer, NoNumber> {
        let mut call = Call::get(format!("{}/api/v1/{path}", self.url));
        call.bearer.clone_from(&self.token);
        call.timeout = limits::HTTP_CALL;
        call.repeat = Repeat::Safe(TRIES);
        self.http.send(&call).await.map_err(|error| {
            let cause = match error {
                HttpError::Timeout { .. } => Cause::Timeout,
                _ => Cause::Unobserved,
            };
            NoNumber { cause, detail: error.to_string() }
        })
    }
}

/// Seconds with every digit.
fn seconds(us: i64) -> String {
    format!("{}.{:06}", us.div_euclid(1_000_000), us.rem_euclid(1_000_000))
}

/// For a URL's query: everything but letters and digits as percent signs.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[async_trait]
impl Telemetry for PrometheusTelemetry {
    fn tells(&self, scope: &str) -> bool {
        self.asked.queries.contains_key(scope)
    }

    async fn observe(&self, wanted: &[Wanted]) -> Result<Observed, Unseen> {
        // A server that is not there is told once, not by every window.
        let there = self.call("query?query=1".to_owned()).await;
        there.and_then(|answer| answer::count(answer.status, &answer.body)).map_err(|none| {
            let next = format!("see whether {} answers, and who may ask it", self.name);
            Unseen::new(none.cause, none.detail, next)
        })?;
        let mut windows = Vec::with_capacity(wanted.len());
        for question in wanted {
            if let Some(queries) = self.asked.queries.get(&question.scope) {
                windows.push(self.window(question, queries).await);
            }
        }
        Ok(Observed::new(&self.name, windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_travel_whole() {
        assert_eq!(encoded("sum(x{a=\"é\"}[5m])"), "sum%28x%7Ba%3D%22%C3%A9%22%7D%5B5m%5D%29");
        assert_eq!(seconds(1_500_000), "1.500000");
        assert_eq!(seconds(50), "0.000050");
    }

    /// Answers every request with `answer` and keeps its head.
    async fn server(
        answer: &'static str,
    ) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (send, heads) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let _ = send.send(String::from_utf8_lossy(&head[..length]).into_owned());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (url, heads)
    }

    async fn asked(url: &str) -> Result<Observed, Unseen> {
        let queries = Queries { total: Some("sum(x[{window}])".into()), ..Queries::default() };
        let prometheus = Prometheus {
            url: crate::slo::source::Address::Url(url.to_owned()),
            token_env: None,
            queries: [("all".to_owned(), queries)].into(),
        };
        let token = Some(Secret::new("the-bearer-token"));
        let (clock, entropy) = (Clock::default(), Entropy::seeded(1));
        let of =
            PrometheusTelemetry::new("prom".into(), prometheus, (url, token), (clock, entropy));
        let wanted = Wanted::counts("all", Micros(9_000_000));
        of.unwrap().observe(&[wanted]).await
    }

    #[tokio::test]
    async fn the_token_is_sent_and_never_shown() {
        let denied = "HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let (url, mut heads) = server(denied).await;
        let unseen = asked(&url).await.unwrap_err();
        assert_eq!(unseen.cause, Cause::Denied);
        assert!(!format!("{unseen:?}").contains("the-bearer-token"), "{unseen:?}");
        let head = heads.recv().await.unwrap().to_lowercase();
        assert!(head.starts_with("get /api/v1/query?query=1 "), "{head}");
        assert!(head.contains("authorization: bearer the-bearer-token"), "{head}");
        // Nobody there, and somebody else there.
        assert_eq!(asked("http://127.0.0.1:1").await.unwrap_err().cause, Cause::Unobserved);
        let other = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
        let (url, _heads) = server(other).await;
        assert_eq!(asked(&url).await.unwrap_err().cause, Cause::Unobserved);
    }
}
