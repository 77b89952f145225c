//! Processing element of `prob_value`: one output element, accumulated over the lines of a row.

use crate::cells::adder_tree::AdderTree;
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Ty};
use crate::numerics::WEIGHT_BITS;
use crate::{net, reg};

/// `banks` multipliers of a weight and a V element, their sum, and the accumulator of one output element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbValueColumn {
    /// Multipliers: vectors of the largest head dimension in a line.
    pub banks: usize,
    /// Bits of a V element (signed).
    pub value_bits: usize,
    /// Bits of the accumulator (signed).
    pub accumulator_bits: usize,
}

impl ProbValueColumn {
    pub(crate) fn multiplier(&self) -> Multiplier {
        Multiplier {
            a_bits: self.value_bits,
            b: Ty::unsigned(WEIGHT_BITS),
            stages: 3,
        }
    }

    pub(crate) fn tree(&self) -> AdderTree {
        let product = Ty::signed(self.value_bits + WEIGHT_BITS);
        AdderTree::total(self.banks, product, 1)
    }

    /// Cycles from the operands to the sum that enters the accumulator.
    pub fn sum_latency(&self) -> usize {
        1 + self.multiplier().latency() + self.tree().latency()
    }

    /// Cycles from a row's last operands until `hold` may copy the accumulator.
    pub fn latency(&self) -> usize {
        self.sum_latency() + 1
    }
}

impl Block for ProbValueColumn {
    fn name(&self) -> String {
        format!(
            "spatten_prob_value_column_b{}_v{}",
            self.banks, self.value_bits
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Processing element of prob_value: weights times one element of the V vectors of a line,\n\
                      accumulated over a row; the finished sum is held while the next row accumulates."
                .into(),
            parameters: vec![
                ("banks", self.banks.to_string()),
                ("value_bits", self.value_bits.to_string()),
                ("accumulator_bits", self.accumulator_bits.to_string()),
                ("latency", self.latency().to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let wide = self.accumulator_bits;
        let load = m.input("load", 1, "take operands");
        let value = m.input(
            "value",
            self.banks * self.value_bits,
            "V element of bank k, signed",
        );
        let weight = m.input("weight", self.banks * WEIGHT_BITS, "weight of bank k");
        let accumulate_doc = format!("add the sum of operands {} cycles ago", self.sum_latency());
        let accumulate = m.input("accumulate", 1, &accumulate_doc);
        let first = m.input("first", 1, "with accumulate: begin a row");
        let hold = m.input("hold", 1, "copy the accumulator");
        let held = m.output("held", Ty::signed(wide), "finished sum of the row");

        m.section("operands");
        reg!(m, value_q = value, when = load);
        reg!(m, weight_q = weight, when = load);

        m.section("products and their sum");
        let product_bits = self.value_bits + WEIGHT_BITS;
        let products = m.wire(
            "products",
            self.banks * product_bits,
            "product of bank k, signed",
        );
        m.generate("g_multiplier", self.banks, |k| {
            let u_multiplier = m.instance("u_multiplier", &self.multiplier());
            u_multiplier
                .input("a", value_q.lanes(Ty::signed(self.value_bits)).at(k))
                .input("b", weight_q.lanes(WEIGHT_BITS).at(k));
            products.drive_lane(k, u_multiplier.output("product").as_unsigned());
        });
        let u_tree = m.instance("u_tree", &self.tree());
        u_tree
            .input("terms", products)
            .input("valid", m.lit(1, 1))
            .ignore("valid", "prob_value delays one flag for all columns");
        let sum = u_tree.output("sums").as_signed().extend(wide);

        m.section("accumulator");
        reg!(m, accumulator_q: Ty::signed(wide));
        net!(
            m,
            so_far = first.select(m.lit_signed(0, wide), accumulator_q)
        );
        accumulator_q.next_when(accumulate, so_far.wrapping_add(sum));
        reg!(m, held_q = accumulator_q, when = hold);
        held.drive(held_q);
    }
}
