//! SpAtten (HPCA 2021) as a hardware generator: Rust structs describe the accelerator's blocks, a TOML
//! configuration sets their widths, lanes and depths, and the library emits readable Verilog-2005,
//! simulates it through Verilator and holds it bit for bit against golden models.

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
pub mod numerics;
pub mod workload;

#[path = "../testbenches/mod.rs"]
pub mod testbenches;
