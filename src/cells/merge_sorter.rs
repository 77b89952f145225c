//! Odd-even merge sorter: the yardstick that the top-k engine is measured against.

use super::bit_sorter::odd_even_merge_sort;
use super::delay::delay_flag;
use crate::hdl::{About, Block, Builder, Sig};
use crate::{net, reg};

/// The larger and the smaller of two keys, in registers.
///
/// - Latency and interval: 1 cycle.
/// - Stalls: none.
#[derive(Clone, Debug)]
pub struct CompareExchange {
    /// Bits of a key, unsigned.
    pub width: usize,
}

impl Block for CompareExchange {
    fn name(&self) -> String {
        format!("spatten_compare_exchange_w{}", self.width)
    }

    fn about(&self) -> About {
        About {
            purpose: "The larger and the smaller of two keys.".into(),
            parameters: vec![("width", self.width.to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let a = m.input("a", self.width, "");
        let b = m.input("b", self.width, "");
        let larger = m.output("larger", self.width, "");
        let smaller = m.output("smaller", self.width, "");
        net!(m, swaps = a.lt(b));
        reg!(m, larger_q = swaps.select(b, a));
        reg!(m, smaller_q = swaps.select(a, b));
        larger.drive(larger_q);
        smaller.drive(smaller_q);
    }
}

/// Sorts `lanes` keys, the largest first, with a register after every layer of comparators.
///
/// - Latency: [`MergeSorter::latency`] cycles; interval: 1 cycle.
/// - Stalls: none; `valid_o` is `valid_i` delayed.
#[derive(Clone, Debug)]
pub struct MergeSorter {
    /// Keys, a power of two.
    pub lanes: usize,
    /// Bits of a key, unsigned.
    pub width: usize,
}

impl MergeSorter {
    /// Cycles from keys to sorted keys: one per layer.
    pub fn latency(&self) -> usize {
        odd_even_merge_sort(self.lanes).len()
    }

    /// Comparators, [`CompareExchange`] each.
    pub fn comparators(&self) -> usize {
        odd_even_merge_sort(self.lanes).iter().map(Vec::len).sum()
    }

    /// Keys that pass a layer without being compared, in a register each.
    pub fn passing_keys(&self) -> usize {
        self.lanes * self.latency() - 2 * self.comparators()
    }
}

impl Block for MergeSorter {
    fn name(&self) -> String {
        format!("spatten_merge_sorter_w{}_n{}", self.width, self.lanes)
    }

    fn about(&self) -> About {
        About {
            purpose: "Odd-even merge sorter, a register after every layer. Not part of the accelerator: the yardstick for\n\
                      the area and the time of top_k."
                .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("lanes", self.lanes.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let MergeSorter { lanes, width } = *self;
        let input = m.input("keys", lanes * width, "lane k: a key");
        let valid = m.input("valid", 1, "");
        let sorted = m.output("sorted", lanes * width, "lane k: the k-th largest");
        let valid_out = m.output("valid", 1, "");
        valid_out.drive(delay_flag(m, "valid", valid, self.latency()));
        let mut words: Vec<Sig> = input.lanes(width).to_vec();
        for (index, layer) in odd_even_merge_sort(lanes).into_iter().enumerate() {
            m.section(&format!("layer {index}"));
            let mut next = vec![None; lanes];
            for (low, high) in layer {
                let name = format!("u_layer{index}_{low}");
                let pair = m.instance(&name, &CompareExchange { width });
                pair.input("a", words[low]).input("b", words[high]);
                next[low] = Some(pair.output("larger"));
                next[high] = Some(pair.output("smaller"));
            }
            let passed = |k: usize| {
                let word = m.register(&format!("word{index}_{k}_q"), width, None, "");
                word.next(words[k]);
                *word
            };
            let places = next.into_iter().enumerate();
            words = places
                .map(|(k, word)| word.unwrap_or_else(|| passed(k)))
                .collect();
        }
        sorted.drive(m.pack(&words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::pipeline_test::check;
    use num_bigint::BigUint;

    #[test]
    fn keys_come_out_largest_first() {
        let word = |keys: &[u64]| {
            let lanes = keys.iter().rev();
            lanes.fold(BigUint::ZERO, |word, key| (word << 4) | BigUint::from(*key))
        };
        for lanes in [2, 4, 8, 16] {
            let sorter = MergeSorter { lanes, width: 4 };
            let vectors: Vec<_> = (0..200_u64)
                .map(|seed| {
                    let key = |k: usize| (seed * 7919 + k as u64 * (seed % 13 + 3) * 5) >> 1 & 15;
                    let keys: Vec<u64> = (0..lanes).map(key).collect();
                    let mut expected = keys.clone();
                    expected.sort_unstable_by(|a, b| b.cmp(a));
                    (
                        vec![("keys", word(&keys))],
                        vec![("sorted", word(&expected))],
                    )
                })
                .collect();
            check(&sorter, sorter.latency(), &vectors);
        }
    }

    #[test]
    fn the_network_has_batchers_number_of_comparators() {
        let sorter = |lanes| MergeSorter { lanes, width: 1 };
        assert_eq!(sorter(8).comparators(), 19);
        assert_eq!(sorter(1024).comparators(), 24_063);
        assert_eq!(sorter(1024).latency(), 55);
        // 6 layers of 8 keys, two of which each comparator takes.
        assert_eq!(sorter(8).passing_keys(), 10);
    }
}
