//! An entry in one sentence, as people read it in a log. Pure.

use super::entry::{Body, Outcome, RolledBack, RolloutEnd, StageDecided, TrafficProof};

/// What the entry says, without who and when.
pub(crate) fn sentence(body: &Body) -> String {
    match body {
        Body::RcTagged(rc) => {
            format!("tagged {} at commit {}: {}", rc.release, rc.commit.short(), rc.reason)
        }
        Body::Frozen { release, until, reason } => {
            format!("froze releases for {release} until {}: {reason}", until.rfc3339())
        }
        Body::Unfrozen { release, reason } => format!("lifted the freeze of {release}: {reason}"),
        Body::Waived { waiver } => format!(
            "waived {} ({}) up to {} until {}: {}",
            waiver.check,
            waiver.finding,
            waiver.worst,
            waiver.until.rfc3339(),
            waiver.reason
        ),
        Body::Cleared { clearance, phase } => format!(
            "cleared one raise of commit {} by {} until {}",
            clearance.subject.subject.commit.short(),
            phase.as_str(),
            clearance.expires_at.rfc3339()
        ),
        Body::RolloutStarted(started) => format!(
            "started the canary of {}: {} beside {}",
            started.release, started.canary, started.base
        ),
        Body::RaiseIntended { from, to, .. } => format!("raises the canary from {from} to {to}"),
        Body::PromoteIntended { release, to, .. } => format!("makes {to} the base as {release}"),
        Body::FinalTagged { release, rc, commit } => {
            format!("tagged {release} at commit {}, as {rc} was", commit.short())
        }
        Body::StepIntended { name, detail, .. } => {
            format!("begins: {}", detail.get("what").unwrap_or(name))
        }
        Body::Ruled { phase, ruling } => format!(
            "{} gate {}: {}: {}",
            phase.as_str(),
            ruling.gate,
            ruling.verdict.label(),
            ruling.headline
        ),
        Body::LowerIntended { to, reason, .. } => format!("goes back to {to}: {reason}"),
        Body::StepEnded { outcome, detail, .. } => format!("{}: {detail}", outcome_word(*outcome)),
        Body::Paused(said) => {
            format!("paused the canary until {}: {}", said.until.rfc3339(), said.reason)
        }
        Body::Unpaused { reason, .. } => format!("resumed the canary: {reason}"),
        Body::Advanced(said) => {
            format!("let stage {} go on undecided: {}", said.stage, said.reason)
        }
        Body::StageBegan(began) => {
            format!("stage {} has its weight: {} on the canary", began.stage, began.weight)
        }
        Body::StageDecided(decided) => stage(decided),
        Body::RolloutEnded { end, reason, .. } => format!("canary {}: {reason}", end_word(*end)),
        Body::RolledBack(back) => went_back(back),
        Body::Promoted(promoted) => {
            format!("{} is the base, over {}", promoted.release, promoted.previous)
        }
        Body::Stable { release, .. } => format!("{release} is stable: its watch ended quietly"),
        Body::PackWritten { release, pack, verdict } => {
            format!("packed the evidence of {release}: {} ({})", verdict.label(), pack.short())
        }
        Body::Reconciled { .. } => "carries a fact that lost a race".to_owned(),
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Unknown => "outcome unknown",
    }
}

pub(crate) fn end_word(end: RolloutEnd) -> &'static str {
    match end {
        RolloutEnd::Complete => "complete",
        RolloutEnd::RolledBack => "rolled back",
        RolloutEnd::Withdrawn => "withdrawn",
        RolloutEnd::Aborted => "aborted",
        RolloutEnd::GrantEnded => "ended with its grant",
    }
}

fn stage(decided: &StageDecided) -> String {
    let StageDecided { stage, weight, verdict, next, headline, .. } = decided;
    format!(
        "stage {stage} at {weight}: {}, {next}: {headline} ({} user requests on the canary, {} \
         failed)",
        verdict.label(),
        decided.canary_requests,
        decided.canary_errors
    )
}

fn went_back(back: &RolledBack) -> String {
    let what = back.release.as_ref().map_or_else(
        || back.from.as_ref().map_or_else(|| "traffic".to_owned(), ToString::to_string),
        ToString::to_string,
    );
    let proof = match back.verified {
        TrafficProof::Verified => "verified",
        TrafficProof::Requested => "requested, not verified",
        TrafficProof::Failed => "FAILED",
    };
    format!("rolled back {what} to {} ({proof}): {}", back.to, back.reason)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;

    #[test]
    fn people_read_what_happened() {
        for (body, text) in [
            (rc("v1.4.0-rc.1", '4', "1.4.0"), "tagged v1.4.0-rc.1 at commit 444444444: feat"),
            (
                rolled_back('4', "d3", TrafficProof::Requested),
                "rolled back d4 to d3 (requested, not verified): checkout is down",
            ),
            (ended('4', RolloutEnd::Withdrawn), "canary withdrawn: x"),
            (step_ended("st_1", Outcome::Unknown), "outcome unknown: "),
        ] {
            assert_eq!(sentence(&body), text);
        }
    }
}
