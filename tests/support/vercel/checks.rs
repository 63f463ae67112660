//! Checks of others: a project has them by name, and each run of one stands beside a deployment.

use serde_json::{Value, json};

use super::project::{Project, now_ms};
use super::{PROJECT, TEAM, documents};

/// One run, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckRun {
    pub(crate) deployment: String,
    pub(crate) status: String,
    pub(crate) conclusion: Option<String>,
    pub(crate) text: Option<String>,
}

/// The project's checks, by name, and their runs.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    names: Vec<String>,
    pub(crate) runs: Vec<CheckRun>,
}

/// `/v2/projects/{project}/checks`.
pub(super) fn of_project(project: &mut Project, method: &str, body: &Value) -> (u16, Value) {
    let checks = &mut project.checks;
    if method == "GET" {
        let all: Vec<Value> = (0..checks.names.len()).map(|at| check(checks, at)).collect();
        return (200, json!({ "checks": all }));
    }
    checks.names.push(body["name"].as_str().expect("a name is required").to_owned());
    (200, check(checks, checks.names.len() - 1))
}

/// `POST /v2/deployments/{deployment}/check-runs`.
pub(super) fn begin(project: &mut Project, deployment: &str, body: &Value) -> (u16, Value) {
    let known = (0..project.checks.names.len()).any(|at| body["checkId"] == id("check", at));
    if !known || project.known(deployment).is_none() {
        return documents::error((404, "not_found", "no such check or deployment"));
    }
    project.checks.runs.push(CheckRun {
        deployment: deployment.to_owned(),
        status: "queued".to_owned(),
        conclusion: None,
        text: None,
    });
    (200, run(&project.checks, project.checks.runs.len() - 1))
}

/// `PATCH /v2/deployments/{deployment}/check-runs/{run}`.
pub(super) fn change(project: &mut Project, named: &str, body: &Value) -> (u16, Value) {
    let checks = &mut project.checks;
    let Some(at) = (0..checks.runs.len()).find(|at| id("run", *at) == named) else {
        return documents::error((404, "not_found", "no such run"));
    };
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let of = &mut checks.runs[at];
    of.status = text("status").unwrap_or_else(|| of.status.clone());
    (of.conclusion, of.text) = (text("conclusion"), text("conclusionText"));
    (200, run(checks, at))
}

fn id(kind: &str, at: usize) -> String {
    format!("{kind}_{at:012}")
}

fn check(checks: &Checks, at: usize) -> Value {
    json!({
        "id": id("check", at), "name": checks.names[at], "ownerId": TEAM, "projectId": PROJECT,
        "blocks": "none", "requires": "deployment-url", "isRerequestable": false, "targets": [],
        "source": {"kind": "webhook"}, "sourceKind": "webhook", "timeout": 300_000,
        "createdAt": now_ms(), "updatedAt": now_ms(),
    })
}

fn run(checks: &Checks, at: usize) -> Value {
    let of = &checks.runs[at];
    let mut run = json!({
        "id": id("run", at), "checkId": id("check", 0), "name": checks.names[0], "ownerId": TEAM,
        "deploymentId": of.deployment, "status": of.status, "source": {"kind": "webhook"},
        "timeout": 300_000, "createdAt": now_ms(), "updatedAt": now_ms(),
    });
    if let (Some(conclusion), Some(text)) = (&of.conclusion, &of.text) {
        run["conclusion"] = conclusion.as_str().into();
        run["conclusionText"] = text.as_str().into();
    }
    run
}
