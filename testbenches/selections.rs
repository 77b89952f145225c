//! Random selections for the top-k blocks: keys of every kind, in lines.

use rand::{Rng, RngExt};

use crate::accelerator::top_k::golden::Part;

/// Keys of one selection, in input order.
#[derive(Clone, Debug)]
pub struct Selection {
    /// All keys; those of dead elements are noise.
    pub keys: Vec<u64>,
    /// How each takes part.
    pub parts: Vec<Part>,
    /// How many of the ranked ones stay.
    pub k: usize,
}

/// How the keys of a selection are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any value.
    Uniform,
    /// Exponentials of normal scores, so coarse that most are equal.
    Ties,
    /// Exponentials of scores that grow along the row, as where recent tokens matter most.
    Drift,
    /// Ascending.
    Sorted,
    /// Descending.
    Reversed,
    /// All the same.
    Equal,
    /// Two values.
    TwoValued,
    /// Every place that is sampled, a lane of each line in turn and the first of each row, holds the smallest keys.
    Adversarial,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::Uniform,
        Kind::Ties,
        Kind::Drift,
        Kind::Sorted,
        Kind::Reversed,
        Kind::Equal,
        Kind::TwoValued,
        Kind::Adversarial,
    ];

    /// `count` keys of `width` bits.
    pub fn keys(self, count: usize, width: usize, random: &mut impl Rng) -> Vec<u64> {
        let largest = u64::MAX >> (64 - width);
        let uniform = |random: &mut dyn Rng| random.next_u64() & largest;
        let mut keys: Vec<u64> = (0..count).map(|_| uniform(random)).collect();
        match self {
            Kind::Uniform => {}
            Kind::Ties | Kind::Drift => {
                let (spread, steps) = match self {
                    Kind::Ties => (4.0, width.min(12)),
                    _ => (1.5, width),
                };
                let scores: Vec<f64> = (0..count)
                    .map(|k| {
                        let normal: f64 =
                            (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
                        let drift = if self == Kind::Drift {
                            4.0 * k as f64 / count as f64
                        } else {
                            0.0
                        };
                        spread * normal + drift
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let one = (1u64 << (steps - 1)) as f64;
                keys = scores
                    .iter()
                    .map(|s| ((s - top).exp() * one) as u64)
                    .collect();
            }
            Kind::Sorted => keys.sort_unstable(),
            Kind::Reversed => keys.sort_unstable_by(|a, b| b.cmp(a)),
            Kind::Equal => {
                let value = uniform(random);
                keys.fill(value);
            }
            Kind::TwoValued => {
                let values = [uniform(random), uniform(random)];
                keys.iter_mut()
                    .for_each(|key| *key = values[(*key & 1) as usize]);
            }
            Kind::Adversarial => {
                for (k, key) in keys.iter_mut().enumerate() {
                    let sampled = k % 8 == (k / 8 * 5) % 8 || k % 16 == 0;
                    *key = if sampled {
                        k as u64 & largest
                    } else {
                        *key | (largest >> 1)
                    };
                }
            }
        }
        keys
    }
}

impl Selection {
    /// `count` ranked keys of a kind, of which `k` stay.
    pub fn of(kind: Kind, count: usize, k: usize, width: usize, random: &mut impl Rng) -> Self {
        Selection {
            keys: kind.keys(count, width, random),
            parts: vec![Part::Ranked; count],
            k,
        }
    }

    /// Any kind, number of keys up to `most`, dead and pinned elements, and k.
    pub fn random(most: usize, width: usize, random: &mut impl Rng) -> Self {
        let count = random.random_range(0..=most);
        let kind = Kind::ALL[random.random_range(0..Kind::ALL.len())];
        let mut selection = Selection::of(kind, count, 0, width, random);
        let share = [0.0, 0.0, 0.1, 0.5][random.random_range(0..4)];
        for part in &mut selection.parts {
            if random.random_bool(share) {
                *part = [Part::Dead, Part::Pinned][random.random_range(0..2)];
            }
        }
        selection.k = random
            .random_range(0..=selection.ranked().len() + 1)
            .min(most);
        selection
    }

    /// The ranked keys.
    pub fn ranked(&self) -> Vec<u64> {
        let elements = self.keys.iter().zip(&self.parts);
        let ranked = elements.filter(|(_, part)| **part == Part::Ranked);
        ranked.map(|(key, _)| *key).collect()
    }
}
