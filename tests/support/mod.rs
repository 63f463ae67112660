//! What every integration test stands on: a closed [`World`] to run orca in, a server whose faults
//! are scripted, and waiting without sleeping blindly. Two runs of one test see the same bytes.

mod fault_server;
mod quiet;
mod run;
mod waiting;
mod world;

pub(crate) use fault_server::{Fault, FaultServer};
pub(crate) use quiet::quiet;
pub(crate) use run::{Run, Running};
pub(crate) use waiting::wait_until;
pub(crate) use world::World;
