//! Asks Vercel Observability how many requests there were, how many were good and how many fast.
//!
//! Each question is one `POST /metrics/v1` with a filter of its own, over times that begin and end
//! with a whole step, as Vercel's own client asks. The first one asks for what cannot be, to see that
//! filters are heeded. What makes every further question pointless (the
//! plan, the token, a limit, a query that is refused) ends the asking at once and is told once.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::client::{VercelClient, VercelError};
use super::metrics_answer::{Answers, COUNT, Counted};
use crate::base::clock::{Clock, Timestamp};
use crate::base::retry::RetryBudget;
use crate::base::units::Micros;
use crate::base::yaml::nearest_name;
use crate::gate::check::Unseen;
use crate::gate::verdict::Cause;
use crate::providers::http::{HttpError, Repeat};
use crate::slo::telemetry::{Observed, Telemetry, Wanted, WindowSeen};
use crate::slo::vercel_query::{Filters, VercelQuery, step};

const QUERY: &str = "/metrics/v1";
const CATALOGUE: &str = "/v2/observability/schema";
/// Metrics that the catalogue lists begin like this; those of one's own are not in it.
const OF_THE_PLATFORM: &str = "vercel.";
/// A filter that nothing can pass: its name is nobody's.
const NOBODY: &str = "orca_asks_for_a_name_that_nobody_has:1";
/// Most metrics that are named as near to an unknown one.
const NEAR_MAX: usize = 4;
/// A question changes nothing. A limit is obeyed once, and never run against again.
const ONCE_AGAIN: RetryBudget = RetryBudget {
    tries: 2,
    first_wait: Duration::from_millis(500),
    wait_max: Duration::from_secs(1),
};

/// A project's observability with what it is asked.
#[derive(Debug)]
pub(crate) struct VercelTelemetry {
    /// Of the source in the manifest.
    name: String,
    client: VercelClient,
    query: VercelQuery,
    clock: Clock,
    /// That Vercel does not list the metric, and what it lists near it.
    unknown: OnceCell<Option<String>>,
}

/// Where the project is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    owner: String,
    project: String,
}

/// Whole steps that hold a window which ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: Timestamp,
    end: Timestamp,
    step: Micros,
    /// Of it until now.
    past: Micros,
}

impl Range {
    fn of(now: Timestamp, window: Micros) -> Self {
        let step = step(window);
        let whole = |us: i64| us - us.rem_euclid(step.as_i64());
        let start = whole(now.as_us().saturating_sub(window.as_i64()));
        let end = whole(now.as_us().saturating_add(step.as_i64() - 1));
        let past = u64::try_from(now.as_us().saturating_sub(start)).unwrap_or(0);
        Self {
            start: Timestamp::from_us(start),
            end: Timestamp::from_us(end),
            step,
            past: Micros(past),
        }
    }
}

#[derive(Deserialize)]
struct Catalogue {
    metrics: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

impl VercelTelemetry {
    /// `name` is that of the source in the manifest.
    pub(crate) fn new(
        name: String,
        client: VercelClient,
        query: VercelQuery,
        clock: Clock,
    ) -> Self {
        Self { name, client, query, clock, unknown: OnceCell::new() }
    }

    async fn place(&self) -> Result<Place, VercelError> {
        let (team, project) = (&self.client.team, &self.client.project);
        if let Some(owner) = team.as_ref().filter(|team| team.starts_with("team_"))
            && project.starts_with("prj_")
        {
            return Ok(Place { owner: owner.clone(), project: project.clone() });
        }
        let found = self.client.project().await?;
        if found.account_id.is_empty() {
            let (what, cause) = ("the project".to_owned(), "it has no accountId".to_owned());
            return Err(VercelError::Unreadable { what, cause });
        }
        Ok(Place { owner: found.account_id, project: found.id })
    }

    /// Whether a filter on a name that is not known is heeded: it finds nothing, or is refused. Where
    /// such names are ignored, a misspelled filter would let every request in.
    async fn heeds_names(&self, place: &Place) -> Result<bool, VercelError> {
        let range = Range::of(self.clock.now(), Micros::from_secs(3_600));
        match self.count(place, range, Some(NOBODY.to_owned())).await {
            Ok(counted) => Ok(counted.count.unwrap_or(0) == 0),
            Err(VercelError::Refused { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn window(
        &self,
        place: &Place,
        wanted: &Wanted,
        filters: &Filters,
    ) -> Result<WindowSeen, VercelError> {
        let range = Range::of(self.clock.now(), wanted.window);
        let ask = |filter: Option<String>| self.count(place, range, filter);
        let good = async {
            match filters.good() {
                Some(filter) => ask(Some(filter)).await.map(Some),
                None => Ok(None),
            }
        };
        let fast = async {
            let mut counts = Vec::with_capacity(wanted.limits_us.len());
            for limit_us in &wanted.limits_us {
                let Some(filter) = filters.fast(*limit_us) else {
                    return Ok::<_, VercelError>(None);
                };
                counts.push((*limit_us, ask(Some(filter)).await?));
            }
            Ok(Some(counts))
        };
        // At the same time, so that hardly a request arrives in between.
        let (all, good, fast) = tokio::join!(ask(filters.all()), good, fast);
        let all = all?;
        let nothing = all.count.is_err();
        let answers =
            Answers { all, good: good?, fast: fast?, step: range.step, asked: range.past };
        let mut seen = answers.window(wanted);
        if let Some(unknown) = self.unknown_metric(nothing).await {
            seen.gaps.iter_mut().for_each(|gap| gap.detail = format!("{}; {unknown}", gap.detail));
        }
        Ok(seen)
    }

    async fn count(
        &self,
        place: &Place,
        range: Range,
        filter: Option<String>,
    ) -> Result<Counted, VercelError> {
        let what = match &filter {
            Some(filter) => format!("the count where {filter}"),
            None => "the count of all requests".to_owned(),
        };
        let mut body = json!({
            "scope": {"ownerId": place.owner, "projectIds": [place.project]},
            "timeRange": {"start": range.start.rfc3339(), "end": range.end.rfc3339()},
            "bucketSeconds": range.step.0 / 1_000_000,
            "metrics": {
                COUNT: {"metric": self.query.metric, "aggregation": self.query.aggregation},
            },
            "outputs": [COUNT],
        });
        if let Some(filter) = filter {
            body["filter"] = Value::from(filter);
        }
        let mut call = self.client.call(http::Method::POST, QUERY, &[]);
        call.json = Some(body.to_string().into_bytes());
        call.repeat = Repeat::Safe(ONCE_AGAIN);
        let answer = self.client.send(&call, &what).await?;
        Counted::of(&answer.body)
            .map_err(|error| VercelError::Unreadable { what, cause: error.to_string() })
    }

    /// That Vercel does not list the metric, where that may be the reason; asked once.
    async fn unknown_metric(&self, is_suspected: bool) -> Option<&str> {
        let metric = self.query.metric.as_str();
        if !is_suspected || !metric.starts_with(OF_THE_PLATFORM) {
            return None;
        }
        let asked = self.unknown.get_or_init(|| async {
            let mut call = self.client.call(http::Method::GET, CATALOGUE, &[]);
            call.repeat = Repeat::Safe(ONCE_AGAIN);
            let answer = self.client.send(&call, "the list of metrics").await.ok()?;
            let listed: Catalogue = serde_json::from_slice(&answer.body).ok()?;
            let ids: Vec<&str> = listed.metrics.iter().map(|listed| listed.id.as_str()).collect();
            unlisted(metric, &ids)
        });
        asked.await.as_deref()
    }

    async fn unseen(&self, error: VercelError) -> Unseen {
        let refused = matches!(error, VercelError::Refused { .. });
        let (cause, next) = why(&error, &self.name);
        let detail = match self.unknown_metric(refused).await {
            Some(unknown) => format!("{error}; {unknown}"),
            None => error.to_string(),
        };
        Unseen::new(cause, detail, next)
    }
}

/// What keeps Vercel from answering, and what to do about it.
fn why(error: &VercelError, source: &str) -> (Cause, String) {
    let (cause, next) = match error {
        VercelError::NotInPlan { .. } => (
            Cause::Unobserved,
            "these counts are part of Observability Plus: switch it on for the team, or give \
             --source with another one"
                .to_owned(),
        ),
        VercelError::NoAccess { .. } => (
            Cause::Denied,
            "see that VERCEL_TOKEN may read the metrics of the team in VERCEL_ORG_ID".to_owned(),
        ),
        VercelError::Limited { .. } => {
            (Cause::Unobserved, "run it again after the limit's end, and less often".to_owned())
        }
        VercelError::NotFound { .. } => {
            (Cause::Unobserved, "see VERCEL_PROJECT_ID and VERCEL_ORG_ID".to_owned())
        }
        VercelError::Refused { .. } | VercelError::Conflict { .. } => (
            Cause::Unobserved,
            format!(
                "correct metric, aggregation and filters of source '{source}'; `vercel metrics \
                 schema METRIC` lists what they may name"
            ),
        ),
        VercelError::Http(HttpError::Timeout { .. }) => {
            (Cause::Timeout, "run it again, or over a shorter window".to_owned())
        }
        VercelError::Http(_) | VercelError::Down { .. } => {
            (Cause::Unobserved, "see https://www.vercel-status.com, then run it again".to_owned())
        }
        VercelError::Unreadable { .. } => {
            (Cause::Unobserved, "a newer orca may know this answer".to_owned())
        }
    };
    (cause, next)
}

/// That none of `ids` is the metric, and which are near it.
fn unlisted(metric: &str, ids: &[&str]) -> Option<String> {
    if ids.contains(&metric) {
        return None;
    }
    let family = metric.rsplit_once('.').map_or(metric, |(family, _)| family);
    let nearest = nearest_name(metric, ids.iter().copied());
    let related = ids.iter().copied().filter(|id| id.starts_with(family));
    let mut near: Vec<&str> = nearest.into_iter().collect();
    near.extend(related.filter(|id| nearest != Some(*id)));
    near.truncate(NEAR_MAX);
    let near = if near.is_empty() { "nothing".to_owned() } else { near.join(", ") };
    Some(format!("Vercel lists no metric '{metric}'; near it: {near}"))
}

#[async_trait]
impl Telemetry for VercelTelemetry {
    fn tells(&self, scope: &str) -> bool {
        self.query.scopes.contains_key(scope)
    }

    async fn observe(&self, wanted: &[Wanted]) -> Result<Observed, Unseen> {
        let place = match self.place().await {
            Ok(place) => place,
            Err(error) => return Err(self.unseen(error).await),
        };
        match self.heeds_names(&place).await {
            Ok(true) => {}
            Ok(false) => {
                let text = "Vercel counts requests by a filter on a name that nobody has: it would \
                            not notice a misspelled filter, and neither would orca";
                let next = "give --source with another one";
                return Err(Unseen::new(Cause::Unobserved, text, next));
            }
            Err(error) => return Err(self.unseen(error).await),
        }
        let mut windows = Vec::with_capacity(wanted.len());
        for question in wanted {
            let Some(filters) = self.query.scopes.get(&question.scope) else { continue };
            match self.window(&place, question, filters).await {
                Ok(seen) => windows.push(seen),
                Err(error) => return Err(self.unseen(error).await),
            }
        }
        Ok(Observed::new(&self.name, windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_whole_steps_around_the_window() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let now = at("2026-11-22T04:05:30Z");
        let hour = Range::of(now, Micros::from_secs(3_600));
        assert_eq!(
            (hour.start, hour.end),
            (at("2026-11-22T03:05:00Z"), at("2026-11-22T04:06:00Z"))
        );
        assert_eq!((hour.step, hour.past), (Micros::from_secs(60), Micros::from_secs(3_630)));
        let month = Range::of(now, Micros::from_secs(30 * 86_400));
        assert_eq!(
            (month.start, month.end),
            (at("2026-10-23T04:00:00Z"), at("2026-11-22T08:00:00Z"))
        );
        let even = Range::of(at("2026-11-22T04:05:00Z"), Micros::from_secs(300));
        assert_eq!(
            (even.start, even.end),
            (at("2026-11-22T04:00:00Z"), at("2026-11-22T04:05:00Z"))
        );
    }

    #[test]
    fn an_unknown_metric_comes_with_those_near_it() {
        let ids = ["vercel.request.count", "vercel.request.bytes", "vercel.cache.hits"];
        assert_eq!(unlisted("vercel.request.count", &ids), None);
        let text = unlisted("vercel.request.cuont", &ids).unwrap();
        assert!(text.ends_with("near it: vercel.request.count, vercel.request.bytes"), "{text}");
        assert!(unlisted("x", &[]).unwrap().ends_with("near it: nothing"));
    }
}
