//! Why a blue/green deployment did not come to its end: code, exit and the next command.

use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::failures::of_denied;
use crate::rollout::ports::{PlatformError, Refused};
use crate::verbs::blue_green::BlueGreenError;

const AGAIN: &str = "orca deploy blue-green goes on with the same standby";

impl From<BlueGreenError> for Failure {
    fn from(error: BlueGreenError) -> Self {
        let text = error.to_string();
        match error {
            BlueGreenError::Book(error) => error.into(),
            BlueGreenError::Platform(error) => of_platform(error),
            BlueGreenError::Waive(error) => error.into(),
            BlueGreenError::Condemned(_) => {
                Self::new(Code::Condemned, Exit::Closed, text).hint("orca release tag --rc")
            }
            BlueGreenError::RolloutUnderWay(_) => {
                Self::new(Code::LedgerRefused, Exit::Closed, text)
                    .hint("orca canary status shows it; let it end, or orca canary abort")
            }
            BlueGreenError::Untrusted(_) => Self::new(Code::Untrusted, Exit::Inconclusive, text)
                .hint("run it where the key of the CI job is: ORCA_SIGNING_KEY"),
            BlueGreenError::Denied(denied) => {
                let mut failure = of_denied(&denied);
                failure.hints.insert(0, "orca preflight judges what is missing".to_owned());
                failure
            }
            BlueGreenError::Interrupted(_) => {
                Self::new(Code::Interrupted, Exit::Interrupted, text).hint(AGAIN)
            }
            BlueGreenError::BuildFailed { inspect, .. } => {
                let failure = Self::new(Code::BuildFailed, Exit::Closed, text);
                let failure = match inspect {
                    Some(url) => failure.hint(format!("its log: {url}")),
                    None => failure.hint("see the build's log in the dashboard"),
                };
                failure.hint("mend it and tag another candidate: orca release tag --rc")
            }
            BlueGreenError::BuildGone { .. } => Self::new(Code::BuildGone, Exit::Unavailable, text)
                .hint("orca deploy blue-green builds another one"),
            BlueGreenError::BuildTooLong { .. } => {
                Self::new(Code::BuildTooLong, Exit::Unavailable, text)
                    .hint("give it more time with deploy.build_within in orca.yaml")
                    .hint(AGAIN)
            }
            BlueGreenError::BuildUncertain(_) => {
                Self::new(Code::BuildUncertain, Exit::PartDone, text)
                    .hint("run it again in a minute: it looks for the build before it begins one")
            }
            BlueGreenError::ServesUnjudged(_) => {
                Self::new(Code::ServesUnjudged, Exit::Closed, text)
                    .hint("orca release status shows what serves, and since when")
            }
            BlueGreenError::Load(_) => Self::new(Code::LoadPlan, Exit::Usage, text)
                .hint("correct gates.load and slo/slo_manifest.yaml"),
        }
    }
}

fn of_platform(error: PlatformError) -> Failure {
    let text = error.to_string();
    match error {
        PlatformError::Refused { refused: Refused::NotInPlan(_), .. } => {
            Failure::new(Code::VercelPlan, Exit::Closed, text)
                .hint("wait until the plan lets you build again, or see it in the dashboard")
        }
        PlatformError::Uncertain { .. } | PlatformError::InPart { .. } => {
            let mut failure = Failure::from(error);
            failure
                .hints
                .insert(0, "orca rollback --reason R goes back to what served before".to_owned());
            failure
        }
        error => error.into(),
    }
}
