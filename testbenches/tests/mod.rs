//! Tests that hold for every block, and proofs.

mod benches;
mod emitted;
mod pipeline_faults;
mod snapshots;
