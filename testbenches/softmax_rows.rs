//! Rows of scores and their words on the streams of softmax and of its passes.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::exponent::{random_scale, scale_of_shift};
use super::streams::Word;
use crate::accelerator::query_key::golden::row_maximum;
use crate::accelerator::softmax::golden::{Scale, exponentials, sum, weights};
use crate::cells::reciprocal::golden::reciprocal;
use crate::cosim::{Field, Place};
use crate::numerics::{
    EXPONENTIAL_BITS, Formats, RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, SCALE_MANTISSA_BITS,
    SCALE_SHIFT_BITS, WEIGHT_BITS,
};

/// One row of whole score lines.
#[derive(Clone, Debug)]
pub(super) struct Row {
    scores: Vec<i64>,
    live: Vec<bool>,
    scale: Scale,
}

/// What rows a block takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowShape {
    /// Operand formats.
    pub formats: Formats,
    /// Keys per line.
    pub lanes: usize,
    /// Lines of the longest row.
    pub most_lines: usize,
}

/// The words of rows on every stream, in order.
#[derive(Default)]
pub(super) struct RowWords {
    pub scores: Vec<Word>,
    pub maxima: Vec<Word>,
    pub scales: Vec<Word>,
    pub exponentials: Vec<Word>,
    pub reciprocals: Vec<Word>,
    pub weights: Vec<Word>,
}

/// The fields of streams by their names.
pub(super) fn fields<'a>(shape: &RowShape, names: &[&'a str]) -> Vec<(&'a str, Vec<Field>)> {
    let score_bits = shape.formats.score_bits();
    let line = |data: Field| {
        vec![
            data.lanes(shape.lanes),
            Field::unsigned("live", 1).lanes(shape.lanes),
            Field::unsigned("last", 1),
        ]
    };
    let fields = |name: &str| match name {
        "score" => line(Field::signed("data", score_bits)),
        "maximum" => vec![Field::signed("data", score_bits)],
        "scale" => vec![
            Field::unsigned("mantissa", SCALE_MANTISSA_BITS),
            Field::unsigned("pre", SCALE_SHIFT_BITS),
            Field::unsigned("post", SCALE_SHIFT_BITS),
        ],
        "exponential" => line(Field::unsigned("data", EXPONENTIAL_BITS)),
        "weight" => vec![Field::unsigned("data", WEIGHT_BITS).lanes(shape.lanes)],
        _ => vec![
            Field::unsigned("r", RECIPROCAL_BITS),
            Field::unsigned("k", RECIPROCAL_EXPONENT_BITS),
        ],
    };
    names.iter().map(|&name| (name, fields(name))).collect()
}

/// Names the row and line of a word of a stream of lines.
pub(super) fn places(rows: &[Row], lanes: usize) -> impl Fn(&Place) -> String + Send + 'static {
    let places: Vec<_> = rows
        .iter()
        .enumerate()
        .flat_map(|(row, of)| (0..of.scores.len() / lanes).map(move |line| (row, line)))
        .collect();
    move |place| {
        let (row, line) = places[place.word];
        format!("row {row}, line {line}")
    }
}

/// Lines of one row: lanes of values, their live flags, and the flag of the last line.
fn lines_of(values: &[i64], live: &[bool], lanes: usize) -> Vec<Word> {
    let count = values.len() / lanes;
    let chunks = values.chunks(lanes).zip(live.chunks(lanes));
    chunks
        .enumerate()
        .map(|(line, (values, live))| {
            let mut word = values.to_vec();
            word.extend(live.iter().map(|&flag| i64::from(flag)));
            word.push(i64::from(line + 1 == count));
            word
        })
        .collect()
}

impl RowShape {
    /// The words of `rows`.
    ///
    /// # Panics
    /// When the weights of a row do not add up to its sum: the golden models disagree.
    pub fn words(&self, rows: &[Row], random: &mut ChaCha8Rng) -> RowWords {
        let mut words = RowWords::default();
        for row in rows {
            self.add(&mut words, row, random);
        }
        words
    }

    fn add(&self, words: &mut RowWords, row: &Row, random: &mut ChaCha8Rng) {
        let Row {
            scores,
            live,
            scale,
        } = row;
        let bound = 1_i64 << (self.formats.score_bits() - 1);
        words.scores.extend(lines_of(scores, live, self.lanes));
        let maximum = row_maximum(scores, live);
        // Whatever stands for the maximum of an empty row must not matter.
        words.maxima.push(vec![
            maximum.unwrap_or_else(|| random.random_range(-bound..bound)),
        ]);
        let (pre, post) = (i64::from(scale.pre), i64::from(scale.post));
        words.scales.push(vec![scale.mantissa, pre, post]);

        let e = exponentials(scores, live, maximum, *scale);
        words.exponentials.extend(lines_of(&e, live, self.lanes));
        let sum = sum(&e);
        let reciprocal = reciprocal(sum);
        words
            .reciprocals
            .push(vec![reciprocal.mantissa, i64::from(reciprocal.exponent)]);
        // S is made from the exponentials, the outputs from the weights: both must have the same sum.
        let weights = weights(&e, None);
        let handed_out: i64 = weights.iter().sum();
        assert_eq!(handed_out, sum, "the weights of a row add up to S");
        words
            .weights
            .extend(weights.chunks(self.lanes).map(<[i64]>::to_vec));
    }

    /// Every shift of the scale with the distances at which exponentials change, and the ends of the shift registers; the
    /// longest and the shortest rows; rows without a live key.
    pub fn corners(&self) -> Vec<Row> {
        let bound = 1_i64 << (self.formats.score_bits() - 1);
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
            let lines = [1, self.most_lines, 2.min(self.most_lines)][index % 3];
            let step = (1.0 / scale.factor()).min(bound as f64) as i64;
            let near = (0..lines * self.lanes).map(|key| {
                let distance = (step as i128 * key as i128 / 2).min(bound as i128) as i64;
                bound - 1 - distance
            });
            let far = (0..lines * self.lanes).map(|key| ends[key % ends.len()]);
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

    /// Mostly a short row.
    pub fn random_row(&self, random: &mut ChaCha8Rng) -> Row {
        let lines = if random.random_bool(0.2) {
            random.random_range(1..=self.most_lines)
        } else {
            random.random_range(1..=self.most_lines.min(4))
        };
        self.random_row_of(lines, random)
    }

    /// A row of `lines` lines.
    pub fn random_row_of(&self, lines: usize, random: &mut ChaCha8Rng) -> Row {
        let score_bits = self.formats.score_bits();
        let bound = 1_i64 << (score_bits - 1);
        let top = random.random_range(-bound..bound);
        let reach = 1_i64 << random.random_range(0..score_bits);
        let lowest = (top - reach).max(-bound);
        let dead = [0.0, 0.3, 1.0][random.random_range(0..20_usize).saturating_sub(17)];
        let keys = lines * self.lanes;
        Row {
            scores: (0..keys)
                .map(|_| random.random_range(lowest..=top))
                .collect(),
            live: (0..keys).map(|_| !random.random_bool(dead)).collect(),
            scale: random_scale(random, reach),
        }
    }
}
