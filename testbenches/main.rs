//! Testbenches: one module per block, in one Cargo test target so that linking stays cheap.

mod attend;
mod attention_output;
mod cli;
mod cosim;
mod golden;
mod quantizer;
mod shared_data;
mod synthetic;
mod tensors;
mod tests;
