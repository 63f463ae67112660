//! `orca init`: a working set-up for the repository at hand. Looks what is there, writes only what
//! is missing, and never touches a file that exists.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::atomic_file;

/// A file that `init` would write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) path: &'static str,
    pub(crate) content: String,
}

/// What happened, or would happen, to one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Missing before; written now (or would be, on a dry run).
    Written,
    /// There already, left as it is.
    Kept,
}

/// What was found in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) package_json: bool,
    pub(crate) cargo_toml: bool,
}

/// Looks at the folder.
pub(crate) fn look(folder: &Path) -> Found {
    let name = folder
        .canonicalize()
        .ok()
        .and_then(|path| path.file_name().map(|n| n.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "service".to_owned());
    Found {
        name,
        package_json: folder.join("package.json").is_file(),
        cargo_toml: folder.join("Cargo.toml").is_file(),
    }
}

/// `orca.yaml` for what was found.
pub(crate) fn config(found: &Found) -> String {
    let files: Vec<&str> = [("package.json", found.package_json), ("Cargo.toml", found.cargo_toml)]
        .into_iter()
        .filter_map(|(file, there)| there.then_some(file))
        .collect();
    let quoted = serde_json::to_string(&found.name).expect("a name is plain text");
    format!(
        "# orca's configuration. `orca schema orca.yaml` describes every key.\n\
         version: 1\n\
         service:\n  name: {quoted}\n  environment: production\n\
         release:\n  tag_prefix: v\n  changelog: CHANGELOG.md\n  version_files: [{}]\n\
         platform:\n  kind: router\n  admin: http://127.0.0.1:8081\n  url: http://127.0.0.1:8080\n  \
         token_env: ORCA_ROUTER_TOKEN\n\
         gates:\n  preflight:\n    commits: {{mode: enforce, max_age: 24h}}\n  \
         load: {{mode: enforce, max_age: 24h, manifest: slo/slo_manifest.yaml, profile: baseline}}\n\
         canary:\n  on_interrupt: abort\n  stages:\n    \
         - {{weight: 1%, bake: 15m, decide_by: paired}}\n    \
         - {{weight: 5%, bake: 30m}}\n    \
         - {{weight: 25%, bake: 1h}}\n    \
         - {{weight: 100%, bake: 1h}}\n",
        files.join(", ")
    )
}

/// Writes every template that is missing; on a dry run only says so.
pub(crate) fn write(
    folder: &Path,
    templates: &[Template],
    dry_run: bool,
) -> Result<Vec<Written>, (PathBuf, std::io::Error)> {
    let mut written = Vec::new();
    for template in templates {
        let path = folder.join(template.path);
        let state = if path.exists() { State::Kept } else { State::Written };
        if state == State::Written && !dry_run {
            atomic_file::write(&path, template.content.as_bytes())
                .map_err(|error| (path.clone(), error))?;
        }
        written.push(Written { path: PathBuf::from(template.path), state });
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_is_missing_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        atomic_file::write(&folder.path().join("package.json"), b"{}").unwrap();
        atomic_file::write(&folder.path().join("orca.yaml"), b"mine").unwrap();
        let found = look(folder.path());
        assert!(found.package_json && !found.cargo_toml);
        let templates = [
            Template { path: "orca.yaml", content: config(&found) },
            Template { path: "slo/x.yaml", content: "x".into() },
        ];
        let states = |written: Vec<Written>| written.iter().map(|w| w.state).collect::<Vec<_>>();
        let dry = write(folder.path(), &templates, true).unwrap();
        assert_eq!(states(dry), [State::Kept, State::Written]);
        assert!(!folder.path().join("slo").exists());
        write(folder.path(), &templates, false).unwrap();
        assert_eq!(states(write(folder.path(), &templates, false).unwrap()), [State::Kept; 2]);
        let kept = atomic_file::read_text(&folder.path().join("orca.yaml"), 100).unwrap();
        assert_eq!(kept, "mine");
    }
}
