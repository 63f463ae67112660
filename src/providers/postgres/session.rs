//! One connection: statements by the simple protocol, each under a deadline of its own, for a server
//! that hangs must not hang orca.

use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::{Client, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, AddressError};
use crate::base::limits;
use crate::base::redact::Secret;
use crate::db::shadow::ports::{Database, Row, SqlError};

/// A connection; it ends when dropped.
pub(crate) struct Session {
    client: Client,
    tls: MakeRustlsConnect,
    /// For one call; the server's own `statement_timeout` comes first.
    deadline: Duration,
}

/// Connects to what `url` names.
pub(crate) async fn connect_url(url: &Secret, deadline: Duration) -> Result<Session, SqlError> {
    connect(&Address::parse(url).map_err(|e| unreadable(&e))?, deadline).await
}

/// Connects, within the time of a provider call.
pub(crate) async fn connect(address: &Address, deadline: Duration) -> Result<Session, SqlError> {
    let tls = address.tls().map_err(|e| unreadable(&e))?;
    let mut config = address.config().clone();
    config.application_name("orca").connect_timeout(limits::HTTP_CALL);
    let connected = tokio::time::timeout(limits::HTTP_CALL, config.connect(tls.clone())).await;
    let (client, connection) =
        connected.map_err(|_| silent(limits::HTTP_CALL))?.map_err(|e| of(&e))?;
    // It ends with the client, or with the server; then every call says so.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Session { client, tls, deadline })
}

#[async_trait]
impl Database for Session {
    async fn run(&self, sql: &str) -> Result<Vec<Row>, SqlError> {
        let called = tokio::time::timeout(self.deadline, self.client.simple_query(sql)).await;
        let Ok(answered) = called else {
            let token = self.client.cancel_token();
            let _ = tokio::time::timeout(limits::ADMIN_CALL, token.cancel_query(self.tls.clone()))
                .await;
            return Err(silent(self.deadline));
        };
        let messages = answered.map_err(|e| of(&e))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    async fn copy_in(&self, sql: &str, rows: &str) -> Result<(), SqlError> {
        let copying = async {
            let mut sink = pin!(self.client.copy_in::<_, Bytes>(sql).await?);
            sink.send(Bytes::copy_from_slice(rows.as_bytes())).await?;
            sink.finish().await
        };
        let copied = tokio::time::timeout(self.deadline, copying).await;
        copied.map_err(|_| silent(self.deadline))?.map_err(|e| of(&e)).map(drop)
    }
}

fn unreadable(error: &AddressError) -> SqlError {
    SqlError { code: "08001".to_owned(), message: error.to_string(), hint: None, position: None }
}

fn silent(deadline: Duration) -> SqlError {
    let message = format!("the server did not answer within {} s", deadline.as_secs());
    SqlError { code: "08006".to_owned(), message, hint: None, position: None }
}

fn of(error: &Error) -> SqlError {
    let Some(db) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let message = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        return SqlError { code: "08006".to_owned(), message, hint: None, position: None };
    };
    let mut message = db.message().to_owned();
    if let Some(detail) = db.detail() {
        message.push_str(&format!(": {}", detail.trim_end_matches('.')));
    }
    let position = match db.position() {
        Some(ErrorPosition::Original(at)) => usize::try_from(*at).ok(),
        _ => None,
    };
    SqlError {
        code: db.code().code().to_owned(),
        message,
        hint: db.hint().map(str::to_owned),
        position,
    }
}
