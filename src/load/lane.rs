//! One worker's tickets, timer and counters, shared by its connections on one thread.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::driver::Job;
use super::http1::Connection;
use super::http2::Http2;
use super::machine;
use super::pulse::Pulse;
use super::recorder::{Counts, Failure, Outcome, Recorder};
use super::schedule::Tickets;
use super::timer::Timer;
use super::transport::Marks;
use crate::base::clock;

/// A request sent later than this after its due time was late. It was this machine's fault when a
/// sender had been waiting for it, or when its thread had no rest within that second.
const LATE: Duration = Duration::from_millis(10);
/// A thread that was idle for less than this share of a second, in percent, had no rest.
const REST_PERCENT: u128 = 5;
/// A ticket may still be taken this long after the end: timers wake late, and a busy machine later.
const GRACE: Duration = Duration::from_millis(100);
/// Waits of a closed loop after a failure without an answer, so that it does not spin.
const BACKOFF: Duration = Duration::from_millis(10);

/// What one thread knows while it runs.
pub(super) struct Lane {
    state: RefCell<LaneState>,
    pub(super) timer: Timer,
}

struct LaneState {
    tickets: Tickets,
    recorder: Recorder,
    rest: Rest,
    pulse: Pulse,
}

/// What a lane leaves behind.
pub(super) struct Left {
    /// The second that was under way, and what happened in it.
    pub(super) t: u64,
    pub(super) counts: Vec<Counts>,
    pub(super) late_starts: u64,
    pub(super) stood_still_us: u64,
}

impl Lane {
    pub(super) fn new(job: &Job, worker: u32) -> Result<Self, std::io::Error> {
        let (first, step) = job.plan.shard.tickets(worker, job.workers);
        let state = LaneState {
            tickets: Tickets::new(first, step),
            recorder: Recorder::new(job.prepared.len()),
            rest: Rest::now(),
            pulse: Pulse::new(job.start),
        };
        Ok(Self { state: RefCell::new(state), timer: Timer::new()? })
    }

    fn take(&self) -> u64 {
        self.state.borrow_mut().tickets.take()
    }

    /// What happened since the last call; says of the requests sent late whose fault it was.
    pub(super) fn swap(&self) -> Vec<Counts> {
        let mut state = self.state.borrow_mut();
        let has_rested = state.rest.look();
        state.recorder.settle_overdue(has_rested);
        state.recorder.swap()
    }

    /// Looks at the clock until the run ends, so that a standstill of this machine is seen whatever
    /// its connections wait for. Never returns.
    pub(super) async fn watch_the_clock(&self) {
        loop {
            let due = self.state.borrow().pulse.due();
            tokio::time::sleep_until(due.into()).await;
            self.beat(clock::monotonic());
        }
    }

    fn beat(&self, now: Instant) {
        let state = &mut *self.state.borrow_mut();
        if state.pulse.beat(now) {
            state.recorder.stood_still(now);
        }
    }

    /// Sends one request and says how it ended, and when.
    async fn send(
        &self,
        client: &mut Client<'_>,
        job: &Job,
        shot: Shot,
    ) -> (Option<Failure>, Instant) {
        self.state.borrow_mut().recorder.sent(shot.endpoint);
        let request = &job.prepared[shot.endpoint];
        let answer = match client {
            Client::Http1(client) => client.exchange(request, shot.ticket, shot.sent).await,
            // Boxed, so that the future of the other one stays small.
            Client::Http2(client) => {
                Box::pin(client.exchange(request, shot.ticket, shot.sent)).await
            }
        };
        let now = clock::monotonic();
        let since = |from: Instant| {
            u64::try_from(now.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
        };
        let outcome = Outcome { latency_us: since(shot.due), service_us: since(shot.sent), answer };
        let recorder = &mut self.state.borrow_mut().recorder;
        recorder.ended(shot.endpoint, outcome);
        if job.plan.phases {
            recorder.marked(shot.endpoint, client.marks());
        }
        (answer.err(), now)
    }

    /// The last, unfinished second and the late starts. Tickets that were due by the end and that
    /// nobody took are dropped.
    pub(super) fn finish(&self, job: &Job, cancelled_at: Option<Instant>) -> Left {
        let end = cancelled_at.unwrap_or(job.end);
        self.beat(clock::monotonic());
        {
            let mut state = self.state.borrow_mut();
            loop {
                let ticket = state.tickets.take();
                match job.due(ticket) {
                    Some(due) if due <= end => {
                        state.recorder.dropped(job.mix.endpoint(ticket), due);
                    }
                    _ => break,
                }
            }
        }
        let t = clock::monotonic().saturating_duration_since(job.start).as_secs();
        let counts = self.swap();
        let state = self.state.borrow();
        let (late_starts, stood_still_us) =
            (state.recorder.late_starts, state.pulse.stood_still_us);
        Left { t, counts, late_starts, stood_still_us }
    }
}

/// How busy a thread was between two looks.
#[derive(Debug)]
struct Rest {
    at: Instant,
    busy_us: u64,
}

impl Rest {
    fn now() -> Self {
        Self { at: clock::monotonic(), busy_us: machine::thread_busy_us() }
    }

    /// Whether this thread rested since the last look.
    fn look(&mut self) -> bool {
        let before = std::mem::replace(self, Self::now());
        let wall_us = self.at.saturating_duration_since(before.at).as_micros();
        has_rested(u128::from(self.busy_us.saturating_sub(before.busy_us)), wall_us)
    }
}

fn has_rested(busy_us: u128, wall_us: u128) -> bool {
    busy_us * 100 <= wall_us * (100 - REST_PERCENT)
}

/// One request at its time.
#[derive(Debug, Clone, Copy)]
struct Shot {
    ticket: u64,
    endpoint: usize,
    due: Instant,
    sent: Instant,
}

/// Who speaks to the target for one sender.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and hot")]
enum Client<'j> {
    Http1(Connection<'j>),
    Http2(Box<Http2<'j>>),
}

impl<'j> Client<'j> {
    fn new(job: &'j Job) -> Self {
        if job.plan.http2 {
            Self::Http2(Box::new(Http2::new(&job.way, &job.plan)))
        } else {
            Self::Http1(Connection::new(&job.way, &job.plan))
        }
    }

    fn marks(&self) -> Marks {
        match self {
            Self::Http1(client) => client.marks,
            Self::Http2(client) => client.marks,
        }
    }
}

/// A connection of the open model: it takes the next ticket and waits for its time, or sends at
/// once when that has passed.
pub(super) async fn open(job: &Job, lane: &Lane) {
    let mut client = Client::new(job);
    let last_call = job.end + GRACE;
    let mut now = clock::monotonic();
    while now < last_call {
        let ticket = lane.take();
        let Some(due) = job.due(ticket) else { break };
        if due > now {
            lane.timer.until(due).await;
            now = clock::monotonic();
            if now > due + LATE {
                lane.state.borrow_mut().recorder.woken_late(now);
            }
        } else if now > due + LATE {
            lane.state.borrow_mut().recorder.overdue(due);
        }
        let shot = Shot { ticket, endpoint: job.mix.endpoint(ticket), due, sent: now };
        now = lane.send(&mut client, job, shot).await.1;
    }
}

/// A connection of the closed loop: it asks again as soon as it is answered.
pub(super) async fn closed(job: &Job, lane: &Lane) {
    let mut client = Client::new(job);
    lane.timer.until(job.start).await;
    let mut now = clock::monotonic();
    while now < job.end {
        let ticket = lane.take();
        let shot = Shot { ticket, endpoint: job.mix.endpoint(ticket), due: now, sent: now };
        let (failure, ended) = lane.send(&mut client, job, shot).await;
        now = ended;
        if failure.is_some_and(Failure::is_without_answer) {
            tokio::time::sleep(BACKOFF).await;
            now = clock::monotonic();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::has_rested;

    #[test]
    fn a_thread_without_five_percent_of_rest_had_none() {
        for (busy, wall, rested) in
            [(0, 0, true), (950, 1_000, true), (951, 1_000, false), (1_200, 1_000, false)]
        {
            assert_eq!(has_rested(busy, wall), rested, "{busy} of {wall}");
        }
    }
}
