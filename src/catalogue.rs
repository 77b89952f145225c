//! Every cell and block, with the parameters that a configuration gives it.
//!
//! Tests that hold for any block (lint, other tools, snapshots of names) walk through this list.

use crate::accelerator::control::Dispatch;
use crate::accelerator::fetch::Fetch;
use crate::accelerator::importance::Probability;
use crate::accelerator::memory_core::MemoryCore;
use crate::accelerator::output::OutputWriter;
use crate::accelerator::prob_value::OutputScale;
use crate::accelerator::refine::Judge;
use crate::accelerator::softmax::{Exponent, RowSum, Weights};
use crate::accelerator::top::AttentionCore;
use crate::accelerator::top_k::{FirstEquals, TopK};
use crate::cells::adder_tree::AdderTree;
use crate::cells::arbiter::Arbiter;
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::bit_sorter::BitSorter;
use crate::cells::exp2::Exp2;
use crate::cells::fifo::Fifo;
use crate::cells::fork::Fork;
use crate::cells::join::Join;
use crate::cells::max_tree::MaxTree;
use crate::cells::merge_sorter::MergeSorter;
use crate::cells::multiplier::Multiplier;
use crate::cells::popcount::Popcount;
use crate::cells::prefix_sum::PrefixSum;
use crate::cells::reciprocal::Reciprocal;
use crate::cells::reset_control::ResetControl;
use crate::cells::spill_register::SpillRegister;
use crate::cells::sram::{SinglePortSram, Sram};
use crate::cells::zero_eliminator::ZeroEliminator;
use crate::config::Config;
use crate::hdl::Block;

/// All blocks of a configuration, cells first, then the stages in dataflow order.
pub fn blocks(config: &Config) -> Vec<Box<dyn Block>> {
    let mut blocks: Vec<Box<dyn Block>> = Vec::new();
    stream_cells(config, &mut blocks);
    arithmetic_cells(config, &mut blocks);
    blocks.extend(beside_core(config));
    score_blocks(config, &mut blocks);
    softmax_and_prob_value(config, &mut blocks);
    blocks
}

fn stream_cells(config: &Config, blocks: &mut Vec<Box<dyn Block>>) {
    let score_line = config.score_line_bits();
    let rows = config.schedule.rows_in_flight;
    blocks.push(Box::new(SpillRegister { width: score_line }));
    for count in [false, true] {
        blocks.push(Box::new(Fifo {
            width: score_line,
            depth: rows,
            count,
        }));
    }
    blocks.push(Box::new(Sram {
        width: score_line,
        depth: rows,
    }));
    blocks.push(Box::new(SinglePortSram {
        width: score_line,
        depth: rows,
    }));
    blocks.push(Box::new(BankedFifo::new(
        score_line,
        config.buffers.score_lines,
    )));
    let lanes = config.softmax.lanes;
    blocks.push(Box::new(Fork {
        branches: lanes + 1,
    }));
    blocks.push(Box::new(ResetControl));
    blocks.push(Box::new(Join {
        branches: lanes + 1,
    }));
    blocks.push(Box::new(Arbiter {
        branches: lanes + 1,
        width: score_line,
    }));
    blocks.push(Box::new(PrefixSum {
        lanes: config.max_keys_per_line(),
    }));
    blocks.push(Box::new(ZeroEliminator {
        lanes: config.max_keys_per_line(),
        width: config.arithmetic.value_bits,
    }));
}

/// The reciprocal holds the one divider that the accelerator uses.
fn arithmetic_cells(config: &Config, blocks: &mut Vec<Box<dyn Block>>) {
    fn boxed<B: Block + 'static>(block: B) -> Box<dyn Block> {
        Box::new(block)
    }
    blocks.extend(multipliers(config).into_iter().map(boxed));
    blocks.extend(adder_trees(config).into_iter().map(boxed));
    blocks.extend(max_trees(config).into_iter().map(boxed));
    blocks.extend(popcounts(config).into_iter().map(boxed));
    blocks.push(Box::new(Exp2));
    blocks.push(Box::new(Reciprocal));
}

/// The multipliers of `query_key`, of the exponential unit, of `prob_value` and of its output scaling, of the noise of
/// queries and of its rule.
pub fn multipliers(config: &Config) -> Vec<Multiplier> {
    let core = AttentionCore::new(config);
    let mut multipliers = vec![
        core.query_key().element().multiplier(),
        core.softmax().exponential_pass().exponent().multiplier(),
        core.prob_value().column().multiplier(),
        core.prob_value().scale().multiplier(),
    ];
    if let Some(noise) = core.query_noise() {
        multipliers.extend([noise.multiplier(), Judge.multiplier()]);
    }
    multipliers
}

/// The trees of `query_key` (of an element, of the elements' sums), of the row sums and of `prob_value` (of a column, of
/// the parts of an output).
pub fn adder_trees(config: &Config) -> Vec<AdderTree> {
    let core = AttentionCore::new(config);
    vec![
        core.query_key().element().tree(),
        core.query_key().group_tree(),
        core.softmax().exponential_pass().row_sum().tree(),
        core.prob_value().column().tree(),
        core.prob_value().fold(),
    ]
}

/// The trees that find a row's maximum: of its dot products, and of its final scores.
pub fn max_trees(config: &Config) -> Vec<MaxTree> {
    let core = AttentionCore::new(config);
    let refined = core.refine().map(|refine| refine.max_tree());
    let mut trees = vec![core.query_key().max_tree()];
    trees.extend(refined);
    trees
}

/// Counts of the live lanes of a score line, with and without registers.
pub fn popcounts(config: &Config) -> Vec<Popcount> {
    let count = |levels_per_stage| Popcount {
        width: config.softmax.lanes,
        levels_per_stage,
    };
    vec![count(None), count(Some(2))]
}

/// Blocks that the attention core does not hold (the read side of a memory port, the top-k block by itself), and importance
/// with its parts.
pub fn beside_core(config: &Config) -> Vec<Box<dyn Block>> {
    let top_k = TopK::new(config);
    let importance = AttentionCore::new(config).importance();
    vec![
        Box::new(Fetch::new(config).read_master()),
        Box::new(Fetch::new(config)),
        Box::new(MemoryCore::new(config)),
        Box::new(OutputWriter::new(config).master()),
        Box::new(OutputWriter::new(config)),
        Box::new(Dispatch::new(config)),
        Box::new(MergeSorter {
            lanes: 8,
            width: top_k.engine.width,
        }),
        Box::new(BitSorter {
            lanes: top_k.engine.lanes,
        }),
        Box::new(Probability),
        Box::new(importance.head_magnitude()),
        Box::new(importance.token_scores().set),
        Box::new(importance.token_scores()),
        Box::new(top_k.engine.first_pivots().sampler()),
        Box::new(top_k.engine.first_pivots()),
        Box::new(top_k.engine.row_fill()),
        Box::new(top_k.engine.part()),
        Box::new(top_k.engine.clone()),
        Box::new(top_k.filter()),
        Box::new(top_k),
        Box::new(importance.compactor()),
        Box::new(importance),
    ]
}

/// The K and V buffers, `query_key` and its parts, `refine` and its parts.
fn score_blocks(config: &Config, blocks: &mut Vec<Box<dyn Block>>) {
    let core = AttentionCore::new(config);
    let stage = core.query_key();
    blocks.push(Box::new(stage.packer()));
    blocks.push(Box::new(core.prob_value().unpacker()));
    for buffer in [core.key_buffer(), core.value_buffer()] {
        blocks.push(Box::new(buffer.ring.column()));
        blocks.push(Box::new(buffer.ring.clone()));
        blocks.push(Box::new(buffer));
    }
    blocks.push(Box::new(stage.element()));
    blocks.push(Box::new(stage));
    if let (Some(noise), Some(refine)) = (core.query_noise(), core.refine()) {
        blocks.push(Box::new(noise));
        blocks.push(Box::new(Judge));
        blocks.push(Box::new(refine));
    }
}

fn softmax_and_prob_value(config: &Config, blocks: &mut Vec<Box<dyn Block>>) {
    let core = AttentionCore::new(config);
    let formats = core.formats;
    blocks.push(Box::new(Exponent { formats }));
    blocks.push(Box::new(RowSum {
        lanes: core.softmax_lanes,
    }));
    blocks.push(Box::new(core.softmax().exponential_pass()));
    blocks.push(Box::new(Weights {
        lanes: core.softmax_lanes,
    }));
    if let Some(ranking) = core.value_ranking() {
        blocks.push(Box::new(FirstEquals {
            inputs: ranking.lanes,
            max_keys: ranking.max_keys,
        }));
        blocks.push(Box::new(ranking));
    }
    if let Some(ids) = core.softmax().use_pass().value_ids() {
        blocks.push(Box::new(ids));
    }
    blocks.push(Box::new(core.softmax().use_pass()));
    blocks.push(Box::new(core.softmax()));
    blocks.push(Box::new(core.prob_value().column()));
    blocks.push(Box::new(core.prob_value().element()));
    blocks.push(Box::new(OutputScale { formats }));
    blocks.push(Box::new(core.prob_value()));
    blocks.push(Box::new(core.pipeline.clone()));
    blocks.push(Box::new(core));
}
