//! One function per call of the router's admin API. Nothing is repeated here: a caller that did
//! not get an answer reads the state and decides.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::call_made::CallMade;
use crate::base::clock::Entropy;
use crate::base::limits;
use crate::base::redact::Secret;
use crate::base::retry::RetryBudget;
use crate::base::units::{Micros, Weight};
use crate::providers::http::{Call, HttpClient, HttpError, Repeat};
use crate::router::api::{
    CloseRequest, ErrorAnswer, PreviousRequest, PromoteRequest, RaiseRequest, RenewRequest,
    RevertRequest, StageRequest, StateAnswer,
};
use crate::router::lowered::Lowering;
use crate::router::metrics::RouterMetrics;
use crate::router::state::{Expected, Upstream};
use crate::router::testers;

/// Reading changes nothing, so a lost answer is asked for again.
const READ_AGAIN: RetryBudget = RetryBudget {
    tries: 3,
    first_wait: Duration::from_millis(20),
    wait_max: Duration::from_millis(100),
};

/// A router's admin API.
#[derive(Debug, Clone)]
pub(crate) struct RouterAdmin {
    http: HttpClient,
    /// Without a slash at the end.
    url: String,
    token: Secret,
    /// Who lowers, so that whoever is pre-empted can name them.
    actor: Option<String>,
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouterAdminError {
    /// No answer: whether a change happened is unknown unless there was no connection.
    #[error("the router's admin interface: {0}")]
    Http(#[from] HttpError),
    #[error("the router does not accept the admin token")]
    Unauthorized,
    /// Nothing changed; the answer carries the router's code and its state.
    #[error("the router refused ({}): {}", .0.code, .0.message)]
    Refused(Box<ErrorAnswer>),
    #[error("{url} answered {status} with something that is not a router's answer: {cause}")]
    NotARouter { url: String, status: u16, cause: String },
}

impl RouterAdmin {
    /// `url` is like `http://127.0.0.1:8081`.
    pub(crate) fn new(url: &str, token: Secret, entropy: Entropy) -> Result<Self, HttpError> {
        let http = HttpClient::direct(entropy)?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), token, actor: None })
    }

    /// The same, in the name of `who`.
    pub(crate) fn acting_as(self, who: &str) -> Self {
        Self { actor: Some(who.to_owned()), ..self }
    }

    /// What proves to the router's front door that a request is made by who drives it.
    pub(crate) fn tester_secret(&self) -> Secret {
        testers::secret_of(&self.token)
    }

    /// The calls made so far.
    pub(crate) fn calls(&self) -> Vec<CallMade> {
        self.http.calls()
    }

    pub(crate) async fn state(&self) -> Result<StateAnswer, RouterAdminError> {
        self.send(Call::get(format!("{}/state", self.url))).await
    }

    pub(crate) async fn metrics(&self) -> Result<RouterMetrics, RouterAdminError> {
        self.send(Call::get(format!("{}/metrics.json", self.url))).await
    }

    /// Names the candidate at weight zero.
    pub(crate) async fn stage(
        &self,
        request: &StageRequest,
    ) -> Result<StateAnswer, RouterAdminError> {
        self.post("stage", request).await
    }

    /// Raises the weight for the time of `grant`.
    pub(crate) async fn raise(
        &self,
        weight: Weight,
        grant: Micros,
        expected: Expected,
    ) -> Result<StateAnswer, RouterAdminError> {
        let Expected { generation: expect_generation, epoch } = expected;
        let request = RaiseRequest { weight, grant_us: grant, expect_generation, epoch };
        self.post("raise", &request).await
    }

    /// The grant lasts for `grant` from now; the generation stays.
    pub(crate) async fn renew(
        &self,
        epoch: u64,
        grant: Micros,
    ) -> Result<StateAnswer, RouterAdminError> {
        self.post("renew", &RenewRequest { epoch, grant_us: grant }).await
    }

    /// All users to base, unconditionally: the one call of a rollback during a rollout.
    pub(crate) async fn revert(&self, how: Lowering) -> Result<StateAnswer, RouterAdminError> {
        self.post("revert", &RevertRequest { by: self.actor.clone(), how: Some(how) }).await
    }

    /// The canary becomes the base.
    pub(crate) async fn promote(
        &self,
        expected: Expected,
    ) -> Result<StateAnswer, RouterAdminError> {
        let Expected { generation: expect_generation, epoch } = expected;
        self.post("promote", &PromoteRequest { expect_generation, epoch }).await
    }

    /// All users to `to`, or to the base before the last promotion, unconditionally: the one call
    /// of a rollback after a rollout.
    pub(crate) async fn previous(
        &self,
        to: Option<Upstream>,
    ) -> Result<StateAnswer, RouterAdminError> {
        self.post("previous", &PreviousRequest { to, by: self.actor.clone() }).await
    }

    /// Users get a page of the router's own, or a version again. Repeating it changes nothing.
    pub(crate) async fn close(&self, closed: bool) -> Result<StateAnswer, RouterAdminError> {
        self.post("close", &CloseRequest { closed }).await
    }

    async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<StateAnswer, RouterAdminError> {
        let json = serde_json::to_vec(body).expect("plain data always becomes JSON");
        self.send(Call::post(format!("{}/{path}", self.url), json)).await
    }

    async fn send<T: DeserializeOwned>(&self, mut call: Call) -> Result<T, RouterAdminError> {
        call.bearer = Some(self.token.clone());
        call.timeout = limits::ADMIN_CALL;
        if call.method == http::Method::GET {
            call.repeat = Repeat::Safe(READ_AGAIN);
        }
        let answer = self.http.send(&call).await?;
        let not_a_router = |error: serde_json::Error| RouterAdminError::NotARouter {
            url: call.url.clone(),
            status: answer.status,
            cause: error.to_string(),
        };
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(not_a_router),
            401 => Err(RouterAdminError::Unauthorized),
            _ => {
                let refused = serde_json::from_slice(&answer.body).map_err(not_a_router)?;
                Err(RouterAdminError::Refused(Box::new(refused)))
            }
        }
    }
}
