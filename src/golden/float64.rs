//! Attention in float64: the reference that the integer models' error is measured against.

use std::f64::consts::LOG2_E;

use super::head::{HeadOperands, live_keys};
use super::layer::kv_head;
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
    assert_eq!(
        queries.len(),
        live_keys.len(),
        "queries and live-key counts differ in number"
    );
    assert_eq!(keys.len(), values.len(), "keys and values differ in number");
    let head_dim = values.first().map_or(0, Vec::len);
    queries
        .iter()
        .zip(live_keys)
        .map(|(query, &live)| {
            let mut output = vec![0.0; head_dim];
            let probabilities = probabilities(query, &keys[..live], factor);
            for (probability, value) in probabilities.iter().zip(values) {
                for (element, v) in output.iter_mut().zip(value) {
                    *element += probability * v;
                }
            }
            output
        })
        .collect()
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
    // The registers' factor is per unit of s, which is Q . K << 4.
    let per_dot = factor * f64::from(1 << KEY_LSB_BITS);
    attend_head(
        &to_float(head.queries),
        &to_float(head.keys),
        &to_float(head.values),
        head.live_keys,
        per_dot,
    )
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
