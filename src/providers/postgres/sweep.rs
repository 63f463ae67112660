//! Clusters whose orca was killed: a lock file that nobody holds says so, whatever process id was
//! used again since.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::cluster::{Account, command};
use crate::base::limits;

/// How the folders are called.
pub(super) const PREFIX: &str = "orca-shadow-";
const LOCK: &str = "lock";

/// Takes the lock of a new folder; it is free again when this process is gone.
pub(super) fn hold(folder: &Path) -> std::io::Result<File> {
    let new = folder.join("lock.new");
    let file = OpenOptions::new().create(true).append(true).open(&new)?;
    file.try_lock()?;
    // A sweep looks for the name: it must not find the file before it is locked.
    std::fs::rename(&new, folder.join(LOCK))?;
    Ok(file)
}

/// Stops and removes what nobody holds. A failure is the next one's to mend.
pub(super) async fn sweep(home: &Path, programs: &Path, account: Option<Account>) {
    let Ok(entries) = std::fs::read_dir(home) else { return };
    for entry in entries.flatten() {
        let folder = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && is_abandoned(&folder) {
            stop(&folder, programs, account).await;
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

/// `pg_ctl` looks for itself whether the process is the server of this folder.
async fn stop(folder: &Path, programs: &Path, account: Option<Account>) {
    let note = folder.join("data/postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&note) else { return };
    let mut command = command(&programs.join("pg_ctl"), account);
    command.args(["stop", "-m", "immediate", "-t", "5", "-D"]).arg(folder.join("data"));
    let mut command = tokio::process::Command::from(command);
    let stopped = command.kill_on_drop(true).output();
    let _ = tokio::time::timeout(limits::SHADOW_STOP * 2, stopped).await;
    // The server that initdb starts writes its id below zero, and ends by itself.
    let id = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok());
    let id = id.filter(|id| *id > 0).and_then(Pid::from_raw);
    // A server that was stopped takes its note along.
    if let Some(id) = id.filter(|_| note.exists())
        && test_kill_process(id).is_ok()
    {
        let _ = kill_process(id, Signal::KILL);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Nobody holds the lock; or there is none although the folder is not new.
pub(super) fn is_abandoned(folder: &Path) -> bool {
    if let Ok(lock) = OpenOptions::new().append(true).open(folder.join(LOCK)) {
        return lock.try_lock().is_ok();
    }
    let modified = folder.metadata().and_then(|m| m.modified());
    let age = modified.ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > limits::SHADOW_START)
}
