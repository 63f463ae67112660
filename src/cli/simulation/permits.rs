//! What must be on disk before a call: a raise needs its recorded intent, a clearance that holds at
//! that instant, and a stage before it that passed; a lowering needs its intent where a disk took
//! it. Read from the stored bytes alone.

use serde_json::{Value, json};
use std::sync::Arc;

use super::audit::{Permit, kind, says, text};
use super::gates::GATES;
use super::orca::Orca;
use super::world::{World, commit_of};
use crate::base::clock::Timestamp;
use crate::base::units::Weight;
use crate::rollout::plan::OnFail;
use crate::rollout::ports::{PromoteTerms, RaiseTerms};

type Chain = [Arc<Value>];

/// A gate that somebody judges again while the intent is being written may come too late.
const JUST_NOW_US: i64 = 15_000_000;

fn at_of(value: &Value) -> Timestamp {
    Timestamp::from_us(value.as_i64().unwrap_or(0))
}

impl World {
    fn chain_of(&self, orca: &Orca) -> Vec<Arc<Value>> {
        self.git.chain(self.git.clones[orca.clone].tip.as_ref())
    }

    /// Somebody calls for more traffic. What the clearance was for comes back.
    pub(super) fn raise_called(
        &mut self,
        orca: &Orca,
        terms: &RaiseTerms,
        at: Timestamp,
    ) -> Permit {
        let chain = self.chain_of(orca);
        let to = json!(terms.to);
        let permit = self.permit(orca, &chain, at, |entry| {
            kind(entry) == "raise_intended" && says(entry)["to"] == to
        });
        self.unpaused(orca, &chain, &to, at);
        self.audit.goes_on(&orca.name, "raises");
        self.before_stage(orca, &chain, terms);
        permit
    }

    /// No pause that this clone knew of before the intent was written is in force.
    fn unpaused(&mut self, orca: &Orca, chain: &Chain, to: &Value, at: Timestamp) {
        let is_intent =
            |entry: &&Arc<Value>| kind(entry) == "raise_intended" && says(entry)["to"] == *to;
        let before = chain.iter().skip_while(|entry| !is_intent(entry));
        let known = before
            .take_while(|entry| kind(entry) != "rollout_started")
            .find(|entry| ["paused", "unpaused"].contains(&kind(entry)));
        let Some(pause) = known.filter(|entry| kind(entry) == "paused") else { return };
        let lasts = says(pause)["then"] == "withdraw" || at < at_of(&says(pause)["until"]);
        if lasts {
            self.audit.breaks(&orca.name, "raised while a pause was in force");
        }
    }

    /// Somebody calls for a new base.
    pub(super) fn promote_called(
        &mut self,
        orca: &Orca,
        terms: &PromoteTerms,
        at: Timestamp,
    ) -> Permit {
        let chain = self.chain_of(orca);
        let to = terms.to.to_string();
        let permit = self.permit(orca, &chain, at, |entry| {
            kind(entry) == "promote_intended" && text(&says(entry)["to"]) == to
        });
        let stages = self.plan.stages.len();
        self.stage_passed(orca, &chain, (stages, &to));
        permit
    }

    /// The recorded intent and its clearance, checked one by one.
    fn permit(
        &mut self,
        orca: &Orca,
        chain: &Chain,
        at: Timestamp,
        is_intent: impl Fn(&Value) -> bool,
    ) -> Permit {
        let who = orca.name.as_str();
        let unused = |entry: &&Arc<Value>| {
            is_intent(entry) && !self.audit.used.contains(text(&says(entry)["step"]))
        };
        let Some(intent) = chain.iter().find(unused).cloned() else {
            self.audit.breaks(who, "a raise without a recorded intent");
            return Permit::default();
        };
        self.audit.used.insert(text(&says(&intent)["step"]).to_owned());
        if self.git.has_remote {
            let remote = self.git.chain(self.git.remote_tip.as_ref());
            if !remote.iter().any(|entry| entry["id"] == intent["id"]) {
                self.audit.breaks(who, "the intent of a raise was not shared before it");
            }
        }
        let wanted = &says(&intent)["clearance"];
        let cleared = |entry: &&Arc<Value>| {
            kind(entry) == "cleared" && says(entry)["clearance"]["id"] == *wanted
        };
        let Some(cleared) = chain.iter().find(cleared).cloned() else {
            self.audit.breaks(who, "a raise without a clearance in the ledger");
            return Permit::default();
        };
        let clearance = &says(&cleared)["clearance"];
        if !self.audit.used.insert(text(wanted).to_owned()) {
            self.audit.breaks(who, "a clearance was used twice");
        }
        if at >= at_of(&clearance["expires_at"]) {
            self.audit.breaks(who, "a raise with a clearance that had ended");
        }
        let commit = text(&clearance["subject"]["subject"]["commit"]).to_owned();
        self.gates_fresh(who, chain, &commit, at);
        self.not_condemned(who, chain, &commit);
        Permit { serving: text(&clearance["subject"]["serving"]).to_owned() }
    }

    /// Every gate was really seen to pass, recently enough: by its newest ruling, or by the one before
    /// where somebody judged it again just now.
    fn gates_fresh(&mut self, who: &str, chain: &Chain, commit: &str, at: Timestamp) {
        let max_age = i64::try_from(self.gate_max_age_secs).unwrap_or(0) * 1_000_000;
        for (gate, _) in GATES {
            let mut seen: Vec<Timestamp> = chain
                .iter()
                .filter(|entry| kind(entry) == "ruled")
                .map(|entry| &says(entry)["ruling"])
                .filter(|ruling| {
                    ruling["gate"] == gate && text(&ruling["subject"]["commit"]) == commit
                })
                .map(|ruling| at_of(&ruling["checks"][0]["observed_at"]))
                .collect();
            seen.sort_unstable();
            let just_now = seen.partition_point(|seen| *seen < at.plus_us(-JUST_NOW_US));
            let holds = seen
                .iter()
                .skip(just_now.saturating_sub(1))
                .any(|seen| self.audit.gate_was_well(gate, *seen) && at < seen.plus_us(max_age));
            if !holds {
                self.audit.breaks(who, &format!("a raise although gate {gate} does not hold"));
            }
        }
    }

    fn not_condemned(&mut self, who: &str, chain: &Chain, commit: &str) {
        let condemns = |entry: &Arc<Value>| {
            kind(entry) == "rolled_back" && text(&says(entry)["commit"]) == commit
        };
        if chain.iter().any(condemns) {
            self.audit.breaks(who, "raised a commit that was rolled back");
        }
    }

    /// The stage before passed, it had the traffic it was judged with, and users did well in it.
    fn before_stage(&mut self, orca: &Orca, chain: &Chain, terms: &RaiseTerms) {
        let stages = self.plan.stages.clone();
        let Some(stage) = stages.iter().position(|s| s.weight == terms.to) else {
            self.audit.breaks(&orca.name, "raised to a weight that no stage has");
            return;
        };
        let before = stage.checked_sub(1).map_or(Weight::ZERO, |index| stages[index].weight);
        if terms.from != before {
            let rule = format!("raised from {} to {}, over a stage", terms.from, terms.to);
            self.audit.breaks(&orca.name, &rule);
        }
        if stage == 0 {
            return;
        }
        let advanced = self.stage_passed(orca, chain, (stage, terms.canary.as_str()));
        // The same raise arrived late: users are there already, and this call raises nothing.
        if self.router.weight == terms.to {
            return;
        }
        let (requests, errors) = self.users.since_raise();
        let failing = requests > 0
            && self.users.canary_fails_bp >= 2_000
            && self.users.base_fails_bp == 0
            && errors * 5 >= requests;
        if (requests == 0 && !advanced) || failing {
            let rule = format!("raised after a stage in which {errors} of {requests} failed");
            self.audit.breaks(&orca.name, &rule);
        }
    }

    /// The newest ruling of stage number `stage` in this rollout opens, or somebody let it go on
    /// undecided; whether it was that.
    fn stage_passed(&mut self, orca: &Orca, chain: &Chain, (stage, canary): (usize, &str)) -> bool {
        let commit = commit_of(canary).map(String::from).unwrap_or_default();
        let gate = format!("stage-{stage}");
        let rulings = || {
            chain
                .iter()
                .take_while(|entry| kind(entry) != "rollout_started")
                .filter(|entry| kind(entry) == "ruled")
                .map(|entry| &says(entry)["ruling"])
                .filter(|ruling| text(&ruling["gate"]).starts_with("stage-"))
                .filter(|ruling| text(&ruling["subject"]["commit"]) == commit)
        };
        let verdict = rulings().find(|ruling| ruling["gate"] == gate).map(|r| text(&r["verdict"]));
        let waived = verdict == Some("inconclusive") && is_let_go(chain, stage);
        let passed = waived || matches!(verdict, Some("pass" | "waived"));
        let failed = rulings().any(|ruling| {
            ruling["verdict"] == "fail" && !text(&ruling["headline"]).starts_with("both versions")
        });
        if !passed {
            let rule =
                format!("raised after stage {stage} was {}", verdict.unwrap_or("not judged"));
            self.audit.breaks(&orca.name, &rule);
        }
        if failed {
            self.audit.breaks(&orca.name, "raised after a stage had failed");
        }
        waived
    }

    /// Somebody calls for less traffic. The commit that the intent condemns comes back.
    pub(super) fn lowering_called(&mut self, orca: &Orca) -> Option<String> {
        let who = orca.name.clone();
        let clone = &self.git.clones[orca.clone];
        let pending = clone.pending.values().filter_map(|b| serde_json::from_slice(b).ok());
        let kept: Vec<Arc<Value>> = pending.map(Arc::new).chain(self.chain_of(orca)).collect();
        let intent = kept.iter().find(|entry| {
            kind(entry) == "lower_intended"
                && text(&entry["actor"]["name"]) == who
                && !self.audit.used.contains(text(&says(entry)["step"]))
        });
        let deeds = self.audit.deeds(&who);
        let Some(intent) = intent else {
            if deeds.has_book && !deeds.disk_trouble && knows_of_rollout(&kept) {
                self.audit.breaks(&who, "a lowering without a recorded intent");
            }
            return None;
        };
        self.audit.used.insert(text(&says(intent)["step"]).to_owned());
        let condemns = says(intent)["condemns"].as_str().map(str::to_owned);
        if condemns.is_none() && self.judged_to_fail(orca, &kept) {
            self.audit.breaks(&who, "a judged breach goes back and condemns nothing");
        }
        condemns
    }

    /// Whether the canary of this process was judged to fail, and only that takes it back.
    fn judged_to_fail(&self, orca: &Orca, chain: &Chain) -> bool {
        let rolls_back = self.plan.stages.iter().all(|s| s.on_fail == OnFail::Rollback);
        let failed = chain
            .iter()
            .take_while(|entry| kind(entry) != "rollout_started")
            .filter(|e| kind(e) == "ruled" && text(&e["actor"]["name"]) == orca.name)
            .map(|entry| &says(entry)["ruling"])
            .any(|ruling| {
                text(&ruling["gate"]).starts_with("stage-")
                    && ruling["verdict"] == "fail"
                    && !text(&ruling["headline"]).starts_with("both versions")
            });
        failed && rolls_back && !orca.signal.is_cancelled()
    }
}

/// Whether a person let the stage go on when it was judged as it was judged last, and for no reason
/// that both versions share.
fn is_let_go(chain: &Chain, stage: usize) -> bool {
    let gate = format!("stage-{stage}");
    let told: Vec<_> = chain.iter().take_while(|entry| kind(entry) != "rollout_started").collect();
    let judged = |from: usize| {
        let about = |entry: &&&Arc<Value>| {
            kind(entry) == "ruled" && says(entry)["ruling"]["gate"] == gate.as_str()
        };
        let ruling = told.iter().skip(from).find(about);
        ruling.map(|entry| &says(entry)["ruling"]["cause"])
    };
    let newest = judged(0);
    let asked = (0..told.len())
        .filter(|place| kind(told[*place]) == "advanced" && says(told[*place])["stage"] == stage);
    let mut stood = asked.map(judged);
    newest.is_some_and(|cause| *cause != "both_breach") && stood.any(|cause| cause == newest)
}

/// Whether a rollout was begun and nothing ended it, as far as this clone knows.
fn knows_of_rollout(chain: &Chain) -> bool {
    let ends = ["rollout_ended", "rolled_back", "promoted"];
    let last = chain.iter().find(|e| kind(e) == "rollout_started" || ends.contains(&kind(e)));
    last.is_some_and(|entry| kind(entry) == "rollout_started")
}
