//! What validates builds: random configurations through the generator, the tools that read Verilog, and simulation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::accelerator::refine::golden::Rule;
use spatten::accelerator::softmax::golden::Scale;
use spatten::config::Config;
use spatten::cosim::Verilator;
use spatten::cosim::memory::MemoryTiming;
use spatten::engine::rtl::RtlEngine;
use spatten::golden::layer::{LayerOperands, attend_layer, equal_groups};
use spatten::golden::row::ValuePruning;
use spatten::handoff::design;

use super::tools;
use crate::random_config::{self, Limits};

/// Whether the long tier runs: more cases, larger sizes.
fn long() -> bool {
    std::env::var_os("SPATTEN_LONG").is_some()
}

/// Runs `check` on random configurations, each from a seed of its own that a failure prints with the configuration.
fn for_random_configs(count: u64, limits: Limits, check: impl Fn(&Config, &mut ChaCha8Rng)) {
    let first: u64 = match std::env::var("SPATTEN_SEED") {
        Ok(seed) => seed.parse().expect("SPATTEN_SEED is a number"),
        Err(_) => rand::random_range(0..1 << 32),
    };
    for seed in first..first + count {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let config = random_config::valid(&mut random, limits);
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&config, &mut random)));
        if let Err(cause) = outcome {
            println!(
                "SPATTEN_SEED={seed} draws this configuration:\n{}",
                config.canonical()
            );
            std::panic::resume_unwind(cause);
        }
    }
}

#[test]
fn every_valid_configuration_elaborates_and_prints() {
    let count = if long() { 3000 } else { 300 };
    for_random_configs(count, Limits::ANY, |config, _| {
        let modules = design::generate(config).modules;
        assert!(modules > 20, "only {modules} modules");
    });
}

/// Writes the design and returns its top module's name.
fn write(config: &Config, folder: &Path) -> String {
    let design = design::generate(config);
    for (path, content) in &design.files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    design.top
}

#[test]
fn every_tool_reads_valid_configurations_in_silence() {
    let count = if long() { 20 } else { 3 };
    for_random_configs(count, Limits::SMALL, |config, _| {
        let folder = tempfile::tempdir().unwrap();
        let top = write(config, folder.path());
        tools::lint_design(folder.path(), &top);
        tools::yosys_design(folder.path(), &top);
        tools::icarus_design(folder.path(), &top);
    });
}

#[test]
fn rows_shorter_than_a_line_leave_no_constant_comparison() {
    for keys in 1..=3 {
        let sets = [
            "array.multipliers=128".to_owned(),
            format!("limits.keys_per_row={keys}"),
        ];
        let config = Config::load("tiny", &sets).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let top = write(&config, folder.path());
        tools::lint_design(folder.path(), &top);
    }
}

/// A layer that fits `config`, with a row of every kind: empty, of one key, of all keys.
fn random_layer(random: &mut ChaCha8Rng, config: &Config, head_dim: usize) -> LayerOperands {
    let formats = config.formats();
    let keys = random.random_range(1..=config.limits.keys_per_row);
    let kv_heads = random.random_range(1..=2);
    let heads = kv_heads * random.random_range(1..=2);
    let mut live_keys = vec![0, 1, keys];
    live_keys.extend((0..5).map(|_| random.random_range(0..=keys)));
    let mut tensor = |heads: usize, rows: usize, bits: usize| -> Vec<Vec<Vec<i64>>> {
        let most = (1 << (bits - 1)) - 1;
        let mut vector = |_| {
            (0..head_dim)
                .map(|_| random.random_range(-most..=most))
                .collect()
        };
        (0..heads)
            .map(|_| (0..rows).map(&mut vector).collect())
            .collect()
    };
    let queries = tensor(heads, live_keys.len(), formats.query_bits);
    let keys = tensor(kv_heads, keys, formats.key_bits);
    let values = tensor(kv_heads, keys[0].len(), formats.value_bits);
    let value_pruning = live_keys.iter().map(|&live| ValuePruning {
        keep: match config.softmax.value_engines {
            0 => live,
            _ => random.random_range(0..=live),
        },
        renormalise: random.random_bool(0.5),
    });
    let value_pruning = value_pruning.collect();
    // Scores of random operands spread over a few powers of two of this factor's inverse.
    let spread = formats.score_bits() as i32 - 11;
    let scales = (0..heads).map(|head| {
        let factor = 2f64.powi(head as i32 - spread);
        Scale::from_factor(factor).expect("the factor is in range")
    });
    LayerOperands {
        scales: scales.collect(),
        kv_heads: equal_groups(heads, kv_heads),
        key_lsbs: None,
        rules: vec![Rule::None; heads],
        value_pruning,
        queries,
        keys,
        values,
        live_keys,
    }
}

#[test]
fn whole_cores_of_valid_configurations_equal_the_golden_model() {
    let count = if long() { 6 } else { 1 };
    let limits = Limits {
        multipliers: 128,
        keys_per_row: 40,
    };
    for_random_configs(count, limits, |config, random| {
        let seed: u64 = random.random();
        let timing = MemoryTiming::Fixed(random.random_range(1..40));
        let verilator = Verilator::default();
        let mut engine = RtlEngine::new(config, &verilator, &timing, seed).unwrap();
        for &head_dim in &config.array.head_dims {
            let layer = random_layer(random, config, head_dim);
            let result = engine.attend_layer(&layer, &config.formats()).unwrap();
            let expected = attend_layer(&config.formats(), &layer);
            assert!(result.outputs == expected, "d = {head_dim}: outputs differ");
        }
    });
}
