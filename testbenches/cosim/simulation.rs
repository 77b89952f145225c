//! A running simulation: ports of every width, clock, reset, traces, speed.

use std::path::Path;
use std::time::Instant;

use num_bigint::BigUint;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::cosim::{CosimError, Design, Simulator, Source, Tracing, Verilator};

use super::{counter, design};

fn widths() -> Design {
    let ports = [
        "clk_i",
        "rst_ni",
        "byte_i:8",
        "half_i:9",
        "word_i:17",
        "double_i:33",
        "full_i:64",
        "wide_i:65",
        "byte_o:8",
        "half_o:9",
        "word_o:17",
        "double_o:33",
        "full_o:64",
        "wide_o:65",
        "seen_o",
    ];
    design("widths", include_str!("widths.v"), &ports, false)
}

fn simulate(design: &Design) -> Simulator {
    Verilator::default()
        .build(design, Tracing::Off)
        .unwrap()
        .start(1)
        .unwrap()
}

#[test]
fn counts_and_resets_between_edges() {
    let mut simulator = simulate(&counter());
    let (count, value) = (simulator.port("count_i"), simulator.port("count_o"));
    simulator.reset(2).unwrap();
    simulator.set(count, 1);
    for expected in 1..=5000 {
        simulator.tick().unwrap();
        assert_eq!(simulator.get(value), expected % 4096);
    }
    assert_eq!(simulator.cycle(), 5002);
    simulator.set_reset(true).unwrap();
    assert_eq!(simulator.get(value), 0, "reset acts without a clock edge");
    simulator.tick().unwrap();
    assert_eq!(simulator.get(value), 0, "reset holds");
    simulator.set_reset(false).unwrap();
    simulator.tick().unwrap();
    assert_eq!(simulator.get(value), 1);
}

#[test]
fn passes_wide_values_whole() {
    let ports = ["data_i:200", "data_o:200"];
    let mut simulator = simulate(&design(
        "wide_pass",
        include_str!("wide_pass.v"),
        &ports,
        true,
    ));
    let (input, output) = (simulator.port("data_i"), simulator.port("data_o"));
    let ones: BigUint = (BigUint::from(1u8) << 200) - 1u8;
    for value in [
        BigUint::ZERO,
        ones.clone(),
        BigUint::from(1u8) << 199,
        BigUint::from(u64::MAX) << 63,
    ] {
        simulator.set_big(input, &value);
        simulator.settle().unwrap();
        assert_eq!(simulator.get_big(output), &ones - value);
    }
    simulator.set(input, 5);
    simulator.settle().unwrap();
    assert_eq!(
        simulator.get_big(output),
        &ones - 5u8,
        "a short value clears the upper words"
    );
}

#[test]
fn every_storage_class_carries_its_extreme_values() {
    let mut simulator = simulate(&widths());
    simulator.reset(1).unwrap();
    for (name, width) in [
        ("byte", 8),
        ("half", 9),
        ("word", 17),
        ("double", 33),
        ("full", 64),
        ("wide", 65),
    ] {
        let (input, output) = (
            simulator.port(&format!("{name}_i")),
            simulator.port(&format!("{name}_o")),
        );
        let top: BigUint = BigUint::from(1u8) << (width - 1);
        for value in [
            BigUint::ZERO,
            BigUint::from(1u8),
            top.clone(),
            &top * 2u8 - 1u8,
        ] {
            simulator.set_big(input, &value);
            simulator.tick().unwrap();
            assert_eq!(simulator.get_big(output), value, "{name}");
        }
        if width <= 64 {
            simulator.set_signed(input, -1);
            simulator.tick().unwrap();
            assert_eq!(simulator.get_signed(output), -1, "{name}");
        }
    }
}

#[test]
#[should_panic(expected = "0x1000 does not fit the 1 bits of count_i")]
fn refuses_a_value_wider_than_its_port() {
    let mut simulator = simulate(&counter());
    let count = simulator.port("count_i");
    simulator.set(count, 0x1000);
}

#[test]
fn registers_without_reset_start_at_random_bits_of_the_seed() {
    let build = Verilator::default().build(&widths(), Tracing::Off).unwrap();
    let powered_up = |seed| {
        let simulator = build.start(seed).unwrap();
        simulator.get(simulator.port("full_o"))
    };
    assert_eq!(powered_up(1), powered_up(1));
    assert_ne!(powered_up(1), powered_up(2));
    assert_ne!(powered_up(0), 0);
}

#[test]
fn an_error_task_in_the_verilog_becomes_an_error_value() {
    let ports = ["clk_i", "rst_ni", "bite_i", "bitten_o"];
    let mut simulator = simulate(&design(
        "watchdog",
        include_str!("watchdog.v"),
        &ports,
        false,
    ));
    let bite = simulator.port("bite_i");
    simulator.reset(3).unwrap();
    simulator.tick().unwrap();
    simulator.set(bite, 1);
    let stopped = simulator.tick().unwrap_err();
    assert_eq!(stopped.cycle, 4);
    assert!(
        stopped.message.contains("the dog bites at level 42"),
        "{stopped}"
    );
    assert!(stopped.message.contains("watchdog.v:12"), "{stopped}");
    simulator.set(bite, 0);
    assert!(simulator.tick().is_err(), "a stopped design stays stopped");
}

#[test]
fn a_traced_simulation_writes_an_fst_file() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("counter.fst");
    let build = Verilator::default()
        .build(&counter(), Tracing::Fst)
        .unwrap();
    let mut simulator = build.start_traced(1, &trace).unwrap();
    let (count, value) = (simulator.port("count_i"), simulator.port("count_o"));
    simulator.reset(2).unwrap();
    simulator.set(count, 1);
    for _ in 0..100 {
        simulator.tick().unwrap();
    }
    assert_eq!(simulator.get(value), 100);
    drop(simulator);
    let bytes = std::fs::read(&trace).unwrap();
    // An FST file opens with a header block: type 0, then its length, 329, as a big-endian 64-bit number.
    assert_eq!(bytes[..9], [0, 0, 0, 0, 0, 0, 0, 1, 73]);
    // The header goes on with the first and the last time; a cycle is ten time steps.
    let time = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((time(9), time(17)), (0, 1020));

    let error = build
        .start_traced(1, Path::new("/nonexistent/counter.fst"))
        .unwrap_err();
    assert!(matches!(error, CosimError::Trace { .. }), "{error}");
}

#[test]
fn two_simulations_of_one_build_are_independent() {
    let build = Verilator::default()
        .build(&counter(), Tracing::Off)
        .unwrap();
    let (mut a, mut b) = (build.start(1).unwrap(), build.start(1).unwrap());
    let (count, value) = (a.port("count_i"), a.port("count_o"));
    a.reset(1).unwrap();
    b.reset(1).unwrap();
    a.set(count, 1);
    for _ in 0..3 {
        a.tick().unwrap();
        b.tick().unwrap();
    }
    let moved = std::thread::spawn(move || a.get(value)).join().unwrap();
    assert_eq!((moved, b.get(value)), (3, 0));
}

#[test]
fn prints_the_speed_of_a_small_design() {
    const CYCLES: u64 = 2_000_000;
    let mut simulator = simulate(&counter());
    let (count, value) = (simulator.port("count_i"), simulator.port("count_o"));
    simulator.reset(2).unwrap();
    let started = Instant::now();
    let mut sum = 0;
    for cycle in 0..CYCLES {
        simulator.set(count, cycle & 1);
        simulator.settle().unwrap();
        simulator.tick().unwrap();
        sum += simulator.get(value);
    }
    let speed = CYCLES as f64 / started.elapsed().as_secs_f64() / 1e6;
    println!("counter: {speed:.1} million cycles/s");
    assert_eq!(simulator.get(value), CYCLES / 2 % 4096);
    assert!(sum > CYCLES);
}

#[test]
fn computes_and_prints_the_speed_of_512_multipliers() {
    const LATENCY: usize = 11;
    const CYCLES: usize = 20_000;
    let mut design = design(
        "dot512",
        include_str!("dot512.v"),
        &["clk_i", "a_i:6144", "b_i:6144", "sum_o:33"],
        false,
    );
    for (file, text) in [
        ("element.v", include_str!("element.v")),
        ("multiplier.v", include_str!("multiplier.v")),
        ("adder.v", include_str!("adder.v")),
    ] {
        design.sources.push(Source {
            file: file.into(),
            text: text.into(),
        });
    }
    let started = Instant::now();
    let build = Verilator::default().build(&design, Tracing::Off).unwrap();
    let from = if build.was_cached() { "found" } else { "built" };
    println!("dot512: {from} in {:.1} s", started.elapsed().as_secs_f64());

    let mut simulator = build.start(1).unwrap();
    let (a, b, sum) = (
        simulator.port("a_i"),
        simulator.port("b_i"),
        simulator.port("sum_o"),
    );
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let vectors: Vec<[i64; 512]> = (0..64)
        .map(|_| std::array::from_fn(|_| random.random_range(-2048..2048)))
        .collect();
    let dot = |cycle: usize| -> i64 {
        let (a, b) = (&vectors[cycle % 64], &vectors[cycle / 64 % 64]);
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    };
    let started = Instant::now();
    for cycle in 0..CYCLES {
        simulator.set_lanes(a, 12, &vectors[cycle % 64]);
        simulator.set_lanes(b, 12, &vectors[cycle / 64 % 64]);
        simulator.tick().unwrap();
        if let Some(done) = (cycle + 1).checked_sub(LATENCY) {
            assert_eq!(simulator.get_signed(sum), dot(done), "cycle {cycle}");
        }
    }
    let speed = CYCLES as f64 / started.elapsed().as_secs_f64() / 1e3;
    println!("dot512: {speed:.0} thousand cycles/s");
}

#[test]
fn carries_a_port_of_the_widest_kind() {
    let text = "module widest (\n  input wire [99999:0] data_i,\n  output wire [99999:0] data_o\n);\n  \
                assign data_o = {data_i[0], data_i[99999:1]};\nendmodule\n";
    let mut simulator = simulate(&design(
        "widest",
        text,
        &["data_i:100000", "data_o:100000"],
        true,
    ));
    let (input, output) = (simulator.port("data_i"), simulator.port("data_o"));
    simulator.set_big(input, &BigUint::from(0b101u8));
    simulator.settle().unwrap();
    assert_eq!(
        simulator.get_big(output),
        (BigUint::from(1u8) << 99_999) + 2u8
    );
}
