//! Sum of a row's exponentials, which 1/S is made from.

use crate::cells::adder_tree::AdderTree;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::reciprocal::Reciprocal;
use crate::hdl::{About, Block, Builder, Sig, Stream, Ty};
use crate::numerics::{EXPONENTIAL_BITS, SUM_BITS, WEIGHT_SHIFT};
use crate::{net, reg};

/// S = (sum of e + 32) >> 6 over the lines of a row, dead keys having e = 0.
///
/// - Latency: [`RowSum::latency`] cycles from a row's last line to S; interval: one line per cycle, also from row to row.
/// - Stalls: none; `valid_o` marks the cycle of a row's sum.
#[derive(Clone, Debug)]
pub struct RowSum {
    /// Exponentials of a line.
    pub lanes: usize,
}

/// Bits of the sum before the shift.
const TOTAL_BITS: usize = SUM_BITS + WEIGHT_SHIFT;
/// Low bits that are summed one cycle ahead of the others: 34 bits in one addition would set the clock.
const LOW_BITS: usize = TOTAL_BITS / 2;

impl RowSum {
    pub(crate) fn tree(&self) -> AdderTree {
        AdderTree::total(self.lanes, Ty::unsigned(EXPONENTIAL_BITS), 1)
    }

    /// Cycles from a row's last line to its sum: those of the tree, then the low and the high half of the row's sum.
    pub fn latency(&self) -> usize {
        self.tree().latency() + 2
    }
}

impl Block for RowSum {
    fn name(&self) -> String {
        format!("spatten_row_sum_l{}", self.lanes)
    }

    fn about(&self) -> About {
        About {
            purpose: "Sum of a row: S = (sum of e + 32) >> 6 over its lines.".into(),
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
        let valid_out = m.output("valid", 1, "a row's sum leaves");
        let sum_out = m.output("sum", SUM_BITS, "S");

        m.section("sum of the line");
        let tree = self.tree();
        let u_tree = m.instance("u_tree", &tree);
        u_tree
            .input("terms", e)
            .input("valid", m.lit(1, 1))
            .ignore("valid", "line_valid runs in step with the tree");
        let line = m.net("line", u_tree.output("sums"), "");
        let line_valid = delay_flag(m, "line_valid", valid, tree.latency());
        let line_last = delay(m, "line_last", last, tree.latency());

        m.section("low half of the row's sum, which starts at one half of S");
        reg!(m, low_first_q: 1, reset = 1, "the next line is a row's first");
        low_first_q.next_when(line_valid, line_last);
        let start = m.constant("START", 1 << (WEIGHT_SHIFT - 1), LOW_BITS, "one half");
        reg!(m, low_q: LOW_BITS);
        net!(m, low_before = low_first_q.select(start, low_q));
        net!(m, low = low_before + line.slice(0, LOW_BITS));
        low_q.next_when(line_valid, low.slice(0, LOW_BITS));
        reg!(m, carry_q = low.bit(LOW_BITS), "into the high half");
        reg!(
            m,
            line_high_q = line.slice(LOW_BITS, line.width() - LOW_BITS)
        );
        let high_valid = delay_flag(m, "high_valid", line_valid, 1);
        let high_last = delay(m, "high_last", line_last, 1);

        m.section("high half, one cycle later");
        let high_bits = TOTAL_BITS - LOW_BITS;
        reg!(m, high_first_q: 1, reset = 1);
        high_first_q.next_when(high_valid, high_last);
        reg!(m, high_q: high_bits);
        net!(
            m,
            high_before = high_first_q.select(m.lit(0, high_bits), high_q)
        );
        let added = line_high_q
            .extend(high_bits)
            .wrapping_add(carry_q.extend(high_bits));
        high_q.next_when(high_valid, high_before.wrapping_add(added));

        m.section("S");
        reg!(m, row_valid_q = high_valid & high_last, reset = 0);
        reg!(
            m,
            row_low_q = low_q.slice(WEIGHT_SHIFT, LOW_BITS - WEIGHT_SHIFT)
        );
        valid_out.drive(row_valid_q);
        sum_out.drive(m.cat(&[*high_q, *row_low_q]));
    }
}

impl RowSum {
    /// The reciprocals of rows' sums, waiting: `u_<name>_sum` -> `u_<name>_reciprocal` -> `u_<name>_fifo`. The caller counts
    /// the `rows` places.
    pub(super) fn reciprocals<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        (e, valid, last): (Sig<'m>, Sig<'m>, Sig<'m>),
        rows: usize,
    ) -> Stream<'m> {
        let u_sum = m.instance(&format!("u_{name}_sum"), self);
        u_sum
            .input("e", e)
            .input("valid", valid)
            .input("last", last);
        let u_reciprocal = m.instance(&format!("u_{name}_reciprocal"), &Reciprocal);
        u_reciprocal
            .input("valid", u_sum.output("valid"))
            .input("sum", u_sum.output("sum"));
        let found = u_reciprocal.output("valid");
        let place = m.wire(&format!("{name}_place"), 1, "");
        m.never(found & !place, "a reciprocal found no place");
        let fields = ["r", "k"].map(|name| (name.to_owned(), u_reciprocal.output(name)));
        let found = Stream::new(found, place, fields.into());
        let fifo = Fifo::new(found.width(), rows);
        m.through(&format!("u_{name}_fifo"), &fifo, found)
    }
}
