//! Exact statistics. Floats stay inside; what comes out is rounded outward to integers.

pub(crate) mod arrivals;
pub(crate) mod binomial;
pub(crate) mod fisher;
pub(crate) mod mann_whitney;
pub(crate) mod quantile;
pub(crate) mod spending;
