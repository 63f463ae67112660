//! Which address of the target a run uses. Where there are several, IPv6 goes first and the next
//! gets a chance when one refuses or hesitates, as browsers do (RFC 8305); the first that answers
//! serves the whole run, so that its percentiles are those of one address.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::driver::LoadError;
use super::plan::LoadPlan;

/// How long one address may hesitate before the next is tried beside it.
const HESITATION: Duration = Duration::from_millis(250);

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
            let chosen = tokio::time::timeout(timeout, first_to_answer(&found)).await;
            // Nobody answers: then every request says so.
            Ok(chosen.ok().flatten().unwrap_or(first))
        }
    }
}

async fn first_to_answer(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let mut waiting = addresses.iter().copied();
    let mut trying = JoinSet::new();
    loop {
        if let Some(address) = waiting.next() {
            trying.spawn(async move { TcpStream::connect(address).await.ok().map(|_| address) });
        }
        tokio::select! {
            answer = trying.join_next() => match answer {
                Some(Ok(Some(address))) => return Some(address),
                Some(_) => {}
                None => return None,
            },
            () = tokio::time::sleep(HESITATION) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_address_that_answers_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(first_to_answer(&[closed, open]).await, Some(open));
        assert_eq!(first_to_answer(&[open, closed]).await, Some(open));
        assert_eq!(first_to_answer(&[closed, closed]).await, None);
    }
}
