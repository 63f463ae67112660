//! Blue/green: a standby of the candidate's commit is built, asked, loaded and judged without users;
//! then everybody is sent to it at once, with a clearance, and the version before stays the way back.

mod judging;
mod planned;
mod run;
mod standby;
mod switch;
mod traffic;

pub(crate) use judging::Judged;
pub(crate) use planned::planned;
pub(crate) use run::{BlueGreen, BlueGreenError, Ended, Forced, Settings};
