//! Runs the steps of a plan in order: intent, apply, verify, outcome. A step that is done already
//! is skipped; a failed one stops the plan, and what can be taken back is.
//!
//! The executor never drops an `apply`: a step that was begun is finished and recorded.

use tokio_util::sync::CancellationToken;

use super::journal::{Journal, JournalError};
use super::step::{Description, Step, StepError};
use crate::base::crash_point::{CrashPoint, hit};
use crate::ledger::entry::Outcome;

/// What happens while a plan runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Skipped { title: String },
    Started { title: String },
    Ended { title: String, detail: String },
}

/// Why a plan did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("stopped by a signal before '{before}'")]
    Cancelled { before: &'static str, done: usize },
    #[error("{error}")]
    Journal { at: &'static str, done: usize, error: JournalError },
    #[error("step '{at}' failed: {error}")]
    Failed { at: &'static str, done: usize, error: StepError, taken_back: bool },
}

impl Stopped {
    /// How many steps had changed something before.
    pub(crate) fn done(&self) -> usize {
        match self {
            Self::Cancelled { done, .. }
            | Self::Journal { done, .. }
            | Self::Failed { done, .. } => *done,
        }
    }
}

/// A plan as it would run.
pub(crate) fn describe(steps: &[Box<dyn Step>]) -> Vec<Description> {
    steps.iter().map(|step| step.describe()).collect()
}

/// Runs all steps. The number that changed something comes back.
pub(crate) async fn execute(
    steps: &mut [Box<dyn Step>],
    journal: &dyn Journal,
    cancel: &CancellationToken,
    tell: &(dyn Fn(Event) + Sync),
) -> Result<usize, Stopped> {
    let mut done = 0;
    for step in steps.iter_mut() {
        let description = step.describe();
        if description.done {
            tell(Event::Skipped { title: description.title });
            continue;
        }
        if cancel.is_cancelled() {
            return Err(Stopped::Cancelled { before: description.name, done });
        }
        tell(Event::Started { title: description.title.clone() });
        let detail = run_step(step.as_mut(), journal, description.name, done).await?;
        tell(Event::Ended { title: description.title, detail });
        done += 1;
    }
    Ok(done)
}

async fn run_step(
    step: &mut dyn Step,
    journal: &dyn Journal,
    at: &'static str,
    done: usize,
) -> Result<String, Stopped> {
    let id = journal.step_id();
    let unwritten = |error| Stopped::Journal { at, done, error };
    journal.intend(step.intent(&id)).await.map_err(unwritten)?;
    hit(CrashPoint::StepAfterIntent);
    let applied = step.apply().await;
    hit(CrashPoint::StepAfterApply);
    let verified = match applied {
        Ok(detail) => step.verify().await.map(|()| detail),
        Err(error) => Err(error),
    };
    hit(CrashPoint::StepAfterVerify);
    match verified {
        Ok(detail) => {
            journal.ended(&id, Outcome::Done, &detail).await.map_err(unwritten)?;
            hit(CrashPoint::StepAfterOutcome);
            Ok(detail)
        }
        Err(error) => {
            let taken_back = step.take_back().await.unwrap_or(false);
            let outcome =
                if error.uncertain && !taken_back { Outcome::Unknown } else { Outcome::Failed };
            // The failure itself is what must be said; an unwritten outcome is found by the fold.
            let _ = journal.ended(&id, outcome, &error.message).await;
            Err(Stopped::Failed { at, done, error, taken_back })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::base::clock::Entropy;
    use crate::base::ids::OrcaId;
    use crate::base::units::Micros;
    use crate::ledger::entry::Body;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    #[async_trait]
    impl Journal for Lines {
        fn step_id(&self) -> OrcaId {
            OrcaId::generate("st", &Entropy::seeded(1))
        }

        async fn intend(&self, body: Body) -> Result<(), JournalError> {
            let Body::StepIntended { name, .. } = body else {
                return Err(JournalError::Refused("not a step".into()));
            };
            if name == "refused" {
                return Err(JournalError::Refused("frozen by ana".into()));
            }
            self.0.lock().unwrap().push(format!("intend {name}"));
            Ok(())
        }

        async fn ended(&self, _: &OrcaId, outcome: Outcome, _: &str) -> Result<(), JournalError> {
            let line = format!("ended {}", serde_json::to_string(&outcome).unwrap());
            self.0.lock().unwrap().push(line);
            Ok(())
        }
    }

    struct Scripted {
        name: &'static str,
        done: bool,
        fails: Option<StepError>,
        takes_back: bool,
    }

    #[async_trait]
    impl Step for Scripted {
        fn describe(&self) -> Description {
            Description {
                name: self.name,
                title: self.name.to_owned(),
                calls: Vec::new(),
                expected_us: Micros(1),
                risk: None,
                back: None,
                done: self.done,
            }
        }

        fn intent(&self, step: &OrcaId) -> Body {
            let name = self.name.to_owned();
            Body::StepIntended { step: step.clone(), name, detail: BTreeMap::new() }
        }

        async fn apply(&mut self) -> Result<String, StepError> {
            self.fails.clone().map_or(Ok("ok".into()), Err)
        }

        async fn verify(&mut self) -> Result<(), StepError> {
            Ok(())
        }

        async fn take_back(&mut self) -> Result<bool, StepError> {
            Ok(self.takes_back)
        }
    }

    fn step(name: &'static str) -> Scripted {
        Scripted { name, done: false, fails: None, takes_back: false }
    }

    async fn run(steps: Vec<Scripted>) -> (Result<usize, Stopped>, Vec<String>) {
        let journal = Lines::default();
        let mut steps: Vec<Box<dyn Step>> =
            steps.into_iter().map(|s| Box::new(s) as Box<dyn Step>).collect();
        let result = execute(&mut steps, &journal, &CancellationToken::new(), &|_| ()).await;
        (result, journal.0.into_inner().unwrap())
    }

    #[tokio::test]
    async fn every_step_is_written_down_before_and_after() {
        let skipped = Scripted { done: true, ..step("skipped") };
        let (result, lines) = run(vec![step("a"), skipped, step("b")]).await;
        assert_eq!(result, Ok(2));
        assert_eq!(lines, ["intend a", "ended \"done\"", "intend b", "ended \"done\""]);
    }

    #[tokio::test]
    async fn a_refused_intent_stops_before_anything_is_done() {
        let (result, lines) = run(vec![step("a"), step("refused"), step("b")]).await;
        assert!(matches!(result, Err(Stopped::Journal { at: "refused", done: 1, .. })));
        assert_eq!(lines.len(), 2);
    }

    #[tokio::test]
    async fn a_failure_is_recorded_as_what_it_is() {
        for (uncertain, takes_back, outcome) in
            [(false, false, "failed"), (true, false, "unknown"), (true, true, "failed")]
        {
            let error = StepError { message: "no".into(), hint: "x".into(), uncertain };
            let failing = Scripted { fails: Some(error), takes_back, ..step("a") };
            let (result, lines) = run(vec![failing, step("never")]).await;
            assert!(matches!(result, Err(Stopped::Failed { at: "a", done: 0, .. })));
            assert_eq!(lines, ["intend a".to_owned(), format!("ended \"{outcome}\"")]);
        }
    }
}
