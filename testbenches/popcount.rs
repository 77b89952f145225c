//! Bench of the population counts, combinational and pipelined.

use super::pipeline::{self, Pipeline, lanes, word};
use super::{BenchError, Options, Report};
use crate::catalogue;
use crate::cells::popcount::{Popcount, golden};
use crate::config::Config;
use crate::hdl::Ty;

/// Runs the population counts of `config` and the corner cases of their parameters.
///
/// # Errors
/// [`BenchError`]: a count is wrong, or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut counts = catalogue::popcounts(config);
    for width in [1, 2, 7, 33] {
        for levels_per_stage in [None, Some(1), Some(3)] {
            counts.push(Popcount {
                width,
                levels_per_stage,
            });
        }
    }
    let pipelines: Vec<_> = counts.into_iter().map(pipeline).collect();
    pipeline::run("popcount", &pipelines, options)
}

fn pipeline(count: Popcount) -> Pipeline {
    let golden = |bits: &[i64]| {
        let bits: Vec<bool> = bits.iter().map(|&bit| bit == 1).collect();
        vec![golden(&bits) as i64]
    };
    Pipeline {
        latency: count.latency(),
        inputs: vec![lanes("word", Ty::unsigned(1), count.width)],
        outputs: vec![word("count", Ty::unsigned(count.count_bits()))],
        golden: Box::new(golden),
        corners: vec![vec![0; count.width], vec![1; count.width]],
        block: Box::new(count),
    }
}
