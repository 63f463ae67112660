//! The words of the machine: where a rollout stands, what can happen to it, what it asks for.
//! `step` in the next file joins them; nothing here acts.

use super::decision::StageJudgement;
use crate::base::clock::Timestamp;
use crate::base::units::Weight;
use crate::ledger::entry::{AfterPause, RolloutEnd};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) at: At,
    /// 0-based index of the stage at hand.
    pub(crate) stage: usize,
    /// Whether the canary may have traffic.
    pub(crate) exposed: bool,
    /// Set by a judged breach: from here on the stage can only go back.
    pub(crate) breached: bool,
    /// Both versions breach, by what was judged last or was seen since: nobody can tell them apart.
    pub(crate) shared: bool,
    /// While set nothing is judged and nothing raised; users still go back from a breach.
    pub(crate) paused: Option<Pause>,
    /// When this stage began to bake; kept while it holds.
    pub(super) baking_since: Option<Timestamp>,
    /// When this stage first could not go on.
    pub(super) held_since: Option<Timestamp>,
    pub(super) renewed: Timestamp,
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    Idle,
    /// Waiting for the proof that the stage needs.
    Clearing,
    /// A raise is on its way.
    Raising,
    /// A raise or its refusal is in doubt; the platform is asked.
    Looking,
    Baking {
        since: Timestamp,
    },
    Judging,
    /// Neither forward nor back, until `max_hold`.
    Holding {
        asked: Timestamp,
    },
    Lowering {
        end: RolloutEnd,
        exit: ExitKind,
        attempt: u32,
        reason: String,
    },
    Verifying {
        end: RolloutEnd,
        exit: ExitKind,
        attempt: u32,
        reason: String,
    },
    Ended {
        end: Option<RolloutEnd>,
        exit: ExitKind,
    },
}

/// A pause that a person asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) until: Timestamp,
    pub(crate) then: AfterPause,
}

/// How the verb ends; `cli` gives each its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ExitKind {
    /// 0: the work is done.
    Done,
    /// 1: a gate or the ledger says no, or somebody else took over.
    Closed,
    /// 3: undecided.
    Undecided,
    /// 4: the platform is unavailable, nothing changed.
    Unavailable,
    /// 5: stopped part way, resumable.
    PartDone,
    /// 6: users are back on base, verified.
    BackOnBase,
    /// 7: nobody knows what serves.
    Unverified,
    /// 130: interrupted before any change.
    Interrupted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Started,
    /// A new process found this rollout unfinished.
    Resumed {
        weight: Weight,
        /// Whether a weight of zero means that a grant ended.
        granted: bool,
    },
    Tick,
    ClearanceGranted {
        stage: usize,
    },
    ClearanceDenied {
        stage: usize,
        denied: Denied,
    },
    Raised {
        stage: usize,
    },
    RaiseRefused {
        stage: usize,
        refused: RaiseRefused,
    },
    /// The platform was asked what it gives the canary.
    Looked {
        weight: Weight,
    },
    LookFailed {
        detail: String,
    },
    StageJudged {
        stage: usize,
        judged: StageJudgement,
    },
    /// A live limit was passed beyond doubt.
    HardLimit {
        headline: String,
        both_arms_breach: Option<String>,
    },
    /// No request reaches the canary while the base serves.
    Unreachable {
        headline: String,
    },
    Interrupted {
        signal: String,
    },
    ForeignChange {
        who: String,
        found: Found,
    },
    Preempted {
        by: String,
    },
    /// A person paused the canary, and why.
    Paused {
        pause: Pause,
        by: String,
    },
    Unpaused,
    /// A person lets a stage go on that could not be decided, and why.
    Advanced {
        stage: usize,
        by: String,
    },
    /// The platform went back to base because nobody renewed in time.
    GrantLost,
    /// A renewal's reply was lost.
    PlatformUncertain {
        detail: String,
    },
    Lowered,
    LowerFailed {
        detail: String,
    },
    Verified {
        on_base: bool,
    },
}

impl Event {
    /// Whether users were seen to suffer: nothing comes before it.
    pub(crate) const fn is_breach(&self) -> bool {
        matches!(self, Self::HardLimit { .. } | Self::Unreachable { .. })
    }
}

/// Why a stage may not be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// A proof is too old: run it again.
    Expired { detail: String },
    /// A gate could not decide.
    Undecided { detail: String },
    /// A gate is closed, or the ledger forbids it.
    Closed { detail: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RaiseRefused {
    /// The clearance ran out before it was spent.
    Expired { detail: String },
    /// The platform was not reached; nothing changed.
    Unavailable { detail: String },
    /// The reply was lost, or the platform is not in the expected state.
    InDoubt { detail: String },
    /// A higher epoch is in force.
    Preempted { by: String },
    /// The platform cannot, or may not.
    Refused { detail: String },
}

/// What somebody else left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Base,
    Canary,
    Split,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    RequestClearance { stage: usize },
    RaiseTo { stage: usize, weight: Weight },
    RenewGrant,
    LookAgain,
    JudgeStage { stage: usize },
    RecordStage { stage: usize, next: StageNext, judged: StageJudgement },
    LowerToBase { reason: String },
    VerifyBase,
    End { end: Option<RolloutEnd>, exit: ExitKind, reason: String },
    Say(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageNext {
    Raise,
    Hold,
    Abort,
    Done,
}

impl StageNext {
    /// As the ledger spells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::Hold => "hold",
            Self::Abort => "abort",
            Self::Done => "done",
        }
    }
}

impl State {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            at: At::Idle,
            stage: 0,
            exposed: false,
            breached: false,
            shared: false,
            paused: None,
            baking_since: None,
            held_since: None,
            renewed: now,
        }
    }

    /// Stage `stage` has its weight, was judged once, and holds.
    #[cfg(test)]
    pub(crate) fn held(stage: usize, now: Timestamp) -> Self {
        Self {
            at: At::Holding { asked: now },
            stage,
            exposed: true,
            baking_since: Some(now),
            held_since: Some(now),
            ..Self::new(now)
        }
    }

    /// Whether traffic is on its way back, or the run is over: nothing raises any more.
    pub(crate) const fn is_past(&self) -> bool {
        matches!(self.at, At::Lowering { .. } | At::Verifying { .. } | At::Ended { .. })
    }
}
