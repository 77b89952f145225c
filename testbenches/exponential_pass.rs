//! Testbench of the exponential pass.

use rand_chacha::ChaCha8Rng;

use super::exponent::narrowest;
use super::softmax_rows::{Row, RowShape, fields, places, pruned_places};
use super::streams::{ROUNDS, Streams, Traffic, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::ExponentialPass;
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::Design;

/// Runs on the configuration's parameters and on the smallest: one lane, a ring of one row of banks, one row in flight,
/// with value pruning and without.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).softmax().exponential_pass();
    let mut report = check(&used, &design(&used), options)?;
    let smallest = ExponentialPass {
        formats: narrowest(),
        lanes: 1,
        exponential_lines: 1,
        rows_in_flight: 1,
        value_pruning: false,
    };
    let few = Options {
        cases: options.cases / 10,
        ..options.untraced()
    };
    let pruning = ExponentialPass {
        value_pruning: true,
        ..smallest.clone()
    };
    for corner in [smallest, pruning] {
        let corner = check(&corner, &design(&corner), &few)?;
        report.add(corner.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` rows in rounds of random stalls, each interrupted once by a reset; then the documented
/// latencies and intervals.
///
/// # Errors
/// As [`run`]; the message names stream, row, line and lane.
pub fn check(
    block: &ExponentialPass,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let shape = RowShape {
        formats: block.formats,
        lanes: block.lanes,
        most_lines: block.exponential_lines,
        pruned_keys: block
            .value_pruning
            .then_some(block.exponential_lines * block.lanes),
    };
    let mut sources = fields(&shape, &["score", "maximum", "scale"]);
    let mut sinks = fields(&shape, &["exponential", "row"]);
    if block.value_pruning {
        let prunes = fields(&shape, &["prunes"]).remove(0).1;
        sources.push(("pruning", prunes));
        sinks.extend(fields(&shape, &["ranked"]));
    }
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    let corners = shape.corners(&mut random);
    streams.at_full_speed(traffic(&shape, &corners, &mut random))?;
    for _ in 0..ROUNDS {
        let rows: Vec<_> = (0..options.cases / ROUNDS + 1)
            .map(|_| shape.random_row(&mut random))
            .collect();
        streams.with_stalls(traffic(&shape, &rows, &mut random))?;
    }

    let mut rows_of = |lines: usize, count: usize| {
        let rows: Vec<_> = (0..count)
            .map(|_| shape.random_row_of(lines, &mut random))
            .collect();
        traffic(&shape, &rows, &mut random)
    };
    streams.at_full_speed(rows_of(1, 1))?;
    let entered = streams.sent_at(0)[0];
    let mut notes = Vec::new();
    for (what, documented, sink) in [
        ("score line to exponentials", block.exponential_latency(), 0),
        ("last score line to 1/S", block.row_latency(), 1),
    ] {
        let measured = streams.taken_at(sink)[0] - entered;
        notes.push(figure(design, what, documented, measured)?);
    }
    let rows = 40 * block.rows_in_flight;
    streams.at_full_speed(rows_of(1, rows + 1))?;
    let what = format!("{rows} rows of one line");
    let documented = (40 * block.row_cycles(1)).max(rows);
    notes.push(figure(
        design,
        &what,
        documented,
        span(streams.taken_at(1)),
    )?);
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

fn traffic(shape: &RowShape, rows: &[Row], random: &mut ChaCha8Rng) -> Traffic {
    let words = shape.words(rows, random);
    let in_lines = places(rows, shape.lanes);
    let pruning = shape.pruned_keys.is_some();
    let mut traffic = Traffic {
        sent: vec![words.scores, words.maxima, words.scales],
        expected: vec![words.exponentials, words.reciprocals],
        explain: vec![
            Box::new(in_lines),
            Box::new(|place| format!("row {}", place.word)),
        ],
    };
    if pruning {
        traffic.sent.push(words.prunes);
        traffic.expected.push(words.ranked);
        let pruned = pruned_places(rows, shape.lanes);
        traffic.explain.push(Box::new(pruned));
    }
    traffic
}
