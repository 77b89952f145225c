//! Children of a module: every input and output of one must be connected or knowingly left.

use super::block::Block;
use super::builder::Builder;
use super::expr::{ExprId, SignalId};
use super::module::{Direction, Item, Module, SignalKind};
use super::sig::Sig;
use super::types::{Place, Ty, mistake};
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

/// A child being connected.
pub(super) struct PendingInstance {
    pub name: String,
    pub module: Arc<Module>,
    pub inputs: BTreeMap<usize, ExprId>,
    pub outputs: BTreeMap<usize, SignalId>,
    /// Drives `rst_ni` in place of the parent's.
    pub reset: Option<ExprId>,
    /// It is part of a section that has ended.
    pub printed: bool,
    pub place: Place,
}

impl PendingInstance {
    /// The first port without a connection.
    pub fn missing(&self) -> Option<String> {
        self.module
            .port_list()
            .enumerate()
            .find(|(index, (_, direction))| match direction {
                Direction::In => !self.inputs.contains_key(index),
                Direction::Out => !self.outputs.contains_key(index),
            })
            .map(|(_, (signal, _))| signal.name.clone())
    }

    pub fn to_item(&self) -> Item {
        Item::Instance {
            name: self.name.clone(),
            module: self.module.clone(),
            inputs: self.inputs.iter().map(|(k, v)| (*k, *v)).collect(),
            outputs: self.outputs.iter().map(|(k, v)| (*k, *v)).collect(),
            reset: self.reset,
        }
    }
}

/// Handle to a child.
#[derive(Clone, Copy)]
pub struct Instance<'m> {
    m: &'m Builder,
    index: usize,
}

impl Builder {
    /// Instantiates `block`; `name` begins with `u_`.
    #[track_caller]
    pub fn instance(&self, name: &str, block: &dyn Block) -> Instance<'_> {
        if !name.starts_with("u_") {
            mistake(format!("instance {name} must be named u_..."));
        }
        self.claim(name);
        let module = self.child(block);
        let index = self.add_instance(PendingInstance {
            name: name.to_owned(),
            module,
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            reset: None,
            printed: false,
            place: Location::caller(),
        });
        Instance { m: self, index }
    }
}

impl<'m> Instance<'m> {
    /// Connects input `<port>_i`.
    #[track_caller]
    pub fn input(self, port: &str, value: impl Into<Sig<'m>>) -> Self {
        let value = value.into();
        let (index, signal) = self.port(&format!("{port}_i"), Direction::In);
        if signal.ty != value.ty() {
            mistake(format!(
                "{} is {}, connected to {}",
                signal.name,
                signal.ty,
                value.ty()
            ));
        }
        let mut state = self.m.state.borrow_mut();
        let pending = &mut state.instances[self.index];
        if pending.inputs.insert(index, value.id).is_some() {
            drop(state);
            mistake(format!("{} is connected twice", signal.name));
        }
        self
    }

    /// Drives the child's `rst_ni`, active low, by a signal in place of the parent's `rst_ni`.
    ///
    /// The reset is asynchronous, so only what cannot glitch is taken: an input port, or a register that resets to zero,
    /// which puts the child into reset together with its parent. Nothing should read the signal as data as well: tools
    /// warn of a net that resets in one place and is sampled in another.
    #[track_caller]
    pub fn reset(self, signal: impl Into<Sig<'m>>) -> Self {
        let signal = signal.into();
        let (name, resettable, printed) = {
            let state = self.m.state.borrow();
            let pending = &state.instances[self.index];
            let resettable = pending.module.resettable;
            (pending.name.clone(), resettable, pending.printed)
        };
        if printed {
            mistake(format!(
                "{name} is given a reset after the section in which its last port was connected"
            ));
        }
        if !resettable {
            mistake(format!("{name} has nothing to reset"));
        }
        if signal.ty() != Ty::unsigned(1) {
            mistake(format!(
                "the reset of {name} is one bit, not {}",
                signal.ty()
            ));
        }
        if !self.m.is_steady_reset(signal.id) {
            mistake(format!(
                "the reset of {name} is neither an input port nor a register that resets to zero"
            ));
        }
        let mut state = self.m.state.borrow_mut();
        if state.instances[self.index]
            .reset
            .replace(signal.id)
            .is_some()
        {
            drop(state);
            mistake(format!("{name} is given a reset twice"));
        }
        self
    }

    /// The net on output `<port>_o`, named after the instance and the port.
    #[track_caller]
    pub fn output(self, port: &str) -> Sig<'m> {
        self.output_net(port, "", "")
    }

    /// Leaves output `<port>_o` unused, for the reason given.
    #[track_caller]
    pub fn ignore(self, port: &str, reason: &str) -> Self {
        self.output_net(port, "_unused", reason);
        self
    }

    #[track_caller]
    fn output_net(self, port: &str, suffix: &str, doc: &str) -> Sig<'m> {
        let (index, signal) = self.port(&format!("{port}_o"), Direction::Out);
        let (known, name) = {
            let state = self.m.state.borrow();
            let pending = &state.instances[self.index];
            (pending.outputs.get(&index).copied(), pending.name.clone())
        };
        if let Some(id) = known {
            return self.m.signal(id);
        }
        let name = format!("{}_{port}{suffix}", &name["u_".len()..]);
        let id = self.m.declare(&name, signal.ty, SignalKind::Net, doc);
        self.m.mark_driven_by_instance(id);
        self.m.push(Item::Declare(id));
        let mut state = self.m.state.borrow_mut();
        state.instances[self.index].outputs.insert(index, id);
        drop(state);
        self.m.signal(id)
    }

    /// Whether the child has a port of that full Verilog name.
    pub(super) fn has_port(self, name: &str) -> bool {
        let state = self.m.state.borrow();
        state.instances[self.index]
            .module
            .port_index(name)
            .is_some()
    }

    /// Full names of the child's ports that begin with `prefix`, with direction.
    pub(super) fn ports_of(self, prefix: &str) -> Vec<(String, Direction)> {
        let state = self.m.state.borrow();
        let module = &state.instances[self.index].module;
        module
            .port_list()
            .filter(|(signal, _)| signal.name.starts_with(prefix))
            .map(|(signal, direction)| (signal.name.clone(), direction))
            .collect()
    }

    pub(super) fn builder(self) -> &'m Builder {
        self.m
    }

    #[track_caller]
    fn port(self, name: &str, direction: Direction) -> (usize, super::module::Signal) {
        let state = self.m.state.borrow();
        let pending = &state.instances[self.index];
        let found = pending
            .module
            .port_list()
            .enumerate()
            .find(|(_, (signal, d))| signal.name == name && *d == direction);
        match found {
            Some((index, (signal, _))) => (index, signal.clone()),
            None => {
                let ports: Vec<_> = pending.module.port_list().map(|p| &p.0.name).collect();
                mistake(format!(
                    "{} has no port {name}; its ports are {ports:?}",
                    pending.module.name
                ))
            }
        }
    }
}
