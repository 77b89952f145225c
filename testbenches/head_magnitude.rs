//! Testbench of heads' magnitudes: jobs of heads with any step, from outputs to lines of increments.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::streams::{ROUNDS, Streams, Traffic, Word, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::importance::HeadMagnitude;
use crate::accelerator::importance::golden::{HeadScale, accumulate_head, magnitude};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::{Design, Field};
use crate::numerics::{HEAD_SCALE_MANTISSA_BITS, HEAD_SCALE_SHIFT_BITS, HEAD_SCORE_BITS};

/// Runs on the configuration's parameters, on one lane of everything, and on lanes that are no powers of two.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).importance().head_magnitude();
    let mut report = check(&used, &design(&used), options)?;
    for (output_lanes, output_bits, lanes) in [(1, 16, 1), (3, 14, 5)] {
        let corner = HeadMagnitude {
            output_lanes,
            output_bits,
            lanes,
        };
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        report.add(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` lines of increments in rounds of random stalls, each interrupted once by a reset; then the
/// documented latency, and heads that must come without a pause.
///
/// # Errors
/// As [`run`]; the message names the job, the line and the lane.
pub fn check(
    block: &HeadMagnitude,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let (sources, sinks) = channels(block);
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    for _ in 0..ROUNDS {
        let mut jobs = Jobs::new(block);
        jobs.saturating_job();
        while jobs.expected.len() < options.cases.div_ceil(ROUNDS) {
            jobs.random_job(&mut random);
        }
        streams.with_stalls(jobs.traffic())?;
    }

    let mut jobs = Jobs::new(block);
    jobs.job(&[(1, 1, random_scale(&mut random))], &mut random);
    streams.at_full_speed(jobs.traffic())?;
    let latency = streams.taken_at(0)[0] - streams.sent_at(0)[0];
    let mut notes = vec![figure(design, "output to line", block.latency(), latency)?];
    let mut jobs = Jobs::new(block);
    let (heads, words) = (20, block.latency());
    let head = (1, words, random_scale(&mut random));
    jobs.job(&vec![head; heads], &mut random);
    streams.at_full_speed(jobs.traffic())?;
    let what = format!("{heads} heads of {words} words");
    notes.push(figure(
        design,
        &what,
        heads * words - 1,
        span(streams.sent_at(0)),
    )?);
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

/// A stream's name and fields.
type Channel = (&'static str, Vec<Field>);

fn channels(block: &HeadMagnitude) -> ([Channel; 2], [Channel; 1]) {
    let word = vec![
        Field::signed("data", block.output_bits).lanes(block.output_lanes),
        Field::unsigned("last", 1),
    ];
    let row = vec![
        Field::unsigned("head_last", 1),
        Field::unsigned("job_last", 1),
        Field::unsigned("step_mantissa", HEAD_SCALE_MANTISSA_BITS),
        Field::unsigned("step_shift", HEAD_SCALE_SHIFT_BITS),
    ];
    let out = vec![
        Field::unsigned("data", HEAD_SCORE_BITS).lanes(block.lanes),
        Field::unsigned("end", 1),
    ];
    ([("word", word), ("row", row)], [("out", out)])
}

/// The rows of a head, the words of each row, the head's step.
type Head = (usize, usize, HeadScale);

/// Jobs, their words, and the lines of increments that must come.
struct Jobs<'a> {
    block: &'a HeadMagnitude,
    words: Vec<Word>,
    rows: Vec<Word>,
    expected: Vec<Word>,
    /// The job and line of each expected word.
    places: Vec<(usize, usize)>,
    count: usize,
}

impl<'a> Jobs<'a> {
    fn new(block: &'a HeadMagnitude) -> Self {
        Jobs {
            block,
            words: Vec::new(),
            rows: Vec::new(),
            expected: Vec::new(),
            places: Vec::new(),
            count: 0,
        }
    }

    fn traffic(self) -> Traffic {
        let places = self.places;
        Traffic {
            sent: vec![self.words, self.rows],
            expected: vec![self.expected],
            explain: vec![Box::new(move |place| {
                let (job, line) = places[place.word];
                format!("job {job}, line {line}")
            })],
        }
    }

    /// Mostly a few heads, so that lines end anywhere.
    fn random_job(&mut self, random: &mut ChaCha8Rng) {
        let most = [1, self.block.lanes, 2 * self.block.lanes + 1][random.random_range(0..3)];
        let heads = random.random_range(1..=most);
        let mut head = |_| {
            let (rows, words) = (random.random_range(1..=3), random.random_range(1..=4));
            (rows, words, random_scale(random))
        };
        let heads: Vec<Head> = (0..heads).map(&mut head).collect();
        self.job(&heads, random);
    }

    fn job(&mut self, heads: &[Head], random: &mut ChaCha8Rng) {
        let block = self.block;
        let bound = 1_i64 << (block.output_bits - 1);
        self.job_of(heads, |lowest| match lowest {
            true => -bound,
            false => random.random_range(-bound..bound),
        });
    }

    /// Heads of one large magnitude: with the largest step its increment is beyond the largest score, unless that takes too
    /// many words; with smaller steps it is a little below, somewhere between, and zero.
    fn saturating_job(&mut self) {
        const MOST_WORDS: usize = 4096;
        let block = self.block;
        let bound = 1_i64 << (block.output_bits - 1);
        let per_word = bound as usize * block.output_lanes;
        let words =
            (1_usize << (HEAD_SCORE_BITS - HEAD_SCALE_MANTISSA_BITS)).div_ceil(per_word) + 1;
        let words = words.min(MOST_WORDS);
        let scale = |mantissa, shift| HeadScale { mantissa, shift };
        let heads = [
            scale(65535, 0),
            scale(65535, 63),
            scale(32768, 40),
            scale(65535, 1),
        ];
        let heads: Vec<Head> = heads.map(|scale| (1, words, scale)).into();
        self.job_of(&heads, |_| -bound);
    }

    /// A job of outputs that `output` gives; it is told whether every output of the word is to be the lowest.
    fn job_of(&mut self, heads: &[Head], mut output: impl FnMut(bool) -> i64) {
        let block = self.block;
        let mut increments = Vec::new();
        for (index, &(rows, words, scale)) in heads.iter().enumerate() {
            let mut outputs = Vec::new();
            for row in 0..rows {
                for word in 0..words {
                    let lowest = (index + row + word) % 7 == 3;
                    let mut values: Word =
                        (0..block.output_lanes).map(|_| output(lowest)).collect();
                    outputs.extend(values.iter().copied());
                    values.push(i64::from(word + 1 == words));
                    self.words.push(values);
                }
                let head_last = row + 1 == rows;
                self.rows.push(vec![
                    i64::from(head_last),
                    i64::from(head_last && index + 1 == heads.len()),
                    scale.mantissa,
                    i64::from(scale.shift),
                ]);
            }
            increments.push(accumulate_head(0, magnitude(&outputs), scale));
        }
        let lines = increments.len().div_ceil(block.lanes);
        for (line, chunk) in increments.chunks(block.lanes).enumerate() {
            let mut word = chunk.to_vec();
            word.resize(block.lanes, 0);
            word.push(i64::from(line + 1 == lines));
            self.expected.push(word);
            self.places.push((self.count, line));
        }
        self.count += 1;
    }
}

/// Any mantissa and shift; often shifts that leave something of the magnitude, and the ends.
fn random_scale(random: &mut ChaCha8Rng) -> HeadScale {
    let shift = match random.random_range(0..8) {
        0 => 0,
        1 => (1 << HEAD_SCALE_SHIFT_BITS) - 1,
        2 => random.random_range(0..1 << HEAD_SCALE_SHIFT_BITS),
        _ => random.random_range(8..36),
    };
    HeadScale {
        mantissa: random.random_range(0..1 << HEAD_SCALE_MANTISSA_BITS),
        shift,
    }
}
