//! A `.http` file as it was read: its variables and its requests, in their order. A request is a
//! test; without an assertion of its own any 2xx is right.

use std::path::{Path, PathBuf};

use super::annotation::Annotations;
use super::assertion::Assertion;
use super::request;
use super::template::{Place, Template, Wrong};
use crate::base::yaml::InputError;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SmokeFile {
    /// As people named it.
    pub(crate) path: PathBuf,
    pub(super) source: String,
    pub(super) variables: Vec<FileVariable>,
    pub(crate) tests: Vec<Test>,
}

/// `@name = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileVariable {
    pub(super) name: String,
    pub(super) value: Template,
    pub(super) place: Place,
}

/// One request and what must be true of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    /// Its own among the tests of the file.
    pub(crate) name: String,
    /// Of the request line.
    pub(crate) place: Place,
    pub(crate) said: Annotations,
    pub(crate) method: String,
    pub(super) url: Template,
    pub(super) headers: Vec<Header>,
    pub(super) body: Vec<BodyPart>,
    pub(super) assertions: Vec<Assertion>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: Template,
    pub(super) place: Place,
}

/// A body is made of lines, and of files that are sent as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyPart {
    Text(Template),
    File { path: PathBuf, place: Place },
    Bytes(Vec<u8>),
}

impl Test {
    /// Whether asking it changes nothing: by its method, or because the file says so.
    pub(crate) fn is_safe(&self) -> bool {
        self.said.is_safe || request::is_safe(&self.method)
    }

    /// Everything in which a variable may stand.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let headers = self.headers.iter().map(|header| &header.value);
        let body = self.body.iter().filter_map(|part| match part {
            BodyPart::Text(text) => Some(text),
            BodyPart::File { .. } | BodyPart::Bytes(_) => None,
        });
        let asserted = self.assertions.iter().map(|assertion| &assertion.value);
        std::iter::once(&self.url).chain(headers).chain(body).chain(asserted)
    }

    pub(super) fn templates_mut(&mut self) -> impl Iterator<Item = &mut Template> {
        let headers = self.headers.iter_mut().map(|header| &mut header.value);
        let body = self.body.iter_mut().filter_map(|part| match part {
            BodyPart::Text(text) => Some(text),
            BodyPart::File { .. } | BodyPart::Bytes(_) => None,
        });
        let asserted = self.assertions.iter_mut().map(|assertion| &mut assertion.value);
        std::iter::once(&mut self.url).chain(headers).chain(body).chain(asserted)
    }
}

impl SmokeFile {
    /// The files that are sent as bodies, as they are named: seen from the folder of this file.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &Path> {
        self.tests.iter().flat_map(|test| &test.body).filter_map(|part| match part {
            BodyPart::File { path, .. } => Some(path.as_path()),
            BodyPart::Text(_) | BodyPart::Bytes(_) => None,
        })
    }

    /// What is wrong, with the line as it stands in the file.
    pub(super) fn error(&self, wrong: Wrong) -> InputError {
        error(&self.path, &self.source, wrong)
    }
}

pub(super) fn error(path: &Path, source: &str, wrong: Wrong) -> InputError {
    let Wrong { place, message, suggestion } = wrong;
    let line = source.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    InputError {
        file: path.to_owned(),
        line: u64::try_from(place.line).unwrap_or(u64::MAX),
        column: u64::try_from(place.column).unwrap_or(u64::MAX),
        message,
        text: line.chars().take(200).collect(),
        suggestion: Some(suggestion),
    }
}
