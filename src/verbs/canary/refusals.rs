//! Why a raise did not happen, in the words of the machine.

use crate::rollout::machine::RaiseRefused;
use crate::rollout::ports::{PlatformError, Refused};
use crate::verbs::book::BookError;

/// A rule of the ledger ends this canary; a freeze, or a remote that is away, only makes it wait.
pub(super) fn refusal_of_book(error: &BookError) -> RaiseRefused {
    match error {
        BookError::Refused(by) => RaiseRefused::Preempted { by: by.clone() },
        BookError::Expired(_)
        | BookError::Frozen(_)
        | BookError::Unsound(_)
        | BookError::Unsynced(_)
        | BookError::Unwritten(_)
        | BookError::Waiting { .. } => RaiseRefused::Expired { detail: error.to_string() },
    }
}

/// What a platform's no means for the machine.
pub(super) fn refusal_of(error: PlatformError) -> RaiseRefused {
    let detail = error.to_string();
    match error {
        PlatformError::Unavailable { .. } => RaiseRefused::Unavailable { detail },
        PlatformError::Uncertain { .. } | PlatformError::InPart { .. } => {
            RaiseRefused::InDoubt { detail }
        }
        PlatformError::Refused { refused, .. } => match refused {
            Refused::StaleEpoch { who, found, .. } => {
                RaiseRefused::Preempted { by: format!("{who} (epoch {found})") }
            }
            Refused::StaleGeneration { .. } | Refused::Busy(_) => RaiseRefused::InDoubt { detail },
            Refused::Denied(_)
            | Refused::Unsupported(_)
            | Refused::NoAccess(_)
            | Refused::NotInPlan(_)
            | Refused::CannotBuild(_)
            | Refused::WrongDeployment(_) => RaiseRefused::Refused { detail },
        },
    }
}
