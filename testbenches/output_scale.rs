//! Testbench of one lane of the output scaling.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::exponent::narrowest;
use super::harness::start;
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::prob_value::OutputScale;
use crate::accelerator::prob_value::golden::normalise;
use crate::cells::reciprocal::golden::{Reciprocal, reciprocal};
use crate::config::Config;
use crate::cosim::Design;
use crate::numerics::{RECIPROCAL_BITS, SUM_BITS};

/// An accumulator and its row's reciprocal.
type Case = (i64, Reciprocal);

/// Runs on the configuration's formats and on the narrowest ones.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let lane = |formats| OutputScale { formats };
    let used = lane(config.formats());
    let mut report = check(&used, &design(&used), options)?;
    let narrow = lane(narrowest());
    let corner = check(&narrow, &design(&narrow), &options.untraced())?;
    report.add(corner.without_notes());
    Ok(report)
}

/// One accumulator per cycle; each output must come exactly [`OutputScale::latency`] cycles later.
///
/// # Errors
/// As [`run`]; the message names the word.
pub fn check(
    block: &OutputScale,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut cases = corners(block);
    cases.extend((0..options.cases).map(|_| random_case(block, &mut random)));
    let mut simulator = start(design, options)?;
    let [sum, r, k, out] = ["sum_i", "r_i", "k_i", "out_o"].map(|n| simulator.port(n));
    for cycle in 0..cases.len() + block.latency() {
        if let Some((accumulator, reciprocal)) = cases.get(cycle) {
            simulator.set_signed(sum, *accumulator);
            simulator.set(r, reciprocal.mantissa as u64);
            simulator.set(k, u64::from(reciprocal.exponent));
        }
        simulator.settle()?;
        if let Some(word) = cycle.checked_sub(block.latency()) {
            let (accumulator, reciprocal) = cases[word];
            let expected = normalise(&block.formats, accumulator, reciprocal);
            let got = simulator.get_signed(out);
            if expected != got {
                return Err(BenchError::Mismatch(format!(
                    "{} (seed {}): port `out_o`, cycle {cycle}, word {word}: expected {expected}, got {got} for \
                     the sum {accumulator} and {reciprocal:?}",
                    design.top, options.seed,
                )));
            }
        }
        simulator.tick()?;
    }
    Ok(Report {
        words: cases.len() as u64,
        cycles: simulator.cycle(),
        notes: vec![format!(
            "sum to output: {} cycles; interval: 1 cycle",
            block.latency()
        )],
        ..Report::default()
    })
}

/// Largest sum of a row with that reciprocal: its weights' sum is below 2^(k + 1).
fn largest(block: &OutputScale, exponent: u32) -> i64 {
    (1 << (exponent as usize + block.formats.value_bits)) - 1
}

/// Every k with the smallest and largest r and the sums at which outputs saturate, round or vanish; empty rows.
fn corners(block: &OutputScale) -> Vec<Case> {
    let empty = reciprocal(0);
    let mut cases = vec![(0, empty)];
    for exponent in 0..SUM_BITS as u32 {
        let largest = largest(block, exponent);
        for mantissa in [1 << (RECIPROCAL_BITS - 1), (1 << RECIPROCAL_BITS) - 1] {
            let reciprocal = Reciprocal { mantissa, exponent };
            for magnitude in [0, 1, largest / 4, largest / 2, largest / 2 + 1, largest] {
                cases.extend([(magnitude, reciprocal), (-magnitude, reciprocal)]);
            }
        }
    }
    cases
}

fn random_case(block: &OutputScale, random: &mut ChaCha8Rng) -> Case {
    let bits = random.random_range(1..=SUM_BITS);
    let total = random.random_range(1..1_i64 << bits);
    let reciprocal = reciprocal(total);
    let largest = largest(block, reciprocal.exponent);
    // Mostly what a row gives; now and then sums that only saturation can carry.
    let bound = if random.random_bool(0.2) {
        largest
    } else {
        total << (block.formats.value_bits - 1)
    };
    let bound = bound >> random.random_range(0..8);
    (random.random_range(-bound..=bound), reciprocal)
}
