//! Two scripted upstreams and a router before them, all on free ports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::base::clock::{Clock, Entropy};
use crate::base::redact::Secret;
use crate::base::units::{Micros, Weight};
use crate::providers::router_admin::RouterAdmin;
use crate::router::api::{StageRequest, StateAnswer};
use crate::router::health::HealthSettings;
use crate::router::metrics::ArmMetrics;
use crate::router::proxy::ProxySettings;
use crate::router::server::{self, DrainSettings, RouterConfig, Running};
use crate::router::split::{Arm, Source, SplitSettings};
use crate::router::state::{Audience, Expected, Upstream};

pub(crate) fn upstream(name: &str, address: SocketAddr) -> Upstream {
    Upstream {
        deployment: name.into(),
        url: format!("http://{address}"),
        commit: None,
        digest: None,
    }
}

/// Holds `/slow` requests.
#[derive(Debug, Default)]
pub(crate) struct Slow {
    pub(crate) arrived: Notify,
    /// Lets one go on.
    pub(crate) go: Notify,
}

/// An upstream that answers with its name and the head it saw. Paths script it: `/hang` never
/// answers, `/reset` closes, `/slow` waits for `go`, `/fail` is 500, `/cut` breaks its body,
/// `/ws` switches protocols and echoes.
async fn app(name: &'static str, slow: Arc<Slow>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, name, Arc::clone(&slow)));
        }
    });
    address
}

async fn converse(mut stream: TcpStream, name: &'static str, slow: Arc<Slow>) {
    while let Some(head) = read_head(&mut stream).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let text = format!("{name}\n{head}");
        let answer = match path.as_str() {
            "/hang" => std::future::pending().await,
            "/reset" => return,
            "/cut" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
                return;
            }
            "/ws" => {
                let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
                let _ = stream.write_all(head).await;
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                return;
            }
            "/slow" => {
                slow.arrived.notify_one();
                slow.go.notified().await;
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
            }
            "/fail" => "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned(),
            _ => format!(
                "HTTP/1.1 200 OK\r\nkeep-alive: 5\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            ),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// An upstream of a test's own: `serve` gets each connection with its number, from 1.
pub(crate) async fn scripted<S, F>(serve: S) -> SocketAddr
where
    S: Fn(TcpStream, usize) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(serve(stream, number));
        }
    });
    address
}

/// Reads up to the empty line; nothing at the end.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// An answer as read from the wire.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One connection of a client.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn get(&mut self, path: &str, headers: &str) -> Seen {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: shop\r\n{headers}\r\n")).await
    }

    pub(crate) async fn send(&mut self, raw: &str) -> Seen {
        self.0.write_all(raw.as_bytes()).await.unwrap();
        self.read().await
    }

    pub(crate) async fn read(&mut self) -> Seen {
        let head = read_head(&mut self.0).await.expect("an answer");
        let status = head[9..12].parse().unwrap();
        let lower = head.to_ascii_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |text| text.parse::<usize>().unwrap());
        let mut body = vec![0; length];
        let whole = self.0.read_exact(&mut body).await.is_ok();
        let body = if whole { String::from_utf8(body).unwrap() } else { "CUT".into() };
        Seen { status, head: lower, body }
    }
}

impl Seen {
    /// Which upstream answered.
    pub(crate) fn name(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }
}

/// Two upstreams and a router on the first.
pub(crate) struct Bench {
    pub(crate) one: SocketAddr,
    pub(crate) two: SocketAddr,
    pub(crate) slow: Arc<Slow>,
    pub(crate) router: Running,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::by(Clock::System).await
    }

    /// With a router that goes by this clock.
    pub(crate) async fn by(clock: Clock) -> Self {
        Self::with(|config| RouterConfig { clock, ..config }).await
    }

    /// With a router whose upstream may be silent for `limit`.
    pub(crate) async fn patient(limit: Duration) -> Self {
        Self::with(|mut config| {
            config.proxy.response_timeout = limit;
            config
        })
        .await
    }

    pub(crate) async fn with(change: impl FnOnce(RouterConfig) -> RouterConfig) -> Self {
        let slow = Arc::new(Slow::default());
        let one = app("one", Arc::clone(&slow)).await;
        let two = app("two", Arc::clone(&slow)).await;
        let folder = tempfile::tempdir().unwrap();
        let config = change(config(one, folder.path().join("state.json")));
        let router = server::start(config).unwrap();
        Self { one, two, slow, router, folder }
    }

    pub(crate) fn admin(&self) -> RouterAdmin {
        let url = format!("http://{}", self.router.admin);
        RouterAdmin::new(&url, Secret::new("t"), Entropy::seeded(1)).unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client(TcpStream::connect(self.router.public).await.unwrap())
    }

    /// Stages the second upstream, at `canary` instead when given.
    pub(crate) async fn stage(&self, canary: SocketAddr) -> StateAnswer {
        let state = self.router.control.state();
        let request = StageRequest {
            canary: upstream("two", canary),
            release: "v2".into(),
            audience: Audience { header_override: true, ..Audience::default() },
            expect_generation: state.generation,
            epoch: state.epoch,
        };
        self.admin().stage(&request).await.unwrap()
    }

    /// With everybody on `canary`.
    pub(crate) async fn all_on(self, canary: SocketAddr) -> Self {
        self.stage(canary).await;
        self.raise(10_000).await;
        self
    }

    /// What users made of one arm, as soon as `is_there` finds in it what it waits for.
    pub(crate) async fn users_of(
        &self,
        arm: Arm,
        is_there: impl Fn(&ArmMetrics) -> bool,
    ) -> ArmMetrics {
        let seen = async {
            loop {
                let metrics = self.router.control.metrics();
                let row = metrics.in_window(arm, Source::Users).unwrap();
                if is_there(row) {
                    return row.clone();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.expect("it never came")
    }

    /// Raises to `bp` basis points for a minute.
    pub(crate) async fn raise(&self, bp: u32) -> StateAnswer {
        let state = self.router.control.state();
        let expected = Expected { generation: state.generation, epoch: state.epoch };
        let weight = Weight::from_basis_points(bp).unwrap();
        self.admin().raise(weight, Micros::from_secs(60), expected).await.unwrap()
    }

    pub(crate) async fn stop(mut self) {
        self.router.stop_now();
        self.router.ended().await;
    }
}

pub(crate) fn config(base: SocketAddr, state_file: PathBuf) -> RouterConfig {
    let any = "127.0.0.1:0".parse().unwrap();
    RouterConfig {
        listen: any,
        admin: any,
        base: upstream("one", base),
        state_file,
        token: Secret::new("t"),
        proxy: ProxySettings {
            split: SplitSettings::default(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_millis(300),
            keep_alive: Duration::from_secs(75),
            health_path: "/.orca/health".into(),
        },
        health: HealthSettings {
            path: "/health".into(),
            interval: Duration::from_hours(1),
            timeout: Duration::from_secs(1),
        },
        drain: DrainSettings { delay: Duration::ZERO, limit: Duration::from_mins(1) },
        workers: 2,
        clock: Clock::System,
    }
}
