//! Tests that hold for every block, and proofs.

mod any_config;
mod benches;
mod design;
mod emitted;
mod formal;
mod pipeline_faults;
mod snapshots;
mod tools;
