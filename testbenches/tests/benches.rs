//! Every block's testbench on the presets `tiny` and `odd`.

use spatten::config::Config;
use spatten::testbenches::memory_core::{refine_every_row, with_smallest_buffers};
use spatten::testbenches::{self, Options, Report};

/// Random words (or rows) of each block under the configuration, by itself.
const CASES: usize = 10_000;
const SEED: u64 = 1;

/// Runs the testbench called `name` on a preset.
fn passes(name: &str, preset: &str) -> Report {
    // Jobs of importance have more rows than words that leave.
    let cases = match name {
        "importance" => 2 * CASES,
        _ => CASES,
    };
    let report = run(name, preset, cases, SEED);
    // Whole stages run their corners, small designs beside the configuration's, on a tenth of the rows.
    let words = report.words_by_design();
    let enough = words[0] >= CASES as u64 && words.iter().all(|&words| words >= CASES as u64 / 10);
    assert!(enough, "{name} on {preset}: {report:?}");
    report
}

/// Runs the testbench called `name` on a preset; it must find nothing wrong.
fn run(name: &str, preset: &str, cases: usize, seed: u64) -> Report {
    let config = Config::load(preset, &[]).unwrap();
    let options = Options {
        cases,
        seed,
        trace: None,
    };
    let bench = testbenches::all()
        .into_iter()
        .find(|bench| bench.name == name)
        .unwrap_or_else(|| panic!("no testbench is called {name}"));
    let report = (bench.run)(&config, &options)
        .unwrap_or_else(|error| panic!("{name} on {preset}, seed {seed}: {error}"));
    println!("{name} on {preset}: {report:#?}");
    report
}

fn is_long() -> bool {
    std::env::var_os("SPATTEN_LONG").is_some()
}

/// One module per testbench, named like it, with a test on each preset.
macro_rules! on_presets {
    ($($name:ident),* $(,)?) => {
        const ON_PRESETS: &[&str] = &[$(stringify!($name)),*];

        $(mod $name {
            #[test]
            fn equals_golden_on_tiny() {
                super::passes(stringify!($name), "tiny");
            }

            #[test]
            fn equals_golden_on_odd() {
                super::passes(stringify!($name), "odd");
            }
        })*
    };
}

/// The same for testbenches whose designs no configuration changes.
macro_rules! on_tiny_only {
    ($($name:ident),* $(,)?) => {
        const ON_TINY_ONLY: &[&str] = &[$(stringify!($name)),*];

        $(mod $name {
            #[test]
            fn equals_golden() {
                super::passes(stringify!($name), "tiny");
            }
        })*
    };
}

on_presets!(
    spill_register,
    fifo,
    sram,
    banked_fifo,
    fork,
    join,
    arbiter,
    prefix_sum,
    zero_eliminator,
    multiplier,
    adder_tree,
    max_tree,
    popcount,
    read_master,
    fetch,
    line_compactor,
    quick_select,
    top_k,
    lane_packer,
    lane_unpacker,
    dispatch,
    line_ring,
    kv_buffer,
    query_key_element,
    query_key,
    exponent,
    row_sum,
    query_noise,
    refine,
    exponential_pass,
    weights,
    value_ranking,
    value_ids,
    use_pass,
    softmax,
    prob_value_element,
    output_scale,
    prob_value,
    head_magnitude,
    importance,
    output_writer,
    attention_core,
    memory_core,
);

on_tiny_only!(reset_control, divider, exp2, reciprocal, judge, probability);

#[test]
fn every_testbench_is_run_above() {
    let mut run = [ON_PRESETS, ON_TINY_ONLY].concat();
    let mut all: Vec<&str> = testbenches::all().iter().map(|bench| bench.name).collect();
    run.sort_unstable();
    all.sort_unstable();
    assert_eq!(run, all);
}

/// In the long tier: building the published size alone takes a minute and more.
#[test]
fn attention_core_equals_golden_at_the_larger_presets() {
    if is_long() {
        for preset in ["eighth", "spatten"] {
            passes("attention_core", preset);
        }
    }
}

/// Each vector is fetched once, and is exact, under reordering and stalls of every kind; faults come in between.
#[test]
fn a_hundred_thousand_fetched_vectors_are_exact_or_in_the_long_tier_a_million() {
    let (wanted, presets, seeds) = match is_long() {
        true => (1_000_000, &["tiny", "odd", "eighth"][..], 2..=5),
        false => (100_000, &["tiny", "odd"][..], 2..=2),
    };
    let runs = presets.len() * seeds.clone().count();
    let mut compared = 0;
    for preset in presets {
        for seed in seeds.clone() {
            compared += run("fetch", preset, wanted / runs + 1, seed).words;
        }
    }
    assert!(
        compared >= wanted as u64,
        "only {compared} vectors were compared"
    );
}

/// The smallest buffers, in the long tier also for rows that the LSB plane's buffer holds, of one key, and of wide vectors.
#[test]
fn refining_every_row_never_blocks_the_smallest_buffers() {
    let mut sets = vec![vec!["limits.keys_per_row=20", "memory.channels=4"]];
    let cases = if is_long() { CASES / 4 } else { CASES / 10 };
    if is_long() {
        sets.extend([
            vec![
                "limits.keys_per_row=16",
                "array.multipliers=192",
                "softmax.lanes=3",
            ],
            vec!["limits.keys_per_row=1", "memory.channels=2"],
            vec!["array.multipliers=128", "array.head_dims=[128]"],
        ]);
    }
    for sets in sets {
        let sets: Vec<String> = sets.into_iter().map(str::to_owned).collect();
        let config = Config::load("tiny", &sets).unwrap();
        let config = with_smallest_buffers(&config);
        config.validate().unwrap();
        let options = Options {
            cases,
            seed: SEED,
            trace: None,
        };
        let report = refine_every_row(&config, &options);
        let report = report.unwrap_or_else(|error| panic!("{sets:?}, seed {SEED}: {error}"));
        println!("{sets:?}: {report:#?}");
        assert!(report.words >= cases as u64);
    }
}
