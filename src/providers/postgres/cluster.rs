//! A throwaway cluster: made by initdb in a folder of its own, reached by a socket in that folder
//! only, without any promise of durability. Dropping it stops the server and removes the folder;
//! what a SIGKILL left behind is swept by the next one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::Config;

use super::address::Address;
use super::binaries::Binaries;
use super::template::Kept;
use super::{session, sweep};
use crate::base::clock::{self, Entropy};
use crate::base::limits;

/// What makes it fast and private. Nothing is written to disk in time, for nothing is kept.
const SETTINGS: [&str; 11] = [
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=20",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=1GB",
    "autovacuum=off",
    "logging_collector=off",
];

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("Postgres does not run as root, and there is no user postgres to run it as")]
    Root,
    #[error("{0}: {1}")]
    Folder(PathBuf, std::io::Error),
    #[error("{program} could not run: {why}")]
    Program { program: String, why: String },
    #[error("the server did not start: {0}")]
    Start(String),
}

/// A user of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    server: Child,
    /// Held while this process lives; a sweep takes it for proof of life.
    _lock: File,
}

impl Cluster {
    /// Sweeps old ones, makes one and waits until it answers.
    pub(crate) async fn start(
        binaries: &Binaries,
        entropy: &Entropy,
    ) -> Result<Self, ClusterError> {
        Self::start_from(binaries, entropy, None).await
    }

    /// The same from a state that was kept.
    pub(super) async fn start_from(
        binaries: &Binaries,
        entropy: &Entropy,
        kept: Option<&Kept>,
    ) -> Result<Self, ClusterError> {
        let account = account()?;
        let home = home(account);
        sweep::sweep(&home, &binaries.folder, account).await;
        let name = format!("{}{:012x}", sweep::PREFIX, entropy.next_u64() >> 16);
        let folder = home.join(name);
        let unusable = |e| ClusterError::Folder(folder.clone(), e);
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(unusable)?;
        let guard = Folder(folder.clone());
        let lock = sweep::hold(&folder).map_err(unusable)?;
        if let Some(account) = account {
            chown(&folder, Some(account.user), Some(account.group)).map_err(unusable)?;
        }
        match kept {
            None => initdb(binaries, &folder, account).await?,
            Some(kept) => {
                let (kept, data) = (kept.clone(), folder.join("data"));
                let copied = tokio::task::spawn_blocking(move || kept.copy_to(&data, account));
                copied.await.map_err(std::io::Error::other).flatten().map_err(unusable)?;
            }
        }
        let server = spawn(binaries, &folder, account)?;
        let mut cluster = Self { folder, server, _lock: lock };
        // From here on the cluster removes its folder.
        std::mem::forget(guard);
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// How to connect to one of its databases.
    pub(crate) fn address(&self, database: &str) -> Address {
        let mut config = Config::new();
        config.host_path(&self.folder).user("postgres").dbname(database);
        Address::local(config)
    }

    /// Where its files are; they go with it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder that clusters are made in.
    pub(crate) fn home() -> Result<PathBuf, ClusterError> {
        Ok(home(account()?))
    }

    /// Where the server keeps everything.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    async fn wait_until_ready(&mut self) -> Result<(), ClusterError> {
        let start = clock::monotonic();
        loop {
            if session::connect(&self.address("postgres"), limits::SHADOW_START).await.is_ok() {
                return Ok(());
            }
            let ended = self.server.try_wait().ok().flatten();
            if ended.is_some() || start.elapsed() > limits::SHADOW_START {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(3).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                return Err(ClusterError::Start(last.join("; ")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        stop(&mut self.server);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A folder that goes unless a cluster takes it over.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An immediate shutdown frees its shared memory too; what does not obey is killed.
fn stop(server: &mut Child) {
    let id = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
    if let Some(id) = id {
        let _ = kill_process(id, Signal::QUIT);
    }
    let start = clock::monotonic();
    while matches!(server.try_wait(), Ok(None)) {
        if start.elapsed() > limits::SHADOW_STOP {
            let _ = server.kill();
            let _ = server.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The user to run as, where this process is root.
fn account() -> Result<Option<Account>, ClusterError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    postgres_in(&users).map(Some).ok_or(ClusterError::Root)
}

fn postgres_in(users: &str) -> Option<Account> {
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some(Account { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

/// The folder for temporary files, where the server's user may go; else `/tmp`. The path is short,
/// for a socket's path has at most 107 bytes.
fn home(account: Option<Account>) -> PathBuf {
    let wanted = std::env::temp_dir();
    let open = |path: &Path| path.metadata().is_ok_and(|m| m.mode() & 0o001 != 0);
    let reachable = account.is_none() || wanted.ancestors().all(open);
    if reachable && wanted.as_os_str().len() < 60 { wanted } else { PathBuf::from("/tmp") }
}

/// `program` with nothing of this process's environment but `PATH`-free defaults.
pub(super) fn command(program: &Path, account: Option<Account>) -> std::process::Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
    // Its own group: Ctrl-C reaches orca, and orca stops the server.
    command.process_group(0);
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command
}

async fn initdb(
    binaries: &Binaries,
    folder: &Path,
    account: Option<Account>,
) -> Result<(), ClusterError> {
    let mut command = command(&binaries.folder.join("initdb"), account);
    command.arg("-D").arg(folder.join("data")).current_dir(folder);
    command.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]);
    // A small log is copied sooner, where the state is kept.
    command.arg("--wal-segsize=1");
    let failed = |why: String| ClusterError::Program { program: "initdb".to_owned(), why };
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(limits::SHADOW_START, output).await;
    let output = output.map_err(|_| failed("it did not end in time".to_owned()))?;
    let output = output.map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(said.trim().replace('\n', "; ").chars().take(600).collect()))
}

fn spawn(
    binaries: &Binaries,
    folder: &Path,
    account: Option<Account>,
) -> Result<Child, ClusterError> {
    let log = OpenOptions::new().create(true).append(true).open(folder.join("log"));
    let log = log.map_err(|e| ClusterError::Folder(folder.to_owned(), e))?;
    let mut command = command(&binaries.folder.join("postgres"), account);
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).current_dir(folder);
    command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
    command.stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|error| ClusterError::Start(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_runs_it_as_postgres() {
        let users = "root:x:0:0::/root:/bin/sh\npostgres:x:105:111::/var/lib/postgresql:/bin/sh\n";
        assert_eq!(postgres_in(users), Some(Account { user: 105, group: 111 }));
        assert_eq!(postgres_in("root:x:0:0::/root:/bin/sh\n"), None);
    }
}
