//! The stages of a canary: how many users, for how long, and who decides.

use super::raw::{RawDecideBy, RawOnFail, RawStage};
use super::resolve::Source;
use crate::base::units::{Micros, Rate, Weight};
use crate::base::yaml::InputError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageConfig {
    pub(crate) weight: Weight,
    pub(crate) bake: Micros,
    pub(crate) max_hold: Micros,
    /// Rate of paired load where paired load decides.
    pub(crate) paired: Option<Rate>,
    pub(crate) hold_on_fail: bool,
}

/// The stages as written, or 1 %, 5 %, 25 %, 100 % with 15 minutes to an hour of bake time.
pub(super) fn resolve(
    raw: &[RawStage],
    source: &Source<'_>,
) -> Result<Vec<StageConfig>, InputError> {
    if raw.is_empty() {
        return Ok(defaults());
    }
    let mut stages: Vec<StageConfig> = Vec::new();
    for stage in raw {
        let weight: Weight = source.unit(&stage.weight)?;
        let bake: Micros = source.unit(&stage.bake)?;
        let before = stages.last().map_or(Weight::ZERO, |s| s.weight);
        if weight <= before {
            let text = format!("weight {weight} does not rise above {before}");
            return Err(source.error(&stage.weight, text).suggest("list stages from low to high"));
        }
        if bake.0 == 0 {
            return Err(source.error(&stage.bake, "a stage without bake time decides nothing"));
        }
        let max_hold = source.unit_or(stage.max_hold.as_ref(), Micros(bake.0.saturating_mul(4)))?;
        if max_hold < bake {
            let at = stage.max_hold.as_ref().unwrap_or(&stage.bake);
            let text = format!("max_hold {max_hold} ends before the bake time {bake}");
            return Err(source.error(at, text));
        }
        let paired = match stage.decide_by {
            RawDecideBy::Users => None,
            RawDecideBy::Paired => {
                Some(source.unit_or(stage.paired_rate.as_ref(), Rate::per_second(50))?)
            }
        };
        let hold_on_fail = stage.on_fail == RawOnFail::Hold;
        stages.push(StageConfig { weight, bake, max_hold, paired, hold_on_fail });
    }
    let last = raw.last().expect("there is a stage");
    if stages.last().is_some_and(|s| s.weight != Weight::FULL) {
        return Err(source.error(&last.weight, "the last stage is not 100%"));
    }
    Ok(stages)
}

fn defaults() -> Vec<StageConfig> {
    [(100, 15), (500, 30), (2_500, 60), (10_000, 60)]
        .into_iter()
        .map(|(basis_points, minutes)| StageConfig {
            weight: Weight::from_basis_points(basis_points).expect("constant weights"),
            bake: Micros::from_secs(minutes * 60),
            max_hold: Micros::from_secs(minutes * 240),
            paired: None,
            hold_on_fail: false,
        })
        .collect()
}
