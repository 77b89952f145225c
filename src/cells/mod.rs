//! Reusable parts of the accelerator's stages, each with its golden model, latency and interval.

pub mod exp2;
pub mod reciprocal;
pub mod spill_register;
