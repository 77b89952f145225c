//! How far an output or a probability can lie from float64 attention of the same integers.

use crate::numerics::Formats;

/// Largest relative error of a nonzero exponential, its last bit's rounding aside: of the exponent x, half a step of
/// 2^-12, what PRE cuts off (below 2^-18), and the scale mantissa's half step (2^-16 of at most 23), times ln 2; and
/// of the table, 21 millionths.
const EXPONENTIAL: f64 =
    std::f64::consts::LN_2 * (1.0 / 8192.0 + 1.0 / 262_144.0 + 23.0 / 65_536.0) + 2.1e-5;
/// Largest relative error of the 18-bit reciprocal.
const RECIPROCAL: f64 = 1.0 / 131_072.0;
/// Rounding to four fraction bits, and the floor of the accumulator before the product.
const OUTPUT: f64 = 1.0 / 32.0 + 1.0 / 4096.0;
/// The weight of a row's largest score, and so the least sum of a row.
const ONE: f64 = 65_535.0;

/// The most by which an output of a row of `live` keys can differ from float64 attention of the same integers, in
/// steps of V: about `live / 32 + 0.8` for a V of 12 bits.
///
/// Real rows err by a hundredth of that (at most 0.1 step); rows that come near it are
/// [built for it](crate::workload::adversarial).
///
/// Let V be the largest code, w the exact weights in units of 1/65535 of the largest one, ev the weights of the
/// hardware, S their sum (at least 65535) and o the exact output. The output is the sum of ev * v over S, so its error
/// is the sum of (ev - w) * (v - o) over S, of which
///
/// * ev differs from e / 64 by the change of the error feedback's carry, (c_before - c_after) / 64, with c in 0..=63.
///   Summed by parts that is at most 31.5 / 64 for each change of v from key to key, which is at most 2 V:
///   63 / 64 * live * V / S when V alternates between its ends and the carry between its own;
/// * e's last bit is rounded: 1/2 / 64 * live * 2 V / S, and both together are live * V / S;
/// * e is off by its relative error otherwise, which no distribution of the weights turns into more than that error
///   times V;
/// * the reciprocal and the output are rounded.
pub fn error_bound(formats: &Formats, live: usize) -> f64 {
    let largest = f64::from((1_u32 << (formats.value_bits - 1)) - 1);
    largest * (live as f64 / ONE + EXPONENTIAL + RECIPROCAL) + OUTPUT
}

/// The most by which a key's p, as a share of 1, can differ from its probability in float64 attention of the same
/// integers, in a row of `live` keys: two steps of 2^-16, and what the exponentials' own errors make, which is most for
/// probabilities around a half (about 11 steps there).
///
/// A token's importance errs by no more than the sum of these over the rows that see it. Against the same exponentials,
/// p errs by one step at most.
///
/// With w the exact weights in units of 1/65535 of the largest one and S their sum (at least 65535), of p = w / S
///
/// * every weight is off by at most its relative error d, which changes w / S by at most 2 d p (1 - p) / (1 - d);
/// * e's last bit is rounded in every key: w changes by at most 1/2 / 64 and S by as much per key;
/// * the weight, the sum and p are rounded and the reciprocal is rounded down: a half step each, of p those of the sum
///   and of the reciprocal.
pub fn probability_error_bound(probability: f64, live: usize) -> f64 {
    const STEP: f64 = 1.0 / 65_536.0;
    let spread = probability * (1.0 - probability);
    let exponentials = 2.0 * EXPONENTIAL / (1.0 - EXPONENTIAL) * spread;
    let last_bits = (1.0 + probability * live as f64) / 128.0 / ONE;
    2.0 * STEP + exponentials + last_bits
}
