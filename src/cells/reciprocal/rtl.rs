//! The reciprocal unit in hardware.

use crate::cells::delay::{delay, delay_flag};
use crate::cells::divider::Divider;
use crate::hdl::{About, Block, Builder, Sig};
use crate::net;
use crate::numerics::{RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, SUM_BITS};

/// `1/S = r * 2^-(k + 18)`: S u28, r u18, k u5 = floor(log2 S); r = 0 and k = 0 for S = 0. A new one every cycle.
///
/// With S' = S shifted left until its top bit is one, r = min(floor(2^45 / S'), 2^18 - 1): finding k is finding the
/// shift, and the quotient has always 18 bits.
///
/// - Latency: [`Reciprocal::latency`] cycles: two for the shift, 18 for the quotient; interval: 1 cycle.
/// - Stalls: none; `valid_o` is `valid_i` delayed, and words of cycles without `valid_i` are not meant to be read.
#[derive(Clone, Debug)]
pub struct Reciprocal;

/// Registers of the normalising shift.
const NORMALISE_STAGES: usize = 2;
/// Steps of the normalising shift before the first register: the two widest, which look at the most bits.
const STEPS_IN_FIRST_STAGE: usize = 2;

/// `2^45 / S'`: the one, its zeros, and as many quotient bits as r has.
const DIVIDER: Divider = Divider {
    numerator_bits: 1,
    fraction_bits: SUM_BITS - 1 + RECIPROCAL_BITS,
    denominator_bits: SUM_BITS,
    quotient_bits: RECIPROCAL_BITS,
    bits_per_stage: 1,
};

impl Reciprocal {
    /// Cycles from S to r and k.
    pub fn latency(&self) -> usize {
        NORMALISE_STAGES + DIVIDER.latency()
    }
}

impl Block for Reciprocal {
    fn name(&self) -> String {
        "spatten_reciprocal".into()
    }

    fn about(&self) -> About {
        About {
            purpose: "Reciprocal of a row's sum: 1/S = r * 2^-(k + 18), k = floor(log2 S),\n\
                      r = min(floor(2^(k + 18) / S), 2^18 - 1); r = 0 and k = 0 for S = 0."
                .into(),
            parameters: vec![("latency", format!("{} cycles", self.latency()))],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let valid = m.input("valid", 1, "S enters");
        let sum = m.input("sum", SUM_BITS, "S, unsigned, in units of 1/65535");
        let valid_out = m.output("valid", 1, "r and k leave");
        let r = m.output("r", RECIPROCAL_BITS, "unsigned, in [2^17, 2^18), or 0");
        let k = m.output(
            "k",
            RECIPROCAL_EXPONENT_BITS,
            "unsigned, floor(log2 S), or 0",
        );

        let (normalised, exponent) = normalise(m, sum);

        m.section("2^45 / S'");
        // The top bit of S' is one, except that nothing shifts it there when S is zero: 0 / 2^27 is the r wanted.
        net!(m, is_positive = normalised.msb());
        let divisor = m.cat(&[m.lit(1, 1), normalised.truncate(SUM_BITS - 1)]);
        let divider = m
            .instance("u_divider", &DIVIDER)
            .input("valid", delay_flag(m, "valid", valid, NORMALISE_STAGES))
            .input("numerator", is_positive)
            .input("denominator", divisor);
        valid_out.drive(divider.output("valid"));
        r.drive(divider.output("quotient"));
        k.drive(delay(m, "k", exponent, DIVIDER.latency()));
    }
}

/// S shifted left until its top bit is one, and k; zero and zero for S = 0.
///
/// With zeros in front that make the word 32 bits, the steps that do not shift spell k.
fn normalise<'m>(m: &'m Builder, sum: Sig<'m>) -> (Sig<'m>, Sig<'m>) {
    let width = 1 << RECIPROCAL_EXPONENT_BITS;
    let mut word = sum.extend(width);
    let mut exponent: Vec<Sig> = Vec::new();
    for step in 1..=RECIPROCAL_EXPONENT_BITS {
        let shift = width >> step;
        m.section(&format!(
            "shifted left by {shift} when as many top bits are zero"
        ));
        word = m.net(&format!("word{step}"), word, "");
        let stays = m.net(
            &format!("stays{step}"),
            word.slice(width - shift, shift).any(),
            "",
        );
        let shifted = word.truncate(width - shift).shift_left(shift);
        word = stays.select(word, shifted);
        exponent.push(stays);
        if step == STEPS_IN_FIRST_STAGE || step == RECIPROCAL_EXPONENT_BITS {
            word = *register(m, &format!("word{step}_q"), word);
            exponent = vec![*register(m, &format!("exponent{step}_q"), m.cat(&exponent))];
        }
    }
    let padding = width - SUM_BITS;
    m.unused(
        "padding",
        word.slice(0, padding),
        "zero: at least the zeros in front were shifted out",
    );
    (word.slice(padding, SUM_BITS), m.cat(&exponent))
}

fn register<'m>(m: &'m Builder, name: &str, value: Sig<'m>) -> crate::hdl::Reg<'m> {
    let register = m.register(name, value.ty(), None, "");
    register.next(value);
    register
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::pipeline_test::check;
    use crate::cells::reciprocal::golden::reciprocal;
    use num_bigint::BigUint;

    #[test]
    fn equals_the_golden_model_around_every_power_of_two_and_between() {
        let around = (0..SUM_BITS).flat_map(|bit| [-1, 0, 1].map(|off| (1_i64 << bit) + off));
        let between = (0..1000).map(|k| (k * 268_369_921 + 12_345) % (1 << SUM_BITS));
        let vectors: Vec<_> = around
            .chain(between)
            .chain([(1 << SUM_BITS) - 1])
            .map(|sum| {
                let golden = reciprocal(sum);
                let inputs = vec![("sum", BigUint::from(sum as u64))];
                let outputs = vec![
                    ("r", BigUint::from(golden.mantissa as u64)),
                    ("k", BigUint::from(golden.exponent)),
                ];
                (inputs, outputs)
            })
            .collect();
        check(&Reciprocal, Reciprocal.latency(), &vectors);
    }
}
