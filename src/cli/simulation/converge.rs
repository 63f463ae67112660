//! After a schedule: everything works again, and whoever comes to help runs the same commands once
//! more. Then users, ledger and every clone must be where the rules say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::actors;
use super::audit::text;
use super::orca::{Orca, lock};
use super::world::{Kind, Luck, Shared};
use crate::base::units::Weight;
use crate::ledger::fold::State;
use crate::verbs::ship::Fleet;

/// Longer than a lease, and than what may still be on its way.
const LEASE_ENDS: Duration = Duration::from_secs(200);
/// Longer than every grant, with the worst clock.
const GRANTS_END: Duration = Duration::from_hours(2);

pub(super) async fn heal(world: &Shared) {
    {
        let mut world = lock(world);
        world.luck = Luck::default();
        world.outages.clear();
        world.away.clear();
        world.tell("nurse", "everything works again");
    }
    tokio::time::sleep(LEASE_ENDS).await;
    let nurses: Vec<Nurse> = {
        let used = lock(world).used_clones();
        used.into_iter().map(|clone| Nurse::new(world, clone)).collect()
    };
    for round in 0..2 {
        for nurse in &nurses {
            nurse.sync(round).await;
        }
    }
    let state = nurses[0].end_rollouts().await;
    for nurse in &nurses {
        nurse.sync(2).await;
    }
    tokio::time::sleep(GRANTS_END).await;
    if let Some(state) = state {
        look(world, &state);
    }
}

/// Somebody who comes to help at one clone.
struct Nurse {
    orca: Orca,
    fleet: Fleet,
}

impl Nurse {
    fn new(world: &Shared, clone: usize) -> Self {
        let orca = Orca::new(&format!("nurse-{clone}"), clone, world);
        Self { fleet: orca.fleet(), orca }
    }

    async fn sync(&self, round: u32) {
        // The first time decisions may be refused that lost a race.
        if let (Err(error), true) = (self.fleet.ship.book.synced().await, round > 0) {
            let rule = format!("clone {} cannot sync: {error}", self.orca.clone);
            self.orca.lock().audit.breaks("nurse", &rule);
        }
    }

    /// Without grants a split that somebody made by hand stays until somebody takes it back by hand.
    async fn take_back_by_hand(&self) {
        let split = {
            let world = self.orca.lock();
            world.kind == Kind::Hosted && world.router.weight != Weight::ZERO
        };
        if split {
            actors::abort(&self.orca).await;
        }
    }

    /// Resumes until nothing runs any more; where the platform is not as the rollout left it, a
    /// person rolls back.
    async fn end_rollouts(&self) -> Option<Arc<State>> {
        for round in 0..4 {
            let known = self.fleet.ship.book.synced().await.ok()?;
            let environment = known.environment(&Orca::environment());
            let running = environment.and_then(|e| e.rollout.as_ref());
            if running.is_none() && round > 0 {
                self.take_back_by_hand().await;
                return Some(known);
            }
            let base = running.map(|rollout| rollout.started.base.to_string());
            let by_hand = base.is_some_and(|base| base != self.orca.lock().router.base.deployment);
            let ticked = running.is_some_and(|r| !r.started.plan["every"].is_null());
            if ticked && round == 0 {
                // Nobody ticks any more.
                actors::abort(&self.orca).await;
            } else if round < 2 || !by_hand {
                actors::resume(&self.orca, &self.fleet).await;
            } else {
                actors::rollback(&self.orca, Some(Arc::clone(&self.fleet.ship.book))).await;
            }
            self.fleet.ship.book.share().await;
            tokio::time::sleep(LEASE_ENDS).await;
        }
        self.orca.lock().audit.breaks("nurse", "resume does not converge");
        None
    }
}

fn look(world: &Shared, state: &State) {
    let mut world = lock(world);
    let world = &mut *world;
    world.pass();
    if world.router.weight != Weight::ZERO {
        let rule = format!("users stay split with {}", world.router.weight);
        world.audit.breaks("everybody", &rule);
    }
    let git = &world.git;
    let tip = if git.has_remote { &git.remote_tip } else { &git.clones[0].tip };
    let chain = git.chain(tip.as_ref());
    let mut broken = Vec::new();
    let ids: BTreeSet<&str> = chain.iter().map(|entry| text(&entry["id"])).collect();
    for (id, kind) in world.audit.facts.iter().filter(|(id, _)| !ids.contains(id.as_str())) {
        broken.push(format!("the fact {kind} {id} is lost"));
    }
    if git.has_remote && git.used().any(|c| c.tip != git.remote_tip) {
        broken.push("the clones do not agree".to_owned());
    }
    if git.clones.iter().any(|c| !c.pending.is_empty()) {
        broken.push("an entry still waits in a file".to_owned());
    }
    let environment = state.environment(&Orca::environment());
    for commit in &world.audit.to_condemn {
        let known = environment.is_some_and(|e| e.condemned.keys().any(|c| c.as_str() == commit));
        if !known {
            broken.push(format!("commit {} was rolled back and is not condemned", &commit[..9]));
        }
    }
    for rule in broken {
        world.audit.breaks("everybody", &rule);
    }
}
