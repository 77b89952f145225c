//! SpAtten (HPCA 2021) as a hardware generator: Rust structs describe the accelerator's blocks, a TOML
//! configuration sets their widths, lanes and depths, and the library emits readable Verilog-2005,
//! simulates it through Verilator and holds it bit for bit against golden models.
//!
//! The way of a design through the crate:
//!
//! ```text
//! config   Config::load("tiny", ..)          what is to be built
//!   |
//! accelerator::memory_core::MemoryCore       blocks: Rust structs made from the configuration, of stages
//!   |                                        (control, fetch with its kv_buffers, output; in its AttentionPipeline
//!   |                                        query_key, refine, softmax, prob_value, importance) and cells
//! hdl      elaborate(&block) -> Module       checked: widths, drivers, loops, unused bits
//!   |         |         \
//!   |         |       Evaluator              computes the module in Rust
//!   |      verilog(&module)                  prints it
//!   |         |
//! handoff  files(&config)                    Verilog, file list, constraints, inventory, manifest
//! cosim    Verilator -> Simulator, Bench     drives it; compares with golden, stage by stage
//! synth    Yosys, OpenSTA                    area and slack per block
//! engine                                     a layer of attention: golden, rtl or float64
//! ```

pub mod accelerator;
pub mod catalogue;
pub mod cells;
pub mod cli;
pub mod config;
pub mod cosim;
pub mod engine;
pub mod golden;
pub mod handoff;
pub mod hdl;
mod input;
pub mod numerics;
pub mod perf;
pub mod synth;
pub mod tools;
pub mod workload;

#[path = "../testbenches/mod.rs"]
pub mod testbenches;
