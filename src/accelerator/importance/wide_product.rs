//! A product too wide for one multiplier: the halves of one factor apart.

use crate::cells::multiplier::Multiplier;
use crate::hdl::{Builder, Sig, Ty};
use crate::reg;

/// Cycles from the factors to their product.
pub(super) const LATENCY: usize = STAGES + 1;

/// Registers of each multiplier.
const STAGES: usize = 3;

/// a * b, both unsigned, [`LATENCY`] cycles later and as wide as both together; `a` has an even number of bits.
pub(super) fn wide_product<'m>(m: &'m Builder, a: Sig<'m>, b: Sig<'m>) -> Sig<'m> {
    let half = a.width() / 2;
    let multiplier = Multiplier {
        a_bits: half + 1,
        b: Ty::unsigned(b.width()),
        stages: STAGES,
    };
    let [low, high] = [("low", 0), ("high", half)].map(|(name, at)| {
        let part = m.cat(&[m.lit(0, 1), a.slice(at, half)]).as_signed();
        let product = m
            .instance(&format!("u_{name}"), &multiplier)
            .input("a", part)
            .input("b", b)
            .output("product");
        m.unused(&format!("{name}_sign"), product.msb(), "never negative");
        let product = product.truncate(product.width() - 1).as_unsigned();
        m.net(name, product, "")
    });
    let above = a.width() + b.width() - half;
    let carried = low.slice(half, low.width() - half).extend(above);
    reg!(m, upper_q = high.extend(above).wrapping_add(carried));
    reg!(m, lower_q = low.slice(0, half));
    m.cat(&[*upper_q, *lower_q])
}
