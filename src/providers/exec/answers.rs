//! Answers in the words of the port. Pure: what a command does not say is never assumed.

use super::contract::{Answer, Counted, Operation, State, Version};
use super::platform::NAME;
use crate::base::digest::Digest;
use crate::base::histogram::Histogram;
use crate::base::ids::{CommitId, DeploymentId};
use crate::base::units::Weight;
use crate::rollout::ports::{Known, PlatformError, PlatformState, SourceSamples};

/// Standard output as an answer; nothing at all is one too, for a change.
pub(super) fn read(stdout: &[u8], operation: Operation) -> Result<Answer, String> {
    if operation.changes() && stdout.trim_ascii().is_empty() {
        return Ok(Answer::default());
    }
    serde_json::from_slice(stdout)
        .map_err(|error| format!("answered what is no exec.answer ({error})"))
}

/// The answer in the words of the port.
pub(super) fn state_of(state: &State) -> Result<PlatformState, PlatformError> {
    let wrong = |detail: String| PlatformError::Unavailable { platform: NAME.to_owned(), detail };
    let known = |version: &Version| -> Result<Known, PlatformError> {
        let deployment = DeploymentId::new(version.deployment.clone())
            .map_err(|error| wrong(error.to_string()))?;
        let commit = version.commit.clone().map(CommitId::new).transpose();
        Ok(Known { deployment, commit: commit.map_err(|error| wrong(error.to_string()))? })
    };
    let base = known(&state.base)?;
    let weight = Weight::from_basis_points(u32::from(state.weight_bp))
        .map_err(|error| wrong(error.to_string()))?;
    if weight > Weight::ZERO && state.canary.is_none() {
        return Err(wrong(format!("{weight} without a canary")));
    }
    Ok(PlatformState {
        base: base.deployment,
        base_commit: base.commit,
        canary: state.canary.as_ref().map(known).transpose()?,
        previous: state.previous.as_ref().map(known).transpose()?,
        went_back: state.went_back,
        lowered_by: state.lowered_by.clone(),
        lowered: None,
        weight,
        generation: state.generation.unwrap_or_else(|| fingerprint(state)),
        epoch: state.epoch,
        grant_until: None,
        stored: true,
        closed: false,
    })
}

/// Stands for a generation where the command keeps none: the same for the same split.
fn fingerprint(state: &State) -> u64 {
    let split = (&state.base, &state.canary, state.weight_bp, state.epoch);
    let text = serde_json::to_vec(&split).expect("plain data");
    let hex = Digest::of(&text).hex();
    // Twelve digits are exact in every JSON reader.
    u64::from_str_radix(&hex[..12], 16).expect("a digest is hexadecimal")
}

/// Buckets become a histogram at their upper ends: never faster than it was.
pub(super) fn source_samples(counted: &Counted) -> Result<SourceSamples, String> {
    let mut latency = Histogram::default();
    let mut before = (0, 0);
    for bucket in &counted.latency {
        if bucket.le_us <= before.0 || bucket.count < before.1 {
            return Err(format!("the bucket at {} us does not ascend", bucket.le_us));
        }
        latency.record_many(bucket.le_us, bucket.count - before.1);
        before = (bucket.le_us, bucket.count);
    }
    let failed = counted.errors.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
    if failed > counted.requests {
        return Err(format!("{failed} of {} requests failed", counted.requests));
    }
    Ok(SourceSamples {
        requests: counted.requests,
        errors_by_kind: counted.errors.clone(),
        latency,
        sticky_keys: counted.sticky_keys.unwrap_or(0),
        visits: counted.visits.clone(),
    })
}
