//! After the switch: traffic is read back, the platform says who serves, what is open on the version
//! before drains, and it is read again. Users are where they are by then: what the ledger does not
//! take is told beside the result, and never instead of it.

use super::run::{BlueGreen, Drain, Traffic};
use crate::base::clock;
use crate::base::ids::DeploymentId;
use crate::base::units::Micros;
use crate::ledger::entry::TrafficProof;
use crate::rollout::ports::{Arm, PlatformError, PlatformState};
use crate::verbs::book::Sync;
use crate::verbs::promoting::Recorded;
use crate::verbs::read_back::{self, ReadBack};
use crate::verbs::{lease, settle};

impl BlueGreen<'_> {
    /// Reads traffic back, waits for what is open on the version before, and reads again.
    pub(super) async fn verified(&self, moved: bool, deployment: &DeploymentId) -> Traffic {
        let ship = &self.fleet.ship;
        let seen = self.read(deployment).await;
        ship.say(format!("traffic: {}", seen.headline));
        if !moved || seen.proof != TrafficProof::Verified || self.settings.drain.0 == 0 {
            return Traffic { seen, moved, drain: None };
        }
        ship.say(format!(
            "drain: open requests have {} to end on the version before",
            self.settings.drain
        ));
        let start = clock::monotonic();
        let cut = tokio::select! {
            () = ship.bench.cancel.cancelled() => true,
            () = tokio::time::sleep(self.settings.drain.duration()) => false,
        };
        let took = Micros(clock::elapsed_us(start));
        let again = self.read(deployment).await;
        Traffic { seen: again, moved, drain: Some(Drain { took, cut }) }
    }

    async fn read(&self, deployment: &DeploymentId) -> ReadBack {
        let platform = self.fleet.platform.as_ref();
        let read = read_back::until_on(platform, Arm::Base, Some(&self.commit)).await;
        serving(read, platform.look().await, deployment)
    }

    /// What dead runs left open is closed, and everything is shared; `recorded` is what became of
    /// the switch itself.
    pub(super) async fn written(&self, recorded: Recorded) -> Sync {
        let ship = &self.fleet.ship;
        let release = self.release.as_str();
        let settled = settle::release_steps(&*ship.book, &ship.environment, release).await;
        let shared = lease::shared(ship).await;
        match recorded.and(settled) {
            Ok(()) => shared,
            Err(error) => Sync::of(&error),
        }
    }
}

/// Answers of the right commit prove nothing while the platform sends users to another deployment.
fn serving(
    read: ReadBack,
    looked: Result<PlatformState, PlatformError>,
    deployment: &DeploymentId,
) -> ReadBack {
    match looked {
        Ok(state) if state.base == *deployment => read,
        Ok(state) => ReadBack {
            proof: TrafficProof::Failed,
            headline: format!("{} serves, not {deployment}; {}", state.base, read.headline),
        },
        Err(error) => ReadBack {
            proof: match read.proof {
                TrafficProof::Failed => TrafficProof::Failed,
                TrafficProof::Verified | TrafficProof::Requested => TrafficProof::Requested,
            },
            headline: format!("{}; then {error}", read.headline),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Weight;
    use crate::ledger::fixture::deployment;

    fn state(base: &str) -> PlatformState {
        PlatformState {
            base: deployment(base),
            base_commit: None,
            canary: None,
            previous: None,
            went_back: false,
            lowered_by: None,
            lowered: None,
            weight: Weight::ZERO,
            generation: 1,
            epoch: 0,
            grant_until: None,
            stored: true,
            closed: false,
        }
    }

    /// Two deployments of one commit answer alike: only the platform knows which of them serves.
    #[test]
    fn verified_needs_the_platform_to_name_the_deployment() {
        use TrafficProof::{Failed, Requested, Verified};
        let down = || PlatformError::Unavailable {
            platform: "it".to_owned(),
            detail: "connection refused".to_owned(),
        };
        for (proof, looked, expected, said) in [
            (Verified, Ok(state("d2")), Verified, "200 of 200"),
            (Requested, Ok(state("d2")), Requested, "200 of 200"),
            (Failed, Ok(state("d2")), Failed, "200 of 200"),
            (Verified, Ok(state("d1")), Failed, "d1 serves, not d2"),
            (Requested, Ok(state("d1")), Failed, "d1 serves, not d2"),
            (Verified, Err(down()), Requested, "connection refused"),
            (Failed, Err(down()), Failed, "connection refused"),
        ] {
            let read = ReadBack { proof, headline: "200 of 200 keys are on base".to_owned() };
            let seen = serving(read, looked, &deployment("d2"));
            assert_eq!(seen.proof, expected, "{}", seen.headline);
            assert!(seen.headline.contains(said), "{}", seen.headline);
        }
    }
}
