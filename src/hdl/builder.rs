//! Building a module: ports, nets, registers, memories, children and generate loops, checked as they are described.

use super::block::{Block, Library};
use super::check;
use super::expr::{Expr, ExprId, GenvarId, Op, SignalId};
use super::handle::{Reg, Wire};
use super::instance::PendingInstance;
use super::lanes::LaneIndex;
use super::module::{About, Direction, Genvar, Item, Module, Signal, SignalKind, Update};
use super::names;
use super::sig::Sig;
use super::types::{Place, Ty, mistake, mistake_at};
use num_bigint::BigUint;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// Describes one module; handed to [`Block::build`].
pub struct Builder {
    pub(super) state: RefCell<State>,
    pub(super) library: Rc<Library>,
}

#[derive(Default)]
pub(super) struct State {
    pub signals: Vec<Signal>,
    pub exprs: Vec<Expr>,
    interned: HashMap<Expr, ExprId>,
    /// Slices of compound expressions: slicing one moves through all that it is made of.
    slices: HashMap<(ExprId, usize, usize), ExprId>,
    pub genvars: Vec<Genvar>,
    ports: Vec<SignalId>,
    names: HashSet<String>,
    scopes: Vec<Scope>,
    pub driven: HashSet<SignalId>,
    pub instances: Vec<PendingInstance>,
    pub clocked: bool,
    resettable: bool,
}

/// The module body or the body of a generate loop being described.
#[derive(Default)]
struct Scope {
    items: Vec<Item>,
    with_reset: Vec<Update>,
    without_reset: Vec<Update>,
    /// Instances (indices into `State::instances`) not yet printed.
    instances: Vec<usize>,
}

impl Builder {
    pub(super) fn new(library: Rc<Library>) -> Self {
        let state = State {
            scopes: vec![Scope::default()],
            ..State::default()
        };
        Builder {
            state: RefCell::new(state),
            library,
        }
    }

    /// Headline over the statements that follow.
    pub fn section(&self, title: &str) {
        self.flush(false);
        self.push(Item::Section(title.to_owned()));
    }

    /// Input port `<name>_i`; `doc` states format and shape.
    #[track_caller]
    pub fn input(&self, name: &str, ty: impl Into<Ty>, doc: &str) -> Sig<'_> {
        let kind = SignalKind::Port(Direction::In);
        let id = self.declare(&format!("{name}_i"), ty.into(), kind, doc);
        self.state.borrow_mut().ports.push(id);
        self.signal(id)
    }

    /// Output port `<name>_o`; drive it once.
    #[track_caller]
    pub fn output(&self, name: &str, ty: impl Into<Ty>, doc: &str) -> Wire<'_> {
        let kind = SignalKind::Port(Direction::Out);
        let id = self.declare(&format!("{name}_o"), ty.into(), kind, doc);
        self.state.borrow_mut().ports.push(id);
        Wire(self.signal(id))
    }

    /// Net with its expression; the macro [`net!`](crate::net) names it after the Rust variable.
    #[track_caller]
    pub fn net<'m>(&'m self, name: &str, value: impl Into<Sig<'m>>, doc: &str) -> Sig<'m> {
        let value = value.into();
        let id = self.declare(name, value.ty(), SignalKind::Net, doc);
        self.push(Item::Net(id, value.id));
        self.state.borrow_mut().driven.insert(id);
        self.signal(id)
    }

    /// Net declared here and driven later, for feedback.
    #[track_caller]
    pub fn wire(&self, name: &str, ty: impl Into<Ty>, doc: &str) -> Wire<'_> {
        let id = self.declare(name, ty.into(), SignalKind::Net, doc);
        self.push(Item::Declare(id));
        Wire(self.signal(id))
    }

    /// Register; the macro [`reg!`](crate::reg) names it after the Rust variable.
    #[track_caller]
    pub fn register(
        &self,
        name: &str,
        ty: impl Into<Ty>,
        reset: Option<u64>,
        doc: &str,
    ) -> Reg<'_> {
        let ty = ty.into();
        if !name.ends_with("_q") {
            mistake(format!("register {name} must be named with a final _q"));
        }
        let reset = reset.map(BigUint::from);
        if reset.as_ref().is_some_and(|v| v.bits() as usize > ty.width) {
            mistake(format!("reset value of {name} does not fit in {ty}"));
        }
        {
            let mut state = self.state.borrow_mut();
            state.clocked = true;
            state.resettable |= reset.is_some();
        }
        let id = self.declare(name, ty, SignalKind::Register(reset), doc);
        self.push(Item::Declare(id));
        Reg(self.signal(id))
    }

    /// Net that takes the value of the arm whose number equals `selector`, else `otherwise`; a `case` in Verilog.
    #[track_caller]
    pub fn case<'m>(
        &'m self,
        name: &str,
        selector: impl Into<Sig<'m>>,
        arms: &[(u64, Sig<'m>)],
        otherwise: impl Into<Sig<'m>>,
        doc: &str,
    ) -> Sig<'m> {
        let (selector, otherwise) = (selector.into(), otherwise.into());
        let mut seen = HashSet::new();
        for (number, value) in arms {
            if value.ty() != otherwise.ty() {
                mistake(format!(
                    "case {name}: arm {number} is {}, the default {}",
                    value.ty(),
                    otherwise.ty()
                ));
            }
            if selector.width() < 64 && number >> selector.width() != 0 {
                mistake(format!(
                    "case {name}: arm {number} does not fit the selector"
                ));
            }
            if !seen.insert(number) {
                mistake(format!("case {name}: arm {number} stands twice"));
            }
        }
        // Icarus never runs an `always @(*)` without anything to wait for.
        if self.is_constant(selector.id) {
            mistake(format!(
                "case {name}: the selector is constant; take its arm while building"
            ));
        }
        let id = self.declare(name, otherwise.ty(), SignalKind::Net, doc);
        self.state.borrow_mut().driven.insert(id);
        self.push(Item::Case {
            target: id,
            selector: selector.id,
            arms: arms.iter().map(|(n, v)| (*n, v.id)).collect(),
            otherwise: otherwise.id,
        });
        self.signal(id)
    }

    /// Takes bits that are knowingly not used, with the reason; the net ends in `_unused`.
    #[track_caller]
    pub fn unused<'m>(&'m self, name: &str, value: impl Into<Sig<'m>>, reason: &str) {
        self.net(&format!("{name}_unused"), value, reason);
    }

    /// A condition that must never hold at a clock edge outside reset; simulation stops with the message.
    #[track_caller]
    pub fn never<'m>(&'m self, condition: impl Into<Sig<'m>>, message: &str) {
        let condition = condition.into();
        if condition.width() != 1 {
            mistake("a forbidden condition is one bit");
        }
        self.state.borrow_mut().clocked = true;
        self.push(Item::Never {
            condition: condition.id,
            message: message.to_owned(),
        });
    }

    /// Generate loop: `body` describes one iteration, `index` selects lanes in it.
    #[track_caller]
    pub fn generate<'m>(&'m self, label: &str, count: usize, body: impl FnOnce(LaneIndex<'m>)) {
        if count == 0 {
            mistake(format!("generate loop {label} has no iterations"));
        }
        self.claim(label);
        let genvar = {
            let mut state = self.state.borrow_mut();
            let depth = state.scopes.len() - 1;
            let name = names::LOOP_VARIABLES.get(depth).copied();
            let Some(name) = name else {
                drop(state);
                mistake("generate loops nest three deep at most");
            };
            state.scopes.push(Scope::default());
            state.genvars.push(Genvar {
                name: name.to_owned(),
                count,
            });
            GenvarId(state.genvars.len() as u32 - 1)
        };
        body(LaneIndex {
            builder: self,
            genvar,
            count,
        });
        self.flush(true);
        let scope = self.state.borrow_mut().scopes.pop().expect("pushed above");
        self.push(Item::Generate {
            label: label.to_owned(),
            genvar,
            items: scope.items,
        });
    }

    /// Elaborates a child that several instances may share.
    #[track_caller]
    pub fn child(&self, block: &dyn Block) -> Arc<Module> {
        self.library.elaborate(block)
    }

    // ---- for the other files of the layer -------------------------------------------------

    pub(super) fn expr(&self, op: Op, ty: Ty) -> Sig<'_> {
        let expr = Expr {
            op,
            width: ty.width,
        };
        let mut state = self.state.borrow_mut();
        let id = match state.interned.get(&expr) {
            Some(&id) => id,
            None => {
                let id = ExprId(state.exprs.len() as u32);
                state.exprs.push(expr.clone());
                state.interned.insert(expr, id);
                id
            }
        };
        Sig { m: self, id, ty }
    }

    pub(super) fn known_slice(&self, value: ExprId, lo: usize, width: usize) -> Option<ExprId> {
        let state = self.state.borrow();
        state.slices.get(&(value, lo, width)).copied()
    }

    pub(super) fn note_slice(&self, value: ExprId, lo: usize, width: usize, slice: ExprId) {
        let mut state = self.state.borrow_mut();
        state.slices.insert((value, lo, width), slice);
    }

    pub(super) fn signal(&self, id: SignalId) -> Sig<'_> {
        let ty = self.state.borrow().signals[id.0 as usize].ty;
        self.expr(Op::Signal(id), ty)
    }

    pub(super) fn op(&self, id: ExprId) -> Op {
        self.state.borrow().exprs[id.0 as usize].op.clone()
    }

    /// The value of a constant of one bit.
    pub(super) fn constant_bit(&self, id: ExprId) -> Option<bool> {
        match (self.op(id), self.width_of(id)) {
            (Op::Const(value), 1) => Some(value.bit(0)),
            _ => None,
        }
    }

    /// Whether no input, net or register changes the expression.
    fn is_constant(&self, root: ExprId) -> bool {
        let state = self.state.borrow();
        let mut seen = HashSet::new();
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            let op = &state.exprs[id.0 as usize].op;
            let changes = match op {
                Op::Signal(signal) => !matches!(
                    state.signals[signal.0 as usize].kind,
                    SignalKind::Constant(_)
                ),
                Op::Lane { .. } => true,
                _ => false,
            };
            if changes {
                return false;
            }
            stack.extend(op.operands());
        }
        true
    }

    pub(super) fn width_of(&self, id: ExprId) -> usize {
        self.state.borrow().exprs[id.0 as usize].width
    }

    pub(super) fn signal_name(&self, id: SignalId) -> String {
        self.state.borrow().signals[id.0 as usize].name.clone()
    }

    #[track_caller]
    pub(super) fn declare(&self, name: &str, ty: Ty, kind: SignalKind, doc: &str) -> SignalId {
        if ty.width == 0 {
            mistake(format!("{name} has no bits"));
        }
        self.claim(name);
        let place: Place = Location::caller();
        let mut state = self.state.borrow_mut();
        state.signals.push(Signal {
            name: name.to_owned(),
            ty,
            kind,
            doc: doc.to_owned(),
            place,
        });
        SignalId(state.signals.len() as u32 - 1)
    }

    #[track_caller]
    pub(super) fn claim(&self, name: &str) {
        if !names::is_identifier(name) {
            mistake(format!("`{name}` is no Verilog identifier"));
        }
        if let Some(use_) = names::reserved_for(name) {
            mistake(format!("the name {name} is reserved for {use_}"));
        }
        if !self.state.borrow_mut().names.insert(name.to_owned()) {
            mistake(format!("the name {name} stands twice in one module"));
        }
    }

    pub(super) fn push(&self, item: Item) {
        let mut state = self.state.borrow_mut();
        let scope = state.scopes.last_mut().expect("the body is a scope");
        scope.items.push(item);
    }

    #[track_caller]
    pub(super) fn drive(&self, id: SignalId, value: Sig<'_>) {
        self.mark_driven(id, value.ty(), "driven");
        self.push(Item::Assign(id, value.id));
    }

    #[track_caller]
    pub(super) fn drive_lane(&self, id: SignalId, index: LaneIndex<'_>, value: Sig<'_>) {
        let (name, width) = {
            let state = self.state.borrow();
            let signal = &state.signals[id.0 as usize];
            (signal.name.clone(), signal.ty.width)
        };
        if value.width() * index.count != width {
            mistake(format!(
                "{} lanes of {} do not fill {name} of {width} bits",
                index.count,
                value.ty()
            ));
        }
        if !self.state.borrow_mut().driven.insert(id) {
            mistake(format!("{name} is driven twice"));
        }
        self.push(Item::AssignLane(id, index.genvar, value.id));
    }

    #[track_caller]
    pub(super) fn set_next(&self, id: SignalId, enable: Option<Sig<'_>>, next: Sig<'_>) {
        self.mark_driven(id, next.ty(), "given a next value");
        if enable.is_some_and(|e| e.width() != 1) {
            mistake("a register's enable is one bit");
        }
        let update = Update {
            register: id,
            enable: enable.map(|e| e.id),
            next: next.id,
        };
        let mut state = self.state.borrow_mut();
        let signal = &state.signals[id.0 as usize];
        let has_reset = matches!(signal.kind, SignalKind::Register(Some(_)));
        let scope = state.scopes.last_mut().expect("the body is a scope");
        if has_reset {
            scope.with_reset.push(update);
        } else {
            scope.without_reset.push(update);
        }
    }

    #[track_caller]
    fn mark_driven(&self, id: SignalId, ty: Ty, what: &str) {
        let (name, expected) = {
            let state = self.state.borrow();
            let signal = &state.signals[id.0 as usize];
            (signal.name.clone(), signal.ty)
        };
        if ty != expected {
            mistake(format!("{name} is {expected}, {what} by {ty}"));
        }
        if !self.state.borrow_mut().driven.insert(id) {
            mistake(format!("{name} is {what} twice"));
        }
    }

    pub(super) fn add_instance(&self, instance: PendingInstance) -> usize {
        let mut state = self.state.borrow_mut();
        state.clocked |= instance.module.clocked;
        state.instances.push(instance);
        let index = state.instances.len() - 1;
        let scope = state.scopes.last_mut().expect("the body is a scope");
        scope.instances.push(index);
        index
    }

    /// Whether an expression can drive an asynchronous reset: an input port, or a register that resets to zero.
    pub(super) fn is_steady_reset(&self, id: ExprId) -> bool {
        let state = self.state.borrow();
        let Op::Signal(signal) = state.exprs[id.0 as usize].op else {
            return false;
        };
        match &state.signals[signal.0 as usize].kind {
            SignalKind::Port(direction) => *direction == Direction::In,
            SignalKind::Register(reset) => *reset == Some(BigUint::ZERO),
            _ => false,
        }
    }

    pub(super) fn mark_driven_by_instance(&self, id: SignalId) {
        self.state.borrow_mut().driven.insert(id);
    }

    /// Prints what waits for the end of a section: complete instances, then register updates.
    fn flush(&self, all: bool) {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let scope = state.scopes.last_mut().expect("the body is a scope");
        let mut waiting = Vec::new();
        for index in scope.instances.drain(..) {
            let instance = &mut state.instances[index];
            match instance.missing() {
                None => {
                    instance.printed = true;
                    scope.items.push(instance.to_item());
                }
                Some(missing) if all => mistake_at(
                    instance.place,
                    format!("{}: {missing} is not connected", instance.name),
                ),
                Some(_) => waiting.push(index),
            }
        }
        scope.instances = waiting;
        for updates in [&mut scope.with_reset, &mut scope.without_reset] {
            if !updates.is_empty() {
                scope.items.push(Item::Registers(std::mem::take(updates)));
            }
        }
    }

    pub(super) fn finish(self, name: String, about: About) -> Module {
        self.flush(true);
        let mut state = self.state.into_inner();
        state.resettable |= state
            .instances
            .iter()
            .any(|instance| instance.module.resettable && instance.reset.is_none());
        for (index, signal) in state.signals.iter().enumerate() {
            let needs_driver = matches!(
                signal.kind,
                SignalKind::Net | SignalKind::Register(_) | SignalKind::Port(Direction::Out)
            );
            if needs_driver && !state.driven.contains(&SignalId(index as u32)) {
                mistake_at(signal.place, format!("{} is never driven", signal.name));
            }
        }
        let [scope] = <[Scope; 1]>::try_from(state.scopes)
            .unwrap_or_else(|_| unreachable!("every loop closed its scope"));
        let mut module = Module {
            name,
            about,
            signals: state.signals,
            ports: state.ports,
            exprs: state.exprs,
            genvars: state.genvars,
            items: scope.items,
            clocked: state.clocked || state.resettable,
            resettable: state.resettable,
            combinational: Vec::new(),
        };
        check::scopes(&module);
        check::usage(&module);
        module.combinational = check::combinational_paths(&module);
        module
    }
}
