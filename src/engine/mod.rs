//! Engines: what computes a layer's attention from integer operands, bit for bit alike.
//!
//! `golden` is the Rust model, `rtl` the emitted Verilog in Verilator.

pub mod rtl;
pub mod streams;
