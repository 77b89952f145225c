//! Bench of the rule of progressive rows: around every limit, then random rows.

use super::pipeline::{self, Pipeline, Word, word};
use super::{BenchError, Options, Report};
use crate::accelerator::refine::Judge;
use crate::accelerator::refine::golden::{MAX_NOISE, MAX_SUM, Rule};
use crate::config::Config;
use crate::hdl::Ty;
use crate::numerics::{NOISE_BITS, SUM_BITS};

/// Runs the unit; no configuration changes it.
///
/// # Errors
/// [`BenchError`]: a verdict is wrong, or the unit cannot be simulated.
pub fn run(_config: &Config, options: &Options) -> Result<Report, BenchError> {
    pipeline::run("judge", &[judge()], options)
}

/// The unit, its golden model, and rows at the limits of both rules.
pub fn judge() -> Pipeline {
    Pipeline {
        block: Box::new(Judge),
        latency: Judge.latency(),
        inputs: vec![
            word("sum", Ty::unsigned(SUM_BITS)),
            word("by_noise", Ty::unsigned(1)),
            word("confident_sum", Ty::unsigned(SUM_BITS)),
            word("noise_limit", Ty::unsigned(NOISE_BITS)),
            word("noise", Ty::unsigned(NOISE_BITS)),
        ],
        outputs: vec![word("refetch", Ty::unsigned(1))],
        golden: Box::new(|row| {
            let &[sum, by_noise, most, limit, noise] = row else {
                unreachable!("five inputs");
            };
            let rule = match by_noise {
                0 => Rule::Threshold { most },
                _ => Rule::Noise { limit, shift: 0 },
            };
            vec![i64::from(rule.exceeds(noise, sum))]
        }),
        corners: corners(),
    }
}

fn corners() -> Vec<Word> {
    let mut rows = Vec::new();
    let around = |middle: i64, most: i64| [-1, 0, 1].map(|off| (middle + off).clamp(0, most));
    for most in [0, 1, 65535, 655_350, MAX_SUM - 1, MAX_SUM] {
        for sum in around(most, MAX_SUM) {
            rows.push(vec![sum, 0, most, 0, MAX_NOISE]);
        }
    }
    for limit in [0, 1, 255, 30_000, MAX_NOISE - 1, MAX_NOISE] {
        for noise in [0, limit / 2, limit, limit + 1, 2 * limit + 1, MAX_NOISE] {
            let noise = noise.min(MAX_NOISE);
            let equal = 65535 * noise / (noise - limit).max(1);
            for sum in around(equal.min(MAX_SUM), MAX_SUM) {
                rows.push(vec![sum, 1, 0, limit, noise]);
                rows.push(vec![sum, 1, MAX_SUM, limit, noise]);
            }
            rows.push(vec![MAX_SUM, 1, 0, limit, noise]);
        }
    }
    rows
}
