//! `orca.yaml` for the verbs that bring users back: what is wrong in it is told and left out, and
//! what is still readable holds. Verbs that raise exposure read it strictly, see [`super::resolve`].
//!
//! Invariant: what a file meant to say of the platform is never replaced by a guess. Where that
//! cannot be read, [`Mended::lost_platform`] says so, and only flags and environment name one;
//! where it cannot be read which environment this is, the ledger is left alone.

use std::path::Path;

use super::resolve::{self, Config};
use crate::base::ids::Environment;
use crate::base::yaml::{self, InputError};
use crate::base::yaml_tree::{Place, Steps, Tree};
use crate::cli::env::Env;

/// More faults than this are no slip of a hand: then the file counts as unreadable.
const FAULTS_MAX: usize = 32;

/// A configuration, and what had to be left out of it.
#[derive(Debug)]
pub(crate) struct Mended {
    pub(crate) config: Config,
    /// In their order; the last one where nothing of the file could be used.
    pub(crate) faults: Vec<InputError>,
    /// Nothing that the file says of the platform is in `config`.
    pub(crate) lost_platform: bool,
    /// Which environment this is, the file says, and it cannot be read.
    pub(crate) lost_environment: bool,
    /// Everything that stands in the file; empty where even that cannot be had.
    pub(crate) text: String,
}

/// Reads what can be read of `file`.
pub(crate) fn read(file: &Path, env: &Env) -> Mended {
    let strict = match resolve::read(file, env) {
        Ok(config) => return Mended::whole(config),
        Err(fault) => fault,
    };
    let Ok(text) = yaml::read_source(file) else {
        return Mended { lost_environment: true, ..nothing_of(strict, String::new(), file, env) };
    };
    let Ok(tree) = Tree::parse(&text, file) else { return nothing_of(strict, text, file, env) };
    let mut mending = Mending { tree, faults: Vec::new(), left_out: Vec::new() };
    if !mending.tree.has(&["version"]) {
        mending.tree.add("version", 1);
    }
    let Some(config) = mending.mend(&text, file, env) else {
        return nothing_of(strict, text, file, env);
    };
    let lost_platform = mending.is_lost("platform", "kind");
    let lost_environment = mending.is_lost("service", "environment");
    let config = if lost_platform {
        mending.tree.remove(&["platform".to_owned()]);
        mending.mend(&text, file, env)
    } else {
        Some(config)
    };
    match config {
        Some(config) => {
            let mut faults = mending.faults;
            if faults.is_empty() {
                faults.push(strict);
            }
            Mended { config, faults, lost_platform, lost_environment, text }
        }
        None => nothing_of(strict, text, file, env),
    }
}

impl Mended {
    /// Of a file in which all is well.
    pub(crate) fn whole(config: Config) -> Self {
        let text = String::new();
        Self { config, faults: Vec::new(), lost_platform: false, lost_environment: false, text }
    }

    /// What is wrong there where nothing of the platform could be used.
    pub(crate) fn platform_fault(&self) -> Option<&InputError> {
        self.faults.last().filter(|_| self.lost_platform)
    }

    /// Whether the file says `key: value` anywhere, however broken it is otherwise.
    pub(crate) fn mentions(&self, key: &str, value: Option<&str>) -> bool {
        values_of(key, &self.text).any(|said| value.is_none_or(|value| said == value))
    }
}

/// The environment alone, because of `fault`.
fn nothing_of(fault: InputError, text: String, file: &Path, env: &Env) -> Mended {
    let said = values_of("environment", &text).next().map(str::to_owned);
    let is_one = values_of("environment", &text).all(|other| Some(other) == said.as_deref());
    let named = said.clone().and_then(|name| Environment::new(name).ok()).filter(|_| is_one);
    let mut config =
        resolve::parse("version: 1\n", file, env).expect("the least file is a sound one");
    let lost_environment = said.is_some() && named.is_none();
    if let Some(name) = named {
        config.environment.value = name;
    }
    Mended { config, faults: vec![fault], lost_platform: true, lost_environment, text }
}

struct Mending {
    tree: Tree,
    faults: Vec<InputError>,
    left_out: Vec<(Steps, Option<String>)>,
}

impl Mending {
    /// Leaves out what is wrong, one after the other, until the rest can be used.
    fn mend(&mut self, text: &str, file: &Path, env: &Env) -> Option<Config> {
        while self.left_out.len() < FAULTS_MAX {
            let fault = match resolve::parse(&self.tree.written(), file, env) {
                Ok(config) => return Some(config),
                Err(fault) => fault,
            };
            let (path, place) = self.tree.path_at(fault.line)?;
            // Another version may mean anything by the words that this one knows.
            if path.first().is_none_or(|top| top == "version") {
                return None;
            }
            let path = whole(path);
            self.tree.remove(&path);
            if !self.follows(&fault) {
                self.faults.push(located(&fault, &path, place, text));
            }
            self.left_out.push((path, fault.suggestion));
        }
        None
    }

    /// Whether it is only there because something was left out before.
    fn follows(&self, fault: &InputError) -> bool {
        let is_missing = |key: &String| fault.message == format!("missing field `{key}`");
        self.left_out.iter().filter_map(|(path, _)| path.last()).any(is_missing)
    }

    /// Whether `section.key` was to be said, and what was said was left out.
    fn is_lost(&mut self, section: &str, key: &str) -> bool {
        let meant = |suggestion: &Option<String>, name: &str| {
            suggestion.as_deref() == Some(&format!("did you mean `{name}`?"))
        };
        !self.tree.has(&[section, key])
            && self.left_out.iter().any(|(path, suggestion)| match &path[..] {
                [top] => top == section || meant(suggestion, section),
                [top, inner] if top == section => inner == key || meant(suggestion, key),
                _ => false,
            })
    }
}

/// Commands are used as a whole: one left out of them would leave another to do its work.
fn whole(mut path: Steps) -> Steps {
    if path.len() > 2 && path[0] == "platform" && path[1] == "exec" {
        path.truncate(2);
    }
    path
}

/// The fault as it stands in the file itself, with the key that is left out.
fn located(fault: &InputError, path: &[String], (line, column): Place, text: &str) -> InputError {
    InputError {
        line,
        column,
        message: format!("{}: {}", path.join("."), fault.message),
        text: yaml::line_of(text, line),
        ..fault.clone()
    }
}

/// What stands behind `key:`, wherever it is, outside comments.
fn values_of<'a>(key: &'a str, text: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().flat_map(move |line| {
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        let line = line.split(" #").next().unwrap_or(line);
        line.match_indices(key).filter_map(move |(at, _)| {
            let is_word = !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-".contains(c));
            let after = line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
            let value = after.strip_prefix(':').filter(|_| is_word)?;
            let value = value.split([',', '}', ']']).next().unwrap_or(value);
            Some(value.trim().trim_matches(['"', '\'']))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::atomic_file;
    use crate::cli::config::raw::RawPlatformKind;

    fn mended(text: &str) -> Mended {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orca.yaml");
        atomic_file::write(&file, text.as_bytes()).unwrap();
        read(&file, &Env::of(&[]))
    }

    const PLATFORM: &str = "platform: {kind: router, admin: http://a, url: http://b}\n";

    #[test]
    fn what_is_wrong_elsewhere_is_told_and_left_out() {
        for (rest, place, said) in [
            ("gats: {}\n", "3:1", "gats: unknown field"),
            ("canary:\n  stages:\n    - {weight: 5%, bake: 1 parsec}\n", "5:20", "stages.0.bake: "),
            ("canary:\n  grant: 61m\n  surprise: 1\n", "4:3", "canary.grant: "),
            ("deploy: {p95: 61s}\n", "3:10", "deploy.p95: "),
            ("canary: 7\n", "3:1", "canary: "),
            ("release: {freeze: long}\n", "3:11", "release.freeze"),
        ] {
            let seen = mended(&format!("version: 1\n{PLATFORM}{rest}"));
            let told: Vec<String> = seen.faults.iter().map(ToString::to_string).collect();
            let is_told = |part: &str| told.iter().any(|fault| fault.contains(part));
            assert!(!is_told("missing"), "{rest}: {told:?}");
            assert!(is_told(&format!("orca.yaml:{place}")) && is_told(said), "{rest}: {told:?}");
            assert!(!seen.lost_platform && !seen.lost_environment, "{rest}");
            assert_eq!(seen.config.platform.admin.value.as_deref(), Some("http://a"), "{rest}");
            assert!(seen.config.canary.grant.0 > 0);
        }
        let sound = mended(&format!("version: 1\n{PLATFORM}"));
        assert!(sound.faults.is_empty());
        let unsaid = mended(PLATFORM);
        assert_eq!(unsaid.config.platform.url.value.as_deref(), Some("http://b"));
        assert_eq!(unsaid.faults.len(), 1, "a missing version is told");
    }

    /// The way over the tree changes nothing of what a file means.
    #[test]
    fn a_sound_file_means_the_same_as_a_tree() {
        for text in [
            include_str!("../../../examples/kubernetes/orca.yaml"),
            include_str!("../../../examples/nginx/orca.yaml"),
            "version: 1\nservice: {name: 007, environment: \"live\"}\nrelease:\n  tag_prefix: 1.10\n  \
             changelog: |\n    C: \\x # y\n  version_files: [a, 'b']\nplatform: {project: 1e3, checks: \
             true, url: ~}\ncanary:\n  p95_ratio_max_pct: 0x80\n  stages:\n  - {weight: 100%, bake: &b \
             1m, max_hold: *b}\n",
        ] {
            let (file, env) = (Path::new("orca.yaml"), Env::of(&[]));
            let mut strict = resolve::parse(text, file, &env).unwrap();
            let tree = Tree::parse(text, file).unwrap().written();
            let mended = resolve::parse(&tree, file, &env).unwrap();
            // Lines are the tree's own.
            strict.environment.origin = mended.environment.origin.clone();
            assert_eq!(format!("{mended:?}"), format!("{strict:?}"), "{tree}");
        }
    }

    /// What is left of a platform must be what was meant.
    #[test]
    fn a_platform_that_is_only_half_readable_is_no_platform() {
        for (text, lost_platform, lost_environment) in [
            ("version: 1\nplatform: {kind: vercl, project: shop}\n", true, false),
            ("version: 1\nplatform: {knd: vercel, project: shop, admin: http://a}\n", true, false),
            ("version: 1\nplatfrom: {kind: vercel}\n", true, false),
            ("version: 1\nplatform: [kind]\n", true, false),
            ("version: 1\nplatform: {kind: {a: vercel}, project: shop}\n", true, false),
            ("version: 1\nplatform: {kind: router, admin: http://a, surprise: 1}\n", false, false),
            ("version: 1\nplatform: {admin: http://a, surprise: 1}\n", false, false),
            ("version: 2\nplatform: {kind: router}\n", true, false),
            ("version: 1\nplatform: {kind: router}\nplatform: {kind: exec}\n", true, false),
            ("version: 1\nservice: {environment: a/b}\n", false, true),
            ("version: 1\nservice: {enviroment: live}\n", false, true),
            ("version: 1\nservcie: {environment: live}\n", false, true),
            ("version: 1\nservice: {nmae: shop, environment: live}\n", false, false),
            ("version: 1\nservice: {environment: live}\n<<<<<<< HEAD\n", true, false),
            ("<<<<<<<\n  environment: live\n=======\n  environment: test\n>>>>>>>\n", true, true),
            ("a: [\n# environment: test\n", true, false),
            ("a: [\n environment: not here\n", true, true),
        ] {
            let seen = mended(text);
            let lost = (seen.lost_platform, seen.lost_environment);
            assert_eq!(lost, (lost_platform, lost_environment), "{text}");
            assert!(!seen.faults.is_empty(), "{text}");
            if lost_platform {
                let platform = &seen.config.platform;
                assert_eq!((&platform.admin.value, &platform.project.value), (&None, &None));
                assert!(seen.platform_fault().is_some());
            }
            let is_live = text.contains("environment: live") && !lost_environment;
            assert_eq!(seen.config.environment.value.as_str() == "live", is_live, "{text}");
        }
    }

    #[test]
    fn commands_are_used_as_a_whole() {
        let text = "version: 1\nplatform:\n  kind: exec\n  url: http://b\n  exec: {command: [a], lowr: [b]}\n";
        let seen = mended(text);
        assert_eq!(seen.config.platform.kind.value, RawPlatformKind::Exec);
        assert!(seen.config.platform.exec.is_none() && !seen.lost_platform);
        assert_eq!(seen.faults[0].line, 5);
    }

    #[test]
    fn words_are_found_in_what_is_broken() {
        let seen =
            mended("a: [\nplatform: {\"kind\": 'vercel', x: 1}\n# kind: exec\nmankind: router\n");
        assert!(seen.mentions("kind", Some("vercel")) && seen.mentions("platform", None));
        assert!(!seen.mentions("kind", Some("exec")) && !seen.mentions("kind", Some("router")));
    }
}
