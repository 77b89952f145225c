//! Testbench of the noise of queries.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::streams::{ROUNDS, Streams, Traffic, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::attention_pipeline::AttentionPipeline;
use crate::accelerator::refine::QueryNoise;
use crate::accelerator::refine::golden::noise;
use crate::accelerator::shape::ArrayShape;
use crate::config::Config;
use crate::cosim::{Design, Field};
use crate::numerics::{NOISE_BITS, NOISE_SHIFT_BITS};

/// Runs on the configuration's queries, and on narrow ones: of a single dimension, of a single element per cycle, of all
/// elements at once.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut reports = Vec::new();
    if let Some(used) = AttentionPipeline::new(config).query_noise() {
        reports.push(check(&used, &design(&used), options)?);
    }
    for corner in corners() {
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        reports.push(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(Report::of(reports))
}

/// Small blocks.
pub fn corners() -> [QueryNoise; 3] {
    let block = |multipliers, head_dims: &[usize], rows| QueryNoise {
        shape: ArrayShape {
            multipliers,
            head_dims: head_dims.to_vec(),
        },
        query_bits: 4,
        rows,
    };
    [
        block(8, &[4], 2),
        block(16, &[2, 4, 8], 1),
        block(128, &[2, 4], 3),
    ]
}

/// A query of d elements, whether its noise is wanted, and the shift.
struct Row {
    level: usize,
    query: Vec<i64>,
    wanted: bool,
    shift: u32,
}

/// At least `options.cases` rows in rounds of random stalls, each interrupted once by a reset; then the documented latency
/// and interval.
///
/// # Errors
/// As [`run`]; the message names the row.
pub fn check(block: &QueryNoise, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let shape = &block.shape;
    let query = vec![
        Field::signed("query", block.query_bits).lanes(shape.max_dim()),
        Field::unsigned("level", shape.level_bits()),
        Field::unsigned("wanted", 1),
        Field::unsigned("shift", NOISE_SHIFT_BITS),
    ];
    let sinks = [("noise", vec![Field::unsigned("data", NOISE_BITS)])];
    let mut streams = Streams::start(design, options, &[("query", query)], &sinks)?;
    let mut notes = Vec::new();
    for level in shape.levels() {
        let rows: Vec<_> = (0..9).map(|_| largest(block, level)).collect();
        streams.at_full_speed(traffic(block, &rows))?;
        let latency = streams.taken_at(0)[0] - streams.sent_at(0)[0];
        notes = vec![figure(design, "query to noise", block.latency(), latency)?];
        // Where more rows are under way than have places they wait.
        if block.rows * block.steps(level) > block.latency() {
            let expected = 8 * block.steps(level);
            notes.push(figure(
                design,
                "nine rows",
                expected,
                span(streams.taken_at(0)),
            )?);
        }
    }
    for _ in 0..ROUNDS {
        let rows = (0..2 * options.cases / ROUNDS + 1).map(|_| random_row(block, &mut random));
        let rows: Vec<_> = rows.collect();
        streams.with_stalls(traffic(block, &rows))?;
    }
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

/// The largest sum of squares of a level.
fn largest(block: &QueryNoise, level: usize) -> Row {
    let most = (1 << (block.query_bits - 1)) - 1;
    Row {
        level,
        query: vec![-most; block.shape.min_dim() << level],
        wanted: true,
        shift: 0,
    }
}

fn random_row(block: &QueryNoise, random: &mut ChaCha8Rng) -> Row {
    let levels = block.shape.levels();
    let level = levels[random.random_range(0..levels.len())];
    let most: i64 = (1 << (block.query_bits - 1)) - 1;
    let most = most >> random.random_range(0..block.query_bits);
    let element = |_| random.random_range(-most..=most);
    Row {
        level,
        query: (0..block.shape.min_dim() << level).map(element).collect(),
        wanted: random.random_bool(0.7),
        shift: match random.random_bool(0.8) {
            true => random.random_range(0..8),
            false => random.random_range(0..1 << NOISE_SHIFT_BITS),
        },
    }
}

fn traffic(block: &QueryNoise, rows: &[Row]) -> Traffic {
    let word = |row: &Row| {
        let mut word = row.query.clone();
        // What lies beyond d must not matter.
        word.resize(block.shape.max_dim(), 1);
        word.extend([
            row.level as i64,
            i64::from(row.wanted),
            i64::from(row.shift),
        ]);
        word
    };
    let wanted = || rows.iter().enumerate().filter(|(_, row)| row.wanted);
    let places: Vec<_> = wanted().map(|(index, _)| index).collect();
    let noises = wanted().map(|(_, row)| vec![noise(&row.query, row.shift)]);
    Traffic {
        sent: vec![rows.iter().map(word).collect()],
        expected: vec![noises.collect()],
        explain: vec![Box::new(move |place| format!("row {}", places[place.word]))],
    }
}
