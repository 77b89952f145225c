//! Memories behind a design's AXI4 ports.
//!
//! - [`SparseMemory`]: the bytes of one port's memory.
//! - [`AxiSlave`]: answers reads and writes after a fixed latency or with the timing of an HBM2 channel
//!   ([`Hbm2Timing`]), with stalls on every channel, reordering across ids, and faults where they are seeded. It works
//!   without a simulator too.
//! - [`AxiChecker`]: the rules of AXI4 and of the project's ports, transfer by transfer.
//! - [`Bench::memory`](super::Bench::memory) attaches a slave and a checker to a port of a design.
//!
//! Ports have 256-bit data, bursts of whole beats that increase, and ids of a few bits. A port's channels are streams
//! like all others: `<port>_ar_valid_o`, `<port>_ar_ready_i`, `<port>_ar_addr_o`, ...
//!
//! Written here because no maintained crate does it: DRAM simulators (DRAMsim3, Ramulator) are C++ libraries without
//! packages, and AXI verification components exist for SystemVerilog and Python only.

mod axi;
mod bytes;
mod checker;
mod hbm2;
mod port;
mod slave;

pub use axi::{BEAT_BYTES, BOUNDARY, Burst, ReadBeat, Response, WriteBeat, WriteResponse};
pub use bytes::SparseMemory;
pub use checker::{AxiChecker, AxiLimits, AxiRule};
pub use hbm2::Hbm2Timing;
pub use port::AxiChannels;
pub(super) use port::MemoryPort;
pub use slave::{AxiSlave, AxiStalls, MemoryTiming, ReadMisdeed, SlaveFault, SlaveOptions};
