//! Constants, literals and words put side by side.

use super::builder::Builder;
use super::expr::Op;
use super::module::{Item, SignalKind};
use super::sig::Sig;
use super::types::{Ty, mistake};
use num_bigint::BigUint;

impl Builder {
    /// Named constant, printed as a `localparam`.
    #[track_caller]
    pub fn constant(&self, name: &str, value: u64, ty: impl Into<Ty>, doc: &str) -> Sig<'_> {
        let ty = ty.into();
        let value = BigUint::from(value);
        if value.bits() as usize > ty.width {
            mistake(format!("constant {name} does not fit in {ty}"));
        }
        let id = self.declare(name, ty, SignalKind::Constant(value), doc);
        self.push(Item::Declare(id));
        self.signal(id)
    }

    /// Unsigned literal.
    #[track_caller]
    pub fn lit(&self, value: u64, width: usize) -> Sig<'_> {
        self.lit_big(BigUint::from(value), width)
    }

    /// Unsigned literal of any width.
    #[track_caller]
    pub fn lit_big(&self, value: BigUint, width: usize) -> Sig<'_> {
        if width == 0 {
            mistake("a literal has at least one bit");
        }
        if value.bits() as usize > width {
            mistake(format!("literal {value} does not fit in u{width}"));
        }
        self.expr(Op::Const(value), Ty::unsigned(width))
    }

    /// Signed literal.
    #[track_caller]
    pub fn lit_signed(&self, value: i64, width: usize) -> Sig<'_> {
        if width == 0 {
            mistake("a literal has at least one bit");
        }
        let fits = width >= 64 || (value >> (width - 1) == 0 || value >> (width - 1) == -1);
        if !fits {
            mistake(format!("literal {value} does not fit in s{width}"));
        }
        let modulus = BigUint::from(1u8) << width;
        let code = if value < 0 {
            modulus - BigUint::from(value.unsigned_abs())
        } else {
            BigUint::from(value as u64)
        };
        self.expr(Op::Const(code), Ty::signed(width))
    }

    /// Words side by side, the most significant first; unsigned.
    #[track_caller]
    pub fn cat<'m>(&'m self, parts: &[Sig<'m>]) -> Sig<'m> {
        match parts {
            [] => mistake("a concatenation needs at least one part"),
            [one] => one.as_unsigned(),
            _ => {
                let width = parts.iter().map(|p| p.width()).sum();
                let ids = parts.iter().map(|p| p.id).collect();
                self.expr(Op::Concat(ids), Ty::unsigned(width))
            }
        }
    }

    /// Lanes side by side, lane 0 in the low bits; unsigned.
    #[track_caller]
    pub fn pack<'m>(&'m self, lanes: &[Sig<'m>]) -> Sig<'m> {
        let parts: Vec<_> = lanes.iter().rev().copied().collect();
        self.cat(&parts)
    }
}
