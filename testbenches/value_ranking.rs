//! Testbench of the ranking for local value pruning.

use rand_chacha::ChaCha8Rng;

use super::exponent::narrowest;
use super::softmax_rows::{Row, RowShape, fields, pruned_rows};
use super::streams::{ROUNDS, Streams, Traffic, design};
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::ValueRanking;
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::Design;

/// Runs on the configuration's parameters where it prunes values, and on small ones: an engine of one comparator, and two
/// whose lines are wider than their rows.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut report = Report::default();
    if let Some(used) = AttentionCore::new(config).value_ranking() {
        report = check(&used, &design(&used), options)?;
    }
    let few = Options {
        cases: options.cases / 10,
        ..options.untraced()
    };
    for (engines, comparators, lanes, max_keys) in [(1, 1, 1, 5), (2, 2, 3, 20)] {
        let corner = ValueRanking {
            engines,
            comparators,
            lanes,
            max_keys,
        };
        report.add(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` rows that prune in rounds of random stalls, each interrupted once by a reset; then the cycles
/// per row at full speed.
///
/// # Errors
/// As [`run`]; the message names the row.
pub fn check(
    block: &ValueRanking,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let shape = RowShape {
        formats: narrowest(),
        lanes: block.lanes,
        most_lines: block.max_keys.div_ceil(block.lanes) + 1,
        pruned_keys: Some(block.max_keys),
    };
    let sources = fields(&shape, &["selection", "line"]);
    let sinks = fields(&shape, &["threshold"]);
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    let corners = shape.corners(&mut random);
    streams.at_full_speed(traffic(&shape, &corners, &mut random))?;
    for _ in 0..ROUNDS {
        let mut rows = Vec::new();
        let mut ranked = 0;
        while ranked <= options.cases / ROUNDS {
            let row = shape.random_row(&mut random);
            ranked += usize::from(row.prunes());
            rows.push(row);
        }
        streams.with_stalls(traffic(&shape, &rows, &mut random))?;
    }

    let mut notes = Vec::new();
    let longest = shape.most_lines - 1;
    for lines in [2, 8, 16, longest].into_iter().filter(|&l| l <= longest) {
        let count = 100;
        let rows: Vec<_> = (0..count)
            .map(|_| shape.row_that(true, lines, &mut random))
            .collect();
        streams.at_full_speed(traffic(&shape, &rows, &mut random))?;
        let thresholds = streams.taken_at(0);
        let cycles = thresholds[count - 1] - thresholds[0];
        let per_row = cycles as f64 / (count - 1) as f64;
        notes.push(format!(
            "rows of {lines} lines: a threshold per {per_row:.1} cycles"
        ));
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
    Traffic {
        sent: vec![words.selections, words.ranked],
        expected: vec![words.thresholds],
        explain: vec![Box::new(pruned_rows(rows))],
    }
}
