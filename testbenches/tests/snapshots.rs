//! The emitted Verilog of every cell and block at a small size, held by snapshots: `cargo insta review` shows changes.

use spatten::accelerator::attention_pipeline::AttentionPipeline;
use spatten::accelerator::fetch::ReadMaster;
use spatten::accelerator::importance::Probability;
use spatten::accelerator::kv_buffer::{LineBuffer, LineRing};
use spatten::accelerator::prob_value::{OutputScale, ProbValue, ProbValueColumn, ProbValueElement};
use spatten::accelerator::query_key::{QueryKey, QueryKeyElement};
use spatten::accelerator::refine::Judge;
use spatten::accelerator::shape::ArrayShape;
use spatten::accelerator::softmax::{Exponent, RowSum, Softmax, ValueIds, ValueRanking, Weights};
use spatten::accelerator::top::AttentionCore;
use spatten::accelerator::top_k::{FirstEquals, QuickSelect, Sampler, TopK};
use spatten::cells::adder_tree::AdderTree;
use spatten::cells::arbiter::Arbiter;
use spatten::cells::banked_fifo::BankedFifo;
use spatten::cells::divider::Divider;
use spatten::cells::exp2::Exp2;
use spatten::cells::fifo::Fifo;
use spatten::cells::fork::Fork;
use spatten::cells::join::Join;
use spatten::cells::lane_packer::LanePacker;
use spatten::cells::lane_unpacker::LaneUnpacker;
use spatten::cells::max_tree::MaxTree;
use spatten::cells::multiplier::Multiplier;
use spatten::cells::popcount::Popcount;
use spatten::cells::prefix_sum::PrefixSum;
use spatten::cells::reciprocal::Reciprocal;
use spatten::cells::spill_register::SpillRegister;
use spatten::cells::sram::{SinglePortSram, Sram};
use spatten::cells::zero_eliminator::ZeroEliminator;
use spatten::hdl::{Block, Ty, elaborate, verilog};
use spatten::numerics::Formats;
use spatten::testbenches;

/// Compares the text of `block` alone (not of its children) with the snapshot `name`.
pub(super) fn holds(name: &str, block: &dyn Block) {
    let text = verilog(&elaborate(block), "Snapshot.");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn spill_register() {
    holds("spill_register", &SpillRegister { width: 8 });
}

#[test]
fn fifo() {
    let block = Fifo {
        width: 8,
        depth: 5,
        count: true,
    };
    holds("fifo", &block);
    holds("fifo_depth_1", &Fifo::new(8, 1));
}

#[test]
fn sram() {
    holds("sram_1r1w", &Sram { width: 8, depth: 6 });
    holds("sram_1rw", &SinglePortSram { width: 8, depth: 6 });
}

#[test]
fn banked_fifo() {
    holds("banked_fifo", &BankedFifo::new(8, 10));
}

#[test]
fn fork_and_join() {
    holds("fork", &Fork { branches: 3 });
    holds("join", &Join { branches: 3 });
}

#[test]
fn arbiter() {
    let block = Arbiter {
        branches: 3,
        width: 8,
    };
    holds("arbiter", &block);
}

#[test]
fn prefix_sum() {
    holds("prefix_sum", &PrefixSum { lanes: 4 });
}

#[test]
fn zero_eliminator() {
    holds("zero_eliminator", &ZeroEliminator { lanes: 4, width: 8 });
}

#[test]
fn multiplier() {
    for stages in 1..=3 {
        let block = Multiplier {
            a_bits: 4,
            b: Ty::signed(5),
            stages,
        };
        holds(&format!("multiplier_{stages}_stages"), &block);
    }
}

#[test]
fn adder_tree() {
    holds("adder_tree", &AdderTree::total(5, Ty::signed(6), 2));
    let groups = AdderTree {
        lanes: 8,
        term: Ty::signed(6),
        levels_per_stage: 1,
        result_levels: vec![0, 1, 2],
    };
    holds("adder_tree_of_groups", &groups);
}

#[test]
fn max_tree() {
    let block = MaxTree {
        lanes: 3,
        width: 6,
        levels_per_stage: 1,
    };
    holds("max_tree", &block);
}

#[test]
fn popcount() {
    let combinational = Popcount {
        width: 5,
        levels_per_stage: None,
    };
    let pipelined = Popcount {
        levels_per_stage: Some(2),
        ..combinational
    };
    holds("popcount", &combinational);
    holds("popcount_pipelined", &pipelined);
}

#[test]
fn divider() {
    let block = Divider {
        numerator_bits: 5,
        fraction_bits: 1,
        denominator_bits: 4,
        quotient_bits: 4,
        bits_per_stage: 2,
    };
    holds("divider", &block);
}

#[test]
fn exp2() {
    holds("exp2", &Exp2);
}

#[test]
fn reciprocal() {
    holds("reciprocal", &Reciprocal);
}

#[test]
fn read_master() {
    let block = ReadMaster {
        address_bits: 18,
        outstanding: 6,
        burst_beats: 3,
        tag_bits: 9,
        timeout: 1024,
    };
    holds("read_master", &block);
}

/// Groups of 4, 2 and 1 lanes.
fn shape() -> ArrayShape {
    ArrayShape {
        multipliers: 8,
        head_dims: vec![2, 4, 8],
    }
}

#[test]
fn lane_packer() {
    let block = LanePacker {
        shape: shape(),
        lanes: 2,
        width: 5,
    };
    holds("lane_packer", &block);
}

#[test]
fn lane_unpacker() {
    let block = LaneUnpacker {
        shape: shape(),
        lanes: 2,
        width: 5,
    };
    holds("lane_unpacker", &block);
}

fn small_top_k() -> TopK {
    TopK {
        engine: QuickSelect {
            width: 4,
            lanes: 2,
            inputs: 2,
            max_keys: 8,
        },
        payload_bits: 3,
        keys_out: false,
        lines: 8,
    }
}

#[test]
fn quick_select() {
    let engine = small_top_k().engine;
    holds("first_pivots", &engine.first_pivots());
    holds("row_fill", &engine.row_fill());
    holds("part", &engine.part());
    holds("quick_select", &engine);
    let samples = 3;
    holds("sampler", &Sampler { width: 4, samples });
}

#[test]
fn probability() {
    holds("probability", &Probability);
}

#[test]
fn top_k() {
    holds("filter", &small_top_k().filter());
    holds("top_k", &small_top_k());
}

#[test]
fn line_buffer() {
    let ring = LineRing {
        shape: shape(),
        element_bits: 4,
        lines: 8,
        keys_per_row: 20,
    };
    holds("line_column", &ring.column());
    holds("line_ring", &ring);
    holds("line_buffer", &LineBuffer { ring });
}

fn query_key_stage() -> QueryKey {
    QueryKey {
        shape: shape(),
        formats: Formats {
            query_bits: 6,
            key_bits: 5,
            value_bits: 5,
            max_head_dim: 8,
        },
        lanes: 2,
        score_places: 12,
        held_queries: 0,
    }
}

#[test]
fn query_key_element() {
    let block: QueryKeyElement = query_key_stage().element();
    holds("query_key_element", &block);
}

#[test]
fn query_key() {
    holds("query_key", &query_key_stage());
}

pub(super) fn small_pipeline() -> AttentionPipeline {
    AttentionPipeline {
        name: "small".into(),
        shape: ArrayShape {
            multipliers: 16,
            head_dims: vec![4, 8],
        },
        formats: Formats {
            query_bits: 4,
            key_bits: 4,
            value_bits: 4,
            max_head_dim: 8,
        },
        softmax_lanes: 2,
        output_lanes: 2,
        score_lines: 5,
        held_lines: 0,
        exponential_lines: 5,
        weight_lines: 12,
        keys_per_row: 10,
        rows_in_flight: 3,
        value_engines: 0,
        comparators: 2,
        heads: 3,
    }
}

fn small_core() -> AttentionCore {
    AttentionCore {
        pipeline: small_pipeline(),
        key_lines: 6,
        value_lines: 6,
        key_lsb_lines: 0,
    }
}

fn small_pruning_core() -> AttentionCore {
    AttentionCore {
        pipeline: AttentionPipeline {
            value_engines: 2,
            ..small_pipeline()
        },
        ..small_core()
    }
}

#[test]
fn softmax() {
    let Softmax { formats, lanes, .. } = small_core().softmax();
    holds("exponent", &Exponent { formats });
    holds("row_sum", &RowSum { lanes });
    holds(
        "exponential_pass",
        &small_core().softmax().exponential_pass(),
    );
    holds("weights", &Weights { lanes });
    holds("use_pass", &small_core().softmax().use_pass());
    holds("softmax", &small_core().softmax());
}

#[test]
fn value_pruning() {
    let softmax = small_pruning_core().softmax();
    let ranking = softmax.value_ranking.clone().unwrap();
    let one = ValueRanking {
        engines: 1,
        ..ranking.clone()
    };
    let ValueRanking {
        lanes, max_keys, ..
    } = ranking;
    holds("value_ranking", &ranking);
    holds("value_ranking_of_one_engine", &one);
    holds("value_ids", &ValueIds { lanes, max_keys });
    let inputs = lanes;
    holds("first_equals", &FirstEquals { inputs, max_keys });
    holds("exponential_pass_pruning", &softmax.exponential_pass());
    holds("use_pass_pruning", &softmax.use_pass());
    holds("softmax_pruning", &softmax);
}

#[test]
fn prob_value() {
    let stage: ProbValue = small_core().prob_value();
    let element: ProbValueElement = stage.element();
    let column: &ProbValueColumn = &element.column;
    let formats = stage.formats;
    holds("prob_value_column", column);
    holds("prob_value_element", &element);
    holds("output_scale", &OutputScale { formats });
    holds("prob_value", &stage);
}

#[test]
fn attention_core() {
    holds("attention_pipeline", &small_pipeline());
    holds("attention_core", &small_core());
    holds("attention_core_pruning", &small_pruning_core());
}

#[test]
fn refine() {
    let [_, query_noise, _] = testbenches::query_noise::corners();
    holds("query_noise", &query_noise);
    holds("judge", &Judge);
    let [_, refine] = testbenches::refine::corners();
    holds("refine", &refine);
    let [_, _, query_key, _] = testbenches::query_key::corners();
    holds("query_key_element_refining", &query_key.element());
    holds("query_key_refining", &query_key);
    let pipeline = AttentionPipeline {
        formats: Formats {
            max_head_dim: 8,
            ..query_key.formats
        },
        held_lines: 5,
        ..small_pipeline()
    };
    holds("attention_pipeline_refining", &pipeline);
    let core = AttentionCore {
        pipeline,
        key_lsb_lines: 4,
        ..small_core()
    };
    holds("attention_core_refining", &core);
}
