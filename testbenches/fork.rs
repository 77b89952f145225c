//! Testbench of the fork, with a payload beside it.

use rand::RngExt;

use super::harness::{Round, ensure, start};
use super::{BenchError, Options, Report};
use crate::cells::fork::Fork;
use crate::config::Config;
use crate::cosim::{Bench, Design, Field};
use crate::hdl::{self, About, Block, Builder, elaborate};

/// A fork whose payload goes past it, as its users connect it.
#[derive(Debug)]
struct ForkWithPayload {
    fork: Fork,
}

/// Bits of the payload.
const WIDTH: usize = 7;

impl Block for ForkWithPayload {
    fn name(&self) -> String {
        format!("spatten_fork_with_payload_n{}", self.fork.branches)
    }

    fn about(&self) -> About {
        About {
            purpose: "Fork with a payload, for its testbench.".into(),
            parameters: vec![],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let field = [hdl::Field::new("data", WIDTH, "word")];
        let input = m.stream_in("in", &field);
        let u_fork = m.instance("u_fork", &self.fork);
        u_fork.input("in_valid", input.valid);
        input.ready.drive(u_fork.output("in_ready"));
        for b in 0..self.fork.branches {
            let out = m.stream_out(&format!("out{b}"), &field);
            let branch = u_fork.stream(&format!("out{b}"));
            branch.ready.drive(out.ready);
            out.drive(branch.valid, &[("data", input.data())]);
        }
    }
}

/// Runs on a branch for each lane of softmax and one more, on the row fork's five branches, and on one.
///
/// # Errors
/// [`BenchError`]: a tool fails, or a branch gets a wrong word.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut report = check(config.softmax.lanes + 1, options)?;
    for corner in [5, 1] {
        report.add(check(corner, &options.untraced())?);
    }
    Ok(report)
}

fn check(branches: usize, options: &Options) -> Result<Report, BenchError> {
    let block = ForkWithPayload {
        fork: Fork { branches },
    };
    let design = Design::from(&elaborate(&block));
    let mut bench = Bench::new(start(&design, options)?, options.seed);
    let field = [Field::unsigned("data", WIDTH)];
    let input = bench.source("in", &field);
    let outputs: Vec<_> = (0..branches)
        .map(|b| bench.sink(&format!("out{b}"), &field))
        .collect();
    let mut random = options.random(1);
    let mut round = || {
        let words: Vec<Vec<i64>> = (0..1000)
            .map(|_| vec![random.random_range(0..1 << WIDTH)])
            .collect();
        Round {
            sources: vec![(input, words.clone())],
            sinks: outputs.iter().map(|&out| (out, words.clone())).collect(),
            collected: vec![],
        }
    };
    round().at_full_speed(&mut bench, |_| ())?;
    let first = bench.source_cycles(input)[0];
    for (b, &output) in outputs.iter().enumerate() {
        let cycles = bench.sink_cycles(output);
        let steady = cycles.iter().zip(first..).all(|(a, b)| *a == b);
        ensure(steady, || {
            format!("{}: branch {b} is not served in the same cycle", design.top)
        })?;
    }
    let mut report = Report::default();
    let mut stalls = options.random(2);
    while report.words < options.cases as u64 {
        round().with_stalls(&mut bench, &mut stalls, |_| ())?;
        report.words += 1000;
    }
    report.cycles = bench.simulator().cycle();
    report
        .notes
        .push(format!("{}: latency 0, interval 1", design.top));
    Ok(report)
}
