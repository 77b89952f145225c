//! Expression nodes: exact widths, no implicit extension, so that Verilog's context rules have nothing to decide.

use num_bigint::BigUint;

/// Index of an expression in its module's arena.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ExprId(pub(crate) u32);

/// Index of a named signal in its module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SignalId(pub(crate) u32);

/// Index of a generate loop's variable in its module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GenvarId(pub(crate) u32);

/// Operators on operands of equal width with a result of that width.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Binary {
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Sum modulo 2^width.
    Add,
    /// Difference modulo 2^width.
    Sub,
}

/// Comparisons of operands of equal width; one bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Compare {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// Shifts by a signal; the result has the width of the shifted word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shift {
    /// Left, zeros enter.
    Left,
    /// Right, zeros enter.
    Right,
    /// Right, copies of the sign enter.
    ArithmeticRight,
}

/// Reductions of a word to one bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reduce {
    /// All ones.
    And,
    /// Any one.
    Or,
    /// Odd parity.
    Xor,
}

/// What an expression computes from its operands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// A constant.
    Const(BigUint),
    /// A named signal.
    Signal(SignalId),
    /// Bitwise complement.
    Not(ExprId),
    /// One bit from a word.
    Reduce(Reduce, ExprId),
    /// Two operands of the result's width.
    Binary(Binary, ExprId, ExprId),
    /// Product of operands already extended to the result's width; `signed` says how they were extended.
    Mul {
        /// Operands are sign-extended words.
        signed: bool,
        /// Left operand, at its own width.
        a: ExprId,
        /// Right operand, at its own width.
        b: ExprId,
    },
    /// Comparison of two words of equal width.
    Compare {
        /// Which comparison.
        compare: Compare,
        /// Words are two's complement.
        signed: bool,
        /// Left operand.
        a: ExprId,
        /// Right operand.
        b: ExprId,
    },
    /// Shift of `value` by `amount`.
    Shift {
        /// Which shift.
        shift: Shift,
        /// The shifted word.
        value: ExprId,
        /// How far; any width, amounts beyond the word's width shift everything out.
        amount: ExprId,
    },
    /// `condition ? then : otherwise`.
    Mux {
        /// One bit.
        condition: ExprId,
        /// Result when the condition holds.
        then: ExprId,
        /// Result otherwise.
        otherwise: ExprId,
    },
    /// Bits `lo ..` of a word, as many as the result is wide.
    Slice {
        /// The word.
        value: ExprId,
        /// Lowest bit taken.
        lo: usize,
    },
    /// Words side by side, the most significant first.
    Concat(Vec<ExprId>),
    /// Zero or sign extension to the result's width.
    Extend {
        /// Copies of the sign enter instead of zeros.
        signed: bool,
        /// The narrower word.
        value: ExprId,
    },
    /// Lane `genvar` of a named bus, as wide as the result.
    Lane {
        /// The bus.
        bus: SignalId,
        /// Which generate loop selects the lane.
        genvar: GenvarId,
    },
}

impl Op {
    /// The operands, in order.
    pub fn operands(&self) -> Vec<ExprId> {
        match self {
            Op::Const(_) | Op::Signal(_) | Op::Lane { .. } => vec![],
            Op::Not(a) | Op::Reduce(_, a) => vec![*a],
            Op::Slice { value, .. } | Op::Extend { value, .. } => vec![*value],
            Op::Binary(_, a, b) | Op::Mul { a, b, .. } | Op::Compare { a, b, .. } => vec![*a, *b],
            Op::Shift { value, amount, .. } => vec![*value, *amount],
            Op::Mux {
                condition,
                then,
                otherwise,
            } => vec![*condition, *then, *otherwise],
            Op::Concat(parts) => parts.clone(),
        }
    }
}

/// One expression: what it computes and how wide it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Expr {
    /// What it computes.
    pub op: Op,
    /// Bits of the result.
    pub width: usize,
}
