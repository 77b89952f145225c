//! The number formats of one attention row: every width that two blocks must agree on, in one place.
//!
//! `uN` / `sN` are unsigned and two's-complement words of N bits; `UQa.b` has a integer and b fraction bits.
//! Ranges hold for head dimensions up to 128 and rows up to 4096 keys. Widths that do not follow from the
//! operand widths are constants; the rest are methods of [`Formats`].

/// Bits of the K LSB plane (unsigned): K = MSB * 16 + LSB.
pub const KEY_LSB_BITS: usize = 4;
/// Widths that K's MSB plane and V may be stored in.
pub const STORED_BITS: [usize; 5] = [4, 6, 8, 10, 12];
/// Longest row for which the ranges below hold.
pub const MAX_KEYS_PER_ROW: usize = 4096;
/// Most tokens of a sequence.
pub const MAX_TOKENS: usize = 4096;
/// Most query heads of a layer.
pub const MAX_HEADS: usize = 256;
/// Bits of the scale's mantissa, normalised to [2^15, 2^16).
pub const SCALE_MANTISSA_BITS: usize = 16;
/// Bits of each of the scale's two shift amounts (PRE and POST), 0 to 63.
pub const SCALE_SHIFT_BITS: usize = 6;
/// Bits of the score distance after PRE: d1 = min((m - s) >> PRE, 2^24 - 1).
pub const DISTANCE_BITS: usize = 24;
/// Integer bits of the exponent x (UQ5.12).
pub const EXPONENT_INTEGER_BITS: usize = 5;
/// Fraction bits of the exponent x (UQ5.12).
pub const EXPONENT_FRACTION_BITS: usize = 12;
/// Bits of the exponent x.
pub const EXPONENT_BITS: usize = EXPONENT_INTEGER_BITS + EXPONENT_FRACTION_BITS;
/// Bits of an exponential e = 2^-x; 1.0 is `65535 << 6`.
pub const EXPONENTIAL_BITS: usize = 22;
/// Bits of the row's sum S of exponentials, in units of 1/65535.
pub const SUM_BITS: usize = 28;
/// Fraction bits dropped from an exponential to give a weight or a sum.
pub const WEIGHT_SHIFT: usize = 6;
/// Bits of a weight ev for a V vector (unsigned).
pub const WEIGHT_BITS: usize = 16;
/// Bits of the reciprocal r of S, normalised to [2^17, 2^18).
pub const RECIPROCAL_BITS: usize = 18;
/// Bits of k = floor(log2 S).
pub const RECIPROCAL_EXPONENT_BITS: usize = 5;
/// Bits of a query's noise N, min(65535, sum of q^2 >> shift), and of the limit on it.
pub const NOISE_BITS: usize = 16;
/// Bits of its shift, 0 to 31.
pub const NOISE_SHIFT_BITS: usize = 5;
/// Bits of a probability p (UQ0.16), the increment of a token's importance.
pub const PROBABILITY_BITS: usize = 16;
/// Bits of a token's importance (unsigned, saturating).
pub const TOKEN_SCORE_BITS: usize = 36;
/// Bits of a head's importance (unsigned, saturating).
pub const HEAD_SCORE_BITS: usize = 40;
/// Bits of the sum H of magnitudes of a head's outputs over the rows of a job.
pub const MAGNITUDE_BITS: usize = 36;
/// Bits of the mantissa of a head's step of V for its importance, normalised to [2^15, 2^16).
pub const HEAD_SCALE_MANTISSA_BITS: usize = 16;
/// Bits of the shift of a head's step of V for its importance, 0 to 63.
pub const HEAD_SCALE_SHIFT_BITS: usize = 6;
/// Bits of the factor that rescales stored importance.
pub const RESCALE_BITS: usize = 16;
/// Its fraction bits.
pub const RESCALE_FRACTION_BITS: usize = 15;
/// Fraction bits of an output, in units of V.
pub const OUTPUT_FRACTION_BITS: usize = 4;
/// Bits of the accumulator that the reciprocal multiplies keep below the operand: accn = acc >> (k - 12).
pub const ACCUMULATOR_GUARD_BITS: usize = 12;

/// The operand widths of a configuration and everything that follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Formats {
    /// Bits of a Q element (signed; the most negative code is never produced).
    pub query_bits: usize,
    /// Bits of a K element, or of its MSB plane where there is an LSB plane too (signed). Codes with an LSB plane reach
    /// -(2^(bits + 3) - 1), whose MSB plane is the most negative code; the widths below allow for it.
    pub key_bits: usize,
    /// Bits of a V element (signed).
    pub value_bits: usize,
    /// Largest head dimension.
    pub max_head_dim: usize,
}

impl Formats {
    /// Bits of Q.K over the MSB plane (signed): s30 for 12-bit operands and d = 128.
    pub fn dot_bits(&self) -> usize {
        self.query_bits + self.key_bits - 1 + log2_exact(self.max_head_dim)
    }

    /// Bits of Q.K over the LSB plane (signed): s23 for 12-bit Q and d = 128.
    pub fn lsb_dot_bits(&self) -> usize {
        self.query_bits + KEY_LSB_BITS + log2_exact(self.max_head_dim)
    }

    /// Bits of a score s = Q.K << 4 (signed): s34 for 12-bit operands and d = 128.
    pub fn score_bits(&self) -> usize {
        self.dot_bits() + KEY_LSB_BITS
    }

    /// Bits of the distance m - s of a score from its row's maximum (unsigned).
    pub fn distance_bits(&self) -> usize {
        self.score_bits()
    }

    /// Bits of one product ev * v (signed).
    pub fn product_bits(&self) -> usize {
        WEIGHT_BITS + self.value_bits
    }

    /// Bits of an accumulator of ev * v over a row (signed): s40 for 12-bit V.
    pub fn accumulator_bits(&self) -> usize {
        SUM_BITS + self.value_bits
    }

    /// Bits of an output element (signed, four fraction bits in V units): s16 for 12-bit V.
    pub fn output_bits(&self) -> usize {
        self.value_bits + OUTPUT_FRACTION_BITS
    }
}

/// Shift right by `n` with rounding half up: `(a + 2^(n-1)) >> n`, arithmetic; `a` itself when `n` is 0.
pub fn round_shift_right(a: i64, n: u32) -> i64 {
    if n == 0 { a } else { (a + (1 << (n - 1))) >> n }
}

/// Whether `value` fits a two's-complement word of `bits` bits (1 to 63).
pub fn fits_signed(value: i64, bits: usize) -> bool {
    let bound = 1 << (bits - 1);
    (-bound..bound).contains(&value)
}

/// log2 of a power of two.
///
/// # Panics
/// When `n` is not a power of two.
pub fn log2_exact(n: usize) -> usize {
    assert!(n.is_power_of_two(), "{n} is not a power of two");
    n.trailing_zeros() as usize
}

/// Bits needed to hold every value in `0..count` (at least 1).
pub fn index_bits(count: usize) -> usize {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1) as usize
}

/// Bits needed to hold the value `max` (at least 1).
pub fn value_bits(max: usize) -> usize {
    index_bits(max + 1)
}
