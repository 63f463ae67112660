//! A Supabase preview branch as shadow database: made for one run, told of, and deleted however that
//! run ends. Supabase, the database on the branch and whoever listens are met through [`ports`].

pub(crate) mod keeper;
pub(crate) mod names;
pub(crate) mod ports;
pub(crate) mod readiness;
pub(crate) mod shadows;
