//! The exit codes. They never depend on the output format.

/// What a finished verb tells the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// The gate opened, or the work (a verified rollback too) is done.
    Done,
    /// The gate closed, or a ledger rule refused.
    Closed,
    /// Usage or configuration.
    Usage,
    /// Inconclusive, or withdrawn undecided.
    Inconclusive,
    /// A provider or the environment was unavailable; nothing changed.
    Unavailable,
    /// Part done, and resumable.
    PartDone,
    /// This verb moved traffic back to base, verified.
    MovedBack,
    /// Traffic is unverified or wrong: page a human.
    TrafficWrong,
    /// Nothing to release.
    NothingToRelease,
    /// A bug in orca.
    Bug,
    /// Interrupted before any change.
    Interrupted,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Closed => 1,
            Self::Usage => 2,
            Self::Inconclusive => 3,
            Self::Unavailable => 4,
            Self::PartDone => 5,
            Self::MovedBack => 6,
            Self::TrafficWrong => 7,
            Self::NothingToRelease => 8,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }

    /// One lowercase fragment for logs and summaries.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Closed => "gate closed",
            Self::Usage => "usage or configuration error",
            Self::Inconclusive => "inconclusive",
            Self::Unavailable => "unavailable, nothing changed",
            Self::PartDone => "part done, resumable",
            Self::MovedBack => "moved back to base, verified",
            Self::TrafficWrong => "traffic unverified or wrong: page a human",
            Self::NothingToRelease => "nothing to release",
            Self::Bug => "bug in orca",
            Self::Interrupted => "interrupted before any change",
        }
    }
}

impl From<crate::gate::verdict::Verdict> for Exit {
    fn from(verdict: crate::gate::verdict::Verdict) -> Self {
        use crate::gate::verdict::Verdict;
        match verdict {
            Verdict::NotApplicable | Verdict::Pass | Verdict::Waived => Self::Done,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Fail => Self::Closed,
        }
    }
}
