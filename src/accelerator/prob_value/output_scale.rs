//! Output scaling: an accumulator times the reciprocal of the row's sum, rounded and saturated.

use crate::cells::delay::delay;
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Ty};
use crate::numerics::{
    ACCUMULATOR_GUARD_BITS, Formats, OUTPUT_FRACTION_BITS, RECIPROCAL_BITS,
    RECIPROCAL_EXPONENT_BITS,
};
use crate::{net, reg};

/// accn = acc >> max(k - 12, 0) (floor); out = saturate(rshr(accn * r, 26)).
#[derive(Clone, Debug)]
pub struct OutputScale {
    /// Operand formats.
    pub formats: Formats,
}

impl OutputScale {
    /// Bits dropped after the product: accn has 12 guard bits, r 18 fraction bits, the output 4.
    pub const SHIFT: usize = ACCUMULATOR_GUARD_BITS + RECIPROCAL_BITS - OUTPUT_FRACTION_BITS;

    /// Bits of accn: |acc| < 2^(k + 1) * 2^(value_bits - 1).
    fn normalised_bits(&self) -> usize {
        self.formats.value_bits + ACCUMULATOR_GUARD_BITS + 1
    }

    pub(crate) fn multiplier(&self) -> Multiplier {
        Multiplier {
            a_bits: self.normalised_bits(),
            b: Ty::unsigned(RECIPROCAL_BITS),
            stages: 4,
        }
    }

    /// Cycles from the accumulator to the output.
    pub fn latency(&self) -> usize {
        1 + self.multiplier().latency() + 2
    }
}

impl Block for OutputScale {
    fn name(&self) -> String {
        format!("spatten_output_scale_v{}", self.formats.value_bits)
    }

    fn about(&self) -> About {
        About {
            purpose: "One lane of the output scaling: the row's weighted sum times the reciprocal of its weights' sum,\n\
                      rounded half up to four fraction bits and saturated; 0 for an empty row."
                .into(),
            parameters: vec![
                ("value_bits", self.formats.value_bits.to_string()),
                ("latency", self.latency().to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let wide = self.formats.accumulator_bits();
        let output_bits = self.formats.output_bits();
        let sum = m.input("sum", Ty::signed(wide), "accumulator of the row");
        let r = m.input("r", RECIPROCAL_BITS, "1/S = r * 2^-(k + 18)");
        let k = m.input("k", RECIPROCAL_EXPONENT_BITS, "floor(log2 S)");
        let out = m.output(
            "out",
            Ty::signed(output_bits),
            "output, four fraction bits of V",
        );

        m.section("accn: the accumulator in units that fit k");
        let guard = ACCUMULATOR_GUARD_BITS as u64;
        net!(m, past = k.ge(m.lit(guard, k.width())));
        let past_guard = k.wrapping_sub(m.lit(guard, k.width()));
        net!(m, amount = past.select(past_guard, m.lit(0, k.width())));
        net!(m, shifted = sum.shift_right_by(amount));
        let bits = self.normalised_bits();
        m.unused(
            "shifted_high",
            shifted.slice(bits, wide - bits),
            "copies of the sign",
        );
        reg!(m, accn_q = shifted.truncate(bits));

        m.section("product with the reciprocal");
        let multiplier = self.multiplier();
        let u_scale = m.instance("u_scale", &multiplier);
        u_scale.input("a", accn_q).input("b", delay(m, "r", r, 1));
        let product = u_scale.output("product");

        m.section("rounded half up and saturated");
        let half = m.lit_signed(1 << (Self::SHIFT - 1), Self::SHIFT + 1);
        reg!(m, rounded_q = product + half);
        m.unused("fraction", rounded_q.slice(0, Self::SHIFT), "rounded away");
        let whole = rounded_q.shift_right(Self::SHIFT);
        let high = whole.slice(output_bits - 1, whole.width() - output_bits + 1);
        net!(m, fits = high.all() | !high.any());
        net!(m, negative = whole.msb());
        let limit = m.cat(&[negative, (!negative).repeat(output_bits - 1)]);
        reg!(
            m,
            out_q = fits.select(whole.truncate(output_bits), limit.as_signed())
        );
        out.drive(out_q);
    }
}
