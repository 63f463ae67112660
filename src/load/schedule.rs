//! When each request is due. Ticket `k` is due where the integral of the rate reaches `k`, so no
//! drift is possible and every machine finds the same times. Integers throughout; no clock.
//!
//! Area is counted in units of 1/(2 * 10^9) ticket: `(from + to) [1/1000 s] * duration [us]`.

use super::plan::{Endpoint, Stage, reduced_weights};

const AREA_PER_TICKET: u128 = 2_000_000_000;

#[derive(Debug, Clone)]
struct Piece {
    from_milli: u128,
    to_milli: u128,
    duration_us: u128,
    start_ns: u128,
    area_before: u128,
}

impl Piece {
    fn area(&self) -> u128 {
        (self.from_milli + self.to_milli) * self.duration_us
    }

    /// Nanoseconds into the piece at which `area` has passed: the root of
    /// `from*t + (to - from)*t^2 / (2*duration)`, in the form that does not cancel.
    fn offset_ns(&self, area: u128) -> u128 {
        if self.from_milli == self.to_milli {
            return (area * 500).checked_div(self.from_milli).unwrap_or(0);
        }
        let squared = self.from_milli * self.from_milli * 1_000_000;
        let bend = self.from_milli.abs_diff(self.to_milli) * area * 1_000_000 / self.duration_us;
        let discriminant = if self.to_milli >= self.from_milli {
            squared + bend
        } else {
            squared.saturating_sub(bend)
        };
        let root = if bend == 0 { self.from_milli * 1_000 } else { discriminant.isqrt() };
        (area * 1_000_000).checked_div(self.from_milli * 1_000 + root).unwrap_or(0)
    }
}

/// The due times of a whole run.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pieces: Vec<Piece>,
    tickets: u64,
}

impl Schedule {
    pub(crate) fn new(stages: &[Stage]) -> Self {
        let mut pieces = Vec::with_capacity(stages.len());
        let (mut start_ns, mut area_before) = (0, 0);
        for stage in stages {
            let piece = Piece {
                from_milli: stage.from.milli_per_s.into(),
                to_milli: stage.to.milli_per_s.into(),
                duration_us: stage.duration.0.into(),
                start_ns,
                area_before,
            };
            start_ns += piece.duration_us * 1_000;
            area_before += piece.area();
            pieces.push(piece);
        }
        let tickets = u64::try_from(area_before.div_ceil(AREA_PER_TICKET)).unwrap_or(u64::MAX);
        Self { pieces, tickets }
    }

    /// How many requests are due in all.
    pub(crate) fn tickets(&self) -> u64 {
        self.tickets
    }

    /// Nanoseconds from the start at which ticket `k` (0-based) is due.
    pub(crate) fn due_ns(&self, k: u64) -> Option<u64> {
        if k >= self.tickets {
            return None;
        }
        let area = u128::from(k) * AREA_PER_TICKET;
        let index = self.pieces.partition_point(|p| p.area_before + p.area() <= area);
        let piece = self.pieces.get(index)?;
        u64::try_from(piece.start_ns + piece.offset_ns(area - piece.area_before)).ok()
    }
}

/// The tickets of one of `step` workers: `k = first mod step`. Shards split a run the same way.
#[derive(Debug, Clone)]
pub(crate) struct Tickets {
    next: u64,
    step: u64,
}

impl Tickets {
    pub(crate) fn new(first: u64, step: u64) -> Self {
        Self { next: first, step: step.max(1) }
    }

    pub(crate) fn take(&mut self) -> u64 {
        let ticket = self.next;
        self.next = self.next.saturating_add(self.step);
        ticket
    }
}

/// Which endpoint each ticket asks: smooth weighted round robin, laid out once as a cycle. Each round
/// begins at another place of it: shards and workers take every n-th ticket, and where n and the
/// cycle have a divisor in common, each of them would ask some endpoints only.
#[derive(Debug, Clone)]
pub(crate) struct Mix(Vec<usize>);

impl Mix {
    pub(crate) fn new(endpoints: &[Endpoint]) -> Self {
        let weights: Vec<i64> = reduced_weights(endpoints)
            .into_iter()
            .map(|w| i64::try_from(w).unwrap_or(i64::MAX))
            .collect();
        let sum: i64 = weights.iter().sum();
        let mut credit = vec![0_i64; weights.len()];
        let cycle = (0..sum).map(|_| {
            credit.iter_mut().zip(&weights).for_each(|(c, w)| *c += w);
            let mut best = 0;
            for index in 1..credit.len() {
                if credit[index] > credit[best] {
                    best = index;
                }
            }
            credit[best] -= sum;
            best
        });
        Self(cycle.collect())
    }

    /// How many of the first `tickets` ask each of so many endpoints.
    pub(crate) fn counts(&self, tickets: u64, endpoints: usize) -> Vec<u64> {
        let length = u64::try_from(self.0.len()).unwrap_or(1).max(1);
        let rounds = tickets / length;
        let of = |endpoint: usize| {
            let whole = self.0.iter().filter(|other| **other == endpoint).count();
            let begun = rounds.saturating_mul(length)..tickets;
            let part = begun.filter(|k| self.endpoint(*k) == endpoint).count();
            let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            rounds.saturating_mul(as_u64(whole)).saturating_add(as_u64(part))
        };
        (0..endpoints).map(of).collect()
    }

    /// The endpoint of ticket `k`.
    pub(crate) fn endpoint(&self, k: u64) -> usize {
        let length = u64::try_from(self.0.len()).unwrap_or(1).max(1);
        let place = (k % length + scatter(k / length) % length) % length;
        usize::try_from(place).ok().and_then(|i| self.0.get(i)).copied().unwrap_or(0)
    }
}

/// The finaliser of `MurmurHash3` (Appleby): each bit of the number changes half of the result's.
const fn scatter(round: u64) -> u64 {
    let mixed = (round ^ (round >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{Micros, Rate};

    fn stage(from: u64, to: u64, secs: u64) -> Stage {
        Stage {
            from: Rate::per_second(from),
            to: Rate::per_second(to),
            duration: Micros::from_secs(secs),
        }
    }

    #[test]
    fn a_constant_rate_is_exact() {
        let schedule = Schedule::new(&[stage(1_000, 1_000, 20)]);
        assert_eq!(schedule.tickets, 20_000);
        assert_eq!(schedule.due_ns(0), Some(0));
        assert_eq!(schedule.due_ns(19_999), Some(19_999_000_000));
        assert_eq!(schedule.due_ns(20_000), None);
        let third = Schedule::new(&[Stage {
            from: Rate { milli_per_s: 333 },
            to: Rate { milli_per_s: 333 },
            duration: Micros::from_secs(10),
        }]);
        assert_eq!((third.tickets, third.due_ns(1)), (4, Some(3_003_003_003)));
    }

    #[test]
    fn ramps_have_the_area_under_their_line() {
        let up = Schedule::new(&[stage(0, 100, 10)]);
        assert_eq!(up.tickets, 500);
        // N(t) = 5 t^2: ticket 125 at 5 s.
        assert_eq!(up.due_ns(125), Some(5_000_000_000));
        let down = Schedule::new(&[stage(100, 0, 10)]);
        assert_eq!((down.tickets, down.due_ns(375)), (500, Some(5_000_000_000)));
        let whole = Schedule::new(&[stage(0, 100, 10), stage(100, 100, 5), stage(100, 0, 10)]);
        assert_eq!(whole.tickets, 1_500);
        assert_eq!(whole.due_ns(500), Some(10_000_000_000));
        assert_eq!(whole.due_ns(1_000), Some(15_000_000_000));
        let times: Vec<_> = (0..1_500).filter_map(|k| whole.due_ns(k)).collect();
        assert_eq!(times.len(), 1_500);
        assert!(times.is_sorted() && times.iter().all(|t| *t < 25_000_000_000));
    }

    #[test]
    fn a_pause_between_stages_has_no_tickets() {
        let schedule = Schedule::new(&[stage(10, 10, 1), stage(10, 0, 1), stage(0, 10, 1)]);
        assert_eq!(schedule.tickets, 20);
        assert_eq!(schedule.due_ns(10), Some(1_000_000_000));
    }

    #[test]
    fn workers_split_the_tickets_without_gap_or_double() {
        let mut all: Vec<u64> = (0..3)
            .flat_map(|first| {
                let mut tickets = Tickets::new(first, 3);
                (0..4).map(move |_| tickets.take())
            })
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn weights_are_kept_exactly_and_smoothly() {
        let of = |weight| Endpoint { weight, ..Endpoint::get("/") };
        let mix = Mix::new(&[of(50), of(10), of(10)]);
        let cycle: Vec<usize> = (0..7).map(|k| mix.endpoint(k)).collect();
        assert_eq!(cycle, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!((0..700).filter(|k| mix.endpoint(*k) == 0).count(), 500);
        let counted = |tickets: u64| {
            [0, 1, 2].map(|e| (0..tickets).filter(|k| mix.endpoint(*k) == e).count() as u64)
        };
        for tickets in [0, 3, 7, 699, 700, 703] {
            assert_eq!(mix.counts(tickets, 3), counted(tickets), "{tickets}");
        }
        assert_eq!(mix.counts(700, 3), [500, 100, 100]);
    }

    /// However many machines and cores share the tickets, each asks every endpoint in proportion.
    #[test]
    fn who_takes_every_nth_ticket_asks_every_endpoint() {
        let of = |weight| Endpoint { weight, ..Endpoint::get("/") };
        for weights in [vec![1, 1], vec![5, 3, 2], vec![1, 1, 1, 1]] {
            let mix = Mix::new(&weights.iter().map(|w| of(*w)).collect::<Vec<_>>());
            let sum: u32 = weights.iter().sum();
            for step in [1_u64, 2, 4, 6, 8, 10, 16, 20] {
                for first in 0..step {
                    let mut asked = vec![0_u32; weights.len()];
                    (0..10_000).for_each(|n| asked[mix.endpoint(first + n * step)] += 1);
                    for (asked, weight) in asked.iter().zip(&weights) {
                        let due = 10_000 * weight / sum;
                        assert!(asked.abs_diff(due) < 300, "{weights:?} {first}/{step} {asked}");
                    }
                }
            }
        }
    }
}
