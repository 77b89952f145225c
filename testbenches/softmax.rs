//! Testbench of the softmax stage.

use rand_chacha::ChaCha8Rng;

use super::exponent::narrowest;
use super::softmax_rows::{Row, RowShape, fields, places};
use super::streams::{ROUNDS, Streams, Traffic, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::Softmax;
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::Design;

/// Runs on the configuration's parameters and on the smallest: one lane, rings of one row of banks, one row in flight.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).softmax();
    let mut report = check(&used, &design(&used), options)?;
    let smallest = Softmax {
        formats: narrowest(),
        lanes: 1,
        score_lines: 1,
        exponential_lines: 1,
        weight_lines: 1,
        rows_in_flight: 1,
    };
    let few = Options {
        cases: options.cases / 10,
        ..options.untraced()
    };
    let corner = check(&smallest, &design(&smallest), &few)?;
    report.add(corner.without_notes());
    Ok(report)
}

/// At least `options.cases` rows in rounds of random stalls, each interrupted once by a reset; then the documented
/// latencies and intervals.
///
/// # Errors
/// As [`run`]; the message names stream, row, line and lane.
pub fn check(block: &Softmax, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let shape = shape(block);
    let sources = fields(&shape, &["score", "maximum", "scale"]);
    let sinks = fields(&shape, &["weight", "reciprocal"]);
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    streams.at_full_speed(traffic(&shape, &shape.corners(), &mut random))?;
    for _ in 0..ROUNDS {
        let rows: Vec<_> = (0..options.cases / ROUNDS + 1)
            .map(|_| shape.random_row(&mut random))
            .collect();
        streams.with_stalls(traffic(&shape, &rows, &mut random))?;
    }
    let notes = measure(block, design, &mut streams, &mut random)?;
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

fn shape(block: &Softmax) -> RowShape {
    RowShape {
        formats: block.formats,
        lanes: block.lanes,
        most_lines: block.score_lines.min(block.exponential_lines),
    }
}

/// Latencies of a lone row, interval over rows that are long enough, interval of the shortest rows.
fn measure(
    block: &Softmax,
    design: &Design,
    streams: &mut Streams,
    random: &mut ChaCha8Rng,
) -> Result<Vec<String>, BenchError> {
    let shape = shape(block);
    let mut rows_of = |lines: usize, count: usize| {
        let rows: Vec<_> = (0..count)
            .map(|_| shape.random_row_of(lines, random))
            .collect();
        traffic(&shape, &rows, random)
    };
    let mut notes = Vec::new();
    let lone = 2.min(shape.most_lines);
    streams.at_full_speed(rows_of(lone, 1))?;
    let entered = *streams.sent_at(0).last().unwrap_or(&0);
    for (what, documented, sink) in [
        ("first weights", block.weight_latency(), 0),
        ("reciprocal", block.reciprocal_latency(lone), 1),
    ] {
        let measured = streams.taken_at(sink)[0] - entered;
        let what = format!("last of {lone} score lines to {what}");
        notes.push(figure(design, &what, documented, measured)?);
    }

    if let Some(lines) = (1..=shape.most_lines).find(|&lines| block.has_full_speed(lines)) {
        let rows = 40;
        streams.at_full_speed(rows_of(lines, rows))?;
        let cycles = span(streams.taken_at(0));
        let what = format!("{rows} rows of {lines} lines, first to last weight line");
        notes.push(figure(design, &what, rows * lines - 1, cycles)?);
    }

    let rows = 40 * block.rows_in_flight;
    streams.at_full_speed(rows_of(1, rows + 1))?;
    let cycles = span(streams.taken_at(0));
    let what = format!("{rows} rows of one line");
    let row_cycles = block.exponential_pass().row_cycles(1);
    let documented = (rows / block.rows_in_flight * row_cycles).max(rows);
    notes.push(figure(design, &what, documented, cycles)?);
    Ok(notes)
}

fn traffic(shape: &RowShape, rows: &[Row], random: &mut ChaCha8Rng) -> Traffic {
    let words = shape.words(rows, random);
    let in_lines = places(rows, shape.lanes);
    Traffic {
        sent: vec![words.scores, words.maxima, words.scales],
        expected: vec![words.weights, words.reciprocals],
        explain: vec![
            Box::new(in_lines),
            Box::new(|place| format!("row {}", place.word)),
        ],
    }
}
