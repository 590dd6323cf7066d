//! Chance that a seed repeats.

use crate::disk::say;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): the
/// seed is all of its state, and the same on every machine and in every version, so that a seed
/// which found something finds it again.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// The seed in the variable, or this one; printed, past the capture of the test harness.
    pub fn seeded(variable: &str, default: u64) -> Self {
        let seed = std::env::var(variable)
            .map_or(default, |text| text.parse().expect("a seed is a number"));
        say(&format!("{variable}={seed}"));
        Self(seed)
    }

    /// Any number.
    #[expect(clippy::should_implement_trait, reason = "it does not end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Whether one of so many came.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}
