//! Every choice of a schedule comes from its seed and the name of the place where it is made, such
//! as `ana.raise#2`. It does not depend on the choices before it, so that one piece of bad luck can
//! be left out while the rest of the schedule stays as it was.

use std::collections::BTreeSet;

/// The choices of one schedule.
#[derive(Debug)]
pub(super) struct Dice {
    seed: u64,
    /// Places where nothing bad happens, whatever the seed says.
    dropped: BTreeSet<String>,
    /// Bad luck, and acts of people, that happened: the place and what.
    drawn: Vec<String>,
}

impl Dice {
    pub(super) fn new(seed: u64, dropped: BTreeSet<String>) -> Self {
        Self { seed, dropped, drawn: Vec::new() }
    }

    /// The number of a place: FNV-1a of its name, mixed with the seed by `SplitMix64`.
    pub(super) fn number(&self, place: &str) -> u64 {
        let named = place.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut mixed = named ^ self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is above zero.
    pub(super) fn below(&self, place: &str, bound: u64) -> u64 {
        self.number(place) % bound
    }

    /// Whether what has a chance of `per_mille` happens at this place; then it is noted.
    pub(super) fn happens(&mut self, place: &str, per_mille: u64) -> bool {
        let happens = self.below(place, 1_000) < per_mille && !self.dropped.contains(place);
        if happens {
            self.drawn.push(place.to_owned());
        }
        happens
    }

    pub(super) fn drawn(&self) -> &[String] {
        &self.drawn
    }
}
