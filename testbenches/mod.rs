//! Testbenches: each drives one block's generated RTL with random words and stalls and compares every stream with the
//! block's golden model.
//!
//! They run in `cargo test` and in the command `spatten verify`, on the parameters that a configuration gives the
//! block and on the smallest and oddest ones.

mod adder_tree;
pub mod arbiter;
pub mod attention_core;
pub mod banked_fifo;
pub mod dispatch;
mod divider;
mod exp2;
pub mod exponent;
pub mod exponential_pass;
pub mod fetch;
mod fifo;
mod fork;
pub mod harness;
pub mod head_magnitude;
pub mod importance;
mod join;
pub mod judge;
pub mod kv_buffer;
pub mod lane_packer;
pub mod lane_unpacker;
pub mod line_compactor;
pub mod line_ring;
mod max_tree;
pub mod memory_core;
mod multiplier;
pub mod output_scale;
pub mod output_writer;
pub mod pipeline;
mod popcount;
pub mod prefix_sum;
pub mod prob_value;
pub mod prob_value_element;
pub mod probability;
pub mod progressive_layers;
pub mod query_key;
pub mod query_key_element;
pub mod query_noise;
pub mod queue;
pub mod quick_select;
pub mod read_master;
pub mod receiver;
mod reciprocal;
pub mod refine;
pub mod reset_control;
pub mod row_sum;
pub mod selections;
pub mod softmax;
mod softmax_rows;
mod spill_register;
pub mod sram;
pub mod streams;
pub mod top_k;
pub mod use_pass;
pub mod value_ids;
pub mod value_ranking;
pub mod weights;
pub mod zero_eliminator;

use std::path::PathBuf;

use crate::config::Config;
use crate::cosim::CosimError;

/// How long and on what a testbench runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Random words (or rows) per design under test, after the corner cases.
    pub cases: usize,
    /// Seed of data and stalls.
    pub seed: u64,
    /// File for the waveforms of the design that the configuration uses; no waveforms without it.
    pub trace: Option<PathBuf>,
}

/// What a testbench did and measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Words compared with the golden model, of all designs.
    pub words: u64,
    /// The words of each design where there are several, that of the configuration first.
    pub designs: Vec<u64>,
    /// Clock cycles simulated.
    pub cycles: u64,
    /// Measured latency, interval and the like, one line each.
    pub notes: Vec<String>,
}

/// Why a testbench failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The RTL and the golden model, or a documented figure and its measurement, disagree.
    #[error("{0}")]
    Mismatch(String),
    /// The simulation could not be built or run.
    #[error(transparent)]
    Cosim(#[from] CosimError),
}

/// The testbench of one block.
#[derive(Clone, Copy, Debug)]
pub struct Testbench {
    /// The block's name: that of its Rust module.
    pub name: &'static str,
    /// Runs it on the block's parameters under a configuration.
    pub run: fn(&Config, &Options) -> Result<Report, BenchError>,
}

/// Every testbench in dataflow order, cells first.
pub fn all() -> Vec<Testbench> {
    macro_rules! benches {
        ($($block:ident),* $(,)?) => {
            vec![$(Testbench {
                name: stringify!($block),
                run: $block::run,
            }),*]
        };
    }
    benches![
        spill_register,
        fifo,
        sram,
        banked_fifo,
        fork,
        join,
        arbiter,
        reset_control,
        prefix_sum,
        zero_eliminator,
        multiplier,
        adder_tree,
        max_tree,
        popcount,
        divider,
        exp2,
        reciprocal,
        read_master,
        fetch,
        lane_packer,
        lane_unpacker,
        line_compactor,
        quick_select,
        top_k,
        dispatch,
        line_ring,
        kv_buffer,
        query_key_element,
        query_key,
        exponent,
        row_sum,
        query_noise,
        judge,
        refine,
        exponential_pass,
        weights,
        value_ranking,
        value_ids,
        use_pass,
        softmax,
        prob_value_element,
        output_scale,
        prob_value,
        probability,
        head_magnitude,
        importance,
        output_writer,
        attention_core,
        memory_core,
    ]
}
