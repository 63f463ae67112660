//! The last step of a rollback: the critical smoke tests of the folder, asked where users are now.
//! Traffic has moved and is verified before; nothing here delays it or takes it back.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::smoke_files::{self, FOLDER, Wanted};
use crate::base::limits;
use crate::base::units::Micros;
use crate::cli::config::resolve::Config;
use crate::cli::context::Context;
use crate::cli::{wire_platform, wire_smoke};
use crate::gate::verdict::Verdict;
use crate::plan::step::Description;
use crate::rollout::ports::{Arm, Door, Platform};
use crate::smoke::check::{Policy, judge};
use crate::smoke::outcome::{Outcome, TestSeen};
use crate::smoke::prepare::{Ready, Selection};

/// What the smoke tests say of the version that users are back on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Validation {
    pub(super) verdict: Verdict,
    pub(super) headline: String,
    /// Names of the tests that failed.
    failed: Vec<String>,
}

impl Validation {
    fn undone(headline: String) -> Self {
        Self { verdict: Verdict::Inconclusive, headline, failed: Vec::new() }
    }

    /// One line for people, loud where it is bad.
    pub(super) fn told(&self) -> String {
        match self.verdict {
            Verdict::Pass => format!("smoke tests: {}\n", self.headline),
            Verdict::Fail => format!("SMOKE TESTS FAIL on what users get now: {}\n", self.headline),
            _ => format!("SMOKE TESTS COULD NOT DECIDE: {}\n", self.headline),
        }
    }
}

/// The step as `--dry-run` prints it; none where the folder has no tests.
pub(super) fn planned(context: &Context) -> Option<Description> {
    (!smoke_files::usual(context).is_empty()).then(|| Description {
        name: "validate",
        title: "ask the critical smoke tests".to_owned(),
        calls: vec![format!("the critical tests of {FOLDER}/*.http that change nothing")],
        expected_us: Micros::from_secs(1),
        risk: None,
        back: None,
        done: false,
    })
}

/// Asks; nothing is said where there is no critical test.
pub(super) async fn validate(
    context: &Context,
    config: &Config,
    platform: &dyn Platform,
) -> Option<Validation> {
    if smoke_files::usual(context).is_empty() {
        return None;
    }
    let door = match door(config, platform).await {
        Ok(door) => door,
        Err(why) => return Some(Validation::undone(why)),
    };
    let wanted = Wanted {
        files: Vec::new(),
        selection: Selection::CriticalSafe,
        target: Some(door.url.clone()),
        is_bound: true,
        environment: config.smoke.as_ref().and_then(|smoke| smoke.production_env.clone()),
        overrides: BTreeMap::new(),
        // Nothing that changes anything is among them.
        allow_production: true,
    };
    let files = match smoke_files::ready(&wanted, context) {
        Ok(files) => files,
        Err(failure) => return Some(Validation::undone(failure.message)),
    };
    let left_out: usize = files.iter().map(|file| file.critical_left_out).sum();
    if left_out > 0 {
        let why = "change something, or need a test that is not asked";
        context.say(format!("smoke: {left_out} critical tests are not asked here: they {why}"));
    }
    if files.iter().all(|file| file.tests.is_empty()) {
        return None;
    }
    Some(asked(&files, context, &door).await)
}

async fn asked(files: &[Ready], context: &Context, door: &Door) -> Validation {
    let stop = context.cancel.child_token();
    let tell = wire_smoke::tell(context);
    let running = wire_smoke::run(files, context, (Some(door), &stop), &tell);
    tokio::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = tokio::time::sleep(limits::SMOKE_AFTER_ROLLBACK) => {
            stop.cancel();
            running.await
        }
    };
    let seen = match ended {
        Ok(seen) => seen,
        Err(failure) => return Validation::undone(failure.message),
    };
    let judged = judge(&Policy { strict: false, critical: true, tests: None }, &seen);
    let is_failed = |test: &&TestSeen| test.outcome() == Outcome::Failed;
    let failed = seen.tests.iter().filter(is_failed).map(|test| test.name.clone()).collect();
    Validation { verdict: judged.verdict, headline: judged.headline, failed }
}

/// Where users come in; the deployment itself where nobody says.
async fn door(config: &Config, platform: &dyn Platform) -> Result<Door, String> {
    if let Some(url) = &config.platform.url.value {
        // A router that is closed for users lets probes through.
        let headers = platform.probe_headers("smoke");
        return Ok(Door { url: wire_platform::with_scheme(url), headers, proof: None });
    }
    let asked = tokio::time::timeout(LOOK, platform.door(Arm::Base)).await;
    match asked {
        Ok(door) => door.map_err(|error| format!("nobody says where to ask: {error}")),
        Err(_) => Err("nobody says where to ask: the platform does not answer".to_owned()),
    }
}

/// Time for asking the platform where its base is.
const LOOK: Duration = limits::HTTP_CALL;
