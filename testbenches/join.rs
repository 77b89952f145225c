//! Testbench of the join, with the payloads beside it.

use rand::RngExt;

use super::harness::{Round, ensure, start};
use super::{BenchError, Options, Report};
use crate::cells::join::Join;
use crate::config::Config;
use crate::cosim::{Bench, Design, Field};
use crate::hdl::{self, About, Block, Builder, elaborate};

/// A join whose payloads go past it, as its users connect it.
#[derive(Debug)]
struct JoinWithPayload {
    join: Join,
}

/// Bits of a payload.
const WIDTH: usize = 7;

impl Block for JoinWithPayload {
    fn name(&self) -> String {
        format!("spatten_join_with_payload_n{}", self.join.branches)
    }

    fn about(&self) -> About {
        About {
            purpose: "Join with payloads, for its testbench.".into(),
            parameters: vec![],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let u_join = m.instance("u_join", &self.join);
        let words: Vec<_> = (0..self.join.branches)
            .map(|b| {
                let field = hdl::Field::new("data", WIDTH, "word");
                let input = m.stream_in(&format!("in{b}"), &[field]);
                u_join.input(&format!("in{b}_valid"), input.valid);
                input.ready.drive(u_join.output(&format!("in{b}_ready")));
                input.data()
            })
            .collect();
        let all = hdl::Field::new("data", words.len() * WIDTH, "word of branch k");
        let out = m.stream_out("out", &[all]);
        let joined = u_join.stream("out");
        joined.ready.drive(out.ready);
        out.drive(joined.valid, &[("data", m.pack(&words))]);
    }
}

/// Runs on a branch for each lane of softmax and one more, on three branches, and on one.
///
/// # Errors
/// [`BenchError`]: a tool fails, or a joined word is wrong.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut report = check(config.softmax.lanes + 1, options)?;
    for corner in [3, 1] {
        report.add(check(corner, &options.untraced())?);
    }
    Ok(report)
}

fn check(branches: usize, options: &Options) -> Result<Report, BenchError> {
    let block = JoinWithPayload {
        join: Join { branches },
    };
    let design = Design::from(&elaborate(&block));
    let mut bench = Bench::new(start(&design, options)?, options.seed);
    let word = Field::unsigned("data", WIDTH);
    let inputs: Vec<_> = (0..branches)
        .map(|b| bench.source(&format!("in{b}"), std::slice::from_ref(&word)))
        .collect();
    let output = bench.sink("out", &[word.lanes(branches)]);
    let mut random = options.random(1);
    let mut round = || {
        let joined: Vec<Vec<i64>> = (0..1000)
            .map(|_| {
                (0..branches)
                    .map(|_| random.random_range(0..1 << WIDTH))
                    .collect()
            })
            .collect();
        let of_branch = |b: usize| joined.iter().map(|word| vec![word[b]]).collect();
        Round {
            sources: inputs
                .iter()
                .enumerate()
                .map(|(b, &i)| (i, of_branch(b)))
                .collect(),
            sinks: vec![(output, joined.clone())],
            collected: vec![],
        }
    };
    round().at_full_speed(&mut bench, |_| ())?;
    let left = bench.sink_cycles(output);
    ensure(bench.source_cycles(inputs[0]) == left, || {
        format!("{}: a word does not pass in its cycle", design.top)
    })?;
    let steady = left.windows(2).all(|pair| pair[1] - pair[0] == 1);
    ensure(steady, || format!("{}: the output idles", design.top))?;
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
