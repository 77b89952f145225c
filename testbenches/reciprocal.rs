//! Bench of the reciprocal: around every power of two, then random sums of every magnitude.

use super::pipeline::{self, Pipeline, word};
use super::{BenchError, Options, Report};
use crate::cells::reciprocal::Reciprocal;
use crate::cells::reciprocal::golden::reciprocal;
use crate::config::Config;
use crate::hdl::Ty;
use crate::numerics::{RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, SUM_BITS};

/// Random sums at the least: a power of two more or less shows only in the last bit.
const LEAST_CASES: usize = 100_000;

/// Runs the unit; no configuration changes it.
///
/// # Errors
/// [`BenchError`]: a reciprocal is wrong, or the unit cannot be simulated.
pub fn run(_config: &Config, options: &Options) -> Result<Report, BenchError> {
    let around_powers = (0..SUM_BITS).flat_map(|bit| [-1, 0, 1].map(|off| (1_i64 << bit) + off));
    let unit = Pipeline {
        block: Box::new(Reciprocal),
        latency: Reciprocal.latency(),
        inputs: vec![word("sum", Ty::unsigned(SUM_BITS))],
        outputs: vec![
            word("r", Ty::unsigned(RECIPROCAL_BITS)),
            word("k", Ty::unsigned(RECIPROCAL_EXPONENT_BITS)),
        ],
        golden: Box::new(|sum| {
            let golden = reciprocal(sum[0]);
            vec![golden.mantissa, i64::from(golden.exponent)]
        }),
        corners: around_powers.map(|sum| vec![sum]).collect(),
    };
    let options = Options {
        cases: options.cases.max(LEAST_CASES),
        ..options.clone()
    };
    pipeline::run("reciprocal", &[unit], &options)
}
