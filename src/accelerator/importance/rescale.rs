//! Rescaling of a stored score: old importance counts less than new.

use super::wide_product::{self, wide_product};
use crate::hdl::{About, Block, Builder};
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
    /// Cycles from a score to the rescaled one.
    pub fn latency(&self) -> usize {
        wide_product::LATENCY + 1
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
        let bits = self.score_bits;
        let score = m.input("score", bits, "");
        let factor = m.input("factor", RESCALE_BITS, "at most 2^15, which is 1; steady");
        let out = m.output("rescaled", bits, "");

        m.section("product, and the half that rounds");
        net!(m, product = wide_product(m, score, factor));
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
            product.slice(above, product.width() - above),
            "zero: the factor is at most 1",
        );
        net!(m, rounded = kept.wrapping_add(one));
        m.unused("rounded_half", rounded.bit(0), "rounded away");
        reg!(m, rescaled_q = rounded.slice(1, bits));
        out.drive(rescaled_q);
    }
}
