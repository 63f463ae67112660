//! One use case a file: ports in, events out.

pub(crate) mod init;
pub(crate) mod read_back;
