//! What a rollback does, step by step: printed by `--dry-run`, and said by the run itself.

use super::run::Rollback;
use super::target::Target;
use crate::base::units::Micros;
use crate::plan::step::Description;
use crate::rollout::ports::Change;
use crate::verbs::read_back::KEYS;

pub(super) const TRAFFIC: &str = "traffic";
pub(super) const VERIFY: &str = "verify";
pub(super) const RECORD: &str = "record";
pub(super) const SHARE: &str = "share";

/// The steps from here to `target`.
pub(crate) fn planned(rollback: &Rollback, target: &Target) -> Vec<Description> {
    let step = |name, title: String, call: String, ms| Description {
        name,
        title,
        calls: vec![call],
        expected_us: Micros::from_millis(ms),
        risk: None,
        back: None,
        done: false,
    };
    let call = if target.lowers {
        format!("{}: lower to base", rollback.platform.capabilities().state_holder)
    } else {
        let holder = rollback.platform.capabilities().state_holder;
        format!("{holder}: everything to {}", target.deployment)
    };
    let to = target.deployment.as_str();
    let named = rollback.platform.calls_of(Change::Back);
    let call = named.first().map_or(call, |named| named.replace("BASE", to));
    let mut traffic = step(TRAFFIC, format!("send all users to {}", target.deployment), call, 50);
    traffic.risk = Some("requests that are open finish where they are".to_owned());
    if target.condemned.is_some() {
        traffic.back = Some("another candidate: this commit is condemned here".to_owned());
    }
    let keys = format!("GET /version as {KEYS} different users");
    let mut steps = vec![traffic, step(VERIFY, "read traffic back".to_owned(), keys, 500)];
    if rollback.book.is_some() {
        let call = "ledger: step_ended, rolled_back".to_owned();
        steps.push(step(RECORD, "write down what became of it".to_owned(), call, 20));
    }
    if rollback.book.is_some() && !rollback.emergency {
        let call = "git push of the ledger, at most 12 s".to_owned();
        steps.push(step(SHARE, "share the ledger".to_owned(), call, 500));
    }
    steps
}
