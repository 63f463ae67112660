//! What the API answers, in the forms of its contract.

use serde_json::{Value, json};

use super::project::{AliasRequest, Deployment, Plan, Project, now_ms};
use super::releases::{Phase, Release};
use super::{PROJECT, TEAM};

pub(super) fn error((status, code, message): (u16, &str, &str)) -> (u16, Value) {
    (status, json!({"error": {"code": code, "message": message}}))
}

fn ready_state(deployment: &Deployment) -> &'static str {
    let now = now_ms();
    match deployment {
        d if d.canceled => "CANCELED",
        d if d.ready_ms > now && now < d.created_ms + (d.ready_ms - d.created_ms) / 4 => "QUEUED",
        d if d.ready_ms > now => "BUILDING",
        d if d.build_fails => "ERROR",
        _ => "READY",
    }
}

fn substate(project: &Project, deployment: &Deployment) -> &'static str {
    let rolls = project.rolling.split().is_some_and(|(canary, _)| canary == deployment.id);
    match deployment {
        _ if rolls => "ROLLING",
        d if d.has_served => "PROMOTED",
        _ => "STAGED",
    }
}

pub(super) fn deployment(project: &Project, of: &Deployment) -> Value {
    let state = ready_state(of);
    let mut value = json!({
        "id": of.id, "url": of.url, "name": "shop", "projectId": PROJECT, "type": "LAMBDAS",
        "readyState": state, "status": state, "readySubstate": substate(project, of),
        "target": of.target, "version": 2, "public": false, "regions": ["iad1"],
        "creator": {"uid": "u_ada"}, "createdAt": of.created_ms, "buildingAt": of.created_ms,
        "bootedAt": of.created_ms, "buildSkipped": false,
        "aliasAssigned": project.production == of.id,
        "meta": meta(of),
        "build": {"env": []}, "env": [], "inspectorUrl": Value::Null,
        "isInConcurrentBuildsQueue": false, "isInSystemBuildsQueue": false,
        "projectSettings": {}, "plan": "enterprise", "createdIn": "iad1", "ownerId": TEAM,
        "routes": Value::Null,
    });
    if of.build_fails && state == "ERROR" {
        value["errorCode"] = "BUILD_FAILED".into();
        value["errorMessage"] = "Command \"npm run build\" exited with 1".into();
    }
    value
}

fn meta(of: &Deployment) -> Value {
    let mut meta = of.marks.clone();
    meta.insert("githubCommitSha".to_owned(), of.commit.as_str().into());
    meta.insert("githubCommitRef".to_owned(), "main".into());
    Value::Object(meta)
}

/// A row of the list.
pub(super) fn row(project: &Project, of: &Deployment) -> Value {
    let state = ready_state(of);
    json!({
        "uid": of.id, "url": of.url, "name": "shop", "projectId": PROJECT, "type": "LAMBDAS",
        "state": state, "readyState": state, "readySubstate": substate(project, of),
        "target": of.target, "created": of.created_ms, "createdAt": of.created_ms,
        "creator": {"uid": "u_ada"}, "inspectorUrl": Value::Null,
        "isRollbackCandidate": of.has_served && project.production != of.id,
        "meta": meta(of),
    })
}

pub(super) fn project(project: &Project) -> Value {
    let regions = json!({"functionDefaultRegions": ["iad1"]});
    let mut value = json!({
        "id": PROJECT, "name": "shop", "accountId": TEAM, "directoryListing": false,
        "nodeVersion": "22.x", "resourceConfig": regions, "defaultResourceConfig": regions,
        "autoAssignCustomDomains": project.auto_assigns, "paused": project.paused,
        "lastAliasRequest": project.last.as_ref().map(alias_request),
        "targets": {},
    });
    if project.is_linked {
        value["link"] = json!({
            "type": "github", "org": "acme", "repo": "shop", "repoId": 4711, "createdAt": 1,
            "updatedAt": 1, "deployHooks": [], "gitCredentialId": "cred_1", "sourceless": false,
            "productionBranch": "main",
        });
    }
    value
}

fn alias_request(of: &AliasRequest) -> Value {
    let status = match of {
        of if now_ms() < of.done_ms => "in-progress",
        of if of.fails => "failed",
        _ => "succeeded",
    };
    json!({
        "fromDeploymentId": of.from, "toDeploymentId": of.to, "jobStatus": status,
        "requestedAt": of.requested_ms, "type": of.kind,
    })
}

pub(super) fn alias(project: &Project) -> Value {
    json!([{
        "alias": project.domain, "created": "2026-01-05T09:00:00.000Z", "uid": "alias_shop",
        "deploymentId": project.production, "projectId": PROJECT,
    }])
}

/// The domains that the last promotion could not move.
pub(super) fn moved(project: &Project, kind: &str) -> Value {
    let fails = project.last.as_ref().is_some_and(|last| last.fails && last.kind == kind);
    // Where the production domain was moved, it is another one that was not.
    let alias = if project.moves_partly { "www.shop.example" } else { project.domain.as_str() };
    let row = json!({"status": "failed", "alias": alias, "id": "alias_shop"});
    let rows: Vec<Value> = Some(row).filter(|_| fails).into_iter().collect();
    let pagination = json!({"count": rows.len(), "next": Value::Null, "prev": Value::Null});
    json!({"aliases": rows, "pagination": pagination})
}

pub(super) fn billing(plan: Plan) -> Value {
    match plan {
        Plan::Enterprise => json!({
            "availableSlots": "unlimited", "reason": "unlimited_slots", "message": "",
        }),
        Plan::ProWithoutSlot => json!({
            "availableSlots": 0, "reason": "no_available_slots", "message": "all slots are used",
            "enabledProjects": ["blog"],
        }),
        Plan::Hobby => json!({
            "availableSlots": 0, "reason": "plan_not_supported",
            "message": "Rolling Releases are on Pro and Enterprise",
        }),
    }
}

pub(super) fn template(stages: Option<&Vec<u32>>) -> Value {
    let stages = stages.map(|stages| {
        let stage = |percent: &u32| {
            json!({"targetPercentage": percent, "requireApproval": *percent != 100})
        };
        json!({
            "target": "production", "stages": stages.iter().map(stage).collect::<Vec<_>>(),
        })
    });
    json!({ "rollingRelease": stages })
}

pub(super) fn release(project: &Project) -> Value {
    let newest = project.rolling.newest.as_ref();
    json!({ "rollingRelease": newest.map(|newest| one_release(project, newest)) })
}

fn one_release(project: &Project, of: &Release) -> Value {
    let stage = |index: usize| {
        let percent = *of.stages.get(index)?;
        Some(json!({
            "index": index, "targetPercentage": percent, "isFinalStage": percent == 100,
            "requireApproval": percent != 100, "duration": Value::Null,
        }))
    };
    let side = |id: &str| {
        project.known(id).map(|of| {
            json!({
                "id": of.id, "name": "shop", "url": of.url, "createdAt": of.created_ms,
                "readyState": ready_state(of), "target": of.target, "source": "git",
            })
        })
    };
    let is_active = of.phase == Phase::Active;
    json!({
        "state": match of.phase {
            Phase::Active => "ACTIVE",
            Phase::Complete => "COMPLETE",
            Phase::Aborted => "ABORTED",
        },
        "substate": Value::Null, "advancementType": "manual-approval",
        "activeStage": if is_active { stage(of.stage) } else { None },
        "nextStage": if is_active { stage(of.stage + 1) } else { None },
        "stages": (0..of.stages.len()).map(stage).collect::<Vec<_>>(),
        "currentDeployment": side(&of.base), "canaryDeployment": side(&of.canary),
        "queuedDeploymentId": of.queued, "startedAt": of.started_ms, "updatedAt": of.updated_ms,
    })
}
