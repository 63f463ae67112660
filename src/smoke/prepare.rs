//! From a file to tests that can be sent: variables put in, body files read, hosts known. What
//! cannot be sent is an error with its place, before anything was.
//!
//! What an earlier answer brings is the only thing left open; it never decides to which host a
//! request goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::{BodyPart, SmokeFile, Test};
use super::request::{authority, origin};
use super::template::{Place, Sources, Template, Wrong};
use crate::base::yaml::{InputError, nearest_name};
use crate::base::{atomic_file, limits};

/// Which tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    Critical,
    /// Those that change nothing, and need nothing of one that does.
    Safe,
    /// Both.
    CriticalSafe,
}

impl Selection {
    fn takes(self, test: &Test) -> bool {
        match self {
            Self::All => true,
            Self::Critical => test.said.is_critical,
            Self::Safe => test.is_safe(),
            Self::CriticalSafe => test.said.is_critical && test.is_safe(),
        }
    }

    /// Whether what needs a test that is not run is left out as well, instead of being a mistake.
    const fn leaves_out_quietly(self) -> bool {
        matches!(self, Self::Safe | Self::CriticalSafe)
    }
}

/// What people gave besides the file.
pub(crate) struct Given<'a> {
    pub(crate) selection: Selection,
    /// What `{{url}}`, `{{host}}` and paths stand for.
    pub(crate) target: Option<&'a str>,
    /// Whether the target is judged: then its `{{url}}` and `{{host}}` win over every file, and no
    /// test asks anybody else.
    pub(crate) is_bound: bool,
    /// From the command line: stronger than any file.
    pub(crate) overrides: &'a BTreeMap<String, String>,
    /// Of the chosen environment: weaker than the file itself.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// `{{$env.NAME}}`.
    pub(crate) env: &'a (dyn Fn(&str) -> Option<String> + Sync),
    pub(crate) sources: &'a Sources,
    /// Against which body files are named.
    pub(crate) folder: &'a Path,
}

/// A file whose tests can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) path: PathBuf,
    pub(crate) tests: Vec<ReadyTest>,
    /// Names of tests that were not selected.
    pub(crate) left_out: Vec<String>,
    /// How many of these are critical.
    pub(crate) critical_left_out: usize,
}

/// A test that can be sent as soon as what it captures from earlier ones is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadyTest {
    pub(crate) test: Test,
    /// Scheme and host: where it goes, whatever is captured.
    pub(crate) origin: String,
    /// Whether no redirect leads it elsewhere.
    pub(crate) is_bound: bool,
}

/// Fills in what is known of `file`.
pub(crate) fn prepare(mut file: SmokeFile, given: &Given<'_>) -> Result<Ready, InputError> {
    let tests = std::mem::take(&mut file.tests);
    let (own, broken) = own_variables(&file, given);
    if let (Selection::All, Some(wrong)) = (given.selection, broken.values().next()) {
        return Err(file.error(wrong.clone()));
    }
    let mut filling = Filling { given, own, broken, captured: BTreeMap::new(), all: &tests };
    let (mut ready, mut left_out, mut critical_left_out) = (Vec::new(), Vec::new(), 0);
    for test in &tests {
        let is_taken = given.selection.takes(test) && !filling.is_orphan(test);
        if is_taken {
            let test = filling.ready(test).map_err(|wrong| file.error(wrong))?;
            ready.push(test);
        } else {
            left_out.push(test.name.clone());
            critical_left_out += usize::from(test.said.is_critical);
        }
        for capture in &test.said.captures {
            let by = Captured { test: test.name.clone(), is_taken };
            filling.captured.insert(capture.name.clone(), by);
        }
    }
    Ok(Ready { path: file.path, tests: ready, left_out, critical_left_out })
}

/// Who brings a value.
struct Captured {
    test: String,
    is_taken: bool,
}

struct Filling<'a> {
    given: &'a Given<'a>,
    own: BTreeMap<String, String>,
    /// Variables of the file that nobody can fill: wrong only where a test that is run needs one.
    broken: BTreeMap<String, Wrong>,
    /// By earlier tests.
    captured: BTreeMap<String, Captured>,
    all: &'a [Test],
}

/// `@name = value`, each of what is known before it; and those that cannot be filled.
fn own_variables(
    file: &SmokeFile,
    given: &Given<'_>,
) -> (BTreeMap<String, String>, BTreeMap<String, Wrong>) {
    let (mut own, mut broken) = (BTreeMap::new(), BTreeMap::new());
    for variable in &file.variables {
        let value = |name: &str| known(name, &own, given);
        match variable.value.whole(&value, given.sources) {
            Ok(whole) => {
                own.insert(variable.name.clone(), whole);
            }
            Err(name) => {
                let places = variable.value.variables();
                let place = places.into_iter().find(|(n, _)| *n == name).map(|(_, place)| place);
                let place = place.unwrap_or(variable.place);
                let earlier = broken.get(&name).cloned();
                let wrong = earlier.unwrap_or_else(|| undefined(&name, place, &own, given));
                broken.insert(variable.name.clone(), wrong);
            }
        }
    }
    (own, broken)
}

/// What the target stands for by itself.
fn of_target(name: &str, target: Option<&str>) -> Option<String> {
    let target = target?.trim_end_matches('/');
    match name {
        "url" => Some(target.to_owned()),
        "host" => authority(target).map(str::to_owned),
        _ => None,
    }
}

fn known(name: &str, own: &BTreeMap<String, String>, given: &Given<'_>) -> Option<String> {
    if let Some(name) = name.strip_prefix("$env.") {
        return (given.env)(name);
    }
    if let (true, Some(value)) = (given.is_bound, of_target(name, given.target)) {
        return Some(value);
    }
    let written =
        given.overrides.get(name).or_else(|| own.get(name)).or_else(|| given.environment.get(name));
    written.cloned().or_else(|| of_target(name, given.target))
}

fn undefined(name: &str, place: Place, own: &BTreeMap<String, String>, given: &Given<'_>) -> Wrong {
    if let Some(variable) = name.strip_prefix("$env.") {
        let text = format!("the environment variable {variable} is not set");
        return Wrong::new(place, text, format!("export {variable}=..."));
    }
    if matches!(name, "url" | "host") {
        let text = format!("{{{{{name}}}}} stands for the target, and there is none");
        return Wrong::new(place, text, "orca smoke --target URL");
    }
    let names = own.keys().chain(given.environment.keys()).map(String::as_str);
    let near = nearest_name(name, names.chain(["url", "host"]));
    let better = match near {
        Some(near) => format!("did you mean {{{{{near}}}}}?"),
        None => format!(
            "write @{name} = value above it, give --var {name}=value, or choose an environment of \
             http-client.env.json with --env"
        ),
    };
    Wrong::new(place, format!("nothing defines {{{{{name}}}}}"), better)
}

impl Filling<'_> {
    fn ready(&self, test: &Test) -> Result<ReadyTest, Wrong> {
        for (name, place) in test.templates().flat_map(Template::variables) {
            self.check(name, place)?;
        }
        let mut test = test.clone();
        let value = |name: &str| match self.captured.get(name) {
            Some(_) => None,
            None => known(name, &self.own, self.given),
        };
        for template in test.templates_mut() {
            *template = template.filled(&value);
        }
        for header in &test.headers {
            let name = header.name.to_ascii_lowercase();
            if matches!(name.as_str(), "content-length" | "transfer-encoding") {
                let text = format!("{} is set by orca itself", header.name);
                return Err(Wrong::new(header.place, text, "leave it out"));
            }
            if http::HeaderValue::from_str(&header.value.known_part()).is_err() {
                let text = format!("the value of {} holds control characters", header.name);
                return Err(Wrong::new(header.place, text, "write it on one line, in plain text"));
            }
        }
        for part in &mut test.body {
            if let BodyPart::File { path, place } = part {
                *part = BodyPart::Bytes(self.read(path, *place)?);
            }
        }
        let found = self.aim(&mut test)?;
        let is_bound = self.given.is_bound;
        if let (true, Some(judged)) = (is_bound, self.given.target.and_then(origin))
            && !found.eq_ignore_ascii_case(&judged)
        {
            let text = format!("'{}' asks {found}, and {judged} is what is judged", test.name);
            return Err(Wrong::new(test.place, text, "write GET {{url}}/... without a host"));
        }
        Ok(ReadyTest { test, origin: found, is_bound })
    }

    /// Whether it needs a test that is left out, where that leaves it out too.
    fn is_orphan(&self, test: &Test) -> bool {
        let mut names = test.templates().flat_map(Template::variables).map(|(name, _)| name);
        let is_gone = |name| self.captured.get(name).is_some_and(|by| !by.is_taken);
        self.given.selection.leaves_out_quietly() && names.any(is_gone)
    }

    /// Whether a variable is, or will be, known when the test is sent.
    fn check(&self, name: &str, place: Place) -> Result<(), Wrong> {
        match self.captured.get(name) {
            Some(by) if by.is_taken => return Ok(()),
            Some(by) => {
                let text = format!("{{{{{name}}}}} comes from '{}', which is not run", by.test);
                let better = format!("mark '{}' # @critical as well", by.test);
                return Err(Wrong::new(place, text, better));
            }
            None => {}
        }
        if known(name, &self.own, self.given).is_some() {
            return Ok(());
        }
        if let Some(wrong) = self.broken.get(name) {
            return Err(wrong.clone());
        }
        let later = self.all.iter().find(|t| t.said.captures.iter().any(|c| c.name == name));
        match later {
            Some(later) => {
                let text = format!("{{{{{name}}}}} is captured only later, by '{}'", later.name);
                Err(Wrong::new(place, text, "move that request up"))
            }
            None => Err(undefined(name, place, &self.own, self.given)),
        }
    }

    fn read(&self, path: &Path, place: Place) -> Result<Vec<u8>, Wrong> {
        let found =
            atomic_file::read_limited(&self.given.folder.join(path), limits::INPUT_FILE_BYTES_MAX);
        found.map_err(|error| {
            let text = format!("{} cannot be read: {error}", path.display());
            Wrong::new(place, text, "name it from the folder of this file")
        })
    }

    /// Makes the URL whole, and says where it goes.
    fn aim(&self, test: &mut Test) -> Result<String, Wrong> {
        let (place, target) = (test.place, self.given.target.map(|t| t.trim_end_matches('/')));
        let needs_target = |what: &str| {
            target.ok_or_else(|| {
                let text = format!("{what} needs a target");
                Wrong::new(place, text, "orca smoke --target URL")
            })
        };
        if let Some(name) = test.url.first_variable() {
            // A whole URL from an answer, such as its Location: it has to lead to the target.
            let target = needs_target(&format!("a URL that begins with {{{{{name}}}}}"))?;
            return origin(target).ok_or_else(|| no_url(place, target));
        }
        let head = test.url.head();
        let before = if head.starts_with('/') {
            match own_host(test) {
                Some(host) => format!("{}{host}", self.scheme_of(&host)),
                None => needs_target("a path")?.to_owned(),
            }
        } else if head.contains("://") {
            String::new()
        } else {
            let host = head.split(['/', '?', '#']).next().unwrap_or_default();
            self.scheme_of(host).to_owned()
        };
        let mut url = Template::text(before);
        url.append(std::mem::take(&mut test.url));
        test.url = url;
        let known = test.url.known_part();
        let is_http = ["http://", "https://"].iter().any(|scheme| {
            known.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        });
        let found = origin(&known).filter(|_| is_http).ok_or_else(|| no_url(place, &known))?;
        // A place that is left open inside the host would decide where it goes.
        let is_whole = test.url.is_fixed() || test.url.head().len() > found.len();
        if !is_whole && !test.url.head().eq_ignore_ascii_case(&found) {
            let text = "the host comes from an answer";
            return Err(Wrong::new(place, text, "write the host, or {{url}}, before the first /"));
        }
        Ok(found)
    }

    /// Without a scheme, the target's own for its host, else plain HTTP, as the format has it.
    fn scheme_of(&self, host: &str) -> &'static str {
        let is_tls = self.given.target.is_some_and(|target| {
            target.starts_with("https://")
                && authority(target).is_some_and(|own| own.eq_ignore_ascii_case(host))
        });
        if is_tls { "https://" } else { "http://" }
    }
}

/// A `Host` header of a request that names only a path.
fn own_host(test: &Test) -> Option<String> {
    let header = test.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"))?;
    Some(header.value.known_part()).filter(|host| !host.is_empty())
}

fn no_url(place: Place, url: &str) -> Wrong {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    let text = format!("'{bare}' is no URL of http:// or https://");
    Wrong::new(place, text, "write GET {{url}}/health")
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use crate::base::clock::{Clock, Entropy};

    fn prepared(source: &str, selection: Selection) -> Result<Ready, String> {
        filled(source, selection, false)
    }

    fn filled(source: &str, selection: Selection, is_bound: bool) -> Result<Ready, String> {
        let file = parse(source, Path::new("a.http")).map_err(|error| error.to_string())?;
        let folder = tempfile::tempdir().unwrap();
        atomic_file::write(&folder.path().join("body.json"), b"\n{}\n").unwrap();
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let given = Given {
            selection,
            target: Some("https://shop.example:81/v2/"),
            is_bound,
            overrides: &map(&[("who", "flag")]),
            environment: &map(&[("who", "env"), ("only", "env"), ("both", "env")]),
            env: &|name| (name == "HOME").then(|| "/home".to_owned()),
            sources: &Sources { clock: Clock::System, entropy: Entropy::seeded(1) },
            folder: folder.path(),
        };
        prepare(file, &given)
            .map_err(|e| format!("{e} | {}", e.suggestion.clone().unwrap_or_default()))
    }

    fn urls(source: &str) -> Vec<(String, String)> {
        let ready = prepared(source, Selection::All).unwrap();
        let url = |t: ReadyTest| (t.test.url.known_part(), t.origin);
        ready.tests.into_iter().map(url).collect()
    }

    #[test]
    fn urls_become_whole() {
        let shop = "https://shop.example:81";
        for (line, url, origin) in [
            ("GET {{url}}/a", "https://shop.example:81/v2/a", shop),
            ("GET /a", "https://shop.example:81/v2/a", shop),
            ("GET {{host}}/a", "https://shop.example:81/a", shop),
            ("GET http://{{host}}/a", "http://shop.example:81/a", "http://shop.example:81"),
            ("GET shop.example:81/a", "https://shop.example:81/a", shop),
            ("other.example/a", "http://other.example/a", "http://other.example"),
            ("GET /a\nHost: other.example", "http://other.example/a", "http://other.example"),
            ("GET {{url}}\n  /a\n  ?b=1", "https://shop.example:81/v2/a?b=1", shop),
        ] {
            assert_eq!(urls(line), [(url.to_owned(), origin.to_owned())], "{line}");
        }
    }

    #[test]
    fn the_nearest_value_wins() {
        let source = "@both = file\n@made = {{both}}/{{only}}\n@who = file\n                      GET {{url}}/{{who}}/{{both}}/{{only}}/{{made}}{{$env.HOME}}\n";
        let found = urls(source);
        let whole = "https://shop.example:81/v2/flag/file/env/file/env/home";
        assert_eq!(found[0].0, whole);
    }

    /// Where a target is judged nobody else answers for it, whatever a file says.
    #[test]
    fn a_judged_target_answers_for_itself() {
        let own =
            ["@url = http://localhost:3000\nGET {{url}}/a", "@host = x\nGET {{host}}/a", "GET /a"];
        for source in own {
            let ready = filled(source, Selection::All, true).unwrap();
            assert_eq!(ready.tests[0].origin, "https://shop.example:81", "{source}");
            assert!(ready.tests[0].is_bound);
        }
        for source in [
            "GET https://other.example/a",
            "GET /a\nHost: other.example",
            "@base = http://localhost:3000\nGET {{base}}/a",
            "GET http://{{host}}/a",
        ] {
            let error = filled(source, Selection::All, true).unwrap_err();
            assert!(error.contains("is what is judged | write GET {{url}}"), "{source}: {error}");
        }
    }

    /// What no test that is run needs is no reason to run none; all of them need the file whole.
    #[test]
    fn a_variable_that_nobody_needs_stops_nobody() {
        let source = "@a = {{$env.NOPE}}\n@b = {{a}}\n# @critical\nGET /a\n###\nGET /{{b}}\n";
        assert_eq!(prepared(source, Selection::Critical).unwrap().tests.len(), 1);
        for selection in [Selection::All, Selection::Safe] {
            let error = prepared(source, selection).unwrap_err();
            assert!(error.contains("a.http:1:6: the environment variable NOPE"), "{error}");
        }
    }

    #[test]
    fn what_is_captured_stays_open() {
        let source = "# @capture to = header location\nPOST {{url}}/a\n\n< body.json\n###\n                      GET {{to}}\n###\nGET {{url}}{{to}}\n";
        let ready = prepared(source, Selection::All).unwrap();
        let origins: Vec<&str> = ready.tests.iter().map(|test| test.origin.as_str()).collect();
        assert_eq!(origins, ["https://shop.example:81"; 3]);
        assert_eq!(ready.tests[0].test.body, [BodyPart::Bytes(b"\n{}\n".to_vec())]);
        assert!(!ready.tests[2].test.url.is_fixed());
    }

    #[test]
    fn tests_are_selected() {
        let source = "### login\n# @capture t = jsonpath $.t\nPOST /login\n### read\n# @critical\n                      GET /a\n### mine\n# @critical\nGET /mine?{{t}}\n### query\n# @safe\nPOST /q\n";
        let names = |selection| {
            let ready = prepared(source, selection).unwrap();
            let names: Vec<String> = ready.tests.into_iter().map(|t| t.test.name).collect();
            (names, ready.left_out)
        };
        let all = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(Selection::All).0.len(), 4);
        assert_eq!(names(Selection::Safe), (all(&["read", "query"]), all(&["login", "mine"])));
        assert_eq!(names(Selection::CriticalSafe).0, all(&["read"]));
        assert_eq!(prepared(source, Selection::CriticalSafe).unwrap().critical_left_out, 1);
        let error = prepared(source, Selection::Critical).unwrap_err();
        assert!(error.contains("comes from 'login', which is not run"), "{error}");
    }

    #[test]
    fn what_cannot_be_sent_is_said_with_its_place() {
        for (source, says) in [
            ("GET {{url}}/{{wh}}", "a.http:1:13: nothing defines {{wh}} | did you mean {{who}}?"),
            ("GET {{url}}/{{nowhere}}", "nothing defines {{nowhere}} | write @nowhere = value"),
            ("GET {{url}}/{{$env.NOPE}}", "environment variable NOPE is not set | export NOPE="),
            ("@a = {{b}}\n@b = 1\nGET {{url}}/{{a}}", "a.http:1:6: nothing defines {{b}}"),
            ("GET /{{t}}\n###\n# @capture t = header x\nGET /", "captured only later, by 'GET /'"),
            (
                "# @capture t = header x\nGET /\n###\nGET http://a{{t}}.b/",
                "the host comes from an answer",
            ),
            (
                "# @capture t = header x\nGET /\n###\nGET http://{{t}}/",
                "is no URL of http:// or https://",
            ),
            ("GET ftp://h/", "'ftp://h/' is no URL"),
            ("POST /\n\n< none.json", "a.http:3:1: none.json cannot be read"),
            ("POST /\nContent-Length: 3", "Content-Length is set by orca itself"),
        ] {
            let error = prepared(source, Selection::All).unwrap_err();
            assert!(error.contains(says), "{source}: {error}");
        }
    }

    #[test]
    fn without_a_target_only_whole_urls_can_be_sent() {
        let sources = Sources { clock: Clock::System, entropy: Entropy::seeded(1) };
        let none = BTreeMap::new();
        let given = Given {
            selection: Selection::All,
            target: None,
            is_bound: false,
            overrides: &none,
            environment: &none,
            env: &|_| None,
            sources: &sources,
            folder: Path::new("."),
        };
        let run = |source| prepare(parse(source, Path::new("a.http")).unwrap(), &given);
        assert!(run("GET http://h/a").is_ok());
        for source in ["GET /a", "GET {{url}}/a", "GET http://{{host}}/a"] {
            let error = run(source).unwrap_err();
            assert_eq!(error.suggestion.as_deref(), Some("orca smoke --target URL"), "{source}");
        }
    }
}
