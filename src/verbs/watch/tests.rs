//! A watch from its first look to its end, with a source that is told what to say, a platform that
//! is scripted, and a ledger that may be full.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::{Watch, Watched, serving};
use crate::base::clock::{Clock, Entropy};
use crate::base::ids::{CheckId, CommitId};
use crate::base::redact::Redactor;
use crate::base::units::Micros;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::engine::Bench;
use crate::gate::phase::Phase;
use crate::gate::rules::Rules;
use crate::gate::ruling::Mode;
use crate::gate::verdict::{Finding, Judgement, Unit};
use crate::ledger::entry::Body;
use crate::ledger::fixture::{Told, at, commit, environment, promoted, rollout, waived};
use crate::ledger::sign::Trust;
use crate::release::ports::{TrustSource, TrustUnknown};
use crate::release::trust_change::TrustSeen;
use crate::rollout::triggers::Triggers;
use crate::rollout::watched::WatchedCheck;
use crate::verbs::canary::judging::tests::judging;
use crate::verbs::gates::gate;
use crate::verbs::ship::{Fleet, Ship};
use crate::verbs::stand_in::{Memory, Scripted};
use crate::verbs::trusted::{Root, TrustRoot};

struct NoTrust;

#[async_trait]
impl TrustSource for NoTrust {
    async fn look(&self, candidate: &CommitId) -> Result<TrustSeen, TrustUnknown> {
        self.root(candidate).await.map(|root| root.seen)
    }
}

#[async_trait]
impl TrustRoot for NoTrust {
    async fn root(&self, _: &CommitId) -> Result<Root, TrustUnknown> {
        let seen =
            TrustSeen { tag: None, keys: Vec::new(), required: false, differences: Vec::new() };
        Ok(Root { trust: Trust::default(), seen, doubts: Vec::new() })
    }
}

/// Says at each asking whether the budget is spent; the last word stands.
struct Says {
    spent: Vec<bool>,
    asked: AtomicUsize,
}

impl Check for Says {
    type Policy = ();
    type Seen = bool;
    const RULE: RuleId = RuleId { name: "says", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("slo.budget").expect("a constant id")
    }

    fn policy(&self) {}

    async fn observe(&self, _: &Look) -> Result<bool, Unseen> {
        let now = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(*self.spent.get(now).or(self.spent.last()).expect("something to say"))
    }

    fn judge((): &(), spent: &bool) -> Judgement {
        if !*spent {
            return Judgement::pass("something is left", "says v1");
        }
        let finding = Finding {
            fingerprint: "f".to_owned(),
            title: "the budget is spent".to_owned(),
            place: None,
            value: 1,
            unit: Unit::Count,
            next: String::new(),
        };
        Judgement::fail("the budget is spent", "says v1", finding)
    }
}

/// v1.4.0 serves at `d4`, and `d3` served before.
fn told(more: Option<Body>) -> Told {
    let mut told = Told::new();
    told.live(promoted("v1.3.0", '3', "d2"));
    told.live(promoted("v1.4.0", '4', "d3"));
    more.map(|body| told.live(body));
    told
}

fn fleet(book: Arc<Memory>, platform: Arc<Scripted>) -> Fleet {
    let bench = Bench {
        clock: Clock::Frozen(at(50)),
        rules: Arc::new(Rules::default().with::<Says>().with::<WatchedCheck>()),
        redactor: Redactor::default(),
        waivers: Vec::new(),
        cancel: tokio_util::sync::CancellationToken::new(),
        events: None,
    };
    let ship = Ship {
        book,
        bench,
        entropy: Entropy::seeded(1),
        environment: environment("production"),
        tell: Arc::new(|_| ()),
        blackouts: Vec::new(),
        trust: Arc::new(NoTrust),
        signer: None,
    };
    Fleet { ship, platform }
}

/// What comes of watching what serves, with a source that says so.
async fn watched(fleet: &Fleet, spent: Vec<bool>, full: Option<&Memory>) -> Watched {
    let state = fleet.ship.book.state().await.unwrap();
    let promoted = serving(&state, fleet).unwrap();
    if let Some(book) = full {
        book.is_full.store(true, Ordering::SeqCst);
    }
    let says = Says { spent, asked: AtomicUsize::new(0) };
    let sources = [gate(Phase::Watch, ("budget", Mode::Enforce), Micros(1), vec![Arc::new(says)])];
    let watch = Watch {
        fleet,
        promoted: &promoted,
        judging: &judging(),
        triggers: &Triggers::default(),
        sources: &sources,
        span: Micros::from_secs(1),
        report_only: false,
    };
    watch.run().await.unwrap()
}

/// A breach at the end brings users back although nothing can be written; what was spent before, or
/// what somebody answered for, brings nobody back.
#[tokio::test(start_paused = true)]
async fn a_source_speaks_for_the_release_alone_and_a_full_ledger_changes_nothing() {
    let waiver = || Some(waived("slo.budget"));
    for (what, spent, more, full, goes_back) in [
        ("at the end", vec![false, true], None, false, true),
        ("at the end, and the ledger is full", vec![false, true], None, true, true),
        ("spent before", vec![true], None, false, false),
        ("waived", vec![false, true], waiver(), false, false),
        ("never", vec![false], None, false, false),
    ] {
        let platform = Arc::new(Scripted::at("d4", Some("d3"), false));
        let book = Arc::new(Memory::new(told(more)));
        let fleet = fleet(book.clone(), Arc::clone(&platform));
        let watched = watched(&fleet, spent, full.then_some(&*book)).await;
        if goes_back {
            assert!(matches!(watched, Watched::WentBack { .. }), "{what}: {watched:?}");
            assert_eq!(platform.calls(), ["revert to d3"], "{what}");
        } else {
            // Nobody came, so nobody can say that users do well.
            assert!(matches!(watched, Watched::Undecided { .. }), "{what}: {watched:?}");
            assert!(platform.calls().is_empty(), "{what}");
        }
        let state = fleet.ship.book.state().await.unwrap();
        let condemned = &state.environments[&environment("production")].condemned;
        assert_eq!(condemned.len(), usize::from(goes_back && !full), "{what}");
    }
}

/// A canary that was killed before it had users still stands in the ledger, and its way back is the
/// release that fails: users go past it, and nothing that they never saw is condemned.
#[tokio::test(start_paused = true)]
async fn nobody_is_brought_back_to_what_fails() {
    let platform = Arc::new(Scripted::at("d4", Some("d3"), false));
    let open = rollout("v1.5.0-rc.1", '5', "d4");
    let book = Arc::new(Memory::new(told(Some(open))));
    let fleet = fleet(book.clone(), Arc::clone(&platform));
    let watched = watched(&fleet, vec![false, true], None).await;
    assert!(matches!(watched, Watched::WentBack { .. }), "{watched:?}");
    assert_eq!(platform.calls(), ["revert to d3"]);
    let state = fleet.ship.book.state().await.unwrap();
    let condemned = &state.environments[&environment("production")].condemned;
    assert_eq!(condemned.keys().collect::<Vec<_>>(), [&commit('4')]);
}
