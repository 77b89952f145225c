//! One output element of `prob_value`: products, their sum, and the accumulator over the lines of a row.

use crate::cells::adder_tree::AdderTree;
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Ty};
use crate::numerics::WEIGHT_BITS;
use crate::{net, reg};

/// `banks` multipliers of a weight and a V element, their sum, and the accumulator of one output element.
///
/// The operands come from registers of the [`ProbValueElement`](super::ProbValueElement) around it, the flags from its
/// delay lines; they are registered once more here, so that each drives the bits of one accumulator only.
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

    /// Cycles by which the flags follow their operands: one less than the sum takes, because they are registered.
    pub fn flag_delay(&self) -> usize {
        self.sum_latency() - 1
    }

    /// Cycles from the operands of a row's last line to the finished sum.
    pub fn latency(&self) -> usize {
        self.sum_latency() + 2
    }

    fn sum_latency(&self) -> usize {
        self.multiplier().latency() + self.tree().latency()
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
            purpose: format!(
                "Column of prob_value: weights times one element of the V vectors of a line, accumulated over a\n\
                 row; the finished sum is held while the next row accumulates. Flags enter {} cycles after their\n\
                 operands.",
                self.flag_delay()
            ),
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
        let value = m.input(
            "value",
            self.banks * self.value_bits,
            "V element of bank k, signed",
        );
        let weight = m.input("weight", self.banks * WEIGHT_BITS, "weight of bank k");
        let accumulate = m.input("accumulate", 1, "the operands count");
        let first = m.input("first", 1, "with accumulate: they begin a row");
        let last = m.input("last", 1, "with accumulate: they end a row");
        let held = m.output("held", Ty::signed(wide), "finished sum of the row");

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
                .input("a", value.lanes(Ty::signed(self.value_bits)).at(k))
                .input("b", weight.lanes(WEIGHT_BITS).at(k));
            products.drive_lane(k, u_multiplier.output("product").as_unsigned());
        });
        let u_tree = m.instance("u_tree", &self.tree());
        u_tree
            .input("terms", products)
            .input("valid", m.lit(1, 1))
            .ignore("valid", "the element delays flags for all its columns");
        let sum = u_tree.output("sums").as_signed().extend(wide);

        m.section("accumulator; flags meet their sum");
        reg!(m, accumulate_q = accumulate);
        reg!(m, first_q = first);
        reg!(m, accumulator_q: Ty::signed(wide));
        net!(
            m,
            so_far = first_q.select(m.lit_signed(0, wide), accumulator_q)
        );
        accumulator_q.next_when(accumulate_q, so_far.wrapping_add(sum));

        m.section("the finished sum");
        reg!(m, last_q = last & accumulate);
        reg!(m, hold_q = *last_q);
        reg!(m, held_q = accumulator_q, when = hold_q);
        held.drive(held_q);
    }
}
