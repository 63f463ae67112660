//! `orca canary start --detach`: the first stage now, the others by `orca canary tick`.

use super::canary_start::CanaryDocument;
use super::canary_tick;
use crate::base::limits;
use crate::base::units::Micros;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::rollout::plan::{DecideBy, RolloutPlan};
use crate::rollout::ports::Capabilities;
use crate::verbs::canary::once::Stands;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Ticks {
    /// Raise the first stage only; a scheduled job runs `orca canary tick` for the others
    #[arg(long, requires = "every")]
    pub(super) detach: bool,

    /// How often that job runs, such as 15m
    #[arg(long, value_name = "SPAN", requires = "detach")]
    every: Option<Micros>,

    /// How long a weight lasts without a tick, up to 24h; `canary.grant` unless given
    #[arg(long, value_name = "SPAN", requires = "detach")]
    grant: Option<Micros>,
}

const GRANT_MIN: Micros = Micros::from_secs(1);

impl Ticks {
    /// The plan as ticks carry it on; the same plan where a process drives it.
    pub(super) fn plan(
        &self,
        plan: RolloutPlan,
        platform: &Capabilities,
    ) -> Result<RolloutPlan, Failure> {
        let Some(every) = self.every.filter(|_| self.detach) else { return Ok(plan) };
        let grant = self.grant.unwrap_or(plan.grant);
        if platform.holds_grant {
            refuse_grant(grant, every)?;
        }
        if let Some(stage) = plan.stages.iter().position(|at| at.decide_by == DecideBy::Paired) {
            let text = format!(
                "stage {} is decided by paired load, and between two ticks nobody sends it",
                stage + 1
            );
            return Err(Failure::new(Code::DetachedPaired, Exit::Usage, text)
                .hint("orca canary start without --detach drives it")
                .hint("decide_by: users in orca.yaml"));
        }
        let renewal = Micros((grant.0 / limits::GRANT_RENEWALS).max(1));
        Ok(RolloutPlan { every: Some(every), grant, renewal, ..plan })
    }
}

/// A grant that ends before the next tick brings users back each time.
fn refuse_grant(grant: Micros, every: Micros) -> Result<(), Failure> {
    let max = Micros(u64::try_from(limits::GRANT_DETACHED_MAX.as_micros()).unwrap_or(u64::MAX));
    let refused = |text: String| Failure::new(Code::GrantTooShort, Exit::Usage, text);
    if every < GRANT_MIN {
        let text = format!("--every {every} is no interval of a scheduled job");
        return Err(refused(text).hint("--every 15m"));
    }
    if !(GRANT_MIN..=max).contains(&grant) {
        let text = format!("a grant of {grant} is not between {GRANT_MIN} and 24 h");
        return Err(refused(text).hint("--grant 45m"));
    }
    if grant > every {
        return Ok(());
    }
    let enough = Micros(every.0.saturating_mul(3).min(max.0));
    let text = format!(
        "the grant of {grant} ends before the next tick, which comes every {every}: users would \
         be back on base each time"
    );
    Err(refused(text).hint(format!("--grant {enough}, or canary.grant in orca.yaml")))
}

/// The first stage has its weight, or waits for its proof.
pub(super) fn report(mut document: CanaryDocument, stands: &Stands, plan: &RolloutPlan) -> Report {
    let (exit, at) = canary_tick::goes_on(stands, plan, None);
    let every = plan.every.map_or_else(String::new, |every| format!(" every {every}"));
    document.reason = format!("{}; orca canary tick{every} goes on from here", at.reason());
    let human = format!("{}: {}\n", document.release, document.reason);
    Report::new(exit, "orca.canary/v1", &document, human)
        .output("end", "")
        .next("orca canary tick")
        .next("orca canary status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_lasts_longer_than_the_interval() {
        let secs = Micros::from_secs;
        for (grant, every, refused) in [
            (secs(61), secs(60), None),
            (secs(60), secs(60), Some("--grant 3 m")),
            (secs(59), secs(60), Some("--grant 3 m")),
            (secs(86_400), secs(3_600), None),
            (secs(86_401), secs(3_600), Some("--grant 45m")),
            (secs(60), Micros(0), Some("--every 15m")),
            (secs(3_600), secs(43_200), Some("--grant 24 h")),
        ] {
            let said = refuse_grant(grant, every).err();
            let hint = said.as_ref().map(|failure| failure.hints[0].as_str());
            match (hint, refused) {
                (Some(hint), Some(part)) => assert!(hint.contains(part), "{hint}"),
                (hint, part) => assert_eq!(hint, part, "{grant} {every}"),
            }
        }
    }
}
