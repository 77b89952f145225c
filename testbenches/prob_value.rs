//! Testbench of the `prob_value` stage.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::exponent::narrowest;
use super::streams::{ROUNDS, Streams, Traffic, Word, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::prob_value::ProbValue;
use crate::accelerator::prob_value::golden::{accumulate, normalise_row};
use crate::accelerator::shape::ArrayShape;
use crate::accelerator::top::AttentionCore;
use crate::cells::lane_packer::pack_groups;
use crate::cells::reciprocal::golden::{Reciprocal, reciprocal};
use crate::config::Config;
use crate::cosim::{Design, Field, Place};
use crate::engine::streams::{LayerStreams, lines};
use crate::numerics::{RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, WEIGHT_BITS};

/// Most V lines of a random row.
const MOST_LINES: usize = 20;

/// One row of whole V lines.
#[derive(Clone, Debug)]
struct Row {
    level: usize,
    weights: Vec<i64>,
    /// One V vector per weight.
    values: Vec<Vec<i64>>,
    reciprocal: Reciprocal,
}

/// Runs on the configuration's parameters and on corners: one vector per line with a row's outputs in one transfer,
/// and rows whose outputs take longer than their lines.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).prob_value();
    let mut report = check(&used, &design(&used), options)?;
    let smallest = ProbValue {
        shape: ArrayShape {
            multipliers: 32,
            head_dims: vec![32],
        },
        formats: narrowest(),
        lanes: 1,
        output_lanes: 32,
    };
    let few = Options {
        cases: options.cases / 10,
        ..options.untraced()
    };
    // Rows that drain for longer than the next one's sums take to finish.
    let slow = ProbValue {
        shape: ArrayShape {
            multipliers: 32,
            head_dims: vec![16, 32],
        },
        lanes: 2,
        output_lanes: 2,
        ..smallest.clone()
    };
    for corner in [smallest, slow] {
        let corner = check(&corner, &design(&corner), &few)?;
        report.add(corner.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` rows of all head dimensions in rounds of random stalls, each interrupted once by a
/// reset; then the documented latency and intervals.
///
/// # Errors
/// As [`run`]; the message names stream, row, head dimension and output element.
pub fn check(block: &ProbValue, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let formats = block.formats;
    let line = Field::signed("data", formats.value_bits).lanes(block.shape.multipliers);
    let sources = [
        (
            "row",
            vec![Field::unsigned("level", block.shape.level_bits())],
        ),
        (
            "weight",
            vec![Field::unsigned("data", WEIGHT_BITS).lanes(block.lanes)],
        ),
        ("line", vec![line, Field::unsigned("last", 1)]),
        (
            "reciprocal",
            vec![
                Field::unsigned("r", RECIPROCAL_BITS),
                Field::unsigned("k", RECIPROCAL_EXPONENT_BITS),
            ],
        ),
    ];
    let outputs = Field::signed("data", formats.output_bits()).lanes(block.output_lanes);
    let sinks = [("out", vec![outputs, Field::unsigned("last", 1)])];
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    streams.at_full_speed(traffic(block, &corners(block)))?;
    for _ in 0..ROUNDS {
        let rows: Vec<_> = (0..options.cases / ROUNDS + 1)
            .map(|_| random_row(block, &mut random))
            .collect();
        streams.with_stalls(traffic(block, &rows))?;
    }
    let notes = measure(block, design, &mut streams, &mut random)?;
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

/// Per head dimension: latency of a lone line, interval over rows of many lines and of one.
fn measure(
    block: &ProbValue,
    design: &Design,
    streams: &mut Streams,
    random: &mut ChaCha8Rng,
) -> Result<Vec<String>, BenchError> {
    let mut notes = Vec::new();
    let mut rows_of = |level: usize, lines: usize, count: usize| {
        let rows: Vec<_> = (0..count)
            .map(|_| random_row_of(block, level, lines, random))
            .collect();
        traffic(block, &rows)
    };
    for level in block.shape.levels() {
        let dim = block.shape.min_dim() << level;
        streams.at_full_speed(rows_of(level, 1, 1))?;
        let latency = streams.taken_at(0)[0] - streams.sent_at(2)[0];
        let what = format!("d {dim}: last V line to the row's first outputs");
        notes.push(figure(design, &what, block.latency(), latency)?);

        let rows = 20;
        for (lines, what) in [(MOST_LINES, "V lines"), (1, "V line")] {
            streams.at_full_speed(rows_of(level, lines, rows))?;
            let cycles = span(streams.sent_at(2));
            let documented = if lines == 1 {
                (rows - 1) * block.row_cycles(level, 1)
            } else {
                rows * block.row_cycles(level, lines) - block.line_cycles(level)
            };
            let what = format!("d {dim}: {rows} rows of {lines} {what}, first to last");
            notes.push(figure(design, &what, documented, cycles)?);
        }
    }
    Ok(notes)
}

fn traffic(block: &ProbValue, rows: &[Row]) -> Traffic {
    let [
        mut levels,
        mut weight_lines,
        mut value_lines,
        mut reciprocals,
        mut outputs,
    ] = [const { Vec::<Word>::new() }; 5];
    let mut places = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        levels.push(vec![row.level as i64]);
        let per_line = block.shape.vectors_per_line(row.level);
        let groups: Vec<_> = row.weights.chunks(per_line).map(<[_]>::to_vec).collect();
        weight_lines.extend(pack_groups(&groups, block.lanes));
        let mut lines = lines(&block.shape, &row.values);
        let count = lines.len();
        for (line, word) in lines.iter_mut().enumerate() {
            word.push(i64::from(line + 1 == count));
        }
        value_lines.append(&mut lines);
        reciprocals.push(vec![
            row.reciprocal.mantissa,
            i64::from(row.reciprocal.exponent),
        ]);

        let sums = accumulate(&block.formats, &row.weights, &row.values);
        let golden = normalise_row(&block.formats, &sums, row.reciprocal);
        let words = LayerStreams::output_words(block.output_lanes, &golden);
        places.extend((0..words.len()).map(|word| (index, row.level, count, word)));
        outputs.extend(words);
    }
    let (lanes, min_dim) = (block.output_lanes, block.shape.min_dim());
    let explain = move |place: &Place| {
        let (row, level, lines, word) = places[place.word];
        format!(
            "row {row} of {lines} lines, d {}, element {}",
            min_dim << level,
            word * lanes + place.lane
        )
    };
    Traffic {
        sent: vec![levels, weight_lines, value_lines, reciprocals],
        expected: vec![outputs],
        explain: vec![Box::new(explain)],
    }
}

/// Per head dimension: extreme weights and values that saturate either way, short and long; empty rows.
fn corners(block: &ProbValue) -> Vec<Row> {
    let bound = 1_i64 << (block.formats.value_bits - 1);
    let mut rows = Vec::new();
    for lines in [1, MOST_LINES] {
        for level in block.shape.levels() {
            let keys = lines * block.shape.vectors_per_line(level);
            for value in [-bound, bound - 1] {
                for weight in [(1 << WEIGHT_BITS) - 1, 0] {
                    let weights = vec![weight; keys];
                    let total: i64 = weights.iter().sum();
                    // A reciprocal up to twice too large brings the outputs beyond their range.
                    let largest = Reciprocal {
                        mantissa: (1 << RECIPROCAL_BITS) - 1,
                        ..reciprocal(total)
                    };
                    for reciprocal in [reciprocal(total), largest] {
                        rows.push(Row {
                            level,
                            weights: weights.clone(),
                            values: vec![vec![value; block.shape.min_dim() << level]; keys],
                            reciprocal,
                        });
                    }
                }
            }
        }
    }
    rows
}

fn random_row(block: &ProbValue, random: &mut ChaCha8Rng) -> Row {
    let levels = block.shape.levels();
    let level = levels[random.random_range(0..levels.len())];
    let most = if random.random_bool(0.1) {
        MOST_LINES
    } else {
        4
    };
    let lines = random.random_range(1..=most);
    random_row_of(block, level, lines, random)
}

fn random_row_of(block: &ProbValue, level: usize, lines: usize, random: &mut ChaCha8Rng) -> Row {
    let keys = lines * block.shape.vectors_per_line(level);
    let bound = 1_i64 << (block.formats.value_bits - 1);
    let heaviest =
        [(1 << WEIGHT_BITS) - 1, 3, 0][random.random_range(0..20_usize).saturating_sub(17)];
    let weights: Vec<i64> = (0..keys)
        .map(|_| random.random_range(0..=heaviest))
        .collect();
    let dim = block.shape.min_dim() << level;
    let vector = |_| {
        (0..dim)
            .map(|_| random.random_range(-bound..bound))
            .collect()
    };
    Row {
        level,
        values: (0..keys).map(vector).collect(),
        reciprocal: reciprocal(weights.iter().sum()),
        weights,
    }
}
