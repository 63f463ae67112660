//! Which address of the target a run uses. Where there are several, IPv6 goes first; the first that
//! answers serves the whole run, so that its percentiles are those of one address.

use std::net::SocketAddr;

use super::driver::LoadError;
use super::plan::LoadPlan;
use crate::base::dial;

pub(super) async fn resolve(plan: &LoadPlan) -> Result<SocketAddr, LoadError> {
    let host = plan.target.host.trim_matches(['[', ']']);
    let wrong = |cause: String| LoadError::Resolve { host: host.to_owned(), cause };
    let mut found = tokio::net::lookup_host((host, plan.target.port))
        .await
        .map_err(|error| wrong(error.to_string()))?
        .collect::<Vec<_>>();
    found.sort_by_key(SocketAddr::is_ipv4);
    match found[..] {
        [] => Err(wrong("no address".into())),
        [only] => Ok(only),
        [first, ..] => {
            let timeout = plan.timeout.duration();
            let answered = tokio::time::timeout(timeout, dial::first_to_answer(&found)).await;
            let chosen = answered.ok().and_then(|dialled| dialled.ok()?.peer_addr().ok());
            // Nobody answers: then every request says so.
            Ok(chosen.unwrap_or(first))
        }
    }
}
