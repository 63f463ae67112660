//! Asks one command, and says what its end means.

use std::sync::PoisonError;
use std::time::Duration;

use super::answers::read;
use super::command::{Ran, RunError};
use super::contract::{Answer, Operation, Request, VERSION, exit};
use super::platform::ExecPlatform;
use crate::base::call_made::CallMade;
use crate::base::clock;
use crate::rollout::ports::Refused;

/// Of a long run the last commands remain.
const CALLS_MAX: usize = 500;

/// What became of a command that did not answer as it should.
pub(super) struct Failed {
    /// Known to have changed nothing.
    pub(super) without_effect: Option<Refused>,
    pub(super) detail: String,
}

impl ExecPlatform {
    pub(super) async fn ask(&self, request: Request) -> Result<Answer, Failed> {
        let operation = request.operation;
        let argv = self.commands.argv.get(&operation).ok_or_else(|| Failed {
            without_effect: Some(Refused::Unsupported("no command".to_owned())),
            detail: format!("platform.exec has no command for {}", operation.as_str()),
        })?;
        let deadline = self.deadline(operation);
        let input = serde_json::to_vec(&request).expect("a request is plain data");
        let since = clock::monotonic();
        let ran = self.surroundings.run(argv, input, deadline).await;
        self.note(operation, &ran, clock::elapsed_us(since));
        let ran = ran.map_err(|error| Failed {
            without_effect: matches!(error, RunError::Start { .. })
                .then(|| Refused::Unsupported(error.to_string())),
            detail: format!("{}: {error}", operation.as_str()),
        })?;
        if operation.changes() {
            for line in &ran.stderr {
                (self.tell)(&format!("{}: {line}", operation.as_str()));
            }
        }
        let said = ran.stderr.last().map(|line| format!(": {line}")).unwrap_or_default();
        let ended = |how: &str| format!("{} {how}{said}", operation.as_str());
        match ran.code {
            Some(exit::DONE) => {
                let answer = read(&ran.stdout, operation);
                answer.map_err(|why| Failed { without_effect: None, detail: ended(&why) })
            }
            Some(exit::REFUSED) => Err(Failed {
                without_effect: Some(Refused::StaleGeneration { expected: 0, found: 0 }),
                detail: ended("found another state than expected"),
            }),
            Some(exit::UNAVAILABLE) => {
                let detail = ended("could not reach what it needs");
                let without_effect = Some(Refused::Denied(detail.clone()));
                Err(Failed { without_effect, detail })
            }
            Some(exit::UNSUPPORTED) => {
                let detail = ended("cannot do that");
                let without_effect = Some(Refused::Unsupported(detail.clone()));
                Err(Failed { without_effect, detail })
            }
            Some(code) => {
                Err(Failed { without_effect: None, detail: ended(&format!("ended with {code}")) })
            }
            None => Err(Failed { without_effect: None, detail: ended("was ended by a signal") }),
        }
    }

    /// A command that was run, or tried: which one is in the configuration, and its arguments, which
    /// may hold a secret, are told nobody.
    fn note(&self, operation: Operation, ran: &Result<Ran, RunError>, took_us: u64) {
        let made = CallMade {
            method: if operation.changes() { "RUN" } else { "READ" }.to_owned(),
            url: format!("exec:{}", operation.as_str()),
            status: ran.as_ref().ok().and_then(|ran| u16::try_from(ran.code?).ok()),
            failure: ran.as_ref().err().map(ToString::to_string),
            took_us,
            request_id: None,
        };
        let mut calls = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == CALLS_MAX {
            calls.pop_front();
        }
        calls.push_back(made);
    }

    fn deadline(&self, operation: Operation) -> Duration {
        match operation {
            Operation::Deploy => self.commands.deploy_deadline,
            _ => self.commands.deadline,
        }
    }

    pub(super) fn request(&self, operation: Operation) -> Request {
        Request {
            version: VERSION,
            operation,
            environment: self.environment.clone(),
            deployment: None,
            commit: None,
            release: None,
            weight_bp: None,
            expect: None,
            deadline_ms: u64::try_from(self.deadline(operation).as_millis()).unwrap_or(u64::MAX),
        }
    }
}
