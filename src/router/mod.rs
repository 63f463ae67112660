//! The embedded reverse proxy that splits traffic between two upstreams.
