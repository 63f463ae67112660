//! Wakes senders when their ticket is due. On Linux one timerfd a worker, set earlier by as much as
//! this machine usually wakes late; elsewhere tokio's wheel, which turns once a millisecond and
//! rounds up.

#[cfg(target_os = "linux")]
pub(crate) use timerfd::{RESOLUTION, Timer};
#[cfg(not(target_os = "linux"))]
pub(crate) use wheel::{RESOLUTION, Timer};

#[cfg(target_os = "linux")]
mod timerfd {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::io::Result;
    use std::os::fd::OwnedFd;
    use std::task::{Poll, Waker};
    use std::time::{Duration, Instant};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use crate::base::clock;

    pub(crate) const RESOLUTION: &str = "timerfd";
    /// Senders whose places are laid out before the run.
    const WAITING: usize = 256;

    /// One worker's timer. Those who wait stand in order of their due times, the earliest first;
    /// the kernel's timer is set for that one.
    #[derive(Debug)]
    pub(crate) struct Timer {
        alarm: AsyncFd<OwnedFd>,
        waiting: RefCell<VecDeque<(Instant, Waker)>>,
        alarm_at: Cell<Instant>,
        /// What the alarm was set for; it goes off a little before.
        alarm_for: Cell<Instant>,
        lag: Cell<Lag>,
    }

    /// How late an alarm usually wakes this thread: the median, followed in small steps. Some
    /// microseconds on bare metal, fifty on a virtual machine whose core has gone to sleep.
    #[derive(Debug, Clone, Copy, Default)]
    pub(super) struct Lag(Duration);

    impl Lag {
        const STEP: Duration = Duration::from_nanos(500);
        const MAX: Duration = Duration::from_micros(80);
        /// An alarm is set earlier only when it is further away than so many lags: the thread
        /// stays awake for what it wakes too early, and that must not become a habit.
        const AWAY: u32 = 4;

        pub(super) fn learn(self, late: Duration) -> Self {
            Self(if late > self.0 {
                (self.0 + Self::STEP).min(Self::MAX)
            } else {
                self.0.saturating_sub(Self::STEP)
            })
        }

        /// When to set an alarm for something that is so far away.
        pub(super) fn ahead_of(self, away: Duration) -> Duration {
            if away > self.0 * Self::AWAY { away.saturating_sub(self.0) } else { away }
        }
    }

    impl Timer {
        /// Needs a tokio runtime around it.
        #[expect(
            deprecated,
            reason = "the AsyncFd owns its file for life, which is all that `register` asks for; \
                      but that is unsafe to call, and unsafe code is forbidden here"
        )]
        pub(crate) fn new() -> Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let waiting = RefCell::new(VecDeque::with_capacity(WAITING));
            let now = Cell::new(clock::monotonic());
            let (alarm_at, alarm_for) = (now.clone(), now);
            Ok(Self {
                alarm: AsyncFd::new(file)?,
                waiting,
                alarm_at,
                alarm_for,
                lag: Cell::default(),
            })
        }

        /// Ready at `due`, as long as somebody polls [`Timer::drive`].
        pub(crate) async fn until(&self, due: Instant) {
            let mut is_queued = false;
            poll_fn(|context| {
                let now = clock::monotonic();
                if now >= due {
                    return Poll::Ready(());
                }
                if !is_queued {
                    is_queued = true;
                    self.enqueue(due, now, context.waker().clone());
                }
                Poll::Pending
            })
            .await;
        }

        fn enqueue(&self, due: Instant, now: Instant, waker: Waker) {
            let mut waiting = self.waiting.borrow_mut();
            // Tickets are taken in order, so the place is nearly always the last.
            let mut place = waiting.len();
            while place > 0 && waiting[place - 1].0 > due {
                place -= 1;
            }
            waiting.insert(place, (due, waker));
            if place == 0 {
                self.set(due, now);
            }
        }

        /// The alarm is edge-triggered and never read: setting it anew forgets earlier expiries.
        fn set(&self, due: Instant, now: Instant) {
            let after = self.lag.get().ahead_of(due.saturating_duration_since(now));
            self.alarm_at.set(now + after);
            self.alarm_for.set(due);
            let value = Timespec {
                tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                // Zero would disarm it.
                tv_nsec: i64::from(after.subsec_nanos().max(1)),
            };
            let once =
                Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(self.alarm.get_ref(), TimerfdTimerFlags::empty(), &once)
                .expect("a timerfd takes every time above zero");
        }

        /// Wakes those who are due, for ever; an error is one of the system.
        pub(crate) async fn drive(&self) -> Result<()> {
            loop {
                self.alarm.readable().await?.clear_ready();
                if let Some(late) = clock::monotonic().checked_duration_since(self.alarm_at.get()) {
                    self.lag.set(self.lag.get().learn(late));
                }
                while self.wake_those_due() {
                    tokio::task::yield_now().await;
                }
            }
        }

        /// Whether the alarm was too early by so little that it is not worth to sleep again.
        fn wake_those_due(&self) -> bool {
            let mut waiting = self.waiting.borrow_mut();
            let now = clock::monotonic();
            while waiting.front().is_some_and(|(due, _)| *due <= now) {
                if let Some((_, waker)) = waiting.pop_front() {
                    waker.wake();
                }
            }
            let Some((due, _)) = waiting.front() else { return false };
            let is_too_early = *due == self.alarm_for.get() && *due - now <= Lag::MAX;
            if !is_too_early {
                self.set(*due, now);
            }
            is_too_early
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod wheel {
    use std::time::Instant;

    pub(crate) const RESOLUTION: &str = "1ms";

    /// tokio's own timer.
    #[derive(Debug)]
    pub(crate) struct Timer;

    impl Timer {
        #[expect(clippy::unnecessary_wraps, reason = "timers that use the system may fail")]
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(Self)
        }

        pub(crate) async fn until(&self, due: Instant) {
            tokio::time::sleep_until(due.into()).await;
        }

        /// There is nothing to drive: tokio does it.
        pub(crate) async fn drive(&self) -> std::io::Result<()> {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::Timer;
    use crate::base::clock;

    #[cfg(target_os = "linux")]
    #[test]
    fn an_alarm_is_set_earlier_by_the_usual_lag_unless_that_is_near() {
        let us = Duration::from_micros;
        let mut lag = super::timerfd::Lag::default();
        assert_eq!(lag.ahead_of(us(200)), us(200));
        for turn in 0..1_000 {
            // One alarm in ten is very late: the usual one decides.
            lag = lag.learn(if turn % 10 == 0 { us(5_000) } else { us(40) });
        }
        let ahead = lag.ahead_of(us(200));
        assert!((us(158)..=us(162)).contains(&ahead), "{ahead:?}");
        assert_eq!(lag.ahead_of(us(150)), us(150), "so near that it would be awake all the time");
        for _ in 0..1_000 {
            lag = lag.learn(us(5_000));
        }
        assert_eq!(lag.ahead_of(us(1_000)), us(920), "never more than 80 us");
    }

    /// In whatever order they come, nobody is woken early, all are woken, the earliest first.
    #[tokio::test]
    async fn those_who_wait_are_woken_in_order_and_never_early() {
        let timer = Timer::new().unwrap();
        let start = clock::monotonic();
        let woken = RefCell::new(Vec::new());
        let wait = async |ms: u64| {
            let due = start + Duration::from_millis(ms);
            timer.until(due).await;
            assert!(clock::monotonic() >= due);
            woken.borrow_mut().push(ms);
        };
        let all = async { tokio::join!(wait(30), wait(0), wait(60), wait(10), wait(45)) };
        tokio::select! {
            _ = all => {}
            _ = timer.drive() => unreachable!("it drives for ever"),
        }
        // Those that one late alarm wakes together may run in any order.
        let mut sorted = woken.borrow().clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 10, 30, 45, 60]);
        assert_eq!(woken.borrow().first(), Some(&0));
    }
}
