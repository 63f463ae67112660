//! `orca router`: serves until a signal, drains at the first and ends at the second.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::base::digest::Digest;
use crate::base::redact::Secret;
use crate::base::units::Micros;
use crate::base::{atomic_file, limits};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::router::health::HealthSettings;
use crate::router::proxy::ProxySettings;
use crate::router::server::{self, DrainSettings, RouterConfig, Running};
use crate::router::split::SplitSettings;
use crate::router::state::Upstream;
use crate::router::testers;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address for users' traffic; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Loopback address of the admin API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    admin: SocketAddr,

    /// Upstream that serves everything until told otherwise, like <http://127.0.0.1:3000>
    #[arg(long, value_name = "URL")]
    base: String,

    /// What the platform calls the base
    #[arg(long, value_name = "ID")]
    base_deployment: Option<String>,

    /// Commit of the base
    #[arg(long, value_name = "COMMIT")]
    base_commit: Option<String>,

    /// Artifact digest of the base, sha256:...
    #[arg(long, value_name = "DIGEST")]
    base_digest: Option<String>,

    /// File that keeps the state over restarts
    #[arg(long, value_name = "FILE")]
    state: PathBuf,

    /// Environment variable with the admin token
    #[arg(long, default_value = "ORCA_ROUTER_TOKEN", value_name = "NAME")]
    token_env: String,

    /// File with the admin token, instead of the variable
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,

    /// Request header with the user's id, the first choice of sticky key
    #[arg(long, default_value = "x-user-id", value_name = "HEADER")]
    user_header: HeaderName,

    /// Request header with the tenant's id, the second choice
    #[arg(long, default_value = "x-tenant-id", value_name = "HEADER")]
    tenant_header: HeaderName,

    /// Session cookie, the third choice
    #[arg(long, value_name = "NAME")]
    session_cookie: Option<String>,

    /// Request header by which testers choose the arm: "canary:SECRET" or "base:SECRET"
    #[arg(long, default_value = "x-orca-arm", value_name = "HEADER")]
    tester_header: HeaderName,

    /// Environment variable with a secret for testers, beside the one that orca derives from the
    /// admin token
    #[arg(long, value_name = "NAME")]
    tester_secret_env: Option<String>,

    /// Time to connect to an upstream
    #[arg(long, default_value = "2s", value_name = "TIME")]
    connect_timeout: Micros,

    /// Time until an upstream's answer begins, and until the next part of it or of an upload comes
    #[arg(long, default_value = "60s", value_name = "TIME")]
    response_timeout: Micros,

    /// How long a client's connection may wait for its next request, and a request for its whole head;
    /// longer than what is in front of the router keeps idle connections
    #[arg(long, default_value = "75s", value_name = "TIME")]
    keep_alive: Micros,

    /// Path of the router's own health, not passed on
    #[arg(long, default_value = "/.orca/health", value_name = "PATH")]
    own_health_path: String,

    /// Path of the upstreams' health
    #[arg(long, default_value = "/health", value_name = "PATH")]
    health_path: String,

    /// Time between health checks
    #[arg(long, default_value = "5s", value_name = "TIME")]
    health_interval: Micros,

    /// After the first signal: health fails this long before the listener closes
    #[arg(long, default_value = "0s", value_name = "TIME")]
    drain_delay: Micros,

    /// After that: open requests get this long
    #[arg(long, default_value = "60s", value_name = "TIME")]
    drain_timeout: Micros,

    /// Threads that serve; one for each core without it
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

/// Where a router listens; printed as one line when it does.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listening {
    schema: &'static str,
    listen: String,
    admin: String,
    /// `stored`, `grant_ended`, `missing` or `corrupt`: how the state came to be.
    state: &'static str,
}

/// How a router ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ended {
    /// Whether it ended at the second signal, cutting what was open.
    cut: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Report, Failure> {
    let config = config(args, context)?;
    let failed = |text: String| Failure::new(Code::RouterStart, Exit::Unavailable, text);
    let mut interrupts = signal(SignalKind::interrupt()).map_err(|e| failed(e.to_string()))?;
    let mut terminations = signal(SignalKind::terminate()).map_err(|e| failed(e.to_string()))?;
    let mut router = server::start(config).map_err(|error| {
        failed(error.to_string()).hint("choose other addresses with --listen and --admin")
    })?;
    announce(&router, context);
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
    }
    context.say("draining: open requests finish; a second signal ends now");
    let drain = router.drain();
    let cut = tokio::select! {
        () = async { drain.await; router.ended().await } => false,
        _ = interrupts.recv() => true,
        _ = terminations.recv() => true,
    };
    if cut {
        router.stop_now();
        router.ended().await;
    }
    let human = if cut { "ended at once" } else { "drained" };
    Ok(Report::new(Exit::Done, "orca.router-ended/v1", &Ended { cut }, human))
}

fn announce(router: &Running, context: &Context) {
    use crate::router::persist::Origin;
    let document = Listening {
        schema: "orca.router-listening/v1",
        listen: format!("http://{}", router.public),
        admin: format!("http://{}", router.admin),
        state: match router.origin {
            Origin::Stored => "stored",
            Origin::GrantEnded => "grant_ended",
            Origin::Missing => "missing",
            Origin::Corrupt(_) => "corrupt",
        },
    };
    if context.json {
        let mut line = serde_json::to_string(&document).expect("plain data always becomes JSON");
        line.push('\n');
        let mut stdout = std::io::stdout().lock();
        // A reader that has gone away must not stop traffic.
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    } else {
        context.say(format!("serving {}, admin API {}", document.listen, document.admin));
    }
}

fn config(args: Args, context: &Context) -> Result<RouterConfig, Failure> {
    let token = token(&args, context)?;
    context.redactor.learn(&testers::secret_of(&token));
    let tester_secrets = match &args.tester_secret_env {
        None => Vec::new(),
        Some(name) => {
            let secret = context.env.secret(name).ok_or_else(|| unset(name))?;
            vec![Digest::of(secret.expose().as_bytes())]
        }
    };
    let base = Upstream {
        deployment: args.base_deployment.unwrap_or_else(|| args.base.clone()),
        url: args.base,
        commit: args.base_commit,
        digest: args.base_digest,
    };
    let workers = args
        .workers
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    Ok(RouterConfig {
        listen: args.listen,
        admin: args.admin,
        base,
        state_file: context.folder.join(args.state),
        token,
        proxy: ProxySettings {
            split: SplitSettings {
                user_header: Some(args.user_header),
                tenant_header: Some(args.tenant_header),
                session_cookie: args.session_cookie,
                tester_header: args.tester_header,
                tester_secrets,
            },
            connect_timeout: args.connect_timeout.duration(),
            response_timeout: args.response_timeout.duration(),
            keep_alive: args.keep_alive.duration().max(limits::ROUTER_KEEP_ALIVE_MIN),
            health_path: args.own_health_path,
        },
        health: HealthSettings {
            path: args.health_path,
            interval: args.health_interval.duration().max(limits::ROUTER_HEALTH_INTERVAL_MIN),
            timeout: limits::ADMIN_CALL,
        },
        drain: DrainSettings {
            delay: args.drain_delay.duration(),
            limit: args.drain_timeout.duration(),
        },
        workers,
        clock: context.clock.clone(),
    })
}

fn token(args: &Args, context: &Context) -> Result<Secret, Failure> {
    let Some(file) = &args.token_file else {
        return context.env.secret(&args.token_env).ok_or_else(|| unset(&args.token_env));
    };
    let path = context.folder.join(file);
    let text = atomic_file::read_text(&path, limits::INPUT_FILE_BYTES_MAX).map_err(|error| {
        let text = format!("the admin token in {} could not be read: {error}", path.display());
        Failure::new(Code::AdminToken, Exit::Usage, text)
    })?;
    let token = text.trim();
    if token.is_empty() {
        let text = format!("the admin token in {} is empty", path.display());
        return Err(Failure::new(Code::AdminToken, Exit::Usage, text));
    }
    let token = Secret::new(token);
    context.redactor.learn(&token);
    Ok(token)
}

fn unset(name: &str) -> Failure {
    let text = format!("the variable {name} is not set or empty");
    Failure::new(Code::AdminToken, Exit::Usage, text)
        .hint(format!("export {name}=\"$(openssl rand -hex 32)\""))
}
