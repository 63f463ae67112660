//! The production domain, asked as users ask it: who answers? A version says so itself at
//! `/version`: its deployment (`VERCEL_DEPLOYMENT_ID`), its commit, or both.

use serde::Deserialize;

use super::platform::BYPASS;
use super::seen::Split;
use crate::base::clock::Entropy;
use crate::base::ids::CommitId;
use crate::base::limits;
use crate::base::redact::Secret;
use crate::providers::http::{Call, HttpClient, HttpError};
use crate::rollout::ports::{Arm, ProbeAnswer};

/// How many probes are under way at once.
const PROBES_AT_ONCE: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct Front {
    /// Without a slash at its end.
    url: String,
    http: HttpClient,
    /// Makes the probes' keys differ from run to run.
    entropy: Entropy,
}

/// What a version says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) deployment: Option<String>,
    pub(super) commit: Option<CommitId>,
}

#[derive(Deserialize)]
struct Version {
    deployment: Option<String>,
    commit: Option<String>,
}

impl Said {
    pub(super) const fn is_silent(&self) -> bool {
        self.deployment.is_none() && self.commit.is_none()
    }

    fn of(body: &[u8]) -> Self {
        let Ok(version) = serde_json::from_slice::<Version>(body) else { return Self::default() };
        let commit = version.commit.and_then(|commit| CommitId::new(commit).ok());
        Self { deployment: version.deployment.filter(|id| !id.is_empty()), commit }
    }

    /// The arm by the deployment's own id. A third deployment is not the base, and whoever wants
    /// everything on the base must not be told that it is so.
    fn arm(&self, split: &Split) -> Option<Arm> {
        let id = self.deployment.as_ref()?;
        Some(if *id == split.base { Arm::Base } else { Arm::Canary })
    }
}

impl Front {
    pub(super) fn new(url: &str, entropy: Entropy) -> Result<Self, HttpError> {
        let url = url.trim_end_matches('/').to_owned();
        let http = if url.starts_with("http://127.") {
            HttpClient::direct(entropy.clone())?
        } else {
            HttpClient::new(entropy.clone())?
        };
        Ok(Self { url, http, entropy })
    }

    /// The domain's name, with its port where it has one.
    pub(super) fn domain(&self) -> &str {
        host_of(&self.url)
    }

    /// The status that a new visitor of the domain gets.
    pub(super) async fn status(&self) -> Option<u16> {
        let mut call = Call::get(format!("{}/", self.url));
        call.timeout = limits::ADMIN_CALL;
        call.urgent = true;
        self.http.send(&call).await.ok().map(|answer| answer.status)
    }

    /// What answers a new visitor of the domain.
    pub(super) async fn version(&self) -> Result<Said, HttpError> {
        self.version_of(&self.url, None).await
    }

    /// What answers at `url`.
    pub(super) async fn version_of(
        &self,
        url: &str,
        bypass: Option<&Secret>,
    ) -> Result<Said, HttpError> {
        let mut call = Call::get(format!("{}/version", url.trim_end_matches('/')));
        call.timeout = limits::ADMIN_CALL;
        call.urgent = true;
        let bypass = bypass.map(|secret| (BYPASS.to_owned(), secret.expose().to_owned()));
        call.headers = bypass.into_iter().collect();
        let answer = self.http.send(&call).await?;
        Ok(if answer.status == 200 { Said::of(&answer.body) } else { Said::default() })
    }

    /// Each probe is a new visitor: it brings no cookie.
    pub(super) async fn probe_keys(&self, count: u32, split: &Split) -> Vec<ProbeAnswer> {
        let run = self.entropy.next_u64();
        let mut answers = Vec::new();
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..count {
            let (front, split) = (self.clone(), split.clone());
            let key = format!("visitor-{run:x}-{number}");
            waiting.spawn(async move { front.probe(key, &split).await });
            if waiting.len() >= PROBES_AT_ONCE {
                answers.extend(waiting.join_next().await.and_then(Result::ok));
            }
        }
        while let Some(answer) = waiting.join_next().await {
            answers.extend(answer.ok());
        }
        answers
    }

    async fn probe(&self, key: String, split: &Split) -> ProbeAnswer {
        match self.version().await {
            Ok(said) => ProbeAnswer { key, arm: said.arm(split), commit: said.commit },
            Err(_) => ProbeAnswer { key, arm: None, commit: None },
        }
    }
}

/// `shop.example:8080` of `https://shop.example:8080/x`.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Weight;

    #[test]
    fn a_version_names_its_arm_by_its_deployment() {
        let split = |canary: Option<&str>| Split {
            base: "dpl_1".to_owned(),
            canary: canary.map(str::to_owned),
            weight: Weight::ZERO,
        };
        let arm = |body: &str, canary| Said::of(body.as_bytes()).arm(&split(canary));
        let said = |id: &str| format!("{{\"deployment\":\"{id}\"}}");
        assert_eq!(arm(&said("dpl_1"), Some("dpl_2")), Some(Arm::Base));
        assert_eq!(arm(&said("dpl_2"), Some("dpl_2")), Some(Arm::Canary));
        assert_eq!(arm(&said("dpl_3"), None), Some(Arm::Canary), "anything but the base");
        assert_eq!(arm("{\"commit\":\"x\"}", None), None);
        let commit = "a".repeat(40);
        let by_commit = Said::of(format!("{{\"commit\":\"{commit}\"}}").as_bytes());
        assert_eq!(by_commit.commit.unwrap().as_str(), commit);
        assert!(Said::of(b"<html>").is_silent());
    }

    #[test]
    fn a_host_is_what_stands_between_scheme_and_path() {
        for (url, host) in [
            ("https://web-abc.vercel.app/x?y", "web-abc.vercel.app"),
            ("web-abc.vercel.app", "web-abc.vercel.app"),
            ("http://127.0.0.1:4000", "127.0.0.1:4000"),
        ] {
            assert_eq!(host_of(url), host);
        }
    }
}
