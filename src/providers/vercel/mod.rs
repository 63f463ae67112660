//! Vercel: rolling releases for the canary, instant rollback for the way back, standbys for
//! blue/green, promotion, and the counts of its observability.
//!
//! What its answers mean stands in [`seen`]; every change is read back before it counts. Nothing
//! here knows of gates, ledgers or plans.

mod answers;
mod build;
mod build_calls;
mod change;
mod checks;
mod client;
mod closing;
mod failed;
mod front;
mod go_back;
mod metrics;
mod metrics_answer;
mod platform;
mod pushes;
mod seen;
mod variables;

pub(crate) use client::{API, VercelClient};
pub(crate) use metrics::VercelTelemetry;
pub(crate) use platform::{VercelPlatform, VercelSettings};
