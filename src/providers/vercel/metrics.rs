//! Asks Vercel Observability how many requests there were, how many were good and how many fast.
//!
//! Each question is one `POST /metrics/v1` with a filter of its own, over times that begin and end
//! with a whole step, as Vercel's own client asks. The first two ask for what cannot be, to see that
//! filters are heeded. What makes every further question pointless (the
//! plan, the token, a limit, a query that is refused) ends the asking at once and is told once; a
//! limit is told again, and not run against, until its end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::client::{VercelClient, VercelError};
use super::metrics_answer::{Answers, COUNT, Counted, Proven, Range};
use crate::base::clock::{Clock, Timestamp};
use crate::base::retry::RetryBudget;
use crate::base::yaml::nearest_name;
use crate::gate::check::Unseen;
use crate::gate::verdict::Cause;
use crate::providers::http::{HttpError, Repeat};
use crate::slo::telemetry::{Gap, Observed, Telemetry, Wanted};
use crate::slo::vercel_query::{Filters, VercelQuery};

const QUERY: &str = "/metrics/v1";
const CATALOGUE: &str = "/v2/observability/schema";
/// Metrics that the catalogue lists begin like this; those of one's own are not in it.
const OF_THE_PLATFORM: &str = "vercel.";
/// Filters that nothing can pass: their name is nobody's.
const NOBODY: [&str; 2] =
    ["orca_asks_for_a_name_that_nobody_has:1", "orca_asks_for_a_name_that_nobody_has < 1000000000"];
/// Windows that are asked about at the same time.
const AT_ONCE: usize = 4;
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
    /// A limit, and when it ends.
    limited: Mutex<Option<(Timestamp, VercelError)>>,
}

/// Where the project is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    owner: String,
    project: String,
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
        let (unknown, limited) = (OnceCell::new(), Mutex::new(None));
        Self { name, client, query, clock, unknown, limited }
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

    /// Whether filters on a name that is not known are heeded: they find nothing, or are refused.
    /// Where such names are ignored, a misspelled filter would let every request in.
    async fn heeds_names(&self, place: &Place, range: Range) -> Result<bool, VercelError> {
        for nobody in NOBODY {
            match self.count(place, range, Some(nobody.to_owned())).await {
                Ok(Counted { count: Ok(0), .. }) | Err(VercelError::Refused { .. }) => {}
                Ok(Counted { count: Ok(_), .. }) => return Ok(false),
                Ok(Counted { count: Err(why), .. }) if why.cause == Cause::NoData => {}
                Ok(Counted { count: Err(why), .. }) => {
                    let what = format!("the count where {nobody}");
                    return Err(VercelError::Unreadable { what, cause: why.detail });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    async fn answers(
        &self,
        place: &Place,
        wanted: &Wanted,
        (filters, range): (&Filters, Range),
    ) -> Result<Answers, VercelError> {
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
        let (all, good, fast) = tokio::join!(ask(filters.all()), good, fast);
        Ok(Answers { all: all?, good: good?, fast: fast?, step: range.step })
    }

    /// The answer to each question: the first one alone, because it may end the asking.
    async fn all_answers<'a>(
        &self,
        place: &Place,
        wanted: &'a [Wanted],
        now: Timestamp,
    ) -> Result<Vec<(&'a Wanted, Answers)>, VercelError> {
        let of = |question: &'a Wanted| {
            let filters = self.query.scopes.get(&question.scope)?;
            Some((question, (filters, Range::of(now, question.window))))
        };
        let questions: Vec<_> = wanted.iter().filter_map(of).collect();
        let (first, more) = questions.split_at(questions.len().min(1));
        let mut all = Vec::with_capacity(questions.len());
        for some in std::iter::once(first).chain(more.chunks(AT_ONCE)) {
            let asked = some.iter().map(|(question, how)| self.answers(place, question, *how));
            for ((question, _), answers) in some.iter().zip(join_all(asked).await) {
                all.push((*question, answers?));
            }
        }
        Ok(all)
    }

    async fn ask(&self, wanted: &[Wanted]) -> Result<Observed, Unseen> {
        let place = match self.place().await {
            Ok(place) => place,
            Err(error) => return Err(self.unseen(error).await),
        };
        let now = self.clock.now();
        let longest = wanted.iter().map(|wanted| wanted.window).max().unwrap_or_default();
        match self.heeds_names(&place, Range::of(now, longest)).await {
            Ok(true) => {}
            Ok(false) => {
                let text = "Vercel counts requests by a filter on a name that nobody has: it would \
                            not notice a misspelled filter, and neither would orca";
                let next = "give --source with another one";
                return Err(Unseen::new(Cause::Unobserved, text, next));
            }
            Err(error) => return Err(self.unseen(error).await),
        }
        let answers = match self.all_answers(&place, wanted, now).await {
            Ok(answers) => answers,
            Err(error) => return Err(self.unseen(error).await),
        };
        let proofs: Vec<Proven> = answers
            .iter()
            .map(|(question, _)| {
                let same = answers.iter().filter(|(other, _)| other.scope == question.scope);
                Proven::by(same.map(|(_, answers)| answers))
            })
            .collect();
        let mut windows = Vec::with_capacity(answers.len());
        for ((question, answers), proven) in answers.into_iter().zip(proofs) {
            let nothing = answers.all.count.is_err();
            let mut seen = answers.window(question, proven);
            if let Some(unknown) = self.unknown_metric(nothing).await {
                let more = |gap: &mut Gap| gap.detail = format!("{}; {unknown}", gap.detail);
                seen.gaps.iter_mut().for_each(more);
            }
            windows.push(seen);
        }
        Ok(Observed::new(&self.name, windows))
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
        Counted::of(&answer.body, &range)
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

    /// A limit that was told and is not over yet.
    fn limit(&self) -> Option<VercelError> {
        let known = self.limited.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|(until, _)| self.clock.now() < *until).map(|(_, error)| error)
    }

    async fn unseen(&self, error: VercelError) -> Unseen {
        if let VercelError::Limited { until: Some(until), .. } = &error {
            let mut limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
            *limited = Some((*until, error.clone()));
        }
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
        match self.limit() {
            Some(limited) => Err(self.unseen(limited).await),
            None => self.ask(wanted).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::clock::Entropy;
    use crate::base::redact::Secret;

    #[tokio::test]
    async fn a_limit_is_told_again_until_its_end_and_nobody_is_asked() {
        let now = Timestamp::parse_rfc3339("2026-11-22T04:05:30Z").unwrap();
        let until = now.plus(Duration::from_mins(1));
        // Nobody listens there: whoever asks gets no answer, and no limit.
        let place = ("http://127.0.0.1:1", Secret::new("token"));
        let client = VercelClient::new(place, (None, "shop".to_owned()), Entropy::seeded(1));
        let query = VercelQuery {
            metric: "vercel.request.count".to_owned(),
            aggregation: "sum",
            scopes: BTreeMap::new(),
        };
        let clock = Clock::Frozen(now);
        let mut asked = VercelTelemetry::new("live".to_owned(), client.unwrap(), query, clock);
        assert_eq!(asked.limit(), None);
        let limited =
            VercelError::Limited { what: "the count".to_owned(), until: Some(until), wait: None };
        asked.unseen(limited.clone()).await;
        let told = asked.observe(&[]).await.unwrap_err();
        assert!(told.detail.contains("until 2026-11-22T04:06:30Z"), "{told:?}");
        asked.clock = Clock::Frozen(until);
        assert_eq!(asked.limit(), None, "it is over");
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
