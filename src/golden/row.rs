//! One row of attention: one query against the keys and values of its head.

use crate::accelerator::refine::golden::Rule;
use crate::accelerator::softmax::golden::Scale;
use crate::accelerator::top_k::golden::{Part, select};
use crate::accelerator::{importance, prob_value, query_key, softmax};
use crate::cells::reciprocal::golden::{Reciprocal, reciprocal as divide_one_by};
use crate::numerics::Formats;

/// Local value pruning of one row: its V vectors of the largest exponentials take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValuePruning {
    /// Vectors that stay; all of them when no fewer than the row's live keys.
    pub keep: usize,
    /// Whether the outputs are divided by the sum of the kept exponentials instead of that of all.
    pub renormalise: bool,
}

impl ValuePruning {
    /// No pruning.
    pub const NONE: ValuePruning = ValuePruning {
        keep: usize::MAX,
        renormalise: false,
    };
}

/// The keys of a row: one plane, or an MSB plane and an LSB plane that a rule asks for.
#[derive(Clone, Copy, Debug)]
pub struct RowKeys<'a> {
    /// MSB plane (signed), `[n][d]`, or all of K.
    pub msb: &'a [Vec<i64>],
    /// LSB plane (unsigned 4 bits), `[n][d]`.
    pub lsb: Option<&'a [Vec<i64>]>,
    /// Whether the row needs the LSB plane.
    pub rule: Rule,
}

impl<'a> From<&'a [Vec<i64>]> for RowKeys<'a> {
    /// Keys of one plane.
    fn from(keys: &'a [Vec<i64>]) -> Self {
        RowKeys {
            msb: keys,
            lsb: None,
            rule: Rule::None,
        }
    }
}

impl<'a> From<&'a Vec<Vec<i64>>> for RowKeys<'a> {
    /// Keys of one plane.
    fn from(keys: &'a Vec<Vec<i64>>) -> Self {
        keys.as_slice().into()
    }
}

/// What a row's decision was made on: the streams of its MSB plane alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstPass {
    /// s = (Q . K_msb) << 4 of every key, live or not.
    pub scores: Vec<i64>,
    /// The largest score of a live key.
    pub maximum: Option<i64>,
    /// S (u28).
    pub sum: i64,
}

/// Every intermediate stream of one row, in the order in which the hardware produces them.
///
/// All vectors are in key order and cover masked keys too, except `accumulators` and `outputs`, which are in
/// the order of the head dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowTrace {
    /// Of a row with a rule: what it decided on.
    pub first: Option<FirstPass>,
    /// Whether the row fetched its LSB plane. Everything below is of the pass that counts.
    pub refetched: bool,
    /// s of every key, live or not: (Q . K_msb) << 4, plus Q . K_lsb where refetched.
    pub scores: Vec<i64>,
    /// m: the largest score of a live key; `None` when no key is live.
    pub maximum: Option<i64>,
    /// e (u22), 0 where not live.
    pub exponentials: Vec<i64>,
    /// S (u28).
    pub sum: i64,
    /// 1/S.
    pub reciprocal: Reciprocal,
    /// p (UQ0.16), what the row adds to its keys' importance; 0 where not live.
    pub probabilities: Vec<i64>,
    /// Keys whose V takes part.
    pub kept: Vec<bool>,
    /// ev (u16), 0 where not kept.
    pub weights: Vec<i64>,
    /// Sums of ev * v, one per element of the head dimension.
    pub accumulators: Vec<i64>,
    /// Normalised outputs, V's units with 4 fraction bits.
    pub outputs: Vec<i64>,
}

/// Computes one row: `query` `[d]` against `keys` of `[n][d]` and `values` `[n][d]`, of which only those with `live` set
/// take part.
///
/// A row with a rule decides on its MSB plane whether it needs the LSBs; their products are then added to its scores,
/// and maximum, exponentials and sum are made anew.
///
/// Against float64 on the same 12-bit integers, real rows err by less than 0.1 step of V at most and 0.02 on
/// average. No row of n live keys errs by more than about n/32 + 0.8 steps
/// ([`error_bound`](super::error_bound())); rows built for it come near that.
///
/// A row without a live key has all-zero outputs.
///
/// # Panics
/// When lengths disagree, an operand lies so far outside its format that a result leaves its own, or a rule asks for an
/// LSB plane that is not there.
pub fn attend_row<'a>(
    formats: &Formats,
    query: &[i64],
    keys: impl Into<RowKeys<'a>>,
    values: &[Vec<i64>],
    live: &[bool],
    scale: Scale,
    pruning: ValuePruning,
) -> RowTrace {
    let keys = keys.into();
    let mut pass = Pass::new(
        query_key::golden::score_row(formats, query, keys.msb),
        live,
        scale,
    );
    let refetched = keys.rule.refetches(query, pass.sum);
    let first = (keys.rule != Rule::None).then(|| pass.first());
    if refetched {
        let lsb = keys.lsb.expect("a row with a rule has an LSB plane");
        let scores = query_key::golden::refine_row(formats, &pass.scores, query, lsb);
        pass = Pass::new(scores, live, scale);
    }
    let Pass {
        scores,
        maximum,
        exponentials,
        sum,
    } = pass;
    let reciprocal = divide_one_by(sum);
    let probability = |&e: &i64| importance::golden::probability(e, reciprocal);
    let probabilities = exponentials.iter().map(probability).collect();

    let kept = kept_values(&exponentials, live, pruning.keep);
    let weights = softmax::golden::weights(&exponentials, Some(&kept));
    let divisor = match pruning.renormalise {
        true => divide_one_by(weights.iter().sum()),
        false => reciprocal,
    };
    let accumulators = prob_value::golden::accumulate(formats, &weights, values);
    let outputs = prob_value::golden::normalise_row(formats, &accumulators, divisor);

    RowTrace {
        first,
        refetched,
        scores,
        maximum,
        exponentials,
        sum,
        reciprocal,
        probabilities,
        kept,
        weights,
        accumulators,
        outputs,
    }
}

/// S (u28) of a row's MSB plane, which a rule decides on.
///
/// # Panics
/// As [`attend_row`].
pub fn first_sum(
    formats: &Formats,
    query: &[i64],
    keys_msb: &[Vec<i64>],
    live: &[bool],
    scale: Scale,
) -> i64 {
    Pass::new(
        query_key::golden::score_row(formats, query, keys_msb),
        live,
        scale,
    )
    .sum
}

/// The streams from the scores to their sum, which a refetched row has twice.
struct Pass {
    scores: Vec<i64>,
    maximum: Option<i64>,
    exponentials: Vec<i64>,
    sum: i64,
}

impl Pass {
    fn new(scores: Vec<i64>, live: &[bool], scale: Scale) -> Pass {
        let maximum = query_key::golden::row_maximum(&scores, live);
        let exponentials = softmax::golden::exponentials(&scores, live, maximum, scale);
        let sum = softmax::golden::sum(&exponentials);
        Pass {
            scores,
            maximum,
            exponentials,
            sum,
        }
    }

    fn first(&self) -> FirstPass {
        FirstPass {
            scores: self.scores.clone(),
            maximum: self.maximum,
            sum: self.sum,
        }
    }
}

/// The keys with the `keep` largest exponentials, ties to the lowest index; dead keys are never kept.
///
/// # Panics
/// When the mask's length differs from the row's.
pub fn kept_values(exponentials: &[i64], live: &[bool], keep: usize) -> Vec<bool> {
    let ranks: Vec<u64> = exponentials.iter().map(|&e| e as u64).collect();
    let part = |&live: &bool| if live { Part::Ranked } else { Part::Dead };
    let parts: Vec<Part> = live.iter().map(part).collect();
    select(&ranks, &parts, keep).expect("nothing is pinned")
}
