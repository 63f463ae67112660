//! A canary as long as real ones are, to count what it asks of a platform.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::actors;
use super::dice::Dice;
use super::orca::lock;
use super::schedule::{begin, plan, process};
use super::world::{Kind, Shared, World};
use crate::base::units::{Micros, Weight};
use crate::cli::exit::Exit;
use crate::rollout::plan::{OnInterrupt, Stage};

/// A canary of two hours on a hosted platform, with nothing in its way: how often each call was made.
pub(super) fn two_hours() -> (Option<Exit>, BTreeMap<String, u32>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads");
    let tasks = tokio::task::LocalSet::new();
    runtime.block_on(tasks.run_until(async {
        let dice = Dice::new(1, BTreeSet::new());
        let mut plan = plan(&dice);
        plan.on_interrupt = OnInterrupt::Abort;
        plan.every = None;
        let weights = [100, 500, 2_500, 10_000];
        let stage = |bp: u32| Stage {
            weight: Weight::from_basis_points(bp).expect("a constant weight"),
            bake: Micros::from_secs(1_800),
            max_hold: Micros::from_secs(3_600),
            ..plan.stages[0].clone()
        };
        plan.stages = weights.into_iter().map(stage).collect();
        let world: Shared = Arc::new(Mutex::new(World::new(dice, plan, false)));
        {
            let mut world = lock(&world);
            world.kind = Kind::Hosted;
            world.audit.fenced = false;
            world.git.has_remote = true;
            world.git.clones.resize_with(3, Default::default);
            world.gate_max_age_secs = 86_400;
        }
        begin(&world).await;
        let exit = actors::canary(&process(&world, "ana"), 'b').await;
        let calls = lock(&world).passed.clone();
        (exit, calls)
    }))
}
