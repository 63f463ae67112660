//! Every format that orca reads or writes, by name, as a JSON Schema. Generated from the types
//! themselves, so that the schema cannot say something else than the code.

use serde_json::Value;

type Generate = fn() -> Value;

macro_rules! documents {
    ($($name:literal => $document:ty,)*) => {
        /// Names and how to make their schemas, in the order shown.
        pub(crate) const ALL: &[(&str, Generate)] =
            &[$(($name, || schemars::schema_for!($document).to_value()),)*];
    };
}

documents! {
    "orca.yaml" => super::config::raw::RawConfig,
    "orca.release-tag/v1" => super::args::release_tag::Tagged,
    "orca.release-status/v1" => super::args::release_status::Status,
    "orca.preflight/v1" => super::args::preflight::Preflight,
    "orca.load-gate/v1" => super::args::load_gate::LoadGate,
    "orca.canary/v1" => super::args::canary_start::CanaryDocument,
    "orca.canary.status/v1" => super::args::canary_status::StatusDocument,
    "orca.canary.advance/v1" => super::args::canary_advance::AdvanceDocument,
    "orca.canary.pause/v1" => super::args::canary_pause::PauseDocument,
    "orca.canary.tick/v1" => super::args::canary_tick::TickDocument,
    "orca.canary-end/v1" => super::args::canary_again::CanaryEnd,
    "orca.deploy/v1" => super::args::deploy_blue_green::BlueGreenDocument,
    "orca.promote/v1" => super::args::promote::PromoteDocument,
    "orca.rollback/v1" => super::args::rollback::RollbackDocument,
    "orca.ship/v1" => super::args::ship::ShipDocument,
    "orca.watch/v1" => super::args::watch::WatchDocument,
    "orca.env-sync/v1" => super::args::env_sync::EnvSyncDocument,
    "orca.evidence-generate/v1" => super::args::evidence_generate::Generated,
    "orca.maintenance/v1" => super::args::maintenance::MaintenanceDocument,
    "orca.freeze/v1" => super::args::freeze::FreezeDocument,
    "orca.init/v1" => super::args::init::Initialised,
    "orca.demo/v1" => super::args::demo::DemoDocument,
    "orca.ledger-log/v1" => super::args::ledger_log::Log,
    "orca.ledger-sync/v1" => super::args::ledger_sync::Synced,
    "orca.ledger-verify/v1" => super::args::ledger_verify::Checked,
    "orca.ledger-restore/v1" => super::args::ledger_restore::RestoredDocument,
    "orca.why/v1" => super::args::why::Why,
    "orca.release-next/v1" => crate::release::version::Next,
    "orca.release-check-commits/v1" => super::args::release::Checked,
    "orca.release-notes/v1" => super::args::release::Notes,
    "orca.router-listening/v1" => super::args::router::Listening,
    "orca.router-ended/v1" => super::args::router::Ended,
    "orca.db-lint/v1" => super::args::db_lint::Lint,
    "orca.router-state/v1" => crate::router::state::RouterState,
    "orca.router-admin-state/v1" => crate::router::api::StateAnswer,
    "orca.router-admin-error/v1" => crate::router::api::ErrorAnswer,
    "orca.router-metrics/v1" => crate::router::metrics::RouterMetrics,
    "exec.request" => super::wire_platform::ExecRequest,
    "exec.answer" => super::wire_platform::ExecAnswer,
    "router.stage" => crate::router::api::StageRequest,
    "router.raise" => crate::router::api::RaiseRequest,
    "router.renew" => crate::router::api::RenewRequest,
    "router.lower" => crate::router::api::LowerRequest,
    "router.promote" => crate::router::api::PromoteRequest,
    "router.close" => crate::router::api::CloseRequest,
    "router.previous" => crate::router::api::PreviousRequest,
    "orca.db-shadow/v1" => super::args::db_shadow::ShadowDocument,
    "orca.db-project/v1" => super::args::db_project::ProjectDocument,
    "orca.db-restore-point/v1" => super::args::db_restore_point::RestorePointDocument,
    "orca.db-roles/v1" => super::args::db_roles::RolesDocument,
    "orca.db-drift/v1" => super::args::db_drift::DriftDocument,
    "orca.db-backup/v1" => super::args::db_backup::BackupDocument,
    "orca.db-restore-check/v1" => super::args::db_restore_check::RestoreDocument,
    "orca.backup/v1" => crate::db::backup::manifest::Manifest,
    "orca.db-rls/v1" => super::args::db_area::AreaDocument,
    "orca.db-rpc/v1" => super::args::db_area::AreaDocument,
    "orca.db-baseline/v1" => super::args::db_look::Baseline,
    "orca.evidence/v1" => crate::evidence::manifest::EvidenceManifest,
    "orca.pack/v1" => crate::evidence::pack::PackManifest,
    "orca.evidence-verify/v1" => crate::evidence::verify::Verification,
    "orca.evidence-rejudge/v1" => crate::evidence::rejudge::Rejudgement,
    "slo_manifest.yaml" => crate::slo::raw::RawManifest,
    "orca.slo-check/v1" => super::args::slo_check::Checked,
    "orca.slo-seen/v1" => crate::slo::telemetry::Observed,
    "orca.slo-budget/v1" => super::args::slo_budget::Budgets,
    "orca.slo-import/v1" => super::args::slo_import::ImportedDocument,
    "orca.slo-judge/v1" => super::args::slo_judge::Answer,
    "orca.slo-explain/v1" => super::args::slo_explain::Explained,
    "orca.canary-judge/v1" => super::args::canary_judge::Judged,
    "orca.canary-judge-kayenta/v1" => crate::slo::kayenta::Classified,
    "orca.canary-score-kayenta/v1" => super::args::canary_judge_kayenta::CanaryScore,
    "orca.load-capacity/v1" => crate::load::capacity::Capacity,
    "orca.smoke/v1" => super::render::smoke::SmokeDocument,
    "orca.load-second/v1" => crate::load::result::StreamedSecond,
    "orca.load/v1" => crate::load::result::LoadResult,
    "orca.sample-service/v1" => super::args::sample_service::Listening,
    "orca.sample-service-ended/v1" => super::args::sample_service::Ended,
    "orca.explain/v1" => super::args::explain::Page,
    "orca.explain-list/v1" => super::args::explain::List,
    "orca.completions/v1" => super::args::completions::Completions,
    "orca.man/v1" => super::args::man::Manual,
    "orca.schema-list/v1" => super::args::schema::Names,
    "orca.failure/v1" => super::failure::FailureDocument,
}

/// The schema called `name`.
pub(crate) fn find(name: &str) -> Option<Value> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, generate)| generate())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_one() {
        for (name, generate) in ALL {
            let schema = generate();
            assert!(schema.get("$schema").is_some(), "{name}");
        }
        assert!(find("nonsense").is_none());
    }
}
