//! Testbench of the softmax stage.

use rand_chacha::ChaCha8Rng;

use super::exponent::narrowest;
use super::softmax_rows::{Row, RowShape, fields, places, pruned_places};
use super::streams::{ROUNDS, Streams, Traffic, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::{Softmax, ValueRanking};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::Design;

/// Runs on the configuration's parameters and on the smallest: one lane, rings of one row of banks, one row in flight,
/// without value pruning and with an engine for it; and, with lanes that are no power of two, with two.
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
        value_ranking: None,
    };
    let few = Options {
        cases: options.cases / 10,
        ..options.untraced()
    };
    let ranked = |engines: usize, comparators: usize, lanes: usize, max_keys: usize| Softmax {
        lanes,
        value_ranking: Some(ValueRanking {
            engines,
            comparators,
            lanes,
            max_keys,
        }),
        ..smallest.clone()
    };
    let one = ranked(1, 1, 1, 4);
    let two = Softmax {
        score_lines: 9,
        exponential_lines: 7,
        weight_lines: 16,
        rows_in_flight: 3,
        ..ranked(2, 2, 3, 20)
    };
    for corner in [smallest, one, two] {
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
pub fn check(block: &Softmax, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let shape = shape(block);
    let mut sources = vec!["score", "maximum", "scale"];
    let mut sinks = vec!["weight", "reciprocal", "probability"];
    if block.value_ranking.is_some() {
        sources.push("pruning");
        sinks.push("value_id");
    }
    let (sources, sinks) = (fields(&shape, &sources), fields(&shape, &sinks));
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    let corners = shape.corners(&mut random);
    streams.at_full_speed(traffic(&shape, &corners, &mut random))?;
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
    let ranking = block.value_ranking.as_ref();
    // Where rows are ranked they have at most a line without a key that counts.
    let of_ranking = ranking.map_or(usize::MAX, |r| r.max_keys.div_ceil(block.lanes) + 1);
    RowShape {
        formats: block.formats,
        lanes: block.lanes,
        most_lines: block
            .score_lines
            .min(block.exponential_lines)
            .min(of_ranking),
        pruned_keys: ranking.map(|ranking| ranking.max_keys),
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
    let mut rows_of = |prunes: bool, lines: usize, count: usize| {
        let rows = (0..count).map(|_| shape.row_that(prunes, lines, random));
        let rows: Vec<_> = rows.collect();
        traffic(&shape, &rows, random)
    };
    let mut notes = Vec::new();
    let lone = 2.min(shape.most_lines);
    streams.at_full_speed(rows_of(false, lone, 1))?;
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
        streams.at_full_speed(rows_of(false, lines, rows))?;
        let cycles = span(streams.taken_at(0));
        let what = format!("{rows} rows of {lines} lines, first to last weight line");
        notes.push(figure(design, &what, rows * lines - 1, cycles)?);
    }

    let rows = 40 * block.rows_in_flight;
    streams.at_full_speed(rows_of(false, 1, rows + 1))?;
    let cycles = span(streams.taken_at(0));
    let what = format!("{rows} rows of one line");
    let row_cycles = block.exponential_pass().row_cycles(1);
    let documented = (rows / block.rows_in_flight * row_cycles).max(rows);
    notes.push(figure(design, &what, documented, cycles)?);

    if block.value_ranking.is_some() {
        let longest = (shape.most_lines - 1).max(1);
        for lines in [4, 8, 16, longest] {
            if lines > longest {
                continue;
            }
            let rows = 40;
            streams.at_full_speed(rows_of(true, lines, rows))?;
            let cycles = span(streams.taken_at(0)) as f64 / (rows as f64 - 1.0 / lines as f64);
            notes.push(format!(
                "{rows} rows of {lines} lines with two values in five kept: {cycles:.1} cycles per row"
            ));
        }
    }
    Ok(notes)
}

fn traffic(shape: &RowShape, rows: &[Row], random: &mut ChaCha8Rng) -> Traffic {
    let words = shape.words(rows, random);
    let in_lines = places(rows, shape.lanes);
    let pruning = shape.pruned_keys.is_some();
    let mut traffic = Traffic {
        sent: vec![words.scores, words.maxima, words.scales],
        expected: vec![words.weights, words.divisors, words.probabilities],
        explain: vec![
            Box::new(in_lines),
            Box::new(|place| format!("row {}", place.word)),
            Box::new(places(rows, shape.lanes)),
        ],
    };
    if pruning {
        traffic.sent.push(words.prunings);
        traffic.expected.push(words.value_ids);
        let pruned = pruned_places(rows, shape.lanes);
        traffic.explain.push(Box::new(pruned));
    }
    traffic
}
