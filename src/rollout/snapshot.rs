//! What each arm had answered at one moment, as bytes that another process reads again: the exhibit
//! from which a stage is measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ports::{ArmSamples, Samples, SourceSamples};
use crate::base::clock::Timestamp;
use crate::base::digest::canonical_json;
use crate::base::histogram::{EncodedHistogram, Histogram};

const SCHEMA: &str = "orca.samples/v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    schema: String,
    at: Timestamp,
    base: Arm,
    canary: Arm,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    users: Source,
    probes: Source,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    requests: u64,
    errors_by_kind: BTreeMap<String, u64>,
    latency: EncodedHistogram,
    sticky_keys: u64,
}

/// Canonical bytes of what was answered.
pub(crate) fn bytes(samples: &Samples) -> Vec<u8> {
    let snapshot = Snapshot {
        schema: SCHEMA.to_owned(),
        at: samples.at,
        base: Arm::from(&samples.base),
        canary: Arm::from(&samples.canary),
    };
    canonical_json(&snapshot).expect("a snapshot is plain data")
}

/// What the bytes say; the error is why they say nothing.
pub(crate) fn parse(bytes: &[u8]) -> Result<Samples, String> {
    let snapshot: Snapshot = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if snapshot.schema != SCHEMA {
        return Err(format!("unknown schema '{}'", snapshot.schema));
    }
    let (base, canary) = (snapshot.base.samples()?, snapshot.canary.samples()?);
    Ok(Samples { at: snapshot.at, base, canary })
}

impl From<&ArmSamples> for Arm {
    fn from(samples: &ArmSamples) -> Self {
        Self { users: Source::from(&samples.users), probes: Source::from(&samples.probes) }
    }
}

impl Arm {
    fn samples(self) -> Result<ArmSamples, String> {
        Ok(ArmSamples { users: self.users.samples()?, probes: self.probes.samples()? })
    }
}

impl From<&SourceSamples> for Source {
    fn from(samples: &SourceSamples) -> Self {
        Self {
            requests: samples.requests,
            errors_by_kind: samples.errors_by_kind.clone(),
            latency: EncodedHistogram::from(&samples.latency),
            sticky_keys: samples.sticky_keys,
        }
    }
}

impl Source {
    fn samples(self) -> Result<SourceSamples, String> {
        let latency = Histogram::try_from(&self.latency).map_err(|error| error.to_string())?;
        let Self { requests, errors_by_kind, sticky_keys, .. } = self;
        // Who came is never a difference: what a stage began with says nothing of it.
        Ok(SourceSamples { requests, errors_by_kind, latency, sticky_keys, visits: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_to_the_same_bytes() {
        let mut latency = Histogram::default();
        latency.record_many(1_500, 40);
        let users = SourceSamples {
            requests: 40,
            errors_by_kind: BTreeMap::from([("status_5xx".to_owned(), 3)]),
            latency,
            sticky_keys: 17,
            visits: None,
        };
        let samples = Samples {
            at: Timestamp::from_us(5),
            base: ArmSamples { users: users.clone(), probes: SourceSamples::default() },
            canary: ArmSamples { users: SourceSamples::default(), probes: users },
        };
        let written = bytes(&samples);
        let read = parse(&written).unwrap();
        assert_eq!(bytes(&read), written);
        assert_eq!(read.canary.probes.requests, 40);
        for (broken, why) in [("{}", "missing field"), ("[", "EOF")] {
            assert!(parse(broken.as_bytes()).unwrap_err().contains(why), "{broken}");
        }
        let other = String::from_utf8(written).unwrap().replace("samples/v1", "samples/v9");
        assert_eq!(parse(other.as_bytes()).unwrap_err(), "unknown schema 'orca.samples/v9'");
    }
}
