//! The router with real sockets on loopback, driven by its client.

mod changes;
mod client;
mod requests;
mod support;
mod uploads;
