//! The rule: whether a row's first scores suffice.

use crate::cells::delay::{delay, delay_flag};
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Ty};
use crate::numerics::{NOISE_BITS, SUM_BITS};
use crate::{net, reg};

/// By threshold S > TS; by noise N > T and S * (N - T) > 65535 * N.
///
/// - Latency: [`Judge::latency`]; interval: 1 cycle; no stalls.
#[derive(Clone, Debug)]
pub struct Judge;

impl Judge {
    /// (N - T) * S; a sign bit above the unsigned difference.
    pub(crate) fn multiplier(&self) -> Multiplier {
        Multiplier {
            a_bits: NOISE_BITS + 1,
            b: Ty::unsigned(SUM_BITS),
            stages: 4,
        }
    }

    /// Cycles from the sum to the verdict: operands, difference, product, comparison.
    pub fn latency(&self) -> usize {
        2 + self.multiplier().latency() + 1
    }
}

impl Block for Judge {
    fn name(&self) -> String {
        "spatten_judge".into()
    }

    fn about(&self) -> About {
        About {
            purpose: "Rule of a row: it is refined where its exponentials' sum S exceeds a limit TS, or where its\n\
                      query's noise N exceeds a limit T and S * (N - T) > 65535 * N."
                .into(),
            parameters: vec![("latency", self.latency().to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let valid = m.input("valid", 1, "a row enters");
        let sum = m.input("sum", SUM_BITS, "S");
        let by_noise = m.input("by_noise", 1, "the row's rule is that of noise");
        let confident_sum = m.input("confident_sum", SUM_BITS, "TS");
        let limit = m.input("noise_limit", NOISE_BITS, "T");
        let noise = m.input("noise", NOISE_BITS, "N");
        let valid_out = m.output("valid", 1, "a verdict leaves");
        let refetch = m.output("refetch", 1, "the row is refined");

        m.section("operands");
        reg!(m, sum_q = sum);
        reg!(m, by_noise_q = by_noise);
        reg!(m, confident_sum_q = confident_sum);
        reg!(m, limit_q = limit);
        reg!(m, noise_q = noise);

        m.section("differences from the limits");
        reg!(m, over_q = sum_q.gt(confident_sum_q) & !by_noise_q);
        reg!(m, noisy_q = noise_q.gt(limit_q) & by_noise_q);
        reg!(m, excess_q = noise_q.wrapping_sub(limit_q));
        reg!(m, factor_q = *sum_q);
        let all = noise_q.shift_left(NOISE_BITS);
        reg!(
            m,
            bound_q = all.wrapping_sub(noise_q.extend(2 * NOISE_BITS)),
            "65535 * N"
        );

        m.section("product");
        let multiplier = self.multiplier();
        let u_product = m.instance("u_product", &multiplier);
        u_product
            .input("a", excess_q.to_signed())
            .input("b", factor_q);
        let product = u_product.output("product").as_unsigned();
        let bits = NOISE_BITS + SUM_BITS;
        m.unused(
            "product_sign",
            product.slice(bits, product.width() - bits),
            "neither factor is negative",
        );
        let latency = multiplier.latency();
        let bound = delay(m, "bound_late", *bound_q, latency);
        let over = delay(m, "over_late", *over_q, latency);
        let noisy = delay(m, "noisy_late", *noisy_q, latency);

        m.section("verdict");
        net!(m, exceeds = product.slice(0, bits).gt(bound.extend(bits)));
        reg!(m, refetch_q = over | (noisy & exceeds));
        refetch.drive(refetch_q);
        valid_out.drive(delay_flag(m, "valid", valid, self.latency()));
    }
}
