//! Pipelined restoring divider: one quotient per cycle.

use super::delay::delay_flag;
use crate::hdl::{About, Block, Builder, Sig};

/// `quotient = min(floor(numerator * 2^fraction_bits / denominator), 2^quotient_bits - 1)`, all unsigned, a new one
/// every cycle. A denominator of zero gives the largest quotient.
///
/// A step brings one more bit of the dividend `numerator * 2^fraction_bits` behind the remainder and subtracts the
/// denominator where it fits; that it fits is the quotient's next bit. What lies above the quotient's reach is the
/// remainder to begin with.
///
/// - Latency: [`Divider::latency`] = ceil(`quotient_bits` / `bits_per_stage`) cycles; interval: 1 cycle.
/// - Stalls: none; `valid_o` is `valid_i` delayed, and words of cycles without `valid_i` are not meant to be read.
#[derive(Clone, Debug)]
pub struct Divider {
    /// Bits of the numerator, at least 1.
    pub numerator_bits: usize,
    /// Zeros behind the numerator, 0 for whole numbers.
    pub fraction_bits: usize,
    /// Bits of the denominator, at least 1.
    pub denominator_bits: usize,
    /// Bits of the quotient: at most those of the dividend, `numerator_bits + fraction_bits`, and at least
    /// `denominator_bits` fewer.
    pub quotient_bits: usize,
    /// Steps between registers, at least 1.
    pub bits_per_stage: usize,
}

impl Divider {
    /// Cycles from numerator and denominator to quotient.
    pub fn latency(&self) -> usize {
        self.quotient_bits.div_ceil(self.bits_per_stage)
    }

    fn dividend_bits(&self) -> usize {
        self.numerator_bits + self.fraction_bits
    }

    fn check(&self) {
        let Divider {
            numerator_bits,
            denominator_bits,
            quotient_bits,
            bits_per_stage,
            ..
        } = *self;
        let dividend_bits = self.dividend_bits();
        assert!(
            numerator_bits >= 1
                && denominator_bits >= 1
                && quotient_bits >= 1
                && bits_per_stage >= 1
                && quotient_bits <= dividend_bits
                && dividend_bits <= quotient_bits + denominator_bits,
            "{self:?}: the dividend's {dividend_bits} bits must be those of the quotient \
             and at most as many more as the denominator has, and no width may be 0"
        );
    }
}

/// The quotient that `divider` gives.
///
/// # Panics
/// When numerator or denominator is negative.
pub fn golden(divider: &Divider, numerator: i64, denominator: i64) -> i64 {
    assert!(
        numerator >= 0 && denominator >= 0,
        "a divider's operands are unsigned"
    );
    let largest = (1_i128 << divider.quotient_bits) - 1;
    if denominator == 0 {
        return largest as i64;
    }
    let dividend = i128::from(numerator) << divider.fraction_bits;
    (dividend / i128::from(denominator)).min(largest) as i64
}

impl Block for Divider {
    fn name(&self) -> String {
        let Divider {
            numerator_bits,
            fraction_bits,
            denominator_bits,
            quotient_bits,
            bits_per_stage,
        } = self;
        format!(
            "spatten_divider_n{numerator_bits}_f{fraction_bits}_d{denominator_bits}_q{quotient_bits}_r{bits_per_stage}"
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Pipelined restoring divider:\n\
                      quotient = min(floor(numerator * 2^fraction / denominator), largest quotient);\n\
                      a denominator of zero gives the largest quotient."
                .into(),
            parameters: vec![
                ("numerator", format!("u{}", self.numerator_bits)),
                ("fraction", format!("{} bits", self.fraction_bits)),
                ("denominator", format!("u{}", self.denominator_bits)),
                ("quotient", format!("u{}", self.quotient_bits)),
                ("registers", format!("every {} bits", self.bits_per_stage)),
                ("latency", format!("{} cycles", self.latency())),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        self.check();
        let valid = m.input("valid", 1, "operands enter");
        let numerator = m.input("numerator", self.numerator_bits, "");
        let denominator = m.input("denominator", self.denominator_bits, "");
        let valid_out = m.output("valid", 1, "the quotient leaves");
        let quotient = m.output("quotient", self.quotient_bits, "");
        valid_out.drive(delay_flag(m, "valid", valid, self.latency()));

        let mut state = self.begin(m, numerator, denominator);
        for step in 1..=self.quotient_bits {
            let weight = self.quotient_bits - step;
            m.section(&format!("quotient bit {weight}"));
            state = self.step(m, step, state);
            if step.is_multiple_of(self.bits_per_stage) || step == self.quotient_bits {
                state = self.register(m, step, state);
            }
        }
        let bits = state.quotient.expect("at least one step was made");
        quotient.drive(bits);
    }
}

/// What travels down the pipeline.
struct State<'m> {
    denominator: Sig<'m>,
    /// The denominator is not above what the remainder began with: the quotient is the largest.
    overflow: Sig<'m>,
    /// Smaller than the denominator unless the quotient overflows; as wide.
    remainder: Sig<'m>,
    /// Bits of the numerator that no step has used.
    rest: Option<Sig<'m>>,
    /// Quotient bits found.
    quotient: Option<Sig<'m>>,
}

impl Divider {
    fn begin<'m>(&self, m: &'m Builder, numerator: Sig<'m>, denominator: Sig<'m>) -> State<'m> {
        m.section("the part of the dividend above the quotient's reach");
        let above = self.dividend_bits() - self.quotient_bits;
        let taken = above.min(self.numerator_bits);
        let remainder = match taken {
            0 => m.lit(0, self.denominator_bits),
            _ => numerator
                .slice(self.numerator_bits - taken, taken)
                .shift_left(above - taken)
                .extend(self.denominator_bits),
        };
        let remainder = m.net("remainder0", remainder, "");
        let left = self.numerator_bits - taken;
        State {
            denominator,
            overflow: m.net(
                "overflow",
                denominator.le(remainder),
                "the quotient is larger than it can be written",
            ),
            remainder,
            rest: (left > 0).then(|| numerator.slice(0, left)),
            quotient: None,
        }
    }

    fn step<'m>(&self, m: &'m Builder, step: usize, state: State<'m>) -> State<'m> {
        let State {
            denominator,
            overflow,
            remainder,
            rest,
            quotient,
        } = state;
        let (next_bit, rest) = match rest {
            None => (m.lit(0, 1), None),
            Some(rest) if rest.width() == 1 => (rest, None),
            Some(rest) => (rest.msb(), Some(rest.truncate(rest.width() - 1))),
        };
        let partial = m.net(
            &format!("partial{step}"),
            m.cat(&[remainder, next_bit]),
            "remainder and the dividend's next bit",
        );
        let is_last = step == self.quotient_bits;
        let (fits, remainder) = if is_last {
            (partial.ge(denominator.extend(partial.width())), None)
        } else {
            let (fits, remainder) = self.subtract_where_it_fits(m, step, partial, denominator);
            (fits, Some(remainder))
        };
        let bit = fits | overflow;
        let found = quotient.map_or(bit, |quotient| m.cat(&[quotient, bit]));
        State {
            denominator,
            overflow,
            // Nothing reads a remainder after the last step.
            remainder: remainder.unwrap_or(partial),
            rest,
            quotient: Some(m.net(&format!("quotient{step}"), found, "bits found so far")),
        }
    }

    /// Whether `denominator` fits into `partial`, and what is left of it.
    fn subtract_where_it_fits<'m>(
        &self,
        m: &'m Builder,
        step: usize,
        partial: Sig<'m>,
        denominator: Sig<'m>,
    ) -> (Sig<'m>, Sig<'m>) {
        let difference = m.net(
            &format!("difference{step}"),
            partial.wrapping_sub(denominator.extend(partial.width())),
            "negative where the denominator does not fit",
        );
        let fits = m.net(&format!("fits{step}"), !difference.msb(), "");
        let low = self.denominator_bits;
        let remainder = fits.select(difference.slice(0, low), partial.slice(0, low));
        (fits, m.net(&format!("remainder{step}"), remainder, ""))
    }

    /// Registers what later steps read.
    fn register<'m>(&self, m: &'m Builder, step: usize, state: State<'m>) -> State<'m> {
        let register = |name: &str, value: Sig<'m>| {
            let register = m.register(&format!("{name}{step}_q"), value.ty(), None, "");
            register.next(value);
            *register
        };
        let quotient = state.quotient.map(|q| register("quotient", q));
        if step == self.quotient_bits {
            return State { quotient, ..state };
        }
        State {
            denominator: register("denominator", state.denominator),
            overflow: register("overflow", state.overflow),
            remainder: register("remainder", state.remainder),
            rest: state.rest.map(|rest| register("rest", rest)),
            quotient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::pipeline_test::check;
    use num_bigint::BigUint;

    #[test]
    fn every_small_quotient_is_rounded_down_or_the_largest() {
        // (numerator, fraction, denominator, quotient) bits: whole numbers, fractions, quotients that overflow.
        let shapes = [
            (4, 0, 4, 4),
            (6, 0, 3, 4),
            (3, 4, 4, 5),
            (1, 6, 4, 3),
            (1, 0, 1, 1),
        ];
        for (numerator_bits, fraction_bits, denominator_bits, quotient_bits) in shapes {
            for bits_per_stage in [1, 2, 7] {
                let divider = Divider {
                    numerator_bits,
                    fraction_bits,
                    denominator_bits,
                    quotient_bits,
                    bits_per_stage,
                };
                let pairs = (0_i64..1 << numerator_bits)
                    .flat_map(|n| (0_i64..1 << denominator_bits).map(move |d| (n, d)));
                let vectors: Vec<_> = pairs
                    .map(|(n, d)| {
                        let inputs = vec![
                            ("numerator", BigUint::from(n as u64)),
                            ("denominator", BigUint::from(d as u64)),
                        ];
                        let quotient = golden(&divider, n, d) as u64;
                        (inputs, vec![("quotient", BigUint::from(quotient))])
                    })
                    .collect();
                check(&divider, divider.latency(), &vectors);
            }
        }
    }
}
