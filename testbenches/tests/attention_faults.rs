//! Faults put into the emitted Verilog of softmax, `prob_value` and the attention core: their testbenches find each.

use spatten::accelerator::attention_pipeline::AttentionPipeline;
use spatten::accelerator::prob_value::{OutputScale, ProbValue};
use spatten::accelerator::shape::ArrayShape;
use spatten::accelerator::softmax::{Exponent, RowSum, Softmax, ValueIds, ValueRanking, Weights};
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
        value_ranking: None,
    }
}

/// Rows of up to 12 keys that prune their values with two engines.
fn pruning_softmax() -> Softmax {
    Softmax {
        value_ranking: Some(ValueRanking {
            engines: 2,
            comparators: 2,
            lanes: 2,
            max_keys: 12,
        }),
        ..softmax()
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
fn exponential_pass_that_ranks_other_rows_is_caught() {
    let block = pruning_softmax().exponential_pass();
    for (from, to, words) in [
        (
            "ranked_issue = issue & pruning_prunes_i",
            "ranked_issue = issue",
            &["`ranked`", "row"][..],
        ),
        (
            "pruning_valid_i &",
            "(pruning_valid_i | score_valid_i) &",
            &["row"],
        ),
    ] {
        let design = faulty(&block, "spatten_exponential_pass", from, to);
        let outcome = testbenches::exponential_pass::check(&block, &design, &options());
        caught(outcome, words);
    }
}

#[test]
fn use_pass_that_keeps_or_divides_wrongly_is_caught() {
    let block = pruning_softmax().use_pass();
    for (module, from, to, words) in [
        // A row starts before its threshold, or with that of another; a row that prunes nothing loses weights.
        (
            "spatten_use_pass",
            "threshold_valid_i & id_room",
            "(threshold_valid_i | exponential_valid_i) & id_room",
            &["row"][..],
        ),
        (
            "spatten_use_pass",
            "keep_equal_q <= threshold_keep_equal_i",
            "keep_equal_q <= threshold_keep_equal_i ^ 4'd1",
            &["row", "line"],
        ),
        (
            "spatten_use_pass",
            "starts_q <= issue & first_q",
            "starts_q <= issue & (first_q | last_q)",
            &["row", "line"],
        ),
        // Places of positions, and of the kept sums' reciprocals.
        (
            "spatten_use_pass",
            "id_used_q < 4'd8",
            "id_used_q < 4'd15",
            &["kept keys found no place"],
        ),
        (
            "spatten_use_pass",
            "renormalises_q <= mode_prunes_i &",
            "renormalises_q <= mode_prunes_i |",
            &["`reciprocal`", "row"],
        ),
        (
            "spatten_use_pass",
            "(kept_fifo_out_valid | !waits)",
            "(kept_fifo_out_valid | oldest_out_valid | !waits)",
            &["`reciprocal`", "row"],
        ),
        // Of equal keys, the first ones of the row.
        (
            "spatten_first_equals",
            "load_i ? keep_equal_i",
            "(load_i & !step_i) ? keep_equal_i",
            &["row", "line"],
        ),
        // Positions of the row before go on.
        (
            "spatten_value_ids",
            "line_last_i ? ",
            "(line_last_i & line_q[0]) ? ",
            &["`value_id`", "row", "line"],
        ),
    ] {
        println!("{module}: {from} -> {to}");
        let design = faulty(&block, module, from, to);
        let outcome = testbenches::use_pass::check(&block, FORMATS, &design, &options());
        caught(outcome, words);
    }
}

#[test]
fn ranking_whose_engines_take_each_others_rows_is_caught() {
    let block = pruning_softmax().value_ranking.unwrap();
    for (from, to) in [
        ("line_turn_q <= !line_turn_q", "line_turn_q <= line_turn_q"),
        (
            "threshold_turn_q <= !threshold_turn_q",
            "threshold_turn_q <= 1'b0",
        ),
    ] {
        let design = faulty(&block, "spatten_value_ranking", from, to);
        let outcome = testbenches::value_ranking::check(&block, &design, &options());
        caught(outcome, &["threshold"]);
    }
}

#[test]
fn positions_that_lose_the_end_of_a_row_are_caught() {
    let block = ValueIds {
        lanes: 3,
        max_keys: 20,
    };
    let (from, to) = ("line_q + 5'd3", "line_q + 5'd4");
    let design = faulty(&block, "spatten_value_ids", from, to);
    let outcome = testbenches::value_ids::check(&block, &design, &options());
    caught(outcome, &["`value_id`", "line"]);
}

#[test]
fn softmax_that_prunes_a_row_by_another_ones_numbers_is_caught() {
    for (from, to, words) in [
        (
            "prunes = pruning_kept_i < pruning_keys_i",
            "prunes = pruning_kept_i <= pruning_keys_i",
            &["row"][..],
        ),
        (
            "(pruning_fork_out2_valid & prunes)",
            "(pruning_fork_out2_valid & (prunes | pruning_renormalise_i))",
            &["stream"],
        ),
    ] {
        let block = pruning_softmax();
        let design = faulty(&block, "spatten_softmax", from, to);
        let outcome = testbenches::softmax::check(&block, &design, &options());
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

fn narrow_pipeline(config: &Config) -> AttentionPipeline {
    AttentionPipeline {
        shape: shape(),
        formats: FORMATS,
        output_lanes: 2,
        softmax_lanes: 1,
        ..AttentionPipeline::new(config)
    }
}

#[test]
fn core_that_takes_a_dead_key_for_live_is_caught() {
    let config = Config::load("tiny", &[]).unwrap();
    let pipeline = AttentionPipeline {
        value_engines: 0,
        ..narrow_pipeline(&config)
    };
    let core = AttentionCore {
        pipeline,
        ..AttentionCore::new(&config)
    };
    let design = faulty(
        &core,
        "spatten_line_ring",
        "live_q <= among & fits;",
        "live_q <= among | fits;",
    );
    let outcome = testbenches::attention_core::check(&core, &design, &options());
    // A row's decision comes before its outputs.
    caught(outcome, &["layer", "head", "token"]);
}

#[test]
fn core_that_renormalises_a_row_like_the_one_before_is_caught() {
    let config = Config::load("tiny", &[]).unwrap();
    let core = AttentionCore {
        pipeline: narrow_pipeline(&config),
        ..AttentionCore::new(&config)
    };
    let design = faulty(
        &core,
        "spatten_use_pass",
        "renormalises_q <= mode_prunes_i & mode_renormalise_i",
        "renormalises_q <= mode_prunes_i & (mode_renormalise_i | renormalises_q)",
    );
    let outcome = testbenches::attention_core::check(&core, &design, &options());
    caught(outcome, &["layer", "head", "token", "golden row"]);
}
