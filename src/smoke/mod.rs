//! Smoke tests: `.http` files as editors run them, asked once, each answer judged.
//!
//! A file is read whole before anything is sent: whatever is wrong in it, a script or a name that
//! nothing defines, is an error with its place. What is not understood is never skipped.

pub(crate) mod annotation;
pub(crate) mod assertion;
pub(crate) mod capture;
pub(crate) mod check;
pub(crate) mod file;
pub(crate) mod outcome;
pub(crate) mod parse;
pub(crate) mod ports;
pub(crate) mod prepare;
pub(crate) mod request;
pub(crate) mod run;
mod shown;
pub(crate) mod template;
pub(crate) mod variables;
