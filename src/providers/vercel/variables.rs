//! The project's environment variables. A creation of several may answer 201 and have failed for
//! some: those are told, never taken for set. Sensitive ones are never given back.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{READ_AGAIN, VercelClient, VercelError, encoded};
use super::platform::VercelPlatform;
use crate::base::call_made::CallMade;
use crate::base::redact::{MASK, Secret};
use crate::providers::http::Repeat;
use crate::verbs::env_sync::{Hosted, Set, Unset, Variables, VariablesError};

const WHAT: &str = "the variables";

/// `GET /v10/projects/{id}/env`.
#[derive(Deserialize)]
struct Page {
    envs: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: Option<String>,
    key: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    decrypted: bool,
    /// One name or several.
    #[serde(default)]
    target: Value,
    git_branch: Option<String>,
    #[serde(default)]
    custom_environment_ids: Vec<String>,
    #[serde(default)]
    system: bool,
}

impl Row {
    fn targets(&self) -> Vec<&str> {
        match &self.target {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The variable of `target`, where it is one that people set for the whole of it.
    fn hosted(&self, target: &str) -> Option<Hosted> {
        let targets = self.targets();
        let is_ours = targets.contains(&target) && self.git_branch.is_none();
        if !is_ours || self.system || self.kind == "system" {
            return None;
        }
        let is_readable = self.kind == "plain" || (self.decrypted && self.kind != "sensitive");
        Some(Hosted {
            id: self.id.clone()?,
            key: self.key.clone(),
            value: is_readable.then(|| Secret::new(&self.value)),
            kind: self.kind.clone(),
            also: targets.into_iter().filter(|t| *t != target).map(str::to_owned).collect(),
            custom: self.custom_environment_ids.clone(),
        })
    }
}

/// `failed` of a creation.
#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
struct Failed {
    error: FailedWhy,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedWhy {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    key: Option<String>,
    env_var_key: Option<String>,
}

impl VercelClient {
    fn env_path(&self, version: u32) -> String {
        format!("/v{version}/projects/{}/env", encoded(&self.project))
    }

    async fn set_variables(&self, variables: &[Set]) -> Result<Vec<Unset>, VercelError> {
        let one = |set: &Set| {
            json!({
                "key": set.key, "value": set.value.expose(), "type": set.kind,
                "target": set.targets,
            })
        };
        let body = Value::Array(variables.iter().map(one).collect());
        let query = [("upsert", "true".to_owned())];
        let mut call = self.call(http::Method::POST, &self.env_path(10), &query);
        call.json = Some(body.to_string().into_bytes());
        call.repeat = Repeat::Safe(READ_AGAIN);
        let answer = self.send(&call, WHAT).await.map_err(unquoted)?;
        let created: Created = serde_json::from_slice(&answer.body).map_err(|error| {
            unquoted(VercelError::Unreadable { what: WHAT.to_owned(), cause: error.to_string() })
        })?;
        let values: Vec<&str> = variables.iter().map(|set| set.value.expose()).collect();
        let unset = |failed: Failed| {
            let FailedWhy { code, message, key, env_var_key } = failed.error;
            let key = key.or(env_var_key).unwrap_or_else(|| "one of them".to_owned());
            Unset { key, why: format!("{code}: {}", masked(&message, &values)) }
        };
        Ok(created.failed.into_iter().map(unset).collect())
    }

    async fn remove_variables(&self, ids: &[String]) -> Result<(), VercelError> {
        let mut call = self.call(http::Method::DELETE, &self.env_path(1), &[]);
        call.json = Some(json!({ "ids": ids }).to_string().into_bytes());
        call.repeat = Repeat::Safe(READ_AGAIN);
        self.send(&call, WHAT).await.map(|_| ()).map_err(unquoted)
    }
}

/// An error without what the other side wrote in its own words: it may repeat a value, or the
/// beginning of one, which nobody could tell from a word.
fn unquoted(error: VercelError) -> VercelError {
    const KEPT_BACK: &str = "(what Vercel says of it is not repeated: it may quote a value)";
    let message = KEPT_BACK.to_owned();
    match error {
        VercelError::NoAccess { what, status, code, .. } => {
            VercelError::NoAccess { what, status, code, message }
        }
        VercelError::NotFound { what, .. } => VercelError::NotFound { what, message },
        VercelError::NotInPlan { code, .. } => VercelError::NotInPlan { code, message },
        VercelError::Conflict { what, code, .. } => VercelError::Conflict { what, code, message },
        VercelError::Refused { what, status, code, .. } => {
            VercelError::Refused { what, status, code, message }
        }
        VercelError::Unreadable { what, .. } => VercelError::Unreadable { what, cause: message },
        error @ (VercelError::Http(_) | VercelError::Limited { .. } | VercelError::Down { .. }) => {
            error
        }
    }
}

/// `text` without any of the values, however short, as they are and as JSON writes them. In one
/// pass, the longest first: no part of a longer one is left over, and no mask is masked again.
fn masked(text: &str, values: &[&str]) -> String {
    let as_json = |value: &str| Value::from(value).to_string().trim_matches('"').to_owned();
    let mut forms: Vec<String> = values
        .iter()
        .flat_map(|value| [(*value).to_owned(), as_json(value)])
        .filter(|form| !form.is_empty())
        .collect();
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(form) = forms.iter().find(|form| rest.starts_with(form.as_str())) {
            out.push_str(MASK);
            rest = &rest[form.len()..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

fn told(error: &VercelError) -> VariablesError {
    let text = error.to_string();
    match error {
        VercelError::NoAccess { .. } | VercelError::NotFound { .. } => {
            VariablesError::NoAccess(text)
        }
        VercelError::NotInPlan { .. } => VariablesError::NotInPlan(text),
        VercelError::Refused { .. } | VercelError::Conflict { .. } => VariablesError::Refused(text),
        _ => VariablesError::Unavailable(text),
    }
}

#[async_trait]
impl Variables for VercelPlatform {
    async fn list(&self, target: &str) -> Result<Vec<Hosted>, VariablesError> {
        let query = [("decrypt", "true".to_owned())];
        let page: Page = self
            .client
            .read(&self.client.env_path(10), &query, WHAT)
            .await
            .map_err(|error| told(&unquoted(error)))?;
        Ok(page.envs.iter().filter_map(|row| row.hosted(target)).collect())
    }

    async fn set(&self, variables: &[Set]) -> Result<Vec<Unset>, VariablesError> {
        self.client.set_variables(variables).await.map_err(|error| told(&error))
    }

    async fn remove(&self, ids: &[String]) -> Result<(), VariablesError> {
        self.client.remove_variables(ids).await.map_err(|error| told(&error))
    }

    fn calls(&self) -> Vec<CallMade> {
        self.client.calls()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_people_set_for_the_whole_target_is_theirs_to_sync() {
        let row = |text: &str| serde_json::from_str::<Row>(text).unwrap().hosted("production");
        let plain = row(r#"{"id":"1","key":"A","type":"plain","value":"x","target":"production"}"#);
        assert_eq!(plain.unwrap().value, Some(Secret::new("x")));
        let both = r#"{"id":"1","key":"A","type":"encrypted","value":"x","decrypted":true,
            "target":["preview","production"]}"#;
        let both = row(both).unwrap();
        assert_eq!((both.value, both.also), (Some(Secret::new("x")), vec!["preview".to_owned()]));
        for hidden in [
            r#"{"id":"1","key":"A","type":"sensitive","value":"","target":["production"]}"#,
            r#"{"id":"1","key":"A","type":"encrypted","value":"x","target":["production"]}"#,
        ] {
            assert_eq!(row(hidden).unwrap().value, None, "{hidden}");
        }
        for other in [
            r#"{"id":"1","key":"A","type":"plain","value":"x","target":["preview"]}"#,
            r#"{"id":"1","key":"A","type":"system","value":"x","target":["production"]}"#,
            r#"{"id":"1","key":"A","type":"plain","value":"x","target":["production"],"gitBranch":"b"}"#,
        ] {
            assert_eq!(row(other), None, "{other}");
        }
    }

    #[test]
    fn what_custom_environments_share_is_known() {
        let row = r#"{"id":"1","key":"A","type":"plain","value":"x","target":["production"],
            "customEnvironmentIds":["env_qa"]}"#;
        let hosted = serde_json::from_str::<Row>(row).unwrap().hosted("production").unwrap();
        assert_eq!((hosted.also, hosted.custom), (Vec::new(), vec!["env_qa".to_owned()]));
    }

    #[test]
    fn no_value_is_left_in_what_vercel_says() {
        for (text, values, expected) in [
            ("it cannot be abc", &["ab", "abc"][..], "it cannot be [redacted]"),
            ("it cannot be abc", &["abc", "ab"], "it cannot be [redacted]"),
            ("'5' is short", &["5", ""], "'[redacted]' is short"),
            ("nothing", &["", "e"], "nothing"),
            ("here", &["e"], "h[redacted]r[redacted]"),
            (r#"not "a\"b""#, &["a\"b"], r#"not "[redacted]""#),
            ("größe: ö", &["ö"], "gr[redacted]ße: [redacted]"),
        ] {
            assert_eq!(masked(text, values), expected);
        }
        let refused = VercelError::Refused {
            what: WHAT.to_owned(),
            status: 400,
            code: "bad_request".to_owned(),
            message: "`value` hunter2 is not a string".to_owned(),
        };
        let text = unquoted(refused).to_string();
        assert!(text.contains("bad_request") && !text.contains("hunter2"), "{text}");
    }
}
