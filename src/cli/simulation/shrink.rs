//! The smallest schedule that still breaks a rule: bad luck is left out, piece by piece, as long as
//! the same rule breaks.

use std::collections::BTreeSet;

use super::schedule::{Outcome, run};

/// Leaves out whatever can be left out. The places that stay, and the story of that run.
pub(super) fn shrink(seed: u64, first: &Outcome) -> Outcome {
    let wanted = rule_of(first);
    let mut dropped = BTreeSet::new();
    let mut smallest: Vec<String> = first.drawn.clone();
    loop {
        let before = smallest.len();
        for place in smallest.clone() {
            let mut fewer = dropped.clone();
            fewer.insert(place);
            let outcome = run(seed, &fewer, false);
            if rule_of(&outcome) == wanted && outcome.drawn.len() < smallest.len() {
                dropped = fewer;
                smallest = outcome.drawn;
            }
        }
        if smallest.len() == before {
            return run(seed, &dropped, true);
        }
    }
}

/// The first broken rule, without the names and numbers in it.
fn rule_of(outcome: &Outcome) -> Option<String> {
    let first = outcome.broken.first()?;
    let (_, rule) = first.split_once(": ")?;
    Some(rule.chars().filter(|c| c.is_alphabetic() || *c == ' ').take(40).collect())
}

/// A failing schedule for people: the rules, the bad luck that is needed, and what happened.
pub(super) fn report(seed: u64, outcome: &Outcome) -> String {
    let lines = |items: &mut dyn Iterator<Item = String>| {
        items.fold(String::new(), |text, item| text + "  " + &item + "\n")
    };
    format!(
        "seed {seed} breaks:\n{}with only this bad luck:\n{}what happened:\n{}\
         again: ORCA_SEED={seed} cargo test --lib simulation -- --nocapture\n",
        lines(&mut outcome.broken.iter().cloned()),
        lines(&mut outcome.drawn.iter().cloned()),
        lines(&mut outcome.story.iter().cloned()),
    )
}
