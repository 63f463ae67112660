//! What a failed call means for a rollout.

use super::client::VercelError;
use super::platform::VercelPlatform;
use crate::rollout::ports::{PlatformError, Refused};

impl VercelPlatform {
    pub(super) fn refused(&self, refused: Refused) -> PlatformError {
        PlatformError::Refused { platform: self.name.clone(), refused }
    }

    pub(super) fn unavailable(&self, detail: impl Into<String>) -> PlatformError {
        PlatformError::Unavailable { platform: self.name.clone(), detail: detail.into() }
    }

    pub(super) fn uncertain(&self, detail: impl Into<String>) -> PlatformError {
        PlatformError::Uncertain { platform: self.name.clone(), detail: detail.into() }
    }

    /// Some of the project's domains lead where others do not.
    pub(super) fn in_part(&self, detail: impl Into<String>) -> PlatformError {
        PlatformError::InPart { platform: self.name.clone(), detail: detail.into() }
    }

    /// Reading failed, so nothing changed.
    pub(super) fn unread(&self, error: &VercelError) -> PlatformError {
        let text = error.to_string();
        match error {
            VercelError::NoAccess { .. } | VercelError::NotFound { .. } => {
                self.refused(Refused::NoAccess(text))
            }
            VercelError::NotInPlan { .. } => self.refused(Refused::NotInPlan(text)),
            _ => self.unavailable(text),
        }
    }

    /// A change failed: without effect, or nobody knows.
    pub(super) fn unchanged(&self, error: &VercelError) -> PlatformError {
        let text = error.to_string();
        match error {
            error if !error.is_without_effect() => self.uncertain(text),
            VercelError::NoAccess { .. } => self.refused(Refused::NoAccess(text)),
            VercelError::NotInPlan { .. } => self.refused(Refused::NotInPlan(text)),
            VercelError::Conflict { .. } => self.refused(Refused::Busy(text)),
            VercelError::NotFound { .. } | VercelError::Refused { .. } => {
                self.refused(Refused::Unsupported(text))
            }
            _ => self.unavailable(text),
        }
    }
}
