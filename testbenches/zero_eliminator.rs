//! Testbench of the zero eliminator: words with every share of kept lanes.

use rand::{Rng, RngExt};

use super::harness::{Round, ensure, start};
use super::{BenchError, Options, Report};
use crate::cells::zero_eliminator::{ZeroEliminator, golden};
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, SinkId, SourceId};
use crate::hdl::elaborate;

/// Runs on one for the lanes of a K line, and on 1 and 11 lanes.
///
/// # Errors
/// [`BenchError`]: a tool fails, or RTL and golden model differ.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = ZeroEliminator {
        lanes: config.max_keys_per_line(),
        width: config.arithmetic.value_bits,
    };
    let mut report = check(&used, &Design::from(&elaborate(&used)), options)?;
    for lanes in [1, 11] {
        let corner = ZeroEliminator { lanes, width: 3 };
        let design = Design::from(&elaborate(&corner));
        report.add(check(&corner, &design, &options.untraced())?);
    }
    Ok(report)
}

/// Runs on one design, which is the eliminator's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(
    block: &ZeroEliminator,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let data = Field::unsigned("data", block.width).lanes(block.lanes);
    let keep = Field::unsigned("keep", 1).lanes(block.lanes);
    let count = Field::unsigned("count", block.count_bits());
    let input = bench.source("in", &[data.clone(), keep]);
    let output = bench.sink("out", &[data, count]);
    bench.explain(output, |place| format!("word {}", place.word));
    let mut random = options.random(1);
    let mut report = Report::default();

    round(block, (input, output), &mut random).at_full_speed(&mut bench, |_| ())?;
    let latency = bench.sink_cycles(output)[0] - bench.source_cycles(input)[0];
    let documented = ZeroEliminator::LATENCY;
    ensure(latency == documented, || {
        format!("{}: latency {latency}, documented {documented}", design.top)
    })?;
    let steady = bench.sink_cycles(output).windows(2);
    ensure(
        steady.into_iter().all(|pair| pair[1] - pair[0] == 1),
        || format!("{}: a word does not follow in the next cycle", design.top),
    )?;

    let mut stalls = options.random(2);
    while report.words < options.cases as u64 {
        let round = round(block, (input, output), &mut random);
        round.with_stalls(&mut bench, &mut stalls, |_| ())?;
        report.words += WORDS as u64;
    }
    report.cycles = bench.simulator().cycle();
    report
        .notes
        .push(format!("{}: latency {latency}, interval 1", design.top));
    Ok(report)
}

/// Words of one round.
const WORDS: usize = 1000;

fn round(
    block: &ZeroEliminator,
    (input, output): (SourceId, SinkId),
    random: &mut impl Rng,
) -> Round {
    let mut sent = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..WORDS {
        let share = [0.0, 0.2, 0.5, 0.9, 1.0][random.random_range(0..5)];
        let keep: Vec<bool> = (0..block.lanes)
            .map(|_| random.random_bool(share))
            .collect();
        let lanes: Vec<i64> = (0..block.lanes)
            .map(|_| random.random_range(0..1 << block.width))
            .collect();
        let (mut packed, count) = golden(&lanes, &keep);
        packed.push(count as i64);
        expected.push(packed);
        let flags = keep.iter().map(|&keep| i64::from(keep));
        sent.push(lanes.iter().copied().chain(flags).collect());
    }
    Round {
        sources: vec![(input, sent)],
        sinks: vec![(output, expected)],
        collected: vec![],
    }
}
