//! `evidence/manifest.json`: which classes of artifacts a release must prove, what counts as each,
//! and the controls that each one answers. What is missing is named, never left out in silence.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::yaml::{self, InputError};

pub(crate) const SCHEMA: &str = "orca.evidence/v1";

/// The manifest that orca ships.
pub(crate) const SHIPPED: &str = include_str!("../../evidence/manifest.json");

/// The classes of artifacts of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceManifest {
    pub(crate) schema: String,
    pub(crate) artifacts: Vec<Artifact>,
}

/// One class: what it is called, what counts as it, and whether a pack needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Artifact {
    pub(crate) id: String,
    pub(crate) title: String,
    /// Without a required artifact the pack is inconclusive.
    pub(crate) required: bool,
    pub(crate) takes: Takes,
    pub(crate) controls: Controls,
}

/// What counts as an artifact. A pattern is a name, or a beginning followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Takes {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) phases: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gates: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) checks: Vec<String>,
    /// Kinds of ledger entries, as `kind` in `entry.json` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) entries: Vec<String>,
    /// Paths inside the pack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<String>,
}

/// The controls of each framework that an artifact answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Controls {
    pub(crate) soc2: Vec<String>,
    pub(crate) iso27001: Vec<String>,
}

/// One thing that a pack holds, as the manifest sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held<'a> {
    Ruling { phase: &'a str, gate: &'a str },
    Check(&'a str),
    Entry(&'a str),
    File(&'a str),
}

impl EvidenceManifest {
    /// The manifest that orca ships.
    pub(crate) fn shipped() -> Self {
        Self::parse(SHIPPED, Path::new("evidence/manifest.json"))
            .expect("the shipped manifest is tested")
    }

    /// Reads a manifest; JSON is read as the YAML it is, so that errors have a place.
    pub(crate) fn parse(source: &str, file: &Path) -> Result<Self, InputError> {
        let manifest: Self = yaml::parse(source, file)?;
        let refuse = |text: String| Err(InputError::whole_file(file, text));
        if manifest.schema != SCHEMA {
            return refuse(format!("schema is '{}', not '{SCHEMA}'", manifest.schema));
        }
        if manifest.artifacts.is_empty() {
            return refuse("artifacts is empty: a pack must prove something".to_owned());
        }
        let mut seen = std::collections::BTreeSet::new();
        match manifest.artifacts.iter().find(|a| !seen.insert(a.id.as_str())) {
            Some(twice) => refuse(format!("artifact '{}' is there twice", twice.id)),
            None => Ok(manifest),
        }
    }
}

impl Artifact {
    /// Whether `held` counts as this artifact.
    pub(crate) fn takes(&self, held: Held<'_>) -> bool {
        let any = |patterns: &[String], name: &str| patterns.iter().any(|p| fits(p, name));
        match held {
            Held::Ruling { phase, gate } => {
                any(&self.takes.phases, phase) || any(&self.takes.gates, gate)
            }
            Held::Check(id) => any(&self.takes.checks, id),
            Held::Entry(kind) => any(&self.takes.entries, kind),
            Held::File(path) => any(&self.takes.files, path),
        }
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_manifest_has_every_class() {
        let manifest = EvidenceManifest::shipped();
        let ids: Vec<&str> = manifest.artifacts.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "release",
                "tests",
                "slo",
                "load",
                "canary",
                "chaos",
                "dr",
                "security",
                "database",
                "deployment",
                "frontend",
                "screenshots",
                "sign-off"
            ]
        );
        assert!(manifest.artifacts.iter().all(|a| a.takes != Takes::default()));
    }

    #[test]
    fn patterns_are_names_or_beginnings() {
        for (pattern, name, expected) in [
            ("slo.*", "slo.latency", true),
            ("slo.*", "slow.query", false),
            ("release/*", "release/notes.md", true),
            ("promoted", "promoted", true),
            ("promoted", "promoted2", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn wrong_manifests_are_refused_with_the_reason() {
        let refused = |source: &str| {
            EvidenceManifest::parse(source, Path::new("m.json")).unwrap_err().to_string()
        };
        assert!(refused(r#"{"schema":"x/v9","artifacts":[]}"#).contains("x/v9"));
        assert!(refused(r#"{"schema":"orca.evidence/v1","artifacts":[]}"#).contains("empty"));
        assert!(refused(r#"{"schema":"orca.evidence/v1","artefacts":[]}"#).contains("artefacts"));
        let twice = SHIPPED.replace("\"id\": \"slo\"", "\"id\": \"load\"");
        assert!(refused(&twice).contains("'load' is there twice"));
    }
}
