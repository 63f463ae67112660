//! Calls within the limits that Supabase sets: reads are tried again, a limit that ends soon is waited
//! for, a longer one is said, and what changes something is sent once.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers::{
    BackupsAnswer, ErrorAnswer, KeyAnswer, ProjectAnswer, RestorePointAnswer, ServiceAnswer,
};
use crate::base::clock::Entropy;
use crate::base::limits;
use crate::base::redact::{Redactor, Secret};
use crate::base::retry::RetryBudget;
use crate::db::hosted::ports::{
    Backups, Catalog, Hosted, HostedError, Key, Project, RestorePoint, Service,
};
use crate::gate::check::Unseen;
use crate::providers::http::{Call, HttpAnswer, HttpClient, HttpError};

/// Services that a release needs.
const SERVICES: [&str; 6] = ["auth", "db", "pooler", "realtime", "rest", "storage"];
const TRIES: RetryBudget = RetryBudget {
    tries: 3,
    first_wait: Duration::from_millis(300),
    wait_max: Duration::from_secs(2),
};

/// One project behind the Management API.
pub(crate) struct Management {
    /// Without a slash at the end.
    pub(super) url: String,
    token: Secret,
    pub(super) reference: String,
    http: HttpClient,
    entropy: Entropy,
    pub(super) redactor: Redactor,
}

/// Whether a token may travel there: encrypted, or on this machine.
pub(crate) fn is_safe_url(url: &str) -> bool {
    url.starts_with("https://") || is_here(url)
}

fn is_here(url: &str) -> bool {
    let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    host.is_some_and(|host| {
        !host.contains('@')
            && ["127.0.0.1", "localhost", "[::1]"].iter().any(|own| {
                host.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            })
    })
}

impl Management {
    pub(crate) fn new(
        (url, token, reference): (&str, Secret, &str),
        (entropy, redactor): (Entropy, Redactor),
    ) -> Result<Self, HttpError> {
        let http = if is_here(url) {
            HttpClient::direct(entropy.clone())?
        } else {
            HttpClient::new(entropy.clone())?
        };
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, token, reference: reference.to_owned(), http, entropy, redactor })
    }

    pub(super) fn path(&self, rest: &str) -> String {
        format!("{}/v1/projects/{}{rest}", self.url, self.reference)
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<T, HostedError> {
        let call = Call::get(self.path(path));
        self.read(what, call).await
    }

    /// Sends what may be repeated.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        what: &str,
        call: Call,
    ) -> Result<T, HostedError> {
        let (mut failed, mut waited) = (0, false);
        loop {
            let outcome = self.once(what, call.clone()).await;
            let wait = match &outcome {
                Err(HostedError::Limited { secs })
                    if !waited && *secs <= limits::HOSTED_LIMIT_WAIT.as_secs() =>
                {
                    waited = true;
                    Some(Duration::from_secs(*secs))
                }
                Err(HostedError::Unavailable(_)) => {
                    failed += 1;
                    TRIES.wait_after(failed, &self.entropy)
                }
                _ => None,
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return parsed(what, &outcome?),
            }
        }
    }

    pub(super) async fn once(&self, what: &str, mut call: Call) -> Result<HttpAnswer, HostedError> {
        call.bearer = Some(self.token.clone());
        // The largest time of a health check is ten seconds there.
        call.timeout = limits::HTTP_CALL * 2;
        let answer = self.http.send(&call).await;
        let answer = answer.map_err(|e| HostedError::Unavailable(e.to_string()))?;
        match answer.status {
            200..300 => Ok(answer),
            429 => Err(HostedError::Limited { secs: reset(&answer) }),
            status => {
                let message = self.message(&answer);
                let what = what.to_owned();
                Err(match status {
                    401 | 403 => HostedError::Denied { what, status, message },
                    500.. => HostedError::Unavailable(format!("{what}: {status} {message}")),
                    _ => HostedError::Refused { what, status, message },
                })
            }
        }
    }

    /// What the platform says, short and without secrets.
    fn message(&self, answer: &HttpAnswer) -> String {
        let said: Option<ErrorAnswer> = serde_json::from_slice(&answer.body).ok();
        let said = said.map_or_else(|| "no reason given".to_owned(), |said| said.message);
        self.redactor.text(&said).chars().take(300).collect()
    }
}

/// Seconds until calls are allowed again: a number of seconds, not a date.
fn reset(answer: &HttpAnswer) -> u64 {
    let header = |name: &str| answer.headers.get(name)?.trim().parse::<u64>().ok();
    header("retry-after").or_else(|| header("x-ratelimit-reset")).unwrap_or(60)
}

pub(super) fn parsed<T: DeserializeOwned>(
    what: &str,
    answer: &HttpAnswer,
) -> Result<T, HostedError> {
    serde_json::from_slice(&answer.body).map_err(|e| unreadable(what, &e.to_string()))
}

fn unreadable(what: &str, why: &str) -> HostedError {
    HostedError::Unreadable { what: what.to_owned(), why: why.to_owned() }
}

#[async_trait]
impl Hosted for Management {
    async fn project(&self) -> Result<Project, HostedError> {
        self.get::<ProjectAnswer>("the project", "").await.map(Into::into)
    }

    async fn services(&self) -> Result<Vec<Service>, HostedError> {
        let services = SERVICES.map(|name| format!("services={name}")).join("&");
        let path = format!("/health?{services}&timeout_ms=5000");
        let found: Vec<ServiceAnswer> = self.get("the health of services", &path).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    async fn backups(&self) -> Result<Backups, HostedError> {
        self.get::<BackupsAnswer>("backups", "/database/backups").await.map(Into::into)
    }

    async fn keys(&self) -> Result<Vec<Key>, HostedError> {
        let found: Vec<KeyAnswer> = self.get("API keys", "/api-keys?reveal=false").await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    async fn restore_point(&self, name: &str) -> Result<Option<RestorePoint>, HostedError> {
        let path = format!("/database/backups/restore-point?name={name}");
        // Without one of that name: nothing, another one, or 404.
        match self.get::<Option<RestorePointAnswer>>("restore points", &path).await {
            Ok(found) => Ok(found.map(RestorePoint::from).filter(|point| point.name == name)),
            Err(HostedError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_restore_point(&self, name: &str) -> Result<RestorePoint, HostedError> {
        let what = "a restore point";
        let body = json!({ "name": name }).to_string().into_bytes();
        let call = Call::post(self.path("/database/backups/restore-point"), body);
        let answer = self.once(what, call).await?;
        parsed::<RestorePointAnswer>(what, &answer).map(Into::into)
    }

    async fn ask(&self, sql: &str) -> Result<String, HostedError> {
        let what = "a read-only query";
        let body = json!({ "query": sql }).to_string().into_bytes();
        // It changes nothing, so it may be sent again.
        let call = Call::post(self.path("/database/query/read-only"), body);
        let rows: Vec<Value> = self.read(what, call).await?;
        let row = rows.into_iter().next().ok_or_else(|| unreadable(what, "no row"))?;
        let Value::Object(cells) = row else { return Err(unreadable(what, "a row is no object")) };
        match cells.into_iter().next() {
            Some((_, Value::String(text))) => Ok(text),
            Some((_, value)) => Ok(value.to_string()),
            None => Err(unreadable(what, "the row is empty")),
        }
    }
}

#[async_trait]
impl Catalog for Management {
    async fn answer(&self, sql: &str) -> Result<String, Unseen> {
        Ok(self.ask(sql).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_encrypted_or_not_at_all() {
        for (url, safe) in [
            ("https://api.supabase.com", true),
            ("http://127.0.0.1:80/x", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://api.supabase.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost@example.com", false),
            ("ftp://localhost", false),
        ] {
            assert_eq!(is_safe_url(url), safe, "{url}");
        }
    }
}
