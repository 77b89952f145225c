//! Pipelined multiplier: a signed word times a signed or unsigned word, exact.
//!
//! With more than one register the second operand is cut into parts. Their partial products are registered, and
//! every further register follows one level of the sum of these, so that the depth between registers falls in any
//! synthesis tool, retiming or not:
//!
//! | registers | parts of b | between registers                           |
//! |-----------|------------|---------------------------------------------|
//! | 1         | 1          | the whole product                           |
//! | 2         | 3          | a * third of b; sum of three                |
//! | 3         | 4          | a * quarter of b; sum of two; sum of two    |
//! | 4         | 8          | a * eighth of b; sum of two, three times    |
//!
//! Pre-layout on IHP SG13G2 (typical, 0.6 ns for the register before the operands), in ns; the target is 3.3:
//!
//! | registers | 12 x 12 | 12 x 16 | 25 x 16 | 25 x 18 |
//! |-----------|---------|---------|---------|---------|
//! | 1         | 4.2     | 4.2     |         |         |
//! | 2         | 3.1     | 3.3     |         |         |
//! | 3         | 2.5     | 2.8     | 3.25    | 3.5     |
//! | 4         | 2.3     | 2.1     |         | 3.0     |

use crate::hdl::{About, Block, Builder, Sig, Ty};

/// `product = a * b`, a new product every cycle.
///
/// - Latency: [`Multiplier::latency`] = `stages` cycles; interval: 1 cycle.
/// - Stalls: none. There is no valid flag either: arrays hold hundreds of multipliers, and one flag delayed by the
///   latency serves all of them.
#[derive(Clone, Debug)]
pub struct Multiplier {
    /// Bits of the signed operand a, at least 2.
    pub a_bits: usize,
    /// Type of operand b: signed or unsigned, at least as many bits as parts, and 2 when signed.
    pub b: Ty,
    /// Registers from operands to product, 1 to 4.
    pub stages: usize,
}

impl Multiplier {
    /// Cycles from operands to product.
    pub fn latency(&self) -> usize {
        self.stages
    }

    /// Type of the product: signed, as wide as both operands together.
    pub fn product(&self) -> Ty {
        Ty::signed(self.a_bits + self.b.width)
    }

    /// Parts that b is cut into.
    fn parts(&self) -> usize {
        [1, 3, 4, 8][self.stages - 1]
    }

    /// Partial products that one level of their sum adds up.
    fn terms_per_sum(&self) -> usize {
        if self.stages == 2 { 3 } else { 2 }
    }

    fn check(&self) {
        let Multiplier { a_bits, b, stages } = self;
        assert!(
            (1..=4).contains(stages),
            "a multiplier has 1 to 4 stages, not {stages}"
        );
        let least = self.parts().max(1 + usize::from(b.signed));
        assert!(
            *a_bits >= 2 && b.width >= least,
            "a multiplier s{a_bits} x {b} of {stages} stages: \
             a needs at least 2 bits, b at least {least}"
        );
    }
}

/// The product of `a` and `b`.
pub fn golden(a: i64, b: i64) -> i64 {
    a * b
}

impl Block for Multiplier {
    fn name(&self) -> String {
        let Multiplier { a_bits, b, stages } = self;
        format!("spatten_multiplier_s{a_bits}_{b}_p{stages}")
    }

    fn about(&self) -> About {
        let how = match self.stages {
            1 => "The product is registered.".to_owned(),
            _ => format!(
                "The products of a with {} parts of b are registered, then each level of their sum.",
                self.parts()
            ),
        };
        About {
            purpose: format!("Pipelined multiplier: product = a * b, exact.\n{how}"),
            parameters: vec![
                ("a", format!("s{}", self.a_bits)),
                ("b", self.b.to_string()),
                (
                    "stages",
                    format!("{} (cycles from operands to product)", self.stages),
                ),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        self.check();
        let a = m.input("a", Ty::signed(self.a_bits), "signed");
        let sign = if self.b.signed { "signed" } else { "unsigned" };
        let b = m.input("b", self.b, sign);
        let product = m.output(
            "product",
            self.product(),
            "signed, a * b of as many cycles ago as there are stages",
        );

        m.section("partial products, the lowest part of b first");
        let mut partials = self.partial_products(m, a, b);
        for level in 1..self.stages {
            m.section(&format!("level {level} of their sum"));
            partials = partials
                .chunks(self.terms_per_sum())
                .enumerate()
                .map(|(index, terms)| add(m, &format!("sum{level}_{index}"), terms))
                .collect();
        }
        product.drive(partials[0].value);
    }
}

/// A registered product of a and some bits of b.
#[derive(Clone, Copy)]
struct Partial<'m> {
    value: Sig<'m>,
    /// How many bits of b are in it.
    b_bits: usize,
}

impl Multiplier {
    fn partial_products<'m>(&self, m: &'m Builder, a: Sig<'m>, b: Sig<'m>) -> Vec<Partial<'m>> {
        let parts = self.parts();
        let cut = |index: usize| index * self.b.width / parts;
        (0..parts)
            .map(|index| {
                let (lo, b_bits) = (cut(index), cut(index + 1) - cut(index));
                let part = b.slice(lo, b_bits);
                // The sign is in the top part; the parts below it count upwards.
                let is_signed = self.b.signed && index + 1 == parts;
                let product_bits = self.a_bits + b_bits;
                let factor = if is_signed {
                    part.as_signed()
                } else {
                    part.extend(product_bits).as_signed()
                };
                let value = (a * factor).truncate(product_bits);
                let value = register(m, &format!("partial{index}"), value);
                Partial { value, b_bits }
            })
            .collect()
    }
}

/// Registers the product with all bits of b that the terms hold; each term continues where the one before ends.
fn add<'m>(m: &'m Builder, name: &str, terms: &[Partial<'m>]) -> Partial<'m> {
    let low = terms[0];
    let mut top = low.value.shift_right(low.b_bits);
    let mut b_bits = low.b_bits;
    for (index, term) in terms.iter().enumerate().skip(1) {
        top = term.value.shift_left(b_bits - low.b_bits) + top;
        b_bits += term.b_bits;
        if index + 1 < terms.len() {
            top = m.net(&format!("{name}_of{}", index + 1), top, "");
        }
    }
    let top_bits = low.value.width() + b_bits - 2 * low.b_bits;
    let settled = low.value.slice(0, low.b_bits);
    let sum = m.cat(&[top.truncate(top_bits), settled]);
    let value = register(m, name, sum.as_signed());
    Partial { value, b_bits }
}

fn register<'m>(m: &'m Builder, name: &str, value: Sig<'m>) -> Sig<'m> {
    let register = m.register(&format!("{name}_q"), value.ty(), None, "");
    register.next(value);
    *register
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::pipeline_test::{check, word};

    fn signed(width: usize) -> impl Iterator<Item = i64> + Clone {
        let bound = 1_i64 << (width - 1);
        -bound..bound
    }

    fn vectors_of(
        multiplier: &Multiplier,
        pairs: impl Iterator<Item = (i64, i64)>,
    ) -> Vec<(
        crate::cells::pipeline_test::Values,
        crate::cells::pipeline_test::Values,
    )> {
        let product_bits = multiplier.product().width;
        pairs
            .map(|(a, b)| {
                let inputs = vec![
                    ("a", word(a, multiplier.a_bits)),
                    ("b", word(b, multiplier.b.width)),
                ];
                (inputs, vec![("product", word(golden(a, b), product_bits))])
            })
            .collect()
    }

    #[test]
    fn every_small_product_is_exact_at_every_number_of_stages() {
        for stages in 1..=4 {
            for signed_b in [false, true] {
                let width = if stages == 4 { 8 } else { 5 };
                let b = Ty {
                    width,
                    signed: signed_b,
                };
                let multiplier = Multiplier {
                    a_bits: 4,
                    b,
                    stages,
                };
                let bs: Vec<i64> = if signed_b {
                    signed(width).collect()
                } else {
                    (0..1 << width).collect()
                };
                let pairs = signed(4).flat_map(|a| bs.iter().map(move |&b| (a, b)));
                check(&multiplier, stages, &vectors_of(&multiplier, pairs));
            }
        }
    }

    #[test]
    fn extreme_operands_of_the_accelerators_widths_multiply_exactly() {
        let cases = [
            (12, Ty::signed(12)),
            (12, Ty::unsigned(16)),
            (11, Ty::signed(9)),
        ];
        for (a_bits, b) in cases {
            for stages in 1..=4 {
                let multiplier = Multiplier { a_bits, b, stages };
                let high_a = (1 << (a_bits - 1)) - 1;
                let (low_b, high_b) = match b.signed {
                    true => (-(1 << (b.width - 1)), (1 << (b.width - 1)) - 1),
                    false => (0, (1 << b.width) - 1),
                };
                let pairs: Vec<_> = [-high_a - 1, -high_a, -1, 0, 1, high_a]
                    .into_iter()
                    .flat_map(|a| [low_b, low_b + 1, 0, 1, high_b - 1, high_b].map(|b| (a, b)))
                    .collect();
                check(
                    &multiplier,
                    stages,
                    &vectors_of(&multiplier, pairs.into_iter()),
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "1 to 4 stages, not 5")]
    fn five_stages_are_refused() {
        let b = Ty::signed(12);
        crate::hdl::elaborate(&Multiplier {
            a_bits: 12,
            b,
            stages: 5,
        });
    }
}
