//! Whether a run can be judged at all: it went to its end, this machine kept up with its schedule,
//! and what answered was the service. Pure.

use super::recorder::Failure;
use super::result::LoadResult;
use crate::base::units::Micros;
use crate::gate::verdict::Cause;

/// Why a run decides nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) cause: Cause,
    pub(crate) text: String,
    pub(crate) next: String,
}

const ELSEWHERE: &str = "lower the rate, or run it from a machine that has nothing else to do";

pub(crate) fn unfit(seen: &LoadResult) -> Option<Unfit> {
    let due = seen.requests.saturating_add(seen.dropped);
    let (cause, text, next) = if seen.partial && seen.stopped_early.is_none() {
        let text = format!("stopped after {}, before its end", Micros(seen.duration_us));
        (Cause::Cancelled, text, "run it to its end".to_owned())
    } else if is_too_slow(seen.stood_still_us, seen.duration_us) {
        let text = format!(
            "this machine stood still for {} of {}: it was stopped or had no processor",
            Micros(seen.stood_still_us),
            Micros(seen.duration_us)
        );
        (Cause::GeneratorTooSlow, text, ELSEWHERE.to_owned())
    } else if is_too_slow(seen.late_starts, due) {
        let text = format!(
            "{} of {due} requests left this machine over 10 ms late: it could not keep up",
            seen.late_starts
        );
        (Cause::GeneratorTooSlow, text, ELSEWHERE.to_owned())
    } else if is_too_slow(unopened(seen), due) {
        let text = format!(
            "{} of {due} requests got no connection: this machine had no port or file left for one",
            unopened(seen)
        );
        let next = "keep connections alive, lower the rate, or share it between machines: --shard";
        (Cause::GeneratorTooSlow, text, next.to_owned())
    } else if is_redirected(seen) {
        let text = format!(
            "{} of {due} answers were redirects: nothing behind them was measured",
            seen.redirects
        );
        (Cause::NoData, text, format!("curl -sI http://{}", seen.target))
    } else {
        return None;
    };
    Some(Unfit { cause, text, next })
}

fn unopened(seen: &LoadResult) -> u64 {
    seen.errors_by_kind.get(Failure::Generator.as_str()).copied().unwrap_or_default()
}

/// Nine in ten of the right answers, or more, point elsewhere.
fn is_redirected(seen: &LoadResult) -> bool {
    let right = seen.requests.saturating_sub(seen.errors);
    seen.redirects > 0 && u128::from(seen.redirects) * 10 >= u128::from(right) * 9
}

/// More than one in a hundred.
fn is_too_slow(late: u64, due: u64) -> bool {
    u128::from(late) * 100 > u128::from(due)
}
