//! Golden model of the softmax of one row (`docs/decisions.md`, section 1): scores to exponentials, their sum, and the
//! 16-bit weights for V.
//!
//! The division by the sum is left to `prob_value`, which scales each finished output once.

use crate::cells::exp2::golden::exp2_negative;
use crate::numerics::{
    DISTANCE_BITS, EXPONENT_BITS, EXPONENT_FRACTION_BITS, SCALE_MANTISSA_BITS, SCALE_SHIFT_BITS,
    WEIGHT_SHIFT, round_shift_right,
};

/// What both the sum and the error feedback start from, so that dropping the weight's fraction bits rounds.
const ROUNDING_CARRY: i64 = 1 << (WEIGHT_SHIFT - 1);
/// Smallest mantissa; normalised mantissas have their top bit set.
const MANTISSA_MIN: i64 = 1 << (SCALE_MANTISSA_BITS - 1);
/// Largest mantissa.
const MANTISSA_MAX: i64 = (1 << SCALE_MANTISSA_BITS) - 1;
/// Most that a scale can shift right in all.
const SHIFT_MAX: i32 = (1 << SCALE_SHIFT_BITS) - 1;
/// Largest POST shift: a saturated distance times the smallest mantissa, shifted by this, still gives at
/// least the largest x, so the distance's saturation can never show.
const POST_MAX: i32 = (DISTANCE_BITS + SCALE_MANTISSA_BITS - 1) as i32 - EXPONENT_BITS as i32;

/// The scale registers of one head: x = distance * factor, with
/// factor = mantissa * 2^-(PRE + POST) / 2^12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// u16 in [2^15, 2^16).
    pub mantissa: i64,
    /// Right shift of the distance, before the product (u6).
    pub pre: u32,
    /// Rounding right shift of the product (u6).
    pub post: u32,
}

/// Why a factor has no scale registers.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "score scale {factor}: it must be finite and not negative; \
     check the quantization steps of Q and K that it is made from"
)]
pub struct ScaleError {
    /// The factor that was refused.
    pub factor: f64,
}

impl Scale {
    /// The registers for `factor` = sq * sk / sqrt(d) * log2(e), in units of s.
    ///
    /// The registers reach from 2^-60 to just below 16. Factors beyond are set to the nearest end without
    /// harm: at 2^-60 every distance already gives x = 0, and at 16 the smallest distance without an LSB
    /// plane, 16, already gives an exponential of 0.
    ///
    /// # Errors
    /// When the factor is negative, infinite or not a number.
    pub fn from_factor(factor: f64) -> Result<Scale, ScaleError> {
        if !factor.is_finite() || factor < 0.0 {
            return Err(ScaleError { factor });
        }
        let smallest = mantissa_over_power(MANTISSA_MIN, SHIFT_MAX);
        let largest = mantissa_over_power(MANTISSA_MAX, 0);
        let scaled = (factor * f64::from(1 << EXPONENT_FRACTION_BITS)).clamp(smallest, largest);

        let mut shift = SCALE_MANTISSA_BITS as i32 - 1 - scaled.log2().floor() as i32;
        let mut mantissa = (scaled * f64::from(shift).exp2()).round_ties_even() as i64;
        if mantissa > MANTISSA_MAX {
            mantissa = MANTISSA_MIN;
            shift -= 1;
        }

        let post = shift.min(POST_MAX);
        Ok(Scale {
            mantissa,
            pre: (shift - post) as u32,
            post: post as u32,
        })
    }

    /// The factor that the registers stand for.
    pub fn factor(&self) -> f64 {
        let shift = (self.pre + self.post) as i32 + EXPONENT_FRACTION_BITS as i32;
        mantissa_over_power(self.mantissa, shift)
    }
}

fn mantissa_over_power(mantissa: i64, shift: i32) -> f64 {
    mantissa as f64 * f64::from(-shift).exp2()
}

/// x (UQ5.12) of a score's distance m - s from its row's maximum:
/// d1 = min(distance >> PRE, 2^24 - 1), x = min(rshr(d1 * mantissa, POST), 2^17 - 1).
///
/// # Panics
/// When the distance is negative.
pub fn exponent(distance: i64, scale: Scale) -> i64 {
    assert!(
        distance >= 0,
        "distance {distance} from the row's maximum is negative"
    );
    let shifted = (distance >> scale.pre).min((1 << DISTANCE_BITS) - 1);
    let exponent = round_shift_right(shifted * scale.mantissa, scale.post);
    exponent.min((1 << EXPONENT_BITS) - 1)
}

/// The exponentials e (u22) of a row, in key order; keys that are not live get 0.
///
/// `maximum` is the row's maximum over the live keys and may be `None` only when no key is live.
///
/// # Panics
/// When the mask's length differs from the row's, or a live score exceeds the maximum.
pub fn exponentials(scores: &[i64], live: &[bool], maximum: Option<i64>, scale: Scale) -> Vec<i64> {
    assert_eq!(scores.len(), live.len(), "scores and mask differ in length");
    scores
        .iter()
        .zip(live)
        .map(|(&score, &is_live)| {
            if !is_live {
                return 0;
            }
            let maximum = maximum.expect("a row with a live key has a maximum");
            exp2_negative(exponent(maximum - score, scale))
        })
        .collect()
}

/// The row's sum S (u28) of exponentials in the units of the weights: (sum of e + 32) >> 6.
pub fn sum(exponentials: &[i64]) -> i64 {
    (exponentials.iter().sum::<i64>() + ROUNDING_CARRY) >> WEIGHT_SHIFT
}

/// The weights ev (u16) for V: exponentials without their six fraction bits, in key order.
///
/// What a weight drops is carried into the next one (error feedback), so the weights of a whole row sum to
/// exactly [`sum`]. With `keep`, only kept keys take part in the feedback and all others get 0.
///
/// # Panics
/// When the mask's length differs from the row's.
pub fn weights(exponentials: &[i64], keep: Option<&[bool]>) -> Vec<i64> {
    if let Some(keep) = keep {
        assert_eq!(
            exponentials.len(),
            keep.len(),
            "exponentials and keep mask differ in length"
        );
    }
    let mut carry = ROUNDING_CARRY;
    exponentials
        .iter()
        .enumerate()
        .map(|(key, exponential)| {
            if keep.is_some_and(|keep| !keep[key]) {
                return 0;
            }
            carry += exponential;
            let weight = carry >> WEIGHT_SHIFT;
            carry &= (1 << WEIGHT_SHIFT) - 1;
            weight
        })
        .collect()
}
