//! Where users come in, asked from outside: who answers each of many sticky keys, and what a
//! deployment says it is (`/version`). Says what was answered; judges nothing.

use serde::Deserialize;

use crate::base::clock::Entropy;
use crate::base::digest::Digest;
use crate::base::ids::CommitId;
use crate::base::limits;
use crate::base::redact::Secret;
use crate::providers::http::{Call, HttpClient, HttpError};
use crate::rollout::ports::{Arm, Identity, ProbeAnswer};
use crate::router::testers::{self, PROBE_HEADER};

/// How many probes are under way at once.
const PROBES_AT_ONCE: usize = 16;

/// A front door that other programs hold.
#[derive(Debug, Clone)]
pub(crate) struct FrontDoor {
    /// Without a slash at the end.
    url: String,
    http: HttpClient,
    /// What tells an orca router that a probe is one.
    proof: Option<Secret>,
    /// Makes the probes' keys differ from run to run.
    entropy: Entropy,
}

impl FrontDoor {
    pub(crate) fn new(url: &str, http: HttpClient, entropy: Entropy) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), http, proof: None, entropy }
    }

    /// The same, before a router that counts as probes only those that know its secret.
    pub(crate) fn proving(self, proof: Secret) -> Self {
        Self { proof: Some(proof), ..self }
    }

    /// The headers of a probe with this tag.
    pub(crate) fn probe_headers(&self, tag: &str) -> Vec<(String, String)> {
        vec![(PROBE_HEADER.to_string(), self.proved(tag))]
    }

    /// `what`, with the proof where one is needed.
    pub(crate) fn proved(&self, what: &str) -> String {
        match &self.proof {
            Some(proof) => testers::signed(what, proof),
            None => what.to_owned(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What the deployment at `url` says it is; nothing when it does not say.
    pub(crate) async fn version_at(&self, url: &str) -> Result<Option<Identity>, HttpError> {
        let mut call = Call::get(format!("{}/version", url.trim_end_matches('/')));
        call.timeout = limits::ADMIN_CALL;
        let answer = self.http.send(&call).await?;
        Ok((answer.status == 200).then(|| identity_in(&answer.body)).flatten())
    }

    /// The status that a user gets.
    pub(crate) async fn status(&self) -> Option<u16> {
        let mut call = Call::get(format!("{}/", self.url));
        call.timeout = limits::ADMIN_CALL;
        self.http.send(&call).await.ok().map(|answer| answer.status)
    }

    /// One request for each of `count` different keys.
    pub(crate) async fn probe_keys(&self, count: u32) -> Vec<ProbeAnswer> {
        let run = self.entropy.next_u64();
        let mut answers = Vec::new();
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..count {
            let door = self.clone();
            let key = format!("orca-probe-{run:x}-{number}");
            waiting.spawn(async move { door.probe(key).await });
            if waiting.len() >= PROBES_AT_ONCE {
                answers.extend(waiting.join_next().await.and_then(Result::ok));
            }
        }
        while let Some(answer) = waiting.join_next().await {
            answers.extend(answer.ok());
        }
        answers
    }

    async fn probe(&self, key: String) -> ProbeAnswer {
        let mut call = Call::get(format!("{}/version", self.url));
        call.timeout = limits::ADMIN_CALL;
        call.headers = self.probe_headers("read-back");
        call.headers.push(("x-user-id".to_owned(), key.clone()));
        let Ok(answer) = self.http.send(&call).await else {
            return ProbeAnswer { key, arm: None, commit: None };
        };
        let arm = match answer.headers.get("x-orca-served-by").map(String::as_str) {
            Some("base") => Some(Arm::Base),
            Some("canary") => Some(Arm::Canary),
            _ => None,
        };
        let commit = identity_in(&answer.body).map(|identity| identity.commit);
        ProbeAnswer { key, arm, commit }
    }
}

#[derive(Deserialize)]
struct Version {
    commit: Option<String>,
    digest: Option<String>,
}

/// What `/version` says; a digest in another form than `sha256:...` is none.
fn identity_in(body: &[u8]) -> Option<Identity> {
    let version: Version = serde_json::from_slice(body).ok()?;
    let commit = CommitId::new(version.commit?).ok()?;
    Some(Identity { commit, digest: version.digest.as_deref().and_then(Digest::parse) })
}
