//! Environment variables: a creation of several may answer 201 and have failed for some, and what is
//! sensitive is never given back.

use serde_json::{Value, json};

use super::documents;
use super::project::{Project, now_ms};

/// Answers what begins with `/v{1,10}/projects/{id}/env`.
pub(super) fn answer(
    project: &mut Project,
    (method, upserts): (&str, bool),
    body: &Value,
) -> (u16, Value) {
    match method {
        "GET" => {
            let shown: Vec<Value> = project.variables.iter().map(given_back).collect();
            (200, json!({ "envs": shown }))
        }
        "POST" => create(project, upserts, body),
        "DELETE" => {
            let ids = body["ids"].as_array().cloned().unwrap_or_default();
            let before = project.variables.len();
            project.variables.retain(|variable| !ids.contains(&variable["id"]));
            let deleted = before - project.variables.len();
            (200, json!({"deleted": deleted, "ids": ids}))
        }
        _ => documents::error((404, "not_found", "no such path")),
    }
}

fn given_back(variable: &Value) -> Value {
    let mut shown = variable.clone();
    if shown["type"] == "sensitive" {
        shown["value"] = "".into();
    } else {
        shown["decrypted"] = true.into();
    }
    shown
}

/// Reserved names are refused one by one, inside a success.
fn create(project: &mut Project, upserts: bool, body: &Value) -> (u16, Value) {
    let wanted = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
    let (mut created, mut failed) = (Vec::new(), Vec::new());
    for mut one in wanted {
        let key = one["key"].as_str().unwrap_or_default().to_owned();
        let fails = |code: &str, message: String| json!({"error": {"code": code, "message": message, "key": key}});
        let known = project
            .variables
            .iter_mut()
            .find(|known| known["key"] == one["key"] && known["target"] == one["target"]);
        match known {
            _ if key.starts_with("VERCEL_") => {
                failed.push(fails(
                    "RESERVED_ENV_VARIABLE",
                    format!("{key} is reserved, so it cannot be {}", one["value"]),
                ));
            }
            Some(_) if !upserts => {
                failed.push(fails("ENV_CONFLICT", format!("{key} exists already")));
            }
            Some(known) => {
                known["value"] = one["value"].clone();
                known["type"] = one["type"].clone();
                known["updatedAt"] = now_ms().into();
                created.push(given_back(known));
            }
            None => {
                project.variable_ids += 1;
                one["id"] = format!("env_{}", project.variable_ids).into();
                one["createdAt"] = now_ms().into();
                one["updatedAt"] = now_ms().into();
                created.push(given_back(&one));
                project.variables.push(one);
            }
        }
    }
    (201, json!({"created": created, "failed": failed}))
}
