//! The emitted Verilog of importance and its parts at a small size, held by snapshots as in `snapshots.rs`.

use spatten::accelerator::importance::Importance;
use spatten::cells::line_compactor::LineCompactor;

use super::snapshots::holds;

fn small() -> Importance {
    Importance {
        lanes: 2,
        tokens: 10,
        token_lines: 5,
        heads: 3,
        top_k_lanes: 2,
        output_lanes: 2,
        output_bits: 8,
    }
}

#[test]
fn line_compactor() {
    holds("line_compactor", &LineCompactor { lanes: 3, width: 4 });
    let of_one_lane = LineCompactor { lanes: 1, width: 4 };
    holds("line_compactor_of_one_lane", &of_one_lane);
}

#[test]
fn head_magnitude() {
    holds("head_magnitude", &small().head_magnitude());
}

#[test]
fn score_set() {
    holds("score_set", &small().token_scores().set);
    holds("score_contexts", &small().token_scores());
}

#[test]
fn importance() {
    holds("importance", &small());
}
