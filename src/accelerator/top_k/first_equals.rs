//! Which of the keys equal to the threshold stay: the first ones of a selection, over its lines.

use crate::cells::prefix_sum::PrefixSum;
use crate::hdl::{About, Block, Builder};
use crate::numerics::value_bits;
use crate::{net, reg};

/// The last stage of every filter by a threshold: of the flagged lanes, line after line, the first `keep_equal` stay.
///
/// - Latency: 0 cycles from `equal_i` to `stays_o`; interval: one line per cycle.
/// - Stalls: whoever holds the line holds `step_i`.
#[derive(Clone, Debug)]
pub struct FirstEquals {
    /// Lanes of a line.
    pub inputs: usize,
    /// Most keys of a selection.
    pub max_keys: usize,
}

impl FirstEquals {
    /// Bits of a number of keys.
    pub fn count_bits(&self) -> usize {
        value_bits(self.max_keys)
    }
}

impl Block for FirstEquals {
    fn name(&self) -> String {
        format!("spatten_first_equals_i{}_n{}", self.inputs, self.max_keys)
    }

    fn about(&self) -> About {
        About {
            purpose: "First equals: of the keys equal to the k-th largest, the first of the selection stay.".into(),
            parameters: vec![
                ("inputs", self.inputs.to_string()),
                ("max_keys", self.max_keys.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (inputs, bits) = (self.inputs, self.count_bits());
        let load = m.input("load", 1, "the next line is the first of a selection");
        let keep_equal = m.input("keep_equal", bits, "equal keys of it that stay");
        let step = m.input("step", 1, "the line leaves");
        let equal = m.input("equal", inputs, "key k of the line equals the k-th largest");
        let stays_out = m.output("stays", inputs, "and stays");

        m.section("equal keys before each one");
        let sums = PrefixSum { lanes: inputs };
        let u_equals = m.instance("u_equals", &sums);
        u_equals.input("flags", equal);
        let before = u_equals.output("counts").lanes(sums.count_bits()).to_vec();

        m.section("those that may still stay");
        reg!(m, left_q: bits);
        let common = bits.max(sums.count_bits());
        let left = left_q.resize(common);
        let stays = (0..inputs).map(|k| equal.bit(k) & before[k].resize(common).lt(left));
        stays_out.drive(m.pack(&stays.collect::<Vec<_>>()));
        let total = u_equals.output("total").resize(common);
        let rest = left.wrapping_sub(total);
        let rest = total.lt(left).select(rest, m.lit(0, common));
        let rest = match common > bits {
            true => {
                net!(m, rest = rest);
                let high = rest.slice(bits, common - bits);
                m.unused("rest_high", high, "at most what was left");
                rest.slice(0, bits)
            }
            false => rest,
        };
        left_q.next_when(load | step, load.select(keep_equal, rest));
    }
}
