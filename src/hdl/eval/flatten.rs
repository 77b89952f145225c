//! From the hierarchy of modules to flat slots, compiled expressions and assignments in dependency order.

use super::program::{Program, Step, StepOp};
use super::{Assignment, Evaluator, MemoryRead, MemoryWrite, RegisterUpdate, Reset, Value};
use crate::hdl::check::expressions_of;
use crate::hdl::expr::{ExprId, GenvarId, Op, SignalId};
use crate::hdl::module::{Item, Module, SignalKind};
use num_bigint::BigUint;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One module instance, or one iteration of its generate loops, while flattening.
#[derive(Clone)]
struct Frame {
    module: Arc<Module>,
    slots: HashMap<SignalId, usize>,
    loops: HashMap<GenvarId, usize>,
    /// Place of the signal on `rst_ni`; none while it is the design's own reset.
    reset: Option<usize>,
}

/// Prepares `module` with every register and memory word zero.
pub(super) fn flatten(module: Arc<Module>) -> Evaluator {
    let mut flat = Flattener::default();
    let mut frame = Frame {
        module: module.clone(),
        slots: HashMap::new(),
        loops: HashMap::new(),
        reset: None,
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

/// Turns the hierarchy into flat slots and assignments.
#[derive(Default)]
struct Flattener {
    slots: usize,
    memories: Vec<Vec<BigUint>>,
    assignments: Vec<Assignment>,
    registers: Vec<RegisterUpdate>,
    reads: Vec<MemoryRead>,
    writes: Vec<MemoryWrite>,
    resets: Vec<Reset>,
    nevers: Vec<(Program, String)>,
}

impl Flattener {
    fn slot(&mut self, frame: &mut Frame, id: SignalId) -> usize {
        let slot = self.slots;
        self.slots += 1;
        frame.slots.insert(id, slot);
        if let SignalKind::Register(Some(value)) = &frame.module.signal(id).kind {
            self.resets.push(Reset {
                register: slot,
                value: value.clone(),
                signal: frame.reset,
            });
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
                    let kind = &frame.module.signal(update.register).kind;
                    let has_reset = matches!(kind, SignalKind::Register(Some(_)));
                    self.registers.push(RegisterUpdate {
                        target: frame.slots[&update.register],
                        reset: frame.reset.filter(|_| has_reset),
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
                reset,
                ..
            } => {
                let named = reset.and_then(|signal| frame.module.named(signal));
                let reset = named.map(|signal| frame.slots[&signal]).or(frame.reset);
                self.instance(frame, module, inputs, outputs, reset);
            }
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
        reset: Option<usize>,
    ) {
        let mut child = Frame {
            module: module.clone(),
            slots: HashMap::new(),
            loops: HashMap::new(),
            reset,
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
