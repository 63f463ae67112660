//! Joins the results of all shards of one run into the result of the run. Exact: histograms are
//! added bucket by bucket, so that the whole equals one histogram of all samples bit for bit.

use std::collections::BTreeMap;

use super::result::{EndpointResult, LoadResult, PhaseResult, Second};
use super::shard::{SHARDS_MAX, ShardRecord};
use super::slo_check;
use crate::base::histogram::{EncodedHistogram, Histogram, HistogramError};
use crate::base::units::{Micros, Rate};
use crate::gate::verdict::Verdict;

/// Shards that began further apart than this did not load the target together.
const START_SPREAD_US_MAX: u64 = 1_000_000;

/// Results that are not the shards of one run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error("{0} is the result of a whole run, not of a shard")]
    NoShard(String),
    #[error("{file} is shard {shard} of another plan than {first}")]
    Foreign { file: String, shard: String, first: String },
    #[error("{file} says it is shard {shard}")]
    NoSuchShard { file: String, shard: String },
    #[error("{file} and {other} are both shard {shard}")]
    Duplicate { file: String, other: String, shard: String },
    #[error("{missing} of {count} are missing")]
    Missing { missing: String, count: u32 },
    #[error("{file} began {apart} after the first shard")]
    Apart { file: String, apart: Micros },
    #[error("{file}: {cause}")]
    Histogram { file: String, cause: HistogramError },
    #[error("there is nothing to merge")]
    Nothing,
}

impl MergeError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NoShard(_) => "run it with --shard 1/2, 2/2 and so on",
            Self::Foreign { .. } => {
                "run every shard with the same manifest, profile, target and flags"
            }
            Self::NoSuchShard { .. } => "run this shard again; shards count from 1 to at most 1000",
            Self::Duplicate { .. } => "leave one of them out, or run with distinct --shard numbers",
            Self::Missing { .. } => "collect the results of all shards, or run them again together",
            Self::Apart { .. } => "give every shard the same --start-at, some seconds ahead",
            Self::Histogram { .. } => "run this shard again",
            Self::Nothing => "orca load merge s1.json s2.json",
        }
    }
}

/// A shard's result and the file it came from.
pub(crate) struct Part {
    pub(crate) file: String,
    pub(crate) result: LoadResult,
}

/// The result of the whole run, judged once.
pub(crate) fn merge(parts: &[Part]) -> Result<LoadResult, MergeError> {
    let records = check(parts)?;
    let first = &parts[0].result;
    let mut sum = Sum::default();
    for part in parts {
        sum.add(&part.result)
            .map_err(|cause| MergeError::Histogram { file: part.file.clone(), cause })?;
    }
    let asked = records[0].asked_milli_per_s;
    let policy = records[0].policy.clone();
    let merged = sum.result(first, asked, records[0].count);
    let judgement = slo_check::judge(&policy, &merged);
    Ok(merged.judged(judgement))
}

/// Whether these are all shards of one run, each once.
fn check(parts: &[Part]) -> Result<Vec<&ShardRecord>, MergeError> {
    let first = parts.first().ok_or(MergeError::Nothing)?;
    let mut records = Vec::with_capacity(parts.len());
    let mut files: BTreeMap<u32, &str> = BTreeMap::new();
    for part in parts {
        let Some(record) = &part.result.shard else {
            return Err(MergeError::NoShard(part.file.clone()));
        };
        records.push(record);
        let shard = format!("{}/{}", record.index, record.count);
        let is_of_one_run = record.plan == records[0].plan
            && record.count == records[0].count
            && part.result.interval_secs == first.result.interval_secs;
        if !is_of_one_run {
            let (file, first) = (part.file.clone(), first.file.clone());
            return Err(MergeError::Foreign { file, shard, first });
        }
        if !(1..=record.count.min(SHARDS_MAX)).contains(&record.index) {
            return Err(MergeError::NoSuchShard { file: part.file.clone(), shard });
        }
        if let Some(other) = files.insert(record.index, &part.file) {
            let (file, other) = (part.file.clone(), other.to_owned());
            return Err(MergeError::Duplicate { file, other, shard });
        }
    }
    let count = records[0].count;
    let missing: Vec<String> =
        (1..=count).filter(|i| !files.contains_key(i)).map(|i| i.to_string()).collect();
    if !missing.is_empty() {
        let missing = format!("shards {}", missing.join(", "));
        return Err(MergeError::Missing { missing, count });
    }
    let earliest = records.iter().map(|record| record.started_us).min().unwrap_or_default();
    for (part, record) in parts.iter().zip(&records) {
        let apart = record.started_us.abs_diff(earliest);
        if apart > START_SPREAD_US_MAX {
            return Err(MergeError::Apart { file: part.file.clone(), apart: Micros(apart) });
        }
    }
    Ok(records)
}

/// A histogram that grows by encoded ones.
#[derive(Default)]
struct Growing(Histogram);

impl Growing {
    fn add(&mut self, more: &EncodedHistogram) -> Result<(), HistogramError> {
        self.0.merge(&Histogram::try_from(more)?);
        Ok(())
    }
}

#[derive(Default)]
struct EndpointSum {
    requests: u64,
    errors: u64,
    dropped: u64,
    errors_by_kind: BTreeMap<String, u64>,
    latency: Growing,
    service: Growing,
}

#[derive(Default)]
struct PhaseSum {
    resumed: u64,
    connect: Growing,
    tls: Growing,
    first_byte: Growing,
}

#[derive(Default)]
struct SecondSum {
    requests: u64,
    errors: u64,
    latency: Growing,
}

/// Everything added up.
#[derive(Default)]
struct Sum {
    whole: EndpointSum,
    redirects: u64,
    cut_off: u64,
    cpu_us: u64,
    late_starts: u64,
    stood_still_us: u64,
    connections: u32,
    duration_us: u64,
    is_partial: bool,
    endpoints: BTreeMap<String, EndpointSum>,
    seconds: BTreeMap<u64, SecondSum>,
    phases: Option<PhaseSum>,
}

/// A file may say any number: one that is too large to be true stays the largest.
fn grow(own: &mut u64, more: u64) {
    *own = own.saturating_add(more);
}

fn add_kinds(own: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (kind, count) in more {
        grow(own.entry(kind.clone()).or_default(), *count);
    }
}

impl Sum {
    fn add(&mut self, part: &LoadResult) -> Result<(), HistogramError> {
        grow(&mut self.whole.requests, part.requests);
        grow(&mut self.whole.errors, part.errors);
        grow(&mut self.whole.dropped, part.dropped);
        add_kinds(&mut self.whole.errors_by_kind, &part.errors_by_kind);
        grow(&mut self.redirects, part.redirects);
        grow(&mut self.cut_off, part.cut_off);
        grow(&mut self.cpu_us, part.cpu_us);
        grow(&mut self.late_starts, part.late_starts);
        grow(&mut self.stood_still_us, part.stood_still_us);
        self.connections = self.connections.saturating_add(part.connections);
        self.duration_us = self.duration_us.max(part.duration_us);
        self.is_partial |= part.partial;
        for endpoint in &part.endpoints {
            let sum = self.endpoints.entry(endpoint.name.clone()).or_default();
            grow(&mut sum.requests, endpoint.requests);
            grow(&mut sum.errors, endpoint.errors);
            grow(&mut sum.dropped, endpoint.dropped);
            add_kinds(&mut sum.errors_by_kind, &endpoint.errors_by_kind);
            sum.latency.add(&endpoint.histogram)?;
            if let Some(service) = &endpoint.service_histogram {
                sum.service.add(service)?;
            }
        }
        for second in &part.seconds {
            let sum = self.seconds.entry(second.t).or_default();
            grow(&mut sum.requests, second.requests);
            grow(&mut sum.errors, second.errors);
            if let Some(latency) = &second.histogram {
                sum.latency.add(latency)?;
            }
        }
        if let Some(phases) = &part.phases {
            let sum = self.phases.get_or_insert_default();
            grow(&mut sum.resumed, phases.resumed);
            sum.connect.add(&phases.connect_histogram)?;
            sum.tls.add(&phases.tls_histogram)?;
            sum.first_byte.add(&phases.first_byte_histogram)?;
        }
        Ok(())
    }

    fn result(mut self, first: &LoadResult, asked: Option<u64>, shards: u32) -> LoadResult {
        for sum in self.endpoints.values() {
            self.whole.latency.0.merge(&sum.latency.0);
            self.whole.service.0.merge(&sum.service.0);
        }
        let rate = Rate::of(self.whole.requests, Micros(self.duration_us)).milli_per_s;
        let names = first.endpoints.iter().map(|endpoint| &endpoint.name);
        let endpoints = names.filter_map(|name| Some(endpoint(name, self.endpoints.get(name)?)));
        let seconds = self.seconds.iter().map(|(t, sum)| Second {
            t: *t,
            requests: sum.requests,
            errors: sum.errors,
            p50: sum.latency.0.quantile_us(5_000),
            p95: sum.latency.0.quantile_us(9_500),
            histogram: Some((&sum.latency.0).into()),
        });
        LoadResult {
            asked_milli_per_s: asked,
            connections: self.connections,
            requests: self.whole.requests,
            errors: self.whole.errors,
            dropped: self.whole.dropped,
            redirects: self.redirects,
            cut_off: self.cut_off,
            rate_per_s: rate.saturating_add(500) / 1_000,
            rate_milli_per_s: rate,
            latency_us: (&self.whole.latency.0).into(),
            service_time_us: (&self.whole.service.0).into(),
            latency_histogram: (&self.whole.latency.0).into(),
            endpoints: endpoints.collect(),
            seconds: seconds.collect(),
            duration_us: self.duration_us,
            cpu_us: self.cpu_us,
            late_starts: self.late_starts,
            // The share of the whole that stood still.
            stood_still_us: self.stood_still_us / u64::from(shards.max(1)),
            partial: self.is_partial,
            phases: self.phases.as_ref().map(phases),
            errors_by_kind: self.whole.errors_by_kind,
            shard: None,
            merged_shards: Some(shards),
            stopped_early: None,
            verdict: Verdict::NotApplicable,
            judgement: None,
            ..first.clone()
        }
    }
}

fn endpoint(name: &str, sum: &EndpointSum) -> EndpointResult {
    EndpointResult {
        name: name.to_owned(),
        requests: sum.requests,
        errors: sum.errors,
        errors_by_kind: sum.errors_by_kind.clone(),
        dropped: sum.dropped,
        latency_us: (&sum.latency.0).into(),
        service_time_us: (&sum.service.0).into(),
        histogram: (&sum.latency.0).into(),
        service_histogram: Some((&sum.service.0).into()),
    }
}

fn phases(sum: &PhaseSum) -> PhaseResult {
    PhaseResult {
        connections: sum.connect.0.count(),
        resumed: sum.resumed,
        connect_us: (&sum.connect.0).into(),
        tls_us: (&sum.tls.0).into(),
        first_byte_us: (&sum.first_byte.0).into(),
        connect_histogram: (&sum.connect.0).into(),
        tls_histogram: (&sum.tls.0).into(),
        first_byte_histogram: (&sum.first_byte.0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::tests::draft;
    use crate::load::plan::{Bounds, Draft, Endpoint, LoadPlan};
    use crate::load::recorder::{Failure, Outcome, Recorder};
    use crate::load::result::Raw;

    /// Shard `index` of three with these latencies, a failure each, in two endpoints.
    fn part(index: u32, latencies: &[u64]) -> Part {
        let endpoints = vec![Endpoint::get("/a"), Endpoint::get("/b")];
        let shard = format!("{index}/3").parse().unwrap();
        let draft = Draft { endpoints, shard, detailed: true, ..draft(80) };
        let plan = LoadPlan::new(draft, &Bounds::default()).unwrap();
        let mut recorder = Recorder::new(2);
        for (n, us) in latencies.iter().enumerate() {
            recorder.sent(n % 2);
            let outcome = Outcome { latency_us: *us, service_us: us / 2, answer: Ok(200) };
            recorder.ended(n % 2, outcome);
        }
        recorder.sent(0);
        let failed = Outcome { latency_us: 1, service_us: 1, answer: Err(Failure::Status5xx) };
        recorder.ended(0, failed);
        let counts = recorder.swap();
        let whole = crate::load::recorder::Counts::of_all(&counts);
        let raw = Raw {
            endpoints: counts,
            seconds: vec![Second::of(0, &whole).with_histogram(&whole.latency)],
            sending_us: 10_000_000,
            started_us: 1_000,
            ..Raw::default()
        };
        let policy = slo_check::Policy::default();
        let result = LoadResult::new(&plan, raw).of_shard(&plan, &policy);
        Part { file: format!("s{index}.json"), result }
    }

    #[test]
    fn the_whole_equals_one_histogram_of_all_samples_bit_for_bit() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut all = Histogram::default();
        let mut parts = Vec::new();
        for index in 1..=3 {
            // Also beyond the range, where values are clamped.
            let latencies: Vec<u64> = (0..5_000).map(|_| random.u64(1..70_000_000)).collect();
            for us in &latencies {
                all.record(*us);
            }
            parts.push(part(index, &latencies));
        }
        // As they come from files, in any order.
        for part in &mut parts {
            let bytes = serde_json::to_vec(&part.result).unwrap();
            part.result = LoadResult::parse(&bytes).unwrap();
        }
        parts.reverse();
        let merged = merge(&parts).unwrap();
        assert_eq!(merged.latency_histogram, EncodedHistogram::from(&all));
        assert_eq!(merged.latency_us, (&all).into());
        assert_eq!((merged.requests, merged.errors), (15_003, 3));
        assert_eq!(merged.endpoints.iter().map(|e| e.requests).sum::<u64>(), 15_003);
        assert_eq!(merged.seconds[0].histogram, Some(EncodedHistogram::from(&all)));
        assert_eq!((merged.merged_shards, merged.rate_per_s), (Some(3), 1_500));
        (parts[0].result.partial, parts[0].result.stood_still_us) = (true, 600_000);
        let stopped = merge(&parts).unwrap();
        assert_eq!((stopped.partial, stopped.stood_still_us), (true, 200_000));
        assert_eq!(stopped.verdict, Verdict::Inconclusive, "one part was stopped");
        parts[0].result.requests = u64::MAX;
        assert_eq!(merge(&parts).unwrap().requests, u64::MAX, "said, not computed");
    }

    #[test]
    fn what_is_not_the_whole_of_one_run_is_refused() {
        let of = |indexes: &[u32], change: fn(&mut Vec<Part>)| {
            let mut parts: Vec<Part> = indexes.iter().map(|i| part(*i, &[100])).collect();
            change(&mut parts);
            merge(&parts).unwrap_err().to_string()
        };
        assert_eq!(of(&[1, 3], |_| {}), "shards 2 of 3 are missing");
        for (index, count) in [(9, 2), (0, 3), (1_001, u32::MAX)] {
            let mut parts = vec![part(1, &[100])];
            let record = parts[0].result.shard.as_mut().unwrap();
            (record.index, record.count) = (index, count);
            let error = merge(&parts).unwrap_err().to_string();
            assert_eq!(error, format!("s1.json says it is shard {index}/{count}"));
        }
        assert_eq!(of(&[1, 2, 2], |_| {}), "s2.json and s2.json are both shard 2/3");
        assert_eq!(of(&[], |_| {}), "there is nothing to merge");
        let foreign = of(&[1, 2, 3], |p| p[2].result.shard.as_mut().unwrap().plan = "x".into());
        assert_eq!(foreign, "s3.json is shard 3/3 of another plan than s1.json");
        assert_eq!(of(&[1, 2, 3], |p| p[2].result.interval_secs = 2), foreign);
        let late = of(&[1, 2, 3], |p| p[1].result.shard.as_mut().unwrap().started_us = 1_002_000);
        assert!(late.starts_with("s2.json began 1"), "{late}");
        let mut parts: Vec<Part> = [1, 2, 3].iter().map(|i| part(*i, &[100])).collect();
        parts[2].result.shard = None;
        assert!(matches!(merge(&parts), Err(MergeError::NoShard(file)) if file == "s3.json"));
    }
}
