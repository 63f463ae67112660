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
    pub(super) inspector_url: Option<String>,
    /// Of a build that failed.
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
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

/// `GET /v2/projects/{idOrName}/checks`.
#[derive(Debug, Deserialize)]
pub(super) struct CheckPage {
    pub(super) checks: Vec<CheckRow>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) deleted_at: Option<i64>,
}

/// Whatever was made just now.
#[derive(Debug, Deserialize)]
pub(super) struct Identified {
    pub(super) id: String,
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
    #[serde(default)]
    pub(super) ready_state: String,
    /// `STAGED` never served, `ROLLING`, `PROMOTED`.
    pub(super) ready_substate: Option<String>,
    #[serde(default)]
    pub(super) meta: BTreeMap<String, Value>,
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
    /// The team, or the person, that it belongs to.
    #[serde(default)]
    pub(super) account_id: String,
    #[serde(default)]
    pub(super) name: String,
    pub(super) last_alias_request: Option<AliasRequest>,
    /// The repository that Vercel builds from.
    pub(super) link: Option<Link>,
    /// Whether a push to the production branch reaches users by itself; on unless said.
    pub(super) auto_assign_custom_domains: Option<bool>,
    /// Nobody is served; not so unless said.
    pub(super) paused: Option<bool>,
}

/// Where a project's source is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) org: Option<String>,
    pub(super) repo: Option<String>,
    pub(super) repo_id: Option<Value>,
    /// On GitLab.
    pub(super) project_id: Option<Value>,
    /// On Bitbucket.
    pub(super) uuid: Option<String>,
    pub(super) workspace_uuid: Option<String>,
    pub(super) production_branch: String,
}

impl Link {
    /// `gitSource` of exactly this commit; nothing where the API knows no such source.
    pub(super) fn source_of(&self, commit: &str) -> Option<Value> {
        let mut source = match self.kind.as_str() {
            "github" | "github-limited" => match (&self.repo_id, &self.org, &self.repo) {
                (Some(id), _, _) => serde_json::json!({ "repoId": id }),
                (None, Some(org), Some(repo)) => serde_json::json!({"org": org, "repo": repo}),
                _ => return None,
            },
            "gitlab" => serde_json::json!({ "projectId": self.project_id.as_ref()? }),
            "bitbucket" => serde_json::json!({
                "repoUuid": self.uuid.as_ref()?, "workspaceUuid": self.workspace_uuid.as_ref()?,
            }),
            _ => return None,
        };
        source["type"] = self.kind.as_str().into();
        source["ref"] = self.production_branch.as_str().into();
        source["sha"] = commit.into();
        Some(source)
    }
}

/// `.../promote/aliases?failedOnly=true`.
#[derive(Debug, Deserialize)]
pub(super) struct AliasPage {
    #[serde(default)]
    pub(super) aliases: Vec<AliasRow>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AliasRow {
    pub(super) alias: String,
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
    fn every_kind_of_repository_has_its_source() {
        let link = |text: &str| serde_json::from_str::<Link>(text).unwrap();
        let github =
            link(r#"{"type":"github","org":"o","repo":"r","repoId":7,"productionBranch":"main"}"#);
        let source = github.source_of("abc").unwrap();
        assert_eq!(
            source,
            serde_json::json!({"type": "github", "repoId": 7, "ref": "main", "sha": "abc"})
        );
        let named = link(r#"{"type":"github","org":"o","repo":"r","productionBranch":"main"}"#);
        assert_eq!(named.source_of("abc").unwrap()["org"], "o");
        let gitlab = link(r#"{"type":"gitlab","projectId":"9","productionBranch":"main"}"#);
        assert_eq!(gitlab.source_of("abc").unwrap()["projectId"], "9");
        let own = link(r#"{"type":"github-custom-host","productionBranch":"main"}"#);
        assert_eq!(own.source_of("abc"), None);
    }

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
