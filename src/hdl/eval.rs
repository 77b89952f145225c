//! The evaluator: computes a module in Rust, any width, by the meaning of the expressions rather than of their text.
//!
//! It is the reference for the printer and the engine behind the rust-hdl adapter. Clarity before speed: words are
//! big integers, and every net is recomputed in dependency order at each settling.

use super::check::expressions_of;
use super::expr::{Binary, Compare, ExprId, GenvarId, Op, Reduce, Shift, SignalId};
use super::module::{Item, Module, SignalKind};
use num_bigint::BigUint;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Runs one module and its children cycle by cycle.
pub struct Evaluator {
    module: Arc<Module>,
    values: Vec<BigUint>,
    memories: Vec<Vec<BigUint>>,
    /// Combinational assignments in dependency order.
    assignments: Vec<Assignment>,
    registers: Vec<RegisterUpdate>,
    reads: Vec<MemoryRead>,
    writes: Vec<MemoryWrite>,
    resets: Vec<(usize, BigUint)>,
    nevers: Vec<(Program, String)>,
    port_slots: Vec<usize>,
    /// Places of the module's own signals, those in generate loops left out.
    signal_slots: HashMap<SignalId, usize>,
    settled: bool,
}

/// A compiled expression: steps in dependency order, each reading earlier steps or slots.
struct Program {
    steps: Vec<Step>,
}

struct Step {
    op: StepOp,
    width: usize,
}

/// Operands are indices of earlier steps.
enum StepOp {
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

struct Assignment {
    target: usize,
    /// Lowest bit and width when only a lane of the target is driven.
    lane: Option<(usize, usize)>,
    value: Value,
    reads: Vec<usize>,
}

enum Value {
    Program(Program),
    Case {
        selector: Program,
        arms: Vec<(u64, Program)>,
        otherwise: Program,
    },
    /// The word of a memory at an address.
    Word {
        memory: usize,
        address: Program,
    },
}

struct RegisterUpdate {
    target: usize,
    enable: Option<Program>,
    next: Program,
}

/// Enable, address and data of a memory's writes.
struct MemoryWrite {
    memory: usize,
    write: [Program; 3],
}

/// Enable and address of a memory's registered reads.
struct MemoryRead {
    memory: usize,
    read: [Program; 2],
    target: usize,
}

/// One module instance, or one iteration of its generate loops, while flattening.
#[derive(Clone)]
struct Frame {
    module: Arc<Module>,
    slots: HashMap<SignalId, usize>,
    loops: HashMap<GenvarId, usize>,
}

impl Evaluator {
    /// Prepares `module` with every register and memory word zero.
    ///
    /// # Panics
    /// When nets depend on each other in a loop, which elaboration rules out.
    pub fn new(module: Arc<Module>) -> Self {
        let mut flat = Flattener::default();
        let mut frame = Frame {
            module: module.clone(),
            slots: HashMap::new(),
            loops: HashMap::new(),
        };
        let port_slots = module
            .ports
            .iter()
            .map(|&id| flat.slot(&mut frame, id))
            .collect();
        flat.module(&mut frame);
        let assignments = in_dependency_order(flat.assignments, flat.slots);
        Evaluator {
            module,
            values: vec![BigUint::ZERO; flat.slots],
            memories: flat.memories,
            assignments,
            registers: flat.registers,
            reads: flat.reads,
            writes: flat.writes,
            resets: flat.resets,
            nevers: flat.nevers,
            port_slots,
            signal_slots: frame.slots,
            settled: false,
        }
    }

    /// The module being run.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Sets an input port by its index in [`Module::ports`]; bits beyond its width are cut off.
    pub fn set(&mut self, port: usize, value: &BigUint) {
        let width = self.module.signal(self.module.ports[port]).ty.width;
        self.values[self.port_slots[port]] = value & mask(width);
        self.settled = false;
    }

    /// Value of a port by its index in [`Module::ports`], settled.
    pub fn get(&mut self, port: usize) -> &BigUint {
        self.settle();
        &self.values[self.port_slots[port]]
    }

    /// Value of a signal of the module itself when last settled; none for memories and for signals in generate loops.
    pub fn signal(&self, id: SignalId) -> Option<&BigUint> {
        if matches!(self.module.signal(id).kind, SignalKind::Memory { .. }) {
            return None;
        }
        self.signal_slots.get(&id).map(|&slot| &self.values[slot])
    }

    /// Puts every register that has a reset value to it, as while `rst_ni` is low.
    pub fn reset(&mut self) {
        for (slot, value) in &self.resets {
            self.values[*slot] = value.clone();
        }
        self.settled = false;
    }

    /// One rising clock edge while `rst_ni` is low: only registers without reset take their words.
    pub fn tick_in_reset(&mut self) {
        self.reset();
        self.edge();
        self.reset();
    }

    /// One rising clock edge with reset released.
    ///
    /// # Errors
    /// The message of a condition that must never hold and did.
    pub fn tick(&mut self) -> Result<(), String> {
        self.settle();
        for (condition, message) in &self.nevers {
            if condition.run(&self.values) != BigUint::ZERO {
                return Err(message.clone());
            }
        }
        self.edge();
        Ok(())
    }

    /// Registers and memories take their words.
    fn edge(&mut self) {
        self.settle();
        let mut taken = Vec::new();
        for register in &self.registers {
            let enabled = register
                .enable
                .as_ref()
                .is_none_or(|enable| enable.run(&self.values) != BigUint::ZERO);
            if enabled {
                taken.push((register.target, register.next.run(&self.values)));
            }
        }
        for port in &self.reads {
            let [enable, address] = &port.read;
            if enable.run(&self.values) != BigUint::ZERO {
                let address = address.run(&self.values);
                taken.push((port.target, self.word(port.memory, &address)));
            }
        }
        for port in &self.writes {
            let [enable, address, data] = &port.write;
            if enable.run(&self.values) != BigUint::ZERO {
                let address = to_usize(&address.run(&self.values));
                if let Some(word) = self.memories[port.memory].get_mut(address) {
                    *word = data.run(&self.values);
                }
            }
        }
        for (slot, value) in taken {
            self.values[slot] = value;
        }
        self.settled = false;
    }

    /// Computes every net from ports and registers.
    pub fn settle(&mut self) {
        if self.settled {
            return;
        }
        for assignment in &self.assignments {
            let value = match &assignment.value {
                Value::Program(program) => program.run(&self.values),
                Value::Case {
                    selector,
                    arms,
                    otherwise,
                } => {
                    let selected = selector.run(&self.values);
                    let arm = arms
                        .iter()
                        .find(|(number, _)| selected == BigUint::from(*number));
                    arm.map_or(otherwise, |(_, program)| program)
                        .run(&self.values)
                }
                Value::Word { memory, address } => self.word(*memory, &address.run(&self.values)),
            };
            let target = &mut self.values[assignment.target];
            match assignment.lane {
                None => *target = value,
                Some((lo, width)) => {
                    let hole = mask(width) << lo;
                    let kept = (&*target | &hole) ^ hole;
                    *target = kept | (value << lo);
                }
            }
        }
        self.settled = true;
    }

    /// The word of a memory; zero beyond its end.
    fn word(&self, memory: usize, address: &BigUint) -> BigUint {
        let words = &self.memories[memory];
        words.get(to_usize(address)).cloned().unwrap_or_default()
    }
}

impl Program {
    fn run(&self, values: &[BigUint]) -> BigUint {
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

fn mask(width: usize) -> BigUint {
    (BigUint::from(1u8) << width) - 1u8
}

fn extend(value: &BigUint, from: usize, to: usize, signed: bool) -> BigUint {
    if signed && value.bit(from as u64 - 1) {
        value | (mask(to) ^ mask(from))
    } else {
        value.clone()
    }
}

fn to_usize(value: &BigUint) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Turns the hierarchy into flat slots and assignments.
#[derive(Default)]
struct Flattener {
    slots: usize,
    memories: Vec<Vec<BigUint>>,
    assignments: Vec<Assignment>,
    registers: Vec<RegisterUpdate>,
    reads: Vec<MemoryRead>,
    writes: Vec<MemoryWrite>,
    resets: Vec<(usize, BigUint)>,
    nevers: Vec<(Program, String)>,
}

impl Flattener {
    fn slot(&mut self, frame: &mut Frame, id: SignalId) -> usize {
        let slot = self.slots;
        self.slots += 1;
        frame.slots.insert(id, slot);
        if let SignalKind::Register(Some(value)) = &frame.module.signal(id).kind {
            self.resets.push((slot, value.clone()));
        }
        slot
    }

    fn module(&mut self, frame: &mut Frame) {
        let module = frame.module.clone();
        self.items(frame, &module.items);
    }

    fn items(&mut self, frame: &mut Frame, items: &[Item]) {
        let module = frame.module.clone();
        // Statements may read what later statements of the same body declare, so declarations come first.
        for item in items {
            match item {
                Item::Declare(id) => match &module.signal(*id).kind {
                    SignalKind::Memory { depth } => {
                        frame.slots.insert(*id, self.memories.len());
                        self.memories.push(vec![BigUint::ZERO; *depth]);
                    }
                    SignalKind::Constant(value) => {
                        let value = value.clone();
                        let slot = self.slot(frame, *id);
                        self.assign_constant(slot, value, module.signal(*id).ty.width);
                    }
                    _ => {
                        self.slot(frame, *id);
                    }
                },
                Item::Net(id, _)
                | Item::Case { target: id, .. }
                | Item::RegisterFile { read_data: id, .. } => {
                    self.slot(frame, *id);
                }
                _ => {}
            }
        }
        for item in items {
            self.item(frame, item);
        }
    }

    fn item(&mut self, frame: &Frame, item: &Item) {
        match item {
            Item::Section(_) | Item::Declare(_) => {}
            Item::Net(id, value) | Item::Assign(id, value) => {
                let value = Value::Program(compile(frame, *value));
                self.assign(frame, frame.slots[id], None, value, item);
            }
            Item::AssignLane(id, genvar, value) => {
                let width = frame.module.expr(*value).width;
                let lane = Some((frame.loops[genvar] * width, width));
                let value = Value::Program(compile(frame, *value));
                self.assign(frame, frame.slots[id], lane, value, item);
            }
            Item::Case {
                target,
                selector,
                arms,
                otherwise,
            } => {
                let value = Value::Case {
                    selector: compile(frame, *selector),
                    arms: arms.iter().map(|(n, v)| (*n, compile(frame, *v))).collect(),
                    otherwise: compile(frame, *otherwise),
                };
                self.assign(frame, frame.slots[target], None, value, item);
            }
            Item::Registers(updates) => {
                for update in updates {
                    self.registers.push(RegisterUpdate {
                        target: frame.slots[&update.register],
                        enable: update.enable.map(|e| compile(frame, e)),
                        next: compile(frame, update.next),
                    });
                }
            }
            Item::Memory {
                memory,
                write_enable,
                write_address,
                write_data,
                read_enable,
                read_address,
                read_register,
            } => {
                let memory = frame.slots[memory];
                self.reads.push(MemoryRead {
                    memory,
                    read: [*read_enable, *read_address].map(|e| compile(frame, e)),
                    target: frame.slots[read_register],
                });
                self.writes.push(MemoryWrite {
                    memory,
                    write: [*write_enable, *write_address, *write_data].map(|e| compile(frame, e)),
                });
            }
            Item::RegisterFile {
                memory,
                write_enable,
                write_address,
                write_data,
                read_address,
                read_data,
            } => {
                let memory = frame.slots[memory];
                self.writes.push(MemoryWrite {
                    memory,
                    write: [*write_enable, *write_address, *write_data].map(|e| compile(frame, e)),
                });
                let address = compile(frame, *read_address);
                let mut reads = Vec::new();
                slots_read(&address, &mut reads);
                self.assignments.push(Assignment {
                    target: frame.slots[read_data],
                    lane: None,
                    value: Value::Word { memory, address },
                    reads,
                });
            }
            Item::Instance {
                module,
                inputs,
                outputs,
                ..
            } => self.instance(frame, module, inputs, outputs),
            Item::Generate { genvar, items, .. } => {
                for index in 0..frame.module.genvar(*genvar).count {
                    let mut iteration = frame.clone();
                    iteration.loops.insert(*genvar, index);
                    self.items(&mut iteration, items);
                }
            }
            Item::Never { condition, message } => {
                let condition = compile(frame, *condition);
                self.nevers.push((condition, message.clone()));
            }
        }
    }

    fn instance(
        &mut self,
        frame: &Frame,
        module: &Arc<Module>,
        inputs: &[(usize, ExprId)],
        outputs: &[(usize, SignalId)],
    ) {
        let mut child = Frame {
            module: module.clone(),
            slots: HashMap::new(),
            loops: HashMap::new(),
        };
        for &port in &module.ports {
            self.slot(&mut child, port);
        }
        for (port, expr) in inputs {
            let program = compile(frame, *expr);
            let target = child.slots[&module.ports[*port]];
            self.push_program(target, program);
        }
        for (port, net) in outputs {
            let source = child.slots[&module.ports[*port]];
            let width = module.signal(module.ports[*port]).ty.width;
            let op = StepOp::Slot(source);
            let program = Program {
                steps: vec![Step { op, width }],
            };
            self.push_program(frame.slots[net], program);
        }
        self.module(&mut child);
    }

    fn push_program(&mut self, target: usize, program: Program) {
        let mut reads = Vec::new();
        slots_read(&program, &mut reads);
        self.assignments.push(Assignment {
            target,
            lane: None,
            value: Value::Program(program),
            reads,
        });
    }

    fn assign_constant(&mut self, target: usize, value: BigUint, width: usize) {
        let op = StepOp::Const(value);
        let program = Program {
            steps: vec![Step { op, width }],
        };
        self.push_program(target, program);
    }

    fn assign(
        &mut self,
        frame: &Frame,
        target: usize,
        lane: Option<(usize, usize)>,
        value: Value,
        item: &Item,
    ) {
        let mut reads = Vec::new();
        for expr in expressions_of(item) {
            slots_read(&compile(frame, expr), &mut reads);
        }
        self.assignments.push(Assignment {
            target,
            lane,
            value,
            reads,
        });
    }
}

fn slots_read(program: &Program, reads: &mut Vec<usize>) {
    for step in &program.steps {
        if let StepOp::Slot(slot) | StepOp::SlotBits(slot, _) = step.op {
            reads.push(slot);
        }
    }
}

fn compile(frame: &Frame, root: ExprId) -> Program {
    fn visit(
        frame: &Frame,
        id: ExprId,
        steps: &mut Vec<Step>,
        done: &mut BTreeMap<ExprId, usize>,
    ) -> usize {
        if let Some(&step) = done.get(&id) {
            return step;
        }
        let module = &frame.module;
        let expr = module.expr(id);
        let operands: Vec<_> = expr
            .op
            .operands()
            .into_iter()
            .map(|operand| {
                (
                    visit(frame, operand, steps, done),
                    module.expr(operand).width,
                )
            })
            .collect();
        let at = |index: usize| operands[index].0;
        let op = match &expr.op {
            Op::Const(value) => StepOp::Const(value.clone()),
            Op::Signal(signal) => StepOp::Slot(frame.slots[signal]),
            Op::Lane { bus, genvar } => {
                StepOp::SlotBits(frame.slots[bus], frame.loops[genvar] * expr.width)
            }
            Op::Not(_) => StepOp::Not(at(0)),
            Op::Reduce(reduce, _) => StepOp::Reduce(*reduce, at(0), operands[0].1),
            Op::Binary(binary, _, _) => StepOp::Binary(*binary, at(0), at(1)),
            Op::Mul { signed, .. } => StepOp::Mul(*signed, [operands[0], operands[1]]),
            Op::Compare {
                compare, signed, ..
            } => StepOp::Compare(*compare, *signed, operands[0].1, at(0), at(1)),
            Op::Shift { shift, .. } => StepOp::Shift(*shift, at(0), at(1)),
            Op::Mux { .. } => StepOp::Mux(at(0), at(1), at(2)),
            Op::Slice { lo, .. } => StepOp::Slice(at(0), *lo),
            Op::Concat(_) => StepOp::Concat(operands.clone()),
            Op::Extend { signed, .. } => StepOp::Extend(*signed, at(0), operands[0].1),
        };
        steps.push(Step {
            op,
            width: expr.width,
        });
        done.insert(id, steps.len() - 1);
        steps.len() - 1
    }
    let mut steps = Vec::new();
    visit(frame, root, &mut steps, &mut BTreeMap::new());
    Program { steps }
}

/// Orders assignments so that each comes after everything it reads.
fn in_dependency_order(assignments: Vec<Assignment>, slots: usize) -> Vec<Assignment> {
    let mut writers: Vec<Vec<usize>> = vec![Vec::new(); slots];
    for (index, assignment) in assignments.iter().enumerate() {
        writers[assignment.target].push(index);
    }
    let mut waiting: Vec<usize> = vec![0; assignments.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); assignments.len()];
    for (index, assignment) in assignments.iter().enumerate() {
        for &slot in &assignment.reads {
            for &writer in &writers[slot] {
                waiting[index] += 1;
                readers[writer].push(index);
            }
        }
    }
    let mut ready: Vec<usize> = (0..assignments.len())
        .filter(|&i| waiting[i] == 0)
        .collect();
    let mut order = Vec::new();
    while let Some(index) = ready.pop() {
        order.push(index);
        for &reader in &readers[index] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(reader);
            }
        }
    }
    assert_eq!(
        order.len(),
        assignments.len(),
        "nets depend on each other in a loop"
    );
    let mut assignments: Vec<_> = assignments.into_iter().map(Some).collect();
    order
        .into_iter()
        .map(|index| assignments[index].take().expect("each stands once"))
        .collect()
}
