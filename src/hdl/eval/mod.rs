//! The evaluator: computes a module in Rust, any width, by the meaning of the expressions rather than of their text.
//!
//! It is the reference for the printer and the engine behind the rust-hdl adapter. Clarity before speed: words are
//! big integers, and every net is recomputed in dependency order at each settling.

mod flatten;
mod program;

use super::expr::SignalId;
use super::module::{Module, SignalKind};
use flatten::flatten;
use num_bigint::BigUint;
use program::{Program, mask, to_usize};
use std::collections::HashMap;
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
    resets: Vec<Reset>,
    nevers: Vec<(Program, String)>,
    port_slots: Vec<usize>,
    /// Places of the module's own signals, those in generate loops left out.
    signal_slots: HashMap<SignalId, usize>,
    settled: bool,
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

/// A register with a reset value.
struct Reset {
    register: usize,
    value: BigUint,
    /// The signal that resets it while zero; none for the design's own reset.
    signal: Option<usize>,
}

struct RegisterUpdate {
    target: usize,
    /// The signal that keeps it from changing while zero; none for the design's own reset.
    reset: Option<usize>,
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

impl Evaluator {
    /// Prepares `module` with every register and memory word zero.
    ///
    /// # Panics
    /// When nets depend on each other in a loop, which elaboration rules out.
    pub fn new(module: Arc<Module>) -> Self {
        flatten(module)
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

    /// Puts every register that has a reset value to it, as while `rst_ni` is low; those of a child whose reset is a
    /// signal follow that signal.
    pub fn reset(&mut self) {
        for reset in &self.resets {
            if reset.signal.is_none() {
                self.values[reset.register] = reset.value.clone();
            }
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
            let held = register.reset.is_some_and(|signal| self.is_low(signal));
            if enabled && !held {
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

    /// Computes every net from ports and registers, and resets the children whose reset is a signal that is low.
    pub fn settle(&mut self) {
        while !self.settled {
            self.propagate();
            self.settled = true;
            self.reset_children();
        }
    }

    /// A reset register may hold the reset of another child, so whoever calls settles again after a change.
    fn reset_children(&mut self) {
        for index in 0..self.resets.len() {
            let reset = &self.resets[index];
            let low = reset.signal.is_some_and(|signal| self.is_low(signal));
            if low && self.values[reset.register] != reset.value {
                self.values[reset.register] = reset.value.clone();
                self.settled = false;
            }
        }
    }

    fn is_low(&self, signal: usize) -> bool {
        self.values[signal] == BigUint::ZERO
    }

    fn propagate(&mut self) {
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
    }

    /// The word of a memory; zero beyond its end.
    fn word(&self, memory: usize, address: &BigUint) -> BigUint {
        let words = &self.memories[memory];
        words.get(to_usize(address)).cloned().unwrap_or_default()
    }
}
