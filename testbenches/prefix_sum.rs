//! Testbench of the prefix sum: every choice of flags where there are few lanes, random ones where there are many.

use rand::RngExt;

use super::harness::{ensure, start};
use super::{BenchError, Options, Report};
use crate::cells::prefix_sum::{PrefixSum, golden};
use crate::config::Config;
use crate::cosim::Design;
use crate::hdl::elaborate;

/// Runs on the lanes of a K line, and on 1 and 13 lanes.
///
/// # Errors
/// [`BenchError`]: a tool fails, or RTL and golden model differ.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut reports = Vec::new();
    for lanes in [config.max_keys_per_line(), 1, 13] {
        let block = PrefixSum { lanes };
        let design = Design::from(&elaborate(&block));
        reports.push(check(&block, &design, &options.untraced())?);
    }
    Ok(Report::of(reports))
}

/// Runs on one design, which is the prefix sum's or a faulty copy of it. Every choice of flags is compared as soon as it
/// is applied and right after another, and the design must have no clock: latency 0, interval 1.
///
/// # Errors
/// As [`run`].
pub fn check(block: &PrefixSum, design: &Design, options: &Options) -> Result<Report, BenchError> {
    ensure(design.port("clk_i").is_none(), || {
        format!("{}: has a clock", design.top)
    })?;
    let mut simulator = start(design, options)?;
    let (input, output) = (simulator.port("flags_i"), simulator.port("counts_o"));
    let sum = simulator.port("total_o");
    let mut random = options.random(1);
    let mut counts = vec![0; block.lanes];
    let exhaustive = block.lanes <= 13;
    for case in 0..options.cases.max(1 << 13) as u64 {
        let flags: Vec<bool> = (0..block.lanes)
            .map(|k| {
                if exhaustive {
                    case >> k & 1 == 1
                } else {
                    random.random_bool(0.5)
                }
            })
            .collect();
        let word: Vec<i64> = flags.iter().map(|&flag| i64::from(flag)).collect();
        simulator.set_lanes(input, 1, &word);
        simulator.settle()?;
        simulator.get_lanes(output, block.count_bits() as u32, false, &mut counts);
        let (below, total) = golden(&flags);
        let expected: Vec<i64> = below.iter().map(|&count| count as i64).collect();
        ensure(
            counts == expected && simulator.get(sum) == total as u64,
            || {
                format!(
                    "{}: {flags:?} gives {counts:?}, not {expected:?} and {total}",
                    design.top
                )
            },
        )?;
    }
    Ok(Report {
        words: options.cases.max(1 << 13) as u64,
        cycles: 0,
        notes: vec![format!("{}: latency 0, interval 1", design.top)],
        ..Report::default()
    })
}
