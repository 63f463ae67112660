//! Sends the plan. One thread a core, each with its own runtime, connections and counters; nothing
//! is shared while it runs. A free connection takes the next ticket, sleeps until it is due, or
//! sends at once when it is late; a slow target therefore delays answers, never the schedule.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use super::collector::{Collector, FromWorker, Progress};
use super::http1::{Connection, Prepared};
use super::machine;
use super::plan::{LoadPlan, Shape};
use super::recorder::{Counts, Failure, Outcome, Recorder};
use super::result::LoadResult;
use super::schedule::{Mix, Schedule, Tickets};
use super::timer::{self, Timer};
use crate::base::clock;

/// Time for all workers to stand ready before the first ticket.
const READY: Duration = Duration::from_millis(50);
/// A ticket may still be taken this long after the end: timers wake late.
const GRACE: Duration = Duration::from_millis(20);
/// A sender woken later than this after its due time was late by this machine's fault.
const LATE: Duration = Duration::from_millis(10);
/// Waits of a closed loop after a failure without an answer, so that it does not spin.
const BACKOFF: Duration = Duration::from_millis(10);

/// A run that could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("'{host}' cannot be resolved: {cause}")]
    Resolve { host: String, cause: String },
    #[error("a worker could not start: {0}")]
    Worker(String),
}

/// Runs the plan to its end, or until `cancel`; then the result says `partial`. `progress` is told
/// once a second.
pub(crate) async fn run(
    plan: &LoadPlan,
    progress: Option<UnboundedSender<Progress>>,
    cancel: &CancellationToken,
) -> Result<LoadResult, LoadError> {
    let address = resolve(plan).await?;
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
    let mut collector = Collector::new(plan, job.workers, progress);
    while let Some(message) = receiver.recv().await {
        collector.take(message)?;
    }
    let stopped_us = job.stopped_us(collector.ended_at());
    let raw = collector.finish(stopped_us, machine::cpu_us().saturating_sub(cpu_before))?;
    Ok(LoadResult::new(plan, raw))
}

async fn resolve(plan: &LoadPlan) -> Result<SocketAddr, LoadError> {
    let host = plan.target.host.trim_matches(['[', ']']);
    let wrong = |cause: String| LoadError::Resolve { host: host.to_owned(), cause };
    let mut found = tokio::net::lookup_host((host, plan.target.port))
        .await
        .map_err(|error| wrong(error.to_string()))?
        .collect::<Vec<_>>();
    // IPv4 first, as most servers on loopback listen there alone.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| wrong("no address".into()))
}

/// What all workers know.
#[derive(Debug)]
struct Job {
    address: SocketAddr,
    plan: LoadPlan,
    schedule: Option<Schedule>,
    mix: Mix,
    prepared: Vec<Prepared>,
    workers: u32,
    start: Instant,
    end: Instant,
    stop: CancellationToken,
}

impl Job {
    fn new(plan: &LoadPlan, address: SocketAddr, stop: CancellationToken) -> Arc<Self> {
        let start = clock::monotonic() + READY;
        Arc::new(Self {
            address,
            schedule: match &plan.shape {
                Shape::Open(stages) => Some(Schedule::new(stages)),
                Shape::Closed { .. } => None,
            },
            mix: Mix::new(&plan.endpoints),
            prepared: plan.endpoints.iter().map(|e| Prepared::new(e, plan)).collect(),
            workers: machine::workers(plan.connections),
            start,
            end: start + plan.shape.duration().duration(),
            plan: plan.clone(),
            stop,
        })
    }

    fn due(&self, ticket: u64) -> Option<Instant> {
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
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = sender.send(FromWorker::Broken(error.to_string()));
            return;
        }
    };
    LocalSet::new().block_on(&runtime, async {
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
                    Some(_) => open(&job, &lane).await,
                    None => closed(&job, &lane).await,
                }
            });
        }
        let mut cancelled_at = None;
        tokio::select! {
            () = job.stop.cancelled() => cancelled_at = Some(clock::monotonic()),
            () = async { while senders.join_next().await.is_some() {} } => {}
            () = tell(job, &lane, sender) => {}
        }
        senders.shutdown().await;
        let (last, counts, late_starts) = lane.finish(job, cancelled_at);
        let _ = sender.send(FromWorker::Second { t: last.0, interval: last.1 });
        let _ = sender.send(FromWorker::Done { counts, late_starts, cancelled_at });
    });
}

/// Sends what ended in each second as the second ends. Never returns.
async fn tell(job: &Job, lane: &Lane, sender: &UnboundedSender<FromWorker>) {
    let mut t = 0_u64;
    loop {
        let next = job.start + Duration::from_secs(t + 1);
        tokio::time::sleep_until(next.into()).await;
        let interval = lane.state.borrow_mut().recorder.swap_interval();
        let _ = sender.send(FromWorker::Second { t, interval });
        t += 1;
    }
}

/// One worker's tickets and counters, shared by its connections on one thread.
struct Lane {
    state: RefCell<LaneState>,
    timer: Timer,
}

struct LaneState {
    tickets: Tickets,
    recorder: Recorder,
}

impl Lane {
    fn new(job: &Job, worker: u32) -> Result<Self, std::io::Error> {
        let state = LaneState {
            tickets: Tickets::new(u64::from(worker), u64::from(job.workers)),
            recorder: Recorder::new(job.prepared.len()),
        };
        Ok(Self { state: RefCell::new(state), timer: Timer::new()? })
    }

    fn take(&self) -> u64 {
        self.state.borrow_mut().tickets.take()
    }

    async fn send(&self, connection: &mut Connection, job: &Job, shot: Shot) -> Option<Failure> {
        self.state.borrow_mut().recorder.sent(shot.endpoint);
        let answer = connection.exchange(&job.prepared[shot.endpoint], shot.sent).await;
        let now = clock::monotonic();
        let failure = match answer {
            Ok(status) => Failure::of_status(status),
            Err(failure) => Some(failure),
        };
        let since = |from: Instant| {
            u64::try_from(now.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
        };
        let outcome =
            Outcome { latency_us: since(shot.due), service_us: since(shot.sent), failure };
        self.state.borrow_mut().recorder.ended(shot.endpoint, outcome);
        failure
    }

    /// The last, unfinished second; the counters; the late starts. Tickets that were due by the end
    /// and that nobody took are dropped.
    fn finish(
        &self,
        job: &Job,
        cancelled_at: Option<Instant>,
    ) -> ((u64, super::recorder::Interval), Vec<Counts>, u64) {
        let mut state = self.state.borrow_mut();
        let end = cancelled_at.unwrap_or(job.end);
        loop {
            let ticket = state.tickets.take();
            match job.due(ticket) {
                Some(due) if due <= end => state.recorder.dropped(job.mix.endpoint(ticket)),
                _ => break,
            }
        }
        let t = clock::monotonic().saturating_duration_since(job.start).as_secs();
        let last = state.recorder.swap_interval();
        let recorder = std::mem::replace(&mut state.recorder, Recorder::new(job.prepared.len()));
        let late_starts = recorder.late_starts;
        ((t, last), recorder.finish(), late_starts)
    }
}

/// One request at its time.
#[derive(Debug, Clone, Copy)]
struct Shot {
    endpoint: usize,
    due: Instant,
    sent: Instant,
}

/// A connection of the open model.
async fn open(job: &Job, lane: &Lane) {
    let mut connection = Connection::new(job.address, &job.plan);
    let last_call = job.end + GRACE;
    while clock::monotonic() < last_call {
        let ticket = lane.take();
        let Some(due) = job.due(ticket) else { break };
        let mut sent = clock::monotonic();
        if due > sent {
            lane.timer.until(due).await;
            sent = clock::monotonic();
            if sent > due + LATE {
                lane.state.borrow_mut().recorder.late_starts += 1;
            }
        }
        let shot = Shot { endpoint: job.mix.endpoint(ticket), due, sent };
        lane.send(&mut connection, job, shot).await;
    }
}

/// A connection of the closed loop: it asks again as soon as it is answered.
async fn closed(job: &Job, lane: &Lane) {
    let mut connection = Connection::new(job.address, &job.plan);
    lane.timer.until(job.start).await;
    loop {
        let now = clock::monotonic();
        if now >= job.end {
            break;
        }
        let shot = Shot { endpoint: job.mix.endpoint(lane.take()), due: now, sent: now };
        let failure = lane.send(&mut connection, job, shot).await;
        if matches!(failure, Some(Failure::Connect | Failure::Reset | Failure::ClosedEarly)) {
            tokio::time::sleep(BACKOFF).await;
        }
    }
}

/// The resolution of the timer in use.
pub(crate) const TIMER: &str = timer::RESOLUTION;

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
