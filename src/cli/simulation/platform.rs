//! The router as a platform of the false world: its state is the real one, and what travels to it
//! is lost, late, doubled, answered with a lie, or comes from a process that dies.

use std::time::Duration;

use async_trait::async_trait;

use super::audit::Call;
use super::hosted::{own, raise_from, seen_on};
use super::orca::Orca;
use super::world::{World, commit_of, upstream};
use crate::base::clock::Timestamp;
use crate::base::ids::DeploymentId;
use crate::base::units::Micros;
use crate::gate::clearance::Warrant;
use crate::rollout::ports::{
    Arm, Capabilities, Door, Identity, Lowering, Measures, Platform, PlatformError, PlatformState,
    ProbeAnswer, PromoteOrder, Raise, Refused, Samples, StageOrder, Weights,
};
use crate::router::lowered::{Asked, Lowering as RouterLowering};
use crate::router::state::{Audience, Expected, Refusal, RouterState, Staging};

pub(super) struct SimPlatform {
    pub(super) orca: Orca,
}

/// What becomes of one changing call.
enum Fate {
    Works,
    /// The connection never was.
    NeverArrives,
    /// It arrives; nobody hears of it.
    AnswerLost,
    /// It is gone, and nobody knows.
    Vanishes,
    /// It arrives long after its caller gave up.
    Late(Duration),
    /// It arrives now, and once more later.
    Twice(Duration),
    /// The platform says it did it, and did not.
    Lie,
    DiesAfter,
}

const NAME: &str = "router";

fn unavailable() -> PlatformError {
    PlatformError::Unavailable { platform: NAME.into(), detail: "connection refused".into() }
}

fn uncertain() -> PlatformError {
    PlatformError::Uncertain { platform: NAME.into(), detail: "timed out".into() }
}

fn refused(refusal: &Refusal) -> PlatformError {
    let refused = match refusal {
        Refusal::StaleGeneration { expected, current } => {
            Refused::StaleGeneration { expected: *expected, found: *current }
        }
        Refusal::StaleEpoch { given, current } => {
            Refused::StaleEpoch { ours: *given, found: *current, who: "another orca".into() }
        }
        Refusal::Reverted => Refused::StaleEpoch { ours: 0, found: 0, who: "another orca".into() },
        other => Refused::Unsupported(other.to_string()),
    };
    PlatformError::Refused { platform: NAME.into(), refused }
}

type Change = dyn Fn(&RouterState, Timestamp) -> Result<RouterState, Refusal> + Send + Sync;

/// The change arrives at the router.
fn land(
    world: &mut World,
    who: &str,
    call: &Call,
    change: &Change,
) -> Result<RouterState, Refusal> {
    world.pass();
    let before = world.router.clone();
    let result = change(&before, world.now());
    match &result {
        Ok(after) => {
            let text = format!("{} lands: {} -> {}", call.name(), show(&before), show(after));
            world.tell(who, &text);
            let now = world.now();
            world.audit.landed(who, call, (&before, after), now);
            match call {
                Call::Stage { .. } => world.users.staged(),
                Call::Raise { .. } => world.users.raised(),
                _ => {}
            }
            world.router = after.clone();
        }
        Err(refusal) => world.tell(who, &format!("{} is refused: {refusal}", call.name())),
    }
    result
}

pub(super) fn show(router: &RouterState) -> String {
    let canary = router.canary.as_ref().map_or("-", |c| c.deployment.as_str());
    format!(
        "[base {}, canary {canary} {}, generation {}, epoch {}]",
        router.base.deployment, router.weight, router.generation, router.epoch
    )
}

impl SimPlatform {
    /// The way there. What comes back is how the call will go.
    async fn set_out(&self, call: &str) -> Fate {
        self.orca.alive().await;
        let (place, luck, wait, stall) = {
            let mut world = self.orca.lock();
            let place = world.place(&self.orca.name, call);
            let luck = world.luck;
            let wait = Duration::from_micros(500 + world.dice.below(&place, 20_000));
            let stall = world
                .misfortune(&place, luck.stalls, "the process is stopped before it, for long")
                .then(|| {
                    let secs = 1 + world.dice.below(&format!("{place} for"), 200);
                    Duration::from_secs(secs)
                });
            if world.misfortune(&place, luck.deaths, "the process dies before it") {
                self.orca.dead.cancel();
            }
            (place, luck, wait, stall)
        };
        self.orca.alive().await;
        tokio::time::sleep(wait + stall.unwrap_or_default()).await;
        self.orca.alive().await;
        self.draw(&place, luck)
    }

    fn draw(&self, place: &str, luck: super::world::Luck) -> Fate {
        let mut world = self.orca.lock();
        if !world.reaches_platform() {
            return Fate::NeverArrives;
        }
        let later = Duration::from_secs(1 + world.dice.below(&format!("{place} later"), 90));
        let each = luck.calls / 5;
        let fates: [(&str, u64, Fate); 7] = [
            ("it never arrives", each, Fate::NeverArrives),
            ("it works and its answer is lost", each, Fate::AnswerLost),
            ("it is lost, and nobody knows", each, Fate::Vanishes),
            ("it arrives late", each, Fate::Late(later)),
            ("it arrives twice", each, Fate::Twice(later)),
            ("the platform says it did it, and did not", luck.lies, Fate::Lie),
            ("the process dies after it", luck.deaths, Fate::DiesAfter),
        ];
        for (what, chance, fate) in fates {
            if world.misfortune(place, chance, what) {
                return fate;
            }
        }
        Fate::Works
    }

    async fn change(
        &self,
        call: Call,
        change: Box<Change>,
    ) -> Result<PlatformState, PlatformError> {
        let fate = self.set_out(call.name()).await;
        let (world, who) = (self.orca.world.clone(), self.orca.name.clone());
        let change: std::sync::Arc<Change> = change.into();
        let now = || land(&mut self.orca.lock(), &who, &call, change.as_ref());
        let later = |wait: Duration| {
            let (world, who) = (world.clone(), who.clone());
            let (call, change) = (call.clone(), std::sync::Arc::clone(&change));
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = land(&mut super::orca::lock(&world), &who, &call, change.as_ref());
            });
        };
        let answer = |result: Result<RouterState, Refusal>| {
            let kind = self.orca.lock().kind;
            result.map(|state| seen_on(kind, &state)).map_err(|refusal| refused(&refusal))
        };
        match fate {
            Fate::Works => answer(now()),
            Fate::NeverArrives => Err(unavailable()),
            Fate::AnswerLost => {
                let _ = now();
                Err(uncertain())
            }
            Fate::Vanishes => Err(uncertain()),
            Fate::Late(wait) => {
                later(wait);
                Err(uncertain())
            }
            Fate::Twice(wait) => {
                later(wait);
                answer(now())
            }
            Fate::Lie => {
                let mut world = self.orca.lock();
                world.pass();
                let as_if = change(&world.router, world.now());
                drop(world);
                answer(as_if)
            }
            Fate::DiesAfter => {
                let _ = now();
                self.orca.dead.cancel();
                self.orca.alive().await;
                Err(uncertain())
            }
        }
    }

    /// A question: it has no effect, so it is answered or it is not.
    async fn ask<T>(
        &self,
        call: &str,
        answer: impl FnOnce(&mut World) -> T,
    ) -> Result<T, PlatformError> {
        self.orca.alive().await;
        let wait = {
            let mut world = self.orca.lock();
            let place = world.place(&self.orca.name, call);
            let luck = world.luck;
            if !world.reaches_platform() || world.misfortune(&place, luck.reads, "no answer") {
                None
            } else if world.misfortune(&place, luck.stalls / 4, "the process is stopped, for long")
            {
                Some(Duration::from_secs(1 + world.dice.below(&format!("{place} for"), 200)))
            } else {
                Some(Duration::from_micros(300 + world.dice.below(&place, 10_000)))
            }
        };
        let Some(wait) = wait else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Err(unavailable());
        };
        tokio::time::sleep(wait).await;
        self.orca.alive().await;
        let mut world = self.orca.lock();
        world.pass();
        Ok(answer(&mut world))
    }
}

#[async_trait]
impl Platform for SimPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            weights: Weights::Any,
            holds_grant: !self.is_hosted(),
            measures: Measures::UsersAndProbes,
            stickiness: "user".to_owned(),
            state_holder: NAME.to_owned(),
            abort_cost: "one call".to_owned(),
        }
    }

    fn look_every(&self) -> Duration {
        Duration::from_secs(if self.is_hosted() { 5 } else { 1 })
    }

    async fn look(&self) -> Result<PlatformState, PlatformError> {
        self.ask("look", World::seen).await
    }

    async fn stage(&self, order: &StageOrder) -> Result<PlatformState, PlatformError> {
        let expected = Expected { generation: order.expect_generation, epoch: order.epoch };
        let staging = Staging {
            canary: upstream(order.canary.as_str()),
            release: order.salt.to_string(),
            audience: Audience::default(),
        };
        let call = Call::Stage { expected };
        let hosted = self.is_hosted();
        let change = move |router: &RouterState, _: Timestamp| {
            let expected = if hosted { own(router, expected)? } else { expected };
            router.stage(staging.clone(), expected)
        };
        self.change(call, Box::new(change)).await
    }

    async fn raise(&self, raise: Raise) -> Result<PlatformState, PlatformError> {
        let terms = raise.terms().clone();
        let expected = Expected { generation: terms.expect_generation, epoch: terms.epoch };
        let at = self.orca.clock().now();
        let permit = self.orca.lock().raise_called(&self.orca, &terms, at);
        let hosted = self.is_hosted();
        let call = Call::Raise { expected, permit };
        let change = move |router: &RouterState, now: Timestamp| {
            if !hosted {
                let grant = terms.grant.unwrap_or_default();
                return router.raise(terms.to, grant, expected, now);
            }
            raise_from(router, &terms, now)
        };
        self.change(call, Box::new(change)).await
    }

    async fn renew(&self, grant: Micros, epoch: u64) -> Result<PlatformState, PlatformError> {
        if self.is_hosted() {
            return self.look().await;
        }
        let change =
            move |router: &RouterState, now: Timestamp| router.renew_grant(epoch, grant, now);
        self.change(Call::Renew { epoch }, Box::new(change)).await
    }

    async fn lower_to_base(
        &self,
        _: Option<&DeploymentId>,
        how: Lowering,
    ) -> Result<PlatformState, PlatformError> {
        let condemns = self.orca.lock().lowering_called(&self.orca);
        let how = match how {
            Lowering::RolledBack => RouterLowering::RolledBack,
            Lowering::Withdrawn => RouterLowering::Withdrawn,
            Lowering::GrantEnded => RouterLowering::GrantEnded,
        };
        let asked = Asked { how: Some(how), by: None };
        let change = move |router: &RouterState, now| Ok(router.revert_as(asked, now));
        self.change(Call::Lower { condemns }, Box::new(change)).await
    }

    async fn promote(&self, order: PromoteOrder) -> Result<PlatformState, PlatformError> {
        let terms = order.terms().clone();
        let expected = Expected { generation: terms.expect_generation, epoch: terms.epoch };
        let at = self.orca.clock().now();
        let permit = self.orca.lock().promote_called(&self.orca, &terms, at);
        let call = Call::Promote { expected, permit };
        let hosted = self.is_hosted();
        let change = move |router: &RouterState, now: Timestamp| {
            let expected = if hosted { own(router, expected)? } else { expected };
            router.promote(expected, now)
        };
        self.change(call, Box::new(change)).await
    }

    async fn revert(&self, warrant: &Warrant) -> Result<PlatformState, PlatformError> {
        let condemns = self.orca.lock().lowering_called(&self.orca);
        let to = upstream(warrant.deployment().as_str());
        let change =
            move |router: &RouterState, now: Timestamp| router.restore(Some(to.clone()), now);
        self.change(Call::Lower { condemns }, Box::new(change)).await
    }

    async fn samples(&self) -> Result<Samples, PlatformError> {
        let who = self.orca.name.clone();
        self.ask("samples", move |world| {
            // Where the base fails as well, nobody can blame the canary.
            if world.users.base_fails_bp == 0 {
                world.audit.counted(&who, world.users.since_raise());
            }
            world.users.samples(world.router.weight)
        })
        .await
    }

    async fn door(&self, _: Arm) -> Result<Door, PlatformError> {
        // No load is sent in this world.
        let text = "no doors here".to_owned();
        Err(PlatformError::Refused { platform: NAME.into(), refused: Refused::Unsupported(text) })
    }

    async fn identity(&self, arm: Arm) -> Result<Option<Identity>, PlatformError> {
        self.ask("identity", |world| {
            let upstream = match arm {
                Arm::Base => Some(&world.router.base),
                Arm::Canary => world.router.canary.as_ref(),
            };
            let commit = upstream.and_then(|up| commit_of(&up.deployment));
            commit.map(|commit| Identity { commit, digest: None })
        })
        .await
    }

    /// Users tell the truth, or nothing.
    async fn probe_keys(&self, count: u32) -> Result<Vec<ProbeAnswer>, PlatformError> {
        let who = self.orca.name.clone();
        // Ten keys stand for all of them: each is asked where it stands between 0 and 10,000.
        let asked = count.min(10);
        self.ask("probe", move |world| {
            let place = world.place(&who, "probe_answers");
            let luck = world.luck;
            let silent = world.misfortune(&place, luck.reads, "one key gets no answer");
            world.audit.probed(&who, &world.router);
            let answers = (0..asked).map(|number| {
                let bucket = u64::from(number) * 10_000 / u64::from(asked);
                let on_canary = bucket < u64::from(world.router.weight.basis_points());
                let canary = world.router.canary.as_ref().filter(|_| on_canary);
                let upstream = canary.unwrap_or(&world.router.base);
                let answers = !(silent && number == 0);
                ProbeAnswer {
                    key: format!("key-{number}"),
                    arm: answers.then_some(if canary.is_some() { Arm::Canary } else { Arm::Base }),
                    commit: commit_of(&upstream.deployment).filter(|_| answers),
                }
            });
            answers.collect()
        })
        .await
    }
}
