//! Bench of the pipelined multipliers: every number of stages, both kinds of operand, the smallest widths.

use super::pipeline::{self, Pipeline, range, word};
use super::{BenchError, Options, Report};
use crate::catalogue;
use crate::cells::multiplier::{Multiplier, golden};
use crate::config::Config;
use crate::hdl::Ty;

/// Runs the multipliers of `config` and the corner cases of their parameters.
///
/// # Errors
/// [`BenchError`]: a multiplier is wrong, or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut multipliers = catalogue::multipliers(config);
    let corner = |a_bits, b, stages| Multiplier { a_bits, b, stages };
    multipliers.extend([
        corner(2, Ty::unsigned(1), 1),
        corner(2, Ty::signed(2), 1),
        corner(2, Ty::unsigned(3), 2),
        corner(3, Ty::signed(5), 3),
        corner(2, Ty::signed(8), 4),
        corner(13, Ty::unsigned(18), 4),
    ]);
    let pipelines: Vec<_> = multipliers.into_iter().map(pipeline).collect();
    pipeline::run("multiplier", &pipelines, options)
}

fn pipeline(multiplier: Multiplier) -> Pipeline {
    let (a, b) = (Ty::signed(multiplier.a_bits), multiplier.b);
    let corners = ends_and_middle(a)
        .into_iter()
        .flat_map(|a| ends_and_middle(b).into_iter().map(move |b| vec![a, b]));
    Pipeline {
        latency: multiplier.latency(),
        inputs: vec![word("a", a), word("b", b)],
        outputs: vec![word("product", multiplier.product())],
        golden: Box::new(|operands| vec![golden(operands[0], operands[1])]),
        corners: corners.collect(),
        block: Box::new(multiplier),
    }
}

fn ends_and_middle(ty: Ty) -> Vec<i64> {
    let (least, greatest) = range(ty);
    vec![least, least + 1, 0, greatest - 1, greatest]
}
