//! Sources of measurements, as the manifest names them: what to ask, and where.
//!
//! Every query carries `{window}`, which becomes the window at hand; one that divides each series by
//! itself, or takes a percentile of buckets that are not summed, is refused at its place.

use std::collections::BTreeMap;

use super::manifest::{Endpoint, Origin};
use super::objective::span;
use super::promql;
use super::raw::{RawQueries, RawSource, RawSourceKind};
use super::sample::ALL;
use super::vercel_query::{self, VercelQuery};
use crate::base::units::Micros;
use crate::base::yaml::{InputError, Spanned};

/// The window of objectives that name none, unless the source says otherwise.
pub(crate) const WINDOW: Micros = Micros::from_secs(3_600);
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
    Vercel(VercelQuery),
    /// A result that `orca load --out` or `orca load merge --out` wrote.
    Load {
        path: String,
    },
    /// A document that `orca slo check --out` wrote.
    File {
        path: String,
    },
}

impl SourceKind {
    /// As the manifest writes it.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Prometheus(_) => "prometheus",
            Self::Vercel(_) => "vercel",
            Self::Load { .. } => "load",
            Self::File { .. } => "file",
        }
    }
}

impl Source {
    /// What it is asked, in lines for people.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let within =
            |text: &str| format!("{text}, over {} unless an objective says", span(self.window));
        match &self.kind {
            SourceKind::Prometheus(asked) => {
                let place = match &asked.url {
                    Address::Url(url) => url.clone(),
                    Address::Variable(variable) => format!("the address in {variable}"),
                };
                let queries = asked.queries.iter().flat_map(|(scope, queries)| {
                    let of = [
                        ("total", &queries.total),
                        ("errors", &queries.errors),
                        ("latency", &queries.latency),
                    ];
                    of.into_iter().filter_map(move |(what, query)| {
                        Some(format!("{scope}: {what}: {}", query.as_ref()?))
                    })
                });
                std::iter::once(within(&format!("Prometheus at {place}"))).chain(queries).collect()
            }
            SourceKind::Vercel(query) => {
                let counted = format!("Vercel: {} of {}", query.aggregation, query.metric);
                let scopes = query.scopes.iter().flat_map(|(scope, filters)| {
                    filters.sentences().into_iter().map(move |line| format!("{scope}: {line}"))
                });
                std::iter::once(within(&counted)).chain(scopes).collect()
            }
            SourceKind::Load { path } => {
                vec![format!("the load result {path}: the run is the window of every objective")]
            }
            SourceKind::File { path } => vec![within(&format!("what {path} holds"))],
        }
    }
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
            // A body that broke has been counted as an answer; the client that left is no failure. What
            // the router itself could not send failed its users, though no version.
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
    only_own_keys(name, raw, origin)?;
    let kind = match raw.value.kind {
        RawSourceKind::File => SourceKind::File { path: path(name, raw, origin)? },
        RawSourceKind::Load => SourceKind::Load { path: path(name, raw, origin)? },
        RawSourceKind::Vercel => {
            SourceKind::Vercel(vercel_query::resolve(name, raw, endpoints, origin)?)
        }
        RawSourceKind::Prometheus | RawSourceKind::Router => {
            SourceKind::Prometheus(prometheus(name, raw, endpoints, origin)?)
        }
    };
    Ok(Source { name: name.to_owned(), window, kind })
}

/// Refuses what a source of this type would not heed.
fn only_own_keys(
    name: &str,
    raw: &Spanned<RawSource>,
    origin: &Origin<'_>,
) -> Result<(), InputError> {
    use RawSourceKind::{File, Load, Prometheus, Router, Vercel};
    const ASKED: &[RawSourceKind] = &[Prometheus, Router];
    const KEPT: &[RawSourceKind] = &[File, Load];
    let given = &raw.value;
    let word = match given.kind {
        Prometheus => "prometheus",
        Router => "router",
        Vercel => "vercel",
        Load => "load",
        File => "file",
    };
    let any = |of: fn(&RawQueries) -> bool| given.endpoints.values().any(of);
    let keys: [(&str, bool, &[RawSourceKind]); 13] = [
        ("url", given.url.is_some(), ASKED),
        ("url_env", given.url_env.is_some(), ASKED),
        ("token_env", given.token_env.is_some(), ASKED),
        ("path", given.path.is_some(), KEPT),
        ("total", given.total.is_some() || any(|of| of.total.is_some()), ASKED),
        ("errors", given.errors.is_some() || any(|of| of.errors.is_some()), ASKED),
        ("latency", given.latency.is_some() || any(|of| of.latency.is_some()), ASKED),
        ("endpoints", !given.endpoints.is_empty(), &[Prometheus, Router, Vercel]),
        ("metric", given.metric.is_some(), &[Vercel]),
        ("aggregation", given.aggregation.is_some(), &[Vercel]),
        ("filter", given.filter.is_some() || any(|of| of.filter.is_some()), &[Vercel]),
        ("good", given.good.is_some() || any(|of| of.good.is_some()), &[Vercel]),
        ("fast", given.fast.is_some() || any(|of| of.fast.is_some()), &[Vercel]),
    ];
    let foreign =
        keys.iter().find(|(_, is_given, types)| *is_given && !types.contains(&given.kind));
    let Some((key, ..)) = foreign else { return Ok(()) };
    let own = keys.iter().filter(|(.., types)| types.contains(&given.kind)).map(|(key, ..)| *key);
    let own = own.collect::<Vec<_>>().join(", ");
    let message = format!("source '{name}' of type {word} has no use for `{key}`");
    Err(origin.error(raw, message).suggest(format!("remove `{key}`; type {word} knows {own}")))
}

fn path(name: &str, raw: &Spanned<RawSource>, origin: &Origin<'_>) -> Result<String, InputError> {
    let right = match raw.value.kind {
        RawSourceKind::Load => "write {type: load, path: load.json}",
        _ => "write {type: file, path: seen.json}",
    };
    let path = raw.value.path.clone();
    path.ok_or_else(|| origin.error(raw, format!("source '{name}' has no path")).suggest(right))
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
    let all = if given.kind == RawSourceKind::Router {
        let known = Queries::of_router();
        Queries {
            total: own.total.or(known.total),
            errors: own.errors.or(known.errors),
            latency: own.latency.or(known.latency),
        }
    } else {
        own
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
