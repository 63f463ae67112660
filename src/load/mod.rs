//! Load with a truthful clock: an open model, latency from the intended start.
