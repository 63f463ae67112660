//! Building: a deployment is created from a commit, takes its time, and can be cancelled meanwhile.

use serde_json::Value;

use super::documents;
use super::project::{Project, now_ms};

/// `POST /v13/deployments`: a production deployment of `gitSource.sha`.
pub(super) fn create(project: &mut Project, body: &Value) -> (u16, Value) {
    let Some(commit) = body["gitSource"]["sha"].as_str() else {
        return documents::error((400, "bad_request", "there is nothing to build"));
    };
    if body["target"] != "production" {
        return documents::error((400, "bad_request", "only production is known here"));
    }
    let (id, url) = project.spare.pop().expect("a spare deployment");
    project.deploy(&id, &url, Some("production"), commit);
    let marks = body["meta"].as_object().cloned().unwrap_or_default();
    let made = project.deployment(&id).expect("it was made just now");
    made.marks = marks;
    if body["autoAssignCustomDomains"] != false {
        project.served(&id);
    }
    let made = project.known(&id).expect("it was made just now");
    (200, documents::deployment(project, made))
}

pub(super) fn cancel(project: &mut Project, id: &str) -> (u16, Value) {
    let Some(found) = project.deployment(id) else {
        return documents::error((404, "not_found", "The deployment could not be found"));
    };
    if found.ready_ms <= now_ms() {
        return documents::error((400, "bad_request", "the build has ended"));
    }
    found.canceled = true;
    let found = project.known(id).expect("it is known");
    (200, documents::deployment(project, found))
}
