//! Sends the plan. One thread a core, each with its own runtime, connections and counters; nothing
//! is shared while it runs. A free connection takes the next ticket, sleeps until it is due, or
//! sends at once when it is late; a slow target therefore delays answers, never the schedule.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use super::collector::Watch;
use super::collector::{Collector, FromWorker};
use super::lane::{self, Lane, Left};
use super::machine;
use super::plan::{LoadPlan, Shape};
use super::request::Prepared;
use super::resolve::resolve;
use super::result::LoadResult;
use super::schedule::{Mix, Schedule};
use super::timer;
use super::transport::Way;
use crate::base::clock::{self, Clock};

/// Time for all workers to stand ready before the first ticket.
const READY: Duration = Duration::from_millis(50);
/// A start further ahead than this is a slip of the pen.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// A run that could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("'{host}' cannot be resolved: {cause}")]
    Resolve { host: String, cause: String },
    #[error("the start at {0} has passed")]
    Passed(String),
    #[error("the start at {0} is more than a day ahead")]
    FarAhead(String),
    #[error("a worker could not start: {0}")]
    Worker(String),
}

/// Runs the plan to its end, or until `cancel`; then the result says `partial`. Who watches is told
/// once a second.
pub(crate) async fn run(
    plan: &LoadPlan,
    watch: Watch,
    cancel: &CancellationToken,
) -> Result<LoadResult, LoadError> {
    let address = resolve(plan).await?;
    let now = Clock::System.now();
    match plan.start_at {
        Some(at) if at < now => return Err(LoadError::Passed(at.rfc3339())),
        Some(at) if at > now.plus(WAIT_MAX) => return Err(LoadError::FarAhead(at.rfc3339())),
        _ => {}
    }
    let stop = cancel.child_token();
    // A dropped run must not leave workers behind.
    let _guard = stop.clone().drop_guard();
    let cpu_before = machine::cpu_us();
    let job = Job::new(plan, address, stop.clone());
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    for worker in 0..job.workers {
        let (job, sender) = (Arc::clone(&job), sender.clone());
        std::thread::Builder::new()
            .name(format!("load-{worker}"))
            .spawn(move || work(&job, worker, &sender))
            .map_err(|error| LoadError::Worker(error.to_string()))?;
    }
    drop(sender);
    let mut collector = Collector::new(plan, job.workers, watch, stop.clone());
    while let Some(message) = receiver.recv().await {
        collector.take(message)?;
    }
    let stopped_us = job.stopped_us(collector.ended_at());
    let raw = collector.finish(
        job.started_us,
        stopped_us,
        machine::cpu_us().saturating_sub(cpu_before),
    )?;
    Ok(LoadResult::new(plan, raw))
}

/// What all workers know.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) way: Way,
    pub(super) plan: LoadPlan,
    schedule: Option<Schedule>,
    pub(super) mix: Mix,
    pub(super) prepared: Vec<Prepared>,
    pub(super) workers: u32,
    /// The wall clock at the start.
    started_us: i64,
    pub(super) start: Instant,
    pub(super) end: Instant,
    stop: CancellationToken,
}

impl Job {
    fn new(plan: &LoadPlan, address: SocketAddr, stop: CancellationToken) -> Arc<Self> {
        let (now, wall) = (clock::monotonic(), Clock::System.now());
        let at = plan.start_at.map_or(0, |at| at.since_us(wall));
        let start = now + READY.max(Duration::from_micros(u64::try_from(at).unwrap_or(0)));
        let started_us = wall.plus(start.saturating_duration_since(now)).as_us();
        Arc::new(Self {
            way: Way::new(address, plan),
            schedule: match &plan.shape {
                Shape::Open(stages) => Some(Schedule::new(stages)),
                Shape::Closed { .. } => None,
            },
            mix: Mix::new(&plan.endpoints),
            prepared: plan
                .endpoints
                .iter()
                .map(|e| Prepared::new(e, plan).expect("a checked plan can be laid out"))
                .collect(),
            workers: machine::workers(plan.connections),
            started_us,
            start,
            end: start + plan.shape.duration().duration(),
            plan: plan.clone(),
            stop,
        })
    }

    pub(super) fn due(&self, ticket: u64) -> Option<Instant> {
        let ns = self.schedule.as_ref()?.due_ns(ticket)?;
        Some(self.start + Duration::from_nanos(ns))
    }

    /// How long requests were sent, given when a cancelled run stopped.
    fn stopped_us(&self, ended_at: Option<Instant>) -> u64 {
        let end = ended_at.map_or(self.end, |at| at.min(self.end));
        u64::try_from(end.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    fn connections_of(&self, worker: u32) -> u32 {
        let (each, rest) =
            (self.plan.connections / self.workers, self.plan.connections % self.workers);
        each + u32::from(worker < rest)
    }
}

fn work(job: &Arc<Job>, worker: u32, sender: &UnboundedSender<FromWorker>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = sender.send(FromWorker::Broken(error.to_string()));
            return;
        }
    };
    runtime.block_on(async {
        let lane = match Lane::new(job, worker) {
            Ok(lane) => Rc::new(lane),
            Err(error) => {
                let _ = sender.send(FromWorker::Broken(error.to_string()));
                return;
            }
        };
        let mut senders = JoinSet::new();
        for _ in 0..job.connections_of(worker) {
            let (lane, job) = (Rc::clone(&lane), Arc::clone(job));
            senders.spawn_local(async move {
                match job.schedule {
                    Some(_) => lane::open(&job, &lane).await,
                    None => lane::closed(&job, &lane).await,
                }
            });
        }
        let mut cancelled_at = None;
        tokio::select! {
            () = job.stop.cancelled() => cancelled_at = Some(clock::monotonic()),
            ended = all(&mut senders) => if let Err(error) = ended {
                let _ = sender.send(FromWorker::Broken(error.to_string()));
                return;
            },
            () = tell(job, &lane, sender) => {}
            () = lane.watch_the_clock() => {}
            Err(error) = lane.timer.drive() => {
                let _ = sender.send(FromWorker::Broken(error.to_string()));
                return;
            }
        }
        senders.shutdown().await;
        let left = lane.finish(job, cancelled_at);
        let _ = sender.send(FromWorker::Second { t: left.t, counts: left.counts });
        let Left { late_starts, stood_still_us, .. } = left;
        let _ = sender.send(FromWorker::Done { late_starts, stood_still_us, cancelled_at });
    });
}

/// Waits for all. One that breaks leaves requests that nobody counts.
async fn all(senders: &mut JoinSet<()>) -> Result<(), JoinError> {
    while let Some(ended) = senders.join_next().await {
        ended?;
    }
    Ok(())
}

/// Sends what ended in each second as the second ends. Never returns.
async fn tell(job: &Job, lane: &Lane, sender: &UnboundedSender<FromWorker>) {
    let mut t = 0_u64;
    loop {
        let next = job.start + Duration::from_secs(t + 1);
        tokio::time::sleep_until(next.into()).await;
        let _ = sender.send(FromWorker::Second { t, counts: lane.swap() });
        t += 1;
    }
}

/// The resolution of the timer in use.
pub(crate) const TIMER: &str = timer::RESOLUTION;

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
