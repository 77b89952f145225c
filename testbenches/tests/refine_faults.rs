//! Faults put into the emitted Verilog of `refine`, of the rule and of `query_key`'s second pass: their testbenches find
//! each.

use spatten::accelerator::attention_pipeline::AttentionPipeline;
use spatten::accelerator::query_key::QueryKeyElement;
use spatten::accelerator::shape::ArrayShape;
use spatten::accelerator::top::AttentionCore;
use spatten::config::Config;
use spatten::numerics::Formats;
use spatten::testbenches::{self, BenchError, pipeline};

use super::seeded::{caught, faulty, options};

#[test]
fn rule_that_compares_wrongly_is_caught() {
    let pipelines = [testbenches::judge::judge()];
    for (from, to) in [
        ("sum_q > confident_sum_q", "sum_q >= confident_sum_q"),
        ("& !by_noise_q", "& 1'b1"),
        ("(noise_q > limit_q) & by_noise_q", "(noise_q > limit_q)"),
        ("product_product[43:0] > ", "product_product[43:0] >= "),
        ("- {16'd0, noise_q}", "- {17'd0, noise_q[15:1]}"),
    ] {
        println!("{from} -> {to}");
        let mut design = pipeline::design("judge_fault", &pipelines);
        let mut sources = design.sources.iter_mut();
        let judge = sources.find(|source| source.file.starts_with("spatten_judge"));
        let judge = judge.expect("the unit's file");
        assert_eq!(judge.text.matches(from).count(), 1, "{from}");
        judge.text = judge.text.replace(from, to);
        match pipeline::run_design(&design, &pipelines, &options()) {
            Err(BenchError::Mismatch(message)) => println!("{message}"),
            other => panic!("{from} -> {to} was not found: {other:?}"),
        }
    }
}

#[test]
fn noise_that_mixes_rows_or_wraps_is_caught() {
    let [_, block, _] = testbenches::query_noise::corners();
    for (from, to) in [
        // The squares of the row before go on, its successor's shift is taken, elements beyond d count.
        (
            "first_q <= sum_end_q[1]",
            "first_q <= sum_end_q[1] & total_q[0]",
        ),
        (
            "shift_late_q[4:0], shift_q}",
            "shift_late_q[4:0], shift_q | query_shift_i}",
        ),
        ("final_part = 3'd1", "final_part = 3'd3"),
        // A noise without a place.
        ("(!at_end | row_room)", "(1'b1 | row_room)"),
    ] {
        println!("{from} -> {to}");
        let design = faulty(&block, "spatten_query_noise", from, to);
        let outcome = testbenches::query_noise::check(&block, &design, &options());
        caught(outcome, &[]);
    }
}

#[test]
fn refine_that_mixes_rows_or_grants_too_much_is_caught() {
    let [_, block] = testbenches::refine::corners();
    for (from, to, words) in [
        // The maximum of another row.
        (
            "first_maximum_ready_o = judged_end",
            "first_maximum_ready_o = row_end",
            &["row"][..],
        ),
        (
            "maximum_q <= first_maximum_data_i",
            "maximum_q <= first_maximum_data_i | maximum_q",
            &["row"],
        ),
        // Places of sums, of verdicts, of score lines, of maxima.
        (
            "sum_used_q < 4'd8",
            "sum_used_q < 4'd15",
            &["found no place"],
        ),
        (
            "verdict_used_q < 3'd4",
            "verdict_used_q < 3'd7",
            &["a verdict found no place"],
        ),
        (
            "score_used_q < 4'd11",
            "score_used_q < 4'd15",
            &["words sent for 11 places"],
        ),
        (
            "maximum_used_q < 4'd10",
            "maximum_used_q < 4'd15",
            &["a maximum found no place"],
        ),
        // Another row's noise; LSBs of rows without a rule.
        (
            "(noise_valid_i | !limits_out_data[44])",
            "(noise_valid_i | lsb_valid_i | !limits_out_data[44])",
            &["row"],
        ),
        (
            "refined = held_ring_out_data[0] & row_verdicts_out_data",
            "refined = row_verdicts_out_data",
            &[],
        ),
        (
            "+ {{3{lsb_q",
            "- {{3{lsb_q",
            &["`score`", "row", "line", "lane"],
        ),
    ] {
        println!("{from} -> {to}");
        let design = faulty(&block, "spatten_refine", from, to);
        let outcome = testbenches::refine::check(&block, &design, &options());
        caught(outcome, words);
    }
}

#[test]
fn element_that_takes_the_other_pass_is_caught() {
    let block = QueryKeyElement {
        elements: 2,
        query_bits: 6,
        key_bits: 6,
        refines: true,
    };
    for (from, to) in [
        ("refines_q ? held_i", "!refines_q ? held_i"),
        ("{2'd0, lsb_i[3:0]}", "{{2{lsb_i[3]}}, lsb_i[3:0]}"),
    ] {
        let design = faulty(&block, "spatten_query_key_element", from, to);
        let outcome = testbenches::query_key_element::check(&block, &design, &options());
        caught(outcome, &["`sum_o`", "word"]);
    }
}

#[test]
fn second_pass_with_a_wrong_query_place_or_turn_is_caught() {
    let [_, _, block, _] = testbenches::query_key::corners();
    for (from, to, words) in [
        // Passes take turns within a score line; the query of the other pass stays.
        (
            "(waits & !stays_open)",
            "(waits & !(stays_open & first_q))",
            &["stream", "row"][..],
        ),
        (
            "load_query = issue & !open",
            "load_query = issue & !open & (first_q | refines_q)",
            &["row"],
        ),
        // A query is given up with the first of its LSB lines.
        (
            "known & (lsb_end | !verdict_data_i)",
            "known & (lsb_issue | !verdict_data_i)",
            &["row"],
        ),
        // Places of lines; the maximum of a row that wants none.
        (
            "wire lsb_room = ",
            "wire lsb_room = refines_q | ",
            &["stream `lsb`", "places"],
        ),
        (
            "line_progressive_q <= group_progressive_q",
            "line_progressive_q <= group_progressive_q | group_last_q",
            &[],
        ),
    ] {
        println!("{from} -> {to}");
        let design = faulty(&block, "spatten_query_key_m", from, to);
        let outcome = testbenches::query_key::check(&block, &design, &options());
        caught(outcome, words);
    }
}

/// A core whose rings hold one longest row, of two score lines per K line.
fn smallest_core() -> AttentionCore {
    let config = Config::load("tiny", &[]).unwrap();
    let shape = ArrayShape {
        multipliers: 64,
        head_dims: vec![32],
    };
    AttentionCore {
        pipeline: AttentionPipeline {
            shape,
            formats: Formats {
                query_bits: 6,
                key_bits: 6,
                value_bits: 6,
                max_head_dim: 32,
            },
            softmax_lanes: 4,
            score_lines: 8,
            held_lines: 8,
            exponential_lines: 8,
            rows_in_flight: 2,
            value_engines: 0,
            ..AttentionPipeline::new(&config)
        },
        key_lsb_lines: 16,
        ..AttentionCore::new(&config)
    }
}

#[test]
fn core_whose_passes_wait_for_each_other_is_caught() {
    // Rows keep the array until their last line.
    let block = smallest_core();
    let (from, to) = ("(waits & !stays_open)", "(waits & !stays_open & first_q)");
    let design = faulty(&block, "spatten_query_key_m", from, to);
    let outcome = testbenches::attention_core::check(&block, &design, &options());
    caught(outcome, &["not done after"]);
}

#[test]
fn core_that_reads_the_lsbs_of_another_row_is_caught() {
    let block = smallest_core();
    let (from, to) = (
        "read = lsb_row_fifo_out_valid & judged &",
        "read = lsb_row_fifo_out_valid &",
    );
    let design = faulty(&block, "spatten_tiny_attention_core", from, to);
    let outcome = testbenches::attention_core::check(&block, &design, &options());
    caught(outcome, &[]);
}
