//! Processing element of `prob_value`: neighbouring output elements that share their weights.

use super::column::ProbValueColumn;
use crate::cells::delay::{delay, delay_flag};
use crate::hdl::{About, Block, Builder};
use crate::numerics::WEIGHT_BITS;
use crate::reg;

/// `columns` output elements: operand registers, the weights' shared by all columns, and the flags' delay lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbValueElement {
    /// Output elements.
    pub columns: usize,
    /// One of the columns.
    pub column: ProbValueColumn,
}

impl ProbValueElement {
    /// Cycles from a row's last operands to its finished sums.
    pub fn latency(&self) -> usize {
        1 + self.column.latency()
    }
}

impl Block for ProbValueElement {
    fn name(&self) -> String {
        let ProbValueColumn {
            banks, value_bits, ..
        } = self.column;
        format!(
            "spatten_prob_value_element_n{}_b{banks}_v{value_bits}",
            self.columns
        )
    }

    fn about(&self) -> About {
        About {
            purpose: format!(
                "Processing element of prob_value: the weighted sums of {} neighbouring elements of V, which share\n\
                 their weights. Operands are taken in every cycle; the flags beside them tell which ones count.",
                self.columns
            ),
            parameters: vec![
                ("columns", self.columns.to_string()),
                ("banks", self.column.banks.to_string()),
                ("value_bits", self.column.value_bits.to_string()),
                ("accumulator_bits", self.column.accumulator_bits.to_string()),
                ("latency", self.latency().to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let ProbValueColumn {
            banks,
            value_bits,
            accumulator_bits,
        } = self.column;
        let valid = m.input("valid", 1, "the operands count");
        let first = m.input("first", 1, "with valid: they begin a row");
        let last = m.input("last", 1, "with valid: they end a row");
        let bank_bits = self.columns * value_bits;
        let value = m.input(
            "value",
            banks * bank_bits,
            "V elements of the columns, signed, bank by bank",
        );
        let weight = m.input("weight", banks * WEIGHT_BITS, "weight of bank k");
        let held = m.output(
            "held",
            self.columns * accumulator_bits,
            "finished sum of column k, signed",
        );

        m.section("operands");
        let values: Vec<_> = (0..banks)
            .map(|b| {
                let register = m.register(&format!("value{b}_q"), bank_bits, None, "");
                register.next(value.slice(b * bank_bits, bank_bits));
                register.lanes(value_bits)
            })
            .collect();
        reg!(m, weight_q = weight);

        m.section("flags, as late as the columns want them");
        let cycles = 1 + self.column.flag_delay();
        let valid = delay_flag(m, "valid", valid, cycles);
        let first = delay(m, "first", first, cycles);
        let last = delay(m, "last", last, cycles);

        m.section("columns");
        m.generate("g_column", self.columns, |k| {
            let operands: Vec<_> = values.iter().map(|bank| bank.at(k)).collect();
            let u_column = m.instance("u_column", &self.column);
            u_column
                .input("value", m.pack(&operands))
                .input("weight", weight_q)
                .input("accumulate", valid)
                .input("first", first)
                .input("last", last);
            held.drive_lane(k, u_column.output("held").as_unsigned());
        });
    }
}
