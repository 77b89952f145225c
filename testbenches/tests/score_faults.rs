//! Faults put into the emitted Verilog of the buffers, of `query_key` and of its parts: their testbenches find each.

use spatten::accelerator::kv_buffer::{LineBuffer, LineRing};
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

fn line_ring() -> LineRing {
    LineRing {
        shape: shape(),
        element_bits: 4,
        // No power of two.
        lines: 12,
        keys_per_row: 40,
    }
}

#[test]
fn line_buffer_that_loses_order_or_overruns_its_ring_is_caught() {
    let block = LineBuffer { ring: line_ring() };
    let place: &[&str] = &["stream `line`", "head", "row", "line", "lane"];
    for (module, from, to, words) in [
        (
            "line_buffer",
            "fill_line_q == 4'd11",
            "fill_line_q == 4'd10",
            place,
        ),
        (
            "line_buffer",
            "ahead_q < 2'd2",
            "ahead_q < 2'd1",
            &["lines entered in"],
        ),
        (
            "line_ring",
            "held_q < 4'd12",
            "held_q < 4'd11",
            &["11 lines entered"],
        ),
        ("line_ring", "held_q < 4'd12", "held_q < 4'd13", &[]),
        (
            "line_ring",
            "read_line_q == 4'd11",
            "read_line_q == 4'd12",
            &["an address beyond"],
        ),
        ("line_ring", "live_left > 6'd2", "live_left > 6'd1", place),
    ] {
        let design = faulty(&block, &format!("spatten_{module}"), from, to);
        println!("{from} -> {to}");
        let outcome = testbenches::kv_buffer::check(&block, &design, &options());
        caught(outcome, words);
    }
}

#[test]
fn line_ring_that_reads_what_is_not_there_or_frees_what_is_needed_is_caught() {
    let block = line_ring();
    for (module, from, to) in [
        // A line counts as complete with its first column.
        (
            "line_ring",
            "assign even_found = &{",
            "assign even_found = |{",
        ),
        // What was found of a line's place on the ring's lap before is taken for the line.
        (
            "line_ring",
            "even_looked_q <= |even_open_q",
            "even_looked_q <= 1'b1",
        ),
        // A row is served from lines that the rows before have not left.
        ("line_ring", "complete_q > index_q", "complete_q >= index_q"),
        (
            "line_ring",
            "assign free = step & row_release_i",
            "assign free = step & ends",
        ),
        // A chunk of the ring's lap before is taken for the new one.
        (
            "line_column",
            "(filled2_q & ~({2'd0, take2} << take_line_i[3:2]))",
            "filled2_q",
        ),
        // A fill is lost to a read of its bank.
        (
            "line_column",
            "{odd_fill_half_i[0], 1'b1}",
            "{!odd_fill_half_i[0], 1'b1}",
        ),
        ("line_column", "bank_q <= read_bank", "bank_q <= ~read_bank"),
    ] {
        let design = faulty(&block, &format!("spatten_{module}"), from, to);
        println!("{from} -> {to}");
        let outcome = testbenches::line_ring::check(&block, &design, &options());
        caught(outcome, &[]);
    }
}

#[test]
fn query_key_element_with_a_wrong_operand_is_caught() {
    let block = QueryKeyElement {
        elements: 2,
        query_bits: 6,
        key_bits: 5,
        refines: false,
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
        held_queries: 0,
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
            &["stream `score`", "words sent for 12 places"],
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
