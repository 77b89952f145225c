//! Weights by error feedback: the running sum of exponentials, rounded once, is handed out in whole weights.

use crate::cells::delay::{delay, delay_flag};
use crate::hdl::{About, Block, Builder, Sig};
use crate::numerics::{EXPONENTIAL_BITS, WEIGHT_BITS, WEIGHT_SHIFT, index_bits};
use crate::reg;

/// c starts a row at 32; per key c += e, ev = c >> 6, c &= 63. The weights of a row add up to its S exactly.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Keys per line.
    pub lanes: usize,
}

impl Weights {
    /// Levels of the prefix sum over a line.
    fn levels(&self) -> usize {
        if self.lanes == 1 {
            0
        } else {
            index_bits(self.lanes)
        }
    }

    /// Cycles from a line of exponentials to its weights.
    pub fn latency(&self) -> usize {
        self.levels() + 2
    }
}

impl Block for Weights {
    fn name(&self) -> String {
        format!("spatten_weights_l{}", self.lanes)
    }

    fn about(&self) -> About {
        About {
            purpose: "Weights by error feedback: the rounding error of each weight is carried to the next key, so that\n\
                      the weights of a row add up to its sum exactly."
                .into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("latency", self.latency().to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let e = m.input(
            "e",
            self.lanes * EXPONENTIAL_BITS,
            "exponential of key k, 0 for a dead key",
        );
        let valid = m.input("valid", 1, "a line enters");
        let last = m.input("last", 1, "last line of the row");
        let weight = m.output("weight", self.lanes * WEIGHT_BITS, "weight of key k");
        let valid_out = m.output("valid", 1, "a line leaves");

        m.section("prefix sums over the line: lane k holds e of keys 0 to k");
        // Modulo 2^22: only differences of their upper 16 bits count, and a weight has no more.
        let mut prefix: Vec<Sig> = e.lanes(EXPONENTIAL_BITS).to_vec();
        for level in 0..self.levels() {
            let reach = 1 << level;
            prefix = (0..self.lanes)
                .map(|k| {
                    let value = match k.checked_sub(reach) {
                        Some(below) => prefix[k].wrapping_add(prefix[below]),
                        None => prefix[k],
                    };
                    let register =
                        m.register(&format!("prefix{level}_{k}_q"), value.ty(), None, "");
                    register.next(value);
                    *register
                })
                .collect();
        }

        m.section("the carry of the lines before joins; its whole units have been handed out");
        let line_valid = delay_flag(m, "line_valid", valid, self.levels());
        let line_last = delay(m, "line_last", last, self.levels());
        let start = m.constant(
            "CARRY_START",
            1 << (WEIGHT_SHIFT - 1),
            WEIGHT_SHIFT,
            "one half",
        );
        reg!(m, carry_q: WEIGHT_SHIFT, reset = 1 << (WEIGHT_SHIFT - 1), "in 1/64 of a weight");
        let carry = carry_q.extend(EXPONENTIAL_BITS);
        let totals: Vec<Sig> = prefix
            .iter()
            .enumerate()
            .map(|(k, value)| m.net(&format!("total{k}"), value.wrapping_add(carry), ""))
            .collect();
        let end = totals[self.lanes - 1];
        carry_q.next_when(
            line_valid,
            line_last.select(start, end.slice(0, WEIGHT_SHIFT)),
        );
        let units: Vec<Sig> = totals
            .iter()
            .enumerate()
            .map(|(k, total)| {
                if k + 1 < self.lanes {
                    let low = total.slice(0, WEIGHT_SHIFT);
                    m.unused(&format!("total{k}_low"), low, "carried on in the last lane");
                }
                let units = total.slice(WEIGHT_SHIFT, WEIGHT_BITS);
                let register = m.register(&format!("units{k}_q"), units.ty(), None, "");
                register.next(units);
                *register
            })
            .collect();

        m.section("weights: differences of the whole units");
        let unit_valid = delay_flag(m, "unit_valid", line_valid, 1);
        let weights: Vec<Sig> = (0..self.lanes)
            .map(|k| {
                let below = k.checked_sub(1).map(|below| units[below]);
                below.map_or(units[k], |below| units[k].wrapping_sub(below))
            })
            .collect();
        reg!(m, weight_q = m.pack(&weights));
        weight.drive(weight_q);
        valid_out.drive(delay_flag(m, "weight_valid", unit_valid, 1));
    }
}
