//! The one line that says where the ledger stands against its remote.

use crate::verbs::book::Sync;

/// Where the ledger stands, when that must be said.
pub(crate) fn line(sync: &Sync) -> String {
    match sync {
        Sync::Synced | Sync::NoRemote => String::new(),
        Sync::Pending(why) => {
            format!("\nledger: pending ({why}); it is shared with the next orca command\n")
        }
    }
}
