//! Time to elaborate and print everything of a configuration: the whole design and every block of the catalogue.

use std::hint::black_box;
use std::time::Instant;

use super::{Benchmark, Inputs, Row};
use crate::catalogue;
use crate::config::Config;
use crate::engine::EngineError;
use crate::handoff::design;

/// Seconds that the generator may take at the published size (`docs/decisions.md`, section 6).
const TARGET_SECONDS: f64 = 1.0;
/// Runs: the first warms up caches, and the median of an odd number is one of them.
const RUNS: usize = 9;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "elaborate",
    summary: "wall seconds to elaborate and print the design and every block alone; the bound is the target",
    run,
};

fn run(inputs: &Inputs<'_>) -> Result<Vec<Row>, EngineError> {
    let config = inputs.config;
    let mut seconds: Vec<f64> = (0..RUNS).map(|_| one_run(config)).collect();
    seconds.sort_by(f64::total_cmp);
    let row = |what: &str, value: f64| {
        let case = format!("{} {what} of {RUNS}", config.name);
        Row::of(BENCHMARK.name, case, value, "s")
            .bound(TARGET_SECONDS)
            .target(TARGET_SECONDS)
    };
    Ok(vec![
        row("median", seconds[RUNS / 2]),
        row("best", seconds[0]),
    ])
}

/// What `spatten generate` does but for the writing, then the blocks of the catalogue, each as a design of its own.
fn one_run(config: &Config) -> f64 {
    let start = Instant::now();
    black_box(design::generate(config));
    for block in catalogue::blocks(config) {
        black_box(design::emit(&*block, config));
    }
    start.elapsed().as_secs_f64()
}
