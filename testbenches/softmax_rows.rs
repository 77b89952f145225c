//! Rows of scores and their words on the streams of softmax and of its passes.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::exponent::{random_scale, scale_of_shift};
use super::streams::Word;
use crate::accelerator::importance::golden::probability;
use crate::accelerator::query_key::golden::row_maximum;
use crate::accelerator::softmax::golden::{Scale, exponentials, sum, weights};
use crate::accelerator::softmax::{ExponentialPass, UsePass, ValueIds, ValueRanking};
use crate::accelerator::top_k::QuickSelect;
use crate::accelerator::top_k::golden::Threshold;
use crate::cells::reciprocal::golden::{Reciprocal, reciprocal};
use crate::cosim::{Field, Place};
use crate::engine::streams::value_id_fields;
use crate::golden::row::{ValuePruning, kept_values};
use crate::numerics::{
    EXPONENTIAL_BITS, Formats, PROBABILITY_BITS, RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS,
    SCALE_MANTISSA_BITS, SCALE_SHIFT_BITS, WEIGHT_BITS, value_bits,
};

/// One row of whole score lines.
#[derive(Clone, Debug)]
pub(super) struct Row {
    scores: Vec<i64>,
    live: Vec<bool>,
    scale: Scale,
    pruning: ValuePruning,
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
    /// Longest row in keys where rows prune their values; keys beyond are dead.
    pub pruned_keys: Option<usize>,
}

/// The words of rows on every stream, in order.
#[derive(Default)]
pub(super) struct RowWords {
    pub scores: Vec<Word>,
    pub maxima: Vec<Word>,
    pub scales: Vec<Word>,
    pub exponentials: Vec<Word>,
    pub reciprocals: Vec<Word>,
    pub probabilities: Vec<Word>,
    pub weights: Vec<Word>,
    /// Of the kept weights' sum where the row is renormalised.
    pub divisors: Vec<Word>,
    /// Live keys, kept ones, whether to renormalise.
    pub prunings: Vec<Word>,
    /// Whether the row prunes its values.
    pub prunes: Vec<Word>,
    /// The same, and whether to renormalise.
    pub modes: Vec<Word>,
    /// Of pruning rows: kept and live keys.
    pub selections: Vec<Word>,
    /// The exponentials of pruning rows.
    pub ranked: Vec<Word>,
    /// Thresholds of pruning rows.
    pub thresholds: Vec<Word>,
    /// Positions of the kept keys of pruning rows.
    pub value_ids: Vec<Word>,
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
        "exponential" | "ranked" | "line" => line(Field::unsigned("data", EXPONENTIAL_BITS)),
        "pruning" => shape.fields_of(&ValueRanking::pruning_fields(shape.longest())),
        "prunes" => shape.fields_of(&ExponentialPass::pruning_fields()),
        "mode" => shape.fields_of(&UsePass::mode_fields()),
        "selection" => {
            let bits = value_bits(shape.longest());
            vec![Field::unsigned("k", bits), Field::unsigned("keys", bits)]
        }
        "threshold" => shape.fields_of(&ValueRanking::threshold_fields(shape.longest())),
        "value_id" => value_id_fields(&ValueIds {
            lanes: shape.lanes,
            max_keys: shape.longest(),
        }),
        "weight" => vec![Field::unsigned("data", WEIGHT_BITS).lanes(shape.lanes)],
        "probability" => vec![
            Field::unsigned("data", PROBABILITY_BITS).lanes(shape.lanes),
            Field::unsigned("last", 1),
        ],
        _ => vec![
            Field::unsigned("r", RECIPROCAL_BITS),
            Field::unsigned("k", RECIPROCAL_EXPONENT_BITS),
        ],
    };
    names.iter().map(|&name| (name, fields(name))).collect()
}

/// The words of a row's kept keys: positions line by line, packed, their number, and the flag of the last line.
pub(super) fn value_ids(kept: &[bool], lanes: usize) -> Vec<Word> {
    let count = kept.len().div_ceil(lanes);
    let lines = kept.chunks(lanes).enumerate();
    lines
        .map(|(line, kept)| {
            let positions = (0..).zip(kept).filter(|(_, kept)| **kept);
            let mut word: Word = positions
                .map(|(lane, _): (usize, _)| (line * lanes + lane) as i64)
                .collect();
            let kept = word.len() as i64;
            word.resize(lanes, 0);
            word.extend([kept, i64::from(line + 1 == count)]);
            word
        })
        .collect()
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

/// As [`places`], of a stream of the lines of pruning rows.
pub(super) fn pruned_places(
    rows: &[Row],
    lanes: usize,
) -> impl Fn(&Place) -> String + Send + 'static {
    let lines = |row: &Row| row.scores.len() / lanes;
    let pruning = rows.iter().enumerate().filter(|(_, row)| row.prunes());
    let places: Vec<_> = pruning
        .flat_map(|(index, row)| (0..lines(row)).map(move |line| (index, line)))
        .collect();
    move |place| {
        let (row, line) = places[place.word];
        format!("row {row}, line {line}")
    }
}

/// Names the row of a word of a stream with a word per pruning row.
pub(super) fn pruned_rows(rows: &[Row]) -> impl Fn(&Place) -> String + Send + 'static {
    let pruning = rows.iter().enumerate().filter(|(_, row)| row.prunes());
    let places: Vec<_> = pruning.map(|(index, _)| index).collect();
    move |place| format!("row {}", places[place.word])
}

impl Row {
    fn keys(&self) -> usize {
        self.live.iter().filter(|&&live| live).count()
    }

    /// Whether fewer values stay than keys are live.
    pub fn prunes(&self) -> bool {
        self.pruning.keep < self.keys()
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

/// A word of a reciprocal.
fn word_of(reciprocal: Reciprocal) -> Word {
    vec![reciprocal.mantissa, i64::from(reciprocal.exponent)]
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

    /// Lines of what the keys of a row add to their importance.
    fn probabilities(&self, e: &[i64], reciprocal: Reciprocal) -> Vec<Word> {
        let count = e.len() / self.lanes;
        let lines = e.chunks(self.lanes).enumerate();
        let word = |(line, e): (usize, &[i64])| {
            let p = e.iter().map(|&e| probability(e, reciprocal));
            p.chain([i64::from(line + 1 == count)]).collect()
        };
        lines.map(word).collect()
    }

    fn add(&self, words: &mut RowWords, row: &Row, random: &mut ChaCha8Rng) {
        let Row {
            scores,
            live,
            scale,
            pruning,
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
        let lines = lines_of(&e, live, self.lanes);
        let sum = sum(&e);
        let divisor = reciprocal(sum);
        words.reciprocals.push(word_of(divisor));
        words.probabilities.extend(self.probabilities(&e, divisor));
        let keys = row.keys();
        let keep = pruning.keep.min(keys);
        let kept = kept_values(&e, live, keep);
        let weights = weights(&e, Some(&kept));
        let handed_out: i64 = weights.iter().sum();
        let prunes = row.prunes();
        if !prunes {
            // S is made from the exponentials, the outputs from the weights: both must have the same sum.
            assert_eq!(handed_out, sum, "the weights of a row add up to S");
        }
        let renormalised = prunes && pruning.renormalise;
        let divisor = if renormalised {
            reciprocal(handed_out)
        } else {
            divisor
        };
        words.divisors.push(word_of(divisor));
        words
            .weights
            .extend(weights.chunks(self.lanes).map(<[i64]>::to_vec));
        if let Some(longest) = self.pruned_keys {
            let renormalise = i64::from(pruning.renormalise);
            // However many more than the live keys are kept must not matter.
            let asked = match prunes {
                true => keep,
                false => random.random_range(keys..=longest),
            };
            words
                .prunings
                .push(vec![keys as i64, asked as i64, renormalise]);
            words.prunes.push(vec![i64::from(prunes)]);
            words.modes.push(vec![i64::from(prunes), renormalise]);
        }
        if prunes {
            words.selections.push(vec![keep as i64, keys as i64]);
            let threshold = self.threshold(&e, live, keep);
            words
                .thresholds
                .push(vec![threshold.kth as i64, threshold.keep_equal as i64]);
            words.value_ids.extend(value_ids(&kept, self.lanes));
            words.ranked.extend(lines.clone());
        }
        words.exponentials.extend(lines);
    }

    /// The fields of a stream whose words are one value per field.
    fn fields_of(&self, fields: &[crate::hdl::Field]) -> Vec<Field> {
        fields.iter().map(Field::from).collect()
    }

    /// Longest row in keys that prunes its values.
    fn longest(&self) -> usize {
        self.pruned_keys.expect("a stream of value pruning")
    }

    /// What an engine finds for a row.
    fn threshold(&self, e: &[i64], live: &[bool], keep: usize) -> Threshold {
        let engine = QuickSelect {
            width: EXPONENTIAL_BITS,
            lanes: 1,
            inputs: 1,
            max_keys: self.longest(),
        };
        let keys = e.iter().zip(live).filter(|(_, live)| **live);
        let keys: Vec<u64> = keys.map(|(&e, _)| e as u64).collect();
        engine.golden(&keys, keep)
    }

    /// A row of `lines` lines of live keys, of which two in five stay and the outputs are divided by their sum; or all.
    pub fn row_that(&self, prunes: bool, lines: usize, random: &mut ChaCha8Rng) -> Row {
        let mut row = self.random_row_of(lines, random);
        let longest = self.pruned_keys.unwrap_or(usize::MAX);
        for (key, live) in row.live.iter_mut().enumerate() {
            *live = key < longest;
        }
        row.pruning = match prunes {
            true => ValuePruning {
                keep: row.keys() * 2 / 5,
                renormalise: true,
            },
            false => ValuePruning::NONE,
        };
        row
    }

    /// The row with some pruning, where the hardware can: none, few, half, all but one, or none of the values stay.
    fn with_pruning(&self, mut row: Row, random: &mut ChaCha8Rng) -> Row {
        let Some(longest) = self.pruned_keys else {
            return row;
        };
        row.live
            .iter_mut()
            .skip(longest)
            .for_each(|live| *live = false);
        let keys = row.keys();
        let keep = match random.random_range(0..8) {
            0..3 => usize::MAX,
            3 => keys / 2,
            4 => keys.saturating_sub(1),
            5 => random.random_range(0..=keys.min(2)),
            _ => random.random_range(0..=keys),
        };
        row.pruning = ValuePruning {
            keep,
            renormalise: random.random_bool(0.5),
        };
        row
    }

    /// Every shift of the scale with the distances at which exponentials change, and the ends of the shift registers; the
    /// longest and the shortest rows; rows without a live key.
    pub fn corners(&self, random: &mut ChaCha8Rng) -> Vec<Row> {
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
                    let row = Row {
                        live: live.collect(),
                        scores: scores.clone(),
                        scale,
                        pruning: ValuePruning::NONE,
                    };
                    rows.push(self.with_pruning(row, random));
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
        let row = Row {
            scores: (0..keys)
                .map(|_| random.random_range(lowest..=top))
                .collect(),
            live: (0..keys).map(|_| !random.random_bool(dead)).collect(),
            scale: random_scale(random, reach),
            pruning: ValuePruning::NONE,
        };
        self.with_pruning(row, random)
    }
}
