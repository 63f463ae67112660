//! Acting: ordered steps, each with apply, verify and an expected duration.
