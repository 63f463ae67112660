//! A Prometheus server, asked over its HTTP API.

mod answer;
mod client;

pub(crate) use client::PrometheusTelemetry;
