//! Co-simulation itself: builds and their cache, ports, clock and reset.

use std::path::{Path, PathBuf};
use std::time::Instant;

use num_bigint::BigUint;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::cosim::{CosimError, Design, Direction, Port, Simulator, Source, Tracing, Verilator};

/// A design of one file whose ports are written `name:width`, inputs ending in `_i` or `_ni`.
fn design(top: &str, text: &str, ports: &[&str], combinational: bool) -> Design {
    let ports = ports
        .iter()
        .map(|port| {
            let (name, width) = port.split_once(':').unwrap_or((port, "1"));
            let direction = if name.ends_with('i') {
                Direction::In
            } else {
                Direction::Out
            };
            Port {
                name: name.into(),
                width: width.parse().unwrap(),
                direction,
            }
        })
        .collect();
    let sources = vec![Source {
        file: format!("{top}.v"),
        text: text.into(),
    }];
    Design {
        top: top.into(),
        sources,
        ports,
        combinational,
    }
}

fn counter() -> Design {
    let ports = ["clk_i", "rst_ni", "count_i", "count_o:12"];
    design("counter", include_str!("cosim/counter.v"), &ports, false)
}

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
    design("widths", include_str!("cosim/widths.v"), &ports, false)
}

fn simulate(design: &Design) -> Simulator {
    Verilator::default()
        .build(design, Tracing::Off)
        .unwrap()
        .start(1)
        .unwrap()
}

/// A folder of builds that holds nothing but Verilator's compiled library.
fn fresh_cache() -> (tempfile::TempDir, Verilator) {
    let shared = Verilator::default();
    shared.build(&counter(), Tracing::Off).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&shared.cache).unwrap() {
        let entry = entry.unwrap();
        let is_runtime = entry.file_name().to_string_lossy().starts_with("runtime-");
        if is_runtime && entry.path().is_dir() {
            std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name()))
                .unwrap();
        }
    }
    let verilator = Verilator {
        cache: folder.path().to_owned(),
        ..Verilator::default()
    };
    (folder, verilator)
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
        include_str!("cosim/wide_pass.v"),
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
        include_str!("cosim/watchdog.v"),
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
fn a_syntax_error_reports_the_command_and_its_last_lines() {
    let mut broken = counter();
    broken.sources[0].text.push_str("module ;\n");
    let (cache, verilator) = fresh_cache();
    let error = verilator.build(&broken, Tracing::Off).unwrap_err();
    let CosimError::ToolFailed {
        command, output, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(command.starts_with("verilator --cc"), "{command}");
    assert!(
        output.contains("counter.v:15") && output.contains("syntax error"),
        "{output}"
    );
    assert!(
        !holds_a_build(cache.path()),
        "nothing half-made stays behind"
    );
}

#[test]
fn a_lint_warning_fails_the_build() {
    let mut sloppy = counter();
    sloppy.sources[0].text = sloppy.sources[0]
        .text
        .replace("count_q + 12'd1", "count_q + 13'd1");
    let error = Verilator::default()
        .build(&sloppy, Tracing::Off)
        .unwrap_err();
    assert!(error.to_string().contains("%Warning-WIDTH"), "{error}");
}

#[test]
fn a_missing_tool_is_named() {
    let nowhere = PathBuf::from("/nonexistent/verilator");
    let verilator = Verilator {
        program: nowhere.clone(),
        ..Verilator::default()
    };
    let error = verilator.build(&counter(), Tracing::Off).unwrap_err();
    assert!(
        matches!(&error, CosimError::ToolMissing { tool, .. } if *tool == nowhere),
        "{error}"
    );
    let nowhere = PathBuf::from("/nonexistent/g++");
    let verilator = Verilator {
        compiler: nowhere.clone(),
        ..Verilator::default()
    };
    let error = verilator.build(&counter(), Tracing::Off).unwrap_err();
    assert!(
        matches!(&error, CosimError::ToolMissing { tool, .. } if *tool == nowhere),
        "{error}"
    );
}

#[test]
fn an_unwritable_cache_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let verilator = Verilator {
        cache: file.path().join("below_a_file"),
        ..Verilator::default()
    };
    let error = verilator.build(&counter(), Tracing::Off).unwrap_err();
    assert!(matches!(error, CosimError::Cache { .. }), "{error}");
    assert!(error.to_string().contains("SPATTEN_CACHE"), "{error}");
}

#[test]
fn a_damaged_build_is_an_error() {
    let (_cache, verilator) = fresh_cache();
    let build = verilator.build(&counter(), Tracing::Off).unwrap();
    std::fs::write(build.library(), "no shared object").unwrap();
    let error = verilator
        .build(&counter(), Tracing::Off)
        .unwrap()
        .start(1)
        .unwrap_err();
    assert!(matches!(error, CosimError::Load { .. }), "{error}");
}

#[test]
fn a_port_list_that_contradicts_the_verilog_is_refused() {
    let build = |change: fn(&mut Design)| {
        let mut design = counter();
        change(&mut design);
        Verilator::default()
            .build(&design, Tracing::Off)
            .unwrap_err()
            .to_string()
    };
    let error = build(|design| design.ports[3].width = 13);
    assert!(
        error.contains("`count_o` is Out of 13 bits") && error.contains("[11,0]"),
        "{error}"
    );
    let error = build(|design| design.ports[2].direction = Direction::Out);
    assert!(error.contains("`count_i` is Out of 1 bits"), "{error}");
    let error = build(|design| design.ports[2].name = "other_i".into());
    assert!(error.contains("no port `other_i`"), "{error}");
    let error = build(|design| design.ports.truncate(3));
    assert!(
        error.contains("`count_o` is not in the port list"),
        "{error}"
    );
    let error = build(|design| drop(design.ports.remove(0)));
    assert!(error.contains("needs clk_i"), "{error}");
    let error = build(|design| design.sources[0].file = "../counter.v".into());
    assert!(error.contains("../counter.v"), "{error}");
}

#[test]
fn a_second_build_comes_from_the_cache_and_a_changed_one_does_not() {
    let (_cache, verilator) = fresh_cache();
    let first = verilator.build(&counter(), Tracing::Off).unwrap();
    let made = std::fs::metadata(first.library())
        .unwrap()
        .modified()
        .unwrap();
    let second = verilator.build(&counter(), Tracing::Off).unwrap();
    assert!(!first.was_cached() && second.was_cached());
    assert_eq!(first.library(), second.library());
    assert_eq!(
        std::fs::metadata(second.library())
            .unwrap()
            .modified()
            .unwrap(),
        made
    );
    let mut changed = counter();
    changed.sources[0].text = changed.sources[0].text.replace("12'd1", "12'd2");
    let third = verilator.build(&changed, Tracing::Off).unwrap();
    assert!(!third.was_cached());
    assert_ne!(third.library(), first.library());
}

#[test]
fn threads_that_want_one_design_build_it_once() {
    let (_cache, verilator) = fresh_cache();
    let built: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let build = verilator.build(&counter(), Tracing::Off).unwrap();
                    build.start(1).unwrap().reset(1).unwrap();
                    !build.was_cached()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(built.iter().filter(|&&built| built).count(), 1, "{built:?}");
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

/// Whether a folder of builds holds a finished one or the scratch folder of one.
fn holds_a_build(cache: &Path) -> bool {
    std::fs::read_dir(cache).unwrap().any(|entry| {
        let name = entry.unwrap().file_name();
        let name = name.to_string_lossy();
        name.ends_with(".so") || name.starts_with(".building")
    })
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
        include_str!("cosim/dot512.v"),
        &["clk_i", "a_i:6144", "b_i:6144", "sum_o:33"],
        false,
    );
    for (file, text) in [
        ("element.v", include_str!("cosim/element.v")),
        ("multiplier.v", include_str!("cosim/multiplier.v")),
        ("adder.v", include_str!("cosim/adder.v")),
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
