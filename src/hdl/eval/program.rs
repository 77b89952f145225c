//! Compiled expressions and how they run.

use crate::hdl::expr::{Binary, Compare, Reduce, Shift};
use num_bigint::BigUint;

/// A compiled expression: steps in dependency order, each reading earlier steps or slots.
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
}

pub(super) struct Step {
    pub(super) op: StepOp,
    pub(super) width: usize,
}

/// Operands are indices of earlier steps.
pub(super) enum StepOp {
    Const(BigUint),
    Slot(usize),
    SlotBits(usize, usize),
    Not(usize),
    Reduce(Reduce, usize, usize),
    Binary(Binary, usize, usize),
    Mul(bool, [(usize, usize); 2]),
    Compare(Compare, bool, usize, usize, usize),
    Shift(Shift, usize, usize),
    Mux(usize, usize, usize),
    Slice(usize, usize),
    Concat(Vec<(usize, usize)>),
    Extend(bool, usize, usize),
}

impl Program {
    pub(super) fn run(&self, values: &[BigUint]) -> BigUint {
        let mut results: Vec<BigUint> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let result = step.run(&results, values);
            results.push(result);
        }
        results.pop().expect("a program has at least one step")
    }
}

impl Step {
    fn run(&self, done: &[BigUint], values: &[BigUint]) -> BigUint {
        let width = self.width;
        let flag = |condition: bool| BigUint::from(u8::from(condition));
        match &self.op {
            StepOp::Const(value) => value.clone(),
            StepOp::Slot(slot) => values[*slot].clone(),
            StepOp::SlotBits(slot, lo) => (&values[*slot] >> *lo) & mask(width),
            StepOp::Not(a) => &done[*a] ^ mask(width),
            StepOp::Reduce(reduce, a, own) => match reduce {
                Reduce::And => flag(done[*a] == mask(*own)),
                Reduce::Or => flag(done[*a] != BigUint::ZERO),
                Reduce::Xor => flag(done[*a].count_ones() % 2 == 1),
            },
            StepOp::Binary(binary, a, b) => {
                let (a, b) = (&done[*a], &done[*b]);
                match binary {
                    Binary::And => a & b,
                    Binary::Or => a | b,
                    Binary::Xor => a ^ b,
                    Binary::Add => (a + b) & mask(width),
                    Binary::Sub => (a + (mask(width) + 1u8) - b) & mask(width),
                }
            }
            StepOp::Mul(signed, operands) => {
                let [a, b] = operands.map(|(step, own)| extend(&done[step], own, width, *signed));
                (a * b) & mask(width)
            }
            StepOp::Compare(compare, signed, own, a, b) => {
                // Flipping the signs turns the signed order into the unsigned one.
                let flip = if *signed {
                    BigUint::from(1u8) << (own - 1)
                } else {
                    BigUint::ZERO
                };
                let (a, b) = (&done[*a] ^ &flip, &done[*b] ^ &flip);
                flag(match compare {
                    Compare::Eq => a == b,
                    Compare::Ne => a != b,
                    Compare::Lt => a < b,
                    Compare::Le => a <= b,
                    Compare::Gt => a > b,
                    Compare::Ge => a >= b,
                })
            }
            StepOp::Shift(shift, value, amount) => {
                let value = &done[*value];
                let amount = to_usize(&done[*amount]).min(width);
                match shift {
                    Shift::Left => (value << amount) & mask(width),
                    Shift::Right => value >> amount,
                    Shift::ArithmeticRight => {
                        (extend(value, width, width + amount, true) >> amount) & mask(width)
                    }
                }
            }
            StepOp::Mux(condition, then, otherwise) => {
                let taken = if done[*condition] == BigUint::ZERO {
                    otherwise
                } else {
                    then
                };
                done[*taken].clone()
            }
            StepOp::Slice(a, lo) => (&done[*a] >> *lo) & mask(width),
            StepOp::Concat(parts) => parts.iter().fold(BigUint::ZERO, |high, (step, own)| {
                (high << *own) | &done[*step]
            }),
            StepOp::Extend(signed, a, own) => extend(&done[*a], *own, width, *signed),
        }
    }
}

pub(super) fn mask(width: usize) -> BigUint {
    (BigUint::from(1u8) << width) - 1u8
}

fn extend(value: &BigUint, from: usize, to: usize, signed: bool) -> BigUint {
    if signed && value.bit(from as u64 - 1) {
        value | (mask(to) ^ mask(from))
    } else {
        value.clone()
    }
}

pub(super) fn to_usize(value: &BigUint) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
