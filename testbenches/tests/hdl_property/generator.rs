//! Modules of random expressions: every operator of a signal, named and unnamed, shared and nested, behind
//! registers, in generate loops, in `case` nets and in children.

use num_bigint::BigUint;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::hdl::{About, Block, Builder, Reg, Sig, Ty};
use std::cell::RefCell;

/// Widest word of the test.
const WIDEST: usize = 200;

/// A module whose contents follow from the seed; every expression drives an output of its own.
#[derive(Clone, Debug)]
pub struct RandomModule {
    /// Seed of every choice.
    pub seed: u64,
    /// Number of expressions.
    pub expressions: usize,
    /// Registers, memories and clocked children may occur.
    pub clocked: bool,
}

impl Block for RandomModule {
    fn name(&self) -> String {
        format!("random_{:x}_n{}", self.seed, self.expressions)
    }

    fn about(&self) -> About {
        About {
            purpose: "Random expressions.".into(),
            parameters: vec![("seed", self.seed.to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let mut growth = Growth {
            m,
            clocked: self.clocked,
            rng: RefCell::new(ChaCha8Rng::seed_from_u64(self.seed)),
            pool: Vec::new(),
            outputs: 0,
        };
        growth.inputs();
        let feedback = growth.feedback_registers();
        for index in 0..self.expressions {
            growth.expression(index);
        }
        for (register, enable) in feedback {
            let next = growth.pick_as(register.ty()).sig;
            match enable {
                true => register.next_when(growth.pick_as(Ty::unsigned(1)).sig, next),
                false => register.next(next),
            }
        }
    }
}

/// A value that later expressions may use.
#[derive(Clone, Copy)]
struct Value<'m> {
    sig: Sig<'m>,
    /// Bits of it can be taken without naming it first.
    sliceable: bool,
    /// It does not depend on any input.
    constant: bool,
}

struct Growth<'m> {
    m: &'m Builder,
    clocked: bool,
    rng: RefCell<ChaCha8Rng>,
    pool: Vec<Value<'m>>,
    outputs: usize,
}

/// Number of kinds in [`Growth::expression`].
const KINDS: usize = 34;

impl<'m> Growth<'m> {
    fn below(&self, bound: usize) -> usize {
        self.rng.borrow_mut().random_range(0..bound)
    }

    fn chance(&self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Widths around the words of the simulators are more likely than others.
    fn width(&self) -> usize {
        match self.below(10) {
            0 | 1 => 1,
            2..=4 => 2 + self.below(7),
            5 => 30 + self.below(6),
            6 => 62 + self.below(5),
            7 => 126 + self.below(5),
            _ => 1 + self.below(WIDEST),
        }
    }

    fn ty(&self) -> Ty {
        let width = self.width();
        match self.chance(50) {
            true => Ty::signed(width),
            false => Ty::unsigned(width),
        }
    }

    fn inputs(&mut self) {
        for index in 0..14 {
            let ty = match index {
                0 => Ty::unsigned(1),
                1 => Ty::unsigned(WIDEST),
                2 => Ty::signed(WIDEST),
                _ => self.ty(),
            };
            let sig = self.m.input(&format!("in{index}"), ty, "");
            self.keep(Value {
                sig,
                sliceable: true,
                constant: false,
            });
        }
    }

    /// Registers that later values are fed back into.
    fn feedback_registers(&mut self) -> Vec<(Reg<'m>, bool)> {
        if !self.clocked {
            return Vec::new();
        }
        let mut registers = Vec::new();
        for index in 0..4 {
            let ty = self.ty();
            let register = self.m.register(&format!("loop{index}_q"), ty, Some(1), "");
            self.keep_named(*register);
            registers.push((register, self.chance(50)));
        }
        registers
    }

    fn pick(&self) -> Value<'m> {
        // Recent values nest deeper.
        let recent = 24.min(self.pool.len());
        let index = match self.chance(60) {
            true => self.pool.len() - 1 - self.below(recent),
            false => self.below(self.pool.len()),
        };
        self.pool[index]
    }

    fn pick_as(&mut self, ty: Ty) -> Value<'m> {
        let value = self.pick();
        self.fit(value, ty)
    }

    /// The value with another type: extended, cut or read with another sign.
    fn fit(&mut self, value: Value<'m>, ty: Ty) -> Value<'m> {
        let mut value = value;
        if value.sig.width() > ty.width && !value.sliceable {
            value = self.named(value);
        }
        // Reading with the other sign before or after makes different extensions.
        let before = self.chance(50);
        let read = |sig: Sig<'m>| match ty.signed {
            true => sig.as_signed(),
            false => sig.as_unsigned(),
        };
        let sig = if before { read(value.sig) } else { value.sig };
        let resized = sig.resize(ty.width);
        Value {
            sig: read(resized),
            sliceable: value.sliceable && resized.width() <= sig.width(),
            ..value
        }
    }

    /// A named net of the value, with an output of its own so that every bit is used.
    fn named(&mut self, value: Value<'m>) -> Value<'m> {
        let sig = self.m.net(&format!("n{}", self.outputs), value.sig, "");
        self.keep(Value {
            sig,
            sliceable: true,
            ..value
        })
    }

    fn keep_named(&mut self, sig: Sig<'m>) -> Value<'m> {
        self.keep(Value {
            sig,
            sliceable: true,
            constant: false,
        })
    }

    /// Puts the value into the pool and on an output.
    fn keep(&mut self, value: Value<'m>) -> Value<'m> {
        let name = format!("e{}", self.outputs);
        self.outputs += 1;
        self.m.output(&name, value.sig.ty(), "").drive(value.sig);
        self.pool.push(value);
        value
    }

    fn expression(&mut self, index: usize) {
        let kind = match index < 2 * KINDS {
            true => index % KINDS,
            false => self.below(KINDS),
        };
        let m = self.m;
        let value = match kind {
            0 => {
                let a = self.pick();
                Value { sig: !a.sig, ..a }
            }
            1 => self.bitwise(|a, b| a & b),
            2 => self.bitwise(|a, b| a | b),
            3 => self.bitwise(|a, b| a ^ b),
            4 => self.pairwise(|a, b| a.wrapping_add(b)),
            5 => self.pairwise(|a, b| a.wrapping_sub(b)),
            6 => self.growing(WIDEST - 1, |a, b| a + b),
            7 => self.growing(WIDEST - 1, |a, b| a - b),
            8 | 9 => self.growing(WIDEST / 2, |a, b| a * b),
            10 => self.pairwise(Sig::equals),
            11 => self.pairwise(Sig::differs),
            12 => self.pairwise(Sig::lt),
            13 => self.pairwise(Sig::le),
            14 => self.pairwise(Sig::gt),
            15 => self.pairwise(Sig::ge),
            16 => self.select_chain(),
            17 => self.unary(Sig::all),
            18 => self.unary(Sig::any),
            19 => self.unary(Sig::parity),
            20 => self.slice(),
            21 => self.concatenation(),
            22 => {
                let a = self.narrow(WIDEST / 4);
                let count = 1 + self.below(4);
                Value {
                    sig: a.sig.repeat(count),
                    ..a
                }
            }
            23 => {
                let a = self.narrow(WIDEST);
                let width = a.sig.width() + self.below(WIDEST + 1 - a.sig.width());
                Value {
                    sig: a.sig.extend(width),
                    sliceable: a.sliceable && width == a.sig.width(),
                    ..a
                }
            }
            24 => {
                let a = self.narrow(WIDEST - 1);
                Value {
                    sig: a.sig.to_signed(),
                    sliceable: a.sliceable && a.sig.ty().signed,
                    ..a
                }
            }
            25 => {
                let ty = self.ty();
                self.pick_as(ty)
            }
            26 => {
                let a = self.narrow(WIDEST - 10);
                let count = self.below(10);
                Value {
                    sig: a.sig.shift_left(count),
                    ..a
                }
            }
            27 => {
                let a = self.sliceable();
                let count = self.below(a.sig.width());
                Value {
                    sig: a.sig.shift_right(count),
                    ..a
                }
            }
            28 => self.shift(Sig::shift_left_by),
            29 | 30 => self.shift(Sig::shift_right_by),
            31 => self.case(index),
            32 => self.lanes(index),
            _ => match (self.clocked, self.below(4)) {
                (true, 0 | 1) => self.register(index),
                (_, 2) => self.child(index),
                _ => {
                    let ty = self.ty();
                    let sig = literal(m, ty, &mut self.rng.borrow_mut());
                    Value {
                        sig,
                        sliceable: true,
                        constant: true,
                    }
                }
            },
        };
        match self.chance(50) {
            true => self.named(value),
            false => self.keep(value),
        };
    }

    fn unary(&mut self, operator: impl Fn(Sig<'m>) -> Sig<'m>) -> Value<'m> {
        let a = self.pick();
        Value {
            sig: operator(a.sig),
            sliceable: false,
            ..a
        }
    }

    /// Two operands of one type.
    fn pair(&mut self) -> (Value<'m>, Value<'m>) {
        let a = self.pick();
        (a, self.pick_as(a.sig.ty()))
    }

    fn bitwise(&mut self, operator: impl Fn(Sig<'m>, Sig<'m>) -> Sig<'m>) -> Value<'m> {
        let (a, b) = self.pair();
        Value {
            sig: operator(a.sig, b.sig),
            sliceable: a.sliceable && b.sliceable,
            constant: a.constant && b.constant,
        }
    }

    fn pairwise(&mut self, operator: impl Fn(Sig<'m>, Sig<'m>) -> Sig<'m>) -> Value<'m> {
        Value {
            sliceable: false,
            ..self.bitwise(operator)
        }
    }

    /// Two operands of one signedness and any widths up to `widest`.
    fn growing(
        &mut self,
        widest: usize,
        operator: impl Fn(Sig<'m>, Sig<'m>) -> Sig<'m>,
    ) -> Value<'m> {
        let a = self.narrow(widest);
        let b = self.narrow(widest);
        let signed = a.sig.ty().signed;
        let width = b.sig.width();
        let b = self.fit(b, Ty { width, signed });
        Value {
            sig: operator(a.sig, b.sig),
            sliceable: false,
            constant: a.constant && b.constant,
        }
    }

    /// A value of at most `widest` bits.
    fn narrow(&mut self, widest: usize) -> Value<'m> {
        let value = self.pick();
        if value.sig.width() <= widest {
            return value;
        }
        let width = 1 + self.below(widest);
        let signed = value.sig.ty().signed;
        self.fit(value, Ty { width, signed })
    }

    fn sliceable(&mut self) -> Value<'m> {
        let value = self.pick();
        match value.sliceable {
            true => value,
            false => self.named(value),
        }
    }

    fn select_chain(&mut self) -> Value<'m> {
        let mut result = self.pick();
        let ty = result.sig.ty();
        for _ in 0..1 + self.below(3) {
            let condition = self.pick_as(Ty::unsigned(1));
            let then = self.pick_as(ty);
            let (then, otherwise) = match self.chance(30) {
                true => (result, then),
                false => (then, result),
            };
            result = Value {
                sig: condition.sig.select(then.sig, otherwise.sig),
                sliceable: then.sliceable && otherwise.sliceable,
                constant: condition.constant && then.constant && otherwise.constant,
            };
        }
        result
    }

    fn slice(&mut self) -> Value<'m> {
        let a = self.sliceable();
        let width = 1 + self.below(a.sig.width());
        let lo = self.below(a.sig.width() - width + 1);
        let sig = match self.below(4) {
            0 => a.sig.msb(),
            1 => a.sig.bit(lo),
            2 => {
                let lanes = [5, 4, 3, 2, 1];
                let lanes = lanes.iter().find(|&&n| a.sig.width().is_multiple_of(n));
                let lanes = *lanes.expect("one divides everything");
                let ty = Ty::signed(a.sig.width() / lanes);
                a.sig.lanes(ty).lane(self.below(lanes))
            }
            _ => a.sig.slice(lo, width),
        };
        Value { sig, ..a }
    }

    fn concatenation(&mut self) -> Value<'m> {
        let parts: Vec<_> = (0..2 + self.below(4))
            .map(|_| self.narrow(WIDEST / 5))
            .collect();
        let sigs: Vec<_> = parts.iter().map(|p| p.sig).collect();
        Value {
            sig: match self.chance(50) {
                true => self.m.cat(&sigs),
                false => self.m.pack(&sigs),
            },
            sliceable: parts.iter().all(|p| p.sliceable),
            constant: parts.iter().all(|p| p.constant),
        }
    }

    fn shift(&mut self, operator: impl Fn(Sig<'m>, Sig<'m>) -> Sig<'m>) -> Value<'m> {
        let a = self.pick();
        let bits = match self.below(4) {
            0 => 10 + self.below(60),
            _ => 1 + self.below(9),
        };
        let amount = self.pick_as(Ty::unsigned(bits));
        Value {
            sig: operator(a.sig, amount.sig),
            sliceable: false,
            constant: a.constant && amount.constant,
        }
    }

    fn case(&mut self, index: usize) -> Value<'m> {
        let mut selector = self.pick();
        while selector.constant {
            selector = self.pick();
        }
        if selector.sig.width() > 5 && self.chance(70) {
            selector = self.fit(selector, Ty::unsigned(3));
        }
        let ty = self.ty();
        let limit = 1u64 << selector.sig.width().min(6);
        let mut numbers: Vec<u64> = (0..limit).filter(|_| self.chance(40)).collect();
        numbers.truncate(9);
        let arms: Vec<_> = numbers
            .into_iter()
            .map(|n| (n, self.pick_as(ty).sig))
            .collect();
        let otherwise = self.pick_as(ty).sig;
        let name = format!("case{index}");
        let sig = self.m.case(&name, selector.sig, &arms, otherwise, "");
        Value {
            sig,
            sliceable: true,
            constant: false,
        }
    }

    /// A generate loop over the lanes of two buses and of a third one made in a loop inside it.
    fn lanes(&mut self, index: usize) -> Value<'m> {
        let m = self.m;
        let lanes = 1 + self.below(6);
        let ty = Ty {
            width: 1 + self.below(WIDEST / lanes),
            signed: self.chance(50),
        };
        let bus = Ty::unsigned(lanes * ty.width);
        let (a, b) = (self.pick_as(bus), self.pick_as(bus));
        let (a, b) = (self.named(a).sig, self.named(b).sig);
        let same_for_all = self.pick_as(ty).sig;
        let low = self.below(ty.width);
        let style = self.below(4);
        let clocked = self.clocked;
        let sig = m.per_lane(&format!("lanes{index}"), lanes, ty, "", |k| {
            let (a, b) = (a.lanes(ty).at(k), b.lanes(ty).at(k));
            let sum = m.net(&format!("sum{index}"), a + b, "");
            let small = sum.truncate(ty.width);
            m.unused(&format!("carry{index}"), sum.msb(), "only the low bits");
            match style {
                0 => a.lt(b).select(small, same_for_all),
                1 => {
                    let mixed = m.net(&format!("mixed{index}"), a ^ small, "");
                    let flipped = m.per_lane(&format!("flipped{index}"), ty.width, 1, "", |n| {
                        !mixed.lanes(1).at(n)
                    });
                    let word = flipped.wrapping_add(same_for_all.as_unsigned());
                    if ty.signed { word.as_signed() } else { word }
                }
                2 if clocked => {
                    let held = m.register(&format!("held{index}_q"), ty, Some(0), "");
                    held.next_when(a.gt(same_for_all), small);
                    *held
                }
                _ => {
                    let part = b.slice(low, ty.width - low).extend(ty.width);
                    let part = if ty.signed { part.as_signed() } else { part };
                    small ^ part.wrapping_sub(same_for_all)
                }
            }
        });
        Value {
            sig,
            sliceable: true,
            constant: false,
        }
    }

    fn register(&mut self, index: usize) -> Value<'m> {
        let value = self.pick();
        let reset = self.chance(50);
        let name = format!("r{index}_q");
        let ty = value.sig.ty();
        let register = self.m.register(&name, ty, reset.then_some(1), "");
        // A register without reset takes a word at every edge, so that no undefined word stays.
        match reset && self.chance(50) {
            true => register.next_when(self.pick_as(Ty::unsigned(1)).sig, value.sig),
            false => register.next(value.sig),
        }
        Value {
            sig: *register,
            sliceable: true,
            constant: false,
        }
    }

    fn child(&mut self, index: usize) -> Value<'m> {
        let value = self.pick();
        let block = Complement {
            ty: value.sig.ty(),
            registered: self.clocked && self.chance(50),
        };
        let child = self.m.instance(&format!("u_child{index}"), &block);
        child.input("word", value.sig);
        Value {
            sig: child.output("complement"),
            sliceable: true,
            constant: false,
        }
    }
}

/// A child with one operator.
#[derive(Clone, Debug)]
struct Complement {
    ty: Ty,
    registered: bool,
}

impl Block for Complement {
    fn name(&self) -> String {
        let edge = if self.registered { "_q" } else { "" };
        format!("random_complement_{}{edge}", self.ty)
    }

    fn about(&self) -> About {
        About {
            purpose: "Complement.".into(),
            parameters: vec![],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let word = m.input("word", self.ty, "");
        let complement = m.output("complement", self.ty, "");
        if self.registered {
            let held = m.register("held_q", self.ty, None, "");
            held.next(!word);
            complement.drive(held);
        } else {
            complement.drive(!word);
        }
    }
}

fn literal<'m>(m: &'m Builder, ty: Ty, rng: &mut ChaCha8Rng) -> Sig<'m> {
    let sig = m.lit_big(word(ty.width, rng), ty.width);
    if ty.signed { sig.as_signed() } else { sig }
}

/// A word of the test: extreme as often as random.
pub fn word(width: usize, rng: &mut ChaCha8Rng) -> BigUint {
    let one = BigUint::from(1u8);
    let ones = (&one << width) - 1u8;
    match rng.random_range(0..10) {
        0 => BigUint::ZERO,
        1 => ones,
        2 => &one << (width - 1),
        3 => (&one << (width - 1)) - 1u8,
        4 => one << rng.random_range(0..width),
        5 => {
            let hole = one << rng.random_range(0..width);
            ones ^ hole
        }
        6 => BigUint::from(rng.random_range(0..4u8)) & ones,
        _ => {
            let mut bytes = vec![0; width.div_ceil(8)];
            rng.fill_bytes(&mut bytes);
            BigUint::from_bytes_le(&bytes) & ones
        }
    }
}
