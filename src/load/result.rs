//! `orca.load/v1`: what a run found, for people, judges and later readers. Integers with units;
//! histograms inside, so that runs can be judged again and merged exactly.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{LoadPlan, Shape};
use super::recorder::{Counts, Phases};
use super::shard::{ShardRecord, plan_digest};
use super::slo_check::Policy;
use crate::base::histogram::{EncodedHistogram, Histogram};
use crate::base::units::{Micros, Rate};
use crate::gate::verdict::{Judgement, Verdict};

pub(crate) const SCHEMA: &str = "orca.load/v1";

/// How requests came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Model {
    /// By schedule, whatever the target did; latency counts from the due time.
    Open,
    /// As fast as answers came; latency counts from the sending.
    Closed,
}

/// Points of a latency distribution, in microseconds; all zero when nothing was timed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
    pub(crate) mean: u64,
}

impl From<&Histogram> for Percentiles {
    fn from(histogram: &Histogram) -> Self {
        Self {
            p50: histogram.quantile_us(5_000),
            p90: histogram.quantile_us(9_000),
            p95: histogram.quantile_us(9_500),
            p99: histogram.quantile_us(9_900),
            p999: histogram.quantile_us(9_990),
            max: histogram.max_us(),
            mean: histogram.mean_us(),
        }
    }
}

/// One endpoint's share of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EndpointResult {
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    pub(crate) dropped: u64,
    pub(crate) latency_us: Percentiles,
    pub(crate) service_time_us: Percentiles,
    /// Latencies from the due time.
    pub(crate) histogram: EncodedHistogram,
    /// Latencies from the sending; kept for merging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service_histogram: Option<EncodedHistogram>,
}

/// What ended within one second of the run; of a long run within several, `interval_secs` of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Second {
    /// Seconds since the start, of the first that it covers; 0 is the first of all.
    pub(crate) t: u64,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    /// Kept for merging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) histogram: Option<EncodedHistogram>,
}

/// One line of `orca.load-second/v1`: what ended in one second, endpoint by endpoint.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct StreamedSecond {
    schema: String,
    t: u64,
    endpoints: Vec<StreamedEndpoint>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct StreamedEndpoint {
    name: String,
    requests: u64,
    errors_by_kind: BTreeMap<String, u64>,
    dropped: u64,
    latency_us: Percentiles,
    histogram: EncodedHistogram,
}

impl StreamedSecond {
    pub(crate) fn line(t: u64, names: &[String], counts: &[Counts]) -> String {
        let endpoints = names.iter().zip(counts).map(|(name, counts)| StreamedEndpoint {
            name: name.clone(),
            requests: counts.ended,
            errors_by_kind: counts.failures.by_kind(),
            dropped: counts.dropped,
            latency_us: (&counts.latency).into(),
            histogram: (&counts.latency).into(),
        });
        let schema = "orca.load-second/v1".to_owned();
        let line = Self { schema, t, endpoints: endpoints.collect() };
        serde_json::to_string(&line).expect("a second is plain data")
    }
}

impl Second {
    #[must_use]
    pub(crate) fn with_histogram(self, latency: &Histogram) -> Self {
        Self { histogram: Some(latency.into()), ..self }
    }

    pub(crate) fn of(t: u64, counts: &Counts) -> Self {
        Self {
            t,
            requests: counts.ended,
            errors: counts.failures.total(),
            p50: counts.latency.quantile_us(5_000),
            p95: counts.latency.quantile_us(9_500),
            histogram: None,
        }
    }
}

/// How long the phases of requests took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PhaseResult {
    /// Connections opened.
    pub(crate) connections: u64,
    /// TLS sessions taken up again instead of agreed on anew.
    pub(crate) resumed: u64,
    pub(crate) connect_us: Percentiles,
    /// All zero without TLS.
    pub(crate) tls_us: Percentiles,
    /// From the sending to the first byte of the answer.
    pub(crate) first_byte_us: Percentiles,
    pub(crate) connect_histogram: EncodedHistogram,
    pub(crate) tls_histogram: EncodedHistogram,
    pub(crate) first_byte_histogram: EncodedHistogram,
}

impl From<&Phases> for PhaseResult {
    fn from(phases: &Phases) -> Self {
        Self {
            connections: phases.connect.count(),
            resumed: phases.resumed,
            connect_us: (&phases.connect).into(),
            tls_us: (&phases.tls).into(),
            first_byte_us: (&phases.first_byte).into(),
            connect_histogram: (&phases.connect).into(),
            tls_histogram: (&phases.tls).into(),
            first_byte_histogram: (&phases.first_byte).into(),
        }
    }
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadResult {
    pub(crate) schema: String,
    /// Host and port that were asked.
    pub(crate) target: String,
    pub(crate) model: Model,
    /// Mean rate that was asked for, in thousandths of a request per second; absent when closed.
    pub(crate) asked_milli_per_s: Option<u64>,
    pub(crate) connections: u32,
    /// Sent.
    pub(crate) requests: u64,
    /// Failed of those sent.
    pub(crate) errors: u64,
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    /// Due but never sent: as bad as failed.
    pub(crate) dropped: u64,
    /// Right answers with a status of 300 to 399 other than 304.
    #[serde(default)]
    pub(crate) redirects: u64,
    /// Only where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) phases: Option<PhaseResult>,
    /// Sent, and unanswered when the run was cancelled; only a partial run has any.
    pub(crate) cut_off: u64,
    /// Achieved: sent in the planned time, rounded; exact in `rate_milli_per_s`.
    pub(crate) rate_per_s: u64,
    pub(crate) rate_milli_per_s: u64,
    /// From when a request was due (open) or sent (closed) to its last byte.
    pub(crate) latency_us: Percentiles,
    /// From when a request was sent to its last byte.
    pub(crate) service_time_us: Percentiles,
    pub(crate) latency_histogram: EncodedHistogram,
    pub(crate) endpoints: Vec<EndpointResult>,
    pub(crate) seconds: Vec<Second>,
    /// How many seconds each of `seconds` covers.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) interval_secs: u64,
    /// How long requests were sent, in microseconds.
    pub(crate) duration_us: u64,
    /// CPU time that this process used meanwhile.
    pub(crate) cpu_us: u64,
    /// Requests that this machine itself sent over 10 ms after they were due.
    pub(crate) late_starts: u64,
    /// How long this machine itself stood still, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) stood_still_us: u64,
    /// Resolution of the clock that wakes senders.
    pub(crate) timer: String,
    /// Stopped before its time.
    pub(crate) partial: bool,
    /// Why it was stopped although nobody asked for it: a breach was certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_early: Option<String>,
    /// When the first request was due, in microseconds since 1970; 0 in results of older versions.
    #[serde(default)]
    pub(crate) started_us: i64,
    /// Which part of a larger run this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shard: Option<ShardRecord>,
    /// From how many shards this was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) merged_shards: Option<u32>,
    /// `not_applicable` without objectives.
    pub(crate) verdict: Verdict,
    /// Absent without objectives.
    pub(crate) judgement: Option<Judgement>,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(secs: &u64) -> bool {
    *secs == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(us: &u64) -> bool {
    *us == 0
}

/// What the driver brings back, before it is put in order.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) endpoints: Vec<Counts>,
    pub(crate) seconds: Vec<Second>,
    /// How many seconds each of them covers; 0 is taken as 1.
    pub(crate) interval_secs: u64,
    pub(crate) sending_us: u64,
    pub(crate) cpu_us: u64,
    pub(crate) late_starts: u64,
    pub(crate) stood_still_us: u64,
    pub(crate) timer: &'static str,
    pub(crate) partial: bool,
    pub(crate) stopped_early: Option<String>,
    pub(crate) started_us: i64,
}

impl LoadResult {
    pub(crate) fn new(plan: &LoadPlan, raw: Raw) -> Self {
        let whole = Counts::of_all(&raw.endpoints);
        let rate = Rate::of(whole.requests, Micros(raw.sending_us));
        let endpoints =
            plan.endpoints.iter().zip(&raw.endpoints).map(|(endpoint, counts)| EndpointResult {
                name: endpoint.name.clone(),
                requests: counts.requests,
                errors: counts.failures.total(),
                errors_by_kind: counts.failures.by_kind(),
                dropped: counts.dropped,
                latency_us: (&counts.latency).into(),
                service_time_us: (&counts.service).into(),
                histogram: (&counts.latency).into(),
                service_histogram: plan.detailed.then(|| (&counts.service).into()),
            });
        Self {
            schema: SCHEMA.to_owned(),
            target: format!("{}:{}", plan.target.host, plan.target.port),
            model: match plan.shape {
                Shape::Open(_) => Model::Open,
                Shape::Closed { .. } => Model::Closed,
            },
            asked_milli_per_s: plan
                .shape
                .mean_rate()
                .map(|rate| rate.milli_per_s / u64::from(plan.shard.count())),
            connections: plan.connections,
            requests: whole.requests,
            errors: whole.failures.total(),
            errors_by_kind: whole.failures.by_kind(),
            dropped: whole.dropped,
            redirects: whole.redirects,
            phases: whole.phases.as_deref().map(PhaseResult::from),
            cut_off: whole.requests.saturating_sub(whole.ended),
            rate_per_s: rate.milli_per_s.saturating_add(500) / 1_000,
            rate_milli_per_s: rate.milli_per_s,
            latency_us: (&whole.latency).into(),
            service_time_us: (&whole.service).into(),
            latency_histogram: (&whole.latency).into(),
            endpoints: endpoints.collect(),
            seconds: raw.seconds,
            interval_secs: raw.interval_secs.max(1),
            duration_us: raw.sending_us,
            cpu_us: raw.cpu_us,
            late_starts: raw.late_starts,
            stood_still_us: raw.stood_still_us,
            timer: raw.timer.to_owned(),
            partial: raw.partial,
            stopped_early: raw.stopped_early,
            started_us: raw.started_us,
            shard: None,
            merged_shards: None,
            verdict: Verdict::NotApplicable,
            judgement: None,
        }
    }

    /// Reads a result from its JSON. The error is one sentence.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let result: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if result.schema == SCHEMA {
            Ok(result)
        } else {
            Err(format!("unknown schema '{}'; this orca reads {SCHEMA}", result.schema))
        }
    }

    /// Marks it as a part of the plan, which is judged as a whole.
    #[must_use]
    pub(crate) fn of_shard(mut self, plan: &LoadPlan, policy: &Policy) -> Self {
        self.shard = Some(ShardRecord {
            index: plan.shard.index(),
            count: plan.shard.count(),
            plan: plan_digest(plan, policy),
            started_us: self.started_us,
            asked_milli_per_s: plan.shape.mean_rate().map(|rate| rate.milli_per_s),
            policy: policy.clone(),
        });
        self
    }

    #[must_use]
    pub(crate) fn judged(mut self, judgement: Judgement) -> Self {
        self.verdict = judgement.verdict;
        self.judgement = Some(judgement);
        self
    }
}
