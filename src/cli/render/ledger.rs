//! The one line that says where the ledger stands against its remote.

use crate::verbs::book::Sync;

/// Where the ledger stands, when that must be said.
pub(crate) fn line(sync: &Sync) -> String {
    match sync {
        Sync::Synced | Sync::NoRemote => String::new(),
        Sync::NoLedger => "\nledger: none here, so this is not remembered\n".to_owned(),
        Sync::Pending(why) => {
            format!("\nledger: pending ({why}); orca ledger sync takes it in and shares it\n")
        }
        Sync::Unwritten(why) => {
            format!(
                "\nledger: not written ({why}); the same command again, once it can be, writes it\n"
            )
        }
    }
}

/// The same as one value in a document.
pub(crate) fn word(sync: &Sync) -> String {
    match sync {
        Sync::Synced => "synced".to_owned(),
        Sync::NoRemote => "no remote".to_owned(),
        Sync::NoLedger => "none".to_owned(),
        Sync::Pending(why) => format!("pending: {why}"),
        Sync::Unwritten(why) => format!("unwritten: {why}"),
    }
}
