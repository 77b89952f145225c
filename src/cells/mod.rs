//! Reusable parts of the accelerator's stages, each with its golden model, latency and interval.
//!
//! - between stages: [`spill_register`], [`fifo`], [`banked_fifo`], [`fork`], [`join`], [`arbiter`]
//! - within a stage: `counter`, [`credits`], [`delay`], [`lane_packer`], [`lane_unpacker`]
//! - arithmetic: [`multiplier`], [`divider`], [`reciprocal`], [`exp2`], [`adder_tree`], [`max_tree`], [`popcount`],
//!   [`prefix_sum`], [`zero_eliminator`]
//! - memory: [`sram`]
//!
//! No stage uses [`arbiter`], [`join`], [`spill_register`], [`popcount`], [`prefix_sum`] and [`zero_eliminator`] yet:
//! they are for pruning and for the fetcher, and tested and proved like the others.

pub mod adder_tree;
pub mod arbiter;
pub mod banked_fifo;
pub mod bit_sorter;
pub(crate) mod counter;
pub mod credits;
pub mod delay;
pub mod divider;
pub mod exp2;
pub mod fifo;
pub mod fork;
pub mod join;
pub mod lane_packer;
pub mod lane_unpacker;
pub mod line_compactor;
pub mod max_tree;
pub mod merge_sorter;
pub mod multiplier;
pub(crate) mod one_hot;
pub mod popcount;
pub mod prefix_sum;
pub mod reciprocal;
pub mod reset_control;
pub mod spill_register;
pub mod sram;
mod tree;
pub mod zero_eliminator;

#[cfg(test)]
mod pipeline_test;
#[cfg(test)]
mod stream_test;
