//! Golden model of token and head importance (`docs/decisions.md`, section 1).

use crate::cells::reciprocal::golden::Reciprocal;
use crate::numerics::{
    HEAD_SCALE_MANTISSA_BITS, HEAD_SCALE_SHIFT_BITS, HEAD_SCORE_BITS, PROBABILITY_BITS,
    RECIPROCAL_BITS, RESCALE_FRACTION_BITS, TOKEN_SCORE_BITS, WEIGHT_SHIFT, round_shift_right,
};

/// Bits dropped from `weight * r` beside those of k: the fraction bits that r has beyond those of p.
const PROBABILITY_SHIFT: u32 = (RECIPROCAL_BITS - PROBABILITY_BITS) as u32;

/// A head's step of V as the accumulator takes it: a factor of mantissa * 2^-shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadScale {
    /// u16 in [2^15, 2^16).
    pub mantissa: i64,
    /// u6.
    pub shift: u32,
}

impl HeadScale {
    /// The registers for a head whose step of V is `ratio` reference steps; the nearest of them. Ratios above 1 count
    /// as 1: the reference is the largest step. Below 2^-48 no head's outputs add up to half a unit of a score.
    ///
    /// # Panics
    /// When the ratio is not a positive number.
    pub fn from_ratio(ratio: f64) -> HeadScale {
        const TOP: i32 = HEAD_SCALE_MANTISSA_BITS as i32 - 1;
        const LEAST: i32 = TOP - ((1 << HEAD_SCALE_SHIFT_BITS) - 1);
        assert!(ratio > 0.0, "a head's step is {ratio} of the reference");
        let ratio = ratio.clamp(f64::from(LEAST).exp2(), 1.0);
        let exponent = ratio.log2().floor() as i32;
        let mantissa = (ratio * f64::from(TOP - exponent).exp2()).round_ties_even() as i64;
        let shift = (TOP - exponent) as u32;
        match mantissa >> HEAD_SCALE_MANTISSA_BITS {
            0 => HeadScale { mantissa, shift },
            // Rounded up to the next power of two.
            _ => HeadScale {
                mantissa: mantissa >> 1,
                shift: shift - 1,
            },
        }
    }
}

/// p (UQ0.16) of a key with exponential `e` in a row with this reciprocal of its sum; 0 in an empty row.
pub fn probability(e: i64, reciprocal: Reciprocal) -> i64 {
    let weight = round_shift_right(e, WEIGHT_SHIFT as u32);
    let shift = reciprocal.exponent + PROBABILITY_SHIFT;
    let probability = round_shift_right(weight * reciprocal.mantissa, shift);
    probability.min((1 << PROBABILITY_BITS) - 1)
}

/// Adds one row's probabilities, in live order, to the tokens' scores (u36, saturating).
///
/// # Panics
/// When the row has more keys than there are scores.
pub fn accumulate_tokens(scores: &mut [i64], probabilities: &[i64]) {
    assert!(
        probabilities.len() <= scores.len(),
        "a row of {} keys for {} token scores",
        probabilities.len(),
        scores.len()
    );
    for (score, probability) in scores.iter_mut().zip(probabilities) {
        *score = saturate(*score + probability, TOKEN_SCORE_BITS);
    }
}

/// A stored score times `factor` * 2^-15, at most 1.
pub fn rescale(score: i64, factor: i64) -> i64 {
    let product = i128::from(score) * i128::from(factor);
    let half = 1 << (RESCALE_FRACTION_BITS - 1);
    ((product + half) >> RESCALE_FRACTION_BITS) as i64
}

/// The sum of magnitudes H of a head's outputs.
pub fn magnitude<'a>(outputs: impl IntoIterator<Item = &'a i64>) -> i64 {
    outputs.into_iter().map(|output| output.abs()).sum()
}

/// A head's score (u40, saturating) after a job in which its outputs had the magnitude H (u36).
pub fn accumulate_head(score: i64, magnitude: i64, scale: HeadScale) -> i64 {
    let scaled = round_shift_right(magnitude * scale.mantissa, scale.shift);
    saturate(score + scaled, HEAD_SCORE_BITS)
}

fn saturate(value: i64, bits: usize) -> i64 {
    value.min((1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accelerator::softmax::golden::sum;
    use crate::cells::reciprocal::golden::reciprocal;

    const ONE: i64 = 65535 << WEIGHT_SHIFT;

    #[test]
    fn a_lone_key_has_probability_one() {
        assert_eq!(probability(ONE, reciprocal(sum(&[ONE]))), 65535);
    }

    #[test]
    fn an_empty_row_gives_nothing() {
        assert_eq!(probability(0, reciprocal(0)), 0);
    }

    #[test]
    fn probabilities_are_those_of_real_division_within_one_step() {
        for keys in [1, 2, 3, 7, 100, 4096] {
            let row: Vec<i64> = (0..keys).map(|key| ONE >> (key % 9)).collect();
            let total = row.iter().sum::<i64>() as f64;
            let reciprocal = reciprocal(sum(&row));
            for &e in &row {
                let exact = e as f64 / total * 65536.0;
                let p = probability(e, reciprocal) as f64;
                assert!(
                    (p - exact).abs() <= 1.0,
                    "{keys} keys: {p}, exactly {exact}"
                );
            }
        }
    }

    #[test]
    fn head_scales_are_the_nearest_registers_of_their_ratio() {
        let one = HeadScale {
            mantissa: 1 << 15,
            shift: 15,
        };
        assert_eq!(HeadScale::from_ratio(1.0), one);
        assert_eq!(HeadScale::from_ratio(7.0), one);
        let least = HeadScale {
            mantissa: 1 << 15,
            shift: 63,
        };
        assert_eq!(HeadScale::from_ratio(1e-300), least);
        let largest_magnitude = (1 << 36) - 1;
        assert_eq!(accumulate_head(0, largest_magnitude, least), 0);
        for ratio in [0.999_999_9, 0.75, 0.1, 1.0 / 3.0, 1e-5, 3e-14] {
            let HeadScale { mantissa, shift } = HeadScale::from_ratio(ratio);
            assert!((1 << 15..1 << 16).contains(&mantissa), "{ratio}");
            let registers = mantissa as f64 * f64::from(-(shift as i32)).exp2();
            assert!((registers / ratio - 1.0).abs() <= 1.0 / 65536.0, "{ratio}");
        }
    }

    #[test]
    fn token_scores_saturate_and_rows_may_be_shorter() {
        let full = (1 << TOKEN_SCORE_BITS) - 1;
        let mut scores = [full - 3, 5, 9];
        accumulate_tokens(&mut scores, &[4, 2]);
        assert_eq!(scores, [full, 7, 9]);
    }

    #[test]
    fn head_scores_take_magnitudes_in_the_heads_own_step() {
        let scale = HeadScale {
            mantissa: 3 << 14,
            shift: 15,
        };
        assert_eq!(magnitude(&[-7, 3, 0]), 10);
        assert_eq!(accumulate_head(100, 10, scale), 115);
        let full = (1 << HEAD_SCORE_BITS) - 1;
        assert_eq!(accumulate_head(full - 3, 10, scale), full);
    }
}
