//! In which way a ledger cannot be trusted: nothing may be raised on it, and going back still works.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsound {
    /// It does not go on from what was seen before.
    #[error("{0}")]
    Rewound(String),
    /// An entry is damaged.
    #[error("{0}")]
    Corrupt(String),
    /// An entry is newer than this orca.
    #[error("{0}")]
    Newer(String),
}
