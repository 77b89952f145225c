//! Testbench of the positions of kept keys.

use rand::RngExt;

use super::softmax_rows::value_ids;
use super::streams::{ROUNDS, Streams, Traffic, Word, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::ValueIds;
use crate::config::Config;
use crate::cosim::{Design, Field};
use crate::engine::streams::value_id_fields;

/// Runs on the configuration's lanes, on a single one, on rows of one line, and on lanes that are no power of two.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = ValueIds {
        lanes: config.softmax.lanes,
        max_keys: config.limits.keys_per_row,
    };
    let mut report = check(&used, &design(&used), options)?;
    for (lanes, max_keys) in [(1, 9), (1, 1), (4, 3), (3, 50)] {
        let corner = ValueIds { lanes, max_keys };
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        report.add(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` rows in rounds of random stalls, each interrupted once by a reset; then the documented latency
/// and interval.
///
/// # Errors
/// As [`run`]; the message names the word and the lane.
pub fn check(block: &ValueIds, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let flags = Field::unsigned("keep", 1).lanes(block.lanes);
    let sources = [("line", vec![flags, Field::unsigned("last", 1)])];
    let sinks = [("value_id", value_id_fields(block))];
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    for _ in 0..ROUNDS {
        let rows = (0..options.cases / ROUNDS + 1).map(|_| {
            let keys = match random.random_bool(0.2) {
                true => random.random_range(1..=block.max_keys),
                false => random.random_range(1..=block.max_keys.min(4 * block.lanes)),
            };
            let share = random.random_range(0.0..=1.0);
            (0..keys).map(|_| random.random_bool(share)).collect()
        });
        let rows: Vec<Vec<bool>> = rows.collect();
        streams.with_stalls(traffic(&rows, block.lanes))?;
    }
    streams.at_full_speed(traffic(&vec![vec![true; block.max_keys]; 9], block.lanes))?;
    let latency = streams.taken_at(0)[0] - streams.sent_at(0)[0];
    let lines = 9 * block.max_keys.div_ceil(block.lanes);
    let notes = vec![
        figure(
            design,
            "line to positions",
            ValueIds::LATENCY as usize,
            latency,
        )?,
        figure(
            design,
            &format!("{lines} lines"),
            lines - 1,
            span(streams.taken_at(0)),
        )?,
    ];
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

fn traffic(rows: &[Vec<bool>], lanes: usize) -> Traffic {
    let lines = |row: &Vec<bool>| -> Vec<Word> {
        let count = row.len().div_ceil(lanes);
        let chunks = row.chunks(lanes).enumerate();
        chunks
            .map(|(line, kept)| {
                let mut word: Word = kept.iter().map(|&kept| i64::from(kept)).collect();
                word.resize(lanes, 0);
                word.push(i64::from(line + 1 == count));
                word
            })
            .collect()
    };
    let positions = rows.iter().flat_map(|row| value_ids(row, lanes));
    Traffic {
        sent: vec![rows.iter().flat_map(lines).collect()],
        expected: vec![positions.collect()],
        explain: vec![Box::new(|place| format!("line {}", place.word))],
    }
}
