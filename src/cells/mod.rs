//! Reusable parts of the accelerator's stages, each with its golden model, latency and interval.

pub mod adder_tree;
pub mod arbiter;
pub mod credits;
pub mod delay;
pub mod divider;
pub mod exp2;
pub mod fifo;
pub mod fork;
pub mod join;
pub mod lane_packer;
pub mod lane_unpacker;
pub mod max_tree;
pub mod multiplier;
pub mod popcount;
pub mod prefix_sum;
pub mod reciprocal;
pub mod spill_register;
pub mod sram;
pub mod sram_fifo;
mod tree;
pub mod zero_eliminator;

#[cfg(test)]
mod pipeline_test;
#[cfg(test)]
mod stream_test;
