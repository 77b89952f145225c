//! Co-simulation: a design's Verilog, compiled by Verilator, driven from Rust.
//!
//! [`Verilator::build`] turns a [`Design`] into a shared object (kept in a cache), [`Build::start`] starts a
//! [`Simulator`] in it.
//!
//! ```no_run
//! # fn run(design: &spatten::cosim::Design) -> Result<(), spatten::cosim::CosimError> {
//! use spatten::cosim::{Tracing, Verilator};
//! let build = Verilator::default().build(design, Tracing::Off)?;
//! let mut simulator = build.start(1)?;
//! let (input, output) = (simulator.port("in_data_i"), simulator.port("out_data_o"));
//! simulator.reset(2)?;
//! simulator.set(input, 42);
//! simulator.tick()?;
//! println!("{}", simulator.get(output));
//! # Ok(())
//! # }
//! ```

mod build;
mod cache;
mod design;
mod error;
mod ffi;
mod simulator;
mod tools;

pub use build::{Build, Tracing, Verilator};
pub use design::{Design, Direction, MAX_PORT_BITS, Port, PortId, Source};
pub use error::{CosimError, DesignStopped};
pub use simulator::Simulator;
