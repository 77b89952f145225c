//! Testbenches: one module per block, in one Cargo test target so that linking stays cheap.

mod accuracy;
mod attend;
mod attention_output;
mod benchmarks;
mod c_header;
mod cascade;
mod cli;
mod committed_output;
mod cosim;
mod fake_tools;
mod fetch_model;
mod generate;
mod golden;
mod make_tensors;
mod memory_image;
mod progressive;
mod quantizer;
mod random_config;
mod shared_data;
mod synthetic;
mod tensors;
mod tests;
