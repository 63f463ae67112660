//! What a run will do, checked before the first packet leaves: where to, which requests, how fast,
//! how long. Pure; a plan that exists is one that this machine can run.

use rustls::pki_types::ServerName;

use super::expect::Expect;
use super::request::Prepared;
use super::rows::Rows;
use super::shard::Shard;
use crate::base::clock::Timestamp;
use crate::base::units::{Micros, Rate};

/// No machine is asked for more than this: beyond it one measures itself.
pub(crate) const RATE_MAX: Rate = Rate::per_second(200_000);
/// Longest run.
pub(crate) const DURATION_MAX: Micros = Micros::from_secs(7 * 24 * 3_600);
/// Files that orca needs beside its connections.
const FILES_RESERVED: u64 = 64;
/// Largest sum of endpoint weights once their common divisor is taken out.
const WEIGHT_SUM_MAX: u64 = 10_000;
/// Most endpoints; each keeps its own histograms.
const ENDPOINTS_MAX: usize = 64;

/// A plan that cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("'{0}' is not an address that load can reach")]
    Target(String),
    #[error("{0} is the rate asked for")]
    RateZero(Rate),
    #[error("{0} is above the ceiling of {RATE_MAX} for one machine")]
    RateTooHigh(Rate),
    #[error("{asked} is above the ceiling of {ceiling} that the manifest sets")]
    RateOverManifest { asked: Rate, ceiling: Rate },
    #[error("a run of {0} is not between 100 ms and {DURATION_MAX}")]
    Duration(Micros),
    #[error("a timeout of {0} is not between 1 ms and 60 s")]
    Timeout(Micros),
    #[error("there is no endpoint to ask")]
    NoEndpoints,
    #[error("{0} endpoints are more than {ENDPOINTS_MAX}")]
    TooManyEndpoints(usize),
    #[error("endpoint '{name}': {what}")]
    Endpoint { name: String, what: String },
    #[error("{asked} connections need more open files than this process may have ({limit})")]
    Connections { asked: u32, limit: u64 },
    #[error("0 connections can send nothing")]
    NoConnections,
    #[error("{host} belongs to the environment '{environment}', which is marked production")]
    Production { host: String, environment: String },
}

impl PlanError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Target(_) => "write http://HOST:PORT/path or https://HOST/path".into(),
            Self::RateZero(_) => "ask for a rate such as --rate 100/s".into(),
            Self::RateTooHigh(_) => "lower --rate, or share it: --shard 1/4 and so on".into(),
            Self::RateOverManifest { .. } => {
                "lower --rate, or raise `rate_max` in the manifest".into()
            }
            Self::Duration(_) => "give a duration such as --duration 20s".into(),
            Self::Timeout(_) => "give a timeout such as --timeout 10s".into(),
            Self::NoEndpoints => "give --target with a path, or endpoints in the manifest".into(),
            Self::TooManyEndpoints(_) => "join endpoints that share an objective".into(),
            Self::Endpoint { .. } => "correct this endpoint in the manifest, or the flag".into(),
            Self::Connections { limit, .. } => {
                format!(
                    "use --connections {} or raise `ulimit -n`",
                    limit.saturating_sub(FILES_RESERVED)
                )
            }
            Self::NoConnections => "use --connections 64".into(),
            Self::Production { .. } => "add --allow-production if that is what you mean".into(),
        }
    }
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

impl Target {
    /// Reads `http://host:port/path` or `https://...` into the target and the path.
    pub(crate) fn parse(url: &str) -> Result<(Self, String), PlanError> {
        let wrong = || PlanError::Target(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        // What follows the last colon must be a port: `http::Uri` drops a wrong one silently.
        let tail = authority.as_str().strip_prefix(authority.host()).ok_or_else(wrong)?;
        let port = match tail.strip_prefix(':') {
            Some(text) => text.parse().ok().filter(|p| *p > 0).ok_or_else(wrong)?,
            None if is_tls => 443,
            None => 80,
        };
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Ok((Self { host: authority.host().to_owned(), port, is_tls }, path.to_owned()))
    }

    /// As it stands in the `Host` header.
    pub(crate) fn host_header(&self) -> String {
        match (self.port, self.is_tls) {
            (80, false) | (443, true) => self.host.clone(),
            (port, _) => format!("{}:{port}", self.host),
        }
    }

    /// The name that a certificate must carry.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned()).ok()
    }
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Its share of all requests, relative to the others.
    pub(crate) weight: u32,
    /// Whether asking it twice changes nothing for users; paired load touches only such ones.
    pub(crate) safe: bool,
    /// What a right answer looks like.
    pub(crate) expect: Expect,
    /// Values for `{{data.NAME}}` in path, headers and body.
    pub(crate) rows: Rows,
}

impl Endpoint {
    /// A plain GET of `path`.
    pub(crate) fn get(path: &str) -> Self {
        Self {
            name: format!("GET {path}"),
            method: "GET".into(),
            path: path.into(),
            headers: Vec::new(),
            body: String::new(),
            weight: 1,
            safe: true,
            expect: Expect::default(),
            rows: Rows::default(),
        }
    }

    fn check(&self) -> Result<(), PlanError> {
        let wrong = |what: &str| {
            Err(PlanError::Endpoint { name: self.name.clone(), what: what.to_owned() })
        };
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return wrong("its name is empty or holds control characters");
        }
        if http::Method::from_bytes(self.method.as_bytes()).is_err() || self.method == "CONNECT" {
            return wrong("its method is not one of HTTP's that load can send");
        }
        if !self.path.starts_with('/') || !self.path.bytes().all(|b| b.is_ascii_graphic()) {
            return wrong("its path must start with / and hold no spaces");
        }
        for (name, value) in &self.headers {
            let Ok(name) = http::HeaderName::from_bytes(name.as_bytes()) else {
                return wrong("a header name is not one");
            };
            if http::HeaderValue::from_str(value).is_err() {
                return wrong("a header value holds control characters");
            }
            if [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING].contains(&name) {
                return wrong("load itself sets Content-Length and Transfer-Encoding");
            }
        }
        if self.weight == 0 { wrong("a weight of 0 would never be asked") } else { Ok(()) }
    }
}

/// A part of the run: from one rate to another, in a straight line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) from: Rate,
    pub(crate) to: Rate,
    pub(crate) duration: Micros,
}

/// How requests come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Arrivals follow the schedule, whatever the target does.
    Open(Vec<Stage>),
    /// Each connection asks again as soon as it is answered.
    Closed { duration: Micros },
}

impl Shape {
    pub(crate) fn constant(rate: Rate, duration: Micros) -> Self {
        Self::Open(vec![Stage { from: rate, to: rate, duration }])
    }

    pub(crate) fn duration(&self) -> Micros {
        match self {
            Self::Closed { duration } => *duration,
            Self::Open(stages) => {
                Micros(stages.iter().fold(0, |sum, s| sum.saturating_add(s.duration.0)))
            }
        }
    }

    /// The mean rate asked for; nothing for a closed loop.
    pub(crate) fn mean_rate(&self) -> Option<Rate> {
        let Self::Open(stages) = self else { return None };
        let area: u128 = stages
            .iter()
            .map(|s| {
                (u128::from(s.from.milli_per_s) + u128::from(s.to.milli_per_s))
                    * u128::from(s.duration.0)
            })
            .sum();
        let mean = area.checked_div(2 * u128::from(self.duration().0))?;
        Some(Rate { milli_per_s: u64::try_from(mean).unwrap_or(u64::MAX) })
    }

    /// Whether each of so many machines can send its part.
    fn check(&self, machines: u32) -> Result<(), PlanError> {
        let duration = self.duration();
        if duration < Micros::from_millis(100) || duration > DURATION_MAX {
            return Err(PlanError::Duration(duration));
        }
        let Self::Open(stages) = self else { return Ok(()) };
        for stage in stages {
            if stage.duration.0 == 0 {
                return Err(PlanError::Duration(stage.duration));
            }
            let high = stage.from.max(stage.to);
            if high.milli_per_s / u64::from(machines.max(1)) > RATE_MAX.milli_per_s {
                return Err(PlanError::RateTooHigh(high));
            }
            if high.milli_per_s == 0 {
                return Err(PlanError::RateZero(high));
            }
        }
        Ok(())
    }
}

/// What is asked for, before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Draft {
    pub(crate) target: Target,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) shape: Shape,
    pub(crate) connections: u32,
    /// For one request, from its sending to the last byte.
    pub(crate) timeout: Micros,
    pub(crate) keep_alive: bool,
    /// Take any certificate.
    pub(crate) insecure: bool,
    pub(crate) http2: bool,
    /// Also measure how long connecting, TLS and the first byte take.
    pub(crate) phases: bool,
    /// Keep the histograms of every second and of service times: what merging needs.
    pub(crate) detailed: bool,
    pub(crate) shard: Shard,
    /// When the first request is due; at once when absent.
    pub(crate) start_at: Option<Timestamp>,
}

/// What this run may touch and use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bounds<'a> {
    /// Host and name of every environment marked production.
    pub(crate) production: &'a [(String, String)],
    pub(crate) allow_production: bool,
    /// How many files this process may open; nothing when unlimited.
    pub(crate) file_limit: Option<u64>,
}

/// A checked [`Draft`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadPlan(Draft);

impl std::ops::Deref for LoadPlan {
    type Target = Draft;
    fn deref(&self) -> &Draft {
        &self.0
    }
}

impl LoadPlan {
    pub(crate) fn new(draft: Draft, bounds: &Bounds<'_>) -> Result<Self, PlanError> {
        draft.shape.check(draft.shard.count())?;
        if draft.timeout < Micros::from_millis(1) || draft.timeout > Micros::from_secs(60) {
            return Err(PlanError::Timeout(draft.timeout));
        }
        match draft.endpoints.len() {
            0 => return Err(PlanError::NoEndpoints),
            1..=ENDPOINTS_MAX => {}
            more => return Err(PlanError::TooManyEndpoints(more)),
        }
        draft.endpoints.iter().try_for_each(Endpoint::check)?;
        for endpoint in &draft.endpoints {
            let wrong = |what| PlanError::Endpoint { name: endpoint.name.clone(), what };
            Prepared::new(endpoint, &draft).map_err(wrong)?;
        }
        if draft.target.is_tls && draft.target.server_name().is_none() {
            return Err(PlanError::Target(draft.target.host.clone()));
        }
        check_weights(&draft.endpoints)?;
        if draft.connections == 0 {
            return Err(PlanError::NoConnections);
        }
        if let Some(limit) = bounds.file_limit
            && u64::from(draft.connections) + FILES_RESERVED > limit
        {
            return Err(PlanError::Connections { asked: draft.connections, limit });
        }
        let host = draft.target.host.to_ascii_lowercase();
        let production = bounds.production.iter().find(|(h, _)| h.to_ascii_lowercase() == host);
        if let (Some((_, environment)), false) = (production, bounds.allow_production) {
            return Err(PlanError::Production { host, environment: environment.clone() });
        }
        Ok(Self(draft))
    }
}

/// The weights without their common divisor.
pub(crate) fn reduced_weights(endpoints: &[Endpoint]) -> Vec<u64> {
    let divisor = endpoints.iter().fold(0, |d, e| gcd(d, u64::from(e.weight))).max(1);
    endpoints.iter().map(|e| u64::from(e.weight) / divisor).collect()
}

fn check_weights(endpoints: &[Endpoint]) -> Result<(), PlanError> {
    let sum: u64 = reduced_weights(endpoints).iter().sum();
    if sum <= WEIGHT_SUM_MAX {
        return Ok(());
    }
    let heaviest = endpoints.iter().max_by_key(|e| e.weight).map(|e| e.name.clone());
    Err(PlanError::Endpoint {
        name: heaviest.unwrap_or_default(),
        what: format!("the weights add up to {sum}, more than {WEIGHT_SUM_MAX}"),
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(crate) mod tests;
