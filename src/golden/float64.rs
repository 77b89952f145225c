//! Attention in float64: the reference that the integer models' error is measured against.

use std::f64::consts::LOG2_E;

use super::cascade::{Live, gather};
use super::head::{HeadOperands, live_keys};
use super::layer::{LayerOperands, kv_head};
use super::row::ValuePruning;
use crate::numerics::KEY_LSB_BITS;
use crate::workload::tensors::AttentionTensors;

/// softmax2(factor * q . k) v of one head, where softmax2 uses powers of two; `[queries][d]`.
///
/// `queries` is `[queries][d]`, `keys` and `values` are `[keys][d]`. Query i sees the first `live_keys[i]`
/// keys; a query that sees none has zero outputs. For softmax to the base e, `factor` contains log2(e).
///
/// # Panics
/// When lengths disagree.
pub fn attend_head(
    queries: &[Vec<f64>],
    keys: &[Vec<f64>],
    values: &[Vec<f64>],
    live_keys: &[usize],
    factor: f64,
) -> Vec<Vec<f64>> {
    let dense = vec![ValuePruning::NONE; queries.len()];
    outputs(head_rows(queries, keys, values, live_keys, &dense, factor))
}

/// One row in float64.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatRow {
    /// Of the keys that the row sees.
    pub probabilities: Vec<f64>,
    /// One per element of the head dimension.
    pub outputs: Vec<f64>,
}

/// The outputs of rows, `[rows][d]`.
pub fn outputs(rows: Vec<FloatRow>) -> Vec<Vec<f64>> {
    rows.into_iter().map(|row| row.outputs).collect()
}

/// The rows of [`attend_head`] with local value pruning, `[queries]`: by the row's probabilities in float64, ties to the
/// lowest index.
///
/// # Panics
/// When lengths disagree.
pub fn head_rows(
    queries: &[Vec<f64>],
    keys: &[Vec<f64>],
    values: &[Vec<f64>],
    live_keys: &[usize],
    value_pruning: &[ValuePruning],
    factor: f64,
) -> Vec<FloatRow> {
    assert_eq!(
        queries.len(),
        live_keys.len(),
        "queries and live-key counts differ in number"
    );
    assert_eq!(
        queries.len(),
        value_pruning.len(),
        "queries and value prunings differ in number"
    );
    assert_eq!(keys.len(), values.len(), "keys and values differ in number");
    let rows = queries.iter().zip(live_keys).zip(value_pruning);
    rows.map(|((query, &live), &pruning)| {
        let probabilities = probabilities(query, &keys[..live], factor);
        let outputs = weighted_sum(&probabilities, values, pruning);
        FloatRow {
            probabilities,
            outputs,
        }
    })
    .collect()
}

/// The sum of the kept values, weighted by their probabilities.
fn weighted_sum(probabilities: &[f64], values: &[Vec<f64>], pruning: ValuePruning) -> Vec<f64> {
    let head_dim = values.first().map_or(0, Vec::len);
    let mut output = vec![0.0; head_dim];
    let mut kept_sum = 0.0;
    for key in largest(probabilities, pruning.keep, |_| false) {
        let probability = probabilities[key];
        kept_sum += probability;
        for (element, v) in output.iter_mut().zip(&values[key]) {
            *element += probability * v;
        }
    }
    if pruning.renormalise && kept_sum > 0.0 {
        for element in &mut output {
            *element /= kept_sum;
        }
    }
    output
}

/// Positions, ascending, of the pinned and of the largest other scores, `keep` in all or every one; ties go to the
/// lowest position.
pub fn largest(scores: &[f64], keep: usize, pinned: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..scores.len()).collect();
    if keep < scores.len() {
        // The sort is stable.
        positions.sort_by(|&a, &b| {
            let by_score = scores[b].total_cmp(&scores[a]);
            pinned(b).cmp(&pinned(a)).then(by_score)
        });
        positions.truncate(keep);
        positions.sort_unstable();
    }
    positions
}

/// softmax2(factor * q . k) of one query over `keys`, as in [`attend_head`]; empty without keys.
///
/// # Panics
/// When lengths disagree.
pub fn probabilities(query: &[f64], keys: &[Vec<f64>], factor: f64) -> Vec<f64> {
    let logits: Vec<f64> = keys.iter().map(|key| factor * dot(query, key)).collect();
    let maximum = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = logits.iter().map(|x| (x - maximum).exp2()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials
        .iter()
        .map(|exponential| exponential / sum)
        .collect()
}

/// Float64 attention of a head's integer operands, in units of V; `factor` is the exact scale per unit of s
/// that the head's registers approximate.
///
/// # Panics
/// When lengths disagree.
pub fn attend_integer_head(head: &HeadOperands, factor: f64) -> Vec<Vec<f64>> {
    outputs(integer_rows(head, factor))
}

/// The rows of [`attend_integer_head`]; of K with an LSB plane they see the MSB plane.
///
/// # Panics
/// When lengths disagree.
pub fn integer_rows(head: &HeadOperands, factor: f64) -> Vec<FloatRow> {
    // The registers' factor is per unit of s, which is Q . K << 4.
    let per_dot = factor * f64::from(1 << KEY_LSB_BITS);
    head_rows(
        &to_float(head.queries),
        &to_float(head.keys),
        &to_float(head.values),
        head.live_keys,
        head.value_pruning,
        per_dot,
    )
}

/// [`integer_rows`], of which those that are `refetched`, `[queries]`, see K's LSB plane too.
///
/// # Panics
/// When lengths disagree, or a row is refetched from no LSB plane.
pub fn refined_rows(head: &HeadOperands, factor: f64, refetched: &[bool]) -> Vec<FloatRow> {
    assert_eq!(
        head.queries.len(),
        refetched.len(),
        "queries and refetched flags differ in number"
    );
    let mut rows = integer_rows(head, factor);
    let positions: Vec<usize> = (0..rows.len()).filter(|&row| refetched[row]).collect();
    if positions.is_empty() {
        return rows;
    }
    let lsbs = head.key_lsbs.expect("refetched rows have an LSB plane");
    let join = |(msb, lsb): (&i64, &i64)| ((msb << KEY_LSB_BITS) + lsb) as f64;
    let planes = head.keys.iter().zip(lsbs);
    let keys: Vec<Vec<f64>> = planes
        .map(|(msb, lsb)| msb.iter().zip(lsb).map(join).collect())
        .collect();
    let refined = head_rows(
        &to_float(&gather(head.queries, &positions)),
        &keys,
        &to_float(head.values),
        &gather(head.live_keys, &positions),
        &gather(head.value_pruning, &positions),
        factor,
    );
    for (position, row) in positions.into_iter().zip(refined) {
        rows[position] = row;
    }
    rows
}

/// Float64 attention of one head of a model's own floats: softmax(q k^T / sqrt(d)) v, `[queries][d]`.
///
/// # Panics
/// When there is no such layer or head.
pub fn attend_float_head(tensors: &AttentionTensors, layer: usize, head: usize) -> Vec<Vec<f64>> {
    let kv_head = kv_head(head, tensors.head_count(), tensors.kv_head_count());
    attend_head(
        &tensors.queries().head(layer, head),
        &tensors.keys().head(layer, kv_head),
        &tensors.values().head(layer, kv_head),
        &live_keys(tensors.query_count(), tensors.key_count(), tensors.causal()),
        float_factor(tensors),
    )
}

/// The rows of [`attend_float_head`] on the tokens that live: of the queries whose token does ([`Live::queries`]), over
/// the live keys, with the number of keys that each of them sees and its value pruning as in `operands`, the
/// gathered layer.
///
/// # Panics
/// When there is no such layer or head, or `operands` are not those of `live`.
pub fn live_float_rows(
    tensors: &AttentionTensors,
    (layer, head): (usize, usize),
    live: &Live,
    operands: &LayerOperands,
) -> Vec<FloatRow> {
    let kv_head = kv_head(head, tensors.head_count(), tensors.kv_head_count());
    let queries = live.queries(tensors.query_count(), tensors.key_count());
    head_rows(
        &gather(&tensors.queries().head(layer, head), &queries),
        &gather(&tensors.keys().head(layer, kv_head), &live.tokens),
        &gather(&tensors.values().head(layer, kv_head), &live.tokens),
        &operands.live_keys,
        &operands.value_pruning,
        float_factor(tensors),
    )
}

/// What [`attend_head`] multiplies q . k of a model's own floats by: log2(e) / sqrt(d).
pub fn float_factor(tensors: &AttentionTensors) -> f64 {
    LOG2_E / (tensors.head_dim() as f64).sqrt()
}

fn to_float(rows: &[Vec<i64>]) -> Vec<Vec<f64>> {
    rows.iter()
        .map(|row| row.iter().map(|&x| x as f64).collect())
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "query and key differ in length");
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Largest and mean absolute difference of two series, gathered value by value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AbsError {
    /// Largest absolute difference; 0 when nothing was compared, NaN once a difference was.
    pub max: f64,
    sum: f64,
    count: usize,
}

impl AbsError {
    /// Adds one comparison.
    pub fn add(&mut self, actual: f64, expected: f64) {
        let error = (actual - expected).abs();
        // Not `f64::max`, which would drop a NaN.
        if error.is_nan() || error > self.max {
            self.max = error;
        }
        self.sum += error;
        self.count += 1;
    }

    /// Adds all comparisons of another series.
    pub fn merge(&mut self, other: &AbsError) {
        if other.max.is_nan() || other.max > self.max {
            self.max = other.max;
        }
        self.sum += other.sum;
        self.count += other.count;
    }

    /// Mean absolute difference; 0 when nothing was compared.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum / self.count as f64
        }
    }
}

impl Extend<(f64, f64)> for AbsError {
    /// Adds pairs of (actual, expected).
    fn extend<T: IntoIterator<Item = (f64, f64)>>(&mut self, pairs: T) {
        for (actual, expected) in pairs {
            self.add(actual, expected);
        }
    }
}
