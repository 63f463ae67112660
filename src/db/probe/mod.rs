//! What two users of the API can do to each other's rows, tried on the shadow and taken back.

pub(crate) mod attempts;
pub(crate) mod tables;
