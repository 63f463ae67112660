//! Bad luck made on purpose: a remote that does not answer, and hooks.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::world::World;

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
