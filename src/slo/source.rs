//! Sources of measurements, as the manifest names them: what to ask, and where.
//!
//! Every query carries `{window}`, which becomes the window at hand; one that divides each series by
//! itself, or takes a percentile of buckets that are not summed, is refused at its place.

use std::collections::BTreeMap;

use super::manifest::{Endpoint, Origin};
use super::promql;
use super::raw::{RawSource, RawSourceKind};
use super::sample::ALL;
use crate::base::units::Micros;
use crate::base::yaml::{InputError, Spanned};

/// The window of objectives that name none, unless the source says otherwise.
const WINDOW: Micros = Micros::from_secs(3_600);
const PLACEHOLDER: &str = "{window}";

/// Where measurements are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// Of objectives that name no window.
    pub(crate) window: Micros,
    pub(crate) kind: SourceKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceKind {
    Prometheus(Prometheus),
    /// A document that `orca slo check --out` wrote.
    File {
        path: String,
    },
}

/// A Prometheus server and what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prometheus {
    pub(crate) url: Address,
    /// The environment variable that holds a bearer token.
    pub(crate) token_env: Option<String>,
    /// By scope; each has at least one query.
    pub(crate) queries: BTreeMap<String, Queries>,
}

/// A URL, or the environment variable that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Url(String),
    Variable(String),
}

/// What is asked of one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queries {
    /// All requests of the window.
    pub(crate) total: Option<String>,
    /// Those that failed.
    pub(crate) errors: Option<String>,
    /// Cumulative buckets, summed `by (le)`.
    pub(crate) latency: Option<String>,
}

impl Queries {
    /// What orca's own router exports.
    fn of_router() -> Self {
        let users = |metric: &str, labels: &str| {
            format!("sum(increase({metric}{{source=\"users\"{labels}}}[{PLACEHOLDER}]))")
        };
        let (answers, faults) = ("orca_router_responses_total", "orca_router_faults_total");
        Self {
            // A body that broke has been counted as an answer; the client that left is no failure.
            total: Some(format!("{} + {}", users(answers, ""), users(faults, ",kind!=\"body\""))),
            errors: Some(format!(
                "{} + {}",
                users(answers, ",class=\"5xx\""),
                users(faults, ",kind!=\"abandoned\"")
            )),
            latency: Some(format!(
                "sum by (le) (increase(orca_router_latency_seconds_bucket\
                 {{source=\"users\"}}[{PLACEHOLDER}]))"
            )),
        }
    }
}

/// A query with its window in place.
pub(crate) fn over(query: &str, window: Micros) -> String {
    query.replace(PLACEHOLDER, &promql_duration(window))
}

/// A duration as Prometheus reads it.
pub(crate) fn promql_duration(window: Micros) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s")];
    let unit =
        UNITS.iter().find(|(scale, _)| window.0 >= *scale && window.0.is_multiple_of(*scale));
    match unit {
        Some((scale, unit)) => format!("{}{unit}", window.0 / scale),
        None => format!("{}ms", window.0.div_ceil(1_000)),
    }
}

pub(super) fn resolve(
    raw: &BTreeMap<String, Spanned<RawSource>>,
    endpoints: &[Endpoint],
    origin: &Origin<'_>,
) -> Result<BTreeMap<String, Source>, InputError> {
    raw.iter()
        .map(|(name, source)| Ok((name.clone(), resolve_one(name, source, endpoints, origin)?)))
        .collect()
}

fn resolve_one(
    name: &str,
    raw: &Spanned<RawSource>,
    endpoints: &[Endpoint],
    origin: &Origin<'_>,
) -> Result<Source, InputError> {
    let window = match &raw.value.window {
        None => WINDOW,
        Some(text) => origin.parse(text)?,
    };
    if window.0 == 0 {
        return Err(origin.error(raw, "no time at all").suggest("write a window such as 1h"));
    }
    let kind = match raw.value.kind {
        RawSourceKind::File => file(name, raw, origin)?,
        RawSourceKind::Prometheus | RawSourceKind::Router => {
            SourceKind::Prometheus(prometheus(name, raw, endpoints, origin)?)
        }
    };
    Ok(Source { name: name.to_owned(), window, kind })
}

fn file(
    name: &str,
    raw: &Spanned<RawSource>,
    origin: &Origin<'_>,
) -> Result<SourceKind, InputError> {
    let given = &raw.value;
    let asks = [&given.total, &given.errors, &given.latency];
    if given.url.is_some() || given.url_env.is_some() || asks.iter().any(|q| q.is_some()) {
        let message = format!("source '{name}' is a file and is not asked anything");
        return Err(origin.error(raw, message).suggest("write {type: file, path: seen.json}"));
    }
    let path = given.path.clone().ok_or_else(|| {
        origin
            .error(raw, format!("source '{name}' has no path"))
            .suggest("write {type: file, path: seen.json}")
    })?;
    Ok(SourceKind::File { path })
}

fn prometheus(
    name: &str,
    raw: &Spanned<RawSource>,
    endpoints: &[Endpoint],
    origin: &Origin<'_>,
) -> Result<Prometheus, InputError> {
    let given = &raw.value;
    let url = match (&given.url, &given.url_env) {
        (Some(url), None) if is_url(&url.value) => Address::Url(url.value.clone()),
        (Some(url), None) => {
            let message = format!("'{}' is not a URL", url.value);
            return Err(origin.error(url, message).suggest("write it whole: http://prom:9090"));
        }
        (None, Some(variable)) => Address::Variable(variable.clone()),
        _ => {
            let message = format!("source '{name}' has not one address");
            return Err(origin
                .error(raw, message)
                .suggest("write url: http://prom:9090, or url_env: PROMETHEUS_URL"));
        }
    };
    let mut queries = BTreeMap::new();
    let own = resolve_queries([&given.total, &given.errors, &given.latency], origin)?;
    let all = match given.kind {
        RawSourceKind::Router => Queries {
            total: own.total.or(Queries::of_router().total),
            errors: own.errors.or(Queries::of_router().errors),
            latency: own.latency.or(Queries::of_router().latency),
        },
        RawSourceKind::Prometheus | RawSourceKind::File => own,
    };
    if all != Queries::default() {
        queries.insert(ALL.to_owned(), all);
    }
    for (scope, of) in &given.endpoints {
        if !endpoints.iter().any(|endpoint| endpoint.name == *scope) {
            let message = format!("source '{name}' asks for '{scope}', which is no endpoint");
            return Err(origin.error(raw, message).suggest("name it under endpoints first"));
        }
        let texts = [&of.total, &of.errors, &of.latency];
        queries.insert(scope.clone(), resolve_queries(texts, origin)?);
    }
    if queries.is_empty() {
        let message = format!("source '{name}' asks nothing");
        return Err(origin
            .error(raw, message)
            .suggest("write total, errors and latency, or type: router for orca's own router"));
    }
    Ok(Prometheus { url, token_env: given.token_env.clone(), queries })
}

fn is_url(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        && !text.contains(['?', '#', ' '])
}

/// In the order total, errors, latency.
fn resolve_queries(
    [total, errors, latency]: [&Option<Spanned<String>>; 3],
    origin: &Origin<'_>,
) -> Result<Queries, InputError> {
    let checked = |query: &Option<Spanned<String>>| {
        query.as_ref().map(|query| checked_query(query, origin)).transpose()
    };
    let buckets = checked(latency)?;
    let percentile = |query: &&Spanned<String>| query.value.contains("histogram_quantile");
    if let Some(query) = latency.as_ref().filter(percentile) {
        return Err(origin
            .error(query, "latency asks for buckets, not for a percentile")
            .suggest("write sum by (le) (increase(METRIC_bucket[{window}]))"));
    }
    Ok(Queries { total: checked(total)?, errors: checked(errors)?, latency: buckets })
}

fn checked_query(query: &Spanned<String>, origin: &Origin<'_>) -> Result<String, InputError> {
    let text = query.value.trim();
    if let Some(mistake) = promql::mistake(text) {
        return Err(origin.error(query, mistake.problem).suggest(mistake.right));
    }
    if !text.contains(PLACEHOLDER) {
        return Err(origin
            .error(query, "the query names no {window}")
            .suggest("write the range as [{window}]: sum(increase(METRIC[{window}]))"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_as_prometheus_reads_them() {
        for (micros, expected) in
            [(7 * 86_400_000_000, "7d"), (5_400_000_000, "90m"), (1_500_000, "1500ms"), (1, "1ms")]
        {
            assert_eq!(promql_duration(Micros(micros)), expected);
        }
        assert_eq!(over("sum(increase(x[{window}]))", Micros(10_000_000)), "sum(increase(x[10s]))");
    }

    #[test]
    fn the_queries_of_the_router_make_no_mistake() {
        let queries = Queries::of_router();
        for query in [queries.total, queries.errors, queries.latency].into_iter().flatten() {
            assert_eq!(promql::mistake(&query), None, "{query}");
            assert!(query.contains(PLACEHOLDER), "{query}");
        }
    }
}
