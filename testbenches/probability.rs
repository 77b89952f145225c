//! Testbench of one lane of the probabilities.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::harness::start;
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::importance::Probability;
use crate::accelerator::importance::golden::probability;
use crate::cells::exp2::golden::ONE;
use crate::cells::reciprocal::golden::{Reciprocal, reciprocal};
use crate::config::Config;
use crate::cosim::Design;
use crate::numerics::{EXPONENTIAL_BITS, RECIPROCAL_BITS, SUM_BITS};

/// Runs on the one design that there is.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(_config: &Config, options: &Options) -> Result<Report, BenchError> {
    check(&Probability, &design(&Probability), options)
}

/// One exponential per cycle; each probability must come exactly [`Probability::latency`] cycles later.
///
/// # Errors
/// As [`run`]; the message names the word.
pub fn check(
    block: &Probability,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut cases = corners();
    cases.extend((0..options.cases).map(|_| random_case(&mut random)));
    let mut simulator = start(design, options)?;
    let [e, r, k, p] = ["e_i", "r_i", "k_i", "p_o"].map(|name| simulator.port(name));
    for cycle in 0..cases.len() + block.latency() {
        if let Some((exponential, reciprocal)) = cases.get(cycle) {
            simulator.set(e, *exponential as u64);
            simulator.set(r, reciprocal.mantissa as u64);
            simulator.set(k, u64::from(reciprocal.exponent));
        }
        simulator.settle()?;
        if let Some(word) = cycle.checked_sub(block.latency()) {
            let (exponential, reciprocal) = cases[word];
            let expected = probability(exponential, reciprocal) as u64;
            let got = simulator.get(p);
            if expected != got {
                return Err(BenchError::Mismatch(format!(
                    "{} (seed {}): port `p_o`, cycle {cycle}, word {word}: expected {expected}, got {got} for e = \
                     {exponential} and {reciprocal:?}",
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
            "exponential to probability: {} cycles; interval: 1 cycle",
            block.latency()
        )],
        ..Report::default()
    })
}

/// Every k with the smallest and largest r, and exponentials around every rounding; the only key of a row; empty rows.
fn corners() -> Vec<(i64, Reciprocal)> {
    let mut cases = vec![(0, reciprocal(0)), (ONE, reciprocal(0))];
    for exponent in 0..SUM_BITS as u32 {
        for mantissa in [1 << (RECIPROCAL_BITS - 1), (1 << RECIPROCAL_BITS) - 1] {
            let reciprocal = Reciprocal { mantissa, exponent };
            let largest = (1 << EXPONENTIAL_BITS) - 1;
            for e in [0, 1, 31, 32, 33, 95, 96, ONE / 2, ONE - 1, ONE, largest] {
                cases.push((e, reciprocal));
            }
        }
    }
    cases
}

/// A key of a row: most of it, little of it, or any exponential with any sum.
fn random_case(random: &mut ChaCha8Rng) -> (i64, Reciprocal) {
    let bits = random.random_range(1..=SUM_BITS);
    let total = random.random_range(1..1_i64 << bits);
    let e_bits = random.random_range(1..=EXPONENTIAL_BITS);
    (random.random_range(0..1_i64 << e_bits), reciprocal(total))
}
