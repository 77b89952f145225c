//! Faults put into the emitted Verilog of importance and of its parts: the testbench of the whole finds each, and so do
//! those of parts that have one. In the short tier some faults, at least one of each kind, and of parts with a testbench
//! of their own only that one; in the long tier all faults, in the whole, too.

use spatten::accelerator::importance::Importance;
use spatten::testbenches::{self, Options};

use super::seeded::{caught, faulty, options};

/// Rows of up to six lines, more than the adder holds; outputs so wide that heads' scores overflow.
fn block() -> Importance {
    Importance {
        lanes: 2,
        tokens: 12,
        token_lines: 6,
        heads: 5,
        top_k_lanes: 2,
        output_lanes: 4,
        output_bits: 24,
    }
}

/// A change of one module, and the words of the message that tells it.
type Fault = (&'static str, &'static str, &'static [&'static str]);

/// The testbench of importance finds each fault of `module`; in the short tier the first `few` of them.
fn all_caught(module: &str, few: usize, faults: &[Fault]) {
    let block = block();
    let tried = match std::env::var_os("SPATTEN_LONG") {
        Some(_) => faults.len(),
        None => few,
    };
    for (from, to, words) in &faults[..tried] {
        println!("{module}: {from} -> {to}");
        let design = faulty(&block, &format!("spatten_{module}"), from, to);
        caught(
            testbenches::importance::check(&block, &design, &some()),
            words,
        );
    }
}

fn some() -> Options {
    Options {
        cases: 4_000,
        ..options()
    }
}

/// A wrong score shows as itself, or as another selection.
const PLACE: &[&str] = &["stream `", "job", "line", "lane"];

#[test]
fn a_sound_design_passes() {
    let block = block();
    let design = testbenches::streams::design(&block);
    let report = testbenches::importance::check(&block, &design, &some()).unwrap();
    println!("{report:#?}");
}

#[test]
fn line_compactor_that_forgets_what_it_holds_is_caught() {
    let faults: [Fault; 4] = [
        // The held lane, the rest after the last line, and where a sequence ends.
        ("(held_count_q > 2'd0)", "(held_count_q > 2'd1)", &[]),
        (
            "flush_q <= take & in_last_i & over",
            "flush_q <= 1'b0 & take & in_last_i & over",
            &[],
        ),
        (
            "last_q <= flush_q | (in_last_i & !over)",
            "last_q <= flush_q | in_last_i",
            &[],
        ),
        ("held_q <= over ? ", "held_q <= !over ? ", &[]),
    ];
    all_caught("line_compactor", 1, &faults);
    let compactor = block().compactor();
    for (from, to, _) in faults {
        let design = faulty(&compactor, "spatten_line_compactor", from, to);
        let outcome = testbenches::line_compactor::check(&compactor, &design, &options());
        caught(outcome, &["stream `out`", "sequence", "line"]);
    }
}

#[test]
fn head_magnitude_that_misses_rounding_sign_or_saturation_is_caught() {
    let faults: [Fault; 6] = [
        ("shifted_q + 53'd1", "shifted_q + 53'd0", PLACE),
        ("word_data_i[23] ? ", "1'b0 ? ", PLACE),
        ("(|rounded[52:41])", "(&rounded[52:41])", PLACE),
        // The carry between the products.
        ("{18'd0, low[33:18]}", "{18'd0, low[33:18] & 16'd1}", PLACE),
        // The magnitude of the head before, and a job's last line that is not full.
        (
            "summed_end_q ? 36'd0",
            "(summed_end_q & head_q[0]) ? 36'd0",
            PLACE,
        ),
        ("? held0_q : 40'd0", "? (held0_q ^ 40'd1) : 40'd0", PLACE),
    ];
    all_caught("head_magnitude", 1, &faults);
    let magnitude = block().head_magnitude();
    for (from, to, _) in faults {
        let design = faulty(&magnitude, "spatten_head_magnitude", from, to);
        let outcome = testbenches::head_magnitude::check(&magnitude, &design, &options());
        caught(outcome, &["stream `out`", "job", "line", "lane"]);
    }
}

#[test]
fn score_set_that_misses_scores_on_their_way_to_the_memory_is_caught() {
    let faults: [Fault; 6] = [
        (
            "one_ago_q <= valid3_q",
            "one_ago_q <= 1'b0 & valid3_q",
            PLACE,
        ),
        // The memory is read where it is written, and handed out before the last sums are there.
        (
            "enter & !(valid4_q",
            "enter & !(1'b0 & valid4_q",
            &["one address is written and read in one cycle"],
        ),
        ("(drain & !adding)", "(drain | (drain & !adding))", &[]),
        (
            "two_ago_q <= valid3_q",
            "two_ago_q <= 1'b0 & valid3_q",
            PLACE,
        ),
        (
            "three_ago_q <= valid4_q",
            "three_ago_q <= 1'b0 & valid4_q",
            PLACE,
        ),
        (
            "four_ago_q <= valid5_q",
            "four_ago_q <= 1'b0 & valid5_q",
            PLACE,
        ),
    ];
    all_caught("score_set_w36", 3, &faults);
}

#[test]
fn score_set_that_loses_a_carry_or_that_a_score_has_overflowed_is_caught() {
    all_caught(
        "score_set_w36",
        1,
        &[("low0[18] ? ", "(low0[18] & 1'b0) ? ", PLACE)],
    );
    let faults: [Fault; 2] = [
        (
            "stored0[40] | carried0[20]",
            "(stored0[40] & 1'b0) | carried0[20]",
            PLACE,
        ),
        (
            "(spilled0[39:0] | {40{spilled0[40]}})",
            "(spilled0[39:0] | {40{spilled0[40] & 1'b0}})",
            PLACE,
        ),
    ];
    all_caught("score_set_w40", 2, &faults);
}

#[test]
fn score_set_that_ignores_pins_or_keeps_ids_and_places_of_the_selection_before_is_caught() {
    let faults: [Fault; 7] = [
        (
            "pin_data_i[1]",
            "pin_data_i[1] & 1'b0",
            &["job", "line", "lane"],
        ),
        // The survivors' last line, while scores are still handed out.
        ("(read & select_q & !kept_last_i)", "(read & select_q)", &[]),
        (
            ".write_enable_i  (start | keep_write)",
            ".write_enable_i  (start)",
            &["job", "line"],
        ),
        // The walk over the lines: its line, how many elements are left, the ids.
        ("walk_line_q <= walk_last ? ", "walk_line_q <= 1'b0 ? ", &[]),
        ("(accept | walk_last) ? ", "accept ? ", &[]),
        ("(id_q + 4'd2)", "(id_q + 4'd0)", &["job", "line"]),
        // Where survivors go.
        (
            "keep_line_q <= kept_last_i ? ",
            "keep_line_q <= 1'b0 ? ",
            &[],
        ),
    ];
    all_caught("score_set_w36", 3, &faults);
}

#[test]
fn score_contexts_that_take_the_wrong_sequence_or_send_a_line_twice_are_caught() {
    let faults: [Fault; 4] = [
        (
            "second = line_order_out_data[2]",
            "second = !line_order_out_data[2]",
            &[],
        ),
        (
            "pin_order_out_data ? context1_pin_last",
            "!pin_order_out_data ? context1_pin_last",
            &[],
        ),
        // Jobs and what follows them, of both sequences in one context.
        (
            "context0_kept_ready;\n  wire kept_to1 = kept_order_out_valid & kept_order_out_data",
            "context0_kept_ready;\n  wire kept_to1 = kept_order_out_valid & !kept_order_out_data",
            &[],
        ),
        (
            "score_valid_o = line_fork_out1_valid",
            "score_valid_o = (line_fork_out1_valid | offered)",
            &[],
        ),
    ];
    all_caught("score_contexts_w36", 2, &faults);
}

#[test]
fn importance_that_selects_heads_before_tokens_or_ranks_pinned_ones_is_caught() {
    let faults: [Fault; 4] = [
        ("heads_turn_q <= 1'b0;", "heads_turn_q <= 1'b1;", &[]),
        (
            "(order_in_ready),\n    .in_data_i   (heads_turn_q)",
            "(order_in_ready),\n    .in_data_i   (!heads_turn_q)",
            &[],
        ),
        (
            "token_payload0[4] & token_scores_line_live[0]",
            "1'b0",
            PLACE,
        ),
        (
            "{token_survivor1[43:40], token_survivor0[43:40]}",
            "{token_survivor0[43:40], token_survivor1[43:40]}",
            PLACE,
        ),
    ];
    all_caught("importance", 3, &faults);
}
