//! Bit sorter: the ones of a word go to its low bits, so that bit i tells whether more than i bits are one.
//!
//! Batcher's odd-even merge sort on single bits, where a comparator is an OR and an AND. It counts in log2(n) (log2(n) + 1)
//! / 2 gates, which is faster than adders where the count is only compared with a one-hot number.

use crate::hdl::{About, Block, Builder, Sig};
use crate::reg;

/// Unary count of the ones among `lanes` bits, behind a register of its own, which drives nothing else and so is fast.
///
/// - Latency: [`BitSorter::LATENCY`] cycle; interval: 1 cycle.
/// - Stalls: none.
#[derive(Clone, Debug)]
pub struct BitSorter {
    /// Bits, a power of two.
    pub lanes: usize,
}

/// The ones at the low end.
pub fn golden(bits: &[bool]) -> Vec<bool> {
    let ones = bits.iter().filter(|bit| **bit).count();
    (0..bits.len()).map(|k| k < ones).collect()
}

/// The comparators of Batcher's odd-even merge sort of `lanes` words, a power of two, layer by layer: those of a layer
/// touch no word twice, and the larger word goes to the first of each pair.
pub fn odd_even_merge_sort(lanes: usize) -> Vec<Vec<(usize, usize)>> {
    let mut layers = Vec::new();
    let mut block = 1;
    while block < lanes {
        let mut reach = block;
        while reach > 0 {
            let start = reach % block;
            let mut layer = Vec::new();
            for first in (start..lanes - reach).step_by(2 * reach) {
                for low in first..(first + reach).min(lanes - reach) {
                    if low / (2 * block) == (low + reach) / (2 * block) {
                        layer.push((low, low + reach));
                    }
                }
            }
            layers.push(layer);
            reach /= 2;
        }
        block *= 2;
    }
    layers
}

impl BitSorter {
    /// Cycles from the bits to their count.
    pub const LATENCY: u64 = 1;
}

impl Block for BitSorter {
    fn name(&self) -> String {
        format!("spatten_bit_sorter_n{}", self.lanes)
    }

    fn about(&self) -> About {
        About {
            purpose: "Bit sorter: the ones go to the low bits. Odd-even merge sort, an OR and an AND per comparator."
                .into(),
            parameters: vec![("lanes", self.lanes.to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        assert!(
            self.lanes.is_power_of_two(),
            "a merge sort takes a power of two of bits, not {}",
            self.lanes
        );
        let bits = m.input("bits", self.lanes, "");
        let sorted = m.output("sorted", self.lanes, "bit i: more than i bits are one");
        reg!(m, bits_q = bits);
        let mut lanes: Vec<Sig> = (0..self.lanes).map(|k| bits_q.bit(k)).collect();
        for (index, layer) in odd_even_merge_sort(self.lanes).into_iter().enumerate() {
            for (low, high) in layer {
                (lanes[low], lanes[high]) = (lanes[low] | lanes[high], lanes[low] & lanes[high]);
            }
            let word = m.net(&format!("layer{index}"), m.pack(&lanes), "");
            lanes = (0..self.lanes).map(|k| word.bit(k)).collect();
        }
        sorted.drive(m.pack(&lanes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdl::{Evaluator, elaborate};
    use num_bigint::BigUint;

    #[test]
    fn every_word_is_sorted() {
        for lanes in [1, 2, 4, 8, 16] {
            let mut evaluator = Evaluator::new(elaborate(&BitSorter { lanes }));
            let input = evaluator.module().port_index("bits_i").unwrap();
            let output = evaluator.module().port_index("sorted_o").unwrap();
            for word in 0u64..1 << lanes {
                evaluator.set(input, &BigUint::from(word));
                evaluator.tick().unwrap();
                let bits: Vec<bool> = (0..lanes).map(|k| word >> k & 1 == 1).collect();
                let sorted = golden(&bits).into_iter().rev();
                let expected = sorted.fold(0u64, |word, bit| word << 1 | u64::from(bit));
                assert_eq!(*evaluator.get(output), BigUint::from(expected), "{word:b}");
            }
        }
    }
}
