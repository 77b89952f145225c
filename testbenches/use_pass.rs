//! Testbench of the use pass.

use rand_chacha::ChaCha8Rng;

use super::exponent::narrowest;
use super::softmax_rows::{Row, RowShape, fields, places};
use super::streams::{ROUNDS, Streams, Traffic, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::UsePass;
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::Design;
use crate::numerics::Formats;

/// Runs on the configuration's parameters and on the smallest: one lane, a ring of one row of banks, one row in flight.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).softmax().use_pass();
    let mut report = check(&used, config.formats(), &design(&used), options)?;
    let smallest = UsePass {
        lanes: 1,
        weight_lines: 1,
        rows_in_flight: 1,
    };
    let few = Options {
        cases: options.cases / 10,
        ..options.untraced()
    };
    let corner = check(&smallest, narrowest(), &design(&smallest), &few)?;
    report.add(corner.without_notes());
    Ok(report)
}

/// At least `options.cases` rows in rounds of random stalls, each interrupted once by a reset; then the documented
/// latencies and interval. The exponentials are those of scores in `formats`.
///
/// # Errors
/// As [`run`]; the message names stream, row, line and lane.
pub fn check(
    block: &UsePass,
    formats: Formats,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let shape = RowShape {
        formats,
        lanes: block.lanes,
        most_lines: 40,
    };
    let sources = fields(&shape, &["exponential", "row"]);
    let sinks = fields(&shape, &["weight", "reciprocal"]);
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    streams.at_full_speed(traffic(&shape, &shape.corners(), &mut random))?;
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
        ("exponentials to weights", block.weight_latency(), 0),
        ("last exponentials to 1/S", block.reciprocal_latency(), 1),
    ] {
        let measured = streams.taken_at(sink)[0] - entered;
        notes.push(figure(design, what, documented, measured)?);
    }
    if block.ring().lines() >= block.lines_at_full_speed() && block.rows_in_flight >= 3 {
        let rows = 200;
        streams.at_full_speed(rows_of(1, rows))?;
        let what = format!("{rows} rows of one line");
        notes.push(figure(design, &what, rows - 1, span(streams.taken_at(0)))?);
    }
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
    Traffic {
        sent: vec![words.exponentials, words.reciprocals.clone()],
        expected: vec![words.weights, words.reciprocals],
        explain: vec![
            Box::new(in_lines),
            Box::new(|place| format!("row {}", place.word)),
        ],
    }
}
