//! One function per operation of Vercel's API that is needed. Each declares whether it may be sent
//! again; a change whose answer was lost is never repeated here: whoever asked looks first.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers::{
    Billing, Deployment, DeploymentPage, ErrorAnswer, Project, Rolling, RollingEnvelope,
    TemplateEnvelope, alias_deployment,
};
use crate::base::call_made::CallMade;
use crate::base::clock::{Clock, Entropy, Timestamp};
use crate::base::limits;
use crate::base::redact::Secret;
use crate::base::retry::RetryBudget;
use crate::providers::http::{Call, HttpAnswer, HttpClient, HttpError, Repeat, asked_wait};

pub(crate) const API: &str = "https://api.vercel.com";

pub(super) const READ_AGAIN: RetryBudget = RetryBudget {
    tries: 4,
    first_wait: Duration::from_millis(100),
    wait_max: Duration::from_secs(1),
};
/// A change that certainly was not made.
pub(super) const UNSENT_AGAIN: RetryBudget = RetryBudget { tries: 3, ..READ_AGAIN };
/// Most pages that are read of one list.
const PAGES_MAX: u32 = 20;

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum VercelError {
    /// No answer.
    #[error("{0}")]
    Http(#[from] HttpError),
    /// 401, 403.
    #[error("{what}: HTTP {status}, {code}: {message}")]
    NoAccess { what: String, status: u16, code: String, message: String },
    #[error("{what}: not found: {message}")]
    NotFound { what: String, message: String },
    /// 402, or a code that says so.
    #[error("the plan does not allow it ({code}): {message}")]
    NotInPlan { code: String, message: String },
    #[error("{what}: the rate limit is used up{}", until_text(.until.as_ref()))]
    Limited { what: String, until: Option<Timestamp>, wait: Option<Duration> },
    /// Another state than was expected.
    #[error("{what}: {code}: {message}")]
    Conflict { what: String, code: String, message: String },
    #[error("{what}: HTTP {status}, {code}: {message}")]
    Refused { what: String, status: u16, code: String, message: String },
    /// 5xx: it may have happened.
    #[error("{what}: HTTP {status}")]
    Down { what: String, status: u16 },
    #[error("{what} answered what cannot be read: {cause}")]
    Unreadable { what: String, cause: String },
}

fn until_text(until: Option<&Timestamp>) -> String {
    until.map_or_else(String::new, |until| format!(" until {}", until.rfc3339()))
}

impl VercelError {
    /// Whether the change certainly was not made.
    pub(super) const fn is_without_effect(&self) -> bool {
        match self {
            Self::Http(error) => matches!(
                error,
                HttpError::Connect { .. }
                    | HttpError::Client { .. }
                    | HttpError::Request { .. }
                    | HttpError::Open { .. }
            ),
            Self::Down { .. } | Self::Unreadable { .. } => false,
            _ => true,
        }
    }
}

/// A project's corner of the API.
#[derive(Debug, Clone)]
pub(crate) struct VercelClient {
    http: HttpClient,
    clock: Clock,
    /// Without a slash at its end.
    api: String,
    token: Secret,
    pub(super) team: Option<String>,
    /// By id or name.
    pub(super) project: String,
}

impl VercelClient {
    pub(crate) fn new(
        (api, token): (&str, Secret),
        (team, project): (Option<String>, String),
        entropy: Entropy,
    ) -> Result<Self, HttpError> {
        let api = api.trim_end_matches('/').to_owned();
        let http = if api.starts_with("http://127.") {
            HttpClient::direct(entropy)?
        } else {
            HttpClient::new(entropy)?
        };
        Ok(Self { http, clock: Clock::System, api, token, team, project })
    }

    pub(super) fn calls(&self) -> Vec<CallMade> {
        self.http.calls()
    }

    /// How deployments of this API are reached: plainly where the API itself is.
    pub(super) fn url_of(&self, host: &str) -> String {
        let scheme = self.api.split("://").next().unwrap_or("https");
        format!("{scheme}://{host}")
    }

    /// Where the project itself is read and changed.
    pub(super) fn project_url(&self) -> String {
        let call = self.call(http::Method::GET, &format!("/v9/projects/{}", self.project), &[]);
        format!("'{}'", call.url)
    }

    pub(super) async fn project(&self) -> Result<Project, VercelError> {
        self.read(&format!("/v9/projects/{}", encoded(&self.project)), &[], "the project").await
    }

    /// By id, or by address.
    pub(super) async fn deployment(&self, named: &str) -> Result<Deployment, VercelError> {
        let what = format!("the deployment {named}");
        self.read(&format!("/v13/deployments/{}", encoded(named)), &[], &what).await
    }

    /// The deployment that `domain` leads to.
    pub(super) async fn serving(&self, domain: &str) -> Result<String, VercelError> {
        let what = format!("the domain {domain}");
        let scope = [("projectId", self.project_id().await?)];
        let answer: Value =
            self.read(&format!("/v4/aliases/{}", encoded(domain)), &scope, &what).await?;
        alias_deployment(&answer).map(str::to_owned).ok_or_else(|| VercelError::NotFound {
            message: "no deployment of this project serves it".to_owned(),
            what,
        })
    }

    pub(super) async fn project_id(&self) -> Result<String, VercelError> {
        if self.project.starts_with("prj_") {
            return Ok(self.project.clone());
        }
        Ok(self.project().await?.id)
    }

    /// Production deployments that once served, the newest first, until `wanted` says so.
    pub(super) async fn rollback_candidate(
        &self,
        wanted: impl Fn(&str, i64) -> bool,
    ) -> Result<Option<String>, VercelError> {
        let mut until = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![
                ("projectId", self.project_id().await?),
                ("target", "production".to_owned()),
                ("rollbackCandidate", "true".to_owned()),
                ("limit", "100".to_owned()),
            ];
            query.extend(until.map(|ms: i64| ("until", ms.to_string())));
            let page: DeploymentPage =
                self.read("/v7/deployments", &query, "the list of deployments").await?;
            let found = page.deployments.iter().find(|row| wanted(&row.uid, row.created_at));
            if let Some(row) = found {
                return Ok(Some(row.uid.clone()));
            }
            until = page.pagination.next;
            if until.is_none() {
                break;
            }
        }
        Ok(None)
    }

    pub(super) async fn billing(&self) -> Result<Billing, VercelError> {
        self.read(&self.rolling_path("/billing"), &[], "rolling releases").await
    }

    /// The release that is under way, or the last one.
    pub(super) async fn rolling(&self) -> Result<Option<Rolling>, VercelError> {
        let answer: RollingEnvelope =
            self.read(&self.rolling_path(""), &[], "the rolling release").await?;
        Ok(answer.rolling_release)
    }

    /// The percentages of the template, where people approve every stage; nothing otherwise.
    pub(super) async fn template(&self) -> Result<Option<Vec<u16>>, VercelError> {
        let path = self.rolling_path("/config");
        let answer: TemplateEnvelope = self.read(&path, &[], "the stages").await?;
        let stages = answer.rolling_release.and_then(|template| template.stages);
        Ok(stages
            .filter(|stages| {
                stages.iter().all(|s| s.require_approval || s.target_percentage == 100)
            })
            .map(|stages| stages.iter().map(|stage| stage.target_percentage).collect()))
    }

    /// Sets the template. It never changes a release that is under way.
    pub(super) async fn set_template(&self, percentages: &[u16]) -> Result<(), VercelError> {
        let stages: Vec<Value> = percentages
            .iter()
            .map(|percent| json!({"targetPercentage": percent, "requireApproval": *percent != 100}))
            .collect();
        let body = json!({"enabled": true, "advancementType": "manual-approval", "stages": stages});
        let mut call = self.call(http::Method::PATCH, &self.rolling_path("/config"), &[]);
        call.json = Some(body.to_string().into_bytes());
        call.repeat = Repeat::Safe(READ_AGAIN);
        self.send(&call, "the stages").await.map(|_| ())
    }

    /// Begins a release. For the same canary it changes nothing.
    pub(super) async fn start(&self, canary: &str) -> Result<(), VercelError> {
        self.change_rolling("/start", &json!({"canaryDeploymentId": canary})).await
    }

    /// From one stage to the next, refused when another one is active.
    pub(super) async fn approve(&self, canary: &str, from: u32) -> Result<(), VercelError> {
        let body = json!({
            "canaryDeploymentId": canary, "activeStageIndex": from, "nextStageIndex": from + 1,
        });
        self.change_rolling("/approve-stage", &body).await
    }

    pub(super) async fn complete(&self, canary: &str) -> Result<(), VercelError> {
        self.change_rolling("/complete", &json!({"canaryDeploymentId": canary})).await
    }

    async fn change_rolling(&self, path: &str, body: &Value) -> Result<(), VercelError> {
        let mut call = self.call(http::Method::POST, &self.rolling_path(path), &[]);
        call.json = Some(body.to_string().into_bytes());
        call.repeat = Repeat::Unsent(UNSENT_AGAIN);
        self.send(&call, "the rolling release").await.map(|_| ())
    }

    /// Asks for a promotion. The answer is whether it waits behind a rolling release.
    pub(super) async fn promote(&self, deployment: &str) -> Result<bool, VercelError> {
        let path =
            format!("/v10/projects/{}/promote/{}", encoded(&self.project), encoded(deployment));
        let mut call = self.call(http::Method::POST, &path, &[]);
        call.json = Some(b"{}".to_vec());
        call.repeat = Repeat::Unsent(UNSENT_AGAIN);
        Ok(self.send(&call, "the promotion").await?.status == 202)
    }

    /// Asks for everything to go back **to** `deployment`. Sent once: the caller decides on more.
    pub(super) async fn roll_back(
        &self,
        deployment: &str,
        description: &str,
    ) -> Result<(), VercelError> {
        let path =
            format!("/v1/projects/{}/rollback/{}", encoded(&self.project), encoded(deployment));
        let mut call =
            self.call(http::Method::POST, &path, &[("description", description.to_owned())]);
        call.urgent = true;
        self.send(&call, "the rollback").await.map(|_| ())
    }

    fn rolling_path(&self, rest: &str) -> String {
        format!("/v1/projects/{}/rolling-release{rest}", encoded(&self.project))
    }

    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        what: &str,
    ) -> Result<T, VercelError> {
        let mut call = self.call(http::Method::GET, path, query);
        call.repeat = Repeat::Safe(READ_AGAIN);
        call.urgent = true;
        let answer = self.send(&call, what).await?;
        serde_json::from_slice(&answer.body).map_err(|error| VercelError::Unreadable {
            what: what.to_owned(),
            cause: error.to_string(),
        })
    }

    pub(super) fn call(&self, method: http::Method, path: &str, query: &[(&str, String)]) -> Call {
        let team = self.team.iter().map(|team| {
            let name = if team.starts_with("team_") { "teamId" } else { "slug" };
            (name, team.clone())
        });
        let pairs: Vec<String> = query
            .iter()
            .cloned()
            .chain(team)
            .map(|(name, value)| format!("{name}={}", encoded(&value)))
            .collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{mark}{}", self.api, pairs.join("&"));
        let mut call = Call { method, ..Call::get(url) };
        call.bearer = Some(self.token.clone());
        call.timeout = limits::HTTP_CALL;
        call
    }

    pub(super) async fn send(&self, call: &Call, what: &str) -> Result<HttpAnswer, VercelError> {
        let answer = self.http.send(call).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(error_of(&answer, what, self.clock.now()))
    }
}

fn error_of(answer: &HttpAnswer, what: &str, now: Timestamp) -> VercelError {
    let said: Option<ErrorAnswer> = serde_json::from_slice(&answer.body).ok();
    let (code, message) = said.map_or_else(Default::default, |said| {
        (shortened(said.error.code), shortened(said.error.message))
    });
    let (what, status) = (what.to_owned(), answer.status);
    match status {
        _ if code == "plan_not_supported" => VercelError::NotInPlan { code, message },
        401 | 403 => VercelError::NoAccess { what, status, code, message },
        402 => VercelError::NotInPlan { code, message },
        404 => VercelError::NotFound { what, message },
        409 => VercelError::Conflict { what, code, message },
        429 => {
            let wait = asked_wait(answer, now);
            VercelError::Limited { what, until: wait.map(|wait| now.plus(wait)), wait }
        }
        500.. => VercelError::Down { what, status },
        _ => VercelError::Refused { what, status, code, message },
    }
}

/// What somebody else wrote goes into messages of ours: not too much of it.
fn shortened(text: String) -> String {
    const CHARS_MAX: usize = 300;
    if text.chars().count() <= CHARS_MAX { text } else { text.chars().take(CHARS_MAX).collect() }
}

/// For a URL: everything but letters, digits and `-._~` as percent signs.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_error_is_told_by_status_and_code_never_by_its_text() {
        let now = Timestamp::parse_rfc3339("2026-11-21T10:00:00Z").unwrap();
        let reset_ms = now.as_us() / 1_000 + 3 * 86_400_000;
        let limit =
            format!(r#"{{"error":{{"code":"rate_limited","limit":{{"resetMs":{reset_ms}}}}}}}"#);
        let plain = r#"{"error":{"code":"x","message":"y"}}"#;
        for (status, body, expected, without_effect) in [
            (403, plain, "the thing: HTTP 403, x: y", true),
            (402, plain, "the plan does not allow it (x): y", true),
            (400, r#"{"error":{"code":"plan_not_supported"}}"#, "the plan does not allow it", true),
            (404, plain, "the thing: not found: y", true),
            (409, plain, "the thing: x: y", true),
            (422, plain, "the thing: HTTP 422, x: y", true),
            (429, limit.as_str(), "the rate limit is used up until 2026-11-24T10:00:00Z", true),
            (429, "busy", "the rate limit is used up", true),
            (502, "<html>", "the thing: HTTP 502", false),
        ] {
            let answer =
                HttpAnswer { status, headers: BTreeMap::new(), body: body.as_bytes().to_vec() };
            let error = error_of(&answer, "the thing", now);
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.is_without_effect(), without_effect, "{error}");
        }
    }

    #[test]
    fn names_go_into_urls_safely() {
        assert_eq!(encoded("a/b?c=d e"), "a%2Fb%3Fc%3Dd%20e");
        assert_eq!(encoded("shop-1.vercel.app"), "shop-1.vercel.app");
    }
}
