//! Tests that hold for every block, and proofs.

mod benches;
mod emitted;
mod snapshots;
