//! Co-simulation: a design's Verilog, compiled by Verilator, driven from Rust.
//!
//! [`Verilator::build`] turns a [`Design`] into a shared object (kept in a cache), [`Build::start`] starts a
//! [`Simulator`] in it, and a [`Bench`] runs words through its streams, holding them against golden ones and every
//! handshake against its rules.
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
mod module;
mod probe;
mod simulator;
mod sink;
mod source;
mod stalls;
mod stream;
mod tools;

pub use bench::{Bench, SinkId, SourceId};
pub use build::{Build, Tracing, Verilator};
pub use design::{Design, Direction, MAX_PORT_BITS, Port, PortId, Source};
pub use error::{CosimError, DesignStopped};
pub use fault::{BenchError, Fault, Place, Rule, StuckStream};
pub use simulator::Simulator;
pub use stalls::Stalls;
pub use stream::Field;
