//! Golden model of 1/S as `r * 2^-(k + 18)`: exact integer division, rounded down (`docs/decisions.md`, section 1).

use crate::numerics::{RECIPROCAL_BITS, SUM_BITS};

/// A reciprocal in normalised form: 1/S is about `mantissa * 2^-(exponent + 18)`, never more than it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reciprocal {
    /// r, u18, in [2^17, 2^18); 0 for the sum 0.
    pub mantissa: i64,
    /// k = floor(log2 S), u5; 0 for the sum 0.
    pub exponent: u32,
}

/// The reciprocal of a row's sum S (u28): r = min(floor(2^(k+18) / S), 2^18 - 1).
///
/// An empty row has S = 0 and gives r = 0, which makes its outputs zero.
///
/// # Panics
/// When the sum does not fit its 28 bits.
pub fn reciprocal(sum: i64) -> Reciprocal {
    assert!(
        (0..1 << SUM_BITS).contains(&sum),
        "sum {sum} does not fit u{SUM_BITS}"
    );
    if sum == 0 {
        return Reciprocal {
            mantissa: 0,
            exponent: 0,
        };
    }
    let exponent = sum.ilog2();
    let quotient = (1_i64 << (exponent as usize + RECIPROCAL_BITS)) / sum;
    // Only a power of two divides to 2^18, one more than the mantissa can hold.
    let largest = (1 << RECIPROCAL_BITS) - 1;
    Reciprocal {
        mantissa: quotient.min(largest),
        exponent,
    }
}
