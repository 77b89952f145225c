//! Co-simulation: a design's Verilog, compiled by Verilator, driven from Rust.
//!
//! - [`Design`]: Verilog text and a port list, usually made from an elaborated [`Module`](crate::hdl::Module).
//! - [`Verilator::build`]: compiles a design into a shared object, or finds it in a cache.
//! - [`Simulator`]: one running simulation; ports, clock and reset. A cycle is: set inputs, settle, read outputs, tick.
//! - [`Bench`]: a simulator with sources and sinks on its streams. It compares words with golden ones, stamps every
//!   transfer with its cycle, and checks the handshake: in every cycle, that valid and payload hold until the transfer
//!   and that nothing is valid during reset; after a reset and now and then, that neither depends on a ready within
//!   the cycle.
//! - [`memory`]: memories behind a design's AXI4 ports, with their timing and their faults, and a protocol checker.
//!
//! An environment that fails (tools, cache, files) is a [`CosimError`]; a design that fails is a [`BenchError`].
//!
//! ```no_run
//! # fn run(module: &std::sync::Arc<spatten::hdl::Module>) -> Result<(), Box<dyn std::error::Error>> {
//! use spatten::cosim::{Tracing, Verilator};
//! let build = Verilator::default().build(&module.into(), Tracing::Off)?;
//! let mut simulator = build.start(1)?;
//! let (input, output) = (simulator.port("in_data_i"), simulator.port("out_data_o"));
//! simulator.reset(2)?;
//! simulator.set(input, 42);
//! simulator.tick()?;
//! println!("{}", simulator.get(output));
//! # Ok(())
//! # }
//! ```

mod bench;
mod build;
mod cache;
mod design;
mod error;
mod fault;
mod ffi;
mod lanes;
pub mod memory;
mod module;
mod probe;
mod simulator;
mod sink;
mod source;
mod stalls;
mod stream;
mod watch;

pub use bench::{Bench, MemoryId, SinkId, SourceId};
pub use build::{Build, Tracing, Verilator};
pub use design::{Design, Direction, MAX_PORT_BITS, Port, PortId, Source};
pub use error::{CosimError, DesignStopped};
pub use fault::{BenchError, Fault, Place, Rule, StuckStream};
pub use simulator::Simulator;
pub use stalls::Stalls;
pub use stream::Field;
