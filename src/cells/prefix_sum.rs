//! Prefix sum: for each lane, how many lanes below it are flagged.

use crate::hdl::{About, Block, Builder, Sig};
use crate::numerics::value_bits;

/// Combinational counts over flags, in log2(lanes) levels of adders.
///
/// - Latency: 0; interval: 1 cycle: there is no clock, and nothing of one choice of flags is left for the next.
#[derive(Clone, Debug)]
pub struct PrefixSum {
    /// Flags, at least 1.
    pub lanes: usize,
}

/// For each lane the flagged lanes below it, and the flagged lanes in all.
pub fn golden(flags: &[bool]) -> (Vec<usize>, usize) {
    let mut total = 0;
    let counts = flags
        .iter()
        .map(|&flag| {
            let below = total;
            total += usize::from(flag);
            below
        })
        .collect();
    (counts, total)
}

impl PrefixSum {
    /// Bits of a count: enough for all lanes.
    pub fn count_bits(&self) -> usize {
        value_bits(self.lanes)
    }
}

impl Block for PrefixSum {
    fn name(&self) -> String {
        format!("spatten_prefix_sum_n{}", self.lanes)
    }

    fn about(&self) -> About {
        About {
            purpose: "Prefix sum: the number of flagged lanes below each lane, and of all.".into(),
            parameters: vec![("lanes", self.lanes.to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (n, bits) = (self.lanes, self.count_bits());
        let flags = m.input("flags", n, "lane k is flagged");
        let counts = m.output("counts", n * bits, "flagged lanes below lane k");
        let total = m.output("total", bits, "flagged lanes");

        m.section("level l: flagged lanes among the 2^l lanes that end with lane k");
        let mut sums: Vec<Sig> = (0..n).map(|k| flags.bit(k).extend(bits)).collect();
        let mut reach = 1;
        while reach < n {
            let next: Vec<Sig> = (0..n)
                .map(|k| match k.checked_sub(reach) {
                    Some(below) => sums[k].wrapping_add(sums[below]),
                    None => sums[k],
                })
                .collect();
            let level = m.net(&format!("reach{}", 2 * reach), m.pack(&next), "");
            sums = level.lanes(bits).to_vec();
            reach *= 2;
        }

        let mut below = vec![m.lit(0, bits)];
        below.extend(&sums[..n - 1]);
        counts.drive(m.pack(&below));
        total.drive(sums[n - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdl::{Evaluator, elaborate};
    use num_bigint::BigUint;

    #[test]
    fn counts_every_choice_of_flags() {
        for lanes in 1..=9 {
            let block = PrefixSum { lanes };
            let mut evaluator = Evaluator::new(elaborate(&block));
            let port = |e: &Evaluator, name: &str| e.module().port_index(name).unwrap();
            for mask in 0u64..1 << lanes {
                let flags: Vec<bool> = (0..lanes).map(|k| mask >> k & 1 == 1).collect();
                let (below, total) = golden(&flags);
                let input = port(&evaluator, "flags_i");
                evaluator.set(input, &BigUint::from(mask));
                let (counts, sum) = (port(&evaluator, "counts_o"), port(&evaluator, "total_o"));
                assert_eq!(*evaluator.get(sum), BigUint::from(total), "{flags:?}");
                let word = evaluator.get(counts).clone();
                for (k, count) in below.iter().enumerate() {
                    let bits = block.count_bits();
                    let mask = (BigUint::from(1u8) << bits) - 1u8;
                    let lane = (&word >> (k * bits)) & mask;
                    assert_eq!(lane, BigUint::from(*count), "{flags:?}, lane {k}");
                }
            }
        }
    }
}
