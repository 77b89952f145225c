//! Bench of the pipelined dividers: whole numbers, fractions, quotients that overflow, zero denominators.

use super::pipeline::{self, Pipeline, range, word};
use super::{BenchError, Options, Report};
use crate::cells::divider::{Divider, golden};
use crate::config::Config;
use crate::hdl::Ty;

/// Runs dividers of several shapes; no configuration changes them.
///
/// # Errors
/// [`BenchError`]: a divider is wrong, or cannot be simulated.
pub fn run(_config: &Config, options: &Options) -> Result<Report, BenchError> {
    let shape = |numerator_bits, fraction_bits, denominator_bits, quotient_bits, bits_per_stage| {
        pipeline(Divider {
            numerator_bits,
            fraction_bits,
            denominator_bits,
            quotient_bits,
            bits_per_stage,
        })
    };
    let pipelines = [
        shape(1, 0, 1, 1, 1),
        shape(16, 0, 9, 16, 1),
        shape(20, 0, 12, 8, 3),
        shape(12, 10, 12, 14, 2),
        shape(1, 45, 28, 18, 18),
    ];
    pipeline::run("divider", &pipelines, options)
}

fn pipeline(divider: Divider) -> Pipeline {
    let numerator = Ty::unsigned(divider.numerator_bits);
    let denominator = Ty::unsigned(divider.denominator_bits);
    let (most, most_below) = (range(numerator).1, range(denominator).1);
    let golden = {
        let divider = divider.clone();
        move |operands: &[i64]| vec![golden(&divider, operands[0], operands[1])]
    };
    Pipeline {
        latency: divider.latency(),
        inputs: vec![
            word("numerator", numerator),
            word("denominator", denominator),
        ],
        outputs: vec![word("quotient", Ty::unsigned(divider.quotient_bits))],
        golden: Box::new(golden),
        corners: vec![
            vec![0, 0],
            vec![most, 0],
            vec![0, most_below],
            vec![most, 1],
            vec![most, most_below],
            vec![1, most_below],
        ],
        block: Box::new(divider),
    }
}
