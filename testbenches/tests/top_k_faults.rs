//! Top-k: many small selections; and faults put into the emitted Verilog of it and of the probabilities, which their
//! testbenches find.

use spatten::accelerator::importance::Probability;
use spatten::accelerator::top_k::{QuickSelect, TopK};
use spatten::testbenches::{self, Options};

use super::seeded::{caught, faulty, options};

/// Sixteen lanes like the published engine, on selections short enough to try many.
fn block() -> TopK {
    TopK {
        engine: QuickSelect {
            width: 12,
            lanes: 16,
            inputs: 8,
            max_keys: 128,
        },
        payload_bits: 7,
        keys_out: false,
        lines: 32,
    }
}

#[test]
fn a_hundred_thousand_selections_equal_the_golden_model() {
    let block = block();
    let design = testbenches::streams::design(&block);
    let many = Options {
        cases: 100_000,
        ..options()
    };
    let report = testbenches::top_k::check(&block, &design, &many).unwrap();
    println!("{report:#?}");
}

#[test]
fn top_k_that_keeps_or_drops_one_too_many_is_caught() {
    let block = block();
    for (module, from, to) in [
        // The engine: parts, ranks, pivots.
        (
            "spatten_quick_select",
            "rank_q <= over_total_q",
            "rank_q < over_total_q",
        ),
        (
            "spatten_quick_select",
            "rank_q > not_under_total_q",
            "rank_q >= not_under_total_q",
        ),
        (
            "spatten_quick_select",
            "under_count - local_after_q",
            "under_count + local_after_q",
        ),
        (
            "spatten_quick_select",
            "k_q <= selection_k_i",
            "k_q <= selection_k_i + 8'd1",
        ),
        // A part of more than a row that is taken for one.
        (
            "spatten_quick_select",
            "(|between[7:4]) & ",
            "1'b0 & (|between[7:4]) & ",
        ),
        // A part: the order and number of its keys.
        ("spatten_part", "total > 6'd16", "total > 6'd15"),
        // Rows: the end of a selection in the middle of a row.
        (
            "spatten_row_fill",
            "complete = step & (in_last_i | place_q)",
            "complete = step & place_q",
        ),
        // The filter: what lies on the threshold, and the first equal keys.
        (
            "spatten_filter",
            "(|undecided) | line_last_i",
            "line_last_i",
        ),
        (
            "spatten_filter",
            "over_q | pinned_q |",
            "over_q & pinned_q |",
        ),
    ] {
        println!("{module}: {from} -> {to}");
        let design = faulty(&block, module, from, to);
        let outcome = testbenches::top_k::check(&block, &design, &options());
        // A selection whose end is lost blocks the engine.
        let words = match module {
            "spatten_row_fill" => &["not done", "stream `out`"][..],
            _ => &["stream `out`", "selection", "line", "lane"],
        };
        caught(outcome, words);
    }
}

#[test]
fn probability_that_rounds_down_or_wraps_is_caught() {
    for (from, to) in [
        ("shifted_q + 34'd1", "shifted_q + 34'd0"),
        ("(|sum[33:17])", "(&sum[33:17])"),
        ("16'd0, e_i[5]}", "16'd0, 1'b0 & e_i[5]}"),
    ] {
        let design = faulty(&Probability, "spatten_probability", from, to);
        let outcome = testbenches::probability::check(&Probability, &design, &options());
        caught(outcome, &["port `p_o`", "word", "expected"]);
    }
}
