//! Whether a run can be judged at all: it went to its end, this machine kept up with its schedule,
//! and what answered was the service. Pure.

use super::result::LoadResult;
use crate::base::units::Micros;
use crate::gate::verdict::Cause;

/// Why a run decides nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) cause: Cause,
    pub(super) text: String,
    pub(super) next: String,
}

pub(super) fn unfit(seen: &LoadResult) -> Option<Unfit> {
    let due = seen.requests.saturating_add(seen.dropped);
    let (cause, text, next) = if seen.partial && seen.stopped_early.is_none() {
        let text = format!("stopped after {}, before its end", Micros(seen.duration_us));
        (Cause::Cancelled, text, "run it to its end".to_owned())
    } else if is_too_slow(seen.late_starts, due) {
        let text = format!(
            "{} of {due} requests left this machine over 10 ms late: it could not keep up",
            seen.late_starts
        );
        let next = "lower the rate, or run it from a machine that has nothing else to do";
        (Cause::GeneratorTooSlow, text, next.to_owned())
    } else if seen.redirects > 0 && seen.redirects == seen.requests {
        let text = format!("all {due} answers were redirects: nothing behind them was measured");
        (Cause::NoData, text, format!("curl -sI http://{}", seen.target))
    } else {
        return None;
    };
    Some(Unfit { cause, text, next })
}

/// More than one in a hundred.
fn is_too_slow(late: u64, due: u64) -> bool {
    u128::from(late) * 100 > u128::from(due)
}
