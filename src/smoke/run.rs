//! Runs tests one after the other, file by file, as they stand there: a later one may need what an
//! earlier answer brought. Each attempt fills in fresh values and is judged by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_util::sync::CancellationToken;

use super::assertion::Timed;
use super::file::BodyPart;
use super::outcome::{Attempt, SmokeSeen, TestSeen, again};
use super::ports::Caller;
use super::prepare::{Ready, ReadyTest};
use super::request::{NoReply, Reply, Request, origin};
use super::shown::plain;
use super::template::{Sources, Template};
use crate::base::clock;
use crate::base::redact::{Redactor, Secret};
use crate::base::secret_shapes::is_secret_name;
use crate::base::units::Micros;

/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// A captured value of so many characters is taken for a secret: tokens are longer, ids shorter.
const SECRET_CHARS_MIN: usize = 16;

/// With what tests are run.
pub(crate) struct Bench<'a> {
    pub(crate) caller: &'a dyn Caller,
    pub(crate) sources: &'a Sources,
    /// Learns what requests carry, and masks what is said of answers.
    pub(crate) redactor: &'a Redactor,
    pub(crate) cancel: &'a CancellationToken,
    /// Hears of each test as it ends.
    pub(crate) tell: &'a (dyn Fn(&TestSeen) + Sync),
}

/// Values of answers, by name, and who should have brought those that are missing.
#[derive(Default)]
struct Captured {
    values: BTreeMap<String, String>,
    missing: BTreeMap<String, String>,
}

/// Runs all of `files`; ends early when cancelled.
pub(crate) async fn run(files: &[Ready], bench: &Bench<'_>) -> SmokeSeen {
    let start = clock::monotonic();
    let planned = files.iter().map(|file| file.tests.len()).sum();
    let mut seen = SmokeSeen { planned, ..SmokeSeen::default() };
    'all: for file in files {
        let mut captured = Captured::default();
        for ready in &file.tests {
            let run = bench.test(&file.path, ready, &mut captured);
            let test = tokio::select! {
                biased;
                () = bench.cancel.cancelled() => break 'all,
                test = run => test,
            };
            (bench.tell)(&test);
            seen.tests.push(test);
        }
    }
    seen.took_us = clock::elapsed_us(start);
    seen
}

impl Bench<'_> {
    async fn test(&self, file: &Path, ready: &ReadyTest, captured: &mut Captured) -> TestSeen {
        let test = &ready.test;
        let mut seen = TestSeen {
            file: file.to_string_lossy().into_owned(),
            line: u64::try_from(test.place.line).unwrap_or(u64::MAX),
            name: test.name.clone(),
            category: test.said.category.clone(),
            tags: test.said.tags.clone(),
            critical: test.said.is_critical,
            attempts: Vec::new(),
            unsent: unsent(ready, captured),
        };
        let mut values = BTreeMap::new();
        while seen.unsent.is_none() {
            let (attempt, found) = self.attempt(ready, captured).await;
            seen.attempts.push(attempt);
            values = found;
            match again(test.said.retry, &seen.attempts) {
                Some(wait) => tokio::time::sleep(wait.duration()).await,
                None => break,
            }
        }
        for capture in &test.said.captures {
            // What an earlier request brought under this name is no longer meant.
            captured.values.remove(&capture.name);
            captured.missing.insert(capture.name.clone(), test.name.clone());
        }
        if seen.attempts.last().is_some_and(Attempt::passed) {
            captured.values.extend(values);
        }
        seen
    }

    async fn attempt(
        &self,
        ready: &ReadyTest,
        captured: &Captured,
    ) -> (Attempt, BTreeMap<String, String>) {
        let value = |name: &str| captured.values.get(name).cloned();
        let mut attempt = Attempt { status: None, connected: true, took_us: 0, wrong: Vec::new() };
        let mut found = BTreeMap::new();
        let request = match self.request(ready, &value) {
            Ok(request) => request,
            Err(why) => {
                attempt.wrong.push(why);
                return (attempt, found);
            }
        };
        let start = clock::monotonic();
        let answer = self.ask(request, (ready.test.said.follows, ready.is_bound)).await;
        attempt.took_us = clock::elapsed_us(start);
        match answer {
            Ok(reply) => {
                attempt.status = Some(reply.status);
                let (took, redactor) = (Micros(attempt.took_us), self.redactor);
                let timed = Timed { reply: &reply, took, redactor };
                attempt.wrong = self.wrong(ready, &timed, &value);
                for capture in &ready.test.said.captures {
                    match capture.of(&reply) {
                        Ok(value) => {
                            self.learn(&value, SECRET_CHARS_MIN);
                            found.insert(capture.name.clone(), value);
                        }
                        Err(why) => attempt.wrong.push(why),
                    }
                }
            }
            Err(no_reply) => {
                attempt.connected = no_reply.connected;
                attempt.wrong.push(no_reply.why);
            }
        }
        for text in &mut attempt.wrong {
            *text = plain(&self.redactor.text(text));
        }
        (attempt, found)
    }

    /// Every expectation that does not hold; without one, any 2xx is right.
    fn wrong(
        &self,
        ready: &ReadyTest,
        timed: &Timed<'_>,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let (test, status) = (&ready.test, timed.reply.status);
        if test.assertions.is_empty() && !(200..300).contains(&status) {
            return vec![format!("status is {status}; asked: 2xx")];
        }
        let held = test.assertions.iter().map(|assertion| {
            let value = assertion.value.whole(value, self.sources);
            let value = value.map_err(|name| format!("{{{{{name}}}}} was not captured"));
            value.map_or_else(Some, |value| assertion.failure(timed, &value))
        });
        held.flatten().collect()
    }

    fn learn(&self, value: &str, chars_min: usize) {
        if value.len() >= chars_min {
            self.redactor.learn(&Secret::new(value));
        }
    }

    fn request(
        &self,
        ready: &ReadyTest,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Request, String> {
        let test = &ready.test;
        let whole = |template: &Template| {
            template.whole(value, self.sources).map_err(|name| format!("{name} is not known"))
        };
        let mut url = whole(&test.url)?;
        if url.starts_with('/') {
            url.insert_str(0, &ready.origin);
        }
        // What an answer brought must not decide who is asked.
        if origin(&url).as_deref() != Some(&ready.origin) {
            return Err(format!("not sent: it would not go to {}", ready.origin));
        }
        let mut headers = Vec::new();
        for header in &test.headers {
            let mut value = whole(&header.value)?;
            let name = header.name.to_ascii_lowercase();
            let is_secret = is_secret_name(&name);
            if let Some(pair) = basic(&value).filter(|_| is_secret) {
                // The password alone as well: an answer may show what was decoded.
                self.learn(pair.split_once(':').map_or("", |(_, password)| password), 1);
                if name == "authorization" {
                    value = format!("Basic {}", STANDARD.encode(pair));
                }
            }
            if is_secret {
                self.learn(&value, 1);
                value.split_whitespace().skip(1).for_each(|part| self.learn(part, 1));
            }
            if http::HeaderValue::from_str(&value).is_err() {
                return Err(format!("not sent: {} would hold control characters", header.name));
            }
            headers.push((header.name.clone(), value));
        }
        let mut body = Vec::new();
        for part in &test.body {
            match part {
                BodyPart::Text(text) => body.extend_from_slice(whole(text)?.as_bytes()),
                BodyPart::Bytes(bytes) => body.extend_from_slice(bytes),
                BodyPart::File { path, .. } => {
                    return Err(format!("not sent: {} was not read", path.display()));
                }
            }
        }
        Ok(Request {
            method: test.method.clone(),
            url,
            headers,
            body: Some(body).filter(|body| !body.is_empty()),
            timeout: test.said.time_limit().duration(),
        })
    }

    /// Sends it, and follows redirects where that is wanted: all within its time.
    async fn ask(
        &self,
        mut request: Request,
        (follows, is_bound): (bool, bool),
    ) -> Result<Reply, NoReply> {
        let (start, within) = (clock::monotonic(), request.timeout);
        for _ in 0..=REDIRECTS_MAX {
            let reply = self.caller.call(&request).await?;
            let Some(to) = reply.redirect(&request.url).filter(|_| follows) else {
                return Ok(reply);
            };
            if origin(&to) != origin(&request.url) {
                if is_bound {
                    let why = format!("it redirects to {}, which is not judged", shown(&to));
                    return Err(NoReply { connected: true, why });
                }
                // What was meant for one host is not for another.
                request.headers.retain(|(name, _)| name.eq_ignore_ascii_case("accept"));
                request.body = None;
            }
            request.url = to;
            request.timeout =
                within.saturating_sub(clock::since(start)).max(Duration::from_millis(1));
        }
        let why =
            format!("more than {REDIRECTS_MAX} redirects, the last to {}", shown(&request.url));
        Err(NoReply { connected: true, why })
    }
}

/// Why it cannot be sent, where an earlier answer did not bring what it needs.
fn unsent(ready: &ReadyTest, captured: &Captured) -> Option<String> {
    let mut names = ready.test.templates().flat_map(Template::variables);
    let (name, _) = names.find(|(name, _)| !captured.values.contains_key(*name))?;
    let by = captured.missing.get(name).map_or("nobody", String::as_str);
    Some(format!("not sent: '{by}' failed, so {{{{{name}}}}} was not captured"))
}

/// Without what may be secret.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// The `user:password` of `Basic user password`, as editors write it, or of what is encoded already.
fn basic(value: &str) -> Option<String> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let (kind, pair) = match words.as_slice() {
        [kind, user, password] => (kind, format!("{user}:{password}")),
        [kind, pair] if pair.contains(':') => (kind, (*pair).to_owned()),
        [kind, encoded] => (kind, String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?),
        _ => return None,
    };
    (kind.eq_ignore_ascii_case("basic") && pair.contains(':')).then_some(pair)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::outcome::Outcome;
    use super::super::parse::parse;
    use super::super::prepare::{Given, Selection, prepare};
    use super::*;
    use crate::base::clock::{Clock, Entropy};

    /// Answers each request with the next reply, and keeps what was asked.
    struct Script {
        replies: Mutex<Vec<Result<Reply, NoReply>>>,
        asked: Mutex<Vec<Request>>,
    }

    #[async_trait::async_trait]
    impl Caller for Script {
        async fn call(&self, request: &Request) -> Result<Reply, NoReply> {
            self.asked.lock().unwrap().push(request.clone());
            self.replies.lock().unwrap().remove(0)
        }
    }

    type Replied = Result<Reply, NoReply>;

    #[expect(clippy::unnecessary_wraps, reason = "a script holds failures beside replies")]
    fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Replied {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Ok(Reply { status, headers: headers.iter().map(own).collect(), body: body.into() })
    }

    fn ok() -> Result<Reply, NoReply> {
        reply(200, &[], "")
    }

    async fn ran(source: &str, replies: Vec<Result<Reply, NoReply>>) -> (SmokeSeen, Vec<Request>) {
        let sources = Sources { clock: Clock::System, entropy: Entropy::seeded(1) };
        let none = BTreeMap::new();
        let given = Given {
            selection: Selection::All,
            target: Some("http://h"),
            is_bound: false,
            overrides: &none,
            environment: &none,
            env: &|_| None,
            sources: &sources,
            folder: Path::new("."),
        };
        let ready = prepare(parse(source, Path::new("a.http")).unwrap(), &given).unwrap();
        let script = Script { replies: Mutex::new(replies), asked: Mutex::new(Vec::new()) };
        let bench = Bench {
            caller: &script,
            sources: &sources,
            redactor: &Redactor::default(),
            cancel: &CancellationToken::new(),
            tell: &|_| {},
        };
        let seen = run(&[ready], &bench).await;
        (seen, script.asked.into_inner().unwrap())
    }

    fn outcomes(seen: &SmokeSeen) -> Vec<Outcome> {
        seen.tests.iter().map(TestSeen::outcome).collect()
    }

    #[tokio::test]
    async fn what_an_answer_brings_is_used_by_the_next() {
        let source = "### login\n# @capture t = jsonpath $.token\nPOST /login\n\n{}\n### read\n\
                      GET /me\nAuthorization: Bearer {{t}}\n\n?? jsonpath $.token == {{t}}\n";
        let body = r#"{"token": "hunter2-hunter2-hunter2"}"#;
        let (seen, asked) = ran(source, vec![reply(201, &[], body), reply(200, &[], body)]).await;
        assert_eq!(outcomes(&seen), [Outcome::Passed; 2]);
        assert_eq!(asked[0].body.as_deref(), Some(&b"{}"[..]));
        assert_eq!(asked[1].headers[0].1, "Bearer hunter2-hunter2-hunter2");
        assert_eq!(asked[1].url, "http://h/me");
    }

    #[tokio::test]
    async fn a_lost_value_fails_whoever_needs_it_by_name() {
        let source = "### login\n# @capture t = jsonpath $.token\nGET /login\n### read\nGET /{{t}}\n\
                      ### more\n# @capture u = header x\nGET /{{t}}\n### last\nGET /{{u}}\n### free\nGET /\n";
        let (seen, asked) = ran(source, vec![reply(500, &[], ""), ok()]).await;
        assert_eq!(asked.len(), 2);
        let why: Vec<_> = seen.tests.iter().map(|test| test.why().unwrap_or_default()).collect();
        assert_eq!(why[1], "not sent: 'login' failed, so {{t}} was not captured");
        assert_eq!(why[3], "not sent: 'more' failed, so {{u}} was not captured");
        assert_eq!(outcomes(&seen)[4], Outcome::Passed);
        assert!(!seen.is_unreachable());
    }

    #[tokio::test]
    async fn a_test_is_tried_again_and_stays_flaky() {
        let gone = || Err(NoReply { connected: false, why: "no connection".to_owned() });
        let source = "# @retry 2 1ms\nGET /a\n\n?? body includes ok\n";
        let (seen, _) =
            ran(source, vec![gone(), reply(200, &[], "no"), reply(200, &[], "ok")]).await;
        assert_eq!(outcomes(&seen), [Outcome::Flaky]);
        assert_eq!(seen.tests[0].attempts.len(), 3);
        let (seen, asked) = ran(source, vec![gone(), gone(), gone(), ok()]).await;
        assert_eq!((outcomes(&seen), asked.len()), (vec![Outcome::Failed], 3));
        assert!(seen.is_unreachable());
    }

    #[tokio::test]
    async fn redirects_are_followed_only_when_asked_and_headers_stay_at_home() {
        let there = || reply(302, &[("location", "https://other/x")], "");
        let (seen, _) = ran("GET /a\n", vec![there()]).await;
        assert_eq!(seen.tests[0].why().as_deref(), Some("status is 302; asked: 2xx"));
        let source = "# @follow\nGET /a\nAuthorization: Bearer secret\nAccept: */*\n\nbody\n";
        let (seen, asked) = ran(source, vec![there(), ok()]).await;
        assert_eq!((asked[0].body.is_some(), asked[1].body.is_some()), (true, false));
        let near = reply(302, &[("location", "/b?next=https://other/x")], "");
        let (_, here) = ran(source, vec![near, ok()]).await;
        assert_eq!((here[1].headers.len(), here[1].body.is_some()), (2, true));
        assert_eq!(outcomes(&seen), [Outcome::Passed]);
        assert_eq!((asked[1].url.as_str(), asked[1].headers.len()), ("https://other/x", 1));
        let circle = (0..6).map(|_| reply(302, &[("location", "/a?b")], "")).collect();
        let (seen, _) = ran(source, circle).await;
        let why = seen.tests[0].why().unwrap();
        assert_eq!(why, "more than 5 redirects, the last to http://h/a");
    }

    #[tokio::test]
    async fn an_answer_never_decides_who_is_asked() {
        let source =
            "# @capture to = header location\nGET /a\n###\nGET {{to}}\n###\nGET {{url}}{{to}}\n";
        let to = |text| vec![reply(200, &[("location", text)], ""), ok(), ok()];
        let (seen, asked) = ran(source, to("/b")).await;
        assert_eq!(outcomes(&seen), [Outcome::Passed; 3]);
        assert_eq!((asked[1].url.as_str(), asked[2].url.as_str()), ("http://h/b", "http://h/b"));
        for evil in ["http://evil/", "@evil/"] {
            let (seen, asked) = ran(source, to(evil)).await;
            assert_eq!(asked.len(), 1, "{evil}");
            let why = seen.tests[1].why().unwrap();
            assert_eq!(why, "not sent: it would not go to http://h", "{evil}");
        }
        let (seen, asked) = ran(source, to("http://h/b")).await;
        assert_eq!((outcomes(&seen)[1], asked.len()), (Outcome::Passed, 2));
    }

    #[tokio::test]
    async fn what_requests_carry_is_masked_in_answers() {
        for (header, sent, secret) in [
            ("Authorization: Basic ada hunter22", "Basic YWRhOmh1bnRlcjIy", "hunter22"),
            ("Authorization: basic ada:hunter22", "Basic YWRhOmh1bnRlcjIy", "hunter22"),
            ("Authorization: Basic YWRhOmh1bnRlcjIy", "Basic YWRhOmh1bnRlcjIy", "hunter22"),
            ("Authorization: Bearer hunter22", "Bearer hunter22", "hunter22"),
            ("Authorization: Custom a b", "Custom a b", "Custom a b"),
            ("apikey: hunter22", "hunter22", "hunter22"),
            ("X-Auth-Token: hunter22", "hunter22", "hunter22"),
            ("Proxy-Authorization: Bearer hunter22", "Bearer hunter22", "hunter22"),
            ("Cookie: hunter22", "hunter22", "hunter22"),
        ] {
            let source = format!("GET /a\n{header}\n\n?? header echo == x\n");
            let (seen, asked) = ran(&source, vec![reply(200, &[("echo", secret)], "")]).await;
            assert_eq!(asked[0].headers[0].1, sent, "{header}");
            let why = seen.tests[0].why().unwrap();
            assert_eq!(why, "echo is '[redacted]'; asked: header echo == x", "{header}");
        }
    }
}
