//! When the two ends of a stream hesitate.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How often one end of a stream holds it up, and for how long: the source before it offers a word, the sink before
/// it takes one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stalls {
    /// Chance that a stall begins in a cycle that could go on: from 0, below 1.
    pub probability: f64,
    /// Longest stall in cycles, at least 1; lengths are uniform from 1.
    pub longest: u32,
}

impl Stalls {
    /// Full speed.
    pub const NONE: Self = Self {
        probability: 0.0,
        longest: 1,
    };

    /// Stalls of one cycle.
    pub fn random(probability: f64) -> Self {
        Self {
            probability,
            longest: 1,
        }
    }

    /// Stalls of 1 to `longest` cycles.
    pub fn bursts(probability: f64, longest: u32) -> Self {
        Self {
            probability,
            longest,
        }
    }
}

/// The stalls of one end of one stream, cycle by cycle.
#[derive(Debug)]
pub(super) struct Hesitation {
    stalls: Stalls,
    pub(super) random: ChaCha8Rng,
    left: u32,
}

impl Hesitation {
    /// Streams of one bench, numbered by `stream`, hesitate independently of each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self {
            stalls: Stalls::NONE,
            random,
            left: 0,
        }
    }

    /// Changes how often and how long it hesitates.
    ///
    /// # Panics
    /// When the probability or the length is out of range.
    #[track_caller]
    pub(super) fn set(&mut self, stalls: Stalls) {
        let possible = (0.0..1.0).contains(&stalls.probability) && stalls.longest >= 1;
        assert!(
            possible,
            "{stalls:?}: a probability from 0 to below 1, and at least one cycle"
        );
        self.stalls = stalls;
    }

    /// Whether this cycle is a stall.
    pub(super) fn stalled(&mut self) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        let begins =
            self.stalls.probability > 0.0 && self.random.random_bool(self.stalls.probability);
        if begins {
            self.left = self.random.random_range(0..self.stalls.longest);
        }
        begins
    }

    /// Forgets a stall that has begun.
    pub(super) fn clear(&mut self) {
        self.left = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_come_as_often_and_last_as_long_as_asked() {
        // A step waits for n stalls of length l: n geometric with mean p/(1-p), l uniform from 1 to `longest`.
        for (stalls, expected) in [
            (Stalls::random(0.5), 1.0),
            (Stalls::bursts(0.1, 9), 0.1 / 0.9 * 5.0),
        ] {
            let mut hesitation = Hesitation::new(1, 1);
            hesitation.set(stalls);
            let steps = 200_000;
            let mut waited = 0;
            for _ in 0..steps {
                while hesitation.stalled() {
                    waited += 1;
                }
            }
            let mean = f64::from(waited) / f64::from(steps);
            assert!(
                (mean - expected).abs() < 0.02,
                "{stalls:?}: {mean} instead of {expected}"
            );
        }
        let mut never = Hesitation::new(1, 1);
        assert!((0..1000).all(|_| !never.stalled()));
    }
}
