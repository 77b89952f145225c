//! Faults that the bench of fixed-latency pipelines must find.

use spatten::cells::adder_tree::{AdderTree, golden};
use spatten::hdl::Ty;
use spatten::testbenches::pipeline::{self, Pipeline, lanes, word};
use spatten::testbenches::{BenchError, Options};

const OPTIONS: Options = Options {
    cases: 10_000,
    seed: 2,
    trace: None,
};

/// A tree of five lanes with a choice between pairs and all.
fn tree() -> Pipeline {
    tree_registered_every(2)
}

fn tree_registered_every(levels_per_stage: usize) -> Pipeline {
    let tree = AdderTree {
        lanes: 5,
        term: Ty::signed(6),
        levels_per_stage,
        result_levels: vec![1, 3],
    };
    let model = tree.clone();
    Pipeline {
        latency: tree.latency(),
        inputs: vec![
            lanes("terms", tree.term, tree.lanes),
            word("select", Ty::unsigned(1)),
        ],
        outputs: vec![lanes("sums", tree.sum(), tree.results())],
        golden: Box::new(move |inputs| golden(&model, &inputs[..5], inputs[5] as usize)),
        corners: vec![],
        block: Box::new(tree),
    }
}

fn fault(pipelines: &[Pipeline]) -> String {
    match pipeline::run("faults", pipelines, &OPTIONS) {
        Err(BenchError::Mismatch(message)) => message,
        other => panic!("the fault was not found: {other:?}"),
    }
}

#[test]
fn a_sound_tree_passes() {
    let report = pipeline::run("faults", &[tree()], &OPTIONS).unwrap();
    assert_eq!(report.notes.len(), 1);
    assert!(report.notes[0].ends_with("latency 2 cycles, interval 1 cycle"));
}

#[test]
fn a_latency_documented_one_cycle_short_is_found() {
    let mut tree = tree();
    tree.latency -= 1;
    let message = fault(&[tree]);
    assert!(message.contains("should be 1 cycles"), "{message}");
    assert!(message.contains("fit at [2]"), "{message}");
}

#[test]
fn a_golden_model_that_is_wrong_for_one_choice_in_one_lane_is_found() {
    let mut tree = tree();
    let golden = tree.golden;
    // Rare enough to pass the words that measure the latency.
    tree.golden = Box::new(move |inputs| {
        let mut sums = golden(inputs);
        let is_rare = inputs[5] == 0 && inputs[..5].iter().all(|&term| term < -15);
        sums[2] += i64::from(is_rare);
        sums
    });
    let message = fault(&[tree]);
    assert!(
        message.contains("output sums, lane 2: expected"),
        "{message}"
    );
    assert!(message.contains("(seed 2)"), "{message}");
}

#[test]
fn an_operator_changed_in_the_verilog_is_found() {
    let pipelines = [tree()];
    let mut design = pipeline::design("faults", &pipelines);
    let mut changed = 0;
    for source in &mut design.sources {
        let text = source
            .text
            .replace("level3_q <= level3;", "level3_q <= ~level3;");
        changed += usize::from(text != source.text);
        source.text = text;
    }
    assert_eq!(changed, 1, "the text to change is there once");
    let found = pipeline::run_design(&design, &pipelines, &OPTIONS);
    assert!(matches!(found, Err(BenchError::Mismatch(_))), "{found:?}");
}

#[test]
fn a_valid_flag_that_outlives_a_short_reset_is_found() {
    let pipelines = [tree_registered_every(1)];
    let mut design = pipeline::design("faults", &pipelines);
    let mut changed = 0;
    for source in &mut design.sources {
        // Shifts in zeros: the two cycles of reset at the start are long enough to clear it, the one later is not.
        let text = source
            .text
            .replace("valid_q <= 3'd0;", "valid_q <= {valid_q[1:0], 1'b0};");
        changed += usize::from(text != source.text);
        source.text = text;
    }
    assert_eq!(changed, 1, "the text to change is there once");
    let Err(BenchError::Mismatch(message)) = pipeline::run_design(&design, &pipelines, &OPTIONS)
    else {
        panic!("the fault was not found");
    };
    assert!(message.contains("valid_o is high after reset"), "{message}");
}
