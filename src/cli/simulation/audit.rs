//! The books of the false world: what each process did, and every rule that was broken. It judges
//! by what reached the router, the disks and the users, never by what the code under test thinks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::units::Weight;
use crate::cli::exit::Exit;
use crate::router::state::{Expected, RouterState};

/// A changing call on its way to the router.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Stage {
        expected: Expected,
    },
    Raise {
        expected: Expected,
        permit: Permit,
    },
    Renew {
        epoch: u64,
    },
    /// With the commit that its recorded intent condemns.
    Lower {
        condemns: Option<String>,
    },
    Promote {
        expected: Expected,
        permit: Permit,
    },
    /// A person, past orca.
    Dashboard,
}

impl Call {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Stage { .. } => "stage",
            Self::Raise { .. } => "raise",
            Self::Renew { .. } => "renew",
            Self::Lower { .. } => "lower",
            Self::Promote { .. } => "promote",
            Self::Dashboard => "dashboard",
        }
    }
}

/// What the recorded clearance of a raise was for.
#[derive(Debug, Clone, Default)]
pub(super) struct Permit {
    pub(super) serving: String,
}

/// What a process set out to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verb {
    Canary,
    Resume,
    Tick,
    Promote { to: String, tag: String },
    Rollback { to: Option<String> },
    Abort,
}

/// What one process did.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    /// How many changes the router had seen when it began.
    began: usize,
    raises: u32,
    full: bool,
    promotions: u32,
    /// Weight and base when it last asked real traffic.
    probe: Option<(Weight, String)>,
    /// What it was told of the canary since the last raise.
    counted: Option<Counted>,
    pub(super) disk_trouble: bool,
    pub(super) has_book: bool,
}

/// Requests and failures of the canary when a process first counted them, and whether it was told
/// since of failures beyond any doubt.
#[derive(Debug)]
struct Counted {
    requests: u64,
    errors: u64,
    is_failing: bool,
}

#[derive(Debug)]
pub(super) struct Audit {
    pub(super) broken: Vec<String>,
    /// Nothing bad happened, and nobody else did anything.
    pub(super) quiet: bool,
    /// Whether the platform refuses whoever is stale.
    pub(super) fenced: bool,
    gates: BTreeMap<&'static str, Vec<(Timestamp, bool)>>,
    /// Facts that a disk took: id and kind.
    pub(super) facts: BTreeMap<String, String>,
    pub(super) used: BTreeSet<String>,
    /// Epochs below this one change nothing any more.
    floor: u64,
    /// Somebody went back, and nothing was staged since.
    back: bool,
    /// Who changed the traffic, in order.
    changes: Vec<String>,
    deeds: BTreeMap<String, Deeds>,
    epochs: BTreeMap<u64, String>,
    /// Every deployment that was the base once.
    lived: BTreeSet<String>,
    /// Commits that must be condemned in the end.
    pub(super) to_condemn: BTreeSet<String>,
    pub(super) exits: Vec<(String, Exit)>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            broken: Vec::new(),
            quiet: true,
            fenced: true,
            gates: BTreeMap::new(),
            facts: BTreeMap::new(),
            used: BTreeSet::new(),
            floor: 0,
            back: false,
            changes: Vec::new(),
            deeds: BTreeMap::new(),
            epochs: BTreeMap::new(),
            lived: BTreeSet::from(["http://a".to_owned(), "http://e".to_owned()]),
            to_condemn: BTreeSet::new(),
            exits: Vec::new(),
        }
    }
}

/// With a fifth of so many failing, any limit of these plans is passed beyond doubt.
const SURE_MIN: u64 = 100;

/// Kinds of entries that say what has happened.
const FACTS: [&str; 9] = [
    "ruled",
    "lower_intended",
    "step_ended",
    "stage_decided",
    "rollout_ended",
    "rolled_back",
    "promoted",
    "stable",
    "pack_written",
];

pub(super) fn kind(entry: &Value) -> &str {
    entry["body"]["kind"].as_str().unwrap_or_default()
}

pub(super) fn says(entry: &Value) -> &Value {
    &entry["body"]["says"]
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Audit {
    pub(super) fn breaks(&mut self, who: &str, rule: &str) {
        self.broken.push(format!("{who}: {rule}"));
    }

    pub(super) fn starts(&mut self, who: &str) {
        let deeds = Deeds { began: self.changes.len(), ..Deeds::default() };
        self.deeds.insert(who.to_owned(), deeds);
    }

    pub(super) fn deeds(&mut self, who: &str) -> &mut Deeds {
        self.deeds.entry(who.to_owned()).or_default()
    }

    pub(super) fn disk_trouble(&mut self, who: &str) {
        self.deeds(who).disk_trouble = true;
    }

    pub(super) fn gate_seen(&mut self, gate: &'static str, at: Timestamp, well: bool) {
        self.gates.entry(gate).or_default().push((at, well));
    }

    /// Whether the gate was really looked at then, and all was well.
    pub(super) fn gate_was_well(&self, gate: &str, at: Timestamp) -> bool {
        self.gates.get(gate).is_some_and(|seen| seen.contains(&(at, true)))
    }

    /// A process counts what the canary answered since the last raise.
    pub(super) fn counted(&mut self, who: &str, (requests, errors): (u64, u64)) {
        let began = Counted { requests, errors, is_failing: false };
        let since = self.deeds(who).counted.get_or_insert(began);
        let requests = requests.saturating_sub(since.requests);
        let errors = errors.saturating_sub(since.errors);
        since.is_failing |= requests >= SURE_MIN && errors * 5 >= requests;
    }

    /// A raise, or the end of all stages, by somebody who knows better.
    pub(super) fn goes_on(&mut self, who: &str, what: &str) {
        if self.deeds(who).counted.as_ref().is_some_and(|told| told.is_failing) {
            self.breaks(who, &format!("{what} although it was told that users fail"));
        }
    }

    pub(super) fn kept(&mut self, who: &str, entry: &Value) {
        if kind(entry) == "rollout_ended" && says(entry)["end"] == "complete" {
            self.goes_on(who, "completes");
        }
        if FACTS.contains(&kind(entry)) {
            self.facts.insert(text(&entry["id"]).to_owned(), kind(entry).to_owned());
        }
    }

    pub(super) fn lease_taken(&mut self, who: &str, bytes: &[u8]) {
        let lease: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let (Some(epoch), Some(holder)) = (lease["epoch"].as_u64(), lease["holder"].as_str())
        else {
            return;
        };
        let before = self.epochs.insert(epoch, holder.to_owned());
        if before.is_some_and(|before| before != holder) {
            self.breaks(who, &format!("epoch {epoch} has two holders"));
        }
    }

    pub(super) fn probed(&mut self, who: &str, router: &RouterState) {
        self.deeds(who).probe = Some((router.weight, router.base.deployment.clone()));
    }

    /// A change arrived at the router.
    pub(super) fn landed(
        &mut self,
        who: &str,
        call: &Call,
        (before, after): (&RouterState, &RouterState),
        now: Timestamp,
    ) {
        match call {
            Call::Stage { expected } => {
                self.in_force(who, call, *expected, before);
                self.back = false;
            }
            Call::Raise { expected, permit } => {
                self.in_force(who, call, *expected, before);
                self.permitted(who, permit, before);
                let deeds = self.deeds(who);
                deeds.raises += 1;
                deeds.full |= after.weight == Weight::FULL;
                for deeds in self.deeds.values_mut() {
                    deeds.counted = None;
                }
            }
            Call::Promote { expected, permit } => {
                self.in_force(who, call, *expected, before);
                self.permitted(who, permit, before);
                self.deeds(who).promotions += 1;
                if before.weight != Weight::FULL {
                    self.breaks(who, "promoted what did not have all traffic");
                }
                self.lived.insert(after.base.deployment.clone());
            }
            Call::Renew { epoch } => self.epoch_in_force(who, call, *epoch),
            Call::Lower { condemns } => {
                self.to_condemn.extend(condemns.clone());
                self.floor += 1;
                self.back = true;
                if !self.lived.contains(&after.base.deployment) {
                    self.breaks(who, "went back to a version that never served");
                }
            }
            Call::Dashboard => {
                self.lived.insert(after.base.deployment.clone());
            }
        }
        let gains = after.weight > before.weight
            || (after.base != before.base && !matches!(call, Call::Lower { .. }));
        let may_gain = matches!(call, Call::Raise { .. } | Call::Promote { .. } | Call::Dashboard);
        if gains && !may_gain {
            self.breaks(who, &format!("{} gave exposure", call.name()));
        }
        if after.weight > Weight::ZERO && after.grant_until.is_none_or(|until| until <= now) {
            self.breaks(who, "a weight stands without a grant");
        }
        if !matches!(call, Call::Renew { .. }) {
            self.changes.push(who.to_owned());
        }
    }

    fn in_force(&mut self, who: &str, call: &Call, expected: Expected, before: &RouterState) {
        self.epoch_in_force(who, call, expected.epoch);
        if self.fenced && expected.generation != before.generation {
            self.breaks(who, &format!("a stale generation did a {}", call.name()));
        }
    }

    fn epoch_in_force(&mut self, who: &str, call: &Call, epoch: u64) {
        if !self.fenced {
            return;
        }
        if epoch < self.floor {
            self.breaks(who, &format!("stale epoch {epoch} did a {}", call.name()));
        }
        self.floor = self.floor.max(epoch);
    }

    fn permitted(&mut self, who: &str, permit: &Permit, before: &RouterState) {
        if self.back {
            self.breaks(who, "raised after traffic went back");
        }
        if permit.serving != before.base.deployment {
            self.breaks(who, "raised beside another base than it was cleared for");
        }
    }

    fn others_since(&self, began: usize, who: &str) -> bool {
        self.changes.iter().skip(began).any(|other| other != who)
    }

    /// A verb ended by itself with this exit: is that what happened?
    pub(super) fn finished(
        &mut self,
        who: &str,
        verb: &Verb,
        exit: Exit,
        router: &RouterState,
        tags: &BTreeSet<(String, String)>,
    ) {
        let name = who.to_owned();
        self.exits.push((name, exit));
        let quiet = self.quiet;
        let (began, raises, full, promotions, probe) = {
            let deeds = self.deeds(who);
            (deeds.began, deeds.raises, deeds.full, deeds.promotions, deeds.probe.clone())
        };
        let exposed = raises > 0 && router.weight > Weight::ZERO && !self.others_since(began, who);
        let is_back =
            |base: &str| probe.as_ref().is_some_and(|(w, b)| w.basis_points() == 0 && b == base);
        let all_base = probe.as_ref().is_some_and(|(w, _)| *w == Weight::ZERO);
        let lie = match (verb, exit) {
            (_, Exit::TrafficWrong) => quiet,
            (Verb::Canary, Exit::Done) => !full,
            (Verb::Canary | Verb::Resume | Verb::Tick, Exit::MovedBack) => !all_base || exposed,
            (Verb::Canary, Exit::Unavailable | Exit::Interrupted) => raises > 0 && exposed,
            (Verb::Canary | Verb::Resume, Exit::Closed | Exit::Inconclusive) => exposed,
            (Verb::Rollback { to: Some(to) }, Exit::Done)
            | (Verb::Promote { to, .. }, Exit::PartDone) => !is_back(to),
            (Verb::Abort | Verb::Resume, Exit::Done) => !all_base,
            (Verb::Promote { to, tag }, Exit::Done) => {
                !is_back(to) || !tags.iter().any(|(name, _)| name == tag)
            }
            (Verb::Promote { .. }, _) => promotions > 0,
            (Verb::Canary, Exit::Bug) => true,
            _ => false,
        };
        if lie {
            let rule = format!("{verb:?} exits {} and that is not what happened", exit.code());
            self.breaks(who, &rule);
        }
    }
}
