//! Thousands of schedules of the real verbs against a false world. Tests only.
//!
//! The verbs, the machine, the gates, the ledger with its fold and leases, and the router's state
//! are the real ones; the clock, the git remote, the network, the users and the people are false.
//! [`audit`] keeps its own books and judges by them alone.

mod actors;
mod audit;
mod converge;
mod dice;
mod gates;
mod hosted;
mod long;
mod orca;
mod permits;
mod platform;
mod repository;
mod schedule;
mod shrink;
mod storage;
mod tests;
mod truth;
mod world;
