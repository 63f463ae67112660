//! The database of a preview branch, as shadow: the branch is this run's own, so nothing is made on
//! its server and nothing dropped. It is never the target.

use std::net::IpAddr;

use async_trait::async_trait;

use super::address::Address;
use super::session::{self, Session};
use super::shadow::{Made, ShadowError};
use crate::base::clock::Entropy;
use crate::base::limits;
use crate::base::redact::Secret;
use crate::db::branch::ports::{Connects, Login, NotConnected};
use crate::db::shadow::ports::{Database as _, Row, Shadow, SqlError};

/// The database that Supabase makes in every project.
const DATABASE: &str = "postgres";

/// Connects to branches.
#[derive(Debug)]
pub(crate) struct Branches {
    /// The database that the migrations are meant for, where it is known.
    pub(crate) target: Option<Secret>,
    pub(crate) statement_timeout: std::time::Duration,
    pub(crate) entropy: Entropy,
}

#[async_trait]
impl Connects for Branches {
    async fn connect(&self, login: &Login) -> Result<Box<dyn Shadow>, NotConnected> {
        let Login { host, port, user, password } = login;
        let encrypted = !is_here(host);
        let address = Address::of_server((host, *port), (user, password), encrypted);
        let deadline = self.statement_timeout + limits::HTTP_CALL;
        let session = session::connect(&address.with_database(DATABASE), deadline).await;
        let session = session.map_err(|e| not_connected(&e))?;
        self.guard(&session).await?;
        let made = Made::on_branch(session, self.entropy.clone()).await;
        Ok(Box::new(made.map_err(|e| not_connected(&e))?))
    }
}

impl Branches {
    async fn guard(&self, session: &Session) -> Result<(), NotConnected> {
        let Some(target) = &self.target else { return Ok(()) };
        let never = |error: ShadowError| NotConnected::Never(error.into());
        let unreachable = |e| never(ShadowError::Unreachable("target", e));
        let target = session::connect_url(target, limits::HTTP_CALL).await.map_err(unreachable)?;
        let target = identity(&target).await.map_err(unreachable)?;
        if identity(session).await.map_err(|e| not_connected(&e))? == target {
            return Err(never(ShadowError::IsTheTarget));
        }
        Ok(())
    }
}

/// The running server and the database. A copy of a cluster has its identifier, but began at another
/// moment.
async fn identity(session: &Session) -> Result<Vec<Row>, SqlError> {
    session
        .run(
            "select system_identifier, current_database(), pg_postmaster_start_time() \
             from pg_catalog.pg_control_system()",
        )
        .await
}

/// No connection, a server that starts, a role whose password is not set yet.
fn not_connected(error: &SqlError) -> NotConnected {
    NotConnected::Yet(error.to_string())
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (host, here) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("localhost", true),
            ("db.abcdefghijklmnopqrst.supabase.co", false),
            ("10.0.0.1", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_here(host), here, "{host}");
        }
    }
}
