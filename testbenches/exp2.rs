//! Bench of the exponential table unit: every input there is, then random ones.

use super::pipeline::{self, Pipeline, word};
use super::{BenchError, Options, Report};
use crate::cells::exp2::Exp2;
use crate::cells::exp2::golden::exp2_negative;
use crate::config::Config;
use crate::hdl::Ty;
use crate::numerics::{EXPONENT_BITS, EXPONENTIAL_BITS};

/// Runs the unit on all 2^17 inputs; no configuration changes it.
///
/// # Errors
/// [`BenchError`]: an exponential is wrong, or the unit cannot be simulated.
pub fn run(_config: &Config, options: &Options) -> Result<Report, BenchError> {
    let every_x = 0..1_i64 << EXPONENT_BITS;
    let exp2 = Pipeline {
        block: Box::new(Exp2),
        latency: Exp2::LATENCY,
        inputs: vec![word("x", Ty::unsigned(EXPONENT_BITS))],
        outputs: vec![word("e", Ty::unsigned(EXPONENTIAL_BITS))],
        golden: Box::new(|x| vec![exp2_negative(x[0])]),
        corners: every_x.map(|x| vec![x]).collect(),
    };
    pipeline::run("exp2", &[exp2], options)
}
