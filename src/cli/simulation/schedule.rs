//! One schedule: a world with its luck, the people and processes in it, and what they do when. It
//! ends when everybody ended or died; then what is left is healed and looked at.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::actors;
use super::audit::Call;
use super::converge;
use super::dice::Dice;
use super::orca::{Orca, lock};
use super::world::{Kind, Luck, Shared, World, upstream};
use crate::base::units::{BasisPoints, Micros, Weight};
use crate::cli::exit::Exit;
use crate::ledger::entry::{Body, Promoted, RcTagged};
use crate::rollout::plan::{DecideBy, OnFail, OnInterrupt, RolloutPlan, Stage};
use crate::rollout::triggers::Triggers;

/// What came of a schedule.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) broken: Vec<String>,
    pub(super) drawn: Vec<String>,
    pub(super) exits: Vec<(String, Exit)>,
    pub(super) story: Vec<String>,
}

/// How often the scheduled job comes, and how often at most.
const EVERY_MS: u64 = 3_000;
const TICKS_MAX: u32 = 40;
/// Everybody has ended by then.
const LONGEST: Duration = Duration::from_hours(4);

/// Runs the schedule of `seed` without the bad luck at the places in `dropped`.
pub(super) fn run(seed: u64, dropped: &BTreeSet<String>, tells: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads");
    let tasks = tokio::task::LocalSet::new();
    runtime.block_on(tasks.run_until(live(seed, dropped.clone(), tells)))
}

async fn live(seed: u64, dropped: BTreeSet<String>, tells: bool) -> Outcome {
    let dice = Dice::new(seed, dropped);
    let plan = plan(&dice);
    let world: Shared = Arc::new(Mutex::new(World::new(dice, plan, tells)));
    furnish(&world);
    begin(&world).await;
    let luck = luck(&lock(&world).dice);
    lock(&world).luck = luck;
    let ended = tokio::time::timeout(LONGEST, Box::pin(everybody(&world))).await;
    if ended.is_err() {
        lock(&world).audit.breaks("somebody", "never ends");
    }
    converge::heal(&world).await;
    let mut world = lock(&world);
    Outcome {
        broken: std::mem::take(&mut world.audit.broken),
        drawn: world.dice.drawn().to_vec(),
        exits: std::mem::take(&mut world.audit.exits),
        story: world.story.take().unwrap_or_default(),
    }
}

pub(super) fn plan(dice: &Dice) -> RolloutPlan {
    let on_fail = if dice.below("plan.on_fail", 4) == 0 { OnFail::Hold } else { OnFail::Rollback };
    let stage = |bp: u32| Stage {
        weight: Weight::from_basis_points(bp).expect("a constant weight"),
        bake: Micros::from_secs(2 + dice.below(&format!("plan.bake.{bp}"), 3)),
        on_fail,
        decide_by: DecideBy::Users,
        paired_rate: None,
        max_hold: Micros::from_secs(20),
    };
    let weights: &[u32] =
        if dice.below("plan.stages", 3) == 0 { &[2_500, 10_000] } else { &[500, 2_500, 10_000] };
    let hold = dice.below("plan.on_interrupt", 4) == 0;
    RolloutPlan {
        stages: weights.iter().map(|bp| stage(*bp)).collect(),
        grant: Micros::from_secs(60),
        renewal: Micros::from_secs(15),
        on_interrupt: if hold { OnInterrupt::Hold } else { OnInterrupt::Abort },
        track: None,
        triggers: triggers(dice),
        every: (dice.below("plan.ticks", 4) == 0).then_some(Micros(EVERY_MS * 1_000)),
    }
}

/// What is far from how these users fare when all is well.
fn triggers(dice: &Dice) -> Triggers {
    if dice.below("plan.triggers", 3) != 0 {
        return Triggers::default();
    }
    let error_rate = Some(BasisPoints(1_500));
    let throughput_pct = Some(50);
    Triggers { error_rate, p95_ratio_pct: Some(200), throughput_pct, ..Triggers::default() }
}

/// Some schedules have no bad luck of a kind at all, others have much of it.
fn luck(dice: &Dice) -> Luck {
    let pick = |kind: &str, rates: [u64; 4]| {
        let index = usize::try_from(dice.below(&format!("luck.{kind}"), 4)).unwrap_or(0);
        rates[index]
    };
    Luck {
        calls: pick("calls", [0, 0, 40, 200]),
        reads: pick("reads", [0, 0, 20, 100]),
        deaths: pick("deaths", [0, 0, 4, 15]),
        lies: pick("lies", [0, 0, 0, 20]),
        stalls: pick("stalls", [0, 0, 10, 40]),
        disk: pick("disk", [0, 0, 0, 20]),
        remote: pick("remote", [0, 0, 20, 100]),
        slow_ledger: pick("slow_ledger", [0, 0, 0, 20]),
    }
}

/// How the world is, apart from luck.
fn furnish(world: &Shared) {
    let mut world = lock(world);
    let world = &mut *world;
    let remote = world.dice.below("world.remote", 8) != 0;
    world.git.has_remote = remote;
    world.git.clones.resize_with(3, Default::default);
    if world.dice.below("world.kind", 3) == 0 {
        world.kind = Kind::Hosted;
        world.audit.fenced = false;
    }
    world.gate_max_age_secs = [600, 600, 600, 15][drawn(&world.dice, "world.max_age", 4)];
    world.skew_us_max = [0, 0, 1_000_000, 40_000_000][drawn(&world.dice, "world.skew", 4)];
    world.users.per_second = [2_000, 2_000, 2_000, 0][drawn(&world.dice, "world.users", 4)];
    let fails = [0, 0, 0, 0, 300, 700, 3_000, 3_000][drawn(&world.dice, "world.canary", 8)];
    world.users.canary_fails_bp = fails;
    if world.dice.below("world.base", 12) == 0 {
        world.users.base_fails_bp = 3_000;
        world.users.canary_fails_bp = 3_000;
    }
    if world.dice.below("world.late", 3) == 0 {
        let wait = i64::try_from(world.dice.below("world.late.at", 12_000_000)).unwrap_or(0);
        world.users.canary_fails_from = world.begins.plus_us(wait);
    }
    if world.dice.below("world.previous", 2) == 0 {
        world.router.previous = Some(upstream("http://e"));
    }
}

fn drawn(dice: &Dice, place: &str, bound: u64) -> usize {
    usize::try_from(dice.below(place, bound)).unwrap_or(0)
}

/// Before the first piece of bad luck: tags, an earlier release, fresh rulings; all shared.
pub(super) async fn begin(world: &Shared) {
    let orca = Orca::new("yesterday", 0, world);
    let fleet = orca.fleet();
    let book = &fleet.ship.book;
    let keep = |body| book.keep(fleet.ship.note(body));
    for letter in ['b', 'c'] {
        let of = actors::candidate(letter);
        let version = of.release.as_str().trim_start_matches('v').replace("-rc.1", "");
        let tagged = Body::RcTagged(RcTagged {
            release: of.release.clone(),
            commit: of.commit.clone(),
            version: version.parse().expect("a constant version"),
            since: None,
            reason: "feat".to_owned(),
        });
        keep(tagged).await.expect("nothing is in the way");
    }
    if lock(world).router.previous.is_some() {
        let (old, base) = (actors::candidate('e'), actors::candidate('a'));
        let promoted = Body::Promoted(Promoted {
            release: crate::verbs::promote::final_name(&base.release).expect("a candidate"),
            commit: base.commit,
            digest: None,
            deployment: base.deployment,
            previous: old.deployment,
            previous_commit: Some(old.commit),
        });
        keep(promoted).await.expect("nothing is in the way");
    }
    for letter in ['b', 'c'] {
        let subject = actors::candidate(letter).subject(&fleet.ship.environment);
        fleet.ship.judge(&orca.gates(), &subject).await.expect("nothing is in the way");
    }
    book.share().await;
}

/// A person or a process that comes in later, by its chance in a thousand.
type Guest = (&'static str, u64, &'static str);

const GUESTS: [Guest; 12] = [
    ("bob", 220, "bob rolls back"),
    ("amy", 90, "amy rolls back too"),
    ("eve", 80, "eve aborts the canary"),
    ("joe", 60, "joe resumes the canary"),
    ("kim", 120, "kim starts a canary"),
    ("max", 60, "max promotes"),
    ("hal", 100, "hal lets the stage go on undecided"),
    ("pat", 100, "pat pauses the canary"),
    ("una", 60, "una lifts the pause"),
    ("dora", 80, "dora changes the traffic by hand"),
    ("ci", 80, "preflight and load are judged again, and fail"),
    ("term", 120, "ana's process gets SIGTERM"),
];

async fn everybody(world: &Shared) {
    let ana = Rc::new(process(world, "ana"));
    let mut guests = Vec::new();
    for (name, chance, what) in GUESTS {
        let (came, at) = {
            let mut world = lock(world);
            let at = world.dice.below(&format!("{name}.at"), 25_000);
            let luck_is_out = world.dice.below("world.alone", 4) == 0;
            let came = !luck_is_out && world.misfortune(name, chance, what);
            (came, at)
        };
        if came {
            let (world, ana) = (Arc::clone(world), Rc::clone(&ana));
            guests.push(tokio::task::spawn_local(async move {
                tokio::time::sleep(Duration::from_millis(at)).await;
                lock(&world).tell(name, what);
                visit(name, &world, &ana).await;
            }));
        }
    }
    outages(world);
    platform_away(world);
    let exit = if lock(world).plan.every.is_some() {
        Box::pin(ticks(world, &ana)).await
    } else {
        actors::canary(&ana, 'b').await
    };
    let follows = lock(world).dice.below("ana.promotes", 5) != 0;
    if exit == Some(Exit::Done) && follows {
        let wait = lock(world).dice.below("ana.promotes.at", 10_000);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let promoter = process(world, "ana-promote");
        actors::promote(&promoter, 'b').await;
    }
    for guest in guests {
        if let Err(error) = guest.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    // Whatever is still on its way arrives.
    tokio::time::sleep(Duration::from_secs(200)).await;
}

/// Started by one process, and carried on by a scheduled job: each look is a process of its own,
/// on any machine, and may die, or come late.
async fn ticks(world: &Shared, ana: &Orca) -> Option<Exit> {
    let mut last = actors::detach(ana, 'b').await;
    for number in 0..TICKS_MAX {
        let name = format!("tick-{number}");
        let wait = {
            let world = lock(world);
            let late = if world.dice.below(&format!("{name}.late"), 12) == 0 { 60_000 } else { 0 };
            EVERY_MS + late + world.dice.below(&format!("{name}.wait"), 500)
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let (exit, goes_on) = actors::tick(&process(world, &name)).await;
        last = exit;
        if !goes_on {
            break;
        }
    }
    last
}

pub(super) fn process(world: &Shared, name: &str) -> Orca {
    let clone = {
        let world = lock(world);
        let clones = if world.git.has_remote { 3 } else { 1 };
        if name.starts_with("ana") {
            0
        } else {
            drawn(&world.dice, &format!("{name}.clone"), clones)
        }
    };
    Orca::new(name, clone, world)
}

fn outages(world: &Shared) {
    let mut world = lock(world);
    for clone in 0..3 {
        let place = format!("outage.{clone}");
        if world.luck.remote > 0 && world.misfortune(&place, 150, "the remote is away") {
            let from = i64::try_from(world.dice.below(&format!("{place}.from"), 15_000_000));
            let span = i64::try_from(world.dice.below(&format!("{place}.for"), 300_000_000));
            let from = from.unwrap_or(0);
            world.outages.push((clone, from, from + span.unwrap_or(0)));
        }
    }
}

/// The platform's own interface is away for a while, perhaps just when somebody has to go back.
fn platform_away(world: &Shared) {
    let mut world = lock(world);
    let place = "outage.platform";
    if world.luck.calls > 0 && world.misfortune(place, 200, "the platform answers nobody") {
        let from = i64::try_from(world.dice.below("outage.platform.from", 15_000_000)).unwrap_or(0);
        let span = i64::try_from(world.dice.below("outage.platform.for", 60_000_000)).unwrap_or(0);
        world.away.push((from, from + span));
    }
}

async fn visit(name: &'static str, world: &Shared, ana: &Orca) {
    let letter = if lock(world).dice.below(&format!("{name}.letter"), 2) == 0 { 'b' } else { 'c' };
    match name {
        "bob" | "amy" => {
            let with_book = lock(world).dice.below(&format!("{name}.book"), 6) != 0;
            let orca = process(world, name);
            let book = with_book.then(|| orca.book());
            actors::rollback(&orca, book).await;
        }
        "pat" => actors::pause(&process(world, name)).await,
        "una" => actors::lift(&process(world, name)).await,
        "hal" => actors::advance(&process(world, name)).await,
        "eve" => drop(actors::abort(&process(world, name)).await),
        "joe" => {
            let orca = process(world, name);
            actors::resume(&orca, &orca.fleet()).await;
        }
        "kim" => drop(actors::canary(&process(world, name), letter).await),
        "max" => drop(actors::promote(&process(world, name), letter).await),
        "ci" => {
            lock(world).gates_pass = false;
            actors::judge(&process(world, name), 'b').await;
        }
        "term" => ana.signal.cancel(),
        _ => by_hand(world),
    }
}

/// A weight on a platform without grants stands.
pub(super) const FOR_EVER_US: i64 = 100 * 365 * 86_400 * 1_000_000;

/// Somebody clicks on the platform's own dashboard.
fn by_hand(world: &Shared) {
    let mut world = lock(world);
    world.pass();
    let before = world.router.clone();
    let now = world.now();
    let after = match world.dice.below("dora.does", 3) {
        0 => before.revert(),
        1 => {
            let mut swapped = before.revert();
            if let Some(canary) = swapped.canary.take() {
                swapped.previous = Some(std::mem::replace(&mut swapped.base, canary));
            }
            swapped
        }
        _ => {
            let mut split = before.clone();
            if split.canary.is_some() {
                split.weight = Weight::from_basis_points(5_000).expect("a constant weight");
                let until = if world.kind == Kind::Router { 60_000_000 } else { FOR_EVER_US };
                split.grant_until = Some(now.plus_us(until));
                split.generation += 1;
            }
            split
        }
    };
    world.audit.landed("dora", &Call::Dashboard, (&before, &after), now);
    world.router = after;
}
