//! From a model's float tensors to the integer operands of a layer (`docs/decisions.md`, section 1): linear symmetric
//! codes with one step per layer and head, after an optional conditioning of K that costs no hardware.

use std::f64::consts::LOG2_E;
use std::ops::Range;

use super::tensors::AttentionTensors;
use crate::accelerator::importance::golden::HeadScale;
use crate::accelerator::query_key::golden::split_key;
use crate::accelerator::refine::golden::Rule;
use crate::accelerator::softmax::golden::Scale;
use crate::golden::head::live_keys;
use crate::golden::layer::{LayerOperands, equal_groups, kv_head};
use crate::golden::row::ValuePruning;
use crate::numerics::{Formats, KEY_LSB_BITS, OUTPUT_FRACTION_BITS};

/// Added to a channel's largest magnitude before K is divided by it, so that a silent channel can be.
const SILENT_CHANNEL: f64 = 1e-6;

/// A matrix of floats, `[rows][d]`.
type Rows = Vec<Vec<f64>>;

/// Integer codes of a matrix and the value of one code step: value = code * step.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Codes in `-(2^(bits-1) - 1) ..= 2^(bits-1) - 1`, `[rows][d]`.
    pub codes: Vec<Vec<i64>>,
    /// Positive; 1 when every value is zero.
    pub step: f64,
}

/// Quantizes a matrix linearly and symmetrically, its largest magnitude to the largest code. The most
/// negative code is never produced.
///
/// # Panics
/// When `bits` is not in 2..=32.
pub fn quantize(rows: &[Vec<f64>], bits: usize) -> Quantized {
    assert!((2..=32).contains(&bits), "{bits} bits hold no signed code");
    let largest_code = ((1_i64 << (bits - 1)) - 1) as f64;
    let largest = rows.iter().flatten().fold(0.0_f64, |m, x| m.max(x.abs()));
    let step = if largest == 0.0 {
        1.0
    } else {
        largest / largest_code
    };
    let code = |x: f64| {
        let nearest = (x / step).round_ties_even();
        nearest.clamp(-largest_code, largest_code) as i64
    };
    let codes = rows
        .iter()
        .map(|row| row.iter().map(|&x| code(x)).collect())
        .collect();
    Quantized { codes, step }
}

/// Conditions the K of one KV head for quantization and returns it with what every query of its heads must
/// be multiplied by, per channel (element of the head dimension).
///
/// Each channel's mean over the keys is subtracted, which adds the same to every score of a row and so
/// cancels in softmax. Then K's channels are divided by their largest magnitudes, normalised to a geometric
/// mean of 1, so that no channel wastes the common step; multiplying Q's channels by the same leaves every
/// product as it was.
///
/// # Panics
/// When `keys` is empty or its rows differ in length.
pub fn condition_keys(keys: &[Vec<f64>]) -> (Rows, Vec<f64>) {
    assert!(!keys.is_empty(), "no keys to condition");
    let head_dim = keys[0].len();
    let mut conditioned = keys.to_vec();
    let mut factors = vec![0.0; head_dim];
    for (channel, factor) in factors.iter_mut().enumerate() {
        let mean = keys.iter().map(|key| key[channel]).sum::<f64>() / keys.len() as f64;
        for key in &mut conditioned {
            key[channel] -= mean;
        }
        let magnitudes = conditioned.iter().map(|key| key[channel].abs());
        *factor = magnitudes.fold(0.0, f64::max) + SILENT_CHANNEL;
    }

    let mean_logarithm = factors.iter().map(|factor| factor.ln()).sum::<f64>() / head_dim as f64;
    let geometric_mean = mean_logarithm.exp();
    for factor in &mut factors {
        *factor /= geometric_mean;
    }
    for key in &mut conditioned {
        for (element, factor) in key.iter_mut().zip(&factors) {
            *element /= factor;
        }
    }
    (conditioned, factors)
}

/// Multiplies every query by the factors of [`condition_keys`].
pub fn condition_queries(queries: &[Vec<f64>], factors: &[f64]) -> Rows {
    queries
        .iter()
        .map(|query| query.iter().zip(factors).map(|(x, c)| x * c).collect())
        .collect()
}

/// One layer's integer operands and what relates them to the model's floats.
#[derive(Clone, Debug)]
pub struct QuantizedLayer {
    /// What the accelerator computes on.
    pub operands: LayerOperands,
    /// The exact scale per unit of s that the heads' registers approximate, `[heads]`.
    pub factors: Vec<f64>,
    /// The value of one unit of V, `[kv_heads]`.
    pub value_steps: Vec<f64>,
}

impl QuantizedLayer {
    /// Quantizes layer `layer` to the operand widths of `formats`, K conditioned when `condition` is set.
    ///
    /// K has one plane, of `formats.key_bits`. Operands of any finite size give a result: matrices
    /// of zeros become codes of zero with a step of 1, and a scale beyond its registers is set to their
    /// nearest end, where it has the same effect ([`Scale::from_factor`]).
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn new(
        tensors: &AttentionTensors,
        layer: usize,
        formats: &Formats,
        condition: bool,
    ) -> QuantizedLayer {
        QuantizedLayer::quantize(tensors, layer, formats, condition, false)
    }

    /// The same with K in `formats.key_bits` and 4 more bits: an MSB plane and an LSB plane, which no head takes: rules
    /// depend on what is quantized here ([`Refinement::rules`](super::refinement::Refinement::rules)).
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn with_lsb_plane(
        tensors: &AttentionTensors,
        layer: usize,
        formats: &Formats,
        condition: bool,
    ) -> QuantizedLayer {
        QuantizedLayer::quantize(tensors, layer, formats, condition, true)
    }

    fn quantize(
        tensors: &AttentionTensors,
        layer: usize,
        formats: &Formats,
        condition: bool,
        has_lsb_plane: bool,
    ) -> QuantizedLayer {
        let lsb_bits = if has_lsb_plane { KEY_LSB_BITS } else { 0 };
        let (heads, kv_heads) = (tensors.head_count(), tensors.kv_head_count());

        let mut keys = Vec::with_capacity(kv_heads);
        let mut key_steps = Vec::with_capacity(kv_heads);
        let mut channel_factors = Vec::with_capacity(kv_heads);
        let mut values = Vec::with_capacity(kv_heads);
        let mut value_steps = Vec::with_capacity(kv_heads);
        for head in 0..kv_heads {
            let floats = tensors.keys().head(layer, head);
            let (floats, factors) = if condition {
                condition_keys(&floats)
            } else {
                (floats, vec![1.0; tensors.head_dim()])
            };
            let key = quantize(&floats, formats.key_bits + lsb_bits);
            let value = quantize(&tensors.values().head(layer, head), formats.value_bits);
            keys.push(key.codes);
            // s counts Q . K in steps of a K with an LSB plane; without one it is sixteen times Q . K.
            key_steps.push(key.step / f64::from(1 << (KEY_LSB_BITS - lsb_bits)));
            channel_factors.push(factors);
            values.push(value.codes);
            value_steps.push(value.step);
        }

        let mut queries = Vec::with_capacity(heads);
        let mut factors = Vec::with_capacity(heads);
        for head in 0..heads {
            let kv_head = kv_head(head, heads, kv_heads);
            let floats = tensors.queries().head(layer, head);
            let floats = condition_queries(&floats, &channel_factors[kv_head]);
            let query = quantize(&floats, formats.query_bits);
            queries.push(query.codes);
            factors.push(score_factor(
                query.step,
                key_steps[kv_head],
                tensors.head_dim(),
            ));
        }

        let scale = |&factor: &f64| {
            Scale::from_factor(factor).expect("steps of finite floats give a finite factor")
        };
        let (keys, key_lsbs) = if has_lsb_plane {
            let (msbs, lsbs) = keys.iter().map(|keys| split_keys(keys)).unzip();
            (msbs, Some(lsbs))
        } else {
            (keys, None)
        };
        let operands = LayerOperands {
            queries,
            keys,
            key_lsbs,
            rules: vec![Rule::None; heads],
            values,
            kv_heads: equal_groups(heads, kv_heads),
            value_pruning: vec![ValuePruning::NONE; tensors.query_count()],
            scales: factors.iter().map(scale).collect(),
            live_keys: live_keys(tensors.query_count(), tensors.key_count(), tensors.causal()),
        };
        QuantizedLayer {
            operands,
            factors,
            value_steps,
        }
    }

    /// The value of one unit of query head `head`'s outputs.
    ///
    /// # Panics
    /// When there is no such head.
    pub fn output_step(&self, head: usize) -> f64 {
        let value_step = self.value_steps[self.operands.kv_heads[head]];
        value_step / f64::from(1 << OUTPUT_FRACTION_BITS)
    }

    /// What scales the outputs of query head `head` for its importance, which all layers and heads count in one step
    /// of V: `reference`, as from [`reference_value_step`].
    ///
    /// # Panics
    /// When there is no such head, or the reference is not positive.
    pub fn head_scale(&self, head: usize, reference: f64) -> HeadScale {
        HeadScale::from_ratio(self.value_steps[self.operands.kv_heads[head]] / reference)
    }
}

/// The reference step of the head importance of a job over these layers: the largest step of V that any of their heads
/// has in `value_bits` bits. One common step makes heads of all layers comparable, and the largest makes every head's
/// ratio to it at most 1. Heads whose V is all zero have no step; 1 without any other.
pub fn reference_value_step(
    tensors: &AttentionTensors,
    layers: Range<usize>,
    value_bits: usize,
) -> f64 {
    let heads = 0..tensors.kv_head_count();
    let steps = layers.flat_map(|layer| heads.clone().map(move |head| (layer, head)));
    let steps = steps.filter_map(|(layer, head)| {
        let values = tensors.values().head(layer, head);
        let is_zero = values.iter().flatten().all(|&v| v == 0.0);
        (!is_zero).then(|| quantize(&values, value_bits).step)
    });
    steps.reduce(f64::max).unwrap_or(1.0)
}

/// The MSB plane and the LSB plane of K, `[keys][d]`.
fn split_keys(keys: &[Vec<i64>]) -> (Vec<Vec<i64>>, Vec<Vec<i64>>) {
    let split = |key: &Vec<i64>| key.iter().map(|&element| split_key(element)).unzip();
    keys.iter().map(split).unzip()
}

/// log2(e) * sq * sk / sqrt(d), of K's step per unit of s.
fn score_factor(query_step: f64, key_step: f64, head_dim: usize) -> f64 {
    query_step * key_step / (head_dim as f64).sqrt() * LOG2_E
}
