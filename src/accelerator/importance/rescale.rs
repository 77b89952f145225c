//! Rescaling of a stored score: old importance counts less than new.

use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Ty};
use crate::numerics::{RESCALE_BITS, RESCALE_FRACTION_BITS};
use crate::{net, reg};

/// rshr(score * factor, 15), a factor of at most 2^15 being 1.
///
/// - Latency: [`Rescale::latency`] cycles; interval: 1 cycle.
/// - Stalls: none.
#[derive(Clone, Debug)]
pub struct Rescale {
    /// Bits of a score, unsigned, even.
    pub score_bits: usize,
}

impl Rescale {
    fn multiplier(&self) -> Multiplier {
        Multiplier {
            a_bits: self.score_bits / 2 + 1,
            b: Ty::unsigned(RESCALE_BITS),
            stages: 3,
        }
    }

    /// Cycles from a score to the rescaled one.
    pub fn latency(&self) -> usize {
        self.multiplier().latency() + 2
    }
}

impl Block for Rescale {
    fn name(&self) -> String {
        format!("spatten_rescale_w{}", self.score_bits)
    }

    fn about(&self) -> About {
        About {
            purpose: "A score times a factor of at most 1, which has 15 fraction bits, rounded half up.\n\
                      The halves of the score are multiplied apart."
                .into(),
            parameters: vec![
                ("score_bits", self.score_bits.to_string()),
                ("latency", self.latency().to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (bits, half) = (self.score_bits, self.score_bits / 2);
        let score = m.input("score", bits, "");
        let factor = m.input("factor", RESCALE_BITS, "at most 2^15, which is 1; steady");
        let out = m.output("rescaled", bits, "");

        m.section("products of the halves");
        let [low, high] = [("low", 0), ("high", half)].map(|(name, at)| {
            let part = m.cat(&[m.lit(0, 1), score.slice(at, half)]).as_signed();
            let product = m
                .instance(&format!("u_{name}_product"), &self.multiplier())
                .input("a", part)
                .input("b", factor)
                .output("product");
            m.unused(&format!("{name}_sign"), product.msb(), "never negative");
            let product = product.truncate(product.width() - 1).as_unsigned();
            m.net(&format!("{name}_product"), product, "")
        });

        m.section("their sum, and the half that rounds");
        let wide = bits + RESCALE_BITS;
        let carried = low.slice(half, low.width() - half).extend(wide - half);
        reg!(m, upper_q = high.extend(wide - half).wrapping_add(carried));
        reg!(m, lower_q = low.slice(0, half));
        net!(m, product = m.cat(&[*upper_q, *lower_q]));
        let kept = product.slice(RESCALE_FRACTION_BITS - 1, bits + 1);
        let one = m.lit(1, bits + 1);
        m.unused(
            "product_low",
            product.slice(0, RESCALE_FRACTION_BITS - 1),
            "below the half",
        );
        let above = RESCALE_FRACTION_BITS + bits;
        m.unused(
            "product_high",
            product.slice(above, wide - above),
            "zero: the factor is at most 1",
        );
        net!(m, rounded = kept.wrapping_add(one));
        m.unused("rounded_half", rounded.bit(0), "rounded away");
        reg!(m, rescaled_q = rounded.slice(1, bits));
        out.drive(rescaled_q);
    }
}
