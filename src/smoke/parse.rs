//! Reads the text of a `.http` file, line by line: the request grammar that editors share, file
//! variables, comments with annotations, and the `??` lines of `httpYac`.
//!
//! Scripts are errors, never skipped: a test that does less than its file says would be no proof.

use std::collections::BTreeMap;
use std::path::Path;

use super::annotation::Annotations;
use super::assertion::Assertion;
use super::file::{BodyPart, FileVariable, Header, SmokeFile, Test, error};
use super::template::{Place, Template, Wrong, is_name};
use crate::base::limits;
use crate::base::yaml::InputError;

const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
const REQUEST: &str = "write GET {{url}}/health";
const SCRIPTS: &str = "orca runs no scripts: assert with ?? status == 200, and take values with \
                       # @capture token = jsonpath $.token";

/// Reads `source`; `path` only names it in errors.
pub(crate) fn parse(source: &str, path: &Path) -> Result<SmokeFile, InputError> {
    let mut reader = Reader::default();
    let bare = source.strip_prefix('\u{feff}').unwrap_or(source);
    for (index, line) in bare.lines().enumerate() {
        let read = reader.line(line, index + 1);
        read.map_err(|wrong| error(path, bare, wrong))?;
    }
    reader.end_block().map_err(|wrong| error(path, bare, wrong))?;
    bounded(&reader.variables, &reader.tests).map_err(|wrong| error(path, bare, wrong))?;
    let tests = named(reader.tests).map_err(|wrong| error(path, bare, wrong))?;
    Ok(SmokeFile {
        path: path.to_owned(),
        source: bare.to_owned(),
        variables: reader.variables,
        tests,
    })
}

/// Where in a request the next line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Before,
    Url,
    Headers,
    Body,
}

#[derive(Default)]
struct Reader {
    state: State,
    variables: Vec<FileVariable>,
    /// Names of variables, with their lines.
    known: BTreeMap<String, usize>,
    tests: Vec<Test>,
    /// What ends a line of this body.
    line_end: &'static str,
    /// What stands behind the last `###`.
    title: String,
    said: Annotations,
    request: Option<Test>,
}

impl Reader {
    fn line(&mut self, line: &str, number: usize) -> Result<(), Wrong> {
        let bare = line.trim();
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let place = Place { line: number, column: indent + 1 };
        if let Some(title) = line.strip_prefix("###") {
            self.end_block()?;
            title.trim_matches(|c: char| c == '#' || c.is_whitespace()).clone_into(&mut self.title);
            return Ok(());
        }
        if let Some(comment) = bare.strip_prefix("//").or_else(|| bare.strip_prefix('#')) {
            // However many marks: an annotation is never passed over.
            let comment = comment.trim_start_matches(['#', '/']);
            let column = place.column + (bare.len() - comment.len());
            return self.said.read(comment, Place { column, ..place });
        }
        // An editor's note of an answer from before: it asks for nothing.
        if indent == 0 && line.starts_with("<> ") {
            return Ok(());
        }
        script(bare, indent, place)?;
        if let Some(assertion) = bare.strip_prefix("??") {
            return self.assertion(assertion, place);
        }
        match self.state {
            State::Before => self.before(bare, place),
            State::Url if indent > 0 && !bare.is_empty() => self.url_goes_on(bare, place),
            State::Url | State::Headers => self.header(bare, indent, place),
            State::Body => self.body(line, place),
        }
    }

    fn assertion(&mut self, text: &str, place: Place) -> Result<(), Wrong> {
        let Some(request) = &mut self.request else {
            let text = "an assertion without a request";
            return Err(Wrong::new(place, text, "write it below the request that it is about"));
        };
        let column = place.column + 2;
        request.assertions.push(Assertion::parse(text, Place { column, ..place })?);
        Ok(())
    }

    fn before(&mut self, bare: &str, place: Place) -> Result<(), Wrong> {
        if bare.is_empty() {
            return Ok(());
        }
        if let Some(variable) = bare.strip_prefix('@') {
            return self.variable(variable, place);
        }
        let (method, url, at) = request_line(bare, place)?;
        self.request = Some(Test {
            name: std::mem::take(&mut self.title),
            place,
            said: Annotations::default(),
            method,
            url: Template::parse(url, at)?,
            headers: Vec::new(),
            body: Vec::new(),
            assertions: Vec::new(),
        });
        self.state = State::Url;
        Ok(())
    }

    fn variable(&mut self, text: &str, place: Place) -> Result<(), Wrong> {
        let wrong = |message: String| Wrong::new(place, message, "write @name = value");
        let (name, value) =
            text.split_once('=').ok_or_else(|| wrong(format!("'@{text}' has no value")))?;
        let (name, bare) = (name.trim(), value.trim());
        if !is_name(name) {
            return Err(wrong(format!("'{name}' is no name of a variable")));
        }
        if let Some(before) = self.known.insert(name.to_owned(), place.line) {
            return Err(wrong(format!("@{name} stands on line {before} already")));
        }
        let lead = text.chars().count() - value.trim_start().chars().count();
        let at = Place { column: place.column + 1 + lead, ..place };
        let value = Template::parse(bare, at)?;
        self.variables.push(FileVariable { name: name.to_owned(), value, place });
        Ok(())
    }

    /// A URL goes on in indented lines, without the white space.
    fn url_goes_on(&mut self, bare: &str, place: Place) -> Result<(), Wrong> {
        let Some(request) = &mut self.request else { return Ok(()) };
        without_spaces(bare, place)?;
        request.url.append(Template::parse(bare, place)?);
        Ok(())
    }

    fn header(&mut self, bare: &str, indent: usize, place: Place) -> Result<(), Wrong> {
        let Some(request) = &mut self.request else { return Ok(()) };
        if bare.is_empty() {
            self.state = State::Body;
            self.line_end = if is_multipart(request) { "\r\n" } else { "\n" };
            return Ok(());
        }
        if indent > 0
            && let Some(header) = request.headers.last_mut()
        {
            header.value.append(Template::text(" "));
            header.value.append(Template::parse(bare, place)?);
            return Ok(());
        }
        self.state = State::Headers;
        let better = "write Name: value; a body begins after an empty line, the next test with ###";
        let wrong = || Wrong::new(place, format!("'{bare}' is no header"), better);
        let (name, value) = bare.split_once(':').ok_or_else(wrong)?;
        let name = name.trim_end();
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(wrong());
        }
        let lead = bare.chars().count() - value.trim_start().chars().count();
        let value = Template::parse(value.trim(), Place { column: place.column + lead, ..place })?;
        request.headers.push(Header { name: name.to_owned(), value, place });
        Ok(())
    }

    fn body(&mut self, line: &str, place: Place) -> Result<(), Wrong> {
        let Some(request) = &mut self.request else { return Ok(()) };
        if is_request(line) {
            let text = "a request inside a body";
            let better =
                "begin each test with ###; a body with such a line comes from a file: < FILE";
            return Err(Wrong::new(place, text, better));
        }
        let end = self.line_end;
        if let Some(file) = line.strip_prefix('<').filter(|rest| rest.starts_with([' ', '\t'])) {
            let path = file.trim().into();
            request.body.push(BodyPart::File { path, place });
            request.body.push(BodyPart::Text(Template::text(end)));
            return Ok(());
        }
        let mut text = Template::parse(line, Place { column: 1, ..place })?;
        text.append(Template::text(end));
        request.body.push(BodyPart::Text(text));
        Ok(())
    }

    /// At `###` and at the end: what was read of a request becomes a test.
    fn end_block(&mut self) -> Result<(), Wrong> {
        let said = std::mem::take(&mut self.said);
        self.state = State::Before;
        self.title.clear();
        match self.request.take() {
            Some(mut test) => {
                trim(&mut test.body);
                if said.follows && !matches!(test.method.as_str(), "GET" | "HEAD") {
                    let text = format!("@follow is not for {}", test.method);
                    let better = "only GET and HEAD are asked again elsewhere";
                    return Err(Wrong::new(test.place, text, better));
                }
                test.said = said;
                self.tests.push(test);
                Ok(())
            }
            None => match said.first {
                Some(place) => {
                    let text = "an annotation without a request";
                    Err(Wrong::new(place, text, "write it above the request, below its ###"))
                }
                None => Ok(()),
            },
        }
    }
}

/// What runs, sends or writes something else than a request.
fn script(bare: &str, indent: usize, place: Place) -> Result<(), Wrong> {
    let begins = |mark: &str| {
        bare.strip_prefix(mark).is_some_and(|rest| rest.trim_start().starts_with("{%"))
    };
    let is_command = |word: &str| bare.split_whitespace().next() == Some(word);
    let line = place.line;
    if begins(">") || begins("<") || bare == "{{" || bare.starts_with("{{@") {
        return Err(Wrong::new(place, format!("scripts are not supported: line {line}"), SCRIPTS));
    }
    if indent == 0 && (is_command(">") || is_command(">>") || is_command(">>!")) {
        let text = format!("handlers of answers are not supported: line {line}");
        let better = "leave it out; a body with such a line comes from a file: < body.txt";
        return Err(Wrong::new(place, text, better));
    }
    if bare.starts_with("<@") {
        let text = "a file with variables is not supported";
        return Err(Wrong::new(
            place,
            text,
            "write the body here, or send the file as it is: < FILE",
        ));
    }
    Ok(())
}

/// Method and URL of `GET http://host/path HTTP/1.1`; the method and the version may be missing.
fn request_line(bare: &str, place: Place) -> Result<(String, &str, Place), Wrong> {
    let (first, rest) = bare.split_once(char::is_whitespace).unwrap_or((bare, ""));
    let is_word = !first.is_empty() && first.chars().all(|c| c.is_ascii_alphabetic());
    let (method, url) = match METHODS.iter().find(|method| **method == first) {
        Some(method) => ((*method).to_owned(), rest),
        None if is_word => {
            let text = format!("'{first}' is no method of a test");
            return Err(Wrong::new(place, text, format!("known are {}", METHODS.join(", "))));
        }
        None => ("GET".to_owned(), bare),
    };
    let lead = bare.chars().count() - url.trim_start().chars().count();
    let at = Place { column: place.column + lead, ..place };
    let url = url.trim();
    let url = match url.rsplit_once(char::is_whitespace) {
        Some((url, version)) if version.starts_with("HTTP/") => url.trim_end(),
        _ => url,
    };
    if url.is_empty() {
        return Err(Wrong::new(at, format!("{method} of nothing"), REQUEST));
    }
    let is_url = url.starts_with('/')
        || url.starts_with("{{")
        || url.contains("://")
        || url.contains('.')
        || url.contains(':');
    if url == "*" || !is_url {
        return Err(Wrong::new(at, format!("'{url}' is no URL"), REQUEST));
    }
    without_spaces(url, at)?;
    Ok((method, url, at))
}

/// White space belongs into `{{ }}` only.
fn without_spaces(url: &str, place: Place) -> Result<(), Wrong> {
    let mut inside = false;
    for (index, (at, c)) in url.char_indices().enumerate() {
        inside = (inside || url[at..].starts_with("{{")) && !url[..at].ends_with("}}");
        if c.is_whitespace() && !inside {
            let place = Place { column: place.column + index, ..place };
            return Err(Wrong::new(place, "a space inside a URL", "write it as %20"));
        }
    }
    Ok(())
}

/// Whether a line of a body looks like the next request, whose `###` was forgotten.
fn is_request(line: &str) -> bool {
    let begins_url =
        |url: &str| ["/", "http://", "https://", "{{"].iter().any(|b| url.starts_with(b));
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    METHODS.contains(&first) && begins_url(rest.trim_start())
}

fn is_multipart(test: &Test) -> bool {
    let is_type = |header: &&Header| header.name.eq_ignore_ascii_case("content-type");
    let value = test.headers.iter().find(is_type).map(|header| header.value.head());
    value.is_some_and(|value| value.to_ascii_lowercase().starts_with("multipart/"))
}

/// Without the empty lines around it; the last line has no end.
fn trim(body: &mut Vec<BodyPart>) {
    let is_blank = |part: &BodyPart| match part {
        BodyPart::Text(text) => text.is_fixed() && text.head().trim().is_empty(),
        BodyPart::File { .. } | BodyPart::Bytes(_) => false,
    };
    let start = body.iter().position(|part| !is_blank(part)).unwrap_or(body.len());
    body.drain(..start);
    while body.last().is_some_and(is_blank) {
        body.pop();
    }
    if let Some(BodyPart::Text(last)) = body.last_mut() {
        last.trim_end();
    }
}

/// Each variable may say another one twice: a few lines would fill the memory.
fn bounded(variables: &[FileVariable], tests: &[Test]) -> Result<(), Wrong> {
    let too_long = |what: &str, place: Place| {
        let text = format!("{what} would have more than {} bytes", limits::INPUT_FILE_BYTES_MAX);
        Err(Wrong::new(place, text, "use fewer variables, or send a file: < ./body.json"))
    };
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    for variable in variables {
        let bytes = variable.value.bytes(&known);
        if bytes > limits::INPUT_FILE_BYTES_MAX {
            return too_long(&format!("@{}", variable.name), variable.place);
        }
        known.insert(&variable.name, bytes);
    }
    for test in tests {
        let bytes: u64 = test.templates().map(|template| template.bytes(&known)).sum();
        if bytes > limits::INPUT_FILE_BYTES_MAX {
            return too_long("this request", test.place);
        }
    }
    Ok(())
}

/// Every test has a name of its own: as said, else its title, else its request line.
fn named(mut tests: Vec<Test>) -> Result<Vec<Test>, Wrong> {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for test in &mut tests {
        let Some(name) = test.said.name.clone() else { continue };
        if let Some(line) = lines.insert(name.clone(), test.place.line) {
            let text = format!("'{name}' is the name of the test on line {line} too");
            return Err(Wrong::new(test.place, text, "give each test a name of its own: # @name"));
        }
        test.name = name;
    }
    // The number that the next test of this name gets.
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for test in tests.iter_mut().filter(|test| test.said.name.is_none()) {
        if test.name.is_empty() {
            test.name = format!("{} {}", test.method, test.url.path_shown());
        }
        let first = test.name.clone();
        let number = numbers.entry(first.clone()).or_insert(2);
        while lines.contains_key(&test.name) {
            test.name = format!("{first} ({number})");
            *number += 1;
        }
        lines.insert(test.name.clone(), test.place.line);
    }
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> SmokeFile {
        parse(source, Path::new("a.http")).unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    fn body(test: &Test) -> String {
        let text = |part: &BodyPart| match part {
            BodyPart::Text(text) => text.known_part(),
            BodyPart::File { path, .. } => format!("<{}>", path.display()),
            BodyPart::Bytes(_) => unreachable!("nothing is read yet"),
        };
        test.body.iter().map(text).collect()
    }

    #[test]
    fn requests_stand_between_separators() {
        let file = read(
            "\u{feff}// a file\n###\n###\n@base = http://h\r\n\n### first one ###\n\
             GET {{base}}/a HTTP/1.1\r\nAccept: text/html\n###\n{{base}}/b\n\
             ### \n# @name third\n\n  \nDELETE /c\n###",
        );
        let seen: Vec<_> = file
            .tests
            .iter()
            .map(|t| (t.name.as_str(), t.method.as_str(), t.place.line, t.headers.len()))
            .collect();
        assert_eq!(
            seen,
            [("first one", "GET", 7, 1), ("GET /b", "GET", 10, 0), ("third", "DELETE", 15, 0)]
        );
        assert_eq!(file.variables[0].name, "base");
    }

    #[test]
    fn a_url_and_a_header_go_on_in_indented_lines() {
        let file = read(
            "GET http://h\n    /orders\n\t?page=2\n    # not the first\n    &size={{ n }}\n\
             X-Long: a\n  b\n",
        );
        let test = &file.tests[0];
        assert_eq!(test.url.known_part(), "http://h/orders?page=2&size=");
        assert_eq!(test.url.variables().next().unwrap().1, Place { line: 5, column: 11 });
        assert_eq!(test.headers[0].value.known_part(), "a b");
    }

    #[test]
    fn a_body_is_what_stands_below_the_empty_line() {
        for (source, sent) in [
            ("POST /a\n\n\n{\n  \"a\": 1\n}\n\n\n", "{\n  \"a\": 1\n}"),
            ("POST /a\n\none\n\n# comment\n  // comment\ntwo  \n", "one\n\ntwo"),
            ("POST /a\n\n< ./in.json\n", "<./in.json>\n"),
            ("POST /a\n\nhead\n< in.json\ntail\n", "head\n<in.json>\ntail"),
            ("POST /a\n\nGET well soon\n", "GET well soon"),
            ("POST /a\n\n<xml/>\n<> old.200.json\n", "<xml/>"),
            ("POST /a\n\n?? status == 201\n", ""),
            ("POST /a\n\nx\n?? status == 201\n?? body includes x", "x"),
            (
                "POST /a\nContent-Type: multipart/form-data; boundary=b\n\n--b\nA: b\n\n< f\n--b--\n",
                "--b\r\nA: b\r\n\r\n<f>\r\n--b--",
            ),
        ] {
            let sent = sent.trim_end_matches('\n');
            assert_eq!(body(&read(source).tests[0]).trim_end_matches('\n'), sent, "{source}");
        }
        let file = read("POST /a\n\n< in.bin\n\n");
        assert_eq!(file.tests[0].body.len(), 1, "a file is sent as it is");
    }

    #[test]
    fn annotations_and_assertions_belong_to_their_request() {
        let file = read(
            "### a\n# @critical\n//@category API\nGET /a\n# @retry 1 1ms\n?? status == 204\n\
             ### b\nGET /b\n\n?? duration < 10\n",
        );
        let (a, b) = (&file.tests[0], &file.tests[1]);
        assert!(a.said.is_critical && !b.said.is_critical);
        assert_eq!((a.said.retry.times, b.said.retry.times), (1, 0));
        assert_eq!((a.assertions.len(), b.assertions.len()), (1, 1));
        assert_eq!(b.assertions[0].place, Place { line: 10, column: 3 });
    }

    #[test]
    fn an_annotation_counts_behind_any_mark_of_a_comment() {
        for mark in ["#", "##", "  ##", "//", "///", "# "] {
            let file = read(&format!("{mark} @critical\nGET /a\n"));
            assert!(file.tests[0].said.is_critical, "{mark}");
        }
        assert!(!read("# mail a@critical\nGET /a\n").tests[0].said.is_critical);
    }

    #[test]
    fn what_variables_make_of_a_text_has_an_end() {
        let doubled = |lines: usize| {
            let line = |n: usize| format!("@v{n} = {{{{v{0}}}}}{{{{v{0}}}}}\n", n - 1);
            format!("@v0 = x\n{}", (1..=lines).map(line).collect::<String>())
        };
        let max = usize::try_from(limits::INPUT_FILE_BYTES_MAX).unwrap().ilog2() as usize;
        for (source, line, says) in [
            (doubled(max), None, ""),
            (doubled(30), Some(max + 2), "v21 would have more than 1048576 bytes"),
            (format!("{}GET /{{{{v20}}}}", doubled(max)), Some(max + 2), "this request would have"),
            (
                format!("{}GET /\n\n{}", doubled(max - 1), "{{v19}}\n".repeat(3)),
                Some(max + 1),
                "this request would have more than 1048576 bytes",
            ),
            ("@a = {{a}}{{a}}\n@b = {{given}}{{a}}\nGET /{{b}}{{$uuid}}".to_owned(), None, ""),
        ] {
            let seen = parse(&source, Path::new("a.http"));
            let seen = seen.err().map(|error| (error.line, error.message));
            assert_eq!(seen.as_ref().map(|(at, _)| *at), line.map(|n| n as u64), "{seen:?}");
            assert!(seen.is_none_or(|(_, message)| message.contains(says)), "{says}");
        }
    }

    #[test]
    fn names_are_given_where_there_are_none() {
        let file = read(
            "GET http://h/a?token=x\n###\nGET http://h/a\n### b\nGET h.io/\n### b\nGET {{url}}\n\
             ###\nGET {{url}}/{{id}}/c\n",
        );
        let names: Vec<&str> = file.tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["GET /a", "GET /a (2)", "b", "b (2)", "GET /{{id}}/c"]);
    }

    #[test]
    fn what_cannot_be_a_test_is_said_with_its_place() {
        for (source, line, column, says) in [
            ("GET /a\n\n> {% client.test() %}", 3, 1, "scripts are not supported: line 3"),
            ("GET /a\n> {%\n  x\n%}", 2, 1, "scripts are not supported: line 2"),
            ("< {% request.x %}\nGET /a", 1, 1, "scripts are not supported: line 1"),
            ("{{\n  x = 1\n}}\nGET /a", 1, 1, "scripts are not supported"),
            ("GET /a\n\n> ./check.js", 3, 1, "handlers of answers are not supported: line 3"),
            ("GET /a\n\nGET /b", 3, 1, "a request inside a body"),
            ("POST /a\n\nx\nPOST {{url}}/b", 4, 1, "a request inside a body"),
            ("POST /a\n\nx\nGET\t/b", 4, 1, "a request inside a body"),
            ("GET /a\n\n>> out.json", 3, 1, "handlers of answers are not supported: line 3"),
            ("POST /a\n\n<@ in.json", 3, 1, "a file with variables"),
            ("# @critcal\nGET /a", 1, 3, "nothing is known of '@critcal'"),
            ("## @critcal\nGET /a", 1, 4, "nothing is known of '@critcal'"),
            ("# @critical\n###\nGET /a", 1, 3, "an annotation without a request"),
            ("?? status == 200\nGET /a", 1, 1, "an assertion without a request"),
            ("GET /a\n  ?? status is 200", 2, 5, "'is' is no operator"),
            ("FETCH http://h/a", 1, 1, "'FETCH' is no method of a test"),
            ("WEBSOCKET ws://h/a", 1, 1, "is no method"),
            ("get http://h/a", 1, 1, "'get' is no method"),
            ("GET", 1, 4, "GET of nothing"),
            ("OPTIONS *", 1, 9, "'*' is no URL"),
            ("GET nothing", 1, 5, "'nothing' is no URL"),
            ("GET http://h/a b", 1, 15, "a space inside a URL"),
            ("GET http://h/\n  a b", 2, 4, "a space inside a URL"),
            ("GET http://h/{{ a }}/{{b", 1, 22, "{{ is not closed"),
            ("GET /a\nnothing", 2, 1, "'nothing' is no header"),
            ("GET /a\nA b: c", 2, 1, "is no header"),
            ("@a\nGET /a", 1, 1, "'@a' has no value"),
            ("@a b = c\nGET /a", 1, 1, "'a b' is no name"),
            ("@a = 1\n@a = 2", 2, 1, "@a stands on line 1 already"),
            ("@a = x{{b\nGET /a", 1, 7, "{{ is not closed"),
            ("# @name x\nGET /a\n###\n# @name x\nGET /b", 5, 1, "the test on line 2 too"),
            ("# @follow\nPOST /a", 2, 1, "@follow is not for POST"),
        ] {
            let error = parse(source, Path::new("a.http")).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{source}: {error}");
            assert!(error.message.contains(says), "{source}: {error}");
            assert!(error.suggestion.is_some(), "{source}: {error}");
            let text = source.lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
            assert_eq!(error.text, text);
        }
    }
}
