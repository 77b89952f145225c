//! The exponential table unit in hardware.

use super::golden::{
    POSITION_BITS, SLOPE_BITS, TABLE_ENTRIES, TABLE_INDEX_BITS, VALUE_BITS, table,
};
use crate::cells::delay::{delay, delay_flag};
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Ty};
use crate::numerics::{EXPONENT_BITS, EXPONENT_FRACTION_BITS, EXPONENTIAL_BITS};
use crate::{net, reg};

/// `e = 2^-x`: x in UQ5.12, e in u22 where 1.0 is 65535 * 64; a new value every cycle.
///
/// | stage | work                                                               |
/// |-------|--------------------------------------------------------------------|
/// | 1     | the table entry (value, slope) of the 6 leading fraction bits      |
/// | 2, 3  | slope times the position behind the entry                          |
/// | 4     | the rounded fall subtracted from the value, in one subtraction     |
/// | 5     | shifted right by the integer part, one bit more than the result    |
/// | 6     | rounded half up                                                    |
///
/// - Latency: [`Exp2::LATENCY`] cycles; interval: 1 cycle.
/// - Stalls: none; `valid_o` is `valid_i` delayed, and values of cycles without `valid_i` are not meant to be read.
#[derive(Clone, Debug)]
pub struct Exp2;

impl Exp2 {
    /// Cycles from x to e.
    pub const LATENCY: usize = 6;
}

impl Block for Exp2 {
    fn name(&self) -> String {
        "spatten_exp2".into()
    }

    fn about(&self) -> About {
        About {
            purpose: format!(
                "Exponential table unit: e = 2^-x.\n\
                 A table of {TABLE_ENTRIES} lines over one octave, then a right shift by the integer part of x, rounded\n\
                 half up. The table is computed in src/cells/exp2/golden.rs."
            ),
            parameters: vec![("latency", format!("{} cycles", Self::LATENCY))],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let valid = m.input("valid", 1, "x enters");
        let x = m.input("x", EXPONENT_BITS, "UQ5.12");
        let valid_out = m.output("valid", 1, "e leaves");
        let e = m.output("e", EXPONENTIAL_BITS, "unsigned, 1.0 is 65535 * 64");
        valid_out.drive(delay_flag(m, "valid", valid, Self::LATENCY));

        m.section("1: the line that the fraction of x falls on");
        let index = x.slice(POSITION_BITS, TABLE_INDEX_BITS);
        let lines: Vec<_> = (0..)
            .zip(table())
            .map(|(index, entry)| {
                let value = m.lit(entry.value as u64, VALUE_BITS);
                let slope = m.lit(entry.slope as u64, SLOPE_BITS);
                (index, m.cat(&[value, slope]))
            })
            .collect();
        let line = m.case(
            "line",
            index,
            &lines[..lines.len() - 1],
            lines[lines.len() - 1].1,
            "value where the line starts, and its fall over the whole line",
        );
        reg!(m, start_q = line.slice(SLOPE_BITS, VALUE_BITS));
        reg!(m, slope_q = line.slice(0, SLOPE_BITS));
        reg!(m, position_q = x.slice(0, POSITION_BITS));
        let octave = x.slice(
            EXPONENT_FRACTION_BITS,
            EXPONENT_BITS - EXPONENT_FRACTION_BITS,
        );
        reg!(m, octave_q = octave);

        m.section("2, 3: how far the line has fallen at this position");
        let slope = slope_q.to_signed();
        let multiplier = Multiplier {
            a_bits: slope.width(),
            b: Ty::unsigned(POSITION_BITS),
            stages: 2,
        };
        let product = m
            .instance("u_fall", &multiplier)
            .input("a", slope)
            .input("b", *position_q)
            .output("product");
        let fall = product.slice(0, SLOPE_BITS + POSITION_BITS);
        m.unused("fall_sign", product.msb(), "zero: a slope is not negative");
        let start = delay(m, "start_3", *start_q, multiplier.latency());
        let octave = delay(m, "octave_3", *octave_q, multiplier.latency());

        m.section("4: value on the line");
        // start - ((fall + 32) >> 6) = ((start << 6) + 31 - fall) >> 6: rounding costs no addition.
        let below_half = m.lit((1 << (POSITION_BITS - 1)) - 1, POSITION_BITS);
        let from = m.cat(&[start, below_half]);
        net!(
            m,
            on_line = from.wrapping_sub(fall.extend(from.width())),
            "with fraction bits; the low half of 63 makes the cut round the fall half up"
        );
        m.unused(
            "on_line_fraction",
            on_line.slice(0, POSITION_BITS),
            "cut off, which rounds",
        );
        reg!(
            m,
            mantissa_q = on_line.slice(POSITION_BITS, VALUE_BITS),
            "in [1/2, 1]"
        );
        reg!(m, octave_4_q = octave);

        m.section("5: shifted by the integer part of x");
        let guard = EXPONENTIAL_BITS - VALUE_BITS + 1;
        net!(
            m,
            wide = mantissa_q.shift_left(guard),
            "as wide as e, and a bit below it to round"
        );
        reg!(m, shifted_q = wide.shift_right_by(octave_4_q));

        m.section("6: rounded half up");
        let round = shifted_q.bit(0).extend(EXPONENTIAL_BITS);
        reg!(
            m,
            e_q = shifted_q.slice(1, EXPONENTIAL_BITS).wrapping_add(round)
        );
        e.drive(e_q);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::exp2::golden::exp2_negative;
    use crate::cells::pipeline_test::check;
    use num_bigint::BigUint;

    #[test]
    fn equals_the_golden_model_in_every_line_and_octave() {
        // 37 is odd, so every position on a line and every line is met; all octaves anyway.
        let vectors: Vec<_> = (0_u64..1 << EXPONENT_BITS)
            .step_by(37)
            .chain([1, (1 << EXPONENT_BITS) - 1])
            .map(|x| {
                let e = exp2_negative(x as i64) as u64;
                let inputs = vec![("x", BigUint::from(x))];
                (inputs, vec![("e", BigUint::from(e))])
            })
            .collect();
        check(&Exp2, Exp2::LATENCY, &vectors);
    }
}
