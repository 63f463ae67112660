//! What smoke tests need of the world: somebody who sends a request.

use async_trait::async_trait;

use super::request::{NoReply, Reply, Request};

/// Sends requests, each once.
#[async_trait]
pub(crate) trait Caller: Send + Sync {
    /// Redirects are answers like others.
    async fn call(&self, request: &Request) -> Result<Reply, NoReply>;
}
