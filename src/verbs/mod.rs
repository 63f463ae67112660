//! One use case a file: ports in, events out.

pub(crate) mod book;
pub(crate) mod canary;
pub(crate) mod gates;
pub(crate) mod init;
pub(crate) mod read_back;
pub(crate) mod rollback;
pub(crate) mod ship;
