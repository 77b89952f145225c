//! Testbench of the softmax stage.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::exponent::{narrowest, random_scale, scale_of_shift};
use super::streams::{ROUNDS, Streams, Traffic, Word, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::query_key::golden::row_maximum;
use crate::accelerator::softmax::Softmax;
use crate::accelerator::softmax::golden::{Scale, exponentials, sum, weights};
use crate::cells::reciprocal::golden::reciprocal;
use crate::config::Config;
use crate::cosim::{Design, Field, Place};
use crate::numerics::{
    RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, SCALE_MANTISSA_BITS, SCALE_SHIFT_BITS, WEIGHT_BITS,
};

/// One row of whole score lines.
#[derive(Clone, Debug)]
struct Row {
    scores: Vec<i64>,
    live: Vec<bool>,
    scale: Scale,
}

/// Runs on the configuration's parameters and on the smallest: one lane, a ring of one line, one row in flight.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = Softmax {
        formats: config.formats(),
        lanes: config.softmax.lanes,
        score_lines: config.buffers.score_lines,
        rows_in_flight: config.schedule.rows_in_flight,
    };
    let mut report = check(&used, &design(&used), options)?;
    let smallest = Softmax {
        formats: narrowest(),
        lanes: 1,
        score_lines: 1,
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
    let score_bits = block.formats.score_bits();
    let sources = [
        (
            "score",
            vec![
                Field::signed("data", score_bits).lanes(block.lanes),
                Field::unsigned("live", 1).lanes(block.lanes),
                Field::unsigned("last", 1),
            ],
        ),
        ("maximum", vec![Field::signed("data", score_bits)]),
        (
            "scale",
            vec![
                Field::unsigned("mantissa", SCALE_MANTISSA_BITS),
                Field::unsigned("pre", SCALE_SHIFT_BITS),
                Field::unsigned("post", SCALE_SHIFT_BITS),
            ],
        ),
    ];
    let sinks = [
        (
            "weight",
            vec![Field::unsigned("data", WEIGHT_BITS).lanes(block.lanes)],
        ),
        (
            "reciprocal",
            vec![
                Field::unsigned("r", RECIPROCAL_BITS),
                Field::unsigned("k", RECIPROCAL_EXPONENT_BITS),
            ],
        ),
    ];
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    streams.at_full_speed(traffic(block, &corners(block), &mut random))?;
    for _ in 0..ROUNDS {
        let rows: Vec<_> = (0..options.cases / ROUNDS + 1)
            .map(|_| random_row(block, &mut random))
            .collect();
        streams.with_stalls(traffic(block, &rows, &mut random))?;
    }
    let notes = measure(block, design, &mut streams, &mut random)?;
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
    })
}

/// Latency of a lone line, interval over long rows, interval of the shortest rows.
fn measure(
    block: &Softmax,
    design: &Design,
    streams: &mut Streams,
    random: &mut ChaCha8Rng,
) -> Result<Vec<String>, BenchError> {
    let mut rows_of = |lines: usize, count: usize| {
        let rows: Vec<_> = (0..count)
            .map(|_| Row {
                scores: vec![0; lines * block.lanes],
                ..random_row_of(block, lines, random)
            })
            .collect();
        traffic(block, &rows, random)
    };
    streams.at_full_speed(rows_of(1, 1))?;
    let entered = streams.sent_at(0)[0];
    let mut notes = vec![
        figure(
            design,
            "score line to weights",
            block.latency(),
            streams.taken_at(0)[0] - entered,
        )?,
        figure(
            design,
            "last score line to reciprocal",
            block.reciprocal_latency(),
            streams.taken_at(1)[0] - entered,
        )?,
    ];

    let lines = block.least_lines_at_full_speed();
    if lines <= block.score_lines && block.score_lines > 1 {
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
    let documented = rows / block.rows_in_flight * block.row_cycles();
    notes.push(figure(design, &what, documented, cycles)?);
    Ok(notes)
}

fn traffic(block: &Softmax, rows: &[Row], random: &mut ChaCha8Rng) -> Traffic {
    let [
        mut scores,
        mut maxima,
        mut scales,
        mut weight_lines,
        mut reciprocals,
    ] = [const { Vec::<Word>::new() }; 5];
    let mut places = Vec::new();
    let bound = 1_i64 << (block.formats.score_bits() - 1);
    for (
        row,
        Row {
            scores: s,
            live,
            scale,
        },
    ) in rows.iter().enumerate()
    {
        let lines = s.len() / block.lanes;
        for (line, (s, live)) in s
            .chunks(block.lanes)
            .zip(live.chunks(block.lanes))
            .enumerate()
        {
            let mut word = s.to_vec();
            word.extend(live.iter().map(|&flag| i64::from(flag)));
            word.push(i64::from(line + 1 == lines));
            scores.push(word);
            places.push((row, line));
        }
        let maximum = row_maximum(s, live);
        // Whatever stands for the maximum of an empty row must not matter.
        maxima.push(vec![
            maximum.unwrap_or_else(|| random.random_range(-bound..bound)),
        ]);
        scales.push(vec![
            scale.mantissa,
            i64::from(scale.pre),
            i64::from(scale.post),
        ]);

        let e = exponentials(s, live, maximum, *scale);
        weight_lines.extend(weights(&e, None).chunks(block.lanes).map(<[_]>::to_vec));
        let reciprocal = reciprocal(sum(&e));
        reciprocals.push(vec![reciprocal.mantissa, i64::from(reciprocal.exponent)]);
    }
    let of_weights = move |place: &Place| {
        let (row, line) = places[place.word];
        format!("row {row}, line {line}")
    };
    Traffic {
        sent: vec![scores, maxima, scales],
        expected: vec![weight_lines, reciprocals],
        explain: vec![
            Box::new(of_weights),
            Box::new(|place| format!("row {}", place.word)),
        ],
    }
}

/// Every shift of the scale with the distances at which exponentials change, and the ends of the shift registers; the
/// longest and the shortest rows; rows without a live key.
fn corners(block: &Softmax) -> Vec<Row> {
    let bound = 1_i64 << (block.formats.score_bits() - 1);
    let ends = [bound - 1, -bound, 0, -1, bound - 2];
    let mut scales: Vec<_> = (0..1 << SCALE_SHIFT_BITS)
        .map(|shift| scale_of_shift(shift, 40_000))
        .collect();
    let longest = (1 << SCALE_SHIFT_BITS) - 1;
    for (pre, post) in [(0, 0), (0, longest), (longest, 0), (longest, longest)] {
        let mantissa = (1 << SCALE_MANTISSA_BITS) - 1;
        scales.push(Scale {
            mantissa,
            pre,
            post,
        });
    }
    let mut rows = Vec::new();
    for (index, scale) in scales.into_iter().enumerate() {
        let lines = [1, block.score_lines, 2.min(block.score_lines)][index % 3];
        let step = (1.0 / scale.factor()).min(bound as f64) as i64;
        let near = (0..lines * block.lanes).map(|key| {
            let distance = (step as i128 * key as i128 / 2).min(bound as i128) as i64;
            bound - 1 - distance
        });
        let far = (0..lines * block.lanes).map(|key| ends[key % ends.len()]);
        for scores in [near.collect::<Vec<_>>(), far.collect()] {
            for dead_every in [usize::MAX, 1, 2] {
                let live = (1..=scores.len()).map(|key| key % dead_every != 0);
                rows.push(Row {
                    live: live.collect(),
                    scores: scores.clone(),
                    scale,
                });
            }
        }
    }
    rows
}

fn random_row(block: &Softmax, random: &mut ChaCha8Rng) -> Row {
    let lines = if random.random_bool(0.2) {
        random.random_range(1..=block.score_lines)
    } else {
        random.random_range(1..=block.score_lines.min(4))
    };
    random_row_of(block, lines, random)
}

fn random_row_of(block: &Softmax, lines: usize, random: &mut ChaCha8Rng) -> Row {
    let score_bits = block.formats.score_bits();
    let bound = 1_i64 << (score_bits - 1);
    let top = random.random_range(-bound..bound);
    let reach = 1_i64 << random.random_range(0..score_bits);
    let lowest = (top - reach).max(-bound);
    let dead = [0.0, 0.3, 1.0][random.random_range(0..20_usize).saturating_sub(17)];
    let keys = lines * block.lanes;
    Row {
        scores: (0..keys)
            .map(|_| random.random_range(lowest..=top))
            .collect(),
        live: (0..keys).map(|_| !random.random_bool(dead)).collect(),
        scale: random_scale(random, reach),
    }
}
