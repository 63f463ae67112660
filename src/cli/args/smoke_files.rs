//! Which `.http` files are meant, and their tests made ready: variables, environments, and the rule
//! that nothing is changed on a production host unless that is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::base::yaml::{self, InputError};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::{wire, wire_smoke};
use crate::slo::manifest::Manifest;
use crate::smoke::file::SmokeFile;
use crate::smoke::parse::parse;
use crate::smoke::prepare::{Given, Ready, Selection, prepare};
use crate::smoke::request;
use crate::smoke::variables::{self, VariablesError};

/// Where tests are kept.
pub(crate) const FOLDER: &str = "synthetics";

/// What people ask for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// As they were named; those of [`FOLDER`] when empty.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) selection: Selection,
    pub(crate) target: Option<String>,
    /// Whether the target is judged, so that no other host may answer for it.
    pub(crate) is_bound: bool,
    pub(crate) environment: Option<String>,
    pub(crate) overrides: BTreeMap<String, String>,
    pub(crate) allow_production: bool,
}

/// The files of [`FOLDER`] in the order of their names; none where there is no such folder.
pub(crate) fn usual(context: &Context) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(context.folder.join(FOLDER)) else { return Vec::new() };
    let names: BTreeSet<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let path = |name| Path::new(FOLDER).join(name);
    names.into_iter().map(path).filter(|path| is_tests(path)).collect()
}

/// Of the names and the text of tests and of the bodies that they send; nothing where there is no
/// test.
pub(crate) fn digest(folder: &Path, files: &[PathBuf]) -> Option<Digest> {
    let mut all = Digest::of_pieces();
    // Each of fixed length, so that no name can pass for a text.
    let mut add = |bytes: &[u8]| all.add(Digest::of(bytes).hex().as_bytes());
    for path in files {
        add(path.as_os_str().as_encoded_bytes());
        let whole = folder.join(path);
        // What cannot be read is not what was read when it ran.
        let text = std::fs::read(&whole).unwrap_or_default();
        add(&text);
        let tests = parse(&String::from_utf8_lossy(&text), path).ok();
        for body in tests.iter().flat_map(SmokeFile::bodies) {
            let beside = whole.parent().unwrap_or(folder).join(body);
            add(&std::fs::read(beside).unwrap_or_default());
        }
    }
    (!files.is_empty()).then(|| all.end())
}

fn is_tests(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("http") || end == "rest")
}

/// Reads every file and fills in what is known. Nothing is sent when anything is wrong.
pub(crate) fn ready(wanted: &Wanted, context: &Context) -> Result<Vec<Ready>, Failure> {
    let named = if wanted.files.is_empty() { usual(context) } else { wanted.files.clone() };
    if named.is_empty() {
        let text = format!("there is no {FOLDER}/*.http");
        let line = "GET {{url}}/health";
        return Err(Failure::new(Code::NoSmokeTests, Exit::Usage, text)
            .hint(format!("write {FOLDER}/health.http with one line: {line}")));
    }
    let mut files = Vec::new();
    for path in &named {
        files.push(of_file(path, wanted, context).map_err(wrong_file)??);
    }
    if !wanted.allow_production {
        refuse_production(&files, context)?;
    }
    Ok(files)
}

fn of_file(
    path: &Path,
    wanted: &Wanted,
    context: &Context,
) -> Result<Result<Ready, Failure>, InputError> {
    let whole = context.folder.join(path);
    let source = yaml::read_source(&whole).map_err(|mut error| {
        path.clone_into(&mut error.file);
        let better = || "name .http files, such as synthetics/health.http".to_owned();
        error.suggestion.get_or_insert_with(better);
        error
    })?;
    let file = parse(&source, path)?;
    let folder = whole.parent().unwrap_or(&context.folder);
    let known = match variables::read((folder, &context.folder), wanted.environment.as_deref()) {
        Ok(known) => known,
        Err(VariablesError::Input(error)) => return Err(error),
        Err(error @ VariablesError::Unknown { .. }) => return Ok(Err(unknown(&error))),
    };
    for secret in &known.secrets {
        context.redactor.learn(secret);
    }
    let given = Given {
        selection: wanted.selection,
        target: wanted.target.as_deref(),
        is_bound: wanted.is_bound,
        overrides: &wanted.overrides,
        environment: &known.values,
        env: &|name| context.env.get(name).map(str::to_owned),
        sources: &wire_smoke::sources(context),
        folder,
    };
    prepare(file, &given).map(Ok)
}

fn wrong_file(error: InputError) -> Failure {
    Failure { code: Code::SmokeFile, ..Failure::from(error) }
}

fn unknown(error: &VariablesError) -> Failure {
    let hint = match error {
        VariablesError::Unknown { known, .. } if !known.is_empty() => {
            format!("known are {}", known.join(", "))
        }
        _ => "write it into http-client.env.json beside the tests".to_owned(),
    };
    Failure::new(Code::SmokeFile, Exit::Usage, error.to_string()).hint(hint)
}

/// As load has it: the manifest marks hosts as production. Asking there is fine, changing is not.
fn refuse_production(files: &[Ready], context: &Context) -> Result<(), Failure> {
    let config = wire::load_config_or_default(context)?;
    let manifest = context.folder.join(&config.load.manifest);
    if !manifest.exists() {
        return Ok(());
    }
    let manifest = Manifest::read(&manifest)?;
    for file in files {
        for ready in file.tests.iter().filter(|ready| !ready.test.is_safe()) {
            let host = request::host(&ready.origin).unwrap_or_default();
            let Some(environment) = manifest.production_of(&host) else { continue };
            let test = &ready.test;
            let text = format!(
                "{}:{}: '{}' sends {} to {host}, and '{}' is marked production",
                file.path.display(),
                test.place.line,
                test.name,
                test.method,
                environment.name
            );
            return Err(Failure::new(Code::SmokeProduction, Exit::Usage, text)
                .hint("mark it # @safe if it changes nothing, or add --allow-production"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::atomic_file;

    #[test]
    fn tests_that_say_or_are_called_something_else_have_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        let of = |files: &[(&str, &str)]| {
            for (name, text) in files {
                atomic_file::write(&folder.path().join(name), text.as_bytes()).unwrap();
            }
            let named: Vec<PathBuf> = files.iter().map(|(name, _)| name.into()).collect();
            digest(folder.path(), &named)
        };
        let first = of(&[("a.http", "GET /a"), ("b.http", "GET /b")]);
        assert!(first.is_some());
        assert_eq!(of(&[("a.http", "GET /a"), ("b.http", "GET /b")]), first);
        for others in [
            &[("a.http", "GET /a"), ("b.http", "GET /c")][..],
            &[("a.http", "GET /a"), ("c.http", "GET /b")],
            &[("a.http", "GET /a")],
            &[("a.http", "GET /aGET /b")],
        ] {
            assert_ne!(of(others), first, "{others:?}");
        }
        assert_eq!(of(&[]), None);
        assert_ne!(digest(folder.path(), &["none.http".into()]), None);
        let order = &[("o.http", "POST /orders\n\n< ./order.json\n")];
        let before = of(order);
        atomic_file::write(&folder.path().join("order.json"), b"{}").unwrap();
        assert_ne!(of(order), before);
    }
}
