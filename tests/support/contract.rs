//! Holds what was said over HTTP against a published `OpenAPI` 3.0 document: the request as much as
//! the fake's answer. It fails closed: an operation, a parameter, a status or a keyword that the
//! document or this checker does not know is a fault.
//!
//! Two things are taken as the published documents mean them and not as they are written: `oneOf`
//! as "at least one" (their branches overlap), and an empty object as no body.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// Keywords that say nothing about validity.
const SILENT: [&str; 12] = [
    "description",
    "title",
    "example",
    "examples",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "externalDocs",
    "discriminator",
    "xml",
    "format",
];
/// Keywords that mean in JSON Schema what they mean in `OpenAPI`.
const SAME: [&str; 17] = [
    "required",
    "maxLength",
    "minLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minProperties",
    "maxProperties",
    "type",
    "enum",
    "nullable",
];

/// One request with its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Without the question mark.
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) status: u16,
    pub(crate) answer: &'a [u8],
}

/// A document to hold exchanges against.
pub(crate) struct Contract {
    document: Value,
    /// The schemas of the document, in JSON Schema.
    components: Value,
    compiled: Mutex<BTreeMap<String, Arc<Validator>>>,
}

impl Contract {
    /// The document `<name>.openapi.json` in the folder that `ORCA_SPEC_DIR` names; nothing, and a
    /// line that says so, where there is none.
    pub(crate) fn published(name: &str) -> Option<Self> {
        let file = std::env::var_os("ORCA_SPEC_DIR")
            .map(|folder| PathBuf::from(folder).join(format!("{name}.openapi.json")))
            .filter(|file| file.is_file());
        let Some(file) = file else {
            let said = "no contract is checked: ORCA_SPEC_DIR names no folder with";
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("{said} {name}.openapi.json\n").as_bytes(),
            );
            return None;
        };
        let text = std::fs::read_to_string(&file).expect("the document can be read");
        Some(Self::of(serde_json::from_str(&text).expect("the document is JSON")))
    }

    pub(crate) fn of(document: Value) -> Self {
        let version = document["openapi"].as_str().unwrap_or_default();
        assert!(version.starts_with("3.0."), "OpenAPI 3.0 is understood, not {version:?}");
        let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
        let converted: Map<String, Value> =
            schemas.iter().map(|(name, schema)| (name.clone(), json_schema(schema))).collect();
        let components = json!({ "schemas": converted });
        Self { document, components, compiled: Mutex::default() }
    }

    /// Everything in which the exchange departs from the document.
    pub(crate) fn faults(&self, exchange: &Exchange<'_>) -> Vec<String> {
        let place = format!("{} {}", exchange.method, exchange.path);
        let Some((template, operation, in_path)) = self.operation(exchange) else {
            return vec![format!("{place}: the document has no such operation")];
        };
        let key = format!("{} {template}", exchange.method);
        let mut faults = self.parameters(&key, operation, &in_path, exchange.query);
        faults.extend(self.request_body(&key, operation, exchange.body));
        faults.extend(self.answer(&key, operation, exchange));
        faults.into_iter().map(|fault| format!("{place}: {fault}")).collect()
    }

    /// The operation with the most literal template that fits, and what stands in its places.
    fn operation(
        &self,
        exchange: &Exchange<'_>,
    ) -> Option<(&str, &Value, BTreeMap<String, String>)> {
        let paths = self.document["paths"].as_object()?;
        let method = exchange.method.to_ascii_lowercase();
        paths
            .iter()
            .filter_map(|(template, item)| {
                let places = fits(template, exchange.path)?;
                Some((template.as_str(), item.get(&method)?, places))
            })
            .min_by_key(|(_, _, places)| places.len())
    }

    fn parameters(
        &self,
        key: &str,
        operation: &Value,
        in_path: &BTreeMap<String, String>,
        query: &str,
    ) -> Vec<String> {
        let declared: Vec<&Value> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| self.resolved(parameter))
            .collect();
        let named = |place: &str, name: &str| {
            declared.iter().find(|p| p["in"] == place && p["name"] == name).copied()
        };
        let mut faults = Vec::new();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let in_query: Vec<(String, String)> = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let asked = in_query.iter().map(|(name, value)| ("query", name, value));
        for (place, name, value) in
            asked.chain(in_path.iter().map(|(name, value)| ("path", name, value)))
        {
            let Some(parameter) = named(place, name) else {
                faults.push(format!("{place} parameter '{name}' is not in the document"));
                continue;
            };
            let validator = self.validator(&format!("{key} {place} {name}"), &parameter["schema"]);
            if !readings(value).iter().any(|reading| validator.is_valid(reading)) {
                faults.push(format!("{place} parameter '{name}' may not be '{value}'"));
            }
        }
        for parameter in declared.iter().filter(|p| p["in"] == "query" && p["required"] == true) {
            if !in_query.iter().any(|(name, _)| parameter["name"] == *name) {
                faults.push(format!("query parameter {} is required", parameter["name"]));
            }
        }
        faults
    }

    fn request_body(&self, key: &str, operation: &Value, body: &[u8]) -> Vec<String> {
        let declared = self.resolved(&operation["requestBody"]);
        let is_empty = body.is_empty() || body == b"{}";
        if declared.is_null() {
            let said = "a body is sent, and the document has none".to_owned();
            return if is_empty { Vec::new() } else { vec![said] };
        }
        if body.is_empty() {
            let said = "the body is required".to_owned();
            return if declared["required"] == true { vec![said] } else { Vec::new() };
        }
        let schema = &declared["content"]["application/json"]["schema"];
        self.json(&format!("{key} body"), "request", schema, body)
    }

    fn answer(&self, key: &str, operation: &Value, exchange: &Exchange<'_>) -> Vec<String> {
        let status = exchange.status.to_string();
        let responses = &operation["responses"];
        let class = format!("{}XX", &status[..1]);
        let declared = [status.as_str(), class.as_str(), "default"]
            .iter()
            .map(|name| &responses[*name])
            .find(|response| !response.is_null());
        let Some(declared) = declared else {
            return vec![format!("status {status} is not in the document")];
        };
        let schema = &self.resolved(declared)["content"]["application/json"]["schema"];
        if schema.is_null() {
            // A status without a described body: nothing can be said against what it carries.
            return Vec::new();
        }
        self.json(&format!("{key} {status}"), "answer", schema, exchange.answer)
    }

    fn json(&self, key: &str, what: &str, schema: &Value, bytes: &[u8]) -> Vec<String> {
        let value: Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            // An empty schema is satisfied by no body at all.
            Err(_) if bytes.is_empty() && schema.as_object().is_some_and(Map::is_empty) => {
                return Vec::new();
            }
            Err(error) => return vec![format!("the {what} is not JSON: {error}")],
        };
        let validator = self.validator(key, schema);
        validator
            .iter_errors(&value)
            .map(|error| format!("the {what} at '{}': {error}", error.instance_path()))
            .collect()
    }

    fn validator(&self, key: &str, schema: &Value) -> Arc<Validator> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let root = json!({ "allOf": [json_schema(schema)], "components": self.components });
            let built = jsonschema::draft4::options().build(&root);
            Arc::new(built.unwrap_or_else(|error| panic!("{key}: {error}")))
        };
        Arc::clone(compiled.entry(key.to_owned()).or_insert_with(make))
    }

    /// What `value` stands for, following a reference inside the document.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value["$ref"].as_str() else { return value };
        let pointer = reference.strip_prefix('#').expect("references stay in the document");
        self.document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

/// What stands in the places of `template`, where `path` has its form.
fn fits(template: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let (parts, given): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    if parts.len() != given.len() {
        return None;
    }
    let mut places = BTreeMap::new();
    for (part, found) in parts.into_iter().zip(given) {
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) if !found.is_empty() => places.insert(name.to_owned(), decoded(found)),
            None if part == found => None,
            _ => return None,
        };
    }
    Some(places)
}

pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex =
            tail.get(..2).filter(|_| *first == b'%').and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &tail[2..]),
            None => (bytes.push(if *first == b'+' { b' ' } else { *first }), rest = tail),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a text in a URL may mean: itself, a number, a boolean, or a list of one.
fn readings(text: &str) -> Vec<Value> {
    let plain = serde_json::from_str::<Value>(text).ok();
    let plain = plain.filter(|value| value.is_number() || value.is_boolean());
    let mut readings: Vec<Value> = plain.into_iter().chain([Value::from(text)]).collect();
    readings.push(Value::from(text.split(',').collect::<Vec<_>>()));
    readings
}

/// An `OpenAPI` 3.0 schema as JSON Schema of draft 4.
fn json_schema(schema: &Value) -> Value {
    let Some(schema) = schema.as_object() else { return schema.clone() };
    if let Some(reference) = schema.get("$ref") {
        return json!({ "$ref": reference });
    }
    let mut out = Map::new();
    for (keyword, value) in schema {
        match keyword.as_str() {
            "properties" => {
                let properties = value.as_object().expect("properties are an object").iter();
                let converted: Map<String, Value> =
                    properties.map(|(name, value)| (name.clone(), json_schema(value))).collect();
                out.insert("properties".to_owned(), converted.into());
            }
            // Overlapping branches are usual in these documents.
            "oneOf" | "anyOf" | "allOf" => {
                let list = value.as_array().expect("branches are a list");
                let word = if keyword == "oneOf" { "anyOf" } else { keyword };
                out.insert(word.to_owned(), list.iter().map(json_schema).collect());
            }
            "items" | "not" | "additionalProperties" => {
                out.insert(keyword.clone(), json_schema(value));
            }
            known if SAME.contains(&known) => {
                out.insert(keyword.clone(), value.clone());
            }
            silent if SILENT.contains(&silent) || silent.starts_with("x-") => {}
            unknown => panic!("the checker does not know the keyword '{unknown}'"),
        }
    }
    match out.remove("nullable") {
        Some(Value::Bool(true)) => json!({ "anyOf": [{ "type": "null" }, out] }),
        _ => Value::Object(out),
    }
}
