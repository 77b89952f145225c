//! Testbench of the fetcher: lists and jobs of every kind, on memories that stall and reorder, against the vectors that
//! were written; and everything that the memories can do wrong.

pub mod faults;
pub mod jobs;
pub mod ports;

use rand::{Rng, RngExt};

use super::harness::random_stalls;
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::fetch::Fetch;
use crate::config::Config;
use crate::cosim::memory::{Hbm2Timing, MemoryTiming};
use crate::cosim::{Design, Stalls};

use jobs::{JobMaker, Jobs, Kinds};
use ports::Ports;

/// Rounds of faults per 10,000 vectors.
const FAULTS_PER_10_000: usize = 32;

/// Runs on the configuration's fetcher.
///
/// # Errors
/// [`BenchError`]: a tool fails; a line, an error record or a documented figure is wrong; a rule of AXI4 is broken.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let fetch = Fetch::new(config);
    check(&fetch, &design(&fetch), options)
}

/// Runs on one design, which is the fetcher's or a faulty copy of it: at least `options.cases` vectors, each compared, in
/// rounds of random jobs, stalls and memories; then rounds in which the memories fail.
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
    let rounds = options.cases * FAULTS_PER_10_000 / 10_000;
    report
        .notes
        .push(faults::rounds(&mut ports, &mut random, rounds)?);
    report.cycles = ports.bench.simulator().cycle();
    Ok(report)
}

/// A round of random jobs, sometimes after a reset in the midst of them; the vectors that were compared.
fn round(ports: &mut Ports, random: &mut impl Rng) -> Result<u64, BenchError> {
    let jobs = prepare(ports, random);
    ports.reset()?;
    if random.random_bool(0.2) {
        ports.send(&jobs);
        ports.collect(&jobs);
        ports.bench.run_for(random.random_range(1..300))?;
        ports.reset()?;
    }
    to_the_end(ports, &jobs)
}

/// Makes jobs, and memories with their vectors.
fn prepare(ports: &mut Ports, random: &mut impl Rng) -> Jobs {
    let fetch = ports.fetch;
    let levels = fetch.shape.levels();
    let level = levels[random.random_range(0..levels.len())];
    let kinds = Kinds {
        levels: match random.random_range(0..4) {
            0 => levels,
            _ => vec![level],
        },
        lists: random.random_range(1..=6),
        most_keys: match random.random_range(0..3) {
            0 => fetch.keys_per_row.min(20),
            _ => fetch.keys_per_row,
        },
    };
    let mut maker = JobMaker::new(fetch, random);
    let jobs = maker.round(&kinds);
    let memories = maker.into_memories();
    let timings = [
        MemoryTiming::Fixed(1),
        MemoryTiming::Fixed(80),
        MemoryTiming::Hbm2(Hbm2Timing::default()),
    ];
    // Without stalls vectors pass at the rate of the channels, and the rings run full.
    if random.random_bool(0.5) {
        ports.attach(memories, &timings[random.random_range(0..2)], Some(random));
        ports.calm();
        ports.stall(|| Stalls::NONE);
    } else {
        ports.attach(memories, &timings[random.random_range(0..3)], Some(random));
        ports.stall(|| random_stalls(random));
    }
    jobs
}

/// Sends the jobs, awaits all of their lines, and compares them; the vectors that were compared.
fn to_the_end(ports: &mut Ports, jobs: &Jobs) -> Result<u64, BenchError> {
    ports.send(jobs);
    ports.collect(jobs);
    ports.bench.run(20_000 + 400 * jobs.vectors() as u64)?;
    ports.settle(jobs)?;
    Ok(ports.compare(jobs)? as u64)
}
