//! Testbenches: one module per block, in one Cargo test target so that linking stays cheap.

mod cosim;
mod golden;
