//! Every rule this orca can judge by, and judge again by. A check that is not listed here does not
//! exist: its exhibits would be Inconclusive.

use crate::db::hosted::project::ProjectCheck;
use crate::db::hosted::roles::RolesCheck;
use crate::db::preflight::history::HistoryCheck;
use crate::db::preflight::lint::LintCheck;
use crate::db::preflight::protection::ProtectionCheck;
use crate::db::preflight::rpc::RpcCheck;
use crate::db::preflight::shadow::ShadowCheck;
use crate::gate::rules::Rules;
use crate::load::slo_check::LoadCheck;
use crate::release::calendar::CalendarCheck;
use crate::release::commits::ConventionalCommits;
use crate::release::trust_change::TrustCheck;
use crate::rollout::bypass::BypassCheck;
use crate::rollout::criteria::CriteriaCheck;
use crate::rollout::health::HealthCheck;
use crate::rollout::identity::IdentityCheck;
use crate::rollout::probes::ProbesCheck;
use crate::rollout::ready::{FirstReadyCheck, ReadyCheck};
use crate::rollout::users::UsersCheck;
use crate::rollout::watched::WatchedCheck;
use crate::slo::budget::BudgetCheck;
use crate::smoke::check::SmokeCheck;

pub(crate) fn all() -> Rules {
    Rules::default()
        .with::<ConventionalCommits>()
        .with::<TrustCheck>()
        .with::<CalendarCheck>()
        .with::<IdentityCheck>()
        .with::<ReadyCheck>()
        .with::<FirstReadyCheck>()
        .with::<BypassCheck>()
        .with::<CriteriaCheck>()
        .with::<UsersCheck>()
        .with::<ProbesCheck>()
        .with::<HealthCheck>()
        .with::<WatchedCheck>()
        .with::<LoadCheck>()
        .with::<BudgetCheck>()
        .with::<SmokeCheck>()
        .with::<HistoryCheck>()
        .with::<LintCheck>()
        .with::<ShadowCheck>()
        .with::<ProtectionCheck>()
        .with::<RpcCheck>()
        .with::<ProjectCheck>()
        .with::<RolesCheck>()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_check_that_is_explained_can_be_judged() {
        let explained: BTreeSet<_> =
            crate::cli::explain::CHECKS.iter().map(|(id, _)| *id).collect();
        assert_eq!(super::all().names().collect::<BTreeSet<_>>(), explained);
    }
}
