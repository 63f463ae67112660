//! The version in the files that carry it. Pure; every other byte stays as it is.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

/// Why a file cannot be given a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionFileError {
    #[error("{path} is no file whose version orca knows to set: package.json and Cargo.toml are")]
    UnknownKind { path: String },
    #[error("{path} cannot be read: {detail}")]
    Unreadable { path: String, detail: String },
    #[error("{path} has no {place}")]
    NoVersion { path: String, place: &'static str },
}

/// `bytes` of the file at `path`, saying `version`.
pub(crate) fn with_version(
    path: &str,
    bytes: &[u8],
    version: &str,
) -> Result<Vec<u8>, VersionFileError> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let find: fn(&str) -> Result<Vec<Range<usize>>, Problem> = match name {
        "package.json" => in_package_json,
        "Cargo.toml" => in_cargo_toml,
        _ => return Err(VersionFileError::UnknownKind { path: path.to_owned() }),
    };
    let error = |problem| match problem {
        Problem::Unreadable(detail) => {
            VersionFileError::Unreadable { path: path.to_owned(), detail }
        }
        Problem::NoVersion(place) => VersionFileError::NoVersion { path: path.to_owned(), place },
    };
    let text = std::str::from_utf8(bytes).map_err(|e| error(Problem::Unreadable(e.to_string())))?;
    let mut written = text.to_owned();
    for place in find(text).map_err(error)?.into_iter().rev() {
        written.replace_range(place, version);
    }
    Ok(written.into_bytes())
}

enum Problem {
    Unreadable(String),
    NoVersion(&'static str),
}

/// The text between the quotes of every top-level `version`: a reader takes the last one.
fn in_package_json(text: &str) -> Result<Vec<Range<usize>>, Problem> {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    serde_json::from_str::<serde_json::Value>(&text[start..])
        .map_err(|e| Problem::Unreadable(e.to_string()))?;
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut key) = (start, 0_usize, None);
    let mut found = Vec::new();
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => key = None,
            b'"' => {
                let end = string_end(bytes, at);
                let is_key = key.is_none() && depth == 1;
                if is_key {
                    key = serde_json::from_str::<String>(&text[at..=end]).ok();
                } else if depth == 1 && key.as_deref() == Some("version") {
                    found.push(at + 1..end);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    if found.is_empty() { Err(Problem::NoVersion("top-level \"version\"")) } else { Ok(found) }
}

/// The closing quote of the string that opens at `open`.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len() - 1)
}

#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
    workspace: Option<Workspace>,
}

#[derive(Deserialize)]
struct Workspace {
    package: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    /// A text, or `{ workspace = true }`.
    version: Option<Spanned<toml::Value>>,
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: Spanned<String>,
    /// Absent on packages of this workspace and on those of a path.
    source: Option<String>,
}

/// `version = "..."` of `[package]`, else of `[workspace.package]` from which packages inherit.
fn in_cargo_toml(text: &str) -> Result<Vec<Range<usize>>, Problem> {
    let manifest: Manifest = toml::from_str(text).map_err(unreadable)?;
    let stated = stated_in(&manifest).map(|(_, version)| within_quotes(text, version.span()));
    stated.map(|place| vec![place]).ok_or(Problem::NoVersion("version = \"...\" under [package]"))
}

/// The package that states its version, or none when the workspace states it for its members.
fn stated_in(manifest: &Manifest) -> Option<(Option<&str>, &Spanned<toml::Value>)> {
    let is_text = |version: &&Spanned<toml::Value>| version.get_ref().is_str();
    let own = manifest.package.as_ref().and_then(|package| {
        let version = package.version.as_ref().filter(is_text)?;
        Some((package.name.as_deref(), version))
    });
    let shared = manifest.workspace.as_ref().and_then(|workspace| workspace.package.as_ref());
    own.or_else(|| Some((None, shared?.version.as_ref().filter(is_text)?)))
}

/// `lock`, the bytes of a `Cargo.lock`, after `manifest` got `version`: the entry of its package,
/// or of the members that inherit its version, says it too, or `cargo build --locked` would fail.
pub(crate) fn with_locked_version(
    (manifest_path, manifest): (&str, &[u8]),
    (lock_path, lock): (&str, &[u8]),
    version: &str,
) -> Result<Vec<u8>, VersionFileError> {
    let read = |path: &str, bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|error| VersionFileError::Unreadable {
            path: path.to_owned(),
            detail: error.to_string(),
        })
    };
    let of = |path: &str, error: &toml::de::Error| VersionFileError::Unreadable {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let (manifest, text) = (read(manifest_path, manifest)?, read(lock_path, lock)?);
    let manifest: Manifest = toml::from_str(&manifest).map_err(|e| of(manifest_path, &e))?;
    let parsed: Lock = toml::from_str(&text).map_err(|e| of(lock_path, &e))?;
    let Some((name, stated)) = stated_in(&manifest) else { return Ok(lock.to_vec()) };
    let is_ours = |locked: &&Locked| {
        locked.source.is_none()
            && match name {
                Some(name) => locked.name == name,
                None => Some(locked.version.get_ref().as_str()) == stated.get_ref().as_str(),
            }
    };
    let mut written = text.clone();
    for locked in parsed.package.iter().filter(is_ours).rev() {
        written.replace_range(within_quotes(&text, locked.version.span()), version);
    }
    Ok(written.into_bytes())
}

#[expect(clippy::needless_pass_by_value, reason = "used as map_err's function")]
fn unreadable(error: toml::de::Error) -> Problem {
    Problem::Unreadable(error.to_string())
}

/// The place between the quotes of the text at `span`.
fn within_quotes(text: &str, span: Range<usize>) -> Range<usize> {
    let value = text.get(span.clone()).unwrap_or_default();
    let quotes = if value.starts_with("\"\"\"") || value.starts_with("'''") { 3 } else { 1 };
    span.start + quotes..span.end.saturating_sub(quotes).max(span.start + quotes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(path: &str, text: &str) -> Result<String, VersionFileError> {
        let once = with_version(path, text.as_bytes(), "1.3.0")?;
        assert_eq!(with_version(path, &once, "1.3.0").unwrap(), once);
        Ok(String::from_utf8(once).unwrap())
    }

    #[test]
    fn only_the_version_changes() {
        for (path, before, after) in [
            ("package.json", "{\"version\":\"1.2.0\"}", "{\"version\":\"1.3.0\"}"),
            (
                "web/package.json",
                "\u{feff}{\r\n\t\"a\": [{\"version\": \"9\"}],\r\n\t\"b\": \"version\",\r\n\t\"version\" : \"1.\\\"2\",\"c\": {\"version\": \"8\"}\r\n}",
                "\u{feff}{\r\n\t\"a\": [{\"version\": \"9\"}],\r\n\t\"b\": \"version\",\r\n\t\"version\" : \"1.3.0\",\"c\": {\"version\": \"8\"}\r\n}",
            ),
            (
                "Cargo.toml",
                "[dependencies]\nversion = \"7\"\n[ package ] # x\nname = \"version\"\nrust-version = \"1.9\"\nversion='1.2.0' # now\r\n[a]\nversion = \"6\"",
                "[dependencies]\nversion = \"7\"\n[ package ] # x\nname = \"version\"\nrust-version = \"1.9\"\nversion='1.3.0' # now\r\n[a]\nversion = \"6\"",
            ),
            (
                "Cargo.toml",
                "[package]\ndescription = \"\"\"\nversion = \"5\"\n\"\"\"\nversion.workspace = true\n[workspace.package]\nversion = \"1.2.0\"\n",
                "[package]\ndescription = \"\"\"\nversion = \"5\"\n\"\"\"\nversion.workspace = true\n[workspace.package]\nversion = \"1.3.0\"\n",
            ),
        ] {
            assert_eq!(run(path, before).unwrap(), after);
        }
    }

    #[test]
    fn the_lock_file_follows_its_manifest() {
        let lock = |shop: &str, cart: &str| {
            format!(
                "version = 4\n\n[[package]]\nname = \"shop\"\nversion = \"{shop}\"\n\
                 dependencies = [\"cart\"]\n\n[[package]]\nname = \"cart\"\n\
                 version = \"{cart}\"\n\n[[package]]\nname = \"serde\"\n\
                 version = \"1.2.0\"\nsource = \"registry\"\n"
            )
        };
        let own = "[package]\nname = \"shop\"\nversion = \"1.2.0\"\n";
        let shared = "[package]\nname = \"shop\"\nversion.workspace = true\n\
                      [workspace.package]\nversion = \"1.2.0\"\n";
        for (manifest, before, after) in [
            (own, lock("1.2.0", "1.2.0"), lock("1.3.0", "1.2.0")),
            (shared, lock("1.2.0", "1.2.0"), lock("1.3.0", "1.3.0")),
            (shared, lock("1.2.0", "0.9.0"), lock("1.3.0", "0.9.0")),
        ] {
            let of = ("Cargo.toml", manifest.as_bytes());
            let written =
                with_locked_version(of, ("Cargo.lock", before.as_bytes()), "1.3.0").unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), after);
        }
        let error = with_locked_version(("Cargo.toml", own.as_bytes()), ("Cargo.lock", b"{"), "1");
        assert!(error.unwrap_err().to_string().starts_with("Cargo.lock cannot be read"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (path, text, message) in [
            ("package.json", "{\"a\": {\"version\": \"1\"}}", "has no top-level"),
            ("package.json", "{\"version\": 1}", "has no top-level"),
            ("package.json", "{\"version\": \"1\"", "cannot be read: EOF"),
            ("a/Cargo.toml", "[package]\nname = \"a\"\n", "a/Cargo.toml has no version"),
            ("setup.py", "version = '1'", "setup.py is no file"),
        ] {
            let error = run(path, text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[\\[\\]{}\"'=#,: \n\\\\a-c]{0,60}|(\\[package\\]\n)(\\PC{0,9}\n)*version = \"\\PC*\"") {
            for path in ["package.json", "Cargo.toml"] {
                let _ = with_version(path, text.as_bytes(), "1.3.0");
            }
        }
    }
}
