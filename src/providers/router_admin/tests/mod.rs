//! The router with real sockets on loopback, driven by its client.

mod changes;
mod client;
mod leaving;
mod loops;
mod requests;
mod support;
mod uploads;
