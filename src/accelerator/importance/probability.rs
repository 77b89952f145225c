//! One lane of the probabilities that importance adds up.

use crate::cells::delay::delay;
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Ty};
use crate::numerics::{
    EXPONENTIAL_BITS, PROBABILITY_BITS, RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, WEIGHT_SHIFT,
};
use crate::{net, reg};

/// p = min(65535, rshr(rshr(e, 6) * r, k + 2)).
///
/// - Latency: [`Probability::latency`] cycles; interval: 1 cycle.
/// - Stalls: none.
#[derive(Clone, Debug)]
pub struct Probability;

impl Probability {
    /// Bits of rshr(e, 6), which rounding can carry to 2^16.
    const ROUNDED_BITS: usize = EXPONENTIAL_BITS - WEIGHT_SHIFT + 1;

    /// Fraction bits that 1/S has beyond those of p, beside those of k.
    const SHIFT: usize = RECIPROCAL_BITS - PROBABILITY_BITS;

    pub(crate) fn multiplier(&self) -> Multiplier {
        Multiplier {
            a_bits: Self::ROUNDED_BITS + 1,
            b: Ty::unsigned(RECIPROCAL_BITS),
            stages: 3,
        }
    }

    /// Cycles from an exponential to its probability.
    pub fn latency(&self) -> usize {
        1 + self.multiplier().latency() + 2
    }
}

impl Block for Probability {
    fn name(&self) -> String {
        "spatten_probability".into()
    }

    fn about(&self) -> About {
        About {
            purpose: "Probability of a key: its exponential times the reciprocal of the row's sum, rounded half up to\n\
                      16 fraction bits; 1.0 is the largest number."
                .into(),
            parameters: vec![("latency", self.latency().to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let e = m.input("e", EXPONENTIAL_BITS, "exponential, 0 where dead");
        let r = m.input("r", RECIPROCAL_BITS, "1/S = r * 2^-(k + 18)");
        let k = m.input("k", RECIPROCAL_EXPONENT_BITS, "floor(log2 S)");
        let p = m.output("p", PROBABILITY_BITS, "UQ0.16");

        m.section("the exponential in 16 bits, rounded half up");
        let whole = e.slice(WEIGHT_SHIFT, EXPONENTIAL_BITS - WEIGHT_SHIFT);
        let half = e.bit(WEIGHT_SHIFT - 1).extend(Self::ROUNDED_BITS);
        m.unused("below_half", e.slice(0, WEIGHT_SHIFT - 1), "rounded away");
        let rounded = whole.extend(Self::ROUNDED_BITS).wrapping_add(half);
        reg!(m, rounded_q = rounded);

        m.section("times r");
        let multiplier = self.multiplier();
        let u_product = m.instance("u_product", &multiplier);
        let operand = m.cat(&[m.lit(0, 1), *rounded_q]).as_signed();
        u_product
            .input("a", operand)
            .input("b", delay(m, "r", r, 1));
        let product = u_product.output("product");

        m.section("shifted by k and two, the last place after a rounding");
        let amount = delay(m, "k", k, 1 + multiplier.latency());
        let magnitude = product.truncate(product.width() - 1).as_unsigned();
        m.unused("sign", product.msb(), "never negative");
        net!(m, magnitude = magnitude);
        let fixed = magnitude.slice(Self::SHIFT - 1, magnitude.width() - Self::SHIFT + 1);
        m.unused(
            "far_below",
            magnitude.slice(0, Self::SHIFT - 1),
            "below the half",
        );
        net!(m, fixed = fixed);
        reg!(m, shifted_q = fixed.shift_right_by(amount));
        let sum = shifted_q.wrapping_add(m.lit(1, shifted_q.width()));
        net!(m, sum = sum);
        m.unused("half", sum.bit(0), "rounded away");
        let most = m.lit((1 << PROBABILITY_BITS) - 1, PROBABILITY_BITS);
        let over = sum.slice(PROBABILITY_BITS + 1, sum.width() - PROBABILITY_BITS - 1);
        reg!(
            m,
            p_q = over.any().select(most, sum.slice(1, PROBABILITY_BITS))
        );
        p.drive(p_q);
    }
}
