//! Texts of expressions, and the temporaries they need.

use super::text::{lane, literal, select};
use crate::hdl::expr::{Binary, Compare, ExprId, Op, Reduce, Shift};
use crate::hdl::module::Module;
use num_bigint::BigUint;
use std::collections::{HashMap, HashSet};

/// Longest name, in characters, made of a temporary's operation.
const LONGEST_WORDING: usize = 32;

pub(super) struct ExprWriter<'a> {
    module: &'a Module,
    consumer: &'a str,
    shared: HashSet<ExprId>,
    /// Expressions that have become temporaries.
    named: HashMap<ExprId, String>,
    /// Name, width and text of each.
    pub(super) temporaries: Vec<(String, usize, String)>,
    /// Every name of the module, which those of temporaries join.
    names: &'a mut HashSet<String>,
    next_number: usize,
}

/// Where an expression's text will stand, which decides what it needs around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Right of an assignment, or in brackets of its own: width and sign come from the text alone.
    Alone,
    /// In brackets of its own, but read together with unsigned texts.
    Selector,
    /// Beside a binary operator.
    Operand,
    /// Behind a unary operator: `^~a` would be read as an operator `^~`.
    Unary,
}

/// How tightly a text holds together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Binary,
    Unary,
    Primary,
}

impl<'a> ExprWriter<'a> {
    /// A writer for the expressions of one statement; temporaries are named after `consumer`.
    pub(super) fn new(
        module: &'a Module,
        consumer: &'a str,
        roots: &[ExprId],
        names: &'a mut HashSet<String>,
    ) -> Self {
        ExprWriter {
            module,
            consumer,
            shared: shared(module, roots),
            named: HashMap::new(),
            temporaries: Vec::new(),
            names,
            next_number: 0,
        }
    }

    /// Text of an expression that stands alone.
    fn alone(&mut self, id: ExprId) -> String {
        self.text(id, Place::Alone)
    }

    /// Text of an expression beside a binary operator.
    fn operand(&mut self, id: ExprId) -> String {
        self.text(id, Place::Operand)
    }

    pub(super) fn text(&mut self, id: ExprId, place: Place) -> String {
        if self.is_named(id) || self.shared.contains(&id) {
            return self.temporary(id);
        }
        let (text, binding) = self.compound(id, place);
        let enough = match place {
            Place::Alone | Place::Selector => Binding::Binary,
            Place::Operand => Binding::Unary,
            Place::Unary => Binding::Primary,
        };
        if binding >= enough {
            text
        } else {
            format!("({text})")
        }
    }

    fn is_named(&self, id: ExprId) -> bool {
        self.named.contains_key(&id)
    }

    /// Name of a new net that holds the expression.
    fn temporary(&mut self, id: ExprId) -> String {
        if let Some(name) = self.named.get(&id) {
            return name.clone();
        }
        let (text, _) = self.compound(id, Place::Alone);
        let name = self.temporary_name(id);
        self.temporaries
            .push((name.clone(), self.module.expr(id).width, text));
        self.named.insert(id, name.clone());
        name
    }

    /// What the expression says, if that is short, else the consumer's name and a number; nothing else in the module has
    /// the name.
    fn temporary_name(&mut self, id: ExprId) -> String {
        if let Some(name) = self.wording(id)
            && name.len() <= LONGEST_WORDING
            && self.names.insert(name.clone())
        {
            return name;
        }
        loop {
            let name = format!("{}_part{}", self.consumer, self.next_number);
            self.next_number += 1;
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }

    /// An operation on two names, or a name and a number, in words.
    fn wording(&self, id: ExprId) -> Option<String> {
        let (a, operator, b) = match &self.module.expr(id).op {
            Op::Binary(binary, a, b) => (a, binary_word(*binary), b),
            Op::Compare {
                compare: Compare::Eq,
                a,
                b,
                ..
            } => (a, "is", b),
            _ => return None,
        };
        let subject = self.name_of(*a)?;
        let object = match &self.module.expr(*b).op {
            Op::Const(value) => value.to_string(),
            _ => self.name_of(*b)?,
        };
        Some(format!("{subject}_{operator}_{object}"))
    }

    /// The name of a signal without the ending that tells its kind.
    fn name_of(&self, id: ExprId) -> Option<String> {
        let Op::Signal(signal) = self.module.expr(id).op else {
            return None;
        };
        let name = &self.module.signal(signal).name;
        let short = ["_q", "_i"].iter().find_map(|end| name.strip_suffix(end));
        Some(short.unwrap_or(name).to_owned())
    }

    fn compound(&mut self, id: ExprId, place: Place) -> (String, Binding) {
        let expr = self.module.expr(id);
        let width = expr.width;
        match &expr.op {
            Op::Const(value) => (literal(value, width), Binding::Primary),
            Op::Signal(signal) => {
                let name = self.module.signal(*signal).name.clone();
                (name, Binding::Primary)
            }
            Op::Lane { .. } => (self.lane_bits(id, 0, width), Binding::Primary),
            Op::Not(a) => {
                let operator = if width == 1 { '!' } else { '~' };
                let operand = self.text(*a, Place::Unary);
                (format!("{operator}{operand}"), Binding::Unary)
            }
            Op::Reduce(reduce, a) => {
                let operator = match reduce {
                    Reduce::And => '&',
                    Reduce::Or => '|',
                    Reduce::Xor => '^',
                };
                // In parentheses beside other operators: `a & |b` reads badly.
                let operand = self.text(*a, Place::Unary);
                (format!("{operator}{operand}"), Binding::Binary)
            }
            Op::Binary(binary, a, b) => (self.binary(*binary, *a, *b), Binding::Binary),
            Op::Mul { signed, a, b } => self.product(*signed, *a, *b, width, place),
            Op::Compare {
                compare,
                signed,
                a,
                b,
            } => {
                let operator = match compare {
                    Compare::Eq => "==",
                    Compare::Ne => "!=",
                    Compare::Lt => "<",
                    Compare::Le => "<=",
                    Compare::Gt => ">",
                    Compare::Ge => ">=",
                };
                let ordered = !matches!(compare, Compare::Eq | Compare::Ne);
                if *signed && ordered {
                    let (a, b) = (self.alone(*a), self.alone(*b));
                    let text = format!("$signed({a}) {operator} $signed({b})");
                    (text, Binding::Binary)
                } else {
                    let (a, b) = (self.operand(*a), self.operand(*b));
                    (format!("{a} {operator} {b}"), Binding::Binary)
                }
            }
            Op::Shift {
                shift,
                value,
                amount,
            } => {
                let amount = self.operand(*amount);
                let operator = match shift {
                    Shift::Left => "<<",
                    Shift::Right => ">>",
                    Shift::ArithmeticRight => {
                        let text = format!("$signed({}) >>> {amount}", self.alone(*value));
                        return unsigned_unless_alone(place, text);
                    }
                };
                let value = self.operand(*value);
                (format!("{value} {operator} {amount}"), Binding::Binary)
            }
            Op::Mux {
                condition,
                then,
                otherwise,
            } => {
                let condition = self.operand(*condition);
                let then = self.operand(*then);
                let chained = matches!(self.module.expr(*otherwise).op, Op::Mux { .. })
                    && !self.shared.contains(otherwise)
                    && !self.is_named(*otherwise);
                let otherwise = if chained {
                    self.compound(*otherwise, Place::Operand).0
                } else {
                    self.operand(*otherwise)
                };
                let text = format!("{condition} ? {then} : {otherwise}");
                (text, Binding::Binary)
            }
            Op::Slice { value, lo } => (self.bits(*value, *lo, width), Binding::Primary),
            Op::Concat(parts) => (self.concatenation(parts), Binding::Primary),
            Op::Extend { signed, value } => {
                let text = self.extension(*signed, *value, width);
                (text, Binding::Primary)
            }
        }
    }

    fn binary(&mut self, binary: Binary, a: ExprId, b: ExprId) -> String {
        let operator = match binary {
            Binary::And => "&",
            Binary::Or => "|",
            Binary::Xor => "^",
            Binary::Add => "+",
            Binary::Sub => "-",
        };
        // `a & b & c` needs no parentheses on the left: the operator associates that way.
        let flat = !matches!(binary, Binary::Sub | Binary::Add)
            && matches!(&self.module.expr(a).op, Op::Binary(inner, _, _) if *inner == binary)
            && !self.shared.contains(&a)
            && !self.is_named(a);
        let a = if flat {
            self.compound(a, Place::Operand).0
        } else {
            self.operand(a)
        };
        format!("{a} {operator} {}", self.operand(b))
    }

    fn product(
        &mut self,
        signed: bool,
        a: ExprId,
        b: ExprId,
        width: usize,
        place: Place,
    ) -> (String, Binding) {
        let a = self.extension(signed, a, width);
        let b = self.extension(signed, b, width);
        if signed {
            unsigned_unless_alone(place, format!("$signed({a}) * $signed({b})"))
        } else {
            (format!("{a} * {b}"), Binding::Binary)
        }
    }

    fn extension(&mut self, signed: bool, value: ExprId, width: usize) -> String {
        let own = self.module.expr(value).width;
        let more = width - own;
        if more == 0 {
            return self.operand(value);
        }
        if !signed {
            let text = self.alone(value);
            return format!("{{{}, {text}}}", literal(&BigUint::ZERO, more));
        }
        let sign = self.bits(value, own - 1, 1);
        if own == 1 {
            return format!("{{{width}{{{sign}}}}}");
        }
        let text = self.alone(value);
        match more {
            1 => format!("{{{sign}, {text}}}"),
            _ => format!("{{{{{more}{{{sign}}}}}, {text}}}"),
        }
    }

    fn concatenation(&mut self, parts: &[ExprId]) -> String {
        let mut texts = Vec::new();
        let mut index = 0;
        while index < parts.len() {
            let run = parts[index..]
                .iter()
                .take_while(|&&p| p == parts[index])
                .count();
            let text = self.alone(parts[index]);
            texts.push(if run == 1 {
                text
            } else {
                format!("{{{run}{{{text}}}}}")
            });
            index += run;
        }
        if texts.len() == 1 && parts.len() > 1 {
            return texts.remove(0);
        }
        format!("{{{}}}", texts.join(", "))
    }

    /// Bits `lo .. lo + width` of an expression.
    fn bits(&mut self, value: ExprId, lo: usize, width: usize) -> String {
        let own = self.module.expr(value).width;
        if own == width {
            return self.operand(value);
        }
        match &self.module.expr(value).op {
            Op::Lane { .. } if !self.is_named(value) => self.lane_bits(value, lo, width),
            Op::Slice { value, lo: first } => self.bits(*value, first + lo, width),
            Op::Signal(signal) => select(&self.module.signal(*signal).name, lo, width),
            Op::Const(constant) => {
                let mask = (BigUint::from(1u8) << width) - 1u8;
                literal(&((constant >> lo) & mask), width)
            }
            _ => select(&self.temporary(value), lo, width),
        }
    }

    fn lane_bits(&mut self, id: ExprId, lo: usize, width: usize) -> String {
        let expr = self.module.expr(id);
        let Op::Lane { bus, genvar } = expr.op else {
            unreachable!("called for lanes only")
        };
        let bus = &self.module.signal(bus).name;
        let k = &self.module.genvar(genvar).name;
        let stride = expr.width;
        if stride == width {
            return lane(bus, k, width);
        }
        let start = match lo {
            0 => format!("{k}*{stride}"),
            _ => format!("{k}*{stride} + {lo}"),
        };
        if width == 1 {
            format!("{bus}[{start}]")
        } else {
            format!("{bus}[{start} +: {width}]")
        }
    }
}

/// A signed operator's result beside other operators would change how those are read.
fn unsigned_unless_alone(place: Place, text: String) -> (String, Binding) {
    match place {
        Place::Alone => (text, Binding::Binary),
        _ => (format!("$unsigned({text})"), Binding::Primary),
    }
}

fn binary_word(binary: Binary) -> &'static str {
    match binary {
        Binary::And => "and",
        Binary::Or => "or",
        Binary::Xor => "xor",
        Binary::Add => "plus",
        Binary::Sub => "minus",
    }
}

/// Compound expressions that one statement uses more than once.
fn shared(module: &Module, roots: &[ExprId]) -> HashSet<ExprId> {
    let mut seen = HashSet::new();
    let mut shared = HashSet::new();
    let mut stack = roots.to_vec();
    while let Some(id) = stack.pop() {
        let leaf = match &module.expr(id).op {
            Op::Const(_) | Op::Signal(_) | Op::Lane { .. } => true,
            Op::Slice { value, .. } | Op::Not(value) => indexable(module, *value),
            Op::Extend {
                signed: false,
                value,
            } => is_short(module, *value),
            _ => false,
        };
        if leaf {
            continue;
        }
        if !seen.insert(id) {
            shared.insert(id);
            continue;
        }
        stack.extend(module.expr(id).op.operands());
    }
    shared
}

/// Whether the expression is a name or a part of one.
fn is_short(module: &Module, id: ExprId) -> bool {
    match module.expr(id).op {
        Op::Slice { value, .. } => indexable(module, value),
        _ => indexable(module, id),
    }
}

/// Whether Verilog can index the expression's text.
fn indexable(module: &Module, id: ExprId) -> bool {
    matches!(module.expr(id).op, Op::Signal(_) | Op::Lane { .. })
}
