//! A closed world for one test: own home, own git configuration, no variable of the machine but
//! PATH, time that advances by a second with every command, and ids from a seed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::quiet::Busy;
use super::run::{Run, Running};

/// 2026-01-05T09:00:00Z, a Monday.
const BASE_SECS: u64 = 1_767_603_600;

/// A history as teams write it: features, fixes, scopes, a merge of nothing, a body, a footer.
const HISTORY: [&str; 6] = [
    "chore: start the shop",
    "feat(cart): keep the cart between visits",
    "fix(checkout): retry the payment once\n\nThe provider drops one call in a thousand.",
    "docs: say how to run it",
    "feat(search): suggest while typing\n\nRefs: SHOP-17",
    "perf(search): ask the index once a keystroke",
];

pub(crate) struct World {
    _busy: Busy,
    home: TempDir,
    commands: AtomicU64,
}

impl World {
    /// An empty folder, no repository.
    pub(crate) fn new() -> Self {
        let home = tempfile::Builder::new().prefix("orca-").tempdir().expect("a temporary folder");
        let world = Self { _busy: Busy::enter(), home, commands: AtomicU64::new(0) };
        for folder in ["work", "tmp", "config", "state"] {
            std::fs::create_dir(world.home.path().join(folder)).expect("a new folder");
        }
        let config = "[user]\n\tname = Ada Lovelace\n\temail = ada@example.com\n\
                      [init]\n\tdefaultBranch = main\n[commit]\n\tgpgSign = false\n\
                      [gc]\n\tauto = 0\n[advice]\n\tdetachedHead = false\n";
        std::fs::write(world.git_config(), config).expect("a new file");
        world
    }

    /// A repository with a service's history, tagged `v1.0.0` at its second commit.
    pub(crate) fn repository() -> Self {
        let world = Self::new();
        world.git(&["init", "--quiet"]);
        for (number, message) in HISTORY.iter().enumerate() {
            world.commit(message);
            if number == 1 {
                world.git(&["tag", "-a", "-m", "shop 1.0.0", "v1.0.0"]);
            }
        }
        world
    }

    /// Where commands run.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join("work")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        let parent = path.parent().expect("a file stands in a folder");
        std::fs::create_dir_all(parent).expect("folders of the world can be made");
        std::fs::write(&path, text).expect("files of the world can be written");
        path
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        let number = self.commands.load(Ordering::Relaxed);
        self.write("src/app.txt", &format!("{number}: {message}\n"));
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A bare repository beside this one, known to it as `origin`, with everything pushed.
    pub(crate) fn bare_remote(&self) -> PathBuf {
        let path = self.home.path().join("origin.git");
        let shown = path.to_str().expect("temporary folders have plain names");
        self.git(&["init", "--quiet", "--bare", shown]);
        self.git(&["remote", "add", "origin", shown]);
        self.git(&["push", "--quiet", "--follow-tags", "origin", "main"]);
        path
    }

    /// Runs git; it must succeed. Answers its output without the last line end.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let mut command = self.closed("git");
        command.args(args);
        Run::of(command).expect_code(0).stdout.trim_end().to_owned()
    }

    pub(crate) fn orca(&self, args: &[&str]) -> Run {
        Run::of(self.command(args))
    }

    /// Starts orca beside the test; it is killed when the answer is dropped.
    pub(crate) fn spawn_orca(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// orca as it would be run, for a test that changes a variable or the folder first.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.closed(env!("CARGO_BIN_EXE_orca"));
        command.args(args);
        command
    }

    /// Another program in this closed world.
    pub(crate) fn outside(&self, program: &str) -> Command {
        self.closed(program)
    }

    fn closed(&self, program: &str) -> Command {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let now = BASE_SECS + number;
        let home = self.home.path();
        let mut command = Command::new(program);
        command.current_dir(self.folder()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, folder) in [
            ("HOME", ""),
            ("TMPDIR", "tmp"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
        ] {
            command.env(name, home.join(folder));
        }
        command.env("GIT_CONFIG_GLOBAL", self.git_config());
        command.env("GIT_CEILING_DIRECTORIES", home);
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("COLUMNS", "80"),
            ("NO_COLOR", "1"),
            ("TZ", "UTC"),
            ("LANG", "C.UTF-8"),
        ] {
            command.env(name, value);
        }
        for name in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
            command.env(name, format!("{now} +0000"));
        }
        command.env("ORCA_TEST_NOW_US", (now * 1_000_000).to_string());
        command.env("ORCA_TEST_SEED", (1_000 + number).to_string());
        command
    }

    fn git_config(&self) -> PathBuf {
        Path::join(self.home.path(), "gitconfig")
    }
}
