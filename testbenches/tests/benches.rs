//! Every block's testbench on the presets `tiny` and `odd`.

use spatten::config::Config;
use spatten::testbenches::{self, Options, Report};

/// Random words (or rows) per design under test.
const CASES: usize = 10_000;
const SEED: u64 = 1;

/// Runs the testbench called `name` on a preset.
fn passes(name: &str, preset: &str) -> Report {
    let config = Config::load(preset, &[]).unwrap();
    let options = Options {
        cases: CASES,
        seed: SEED,
        trace: None,
    };
    let bench = testbenches::all()
        .into_iter()
        .find(|bench| bench.name == name)
        .unwrap_or_else(|| panic!("no testbench is called {name}"));
    let report = (bench.run)(&config, &options)
        .unwrap_or_else(|error| panic!("{name} on {preset}, seed {SEED}: {error}"));
    assert!(
        report.words >= CASES as u64,
        "{name} on {preset}: {report:?}"
    );
    println!("{name} on {preset}: {report:#?}");
    report
}

/// One module per testbench, named like it, with a test on each preset.
macro_rules! on_presets {
    ($($name:ident),* $(,)?) => {
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

on_presets!(
    spill_register,
    fifo,
    sram,
    banked_fifo,
    arbiter,
    prefix_sum,
    zero_eliminator,
    multiplier,
    adder_tree,
    max_tree,
    popcount,
    read_master,
    lane_packer,
    lane_unpacker,
    line_ring,
    kv_buffer,
    query_key_element,
    query_key,
    exponent,
    row_sum,
    exponential_pass,
    weights,
    use_pass,
    softmax,
    prob_value_element,
    output_scale,
    prob_value,
    attention_core,
);

// No configuration changes the parameters of these.

#[test]
fn fork_equals_golden() {
    passes("fork", "tiny");
}

#[test]
fn join_equals_golden() {
    passes("join", "tiny");
}

#[test]
fn divider_equals_golden() {
    passes("divider", "tiny");
}

#[test]
fn exp2_equals_golden_on_every_input() {
    passes("exp2", "tiny");
}

#[test]
fn reciprocal_equals_golden() {
    passes("reciprocal", "tiny");
}

/// In the long tier: building the published size alone takes a minute and more.
#[test]
fn attention_core_equals_golden_at_the_larger_presets() {
    if std::env::var_os("SPATTEN_LONG").is_some() {
        for preset in ["eighth", "spatten"] {
            passes("attention_core", preset);
        }
    }
}
