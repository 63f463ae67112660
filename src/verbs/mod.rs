//! One use case a file: ports in, events out.
