//! `platform.exec`: the user's commands, as written and as resolved.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Source;
use crate::base::units::Micros;
use crate::base::yaml::{InputError, Spanned};
use crate::cli::wire_platform::Operation;

/// Commands are lists: program, then arguments. No shell reads them. A program with a slash in its
/// name is looked for from the folder of `orca.yaml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawExec {
    /// Does every operation without a command of its own, except `health` and `samples`; the
    /// operation's name is its last argument.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) current: Option<Vec<String>>,
    pub(crate) deploy: Option<Vec<String>>,
    pub(crate) weight: Option<Vec<String>>,
    pub(crate) promote: Option<Vec<String>>,
    pub(crate) rollback: Option<Vec<String>>,
    /// Asks whether a deployment runs; without it `GET /version` of the deployment is asked.
    pub(crate) health: Option<Vec<String>>,
    /// Counts what each version answers to users; without it every stage is `decide_by: paired`.
    pub(crate) samples: Option<Vec<String>>,
    /// Names of variables that commands see beside `PATH`, `HOME`, `USER`, `LANG`, `LC_ALL`, `TZ`
    /// and `TMPDIR`.
    #[serde(default)]
    pub(crate) env: Vec<String>,
    /// How long a command may take before it is killed, `1s` to `1h`; `30s` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) deadline: Option<Spanned<String>>,
    /// The same for `deploy`; `5m` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) deploy_deadline: Option<Spanned<String>>,
    /// Which weights can be held: `any` (steps of 0.01 %), `whole_percent` (default) or
    /// `all_or_nothing`.
    #[serde(default)]
    pub(crate) weights: RawWeights,
    /// What keeps a user on one version, in words for the plan.
    pub(crate) stickiness: Option<String>,
    /// The request header by which your front chooses a version: `base` or `canary`. Without it
    /// paired load asks the deployments themselves, which are URLs then.
    pub(crate) arm_header: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawWeights {
    Any,
    #[default]
    WholePercent,
    AllOrNothing,
}

#[derive(Debug, Clone)]
pub(crate) struct ExecConfig {
    pub(crate) argv: BTreeMap<Operation, Vec<String>>,
    pub(crate) env: Vec<String>,
    pub(crate) deadline: Micros,
    pub(crate) deploy_deadline: Micros,
    pub(crate) weights: RawWeights,
    pub(crate) stickiness: String,
    pub(crate) arm_header: Option<String>,
}

pub(super) fn resolve(
    raw: &Spanned<RawExec>,
    source: &Source<'_>,
) -> Result<ExecConfig, InputError> {
    let exec = &raw.value;
    let mut argv = BTreeMap::new();
    for (operation, own) in [
        (Operation::Current, &exec.current),
        (Operation::Deploy, &exec.deploy),
        (Operation::Weight, &exec.weight),
        (Operation::Promote, &exec.promote),
        (Operation::Rollback, &exec.rollback),
    ] {
        let name = operation.as_str();
        let shared = exec.command.as_ref().filter(|command| !command.is_empty()).map(|command| {
            let mut command = command.clone();
            command.push(name.to_owned());
            command
        });
        let command = own.clone().or(shared).ok_or_else(|| {
            source
                .error(raw, format!("platform.exec has no command for {name}"))
                .suggest(format!("{name}: [./platform.sh, {name}], or command: [./platform.sh]"))
        })?;
        argv.insert(operation, command);
    }
    for (operation, own) in [(Operation::Health, &exec.health), (Operation::Samples, &exec.samples)]
    {
        argv.extend(own.clone().map(|command| (operation, command)));
    }
    let empty = argv.iter().find(|(_, argv)| argv.first().is_none_or(|p| p.trim().is_empty()));
    if let Some((operation, _)) = empty {
        let text = format!("the command for {} names no program", operation.as_str());
        return Err(source.error(raw, text));
    }
    Ok(ExecConfig {
        argv,
        env: exec.env.clone(),
        deadline: deadline(exec.deadline.as_ref(), Micros::from_secs(30), source)?,
        deploy_deadline: deadline(exec.deploy_deadline.as_ref(), Micros::from_secs(300), source)?,
        weights: exec.weights,
        stickiness: exec.stickiness.clone().unwrap_or_else(|| "what your front does".to_owned()),
        arm_header: exec.arm_header.clone(),
    })
}

fn deadline(
    raw: Option<&Spanned<String>>,
    default: Micros,
    source: &Source<'_>,
) -> Result<Micros, InputError> {
    let deadline = source.unit_or(raw, default)?;
    match raw {
        Some(raw) if !(Micros::from_secs(1)..=Micros::from_secs(3_600)).contains(&deadline) => {
            Err(source.error(raw, format!("a deadline of {deadline} is not between 1s and 1h")))
        }
        _ => Ok(deadline),
    }
}
