//! Which environments are one. What an environment is called stands in `orca.yaml` and may be
//! changed there; the platform that a clearance named is what was raised on.

use std::collections::BTreeSet;

use super::environment::{Condemned, EnvironmentState};
use super::fold::State;
use super::validate::Refused;
use crate::base::ids::{CommitId, Environment};
use crate::gate::clearance::ClearanceRecord;

impl State {
    /// The others whose clearances named this platform, and the commit.
    fn others_on<'a>(
        &'a self,
        environment: &'a Environment,
        platform: Option<&'a str>,
        commit: Option<&CommitId>,
    ) -> impl Iterator<Item = (&'a Environment, &'a EnvironmentState)> {
        let subjects = self.clearances.values().map(|kept| &kept.record.subject);
        let named = subjects
            .filter(|s| platform.is_some() && s.platform.as_deref() == platform)
            .filter(|s| commit.is_none_or(|commit| s.subject.commit == *commit));
        let names: BTreeSet<&Environment> = named.map(|s| &s.subject.environment).collect();
        let others = names.into_iter().filter(move |name| *name != environment);
        others.filter_map(|name| self.environments.get_key_value(name))
    }

    /// Where this commit was rolled back: in the environment, else in another on its platform.
    pub(crate) fn condemned_on<'a>(
        &'a self,
        environment: &'a Environment,
        platform: Option<&'a str>,
        commit: &CommitId,
    ) -> Option<(&'a Environment, &'a Condemned)> {
        let own = self.environments.get_key_value(environment);
        own.into_iter()
            .chain(self.others_on(environment, platform, Some(commit)))
            .find_map(|(name, state)| Some((name, state.condemned.get(commit)?)))
    }

    /// The commit was not rolled back in this environment.
    pub(super) fn sound(&self, here: &Environment, commit: &CommitId) -> Result<(), Refused> {
        self.sound_at((here, None), commit)
    }

    /// Nor in another on the platform that was cleared.
    pub(super) fn sound_on(
        &self,
        here: &Environment,
        record: &ClearanceRecord,
    ) -> Result<(), Refused> {
        let subject = &record.subject;
        self.sound_at((here, subject.platform.as_deref()), &subject.subject.commit)
    }

    fn sound_at(
        &self,
        (here, platform): (&Environment, Option<&str>),
        commit: &CommitId,
    ) -> Result<(), Refused> {
        let Some((there, why)) = self.condemned_on(here, platform, commit) else { return Ok(()) };
        Err(Refused::Condemned {
            commit: commit.clone(),
            environment: there.clone(),
            by_platform: there != here,
            reason: why.reason.clone(),
            by: Box::new(why.by.clone()),
        })
    }

    /// Whether the commit was rolled back in any environment.
    pub(crate) fn is_condemned_anywhere(&self, commit: &CommitId) -> bool {
        self.environments.values().any(|state| state.condemned.contains_key(commit))
    }

    /// Gates that applied to the release promoted last. Where nothing was promoted under this
    /// name, those of the others on its platform.
    pub(crate) fn applied_before(
        &self,
        environment: &Environment,
        platform: Option<&str>,
    ) -> BTreeSet<String> {
        match self.environment(environment) {
            Some(own) if !own.applied_gates.is_empty() => own.applied_gates.clone(),
            _ => {
                let others = self.others_on(environment, platform, None);
                others.flat_map(|(_, state)| state.applied_gates.iter().cloned()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Body, TrafficProof};
    use super::super::fixture::*;
    use super::super::validate::Proposal;
    use super::*;
    use crate::gate::verdict::Verdict;

    fn cleared_on(name: &str, in_environment: &str, platform: Option<&str>) -> Body {
        let Body::Cleared { mut clearance, phase } = cleared(name, '4', 100) else {
            panic!("it is one")
        };
        clearance.subject.subject.environment = environment(in_environment);
        clearance.subject.platform = platform.map(str::to_owned);
        Body::Cleared { clearance, phase }
    }

    /// Rolled back in production on the platform that it was cleared for there.
    fn rolled_back_on(platform: Option<&str>) -> Told {
        let mut told = Told::new();
        told.live(rollout("v1.4.0-rc.1", '4', "d3"));
        told.live(cleared_on("cl_1", "production", platform));
        told.live(rolled_back('4', "d3", TrafficProof::Verified));
        told
    }

    #[test]
    fn a_condemned_commit_is_condemned_under_every_name_of_the_platform() {
        let ours = Some("the router at https://r");
        for (then, name, now, refused) in [
            (ours, "live", ours, true),
            (ours, "live", Some("the router at https://other"), false),
            (ours, "live", None, false),
            (None, "live", None, false),
            (ours, "production", Some("the router at https://other"), true),
            (None, "production", ours, true),
        ] {
            let told = rolled_back_on(then);
            let entry = told.next(Some(name), cleared_on("cl_2", name, now));
            let said = told.state().validate(Proposal::from(&entry), at(50));
            let is_condemned = matches!(said, Err(Refused::Condemned { .. }));
            assert_eq!(
                (is_condemned, said.is_err()),
                (refused, refused),
                "{then:?} {name} {now:?}"
            );
            if let (Err(said), "live") = (said, name) {
                let text = said.to_string();
                assert!(text.contains("condemned in production, on the same platform"), "{text}");
            }
        }
    }

    /// Production moved here from a platform on which the commit was rolled back.
    #[test]
    fn what_was_condemned_elsewhere_is_not_condemned_here() {
        let mut told = rolled_back_on(Some("there"));
        let Body::Cleared { clearance, phase } = cleared_on("cl_5", "production", Some("here"))
        else {
            panic!("it is one")
        };
        let mut other = clearance;
        other.subject.subject.commit = commit('5');
        told.live(Body::Cleared { clearance: other, phase });
        let entry = told.next(Some("live"), cleared_on("cl_2", "live", Some("here")));
        assert_eq!(told.state().validate(Proposal::from(&entry), at(50)), Ok(()));
    }

    /// Cleared under another name before somebody went back: nothing is raised with it.
    #[test]
    fn a_clearance_under_another_name_raises_nothing_after_a_rollback() {
        let mut told = Told::new();
        told.tell(Some("live"), rollout("v1.4.0-rc.1", '4', "d3"));
        told.tell(Some("live"), cleared_on("cl_2", "live", Some("r")));
        told.live(cleared_on("cl_1", "production", Some("r")));
        let verdict = |told: &Told, body: Body| {
            let entry = told.next(Some("live"), body);
            told.state().validate(Proposal::from(&entry), at(50))
        };
        assert_eq!(verdict(&told, raise("st_1", '4', "cl_2")), Ok(()));
        told.live(rolled_back('4', "d3", TrafficProof::Verified));
        let promote = Body::PromoteIntended {
            step: id("st_3"),
            release: release("v1.4.0"),
            clearance: id("cl_2"),
            to: deployment("d4"),
        };
        for body in [raise("st_1", '4', "cl_2"), promote] {
            let said = verdict(&told, body);
            assert!(matches!(said, Err(Refused::Condemned { .. })), "{said:?}");
        }
    }

    #[test]
    fn a_new_name_forgets_no_gate() {
        let mut told = Told::new();
        told.live(ruled("db", '4', Verdict::Pass));
        told.live(cleared_on("cl_1", "production", Some("r")));
        told.live(promoted("v1.4.0", '4', "d3"));
        let before = |name: &str, platform| {
            told.state()
                .applied_before(&environment(name), platform)
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(before("live", Some("r")), ["db"]);
        assert_eq!(before("production", None), ["db"]);
        assert!(before("live", Some("other")).is_empty() && before("live", None).is_empty());
    }
}
