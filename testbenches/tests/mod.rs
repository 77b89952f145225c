//! Tests that hold for every block, and proofs.

mod emitted;
mod snapshots;
