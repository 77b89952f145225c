//! Tests that hold for every block, and proofs.

mod benches;
mod emitted;
mod formal;
mod pipeline_faults;
mod snapshots;
