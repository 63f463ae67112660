//! The operations of the API on the project.

use serde_json::{Value, json};

use super::project::{Project, Refusal, now_ms};
use super::{PROJECT, TEAM};
use super::{builds, checks, documents, metrics, variables};
use crate::support::contract::decoded;

/// One request, taken apart.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a [(String, String)],
    pub(super) body: &'a Value,
}

impl Request<'_> {
    fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }
}

type Answer = (u16, Value);

/// Does it and answers. The second value is nothing where there is no body.
pub(super) fn answer(project: &mut Project, request: &Request<'_>) -> Answer {
    project.settle();
    if request.asked("teamId") != Some(TEAM) {
        return documents::error((403, "forbidden", "Not authorized: the team is not named"));
    }
    let path: Vec<String> = request.path.trim_start_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let of_project = |named: &str| named == PROJECT || named == "shop";
    let known = match parts.as_slice() {
        [_, "projects", named, ..] => of_project(named),
        _ => true,
    };
    if !known {
        let status = if parts.len() == 3 { 403 } else { 404 };
        return documents::error((status, "not_found", "Project not found"));
    }
    match (request.method, parts.as_slice()) {
        ("GET", ["v9", "projects", _]) => (200, documents::project(project)),
        ("PATCH", ["v9", "projects", _]) => {
            if let Some(assigns) = request.body["autoAssignCustomDomains"].as_bool() {
                project.auto_assigns = assigns;
            }
            (200, documents::project(project))
        }
        ("GET", ["v13", "deployments", named]) => match project.known(named) {
            Some(found) => (200, documents::deployment(project, found)),
            None => documents::error((404, "not_found", "The deployment could not be found")),
        },
        ("GET", ["v7", "deployments"]) => list(project, request),
        ("POST", ["v13", "deployments"]) => builds::create(project, request.body),
        ("PATCH", ["v12", "deployments", id, "cancel"]) => builds::cancel(project, id),
        ("GET", ["v1" | "v9", "projects", _, kind @ ("promote" | "rollback"), "aliases"]) => {
            (200, documents::moved(project, kind))
        }
        ("GET", ["v4", "aliases", named]) if *named == project.domain => {
            (200, documents::alias(project))
        }
        (method @ ("GET" | "POST"), ["v10", "projects", _, "env"])
        | (method @ "DELETE", ["v1", "projects", _, "env"]) => {
            let upserts = request.asked("upsert") == Some("true");
            variables::answer(project, (method, upserts), request.body)
        }
        (method @ ("GET" | "POST"), ["v2", "projects", _, "checks"]) => {
            checks::of_project(project, method, request.body)
        }
        ("POST", ["v2", "deployments", id, "check-runs"]) => {
            checks::begin(project, id, request.body)
        }
        ("PATCH", ["v2", "deployments", _, "check-runs", run]) => {
            checks::change(project, run, request.body)
        }
        ("GET", ["v2", "observability", "schema"]) => metrics::catalogue(),
        ("POST", ["metrics", "v1"]) => metrics::query(project, request.body),
        // By the id alone: a name is no project here.
        ("POST", ["v1", "projects", PROJECT, verb @ ("pause" | "unpause")]) => {
            project.pause(*verb == "pause");
            (200, Value::Null)
        }
        ("POST", ["v10", "projects", _, "promote", id]) => match project.promote(id) {
            Ok(queued) => (if queued { 202 } else { 201 }, Value::Null),
            Err(refusal) => refused(&refusal),
        },
        ("POST", ["v1" | "v9", "projects", _, "rollback", id]) => match project.roll_back(id) {
            Ok(()) => (201, Value::Null),
            Err(refusal) => refused(&refusal),
        },
        (method, ["v1", "projects", _, "rolling-release", rest @ ..]) => {
            rolling(project, request, (method, rest))
        }
        _ => documents::error((404, "not_found", "no such path")),
    }
}

fn refused((status, code, message): &Refusal) -> Answer {
    documents::error((*status, code, message))
}

fn rolling(project: &mut Project, request: &Request<'_>, at: (&str, &[&str])) -> Answer {
    let canary = request.text("canaryDeploymentId").to_owned();
    let changed = match at {
        ("GET", []) => Ok(()),
        ("GET", ["billing"]) => return (200, documents::billing(project.plan)),
        ("GET", ["config"]) => {
            return (200, documents::template(project.rolling.template.as_ref()));
        }
        ("PATCH", ["config"]) => return configure(project, request.body),
        ("POST", ["start"]) => project.start(&canary),
        ("POST", ["approve-stage"]) => {
            let next = request.body["nextStageIndex"].as_u64().unwrap_or_default();
            project.approve(&canary, next, request.body["activeStageIndex"].as_u64())
        }
        ("POST", ["complete"]) => project.complete(&canary),
        _ => return documents::error((404, "not_found", "no such path")),
    };
    match changed {
        Ok(()) => (200, documents::release(project)),
        Err(refusal) => refused(&refusal),
    }
}

/// The template: ascending, the last 100, no durations where people approve.
fn configure(project: &mut Project, body: &Value) -> Answer {
    if body["enabled"] == false {
        project.rolling.template = None;
        return (200, documents::template(None));
    }
    let stages: Vec<u32> = body["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|stage| stage["targetPercentage"].as_u64())
        .filter_map(|percent| u32::try_from(percent).ok())
        .collect();
    let ascends = stages.windows(2).all(|pair| pair[0] < pair[1]);
    let timed = body["stages"].to_string().contains("duration");
    let manual = body["advancementType"] == "manual-approval";
    if !ascends || stages.last() != Some(&100) || stages.first() == Some(&0) || !manual || timed {
        return documents::error((400, "bad_request", "these stages cannot be"));
    }
    project.rolling.template = Some(stages);
    (200, documents::template(project.rolling.template.as_ref()))
}

/// The newest first; `until` leaves out what is newer.
fn list(project: &Project, request: &Request<'_>) -> Answer {
    let limit: usize = request.asked("limit").and_then(|n| n.parse().ok()).unwrap_or(20);
    let until = request.asked("until").and_then(|ms| ms.parse().ok()).unwrap_or(now_ms() + 1);
    let wanted = |of: &&super::project::Deployment| {
        request.asked("target").is_none_or(|target| of.target == Some(target))
            && request.asked("sha").is_none_or(|sha| of.commit == sha)
            && (request.asked("rollbackCandidate") != Some("true")
                || (of.has_served && of.id != project.production))
            && of.created_ms < until
    };
    let mut found: Vec<_> = project.deployments.iter().filter(wanted).collect();
    found.sort_by_key(|of| std::cmp::Reverse(of.created_ms));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|of| of.created_ms);
    let rows: Vec<Value> = found.iter().map(|of| documents::row(project, of)).collect();
    let pagination = json!({"count": rows.len(), "next": next, "prev": Value::Null});
    (200, json!({"deployments": rows, "pagination": pagination}))
}
