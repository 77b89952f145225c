//! Testbench of the fetcher: lists and jobs of every kind, on memories that stall and reorder, against the vectors that
//! were written; and everything that the memories can do wrong.

pub mod jobs;
pub mod ports;

use rand::{Rng, RngExt};

use super::harness::random_stalls;
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::fetch::Fetch;
use crate::config::Config;
use crate::cosim::Design;
use crate::cosim::memory::{Hbm2Timing, MemoryTiming};

use jobs::{JobMaker, Kinds};
use ports::Ports;

/// Runs on the configuration's fetcher.
///
/// # Errors
/// [`BenchError`]: a tool fails; a line, an error record or a documented figure is wrong; a rule of AXI4 is broken.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let fetch = Fetch::new(config);
    check(&fetch, &design(&fetch), options)
}

/// Runs on one design, which is the fetcher's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(fetch: &Fetch, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut ports = Ports::start(fetch, design, options)?;
    let mut random = options.random(1);
    let mut report = Report::default();
    while report.words < options.cases as u64 {
        report.words += round(&mut ports, &mut random)?;
    }
    report.cycles = ports.bench.simulator().cycle();
    Ok(report)
}

/// A round of random jobs; the vectors that were fetched.
fn round(ports: &mut Ports, random: &mut impl Rng) -> Result<u64, BenchError> {
    let levels = ports.fetch.shape.levels();
    let level = levels[random.random_range(0..levels.len())];
    let kinds = Kinds {
        levels: match random.random_range(0..4) {
            0 => levels,
            _ => vec![level],
        },
        lists: random.random_range(1..=6),
        most_keys: match random.random_range(0..3) {
            0 => ports.fetch.keys_per_row.min(20),
            _ => ports.fetch.keys_per_row,
        },
    };
    let fetch = ports.fetch;
    let mut maker = JobMaker::new(fetch, random);
    let jobs = maker.round(&kinds);
    let memories = maker.into_memories();
    let timings = [
        MemoryTiming::Fixed(1),
        MemoryTiming::Fixed(80),
        MemoryTiming::Hbm2(Hbm2Timing::default()),
    ];
    let timing = &timings[random.random_range(0..3)];
    ports.attach(memories, timing, Some(random));
    ports.stall(|| random_stalls(random));
    ports.reset()?;
    ports.send(&jobs);
    ports.collect(&jobs);
    let vectors = jobs.vectors();
    ports.bench.run(20_000 + 400 * vectors as u64)?;
    ports.bench.run_for(20)?;
    ports.compare(&jobs)?;
    Ok(vectors as u64)
}
