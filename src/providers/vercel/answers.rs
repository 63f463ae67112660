//! The parts of Vercel's answers that are read. Fields that are not named here are ignored.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// `GET /v13/deployments/{idOrUrl}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deployment {
    pub(super) id: String,
    /// Without a scheme.
    pub(super) url: String,
    pub(super) ready_state: String,
    /// `production` or `staging`; nothing for a preview.
    pub(super) target: Option<String>,
    pub(super) project_id: Option<String>,
    #[serde(default)]
    pub(super) created_at: i64,
    #[serde(default)]
    meta: BTreeMap<String, Value>,
}

impl Deployment {
    /// The commit that was built, where a git provider said it.
    pub(super) fn commit(&self) -> Option<&str> {
        ["githubCommitSha", "gitlabCommitSha", "bitbucketCommitSha", "gitCommitSha"]
            .iter()
            .find_map(|key| self.meta.get(*key)?.as_str())
    }
}

/// `GET /v7/deployments`.
#[derive(Debug, Deserialize)]
pub(super) struct DeploymentPage {
    pub(super) deployments: Vec<DeploymentRow>,
    pub(super) pagination: Pagination,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeploymentRow {
    pub(super) uid: String,
    pub(super) created_at: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pagination {
    pub(super) next: Option<i64>,
}

/// `GET /v9/projects/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Project {
    pub(super) id: String,
    pub(super) last_alias_request: Option<AliasRequest>,
}

/// What was last asked of the production domains.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AliasRequest {
    pub(super) from_deployment_id: String,
    pub(super) to_deployment_id: String,
    /// `pending`, `in-progress`, `succeeded`, `failed`, `skipped`.
    pub(super) job_status: String,
    pub(super) requested_at: i64,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

impl AliasRequest {
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.job_status.as_str(), "pending" | "in-progress")
    }
}

/// `GET /v4/aliases/{alias}`: one, though the contract describes a list of one.
pub(super) fn alias_deployment(answer: &Value) -> Option<&str> {
    let one = answer.as_array().map_or(Some(answer), |list| list.first())?;
    one["deploymentId"].as_str()
}

/// `.../rolling-release/billing`.
#[derive(Debug, Deserialize)]
pub(super) struct Billing {
    pub(super) reason: String,
    #[serde(default)]
    pub(super) message: String,
}

/// Every answer about the release that is under way, or was.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RollingEnvelope {
    pub(super) rolling_release: Option<Rolling>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rolling {
    pub(super) state: RollingState,
    pub(super) active_stage: Option<ActiveStage>,
    #[serde(default)]
    pub(super) stages: Vec<ActiveStage>,
    /// What served before it.
    pub(super) current_deployment: Option<Side>,
    pub(super) canary_deployment: Option<Side>,
    pub(super) started_at: i64,
    pub(super) updated_at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum RollingState {
    Active,
    Complete,
    Aborted,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActiveStage {
    pub(super) index: u32,
    pub(super) target_percentage: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Side {
    pub(super) id: String,
}

/// `.../rolling-release/config`: the template of the next release.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateEnvelope {
    pub(super) rolling_release: Option<Template>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Template {
    pub(super) stages: Option<Vec<TemplateStage>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateStage {
    pub(super) target_percentage: u16,
    #[serde(default)]
    pub(super) require_approval: bool,
}

/// What an error says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorAnswer {
    pub(super) error: ErrorBody,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_read_as_one_or_as_a_list_of_one() {
        let one = serde_json::json!({"deploymentId": "dpl_1"});
        let list = serde_json::json!([{"deploymentId": "dpl_1"}]);
        for answer in [one, list] {
            assert_eq!(alias_deployment(&answer), Some("dpl_1"));
        }
        for answer in [serde_json::json!([]), serde_json::json!({"deploymentId": null})] {
            assert_eq!(alias_deployment(&answer), None);
        }
    }
}
