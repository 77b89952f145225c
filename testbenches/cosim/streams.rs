//! Stream drivers and monitors, on a register stage that is right and on copies of it with one fault each.

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::cells::spill_register::SpillRegister;
use spatten::cosim::{
    Bench, BenchError, Design, Fault, Field, Rule, SinkId, SourceId, Stalls, Tracing, Verilator,
};
use spatten::hdl::elaborate;

use super::design;

const LATENCY: u64 = 1;

fn fields() -> [Field; 3] {
    [
        Field::unsigned("id", 5),
        Field::signed("data", 12).lanes(3),
        Field::unsigned("last", 1),
    ]
}

/// The register stage, with one piece of its Verilog replaced.
fn stage(from: &str, to: &str) -> Design {
    let text = include_str!("skid.v");
    assert!(text.contains(from));
    let ports = [
        "clk_i",
        "rst_ni",
        "in_valid_i",
        "in_ready_o",
        "in_id_i:5",
        "in_data_i:36",
        "in_last_i",
        "out_valid_o",
        "out_ready_i",
        "out_id_o:5",
        "out_data_o:36",
        "out_last_o",
    ];
    design("skid", &text.replace(from, to), &ports, false)
}

struct Stage {
    bench: Bench,
    input: SourceId,
    output: SinkId,
}

fn attach(design: &Design, seed: u64) -> Stage {
    let simulator = Verilator::default()
        .build(design, Tracing::Off)
        .unwrap()
        .start(seed)
        .unwrap();
    let mut bench = Bench::new(simulator, seed);
    let input = bench.source("in", &fields());
    let output = bench.sink("out", &fields());
    Stage {
        bench,
        input,
        output,
    }
}

/// Random words of id, three lanes and last.
fn words(count: usize, seed: u64) -> Vec<[i64; 5]> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut lane = || random.random_range(-2048..2048);
    let lanes: Vec<[i64; 3]> = (0..count).map(|_| [lane(), lane(), lane()]).collect();
    lanes
        .iter()
        .enumerate()
        .map(|(n, l)| [n as i64 % 32, l[0], l[1], l[2], i64::from(n % 7 == 6)])
        .collect()
}

/// Runs `design` with stalls on both sides and returns what is found wrong with it.
fn fault_of(design: &Design, combinational: bool) -> Fault {
    *failure_of(design, combinational).fault
}

fn failure_of(design: &Design, combinational: bool) -> BenchError {
    let mut stage = attach(
        &Design {
            combinational,
            ..design.clone()
        },
        3,
    );
    stage.bench.stall_source(stage.input, Stalls::random(0.2));
    stage.bench.stall_sink(stage.output, Stalls::bursts(0.3, 4));
    run(&mut stage, 300).unwrap_err()
}

fn run(stage: &mut Stage, count: usize) -> Result<(), BenchError> {
    stage.bench.reset(2)?;
    stage.bench.send(stage.input, words(count, 11));
    stage.bench.expect(stage.output, words(count, 11));
    stage.bench.run(20 * count as u64 + 100)?;
    stage.bench.run_for(10)
}

#[test]
fn the_stage_has_its_latency_and_takes_a_word_every_cycle() {
    let mut stage = attach(&stage("", ""), 1);
    run(&mut stage, 1000).unwrap();
    let (sent, got) = (
        stage.bench.source_cycles(stage.input),
        stage.bench.sink_cycles(stage.output),
    );
    assert_eq!((sent.len(), got.len()), (1000, 1000));
    assert!(
        sent.iter()
            .zip(got)
            .all(|(sent, got)| got - sent == LATENCY)
    );
    assert_eq!(got[999] - got[0], 999);
}

#[test]
fn no_word_is_lost_whatever_the_stalls() {
    for seed in 0..20 {
        let mut stage = attach(&stage("", ""), seed);
        let share = seed as f64 / 25.0;
        stage
            .bench
            .stall_source(stage.input, Stalls::bursts(share, 1 + seed as u32 % 5));
        stage
            .bench
            .stall_sink(stage.output, Stalls::random(0.8 * (1.0 - share)));
        run(&mut stage, 1000).unwrap();
    }
}

#[test]
fn a_reset_in_mid_stream_forgets_the_words_under_way() {
    let mut stage = attach(&stage("", ""), 9);
    stage.bench.stall_sink(stage.output, Stalls::random(0.5));
    for round in 0..10 {
        stage.bench.reset(1).unwrap();
        stage.bench.send(stage.input, words(50, round));
        stage.bench.expect(stage.output, words(50, round));
        stage.bench.run_for(10 + round).unwrap();
        assert!(stage.bench.sink_cycles(stage.output).len() < 50);
    }
    run(&mut stage, 100).unwrap();
    assert_eq!(stage.bench.sink_cycles(stage.output).len(), 100);
}

#[test]
fn words_can_be_collected_instead_of_compared() {
    let mut stage = attach(&stage("", ""), 2);
    stage.bench.reset(2).unwrap();
    stage.bench.send(stage.input, words(30, 4));
    stage.bench.expect(stage.output, &words(30, 4)[..10]);
    stage.bench.collect(stage.output, 20);
    stage.bench.run(100).unwrap();
    assert_eq!(
        stage.bench.collected(stage.output),
        words(30, 4)[10..].concat()
    );
}

#[test]
fn a_wrong_value_names_its_stream_word_field_lane_and_meaning() {
    let mut stage = attach(&stage("", ""), 6);
    stage.bench.explain(stage.output, |place| {
        format!("token {}, head {}", place.word / 2, place.lane)
    });
    stage.bench.reset(2).unwrap();
    stage.bench.send(stage.input, words(20, 8));
    let mut golden = words(20, 8);
    golden[13][2] ^= 1;
    let (expected, got) = (golden[13][2], golden[13][2] ^ 1);
    stage.bench.expect(stage.output, golden);
    let error = stage.bench.run(100).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "skid (seed 6): stream `out`, cycle 16, word 13, field `data`, lane 1 (token 6, head 1): \
             expected {expected}, got {got}"
        )
    );
}

#[test]
fn a_word_too_many_is_found() {
    let mut stage = attach(&stage("", ""), 6);
    stage.bench.reset(2).unwrap();
    stage.bench.send(stage.input, words(20, 8));
    stage.bench.expect(stage.output, &words(20, 8)[..19]);
    let error = stage
        .bench
        .run(100)
        .and_then(|()| stage.bench.run_for(5))
        .unwrap_err();
    assert!(
        matches!(*error.fault, Fault::Surplus { word: 19, .. }),
        "{error}"
    );
}

#[test]
fn a_stuck_stream_is_named() {
    let deaf = stage(
        "assign in_ready_o = !spare_full_q",
        "assign in_ready_o = !spare_full_q & !word_q[36]",
    );
    let message = failure_of(&deaf, false).to_string();
    assert!(message.contains("not done after 6100 cycles"), "{message}");
    assert!(
        message.contains("stream `in` moved")
            && message.contains("of 300 words (valid 1, ready 0)"),
        "{message}"
    );
    assert!(message.contains("stream `out` moved"), "{message}");
}

#[test]
fn a_valid_that_falls_is_found() {
    let fault = fault_of(
        &stage(
            "assign out_valid_o = full_q",
            "assign out_valid_o = full_q & (out_ready_q | !spare_full_q); reg out_ready_q; always @(posedge clk_i) out_ready_q <= out_ready_i",
        ),
        false,
    );
    assert!(
        matches!(&fault, Fault::Protocol { rule: Rule::ValidFell, stream, .. } if stream == "out"),
        "{fault}"
    );
}

#[test]
fn a_payload_that_changes_is_found() {
    let fault = fault_of(
        &stage("if (room) word_q", "if (room | (take & word_q[0])) word_q"),
        false,
    );
    let Fault::Protocol {
        rule: Rule::PayloadChanged { field, .. },
        ..
    } = &fault
    else {
        panic!("{fault}")
    };
    assert_eq!(field, "id");
}

#[test]
fn a_valid_that_waits_for_ready_is_found() {
    let waiting = stage(
        "assign out_valid_o = full_q",
        "assign out_valid_o = full_q & out_ready_i",
    );
    let fault = fault_of(&waiting, true);
    assert!(
        matches!(
            fault,
            Fault::Protocol {
                rule: Rule::OfferFollowsReady,
                ..
            }
        ),
        "{fault}"
    );
}

#[test]
fn a_payload_that_depends_on_ready_is_found() {
    let fault = fault_of(
        &stage(
            "out_data_o} = word_q",
            "out_data_o} = word_q & {42{out_ready_i}}",
        ),
        true,
    );
    assert!(
        matches!(
            fault,
            Fault::Protocol {
                rule: Rule::OfferFollowsReady,
                ..
            }
        ),
        "{fault}"
    );
}

#[test]
fn an_unmarked_combinational_path_is_found() {
    let fault = fault_of(
        &stage(
            "in_ready_o = !spare_full_q",
            "in_ready_o = !spare_full_q | out_ready_i",
        ),
        false,
    );
    assert!(
        matches!(&fault, Fault::Combinational { port, .. } if port == "in_ready_o"),
        "{fault}"
    );
}

#[test]
fn a_valid_during_reset_is_found() {
    let fault = fault_of(
        &stage(
            "full_q <= 1'b0;\n      spare",
            "full_q <= 1'b1;\n      spare",
        ),
        false,
    );
    assert!(
        matches!(
            fault,
            Fault::Protocol {
                rule: Rule::ValidInReset,
                ..
            }
        ),
        "{fault}"
    );
}

#[test]
fn a_lost_a_doubled_and_an_unwanted_word_are_found() {
    for (from, to) in [
        ("if (take) spare_q", "if (take & !spare_q[36]) spare_q"),
        (
            "wire take = in_valid_i & in_ready_o",
            "wire take = in_valid_i",
        ),
        (
            "full_q <= take | spare_full_q",
            "full_q <= take | spare_full_q | (full_q & word_q[41])",
        ),
        (
            "full_q <= take | spare_full_q",
            "full_q <= in_valid_i | !word[36]",
        ),
    ] {
        let fault = fault_of(&stage(from, to), false);
        assert!(matches!(fault, Fault::Mismatch { .. }), "{to}: {fault}");
    }
}

#[test]
#[should_panic(expected = "stream `in`: 2048 does not fit")]
fn a_value_that_does_not_fit_its_field_is_refused() {
    let mut stage = attach(&stage("", ""), 1);
    stage.bench.send(stage.input, [[0, 2048, 0, 0, 0]]);
}

#[test]
#[should_panic(expected = "in_data_i has 36 bits")]
fn a_field_of_another_width_than_its_port_is_refused() {
    let design = stage("", "");
    let simulator = Verilator::default()
        .build(&design, Tracing::Off)
        .unwrap()
        .start(1)
        .unwrap();
    Bench::new(simulator, 1).source("in", &[Field::signed("data", 12).lanes(2)]);
}

#[test]
fn a_described_block_runs_on_the_bench() {
    let module = elaborate(&SpillRegister { width: 70 });
    let build = Verilator::default()
        .build(&Design::from(&module), Tracing::Off)
        .unwrap();
    let mut bench = Bench::new(build.start(4).unwrap(), 4);
    let data = [Field::signed("data", 35).lanes(2)];
    let input = bench.source("in", &data);
    let output = bench.sink("out", &data);
    bench.stall_sink(output, Stalls::random(0.5));
    bench.reset(2).unwrap();
    let words: Vec<[i64; 2]> = (0..500).map(|n| [n << 25, -n << 25]).collect();
    bench.send(input, &words);
    bench.expect(output, &words);
    bench.run(5000).unwrap();
    let latency = bench.sink_cycles(output)[0] - bench.source_cycles(input)[0];
    assert!(latency >= SpillRegister::LATENCY);
}

#[test]
fn prints_the_speed_of_a_bench() {
    const WORDS: usize = 200_000;
    let mut stage = attach(&stage("", ""), 1);
    let started = Instant::now();
    run(&mut stage, WORDS).unwrap();
    let speed = WORDS as f64 / started.elapsed().as_secs_f64() / 1e6;
    println!("skid: {speed:.1} million compared words/s");
}
