//! Bad luck made on purpose: a disk that is full, a repository that cannot be written, a remote
//! that does not answer. Each ends with its guard.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::World;

/// The object store of a repository without a byte to spare. As root on a small file system of its
/// own; otherwise the commands get a limit on file sizes, see [`FullDisk::wrap`].
pub(crate) struct FullDisk {
    objects: PathBuf,
    mounted: bool,
}

impl FullDisk {
    pub(crate) fn on(world: &World) -> Self {
        let objects = world.folder().join(".git/objects");
        let aside = world.folder().join(".git/objects-aside");
        fs::rename(&objects, &aside).expect("the folder of objects can be moved");
        fs::create_dir(&objects).expect("a new folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(&objects)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            fs::remove_dir(&objects).expect("it is empty");
            fs::rename(&aside, &objects).expect("back again");
            return Self { objects, mounted };
        }
        run("cp", &["-a", &format!("{}/.", aside.display()), &objects.display().to_string()]);
        let mut filler = fs::File::create(objects.join("filler")).expect("space for a name");
        for size in [65_536, 4_096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
        Self { objects, mounted }
    }

    /// The command, on the full disk.
    pub(crate) fn wrap(&self, command: Command) -> Command {
        if self.mounted {
            return command;
        }
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
        limited.arg(command.get_program()).args(command.get_args());
        limited.env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                limited.env(name, value);
            }
        }
        if let Some(folder) = command.get_current_dir() {
            limited.current_dir(folder);
        }
        limited
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        if !self.mounted {
            return;
        }
        let aside = self.objects.with_file_name("objects-aside");
        // What was written on the small disk before it was full stays in the repository.
        let _ = fs::remove_file(self.objects.join("filler"));
        let (from, to) = (format!("{}/.", self.objects.display()), aside.display().to_string());
        let _ = Command::new("cp").args(["-an", &from, &to]).status();
        let _ = Command::new("umount").arg(&self.objects).status();
        let _ = fs::remove_dir(&self.objects);
        let _ = fs::rename(&aside, &self.objects);
    }
}

/// A repository that nobody may write: as root for another user, whose world it becomes.
pub(crate) struct ReadOnly {
    home: PathBuf,
    git: PathBuf,
    as_nobody: bool,
}

const NOBODY: u32 = 65_534;

impl ReadOnly {
    pub(crate) fn on(world: &World) -> Self {
        let home = world.folder().parent().expect("a world has a home").to_owned();
        let git = world.folder().join(".git");
        let as_nobody = rustix::process::geteuid().is_root();
        let read_only = Self { home, git, as_nobody };
        if as_nobody {
            read_only.own(NOBODY);
        }
        run("chmod", &["-R", "a-w", &read_only.git.display().to_string()]);
        read_only
    }

    /// The command, as somebody who may not write there.
    pub(crate) fn wrap(&self, mut command: Command) -> Command {
        use std::os::unix::process::CommandExt as _;
        if self.as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn own(&self, user: u32) {
        run("chown", &["-R", &format!("{user}:{user}"), &self.home.display().to_string()]);
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let git = self.git.display().to_string();
        let _ = Command::new("chmod").args(["-R", "u+w", &git]).status();
        if self.as_nobody {
            let home = self.home.display().to_string();
            let _ = Command::new("chown").args(["-R", "0:0", &home]).status();
        }
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {args:?}");
}

/// Every clone of the world talks to a remote that takes the connection and says nothing, until
/// this is dropped.
pub(crate) struct BlackHole {
    config: PathBuf,
    before: String,
    _listener: TcpListener,
}

impl BlackHole {
    pub(crate) fn instead_of(world: &World, urls: &[&str]) -> Self {
        // Nobody accepts: the kernel takes the connection, and no byte ever comes back.
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let config = world.git_config();
        let before = fs::read_to_string(&config).expect("the world has a git configuration");
        let lines: Vec<String> = urls.iter().map(|url| format!("\tinsteadOf = {url}\n")).collect();
        let section = format!("[url \"git://127.0.0.1:{port}/hole\"]\n{}", lines.concat());
        fs::write(&config, format!("{before}{section}")).expect("it can be written");
        Self { config, before, _listener: listener }
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        let _ = fs::write(&self.config, &self.before);
    }
}

/// An executable script.
pub(crate) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(path.parent().expect("a file stands in a folder")).expect("a folder");
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it may run");
}
