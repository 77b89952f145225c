//! Faults put into the emitted Verilog of softmax, `prob_value` and the attention core: their testbenches find each.

use spatten::accelerator::prob_value::{OutputScale, ProbValue};
use spatten::accelerator::shape::ArrayShape;
use spatten::accelerator::softmax::{Exponent, RowSum, Softmax, Weights};
use spatten::accelerator::top::AttentionCore;
use spatten::config::Config;
use spatten::numerics::Formats;
use spatten::testbenches;

use super::seeded::{caught, faulty, options};

const FORMATS: Formats = Formats {
    query_bits: 6,
    key_bits: 6,
    value_bits: 6,
    max_head_dim: 32,
};

fn shape() -> ArrayShape {
    ArrayShape {
        multipliers: 32,
        head_dims: vec![32],
    }
}

#[test]
fn exponent_that_does_not_round_is_caught() {
    let block = Exponent { formats: FORMATS };
    let design = faulty(&block, "spatten_exponent", "+ 42'd1;", "+ 42'd0;");
    let outcome = testbenches::exponent::check(&block, &design, &options());
    caught(outcome, &["e_o", "word", "seed 1", "Scale"]);
}

#[test]
fn weights_that_lose_the_carry_are_caught() {
    let block = Weights { lanes: 2 };
    let (from, to) = ("line_last_q ? CARRY_START", "!line_last_q ? CARRY_START");
    let design = faulty(&block, "spatten_weights", from, to);
    let outcome = testbenches::weights::check(&block, &design, &options());
    caught(outcome, &["row", "line", "lane"]);
}

fn softmax() -> Softmax {
    Softmax {
        formats: FORMATS,
        lanes: 2,
        score_lines: 5,
        exponential_lines: 6,
        weight_lines: 20,
        rows_in_flight: 2,
    }
}

#[test]
fn row_sum_that_loses_the_carry_or_keeps_the_row_before_is_caught() {
    let block = RowSum { lanes: 2 };
    for (from, to) in [
        ("low_first_q ? START", "low_first_q ? (START >> 1)"),
        ("carry_q <= low[17]", "carry_q <= low[17] & low[16]"),
        ("high_first_q ? 17'd0", "(high_first_q & carry_q) ? 17'd0"),
    ] {
        let design = faulty(&block, "spatten_row_sum", from, to);
        let outcome = testbenches::row_sum::check(&block, &design, &options());
        caught(outcome, &["row", "sum_o"]);
    }
}

#[test]
fn exponential_pass_that_mixes_rows_or_grants_too_much_is_caught() {
    let block = softmax().exponential_pass();
    let exponential: &[&str] = &["`exponential`", "row", "line", "lane"];
    for (from, to, words) in [
        // The next row's scale and maximum.
        (
            ".pre_i      (pre_q)",
            ".pre_i      (pre_q | scale_pre_i)",
            exponential,
        ),
        (
            "maximum_q <= maximum_data_i",
            "maximum_q <= maximum_data_i & maximum_q",
            exponential,
        ),
        // A place too many for a row, and for a line.
        (
            "row_used_q < 2'd2",
            "row_used_q < 2'd3",
            &["a reciprocal found no place"],
        ),
        (
            "line_used_q < 4'd8",
            "line_used_q < 4'd15",
            &["an exponential line found no place"],
        ),
        // A row's last line enters without its maximum or its scale.
        (
            "maximum_valid_i & scale_valid_i",
            "maximum_valid_i | scale_valid_i",
            &["row"],
        ),
    ] {
        let design = faulty(&block, "spatten_exponential_pass", from, to);
        let outcome = testbenches::exponential_pass::check(&block, &design, &options());
        caught(outcome, words);
    }
}

#[test]
fn use_pass_that_starts_before_the_sum_or_grants_too_much_is_caught() {
    let block = softmax().use_pass();
    for (from, to, words) in [
        (
            "row_valid_i & line_room",
            "(row_valid_i | exponential_valid_i) & line_room",
            &[][..],
        ),
        (
            "line_used_q < 5'd20",
            "line_used_q < 5'd31",
            &["a weight line found no place"],
        ),
        (
            "row_used_q < 2'd2",
            "row_used_q < 2'd3",
            &["a reciprocal found no place"],
        ),
        (
            "k_q <= row_k_i",
            "k_q <= row_k_i | k_q",
            &["`reciprocal`", "row"],
        ),
    ] {
        let design = faulty(&block, "spatten_use_pass", from, to);
        let outcome = testbenches::use_pass::check(&block, FORMATS, &design, &options());
        caught(outcome, words);
    }
}

#[test]
fn softmax_that_gives_a_row_the_flags_of_another_is_caught() {
    let (from, to) = ("live_q <= score_live_i", "live_q <= score_live_i | live_q");
    let design = faulty(&softmax(), "spatten_exponential_pass", from, to);
    let outcome = testbenches::softmax::check(&softmax(), &design, &options());
    caught(outcome, &["stream", "row"]);
}

#[test]
fn element_that_adds_to_the_row_before_or_takes_idle_operands_is_caught() {
    let block = prob_value().element();
    for (module, from, to) in [
        (
            "spatten_prob_value_column",
            "first_q ?",
            "(first_q & last_q) ?",
        ),
        (
            "spatten_prob_value_column",
            "last_i & accumulate_i",
            "last_i",
        ),
        (
            "spatten_prob_value_element",
            "value0_q[k*6 +: 6]",
            "value0_q[(7-k)*6 +: 6]",
        ),
    ] {
        let design = faulty(&block, module, from, to);
        let outcome = testbenches::prob_value_element::check(&block, FORMATS, &design, &options());
        caught(outcome, &["held_o", "row", "column"]);
    }
}

#[test]
fn output_that_wraps_instead_of_saturating_is_caught() {
    let block = OutputScale { formats: FORMATS };
    let design = faulty(
        &block,
        "spatten_output_scale",
        "out_q <= fits ?",
        "out_q <= (fits | negative) ?",
    );
    let outcome = testbenches::output_scale::check(&block, &design, &options());
    caught(outcome, &["out_o", "word"]);
}

fn prob_value() -> ProbValue {
    ProbValue {
        shape: shape(),
        formats: FORMATS,
        lanes: 1,
        output_lanes: 2,
    }
}

#[test]
fn prob_value_that_scales_a_row_by_another_ones_sum_is_caught() {
    let (from, to) = ("held_r_q <= r_q[", "held_r_q <= r_q[17:0] & r_q[");
    let design = faulty(&prob_value(), "spatten_prob_value_m", from, to);
    let outcome = testbenches::prob_value::check(&prob_value(), &design, &options());
    caught(outcome, &["`out`", "row", "element"]);
}

#[test]
fn prob_value_whose_rows_overrun_each_other_is_caught() {
    // Rows that drain in fewer cycles than their sums take: the count of outputs alone lets the next one follow at once.
    let block = ProbValue {
        output_lanes: 8,
        ..prob_value()
    };
    let (from, to) = ("wire paced = ", "wire paced = 1'b1 | ");
    let design = faulty(&block, "spatten_prob_value_m", from, to);
    let outcome = testbenches::prob_value::check(&block, &design, &options());
    caught(outcome, &["a row was finished while another drained"]);
}

#[test]
fn prob_value_that_promises_more_places_than_there_are_is_caught() {
    // Outputs beyond the FIFO's places; sums finished before the row ahead has drained.
    for (from, to, words) in [
        (
            "wire place = ",
            "wire place = 1'b1 | ",
            "outputs found no place",
        ),
        (
            "wire outputs_clear = ",
            "wire outputs_clear = 1'b1 | ",
            "a row was finished while another drained",
        ),
    ] {
        let design = faulty(&prob_value(), "spatten_prob_value_m", from, to);
        let outcome = testbenches::prob_value::check(&prob_value(), &design, &options());
        caught(outcome, &[words]);
    }
}

#[test]
fn core_that_takes_a_dead_key_for_live_is_caught() {
    let config = Config::load("tiny", &[]).unwrap();
    let core = AttentionCore {
        shape: shape(),
        formats: FORMATS,
        output_lanes: 2,
        softmax_lanes: 1,
        ..AttentionCore::new(&config)
    };
    let design = faulty(
        &core,
        "spatten_line_ring",
        "live_q <= among & fits;",
        "live_q <= among | fits;",
    );
    let outcome = testbenches::attention_core::check(&core, &design, &options());
    caught(
        outcome,
        &["layer", "head", "token", "element", "golden row"],
    );
}
