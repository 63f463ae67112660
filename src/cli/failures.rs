//! What verbs could not do, with its code, its exit and the next command to type. One match an
//! error type, exhaustive, so that a new variant cannot go without a code.

use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use crate::rollout::machine::Denied;
use crate::rollout::plan::PlanError;
use crate::rollout::ports::{PlatformError, Refused};
use crate::verbs::book::{BookError, Unsound, Unwritten};
use crate::verbs::canary::start::StartError;
use crate::verbs::candidate_files::MakeError;
use crate::verbs::maintenance::MaintenanceError;
use crate::verbs::promote::PromoteError;
use crate::verbs::rollback::BackError;
use crate::verbs::tag_rc::TagError;

impl From<BookError> for Failure {
    fn from(error: BookError) -> Self {
        let text = error.to_string();
        match error {
            BookError::Frozen(_) => Self::new(Code::LedgerRefused, Exit::Closed, text)
                .hint("orca freeze status shows why; orca unfreeze --reason R lifts it"),
            BookError::Refused(_) => Self::new(Code::LedgerRefused, Exit::Closed, text)
                .hint("orca release status shows who did what"),
            BookError::Expired(_) => Self::new(Code::NotCleared, Exit::Inconclusive, text)
                .hint("orca preflight and orca load run the gates again"),
            BookError::Unsound(unsound) => match unsound {
                Unsound::Rewound(_) => Self::new(Code::LedgerRewound, Exit::Closed, text)
                    .hint("orca ledger restore heals it; with --from CLONE from any clone"),
                Unsound::Corrupt(_) => Self::new(Code::LedgerCorrupt, Exit::Closed, text)
                    .hint("clone the repository anew: the remote has every entry that was shared")
                    .hint("orca ledger verify says how far it reads"),
                Unsound::Newer(_) => Self::new(Code::LedgerNewer, Exit::Closed, text)
                    .hint("use the orca version that the team uses"),
            },
            waiting @ BookError::Waiting { .. } => waiting.cause().into(),
            BookError::Unsynced(_) => Self::new(Code::LedgerUnsynced, Exit::Unavailable, text)
                .hint("see whether the remote answers: git ls-remote"),
            BookError::Unwritten(unwritten) => match unwritten {
                Unwritten::Locked(_) => Self::new(Code::LedgerLocked, Exit::Unavailable, text)
                    .hint("let the other orca end, then run this again"),
                Unwritten::Unsupported(_) => Self::new(Code::LedgerUnsupported, Exit::Usage, text)
                    .hint("orca -C FOLDER ... runs it in the repository of the service"),
                Unwritten::Disk(_) => Self::new(Code::LedgerWrite, Exit::Unavailable, text)
                    .hint("free space or correct the permissions, then run this again"),
            },
        }
    }
}

impl From<PlatformError> for Failure {
    fn from(error: PlatformError) -> Self {
        let text = error.to_string();
        match error {
            PlatformError::Unavailable { .. } => {
                Self::new(Code::PlatformUnavailable, Exit::Unavailable, text)
                    .hint("see whether the platform runs, then run this again")
            }
            PlatformError::Refused { refused: Refused::Denied(_), .. } => {
                Self::new(Code::AdminToken, Exit::Unavailable, text)
                    .hint("export ORCA_ROUTER_TOKEN with the token the router was started with")
            }
            PlatformError::Refused { refused: Refused::NoAccess(_), .. } => {
                Self::new(Code::VercelAccess, Exit::Unavailable, text)
                    .hint("make a token for the team and export VERCEL_TOKEN")
                    .hint("see that VERCEL_ORG_ID and VERCEL_PROJECT_ID name team and project")
            }
            PlatformError::Refused { refused: Refused::NotInPlan(_), .. } => {
                Self::new(Code::VercelPlan, Exit::Closed, text)
                    .hint("ship blue/green, which works on every plan: orca deploy blue-green")
                    .hint("or by the percentage of a flag, with both behaviours in one deployment")
            }
            PlatformError::Refused { refused: Refused::Busy(_), .. } => {
                Self::new(Code::VercelBusy, Exit::Closed, text)
                    .hint("let it end, or bring everybody back: orca canary abort")
            }
            PlatformError::Refused { refused: Refused::WrongDeployment(_), .. } => {
                Self::new(Code::VercelDeployment, Exit::Closed, text).hint(
                    "make one without users from the candidate: vercel deploy --prod --skip-domain",
                )
            }
            PlatformError::Refused { refused: Refused::CannotBuild(_), .. } => {
                Self::new(Code::CannotBuild, Exit::Unavailable, text)
                    .hint("deploy it your way, then orca canary start --deployment-url URL")
            }
            PlatformError::Refused { .. } => {
                Self::new(Code::PlatformRefused, Exit::Closed, text).hint("orca release status")
            }
            PlatformError::Uncertain { .. } | PlatformError::InPart { .. } => {
                Self::new(Code::TrafficUnverified, Exit::TrafficWrong, text)
                    .hint("orca release status shows what serves now")
            }
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let text = error.to_string();
        match error {
            StartError::Book(error) => error.into(),
            StartError::Platform(error) => error.into(),
            StartError::Plan(PlanError::WeightNotOffered { .. }) => {
                Self::new(Code::PlatformWeight, Exit::Unavailable, text)
                    .hint("give canary.stages in orca.yaml weights that the platform can hold")
            }
            StartError::Unmeasured(_) => Self::new(Code::Unmeasured, Exit::Inconclusive, text)
                .hint("give every stage in orca.yaml decide_by: paired, and mark endpoints safe")
                .hint("orca explain ORCA-1841"),
            StartError::Unasked(_) => Self::new(Code::Unasked, Exit::Unavailable, text)
                .hint("let platform.exec say where a version answers, or take unhealthy_for and critical out")
                .hint("orca explain ORCA-1896"),
            StartError::Plan(_) => {
                Self::new(Code::Input, Exit::Usage, text).hint("correct canary.stages in orca.yaml")
            }
            StartError::Condemned(_) => {
                Self::new(Code::Condemned, Exit::Closed, text).hint("orca release tag --rc")
            }
            StartError::AlreadyBase(_) => Self::new(Code::PlatformRefused, Exit::Closed, text)
                .hint("give --deployment-url of the new version"),
            StartError::Detached { .. } => Self::new(Code::Detached, Exit::Closed, text)
                .hint("orca canary tick carries it on")
                .hint("orca canary abort --reason R ends it"),
            StartError::Untrusted(_) => Self::new(Code::Untrusted, Exit::Inconclusive, text)
                .hint("run it where the key of the CI job is: ORCA_SIGNING_KEY"),
            StartError::Undecidable(_) => Self::new(Code::Undecidable, Exit::Inconclusive, text)
                .hint("give the stage that weight or time, or decide_by: paired, in orca.yaml"),
        }
    }
}

/// What to type when a proof is missing.
pub(crate) fn of_denied(denied: &Denied) -> Failure {
    match denied {
        Denied::Closed { detail } => Failure::new(Code::GateClosed, Exit::Closed, detail.clone())
            .hint("orca preflight and orca load run the gates again"),
        Denied::Expired { detail } => {
            Failure::new(Code::NotCleared, Exit::Inconclusive, detail.clone())
                .hint("orca preflight and orca load run the gates again")
        }
        Denied::Undecided { detail } => {
            Failure::new(Code::NotCleared, Exit::Inconclusive, detail.clone())
                .hint("orca release status shows what is missing")
        }
    }
}

impl From<PromoteError> for Failure {
    fn from(error: PromoteError) -> Self {
        let text = error.to_string();
        match error {
            PromoteError::Book(error) => error.into(),
            PromoteError::Platform(error) => error.into(),
            PromoteError::Condemned(_) => {
                Self::new(Code::Condemned, Exit::Closed, text).hint("orca release tag --rc")
            }
            PromoteError::NotComplete(..) => Self::new(Code::NotCleared, Exit::Closed, text)
                .hint("orca canary start --deployment-url URL"),
            PromoteError::TagTaken(_) => Self::new(Code::TagElsewhere, Exit::Closed, text)
                .hint("a tag is never moved; orca release tag --rc names the next version"),
            PromoteError::OffCandidate { .. } => Self::new(Code::NotCleared, Exit::Closed, text)
                .hint("a commit that was rolled back stays back: orca release tag --rc of its fix")
                .hint("otherwise end this canary and begin anew: orca canary abort --reason R"),
            PromoteError::Denied(denied) => of_denied(&denied),
            PromoteError::Interrupted(_) => {
                Self::new(Code::Interrupted, Exit::Interrupted, text).hint("orca release status")
            }
        }
    }
}

impl From<BackError> for Failure {
    fn from(error: BackError) -> Self {
        let text = error.to_string();
        match error {
            BackError::NoWay(_) => Self::new(Code::NoWayBack, Exit::TrafficWrong, text)
                .hint("orca maintenance on --reason R closes the service until there is one")
                .hint("orca rollback --to DEPLOYMENT --reason R, where one once served"),
            BackError::NeverServed(_) => Self::new(Code::NoWayBack, Exit::Closed, text)
                .hint("orca release status lists what served here"),
            BackError::Platform(error) => {
                let mut failure = Self::from(error);
                failure.exit = Exit::TrafficWrong;
                failure.hint("run the rollback again: it is safe to repeat")
            }
        }
    }
}

impl From<MaintenanceError> for Failure {
    fn from(error: MaintenanceError) -> Self {
        match error {
            MaintenanceError::Unable(_) => {
                Self::new(Code::NotClosable, Exit::Unavailable, error.to_string())
                    .hint("close it where it is served; orca rollback --reason R needs no page")
            }
            MaintenanceError::Platform(error) => {
                Self::from(error).hint("run it again: it is safe to repeat")
            }
        }
    }
}

impl From<TagError> for Failure {
    fn from(error: TagError) -> Self {
        let text = error.to_string();
        match error {
            TagError::Problems(problems) => {
                let elsewhere = problems.iter().any(|p| p.text.starts_with("tag "));
                let code = if elsewhere { Code::TagElsewhere } else { Code::TreeNotReady };
                problems
                    .into_iter()
                    .fold(Self::new(code, Exit::Usage, text), |f, problem| f.hint(problem.fix))
            }
            TagError::Repository(error) => error.into(),
            TagError::Book(error) => error.into(),
            TagError::Name(_) => Self::new(Code::Input, Exit::Usage, text)
                .hint("correct release.tag_prefix in orca.yaml"),
        }
    }
}

impl From<MakeError> for Failure {
    fn from(error: MakeError) -> Self {
        let text = error.to_string();
        match error {
            MakeError::Repository(error) => error.into(),
            MakeError::VersionFile(_) | MakeError::NotText(_) => {
                Self::new(Code::Input, Exit::Usage, text)
                    .hint("correct release.version_files or release.changelog in orca.yaml")
            }
        }
    }
}
