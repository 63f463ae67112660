//! Whether a stage may be let go on by a person: it holds, and only because the data could not
//! decide it. What was let go on is the ruling that stood then. Pure.

use super::entry::Advanced;
use super::environment::Rollout;
use super::fold::{Author, KeptRuling, State};
use crate::base::ids::{Environment, OrcaId};
use crate::gate::phase::Phase;
use crate::gate::verdict::{Cause, Verdict};

/// A stage (1-based) that a person let go on although it could not be decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LetGo {
    pub(crate) stage: u32,
    pub(crate) reason: String,
    pub(crate) by: Author,
    /// The newest ruling of the stage when it was written.
    ruling: Option<KeptRuling>,
}

impl LetGo {
    /// Whether it is about this ruling: the one that stood, or a later one that leaves the same open.
    pub(crate) fn is_about(&self, kept: &KeptRuling) -> bool {
        self.ruling.as_ref().is_some_and(|stood| {
            stood.by.entry == kept.by.entry || stood.record.leaves_open_what(&kept.record)
        })
    }
}

/// Why nobody may let it go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAdvance {
    #[error("nothing holds: {0}")]
    NothingHolds(String),
    #[error("stage {stage} failed, and nobody can wave that through: {headline}")]
    Failed { stage: u32, headline: String },
    #[error("stage {stage} waits for what both versions share: {headline}")]
    Shared { stage: u32, headline: String },
    #[error("rollout {0} is complete: every stage was decided")]
    Complete(OrcaId),
    #[error("stage {at} holds, not stage {asked}")]
    Elsewhere { at: u32, asked: u32 },
}

/// The stage (1-based) that holds undecided.
pub(crate) fn advanceable(
    state: &State,
    environment: &Environment,
    running: &Rollout,
) -> Result<u32, NoAdvance> {
    if running.complete {
        return Err(NoAdvance::Complete(running.started.rollout.clone()));
    }
    let (index, began) = running.place();
    let stage = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let nothing = |why: String| Err(NoAdvance::NothingHolds(why));
    if began.is_none() {
        return nothing(format!("stage {stage} does not have its weight yet"));
    }
    let decided = || running.stages.iter().filter(|(said, _)| said.stage == stage);
    if let Some((said, _)) = decided().find(|(said, _)| said.verdict == Verdict::Fail) {
        return Err(NoAdvance::Failed { stage, headline: said.headline.clone() });
    }
    let Some(ruling) = stage_ruling(state, environment, running, stage) else {
        return nothing(format!("stage {stage} bakes, and was not judged yet"));
    };
    match ruling.record.verdict {
        Verdict::Fail => {
            let headline = ruling.record.headline.clone();
            Err(NoAdvance::Failed { stage, headline })
        }
        Verdict::Inconclusive if ruling.record.cause == Some(Cause::BothBreach) => {
            let headline = ruling.record.headline.clone();
            Err(NoAdvance::Shared { stage, headline })
        }
        Verdict::Inconclusive if decided().any(|(said, _)| said.next == "hold") => Ok(stage),
        Verdict::Inconclusive => nothing(format!("stage {stage} was not decided yet")),
        other => nothing(format!("stage {stage} was judged: {}", other.label())),
    }
}

/// The newest ruling of a stage (1-based) in this rollout.
pub(crate) fn stage_ruling<'a>(
    state: &'a State,
    environment: &Environment,
    running: &Rollout,
    stage: u32,
) -> Option<&'a KeptRuling> {
    let gate = format!("stage-{stage}");
    state
        .rulings_of(&running.started.commit, environment)
        .filter(|kept| kept.phase == Phase::Canary && kept.by.at >= running.by.at)
        .find(|kept| kept.record.gate == gate)
}

impl State {
    /// What somebody lets go on of the rollout under way, as it stands now.
    pub(super) fn let_go(
        &self,
        environment: &Environment,
        said: &Advanced,
        by: &Author,
    ) -> Option<LetGo> {
        let running = self.environment(environment)?.rollout.as_ref()?;
        let running = Some(running).filter(|r| r.started.rollout == said.rollout)?;
        let ruling = stage_ruling(self, environment, running, said.stage).cloned();
        let (stage, reason, by) = (said.stage, said.reason.clone(), by.clone());
        Some(LetGo { stage, reason, by, ruling })
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Body, RolloutEnd, StageBegan, StageDecided};
    use super::super::fixture::*;
    use super::super::validate::{Proposal, Refused};
    use super::*;
    use crate::base::units::Weight;

    fn decided(stage: u32, verdict: Verdict, next: &str) -> Body {
        Body::StageDecided(StageDecided {
            rollout: id("ro_4"),
            stage,
            weight: Weight::FULL,
            verdict,
            next: next.to_owned(),
            headline: "h".to_owned(),
            base_requests: 0,
            base_errors: 0,
            canary_requests: 0,
            canary_errors: 0,
        })
    }

    fn began(stage: u32) -> Body {
        let (rollout, weight) = (id("ro_4"), Weight::FULL);
        Body::StageBegan(StageBegan { rollout, stage, weight, samples: None })
    }

    fn canary(body: Body) -> Body {
        match body {
            Body::Ruled { ruling, .. } => Body::Ruled { phase: Phase::Canary, ruling },
            other => other,
        }
    }

    fn undecided(cause: Cause) -> Body {
        let Body::Ruled { phase, mut ruling } =
            canary(ruled("stage-1", '4', Verdict::Inconclusive))
        else {
            panic!("a ruling");
        };
        ruling.cause = Some(cause);
        Body::Ruled { phase, ruling }
    }

    /// Said of one ruling, it stands for that one and for those that leave the same open; not for
    /// whatever else the stage is judged to be later.
    #[test]
    fn what_was_let_go_on_is_the_ruling_that_stood() {
        for (what, later, counts) in [
            ("the same one", None, true),
            ("judged again, as before", Some(undecided(Cause::TooFewSamples)), true),
            ("another doubt", Some(undecided(Cause::Undecided)), false),
            ("both versions breach", Some(undecided(Cause::BothBreach)), false),
            ("it failed", Some(canary(ruled("stage-1", '4', Verdict::Fail))), false),
        ] {
            let mut told = Told::new();
            let body = rollout("v1.4.0-rc.1", '4', "d3");
            told.live(body);
            told.live(began(1));
            told.live(undecided(Cause::TooFewSamples));
            told.live(decided(1, Verdict::Inconclusive, "hold"));
            let (rollout, reason) = (id("ro_4"), "nobody shops at night".to_owned());
            told.live(Body::Advanced(Advanced { rollout, stage: 1, reason }));
            if let Some(entry) = later {
                told.live(entry);
            }
            let (state, place) = (told.state(), environment("production"));
            let running = state.environments[&place].rollout.as_ref().unwrap();
            let newest = stage_ruling(&state, &place, running, 1).unwrap();
            assert_eq!(running.advanced[0].is_about(newest), counts, "{what}");
        }
    }

    #[test]
    fn only_a_stage_that_holds_undecided_is_let_go_on() {
        use Verdict::{Fail, Inconclusive, Pass};
        let judged = |verdict| ruled("stage-1", '4', verdict);
        let hold = |verdict| decided(1, verdict, "hold");
        for (what, entries, asked, expected) in [
            ("holds undecided", vec![began(1), judged(Inconclusive), hold(Inconclusive)], 1, None),
            ("nothing yet", vec![], 1, Some("does not have its weight")),
            ("bakes", vec![began(1)], 1, Some("was not judged yet")),
            ("holds for a proof", vec![began(1), hold(Inconclusive)], 1, Some("not judged yet")),
            ("passed", vec![began(1), judged(Pass), hold(Inconclusive)], 1, Some("was judged")),
            ("failed", vec![began(1), judged(Fail), hold(Fail)], 1, Some("stage 1 failed")),
            (
                "failed before",
                vec![began(1), judged(Fail), hold(Fail), judged(Inconclusive), hold(Inconclusive)],
                1,
                Some("stage 1 failed"),
            ),
            (
                "what both share",
                vec![began(1), undecided(Cause::BothBreach), hold(Inconclusive)],
                1,
                Some("waits for what both versions share"),
            ),
            (
                "another stage",
                vec![began(1), judged(Inconclusive), hold(Inconclusive)],
                2,
                Some("stage 1 holds, not stage 2"),
            ),
            (
                "over",
                vec![
                    began(1),
                    judged(Inconclusive),
                    hold(Inconclusive),
                    ended('4', RolloutEnd::Aborted),
                ],
                1,
                Some("does not run"),
            ),
            (
                "complete",
                vec![began(1), ended('4', RolloutEnd::Complete)],
                1,
                Some("every stage was decided"),
            ),
        ] {
            let mut told = Told::new();
            told.live(rollout("v1.4.0-rc.1", '4', "d3"));
            for entry in entries {
                told.live(canary(entry));
            }
            let (rollout, reason) = (id("ro_4"), "we know this service".to_owned());
            let body = Body::Advanced(Advanced { rollout, stage: asked, reason });
            let entry = told.next(Some("production"), body);
            let said: Result<(), Refused> = told.state().validate(Proposal::from(&entry), at(50));
            match (said, expected) {
                (Ok(()), None) => {}
                (Err(why), Some(part)) => assert!(why.to_string().contains(part), "{what}: {why}"),
                (said, _) => panic!("{what}: {said:?}"),
            }
        }
    }
}
