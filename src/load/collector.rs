//! Joins what the workers report: seconds as they end, totals at the end. Merging is exact.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use tokio_util::sync::CancellationToken;

use super::driver::{LoadError, TIMER};
use super::intervals::Intervals;
use super::outlook::{Outlook, Standing};
use super::plan::LoadPlan;
use super::recorder::Counts;
use super::result::{Raw, Second, StreamedSecond};
use super::slo_check::{Policy, nothing_but};

/// What a worker says.
#[derive(Debug)]
pub(crate) enum FromWorker {
    Second { t: u64, counts: Vec<Counts> },
    Done { late_starts: u64, stood_still_us: u64, cancelled_at: Option<Instant> },
    Broken(String),
}

/// Who looks on while a run is under way.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) progress: Option<UnboundedSender<Progress>>,
    /// Each second as a line of JSON, endpoint by endpoint.
    pub(crate) lines: Option<UnboundedSender<String>>,
    /// What the run is judged by; it ends as soon as a breach is certain.
    pub(crate) judge_by: Option<Policy>,
    /// It does not end early.
    pub(crate) keep_going: bool,
}

/// A target of which nothing is heard for so long from the start on is not there.
const SILENCE_SECS: u64 = 3;

/// The microseconds of a run at the end of its second `t`.
fn after(t: u64) -> u64 {
    (t + 1).saturating_mul(1_000_000)
}

/// Live news, once a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) second: Second,
    pub(crate) dropped: u64,
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    /// Where there is something to judge by.
    pub(crate) standing: Option<Standing>,
    /// Ended so far.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
}

fn merge(own: &mut [Counts], more: &[Counts]) {
    own.iter_mut().zip(more).for_each(|(own, more)| own.merge(more));
}

pub(crate) struct Collector {
    workers: u32,
    watch: Watch,
    outlook: Option<Outlook>,
    /// Set once a breach is certain.
    stopped_early: Option<String>,
    stop: CancellationToken,
    /// Seconds that not every worker has reported yet, with how many have.
    waiting: BTreeMap<u64, (u32, Vec<Counts>)>,
    intervals: Intervals,
    requests: u64,
    errors: u64,
    dropped: u64,
    names: Vec<String>,
    counts: Vec<Counts>,
    late_starts: u64,
    stood_still_us: u64,
    done: u32,
    cancelled_at: Option<Instant>,
}

impl Collector {
    /// `stop` ends the run when a breach is certain.
    pub(crate) fn new(
        plan: &LoadPlan,
        workers: u32,
        mut watch: Watch,
        stop: CancellationToken,
    ) -> Self {
        let policy = watch.judge_by.take().filter(|policy| !policy.is_empty());
        let outlook = policy.map(|policy| Outlook::new(plan, policy));
        Self {
            workers,
            watch,
            outlook,
            stopped_early: None,
            stop,
            waiting: BTreeMap::new(),
            intervals: Intervals::new(plan),
            requests: 0,
            errors: 0,
            dropped: 0,
            names: plan.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
            counts: plan.endpoints.iter().map(|_| Counts::default()).collect(),
            late_starts: 0,
            stood_still_us: 0,
            done: 0,
            cancelled_at: None,
        }
    }

    pub(crate) fn take(&mut self, message: FromWorker) -> Result<(), LoadError> {
        match message {
            FromWorker::Broken(why) => return Err(LoadError::Worker(why)),
            FromWorker::Second { t, counts } => {
                match self.waiting.entry(t) {
                    Entry::Vacant(place) => {
                        place.insert((1, counts));
                    }
                    Entry::Occupied(mut place) => {
                        let (reported, waiting) = place.get_mut();
                        *reported += 1;
                        merge(waiting, &counts);
                    }
                }
                self.close_seconds(false);
            }
            FromWorker::Done { late_starts, stood_still_us, cancelled_at } => {
                self.done += 1;
                self.late_starts += late_starts;
                self.stood_still_us = self.stood_still_us.max(stood_still_us);
                self.cancelled_at = self.cancelled_at.max(cancelled_at);
            }
        }
        Ok(())
    }

    /// Closes seconds from the earliest on, as far as all workers have reported them.
    fn close_seconds(&mut self, all: bool) {
        while let Some(first) = self.waiting.first_entry() {
            if !all && first.get().0 < self.workers {
                return;
            }
            let (t, (_, counts)) = first.remove_entry();
            merge(&mut self.counts, &counts);
            let whole = Counts::of_all(&counts);
            if all && whole.ended == 0 {
                continue;
            }
            let second = self.intervals.row(t, &whole);
            self.requests += second.requests;
            self.errors += second.errors;
            self.dropped += whole.dropped;
            if let Some(progress) = &self.watch.progress {
                let _ = progress.send(Progress {
                    second,
                    requests: self.requests,
                    errors: self.errors,
                    dropped: self.dropped,
                    errors_by_kind: Counts::failures_of_all(&self.counts).by_kind(),
                    standing: self.outlook.as_ref().map(|o| o.standing(&self.counts, after(t))),
                });
            }
            self.intervals.add(t, whole);
            if let Some(lines) = &self.watch.lines {
                let _ = lines.send(StreamedSecond::line(t, &self.names, &counts));
            }
            if !all && t + 1 >= SILENCE_SECS {
                self.look_for_silence();
            }
            self.look_for_a_breach(t, all);
        }
    }

    /// Ends the run when not one request was answered since it began: there is nothing to measure.
    fn look_for_silence(&mut self) {
        let by_kind = Counts::failures_of_all(&self.counts).by_kind();
        if nothing_but(&by_kind, self.requests).is_some() {
            self.stop.cancel();
        }
    }

    /// Ends the run when nothing can save it any more.
    fn look_for_a_breach(&mut self, t: u64, is_over: bool) {
        let Some(outlook) = self.outlook.as_ref() else { return };
        if is_over || self.watch.keep_going || self.stopped_early.is_some() {
            return;
        }
        self.stopped_early = outlook.certain_breach(&self.counts, after(t));
        if self.stopped_early.is_some() {
            self.stop.cancel();
        }
    }

    /// When the run was cancelled, if it was.
    pub(crate) fn ended_at(&self) -> Option<Instant> {
        self.cancelled_at
    }

    pub(crate) fn finish(
        mut self,
        started_us: i64,
        sending_us: u64,
        cpu_us: u64,
    ) -> Result<Raw, LoadError> {
        if self.done < self.workers {
            return Err(LoadError::Worker("it ended without a result".into()));
        }
        self.close_seconds(true);
        Ok(Raw {
            endpoints: self.counts,
            interval_secs: self.intervals.secs,
            seconds: self.intervals.finish(),
            sending_us,
            cpu_us,
            late_starts: self.late_starts,
            stood_still_us: self.stood_still_us,
            timer: TIMER,
            partial: self.cancelled_at.is_some(),
            stopped_early: self.stopped_early.filter(|_| self.cancelled_at.is_some()),
            started_us,
        })
    }
}
