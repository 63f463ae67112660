//! Replaying migrations on a throwaway database: files in their order, one transaction each, with
//! stand-ins for extensions that are not there. Databases are met through [`ports`].

pub(crate) mod advice;
pub(crate) mod doors;
pub(crate) mod extension;
pub(crate) mod fill;
pub(crate) mod finding;
pub(crate) mod footprint;
pub(crate) mod guard;
pub(crate) mod mention;
pub(crate) mod migrations;
pub(crate) mod own;
pub(crate) mod ports;
pub(crate) mod replay;
pub(crate) mod schema_hash;
pub(crate) mod study;
pub(crate) mod supabase;
