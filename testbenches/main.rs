//! Testbenches: one module per block, in one Cargo test target so that linking stays cheap.

mod cli;
mod cosim;
mod golden;
mod streams;
