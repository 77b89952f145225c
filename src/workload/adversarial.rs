//! Rows that err about as much as the arithmetic can: a test of its documented bound, and of the hardware on extremes.

use crate::accelerator::refine::golden::Rule;
use crate::accelerator::softmax::golden::Scale;
use crate::golden::layer::LayerOperands;
use crate::golden::row::ValuePruning;
use crate::numerics::Formats;

/// The exact scale per unit of s of these layers: a key whose code is k lies about -k octaves below the largest.
pub const FACTOR: f64 = 1.0014 / 16.0;

/// Key codes: the row's maximum, then one that brings the carry of the error feedback to an end of its range.
const FIRST: [i64; 2] = [0, -17];
/// Then by turns: an exponential of 1 moves the carry to its other end and gives a weight of 1; one of 63 moves it
/// back and gives none. In units of a weight both should be 1/64 and 63/64.
const TURNS: [i64; 2] = [-22, -16];

/// A layer of heads with K and V of their own and `live_keys[i]` live keys in row i, whose rows of n keys err by about
/// n / 33 steps of a 12-bit V (31 at 1024 keys), of which [`crate::golden::error_bound()`] allows n / 32 + 0.8.
///
/// V alternates between its ends from key to key and from element to element.
///
/// # Panics
/// When the K codes do not fit, which takes 6 bits.
pub fn layer(
    formats: &Formats,
    heads: usize,
    keys: usize,
    head_dim: usize,
    live_keys: Vec<usize>,
) -> LayerOperands {
    assert!(
        formats.key_bits >= 6,
        "{} bits hold no code of -22",
        formats.key_bits
    );
    let code = |key: usize| FIRST.get(key).copied().unwrap_or(TURNS[key % 2]);
    let largest = (1_i64 << (formats.value_bits - 1)) - 1;
    let value = |key: usize, element: usize| match (key + element) % 2 {
        0 => largest,
        _ => -largest,
    };
    let rows = |element: &dyn Fn(usize, usize) -> i64, rows: usize| -> Vec<Vec<i64>> {
        let row = |row| (0..head_dim).map(|i| element(row, i)).collect();
        (0..rows).map(row).collect()
    };
    // Each query picks one element of the keys, which all hold the same.
    let query = |query: usize, element: usize| i64::from(element == query % head_dim);
    let scale = Scale::from_factor(FACTOR).expect("a finite factor");
    LayerOperands {
        queries: vec![rows(&query, live_keys.len()); heads],
        keys: vec![rows(&|key, _| code(key), keys); heads],
        key_lsbs: None,
        rules: vec![Rule::None; heads],
        values: vec![rows(&value, keys); heads],
        scales: vec![scale; heads],
        kv_heads: (0..heads).collect(),
        value_pruning: vec![ValuePruning::NONE; live_keys.len()],
        live_keys,
    }
}
