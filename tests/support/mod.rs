//! What every integration test stands on: a closed [`World`] to run orca in, a server whose faults
//! are scripted, a [`Fleet`] with everything under way, and waiting without sleeping blindly.

pub(crate) mod branches;
pub(crate) mod contract;
mod fault_server;
pub(crate) mod fleet;
pub(crate) mod forge;
pub(crate) mod postgres;
mod quiet;
mod run;
pub(crate) mod supabase;
pub(crate) mod trouble;
pub(crate) mod vercel;
mod waiting;
mod world;

pub(crate) use fault_server::{Fault, FaultServer};
pub(crate) use fleet::Fleet;
pub(crate) use postgres::Postgres;
pub(crate) use quiet::{quiet, traffic};
pub(crate) use run::{Run, Running, keeping_up};
pub(crate) use waiting::wait_until;
pub(crate) use world::World;
