//! The HTTP client of every provider: the one home of reqwest.
//!
//! Every call has a timeout over the whole of it, a size limit and a declared idempotency; what the
//! server says about waiting is obeyed as far as the timeout reaches; redirects are not followed; a
//! server that is down is not hammered. Errors and records never carry a query, a header or a body.

mod again;
mod call;
mod circuit;
mod client;
pub(super) mod own_name;
mod trace;

pub(crate) use again::asked_wait;
pub(crate) use call::{Call, HttpAnswer, HttpError, Repeat};
pub(crate) use client::HttpClient;
