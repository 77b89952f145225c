//! A finished module: owned, `Send`, its children shared.

use super::expr::{Expr, ExprId, GenvarId, Op, SignalId};
use super::types::{Place, Ty};
use num_bigint::BigUint;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Direction of a port, seen from the module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Driven from outside.
    In,
    /// Driven by the module.
    Out,
}

/// What kind of object carries a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignalKind {
    /// A port.
    Port(Direction),
    /// A combinational net.
    Net,
    /// A flip-flop, with its reset value if it has one.
    Register(Option<BigUint>),
    /// A named constant.
    Constant(BigUint),
    /// An array of words; only memory items touch it.
    Memory {
        /// Words.
        depth: usize,
    },
}

/// A named object of a module.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Verilog name.
    pub name: String,
    /// Width and signedness.
    pub ty: Ty,
    /// What it is.
    pub kind: SignalKind,
    /// Comment behind the declaration; may be empty.
    pub doc: String,
    /// Rust line that described it.
    pub place: Place,
}

/// A generate loop's variable.
#[derive(Clone, Debug)]
pub struct Genvar {
    /// Verilog name.
    pub name: String,
    /// Number of iterations.
    pub count: usize,
}

/// How a register changes at a rising clock edge.
#[derive(Clone, Debug)]
pub struct Update {
    /// The register.
    pub register: SignalId,
    /// Only when this bit is set; always without it.
    pub enable: Option<ExprId>,
    /// The value it takes.
    pub next: ExprId,
}

/// One statement of a module body.
#[derive(Clone, Debug)]
pub enum Item {
    /// Headline of a part of the module.
    Section(String),
    /// Declaration of a net or register that is driven elsewhere.
    Declare(SignalId),
    /// Net with its expression.
    Net(SignalId, ExprId),
    /// Drives a net declared earlier or an output port.
    Assign(SignalId, ExprId),
    /// Drives lane `genvar` of a bus.
    AssignLane(SignalId, GenvarId, ExprId),
    /// Net that selects by value.
    Case {
        /// The net.
        target: SignalId,
        /// Selecting word.
        selector: ExprId,
        /// Value of the selector and result.
        arms: Vec<(u64, ExprId)>,
        /// Result for every other value.
        otherwise: ExprId,
    },
    /// Registers of one section, all with reset or all without.
    Registers(Vec<Update>),
    /// A word array with one write port and a registered read port.
    Memory {
        /// The array.
        memory: SignalId,
        /// Write when set.
        write_enable: ExprId,
        /// Address of the write.
        write_address: ExprId,
        /// Word written.
        write_data: ExprId,
        /// Read when set.
        read_enable: ExprId,
        /// Address of the read.
        read_address: ExprId,
        /// Register that takes the word read.
        read_register: SignalId,
    },
    /// A word array of flip-flops with one write port and one read port that answers in the same cycle.
    RegisterFile {
        /// The array.
        memory: SignalId,
        /// Write when set.
        write_enable: ExprId,
        /// Address of the write.
        write_address: ExprId,
        /// Word written.
        write_data: ExprId,
        /// Address of the read.
        read_address: ExprId,
        /// Net that carries the word read.
        read_data: SignalId,
    },
    /// A child.
    Instance {
        /// Instance name.
        name: String,
        /// The child module.
        module: Arc<Module>,
        /// Expression for each input, in port order (clock and reset are implicit).
        inputs: Vec<(usize, ExprId)>,
        /// Net for each output, in port order.
        outputs: Vec<(usize, SignalId)>,
        /// The signal on the child's `rst_ni`; the module's own `rst_ni` without it.
        reset: Option<ExprId>,
    },
    /// A generate loop.
    Generate {
        /// Block label.
        label: String,
        /// Its variable.
        genvar: GenvarId,
        /// Its body.
        items: Vec<Item>,
    },
    /// A condition that must never hold at a clock edge; simulation stops with the message.
    Never {
        /// The forbidden condition.
        condition: ExprId,
        /// Message for whoever broke the rule.
        message: String,
    },
}

/// What a module says about itself in its banner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// What it is for, in a few lines.
    pub purpose: String,
    /// Parameter names and values.
    pub parameters: Vec<(&'static str, String)>,
    /// Rust file that describes it.
    pub source: &'static str,
}

/// A finished module.
#[derive(Clone, Debug)]
pub struct Module {
    /// Verilog name.
    pub name: String,
    /// Banner.
    pub about: About,
    /// Every named object.
    pub signals: Vec<Signal>,
    /// Ports in order of declaration, without clock and reset.
    pub ports: Vec<SignalId>,
    /// Every expression.
    pub exprs: Vec<Expr>,
    /// Generate variables.
    pub genvars: Vec<Genvar>,
    /// Statements in print order.
    pub items: Vec<Item>,
    /// Has `clk_i`.
    pub clocked: bool,
    /// Has `rst_ni`.
    pub resettable: bool,
    /// For each output port (index into `ports`): inputs it depends on without a register between.
    pub combinational: Vec<(usize, BTreeSet<usize>)>,
}

impl Module {
    /// The signal behind an id.
    pub fn signal(&self, id: SignalId) -> &Signal {
        &self.signals[id.0 as usize]
    }

    /// The expression behind an id.
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }

    /// The loop variable behind an id.
    pub fn genvar(&self, id: GenvarId) -> &Genvar {
        &self.genvars[id.0 as usize]
    }

    /// Ports in order with direction; clock and reset are not among them.
    pub fn port_list(&self) -> impl Iterator<Item = (&Signal, Direction)> {
        self.ports.iter().map(|&id| {
            let signal = self.signal(id);
            match signal.kind {
                SignalKind::Port(direction) => (signal, direction),
                _ => unreachable!("the port list holds ports only"),
            }
        })
    }

    /// Index of the port of that Verilog name.
    pub fn port_index(&self, name: &str) -> Option<usize> {
        self.ports
            .iter()
            .position(|&id| self.signal(id).name == name)
    }

    /// Whether some output changes with an input in the same cycle.
    pub fn has_combinational_path(&self) -> bool {
        self.combinational
            .iter()
            .any(|(_, inputs)| !inputs.is_empty())
    }

    /// The name behind an expression that is just a signal.
    pub(crate) fn named(&self, id: ExprId) -> Option<SignalId> {
        match self.expr(id).op {
            Op::Signal(signal) => Some(signal),
            _ => None,
        }
    }

    /// Every module below and including this one, children before parents, each once.
    pub fn hierarchy(self: &Arc<Self>) -> Vec<Arc<Module>> {
        fn children(items: &[Item], visit: &mut dyn FnMut(&Arc<Module>)) {
            for item in items {
                match item {
                    Item::Instance { module, .. } => visit(module),
                    Item::Generate { items, .. } => children(items, visit),
                    _ => {}
                }
            }
        }
        fn walk(module: &Arc<Module>, seen: &mut BTreeSet<String>, out: &mut Vec<Arc<Module>>) {
            if !seen.insert(module.name.clone()) {
                return;
            }
            children(&module.items, &mut |child| walk(child, seen, out));
            out.push(module.clone());
        }
        let mut out = Vec::new();
        walk(self, &mut BTreeSet::new(), &mut out);
        out
    }
}
