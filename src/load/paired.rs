//! Paired load: the same requests at the same times to both arms, so that the two results differ by
//! the version alone. Only endpoints marked safe are asked: users are beside.

use tokio_util::sync::CancellationToken;

use super::driver::{self, LoadError, Watch};
use super::from_manifest::TIMEOUT;
use super::machine;
use super::plan::{Bounds, Draft, Endpoint, LoadPlan, PlanError, Shape, Target};
use super::result::LoadResult;
use super::shard::Shard;
use crate::base::units::{Micros, Rate};

/// Fewest and most connections of one arm.
const CONNECTIONS: (u64, u64) = (4, 64);

/// What paired load could not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairedError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Where an arm is asked: its URL, and the headers that lead to it and to no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArmDoor {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The header and value that an answer of this arm carries. What comes between may strip what
    /// leads to it, and then one version would be compared with itself.
    pub(crate) proof: Option<(String, String)>,
}

/// Where each arm is asked, and who looks on.
#[derive(Debug)]
pub(crate) struct Arms {
    pub(crate) base: (ArmDoor, Watch),
    pub(crate) canary: (ArmDoor, Watch),
}

/// How fast each arm is asked, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Of each arm.
    pub(crate) rate: Rate,
    pub(crate) duration: Micros,
}

/// What both arms did in the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) base: LoadResult,
    pub(crate) canary: LoadResult,
}

/// Asks both arms side by side. Endpoints that are not safe are left out.
pub(crate) async fn run_paired(
    arms: Arms,
    endpoints: &[Endpoint],
    pace: Pace,
    cancel: &CancellationToken,
) -> Result<Pair, PairedError> {
    let base = plan(endpoints, pace, &arms.base.0)?;
    let canary = plan(endpoints, pace, &arms.canary.0)?;
    let (base, canary) = tokio::try_join!(
        driver::run(&base, arms.base.1, cancel),
        driver::run(&canary, arms.canary.1, cancel)
    )?;
    Ok(Pair { base, canary })
}

fn plan(endpoints: &[Endpoint], pace: Pace, door: &ArmDoor) -> Result<LoadPlan, PlanError> {
    let (target, _) = Target::parse(&door.url)?;
    let safe = endpoints.iter().filter(|endpoint| endpoint.safe).cloned();
    let tagged = safe.map(|mut endpoint| {
        for (name, value) in &door.headers {
            endpoint.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            endpoint.headers.push((name.clone(), value.clone()));
        }
        endpoint.expect.headers.extend(door.proof.clone());
        endpoint
    });
    let connections = (pace.rate.milli_per_s / 1_000).clamp(CONNECTIONS.0, CONNECTIONS.1);
    let draft = Draft {
        target,
        endpoints: tagged.collect(),
        shape: Shape::constant(pace.rate, pace.duration),
        connections: u32::try_from(connections).unwrap_or(1),
        timeout: TIMEOUT,
        keep_alive: true,
        insecure: false,
        http2: false,
        phases: false,
        // Each second is told with its latencies: who looks on judges by them.
        detailed: true,
        shard: Shard::default(),
        start_at: None,
    };
    // A canary's front is production by its nature; that is why only safe endpoints are asked.
    let bounds = Bounds { file_limit: machine::file_limit(), ..Bounds::default() };
    LoadPlan::new(draft, &bounds)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Keeps the head of every request that arrives; each answer closes its connection.
    async fn front() -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut buffer = [0; 2_048];
                    let count = stream.read(&mut buffer).await.unwrap_or(0);
                    seen.lock().unwrap().push(String::from_utf8_lossy(&buffer[..count]).into());
                    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                });
            }
        });
        (port, heads)
    }

    fn arms(url: &str) -> Arms {
        let door = |arm: &str| ArmDoor {
            url: url.to_owned(),
            headers: vec![("x-orca-arm".to_owned(), arm.to_owned())],
            proof: None,
        };
        Arms { base: (door("base"), Watch::default()), canary: (door("canary"), Watch::default()) }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn both_arms_get_the_same_safe_requests() {
        let (port, heads) = front().await;
        let url = format!("http://127.0.0.1:{port}");
        let endpoints = [Endpoint::get("/read"), Endpoint { safe: false, ..Endpoint::get("/buy") }];
        let pace = Pace { rate: Rate::per_second(50), duration: Micros::from_millis(200) };
        let cancel = CancellationToken::new();
        let pair = run_paired(arms(&url), &endpoints, pace, &cancel).await.unwrap();
        assert_eq!((pair.base.requests, pair.canary.requests), (10, 10));
        assert_eq!((pair.base.errors, pair.canary.errors), (0, 0));
        let heads = heads.lock().unwrap();
        let of = |arm: &str| {
            heads.iter().filter(|h| h.contains(&format!("x-orca-arm: {arm}\r\n"))).count()
        };
        assert_eq!((of("base"), of("canary")), (10, 10));
        assert!(heads.iter().all(|head| head.starts_with("GET /read ")));
    }

    /// Something in front strips the header, and the base answers for both.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_of_another_arm_is_none() {
        let (port, _) = front().await;
        let url = format!("http://127.0.0.1:{port}");
        let pace = Pace { rate: Rate::per_second(50), duration: Micros::from_millis(200) };
        let mut arms = arms(&url);
        arms.canary.0.proof = Some(("x-orca-served-by".to_owned(), "canary".to_owned()));
        let endpoints = [Endpoint::get("/read")];
        let pair = run_paired(arms, &endpoints, pace, &CancellationToken::new()).await.unwrap();
        assert_eq!((pair.base.errors, pair.canary.errors), (0, 10));
        assert_eq!(pair.canary.errors_by_kind.get("assertion"), Some(&10));
    }

    #[tokio::test]
    async fn nothing_safe_is_nothing_to_ask() {
        let endpoints = [Endpoint { safe: false, ..Endpoint::get("/buy") }];
        let pace = Pace { rate: Rate::per_second(50), duration: Micros::from_secs(1) };
        let cancel = CancellationToken::new();
        let refused = run_paired(arms("http://127.0.0.1:1"), &endpoints, pace, &cancel).await;
        assert!(matches!(refused, Err(PairedError::Plan(PlanError::NoEndpoints))));
    }
}
