//! Handles to signals and expressions: `Copy`, with operators whose widths and signedness are exact.

use super::builder::Builder;
use super::expr::{Binary, Compare, ExprId, Op, Reduce, Shift};
use super::types::{Ty, mistake};
use num_bigint::BigUint;
use std::ops::{Add, BitAnd, BitOr, BitXor, Mul, Not, Sub};

/// A value of a module being described.
#[derive(Clone, Copy)]
pub struct Sig<'m> {
    pub(super) m: &'m Builder,
    pub(super) id: ExprId,
    pub(super) ty: Ty,
}

impl<'m> Sig<'m> {
    /// Width and signedness.
    pub fn ty(self) -> Ty {
        self.ty
    }

    /// Bits.
    pub fn width(self) -> usize {
        self.ty.width
    }

    /// Whether both are one and the same expression.
    pub fn is_same_as(self, other: Sig<'m>) -> bool {
        self.id == other.id
    }

    /// The same bits read as two's complement.
    pub fn as_signed(self) -> Self {
        let ty = Ty::signed(self.width());
        Sig { ty, ..self }
    }

    /// The same bits read as an unsigned word.
    pub fn as_unsigned(self) -> Self {
        let ty = Ty::unsigned(self.width());
        Sig { ty, ..self }
    }

    /// An unsigned word as a signed one of the same value, one bit wider; a signed word unchanged.
    #[track_caller]
    pub fn to_signed(self) -> Self {
        if self.ty.signed {
            self
        } else {
            self.extend(self.width() + 1).as_signed()
        }
    }

    /// The same value in `width` bits: zeros enter above an unsigned word, the sign above a signed one.
    #[track_caller]
    pub fn extend(self, width: usize) -> Self {
        if width < self.width() {
            mistake(format!("{} does not extend to {width} bits", self.ty));
        }
        if width == self.width() {
            return self;
        }
        let signed = self.ty.signed;
        let ty = Ty { width, signed };
        if let Op::Const(value) = self.m.op(self.id) {
            let negative = signed && value.bit(self.width() as u64 - 1);
            let high = if negative {
                (BigUint::from(1u8) << width) - (BigUint::from(1u8) << self.width())
            } else {
                BigUint::ZERO
            };
            return self.m.expr(Op::Const(value + high), ty);
        }
        // Zeros above zeros: a word that has been extended without its sign is not negative.
        let (signed, value) = match self.m.op(self.id) {
            Op::Extend {
                signed: false,
                value,
            } => (false, value),
            _ => (signed, self.id),
        };
        self.m.expr(Op::Extend { signed, value }, ty)
    }

    /// The low `width` bits, with the sign kept as it is read.
    #[track_caller]
    pub fn truncate(self, width: usize) -> Self {
        let signed = self.ty.signed;
        let low = self.slice(0, width);
        Sig {
            ty: Ty { width, signed },
            ..low
        }
    }

    /// The value in `width` bits modulo 2^width: extended or truncated.
    #[track_caller]
    pub fn resize(self, width: usize) -> Self {
        if width > self.width() {
            self.extend(width)
        } else {
            self.truncate(width)
        }
    }

    /// Bits `lo .. lo + width`, unsigned.
    #[track_caller]
    pub fn slice(self, lo: usize, width: usize) -> Sig<'m> {
        if width == 0 || lo + width > self.width() {
            mistake(format!(
                "bits {lo} to {} do not exist in {}",
                lo + width,
                self.ty
            ));
        }
        let ty = Ty::unsigned(width);
        if width == self.width() {
            return self.as_unsigned();
        }
        if let Some(id) = self.m.known_slice(self.id, lo, width) {
            return Sig { id, ty, ..self };
        }
        let sliced = match self.m.op(self.id) {
            Op::Const(value) => {
                let mask = (BigUint::from(1u8) << width) - 1u8;
                self.m.expr(Op::Const((value >> lo) & mask), ty)
            }
            Op::Slice { value, lo: first } => {
                let lo = lo + first;
                self.m.expr(Op::Slice { value, lo }, ty)
            }
            Op::Concat(parts) => self.slice_of_parts(&parts, lo, width),
            Op::Signal(_) | Op::Lane { .. } => {
                let value = self.id;
                self.m.expr(Op::Slice { value, lo }, ty)
            }
            op => self.slice_of_operands(&op, lo, width),
        };
        self.m.note_slice(self.id, lo, width, sliced.id);
        sliced
    }

    /// Slices move towards the named signals where that is exact, because Verilog indexes only names. Elsewhere the
    /// word must be named, so that the bits left over are seen and accounted for.
    #[track_caller]
    fn slice_of_operands(self, op: &Op, lo: usize, width: usize) -> Sig<'m> {
        let ty = Ty::unsigned(width);
        match op {
            Op::Not(a) => {
                let a = self.operand(*a).slice(lo, width).id;
                self.m.expr(Op::Not(a), ty)
            }
            Op::Binary(binary, a, b) if lo == 0 || !matches!(binary, Binary::Add | Binary::Sub) => {
                let a = self.operand(*a).slice(lo, width).id;
                let b = self.operand(*b).slice(lo, width).id;
                self.m.expr(Op::Binary(*binary, a, b), ty)
            }
            // The low bits of a product are those of the product modulo 2^width.
            Op::Mul { signed, a, b }
                if lo == 0 && width >= self.m.width_of(*a).max(self.m.width_of(*b)) =>
            {
                let (signed, a, b) = (*signed, *a, *b);
                self.m.expr(Op::Mul { signed, a, b }, ty)
            }
            Op::Mux {
                condition,
                then,
                otherwise,
            } => {
                let op = Op::Mux {
                    condition: *condition,
                    then: self.operand(*then).slice(lo, width).id,
                    otherwise: self.operand(*otherwise).slice(lo, width).id,
                };
                self.m.expr(op, ty)
            }
            Op::Extend { value, .. } if lo + width <= self.m.width_of(*value) => {
                self.operand(*value).slice(lo, width)
            }
            Op::Extend { signed, value } if lo == 0 => {
                let value = self.operand(*value);
                let value = if *signed { value.as_signed() } else { value };
                value.extend(width).as_unsigned()
            }
            Op::Extend {
                signed: false,
                value,
            } if lo >= self.m.width_of(*value) => self.m.lit(0, width),
            _ => mistake(format!(
                "name the word before taking bits {lo} to {} of it",
                lo + width - 1
            )),
        }
    }

    /// Another expression of the module, unsigned.
    fn operand(self, id: ExprId) -> Sig<'m> {
        Sig {
            m: self.m,
            id,
            ty: Ty::unsigned(self.m.width_of(id)),
        }
    }

    /// A slice of a concatenation is a concatenation of slices of the parts it touches.
    #[track_caller]
    fn slice_of_parts(self, parts: &[ExprId], lo: usize, width: usize) -> Sig<'m> {
        let mut taken = Vec::new();
        let mut base = 0;
        for &part in parts.iter().rev() {
            let part_width = self.m.width_of(part);
            let from = lo.max(base);
            let to = (lo + width).min(base + part_width);
            if from < to {
                taken.push(self.operand(part).slice(from - base, to - from));
            }
            base += part_width;
        }
        self.m.pack(&taken)
    }

    /// One bit.
    #[track_caller]
    pub fn bit(self, index: usize) -> Sig<'m> {
        self.slice(index, 1)
    }

    /// The most significant bit: the sign of a signed word.
    #[track_caller]
    pub fn msb(self) -> Sig<'m> {
        self.bit(self.width() - 1)
    }

    /// `count` copies side by side.
    #[track_caller]
    pub fn repeat(self, count: usize) -> Sig<'m> {
        self.m.cat(&vec![self; count])
    }

    /// The word with `count` zeros below: multiplied by 2^count, `count` bits wider.
    #[track_caller]
    pub fn shift_left(self, count: usize) -> Self {
        if count == 0 {
            return self;
        }
        let shifted = self.m.cat(&[self, self.m.lit(0, count)]);
        let signed = self.ty.signed;
        let width = shifted.width();
        Sig {
            ty: Ty { width, signed },
            ..shifted
        }
    }

    /// The word without its `count` low bits: divided by 2^count towards minus infinity.
    #[track_caller]
    pub fn shift_right(self, count: usize) -> Self {
        if count >= self.width() {
            mistake(format!("shifting {} right by {count} leaves none", self.ty));
        }
        let width = self.width() - count;
        let high = self.slice(count, width);
        let signed = self.ty.signed;
        Sig {
            ty: Ty { width, signed },
            ..high
        }
    }

    /// Shift left by a signal; bits beyond the width are lost.
    pub fn shift_left_by(self, amount: impl Into<Sig<'m>>) -> Self {
        self.shift_by(Shift::Left, amount.into())
    }

    /// Shift right by a signal; the sign enters above a signed word, zeros above an unsigned one.
    pub fn shift_right_by(self, amount: impl Into<Sig<'m>>) -> Self {
        let shift = if self.ty.signed {
            Shift::ArithmeticRight
        } else {
            Shift::Right
        };
        self.shift_by(shift, amount.into())
    }

    fn shift_by(self, shift: Shift, amount: Sig<'m>) -> Self {
        let (value, amount) = (self.id, amount.id);
        let op = Op::Shift {
            shift,
            value,
            amount,
        };
        self.m.expr(op, self.ty)
    }

    /// Sum modulo 2^width of words of equal type.
    #[track_caller]
    pub fn wrapping_add(self, other: impl Into<Sig<'m>>) -> Self {
        let other = other.into();
        self.same_type(other, "wrapping_add");
        self.m
            .expr(Op::Binary(Binary::Add, self.id, other.id), self.ty)
    }

    /// Difference modulo 2^width of words of equal type.
    #[track_caller]
    pub fn wrapping_sub(self, other: impl Into<Sig<'m>>) -> Self {
        let other = other.into();
        self.same_type(other, "wrapping_sub");
        self.m
            .expr(Op::Binary(Binary::Sub, self.id, other.id), self.ty)
    }

    /// Equal to a word of the same type.
    #[track_caller]
    pub fn equals(self, other: impl Into<Sig<'m>>) -> Sig<'m> {
        self.compare(Compare::Eq, other.into())
    }

    /// Different from a word of the same type.
    #[track_caller]
    pub fn differs(self, other: impl Into<Sig<'m>>) -> Sig<'m> {
        self.compare(Compare::Ne, other.into())
    }

    /// Less than a word of the same type.
    #[track_caller]
    pub fn lt(self, other: impl Into<Sig<'m>>) -> Sig<'m> {
        self.compare(Compare::Lt, other.into())
    }

    /// Less than or equal to a word of the same type.
    #[track_caller]
    pub fn le(self, other: impl Into<Sig<'m>>) -> Sig<'m> {
        self.compare(Compare::Le, other.into())
    }

    /// Greater than a word of the same type.
    #[track_caller]
    pub fn gt(self, other: impl Into<Sig<'m>>) -> Sig<'m> {
        self.compare(Compare::Gt, other.into())
    }

    /// Greater than or equal to a word of the same type.
    #[track_caller]
    pub fn ge(self, other: impl Into<Sig<'m>>) -> Sig<'m> {
        self.compare(Compare::Ge, other.into())
    }

    /// Equal to a constant.
    #[track_caller]
    pub fn is(self, value: u64) -> Sig<'m> {
        let constant = self.m.lit(value, self.width());
        match (self.width(), value) {
            (1, 0) => !self.as_unsigned(),
            (1, _) => self.as_unsigned(),
            _ => self.as_unsigned().equals(constant),
        }
    }

    #[track_caller]
    fn compare(self, compare: Compare, other: Sig<'m>) -> Sig<'m> {
        let name = format!("{compare:?}").to_lowercase();
        self.same_type(other, &name);
        let above_zero = compare == Compare::Gt && self.m.constant_bit(other.id) == Some(false);
        if above_zero && !self.ty.signed {
            return self;
        }
        // Two words that are never negative are ordered alike either way, and the plain text reads better.
        let never_negative =
            |sig: Sig<'m>| matches!(self.m.op(sig.id), Op::Extend { signed: false, .. });
        let op = Op::Compare {
            compare,
            signed: self.ty.signed && !(never_negative(self) && never_negative(other)),
            a: self.id,
            b: other.id,
        };
        self.m.expr(op, Ty::unsigned(1))
    }

    /// `then` where this bit is one, `otherwise` where it is zero; both of one type.
    #[track_caller]
    pub fn select(self, then: impl Into<Sig<'m>>, otherwise: impl Into<Sig<'m>>) -> Sig<'m> {
        let (then, otherwise) = (then.into(), otherwise.into());
        if self.width() != 1 {
            mistake(format!("select needs one bit, got {}", self.ty));
        }
        then.same_type(otherwise, "select");
        if then.id == otherwise.id {
            return then;
        }
        match (
            self.m.constant_bit(then.id),
            self.m.constant_bit(otherwise.id),
        ) {
            (Some(true), Some(false)) => {
                return Sig {
                    ty: then.ty,
                    ..self
                };
            }
            (Some(false), Some(true)) => {
                return Sig {
                    ty: then.ty,
                    ..!self.as_unsigned()
                };
            }
            _ => {}
        }
        let op = Op::Mux {
            condition: self.id,
            then: then.id,
            otherwise: otherwise.id,
        };
        self.m.expr(op, then.ty)
    }

    /// Whether every bit is one.
    pub fn all(self) -> Sig<'m> {
        self.reduce(Reduce::And)
    }

    /// Whether any bit is one.
    pub fn any(self) -> Sig<'m> {
        self.reduce(Reduce::Or)
    }

    /// Whether an odd number of bits is one.
    pub fn parity(self) -> Sig<'m> {
        self.reduce(Reduce::Xor)
    }

    fn reduce(self, reduce: Reduce) -> Sig<'m> {
        if self.width() == 1 {
            return self.as_unsigned();
        }
        self.m.expr(Op::Reduce(reduce, self.id), Ty::unsigned(1))
    }

    #[track_caller]
    fn same_type(self, other: Sig<'m>, what: &str) {
        if self.ty != other.ty {
            let kind = if self.ty.signed == other.ty.signed {
                "equal widths"
            } else {
                "equal signedness"
            };
            mistake(format!(
                "{what} needs {kind}, got {} and {}",
                self.ty, other.ty
            ));
        }
    }

    /// Both words extended to `width` bits; their signedness must agree.
    #[track_caller]
    fn extended_pair(self, other: Sig<'m>, what: &str, width: usize) -> (Sig<'m>, Sig<'m>) {
        if self.ty.signed != other.ty.signed {
            mistake(format!(
                "{what} needs equal signedness, got {} and {}",
                self.ty, other.ty
            ));
        }
        (self.extend(width), other.extend(width))
    }
}

impl<'m, R: Into<Sig<'m>>> Add<R> for Sig<'m> {
    type Output = Sig<'m>;

    /// Exact sum, one bit wider than the wider operand.
    #[track_caller]
    fn add(self, other: R) -> Sig<'m> {
        let other = other.into();
        let width = self.width().max(other.width()) + 1;
        let (a, b) = self.extended_pair(other, "+", width);
        self.m.expr(Op::Binary(Binary::Add, a.id, b.id), a.ty)
    }
}

impl<'m, R: Into<Sig<'m>>> Sub<R> for Sig<'m> {
    type Output = Sig<'m>;

    /// Exact difference: signed, one bit wider than the wider operand.
    #[expect(
        clippy::suspicious_arithmetic_impl,
        reason = "the width grows by a carry"
    )]
    #[track_caller]
    fn sub(self, other: R) -> Sig<'m> {
        let other = other.into();
        let width = self.width().max(other.width()) + 1;
        let (a, b) = self.extended_pair(other, "-", width);
        self.m
            .expr(Op::Binary(Binary::Sub, a.id, b.id), Ty::signed(width))
    }
}

impl<'m, R: Into<Sig<'m>>> Mul<R> for Sig<'m> {
    type Output = Sig<'m>;

    /// Exact product, as wide as both operands together.
    #[track_caller]
    fn mul(self, other: R) -> Sig<'m> {
        let other = other.into();
        if self.ty.signed != other.ty.signed {
            mistake(format!(
                "* needs equal signedness, got {} and {}",
                self.ty, other.ty
            ));
        }
        let signed = self.ty.signed;
        let width = self.width() + other.width();
        let (a, b) = (self.id, other.id);
        self.m.expr(Op::Mul { signed, a, b }, Ty { width, signed })
    }
}

macro_rules! bitwise {
    ($trait:ident, $method:ident, $binary:expr, $what:literal) => {
        impl<'m, R: Into<Sig<'m>>> $trait<R> for Sig<'m> {
            type Output = Sig<'m>;

            #[track_caller]
            fn $method(self, other: R) -> Sig<'m> {
                let other = other.into();
                self.same_type(other, $what);
                self.m.expr(Op::Binary($binary, self.id, other.id), self.ty)
            }
        }
    };
}

bitwise!(BitAnd, bitand, Binary::And, "&");
bitwise!(BitOr, bitor, Binary::Or, "|");
bitwise!(BitXor, bitxor, Binary::Xor, "^");

impl<'m> Not for Sig<'m> {
    type Output = Sig<'m>;

    fn not(self) -> Sig<'m> {
        match self.m.op(self.id) {
            Op::Not(id) => Sig { id, ..self },
            _ => self.m.expr(Op::Not(self.id), self.ty),
        }
    }
}
