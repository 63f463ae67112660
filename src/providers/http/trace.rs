//! The calls that were made, newest last: what a report lists and an exhibit keeps.
//!
//! Clones write into one record. It is bounded: of a long run the last calls remain.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::call::{Call, HttpAnswer, HttpError, shown};
use crate::base::call_made::CallMade;
use crate::base::clock;

const CALLS_MAX: usize = 500;
/// Headers by which servers name a request.
const REQUEST_ID: [&str; 3] = ["x-vercel-id", "x-request-id", "x-github-request-id"];
/// Longest name of a request that is kept.
const REQUEST_ID_CHARS_MAX: usize = 128;

#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    calls: Arc<Mutex<VecDeque<CallMade>>>,
}

impl Trace {
    pub(super) fn note(
        &self,
        call: &Call,
        start: Instant,
        outcome: Result<&HttpAnswer, &HttpError>,
    ) {
        let answer = outcome.ok();
        let id = REQUEST_ID.iter().find_map(|name| answer?.headers.get(*name));
        let made = CallMade {
            method: call.method.to_string(),
            url: shown(&call.url),
            status: answer.map(|answer| answer.status),
            failure: outcome.err().map(ToString::to_string),
            took_us: clock::elapsed_us(start),
            request_id: id.map(|id| id.chars().take(REQUEST_ID_CHARS_MAX).collect()),
        };
        tracing::debug!(method = made.method, url = made.url, status = ?made.status, "called");
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == CALLS_MAX {
            calls.pop_front();
        }
        calls.push_back(made);
    }

    pub(super) fn calls(&self) -> Vec<CallMade> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
