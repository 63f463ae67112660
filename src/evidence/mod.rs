//! Proving: a signed pack that anyone can verify and judge again, offline.

pub(crate) mod bundle;
pub(crate) mod chart;
pub(crate) mod contents;
pub(crate) mod inspect;
pub(crate) mod manifest;
pub(crate) mod pack;
pub(crate) mod parallel;
mod related;
pub(crate) mod rejudge;
pub(crate) mod report;
pub(crate) mod signers;
pub(crate) mod statement;
pub(crate) mod summary;
pub(crate) mod verify;
pub(crate) mod zip;
pub(crate) mod zip_layout;

#[cfg(test)]
mod attack;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod forged_zip;
