//! The window after a promotion.

mod end;
mod outcome;
mod run;

pub(crate) use run::{Promoted, Watch, WatchError, Watched, serving};

#[cfg(test)]
mod tests;
