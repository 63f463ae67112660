//! Where the demo plays: a temporary folder, the processes it starts, and a way to run `orca` as a
//! user would. Everything started here ends with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::base::clock::Entropy;
use crate::base::ids::OrcaId;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;

/// The folder and the environment that every command of the demo gets.
pub(crate) struct Stage {
    orca: PathBuf,
    folder: PathBuf,
    token: String,
    context: Context,
}

/// A process of the demo; ended when it goes out of scope.
pub(crate) struct Actor {
    child: Child,
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command printed and how it ended.
pub(crate) struct Played {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
}

impl Played {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }
}

pub(crate) fn file(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::File, Exit::Unavailable, format!("{}: {error}", path.display()))
        .hint("the demo needs a writable temporary folder")
}

fn process(error: &std::io::Error) -> Failure {
    Failure::new(Code::File, Exit::Unavailable, format!("a process could not start: {error}"))
}

impl Stage {
    pub(crate) fn set(context: &Context) -> Result<Self, Failure> {
        let entropy = Entropy::from_system();
        let name = OrcaId::generate("orca_demo", &entropy).to_string();
        let folder = std::env::temp_dir().join(name.replace('_', "-"));
        std::fs::create_dir_all(folder.join("shop")).map_err(|error| file(&folder, &error))?;
        let orca = std::env::current_exe().map_err(|error| process(&error))?;
        let token = format!("{:016x}{:016x}", entropy.next_u64(), entropy.next_u64());
        Ok(Self { orca, folder, token, context: context.clone() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The repository of the service that is shipped.
    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.join("shop")
    }

    pub(crate) fn say(&self, text: impl AsRef<str>) {
        self.context.say(text);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.orca);
        command
            .args(args)
            .current_dir(self.repository())
            .env("ORCA_ROUTER_TOKEN", &self.token)
            .env("ORCA_SIGNING_KEY", self.folder.join("orca.key"))
            .env("ORCA_ACTOR", "demo")
            .env_remove("GITHUB_ACTIONS")
            .stdin(Stdio::null());
        command
    }

    /// Runs `orca ARGS` in the repository, shows the command and what it says, and waits for it.
    pub(crate) fn play(&self, args: &[&str]) -> Result<Played, Failure> {
        self.say(format!("\n$ orca {}", args.join(" ")));
        let mut child = self
            .command(args)
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| process(&error))?;
        let stderr = child.stderr.take();
        let context = self.context.clone();
        let shown = std::thread::spawn(move || {
            for line in stderr.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()) {
                context.say(format!("  {}", line.unwrap_or_default()));
            }
        });
        let output = child.wait_with_output().map_err(|error| process(&error))?;
        let _ = shown.join();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Played { code: output.status.code(), stdout })
    }

    /// Runs `orca ARGS` without a word, for what it knows.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<Played, Failure> {
        let output = self.command(args).arg("--json").output().map_err(|error| process(&error))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Played { code: output.status.code(), stdout })
    }

    /// Starts `orca ARGS` in the background and reads its first line, which says where it listens.
    pub(crate) fn start(&self, args: &[&str]) -> Result<(Actor, serde_json::Value), Failure> {
        let mut child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| process(&error))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.as_mut() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| process(&error))?;
        }
        let actor = Actor { child };
        let said = serde_json::from_str(&line).map_err(|_| {
            let verb = args.first().copied().unwrap_or_default();
            Failure::new(Code::Bug, Exit::Bug, format!("orca {verb} did not say where it listens"))
        })?;
        Ok((actor, said))
    }

    /// Starts `orca ARGS` in the background; what it prints is read when it is stopped.
    pub(crate) fn start_quiet(&self, args: &[&str]) -> Result<Actor, Failure> {
        let child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| process(&error))?;
        Ok(Actor { child })
    }

    /// Writes a file of the demo, outside the repository.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.folder.join(name);
        crate::base::atomic_file::write(&path, bytes).map_err(|error| file(&path, &error))?;
        Ok(path)
    }
}

impl Actor {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as `kill -9` does: without a word.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Interrupts it, as Ctrl-C does, and returns what it printed.
    pub(crate) fn interrupt(mut self) -> String {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let mut text = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            use std::io::Read as _;
            let _ = stdout.read_to_string(&mut text);
        }
        text
    }
}

/// `PUT url` with a JSON body, by hand: the sample service's control is plain HTTP on loopback.
pub(crate) fn put(url: &str, body: &serde_json::Value) -> std::io::Result<()> {
    use std::io::Read as _;
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap_or((url, ""));
    let body = body.to_string();
    let mut stream = std::net::TcpStream::connect(host)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    write!(
        stream,
        "PUT /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 2") { Ok(()) } else { Err(std::io::Error::other(answer)) }
}
