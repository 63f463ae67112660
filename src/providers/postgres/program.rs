//! Programs of Postgres that orca runs: nothing of its environment, the connection by variables, an
//! end with orca's own, and the last of what they said.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::address::Address;
use super::cluster;
use crate::base::limits;

/// `program` against `address`; it is killed when it is dropped.
pub(super) fn client(program: &Path, address: &Address) -> Command {
    let mut command = Command::from(cluster::command(program, None));
    command.envs(address.variables()).env("PGAPPNAME", "orca").env("PGCONNECT_TIMEOUT", "10");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Reads to the end and keeps the beginning.
pub(super) async fn said(pipe: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let mut limited = pipe.take(limits::PROGRAM_STDERR_BYTES_MAX);
    let _ = limited.read_to_end(&mut bytes).await;
    // Nobody may wait for a full pipe.
    let _ = tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Errors among the lines, without the name of the program.
pub(super) fn errors(said: &str) -> Vec<String> {
    let lines = said.lines().filter_map(|line| {
        let (_, rest) = line.split_once(": error: ")?;
        Some(rest.trim().to_owned())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_chatter() {
        let said = "pg_restore: while PROCESSING TOC:\n\
                    pg_restore: error: could not execute query: ERROR:  no\n\
                    Command was: CREATE EXTENSION x;\npg_restore: warning: errors ignored: 1\n";
        assert_eq!(errors(said), ["could not execute query: ERROR:  no"]);
    }
}
