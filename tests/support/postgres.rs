//! A Postgres of the test's own: a cluster in a folder that goes with it, on a socket, as the user
//! `postgres` where the test is root.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::run::Run;
use super::waiting::wait_until;

const LONG: Duration = Duration::from_mins(1);

/// A running server.
pub(crate) struct Postgres {
    home: TempDir,
    server: Child,
    port: String,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], |_| {})
    }

    /// With settings, and with what `prepare` does to the new cluster's folder.
    pub(crate) fn start_with(settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        // A socket's path has at most 107 bytes, and the server's user must get there.
        let home = tempfile::Builder::new().prefix("orca-test-").tempdir_in("/tmp");
        let home = home.expect("a temporary folder");
        let programs = programs();
        if let Some((user, group)) = account() {
            chown(home.path(), Some(user), Some(group)).expect("root may");
        }
        let data = home.path().join("data");
        let mut initdb = as_postgres(&programs.join("initdb"));
        initdb.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
        ]);
        initdb.args(["--locale=C"]).current_dir(home.path());
        Run::of(initdb).expect_code(0);
        prepare(&data);
        let mut server = as_postgres(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(home.path()).current_dir(home.path());
        let own = ["listen_addresses=", "fsync=off", "shared_buffers=32MB", "autovacuum=off"];
        server.args(own.iter().chain(settings).flat_map(|setting| ["-c", setting]));
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().expect("a server starts");
        let port = settings.iter().find_map(|setting| setting.strip_prefix("port="));
        let started = Self { home, server, port: port.unwrap_or("5432").to_owned() };
        wait_until("the server answers", LONG, || {
            started.psql("postgres", "select 1").output().is_ok_and(|o| o.status.success())
        });
        started
    }

    /// Takes passwords on a port of this machine, besides trusting its socket.
    pub(crate) fn start_with_passwords() -> (Self, u16) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        drop(listener);
        let on_port = format!("port={port}");
        let started = Self::start_with(&["listen_addresses=127.0.0.1", &on_port], |folder| {
            let file = folder.join("pg_hba.conf");
            std::fs::write(&file, "local all all trust\nhost all all all scram-sha-256\n")
                .expect("the folder is there");
            give_to_server(&file);
        });
        (started, port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.home.path()
    }

    /// `user` may have a password behind a colon.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let host = self.folder().to_str().expect("plain names").replace('/', "%2F");
        format!("postgres://{user}@{host}/{database}")
    }

    /// Runs statements; they must succeed. Answers what they print, unaligned.
    #[track_caller]
    pub(crate) fn run(&self, database: &str, sql: &str) -> String {
        Run::of(self.psql(database, sql)).expect_code(0).stdout.trim_end().to_owned()
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = Command::new("psql");
        command.args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
            "-c",
            sql,
        ]);
        command.arg("-h").arg(self.folder()).arg("-p").arg(&self.port).env_remove("PGPASSWORD");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown frees shared memory too.
        let id = self.server.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &id]).status();
        let _ = self.server.wait();
    }
}

/// Gives a file of the cluster to the server's user, readable by nobody else.
pub(crate) fn give_to_server(file: &Path) {
    if let Some((user, group)) = account() {
        chown(file, Some(user), Some(group)).expect("root may");
    }
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(file, mode).expect("the owner may");
}

/// The newest that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|v| v.path().join("bin")).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.sort();
    let has = |folder: &&PathBuf| {
        ["initdb", "postgres", "pg_dump"].iter().all(|name| folder.join(name).is_file())
    };
    folders.iter().rev().find(has).expect("scripts/setup-tests.sh installs Postgres").clone()
}

fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").process_group(0);
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
    command
}

/// The user to run as, where this process is root.
fn account() -> Option<(u32, u32)> {
    let own = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m));
    if own.is_ok_and(|uid| uid != 0) {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("it is everywhere");
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2).map(|field| field.parse().expect("a number"));
    Some((fields.next()?, fields.next()?))
}
