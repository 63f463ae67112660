//! One use case a file: ports in, events out.

pub(crate) mod blue_green;
pub(crate) mod book;
pub(crate) mod book_journal;
pub(crate) mod canary;
pub(crate) mod candidate_files;
pub(crate) mod database_step;
pub(crate) mod env_sync;
pub(crate) mod evidence_generate;
pub(crate) mod freeze;
pub(crate) mod gates;
pub(crate) mod init;
mod lease;
pub(crate) mod ledger_book;
pub(crate) mod maintenance;
mod notice;
pub(crate) mod ports;
pub(crate) mod promote;
mod promoted_already;
mod promoting;
pub(crate) mod read_back;
pub(crate) mod rollback;
pub(crate) mod settle;
pub(crate) mod ship;
#[cfg(test)]
pub(crate) mod stand_in;
pub(crate) mod standing;
pub(crate) mod tag_rc;
pub(crate) mod track;
pub(crate) mod trusted;
pub(crate) mod waive;
pub(crate) mod watch;
