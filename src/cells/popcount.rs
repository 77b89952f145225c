//! Population count: how many bits of a word are one.

use super::delay::delay_flag;
use super::tree::{self, Pairs};
use crate::hdl::{About, Block, Builder};
use crate::numerics::value_bits;

/// `count = number of ones in word`.
///
/// - Latency: [`Popcount::latency`] cycles: 0 without registers, else ceil(log2(`width`) / `levels_per_stage`);
///   interval: 1 cycle.
/// - Stalls: none; `valid_o` is `valid_i` delayed. Without registers there is no clock and no valid flag.
#[derive(Clone, Debug)]
pub struct Popcount {
    /// Bits of the word, at least 1.
    pub width: usize,
    /// Levels of additions between registers, at least 1; combinational when `None`.
    pub levels_per_stage: Option<usize>,
}

impl Popcount {
    /// Cycles from word to count.
    pub fn latency(&self) -> usize {
        self.levels_per_stage
            .map_or(0, |levels| tree::depth(self.width).div_ceil(levels))
    }

    /// Bits of the count.
    pub fn count_bits(&self) -> usize {
        value_bits(self.width)
    }

    fn check(&self) {
        assert!(
            self.width >= 1 && self.levels_per_stage != Some(0),
            "a population count needs at least one bit, and a level per stage if any: {self:?}"
        );
    }

    fn is_registered_after(&self, level: usize) -> bool {
        let last = level == tree::depth(self.width);
        self.levels_per_stage
            .is_some_and(|levels| level.is_multiple_of(levels) || last)
    }
}

/// The number of ones among the bits.
pub fn golden(bits: &[bool]) -> usize {
    bits.iter().filter(|bit| **bit).count()
}

impl Block for Popcount {
    fn name(&self) -> String {
        let registers = match self.levels_per_stage {
            Some(levels) => format!("_r{levels}"),
            None => String::new(),
        };
        format!("spatten_popcount_w{}{registers}", self.width)
    }

    fn about(&self) -> About {
        let registers = match self.levels_per_stage {
            Some(levels) => tree::registers(levels),
            None => "none".into(),
        };
        About {
            purpose: "Population count: how many bits of the word are one.".into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("registers", registers),
                ("latency", format!("{} cycles", self.latency())),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        self.check();
        if self.levels_per_stage.is_some() {
            let valid = m.input("valid", 1, "a word enters");
            let valid_out = m.output("valid", 1, "its count leaves");
            valid_out.drive(delay_flag(m, "valid", valid, self.latency()));
        }
        let word = m.input("word", self.width, "bits to count");
        let count = m.output("count", self.count_bits(), "0 to the width");

        let mut counts = word.lanes(1);
        for level in 1..=tree::depth(self.width) {
            let group = self.width.min(1 << level);
            m.section(&format!("level {level}: ones among {group} bits"));
            let bits = value_bits(group);
            let zero = m.lit(0, counts.ty.width);
            let pairs = Pairs::new(m, &format!("padded{level}"), counts, zero);
            counts = pairs.map(m, &format!("ones{level}"), bits.into(), |low, high| {
                (low + high).resize(bits)
            });
            if self.is_registered_after(level) {
                let name = format!("ones{level}_q");
                let register = m.register(&name, counts.bus.width(), None, "");
                register.next(counts.bus);
                counts = register.lanes(bits);
            }
        }
        count.drive(counts.bus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::pipeline_test::check;
    use num_bigint::BigUint;

    #[test]
    fn every_word_up_to_nine_bits_is_counted() {
        for width in 1..=9 {
            for levels_per_stage in [None, Some(1), Some(2), Some(5)] {
                let cell = Popcount {
                    width,
                    levels_per_stage,
                };
                let vectors: Vec<_> = (0_usize..1 << width)
                    .map(|word| {
                        let bits: Vec<bool> = (0..width).map(|k| word >> k & 1 == 1).collect();
                        let inputs = vec![("word", BigUint::from(word))];
                        (inputs, vec![("count", BigUint::from(golden(&bits)))])
                    })
                    .collect();
                check(&cell, cell.latency(), &vectors);
            }
        }
    }
}
