//! The one place where this layer meets rust-hdl: its component contract and its simulator.
//!
//! Two ways, both without any tool installed:
//!
//! - [`Simulated`] is any module as a rust-hdl circuit of its own, ports and inner signals known at run time: rust-hdl's
//!   `Simulation` clocks it and writes a VCD.
//! - [`rust_hdl_block!`](crate::rust_hdl_block) declares a struct with rust-hdl's typed signals around one of our
//!   blocks, which a rust-hdl design then uses like its own; its Verilog comes from our printer.
//!
//! A spill register runs at about 500,000 cycles/s here; rust-hdl's `Simulation`, which hands the circuit from thread to
//! thread at every clock change, leaves some ten thousands of them.
//!
//! rust-hdl's `check_all` sees connection flags: outputs count as driven, because elaboration has checked it, and
//! inputs as connected once the design around them says so.

use super::block::{Block, elaborate};
use super::eval::Evaluator;
use super::expr::SignalId;
use super::module::{Direction, Module, SignalKind};
use super::print::verilog;
use super::types::Ty;
use num_bigint::BigUint;
use rust_hdl::core::atom::{Atom, AtomKind};
use rust_hdl::core::constraint::PinConstraint;
use rust_hdl::core::signal::get_signal_id;
use rust_hdl::core::type_descriptor::{TypeDescriptor, TypeKind};
use rust_hdl::prelude::{
    Bit, Bits, Block as RustHdlBlock, Clock, In, Logic, Probe, Signal as RustHdlSignal, Signed,
    Synth, VCDValue, Verilog, VerilogLiteral, Wrapper,
};
use std::sync::Arc;

/// A module as a rust-hdl circuit.
///
/// Ports have their Verilog names. A clock edge takes the values that the inputs had when the clock rose, as rust-hdl's
/// own flip-flops do; while `reset_n` is low, registers with a reset value hold it.
pub struct Simulated {
    evaluator: Evaluator,
    /// The clock; without meaning for a module without registers.
    pub clock: RustHdlSignal<In, Clock>,
    /// The reset, active low; without meaning for a module without reset.
    pub reset_n: RustHdlSignal<In, Bit>,
    ports: Vec<Variable>,
    /// Nets and registers, for the VCD only.
    inner: Vec<(SignalId, Variable)>,
}

impl Simulated {
    /// Elaborates and prepares a block.
    ///
    /// # Panics
    /// When the description has a mistake.
    #[track_caller]
    pub fn new(block: &dyn Block) -> Self {
        Self::from_module(elaborate(block))
    }

    /// Prepares an elaborated module.
    pub fn from_module(module: Arc<Module>) -> Self {
        let ports = module
            .port_list()
            .map(|(signal, direction)| Variable::new(signal.ty, kind_of_port(direction)))
            .collect();
        let evaluator = Evaluator::new(module.clone());
        let inner = (0..module.signals.len() as u32)
            .map(SignalId)
            .filter(|&id| {
                let kind = &module.signal(id).kind;
                matches!(kind, SignalKind::Net | SignalKind::Register(_))
                    && evaluator.signal(id).is_some()
            })
            .map(|id| {
                let ty = module.signal(id).ty;
                (id, Variable::new(ty, AtomKind::LocalSignal))
            })
            .collect();
        Simulated {
            evaluator,
            clock: RustHdlSignal::default(),
            reset_n: RustHdlSignal::default(),
            ports,
            inner,
        }
    }

    /// The module.
    pub fn module(&self) -> &Arc<Module> {
        self.evaluator.module()
    }

    /// Gives an input, by its Verilog name, the value that it takes at the next update.
    ///
    /// # Panics
    /// When the module has no such input, or the value is too wide for it.
    #[track_caller]
    pub fn set(&mut self, port: &str, value: impl Into<BigUint>) {
        let index = self.port(port, Direction::In);
        self.set_index(index, value.into());
    }

    /// Value of an output, by its Verilog name.
    ///
    /// # Panics
    /// When the module has no such output.
    #[track_caller]
    pub fn get(&self, port: &str) -> &BigUint {
        &self.ports[self.port(port, Direction::Out)].value
    }

    /// Index of a port, for [`rust_hdl_block!`](crate::rust_hdl_block), which checks its width against the module's.
    ///
    /// # Panics
    /// When the module has no such port, or one of another width.
    #[track_caller]
    pub fn typed_port<T: Word>(&self, name: &str, direction: Direction) -> usize {
        let index = self.port(name, direction);
        let (width, module) = (self.ports[index].ty.width, &self.module().name);
        assert!(
            width == T::BITS,
            "{name} of {module} has {width} bits, the field has {}",
            T::BITS
        );
        index
    }

    /// As [`set`](Self::set), by the index in [`Module::ports`].
    #[track_caller]
    pub fn set_index(&mut self, port: usize, value: BigUint) {
        let port = &mut self.ports[port];
        let fits = value.bits() <= port.ty.width as u64;
        assert!(fits, "{value} does not fit in {}", port.ty);
        port.next = value;
    }

    /// As [`get`](Self::get), by the index in [`Module::ports`].
    pub fn get_index(&self, port: usize) -> &BigUint {
        &self.ports[port].next
    }

    #[track_caller]
    fn port(&self, name: &str, direction: Direction) -> usize {
        let module = self.module();
        let index = module.port_index(name);
        let index = index.filter(|&i| self.ports[i].kind == kind_of_port(direction));
        index.unwrap_or_else(|| {
            let ports: Vec<_> = module.port_list().map(|p| &p.0.name).collect();
            panic!(
                "{} has no port {name} of that direction; its ports are {ports:?}",
                module.name
            )
        })
    }

    /// A rising edge if there was one, then every output from inputs and registers.
    ///
    /// # Panics
    /// When a condition that must never hold does.
    pub fn evaluate(&mut self, rising_edge: bool, reset: bool) {
        for (index, port) in self.ports.iter_mut().enumerate() {
            if port.kind == AtomKind::InputParameter && port.stale {
                self.evaluator.set(index, &port.value);
                port.stale = false;
            }
        }
        if rising_edge {
            if reset {
                self.evaluator.tick_in_reset();
            } else if let Err(message) = self.evaluator.tick() {
                panic!("{}: {message}", self.module().name);
            }
        }
        if reset {
            self.evaluator.reset();
        }
        for (index, port) in self.ports.iter_mut().enumerate() {
            if port.kind == AtomKind::OutputParameter {
                let value = self.evaluator.get(index);
                if *value != port.next {
                    port.next.clone_from(value);
                }
            }
        }
    }

    /// Takes over the values given since the last update.
    pub fn latch_ports(&mut self) {
        for port in &mut self.ports {
            port.latch();
        }
    }

    /// Shows nets and registers to a probe.
    pub fn probe_inner(&self, probe: &mut dyn Probe) {
        for (id, variable) in &self.inner {
            let value = self.evaluator.signal(*id).expect("kept for its value");
            let variable = Variable {
                value: value.clone(),
                ..variable.clone()
            };
            probe.visit_atom(&self.module().signal(*id).name, &variable);
        }
    }

    /// The module as the inside of a rust-hdl module with those fields: (our port, field).
    pub fn wrapped(&self, fields: &[(String, &str)]) -> Verilog {
        let module = self.module();
        let mut connections = Vec::new();
        if module.clocked {
            connections.push(".clk_i (clock)".to_owned());
        }
        if module.resettable {
            connections.push(".rst_ni (reset_n)".to_owned());
        }
        let ports = fields
            .iter()
            .map(|(port, field)| format!(".{port} ({field})"));
        connections.extend(ports);
        let texts: Vec<_> = module
            .hierarchy()
            .iter()
            .map(|part| verilog(part, "Embedded in a rust-hdl design."))
            .collect();
        Verilog::Wrapper(Wrapper {
            code: format!("{} u_core ({});", module.name, connections.join(", ")),
            cores: texts.join("\n"),
        })
    }
}

impl Logic for Simulated {
    fn update(&mut self) {
        let reset = self.module().resettable && !self.reset_n.val();
        self.evaluate(self.clock.pos_edge(), reset);
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!("// {}: see its own file\n", self.module().name))
    }
}

impl RustHdlBlock for Simulated {
    fn connect_all(&mut self) {
        self.connect();
    }

    fn update_all(&mut self) {
        self.update();
        self.clock.update_all();
        self.reset_n.update_all();
        self.latch_ports();
    }

    fn has_changed(&self) -> bool {
        let ports = self.ports.iter().any(|port| port.changed);
        ports || self.clock.has_changed() || self.reset_n.has_changed()
    }

    fn accept(&self, name: &str, probe: &mut dyn Probe) {
        probe.visit_start_scope(name, self);
        if self.module().clocked {
            probe.visit_atom("clk_i", &self.clock);
        }
        if self.module().resettable {
            probe.visit_atom("rst_ni", &self.reset_n);
        }
        for ((signal, _), port) in self.module().port_list().zip(&self.ports) {
            probe.visit_atom(&signal.name, port);
        }
        self.probe_inner(probe);
        probe.visit_end_scope(name, self);
    }
}

fn kind_of_port(direction: Direction) -> AtomKind {
    match direction {
        Direction::In => AtomKind::InputParameter,
        Direction::Out => AtomKind::OutputParameter,
    }
}

/// A signal whose width is known at run time.
#[derive(Clone)]
struct Variable {
    id: usize,
    kind: AtomKind,
    ty: Ty,
    value: BigUint,
    next: BigUint,
    changed: bool,
    /// The evaluator has not seen the value yet.
    stale: bool,
}

impl Variable {
    fn new(ty: Ty, kind: AtomKind) -> Self {
        Variable {
            id: get_signal_id(),
            kind,
            ty,
            value: BigUint::ZERO,
            next: BigUint::ZERO,
            changed: false,
            stale: true,
        }
    }

    fn latch(&mut self) {
        self.changed = self.value != self.next;
        if self.changed {
            self.value.clone_from(&self.next);
            self.stale = true;
        }
    }
}

impl Atom for Variable {
    fn bits(&self) -> usize {
        self.ty.width
    }

    /// Outputs are driven, which elaboration has checked; inputs belong to the test around the module.
    fn connected(&self) -> bool {
        self.kind != AtomKind::InputParameter
    }

    fn changed(&self) -> bool {
        self.changed
    }

    fn kind(&self) -> AtomKind {
        self.kind
    }

    fn descriptor(&self) -> TypeDescriptor {
        let width = self.ty.width;
        TypeDescriptor {
            name: self.ty.to_string(),
            kind: match self.ty.signed {
                true => TypeKind::Signed(width),
                false => TypeKind::Bits(width),
            },
        }
    }

    fn vcd(&self) -> VCDValue {
        let bits = (0..self.ty.width as u64).rev();
        let values = bits.map(|bit| match VCDValue::from(self.value.bit(bit)) {
            VCDValue::Single(value) => value,
            _ => unreachable!("a bit is a single value"),
        });
        VCDValue::Vector(values.collect())
    }

    fn id(&self) -> usize {
        self.id
    }

    /// Asked of constants only, which this is none of.
    fn verilog(&self) -> VerilogLiteral {
        VerilogLiteral::from(0u8)
    }

    fn constraints(&self) -> Vec<PinConstraint> {
        Vec::new()
    }
}

/// rust-hdl's types that a port of ours can have in a rust-hdl design.
pub trait Word: Synth {
    /// As the evaluator holds it.
    fn to_word(self) -> BigUint;

    /// From what the evaluator holds.
    fn from_word(word: &BigUint) -> Self;
}

impl Word for Bit {
    fn to_word(self) -> BigUint {
        BigUint::from(u8::from(self))
    }

    fn from_word(word: &BigUint) -> Self {
        *word != BigUint::ZERO
    }
}

impl<const N: usize> Word for Bits<N> {
    fn to_word(self) -> BigUint {
        self.into()
    }

    fn from_word(word: &BigUint) -> Self {
        word.clone().into()
    }
}

impl<const N: usize> Word for Signed<N> {
    fn to_word(self) -> BigUint {
        self.inner().into()
    }

    fn from_word(word: &BigUint) -> Self {
        rust_hdl::prelude::signed_cast(Bits::<N>::from(word.clone()))
    }
}

/// A struct with rust-hdl's typed signals around one of our blocks, for use in a rust-hdl design.
///
/// Fields are named after our ports without `_i` and `_o`; `clock` and `reset_n` come by themselves, and a block
/// without them leaves them unconnected.
///
/// ```
/// use rust_hdl::prelude::*;
/// use spatten::cells::spill_register::SpillRegister;
///
/// spatten::rust_hdl_block! {
///     /// A spill register of eight bits.
///     pub struct Spill8 = SpillRegister { width: 8 };
///     inputs { in_valid: Bit, in_data: Bits<8>, out_ready: Bit }
///     outputs { in_ready: Bit, out_valid: Bit, out_data: Bits<8> }
/// }
///
/// let spill = Spill8::default();
/// assert!(!spill.out_valid.val());
/// ```
///
/// The struct's `default` panics when the block has other ports than the fields say.
#[macro_export]
macro_rules! rust_hdl_block {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident = $block:expr;
        inputs { $($input:ident: $input_type:ty),* $(,)? }
        outputs { $($output:ident: $output_type:ty),* $(,)? }
    ) => {
        $(#[$attribute])*
        $visibility struct $name {
            /// Clock.
            pub clock: ::rust_hdl::prelude::Signal<::rust_hdl::prelude::In, ::rust_hdl::prelude::Clock>,
            /// Reset, active low.
            pub reset_n: ::rust_hdl::prelude::Signal<::rust_hdl::prelude::In, ::rust_hdl::prelude::Bit>,
            $(
                #[doc = concat!("Input `", stringify!($input), "_i`.")]
                pub $input: ::rust_hdl::prelude::Signal<::rust_hdl::prelude::In, $input_type>,
            )*
            $(
                #[doc = concat!("Output `", stringify!($output), "_o`.")]
                pub $output: ::rust_hdl::prelude::Signal<::rust_hdl::prelude::Out, $output_type>,
            )*
            core: $crate::hdl::rust_hdl::Simulated,
            inputs: Vec<usize>,
            outputs: Vec<usize>,
        }

        impl Default for $name {
            fn default() -> Self {
                use $crate::hdl::Direction;
                let core = $crate::hdl::rust_hdl::Simulated::new(&$block);
                let inputs = vec![$(
                    core.typed_port::<$input_type>(concat!(stringify!($input), "_i"), Direction::In)
                ),*];
                let outputs = vec![$(
                    core.typed_port::<$output_type>(concat!(stringify!($output), "_o"), Direction::Out)
                ),*];
                assert_eq!(
                    inputs.len() + outputs.len(),
                    core.module().ports.len(),
                    "{} has ports without a field",
                    core.module().name
                );
                $name {
                    clock: Default::default(),
                    reset_n: Default::default(),
                    $($input: Default::default(),)*
                    $($output: Default::default(),)*
                    core,
                    inputs,
                    outputs,
                }
            }
        }

        impl ::rust_hdl::prelude::Logic for $name {
            fn update(&mut self) {
                use $crate::hdl::rust_hdl::Word;
                let mut inputs = self.inputs.iter();
                $(
                    let port = *inputs.next().expect("one index per input");
                    self.core.set_index(port, self.$input.val().to_word());
                )*
                self.core.latch_ports();
                let reset = self.core.module().resettable && !self.reset_n.val();
                self.core.evaluate(self.clock.pos_edge(), reset);
                let mut outputs = self.outputs.iter();
                $(
                    let port = *outputs.next().expect("one index per output");
                    self.$output.next = <$output_type>::from_word(self.core.get_index(port));
                )*
            }

            fn connect(&mut self) {
                $(self.$output.connect();)*
            }

            fn hdl(&self) -> ::rust_hdl::prelude::Verilog {
                self.core.wrapped(&[
                    $((format!("{}_i", stringify!($input)), stringify!($input)),)*
                    $((format!("{}_o", stringify!($output)), stringify!($output)),)*
                ])
            }
        }

        impl ::rust_hdl::prelude::Block for $name {
            fn connect_all(&mut self) {
                use ::rust_hdl::prelude::Logic;
                self.connect();
            }

            fn update_all(&mut self) {
                use ::rust_hdl::prelude::Logic;
                self.update();
                self.clock.update_all();
                self.reset_n.update_all();
                $(self.$input.update_all();)*
                $(self.$output.update_all();)*
            }

            fn has_changed(&self) -> bool {
                self.clock.has_changed() || self.reset_n.has_changed()
                    $(|| self.$input.has_changed())* $(|| self.$output.has_changed())*
            }

            fn accept(&self, name: &str, probe: &mut dyn ::rust_hdl::prelude::Probe) {
                probe.visit_start_scope(name, self);
                if self.core.module().clocked {
                    probe.visit_atom("clock", &self.clock);
                }
                if self.core.module().resettable {
                    probe.visit_atom("reset_n", &self.reset_n);
                }
                $(probe.visit_atom(stringify!($input), &self.$input);)*
                $(probe.visit_atom(stringify!($output), &self.$output);)*
                self.core.probe_inner(probe);
                probe.visit_end_scope(name, self);
            }
        }
    };
}
