//! Golden model of the weighted sum of V and its normalisation (`docs/decisions.md`, section 1).

use crate::cells::reciprocal::golden::Reciprocal;
use crate::numerics::{
    ACCUMULATOR_GUARD_BITS, Formats, OUTPUT_FRACTION_BITS, RECIPROCAL_BITS, fits_signed,
    round_shift_right,
};

/// The accumulators of one row: for each element of the head dimension, the sum of ev * v over all keys
/// (s40 for 12-bit V), exact.
///
/// `values` holds one V vector per weight; an empty slice gives an empty result.
///
/// # Panics
/// When weights and values differ in number, the V vectors differ in length, or an accumulator leaves
/// `formats.accumulator_bits()`, which operands within their formats cannot cause.
pub fn accumulate(formats: &Formats, weights: &[i64], values: &[Vec<i64>]) -> Vec<i64> {
    assert_eq!(
        weights.len(),
        values.len(),
        "weights and values differ in number"
    );
    let head_dim = values.first().map_or(0, Vec::len);
    let mut accumulators = vec![0; head_dim];
    for (weight, value) in weights.iter().zip(values) {
        assert_eq!(value.len(), head_dim, "V vectors differ in length");
        for (accumulator, element) in accumulators.iter_mut().zip(value) {
            *accumulator += weight * element;
        }
    }
    for &accumulator in &accumulators {
        assert!(
            fits_signed(accumulator, formats.accumulator_bits()),
            "accumulator {accumulator} does not fit s{}",
            formats.accumulator_bits()
        );
    }
    accumulators
}

/// One output (s16 for 12-bit V: V's units with 4 fraction bits) of an accumulator and its row's reciprocal:
/// accn = acc >> (k - 12), rounded down; out = saturate(rshr(accn * r, 26)).
pub fn normalise(formats: &Formats, accumulator: i64, reciprocal: Reciprocal) -> i64 {
    let guard = ACCUMULATOR_GUARD_BITS as u32;
    let shifted = accumulator >> reciprocal.exponent.saturating_sub(guard);
    let fraction_bits = ACCUMULATOR_GUARD_BITS + RECIPROCAL_BITS - OUTPUT_FRACTION_BITS;
    let output = round_shift_right(shifted * reciprocal.mantissa, fraction_bits as u32);

    let bound = 1 << (formats.output_bits() - 1);
    output.clamp(-bound, bound - 1)
}

/// The outputs of one row, one per accumulator; see [`normalise`].
pub fn normalise_row(formats: &Formats, accumulators: &[i64], reciprocal: Reciprocal) -> Vec<i64> {
    accumulators
        .iter()
        .map(|&accumulator| normalise(formats, accumulator, reciprocal))
        .collect()
}
