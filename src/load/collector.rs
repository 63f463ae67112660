//! Joins what the workers report: seconds as they end, totals at the end. Merging is exact.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::driver::{LoadError, TIMER};
use super::plan::LoadPlan;
use super::recorder::Counts;
use super::result::{Raw, Second};

/// What a worker says.
#[derive(Debug)]
pub(crate) enum FromWorker {
    Second { t: u64, counts: Vec<Counts> },
    Done { late_starts: u64, cancelled_at: Option<Instant> },
    Broken(String),
}

/// Live news, once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) second: Second,
    /// Ended so far.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
}

fn merge(own: &mut [Counts], more: &[Counts]) {
    own.iter_mut().zip(more).for_each(|(own, more)| own.merge(more));
}

pub(crate) struct Collector {
    workers: u32,
    progress: Option<UnboundedSender<Progress>>,
    /// Seconds that not every worker has reported yet, with how many have.
    waiting: BTreeMap<u64, (u32, Vec<Counts>)>,
    seconds: Vec<Second>,
    requests: u64,
    errors: u64,
    counts: Vec<Counts>,
    late_starts: u64,
    done: u32,
    cancelled_at: Option<Instant>,
}

impl Collector {
    pub(crate) fn new(
        plan: &LoadPlan,
        workers: u32,
        progress: Option<UnboundedSender<Progress>>,
    ) -> Self {
        Self {
            workers,
            progress,
            waiting: BTreeMap::new(),
            seconds: Vec::new(),
            requests: 0,
            errors: 0,
            counts: plan.endpoints.iter().map(|_| Counts::default()).collect(),
            late_starts: 0,
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
            FromWorker::Done { late_starts, cancelled_at } => {
                self.done += 1;
                self.late_starts += late_starts;
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
            let second = Second::of(t, &whole);
            self.seconds.push(second);
            self.requests += second.requests;
            self.errors += second.errors;
            if let Some(progress) = &self.progress {
                let news = Progress { second, requests: self.requests, errors: self.errors };
                let _ = progress.send(news);
            }
        }
    }

    /// When the run was cancelled, if it was.
    pub(crate) fn ended_at(&self) -> Option<Instant> {
        self.cancelled_at
    }

    pub(crate) fn finish(mut self, sending_us: u64, cpu_us: u64) -> Result<Raw, LoadError> {
        if self.done < self.workers {
            return Err(LoadError::Worker("it ended without a result".into()));
        }
        self.close_seconds(true);
        Ok(Raw {
            endpoints: self.counts,
            seconds: self.seconds,
            sending_us,
            cpu_us,
            late_starts: self.late_starts,
            timer: TIMER,
            partial: self.cancelled_at.is_some(),
        })
    }
}
