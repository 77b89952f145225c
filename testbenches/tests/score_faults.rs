//! Faults put into the emitted Verilog of the buffers, of `query_key` and of its parts: their testbenches find each.

use spatten::accelerator::kv_buffer::LineBuffer;
use spatten::accelerator::query_key::{QueryKey, QueryKeyElement};
use spatten::accelerator::shape::ArrayShape;
use spatten::cells::lane_packer::LanePacker;
use spatten::cells::lane_unpacker::LaneUnpacker;
use spatten::numerics::Formats;
use spatten::testbenches;

use super::seeded::{caught, faulty, options};

/// Groups of 4, 2 and 1 lanes.
fn shape() -> ArrayShape {
    ArrayShape {
        multipliers: 8,
        head_dims: vec![2, 4, 8],
    }
}

#[test]
fn lane_packer_that_swaps_lanes_or_keeps_a_partial_line_is_caught() {
    let block = LanePacker {
        shape: shape(),
        lanes: 2,
        width: 5,
    };
    for (from, to) in [
        (
            "line = in_data_i[9:0]",
            "line = {in_data_i[4:0], in_data_i[9:5]}",
        ),
        ("in_last_i & !splits", "in_last_i & splits"),
    ] {
        let design = faulty(&block, "spatten_lane_packer", from, to);
        let outcome = testbenches::lane_packer::check(&block, &design, &options());
        caught(outcome, &["stream `out`", "row", "line", "lane"]);
    }
}

#[test]
fn lane_unpacker_that_swaps_lines_or_keeps_a_finished_one_is_caught() {
    let block = LaneUnpacker {
        shape: shape(),
        lanes: 2,
        width: 5,
    };
    for (from, to) in [
        ("{in_data_i, held0_q}", "{held0_q, in_data_i}"),
        ("finish_i & !collects", "1'b0"),
    ] {
        let design = faulty(&block, "spatten_lane_unpacker", from, to);
        let outcome = testbenches::lane_unpacker::check(&block, &design, &options());
        caught(outcome, &["stream `out`", "row", "group", "lane"]);
    }
}

#[test]
fn line_buffer_that_miscounts_its_ring_or_its_live_keys_is_caught() {
    let block = LineBuffer {
        shape: shape(),
        element_bits: 4,
        lines: 5,
        keys_per_row: 20,
    };
    let place: &[&str] = &["stream `line`", "head", "row", "line", "lane"];
    for (from, to, words) in [
        ("held_q < 3'd5", "held_q < 3'd4", &["4 lines entered"][..]),
        ("held_q < 3'd5", "held_q < 3'd6", &["6 lines entered"]),
        (
            ": (read_sum >= 4'd5)",
            ": (read_sum >= 4'd6)",
            &["u_lines: an address beyond the last word is read"],
        ),
        ("left > 5'd2", "left > 5'd1", place),
        // Frees a head's lines before all of them are there.
        ("last & row_release_i) ?", "last & 1'b0) ?", &[]),
    ] {
        let design = faulty(&block, "spatten_line_buffer", from, to);
        let outcome = testbenches::kv_buffer::check(&block, &design, &options());
        caught(outcome, words);
    }
}

#[test]
fn query_key_element_with_a_wrong_operand_is_caught() {
    let block = QueryKeyElement {
        elements: 2,
        query_bits: 6,
        key_bits: 5,
    };
    let (from, to) = ("key_q[k*5 +: 5]", "key_q[(1-k)*5 +: 5]");
    let design = faulty(&block, "spatten_query_key_element", from, to);
    let outcome = testbenches::query_key_element::check(&block, &design, &options());
    caught(outcome, &["`sum_o`", "word"]);
}

#[test]
fn query_key_with_a_wrong_operand_flag_maximum_credit_pace_or_carry_is_caught() {
    let block = QueryKey {
        shape: shape(),
        formats: Formats {
            query_bits: 6,
            key_bits: 5,
            value_bits: 5,
            max_head_dim: 8,
        },
        lanes: 2,
        score_places: 12,
    };
    let score: &[&str] = &["stream `score`", "row", "level", "line", "lane"];
    for (module, from, to, words) in [
        (
            "spatten_query_key_m",
            "row_query_i[35:24]",
            "{row_query_i[29:24], row_query_i[35:30]}",
            score,
        ),
        (
            "spatten_query_key_m",
            "dots_live_q[23], group_tree_sums[54:42]}, {dots_live_q[22]",
            "dots_live_q[22], group_tree_sums[54:42]}, {dots_live_q[23]",
            score,
        ),
        (
            "spatten_query_key_m",
            "$signed(max_tree_max) > $signed(row_max_q)",
            "max_tree_max > row_max_q",
            &["stream `maximum`", "row"],
        ),
        (
            "spatten_query_key_m",
            "wire score_room = ",
            "wire score_room = 1'b1 | ",
            &["stream `score`", "lines sent for 12 places"],
        ),
        (
            "spatten_query_key_m",
            "wire paced = ",
            "wire paced = 1'b1 | ",
            &["a group found no place"],
        ),
        // A carry between the halves of a sum is lost.
        ("spatten_adder_tree_n4", "sum1_low} +", "sum1_low} ^", score),
    ] {
        let design = faulty(&block, module, from, to);
        let outcome = testbenches::query_key::check(&block, &design, &options());
        caught(outcome, words);
    }
}
