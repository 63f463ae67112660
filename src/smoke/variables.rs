//! Environments of editors: `http-client.env.json`, and `http-client.private.env.json` for what
//! nobody else may see. Both hold environments by name; `$shared` holds for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::base::redact::Secret;
use crate::base::yaml::{self, InputError};

const PUBLIC: &str = "http-client.env.json";
const PRIVATE: &str = "http-client.private.env.json";
const SHARED: &str = "$shared";

/// The variables of one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Variables {
    pub(crate) values: BTreeMap<String, String>,
    /// Values of the private file.
    pub(crate) secrets: Vec<Secret>,
}

/// No file knows the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VariablesError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("no environment is called '{name}'")]
    Unknown { name: String, known: Vec<String> },
}

/// The variables of `name` for tests in `folder`; files of the folder go before those of `root`.
pub(crate) fn read(
    (folder, root): (&Path, &Path),
    name: Option<&str>,
) -> Result<Variables, VariablesError> {
    let mut found = Variables::default();
    let mut known = BTreeSet::new();
    for (file, is_private) in [(PUBLIC, false), (PRIVATE, true)] {
        let path = [folder, root].map(|folder| folder.join(file)).into_iter().find(|p| p.is_file());
        let Some(path) = path else { continue };
        let document = document(&path)?;
        known.extend(document.keys().filter(|key| *key != SHARED).cloned());
        for environment in [Some(SHARED), name].into_iter().flatten() {
            let Some(Value::Object(values)) = document.get(environment) else { continue };
            for (key, value) in values {
                let Some(text) = text(value) else { continue };
                if is_private {
                    found.secrets.push(Secret::new(text.clone()));
                }
                found.values.insert(key.clone(), text);
            }
        }
    }
    match name {
        Some(name) if !known.contains(name) => Err(VariablesError::Unknown {
            name: name.to_owned(),
            known: known.into_iter().collect(),
        }),
        _ => Ok(found),
    }
}

/// What can stand in a request; editors keep objects of settings here too.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn document(path: &Path) -> Result<Map<String, Value>, InputError> {
    let source = yaml::read_source(path)?;
    let better = "write {\"dev\": {\"name\": \"value\"}}";
    match serde_json::from_str(&source) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(InputError::whole_file(path, "is no object of environments").suggest(better)),
        // The line itself is not shown: it may hold a secret.
        Err(error) => {
            let mut wrong = InputError::whole_file(path, "is no JSON").suggest(better);
            wrong.line = u64::try_from(error.line()).unwrap_or(0);
            wrong.column = u64::try_from(error.column()).unwrap_or(0);
            Err(wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::base::atomic_file;

    #[test]
    fn an_environment_is_what_both_files_say() {
        let home = tempfile::tempdir().unwrap();
        let (root, folder) = (home.path(), home.path().join("synthetics"));
        std::fs::create_dir(&folder).unwrap();
        let write = |file: PathBuf, text: &str| atomic_file::write(&file, text.as_bytes()).unwrap();
        let public =
            r#"{"$shared": {"a": 1, "b": "shared"}, "dev": {"b": "dev", "tls": {}}, "live": {}}"#;
        write(folder.join(PUBLIC), public);
        write(root.join(PUBLIC), r#"{"other": {}}"#);
        write(root.join(PRIVATE), r#"{"dev": {"token": "hunter22"}}"#);
        let found = read((&folder, root), Some("dev")).unwrap();
        let values: Vec<_> =
            found.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(values, [("a", "1"), ("b", "dev"), ("token", "hunter22")]);
        assert_eq!(found.secrets, [Secret::new("hunter22")]);
        assert_eq!(read((&folder, root), None).unwrap().values["b"], "shared");
        let unknown = read((&folder, root), Some("prod")).unwrap_err();
        let known = vec!["dev".to_owned(), "live".to_owned()];
        assert_eq!(unknown, VariablesError::Unknown { name: "prod".to_owned(), known });
        write(folder.join(PUBLIC), "{\n  hunter22");
        let wrong = read((&folder, root), None).unwrap_err().to_string();
        assert!(wrong.contains(":2:") && !wrong.contains("hunter22"), "{wrong}");
        write(folder.join(PUBLIC), "[]");
        assert!(read((&folder, root), None).unwrap_err().to_string().contains("no object"));
    }
}
