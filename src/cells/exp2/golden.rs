//! Golden model of e = 2^-x: a table over one octave, a straight line between its entries, and a right
//! shift by the integer part of x (`docs/decisions.md`, section 1).
//!
//! To change the exponential's shape, change `balanced_value`, and for its accuracy [`TABLE_INDEX_BITS`] and
//! [`SLOPE_BITS`] with it: the model and the hardware both take their entries from [`table`].

use std::sync::LazyLock;

use crate::numerics::{
    EXPONENT_BITS, EXPONENT_FRACTION_BITS, EXPONENTIAL_BITS, WEIGHT_BITS, WEIGHT_SHIFT,
    round_shift_right,
};

/// Bits of the table index: the leading fraction bits of x.
pub const TABLE_INDEX_BITS: usize = 6;
/// Entries of the table, which together span one octave of 2^-x.
pub const TABLE_ENTRIES: usize = 1 << TABLE_INDEX_BITS;
/// Fraction bits of x below the table index: the position on the line that starts at an entry.
pub const POSITION_BITS: usize = EXPONENT_FRACTION_BITS - TABLE_INDEX_BITS;
/// Bits of an entry's value (unsigned); 1.0 is `65535 << 2`.
pub const VALUE_BITS: usize = 18;
/// Bits of an entry's slope (unsigned): the fall of the value from this entry to the next.
pub const SLOPE_BITS: usize = 12;

/// The exponential of x = 0: the number 1.0 in the u22 format of exponentials.
pub const ONE: i64 = ((1 << WEIGHT_BITS) - 1) << WEIGHT_SHIFT;

/// The number 1.0 in the format of the table's values.
const TABLE_ONE: i64 = ONE >> (EXPONENTIAL_BITS - VALUE_BITS);

/// One entry of the table, of n = [`TABLE_ENTRIES`]: a line over 1/n of an octave, from `value` down by `slope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 2^-(index/n), balanced, u18.
    pub value: i64,
    /// This entry's value minus the next one's, u12.
    pub slope: i64,
}

/// The entries, computed once.
///
/// 2^-x is convex, so a chord between two exact points lies above the curve, most in its middle: by
/// `h^2/8 * f''` = `2^-x * (ln 2 / n)^2 / 8`, with n = [`TABLE_ENTRIES`]. Lowering both ends of every chord by
/// half of that centres the error around zero. The first value stays exact, because x = 0 must give exactly
/// [`ONE`], and the value after the last entry stays exactly half of it, so that neighbouring octaves meet.
pub fn table() -> &'static [Entry; TABLE_ENTRIES] {
    static TABLE: LazyLock<[Entry; TABLE_ENTRIES]> = LazyLock::new(|| std::array::from_fn(entry));
    &TABLE
}

fn entry(index: usize) -> Entry {
    let value = balanced_value(index);
    let slope = value - balanced_value(index + 1);
    Entry { value, slope }
}

fn balanced_value(index: usize) -> i64 {
    let step = 1.0 / TABLE_ENTRIES as f64;
    let exact = TABLE_ONE as f64 * (-(index as f64) * step).exp2();
    let is_end_of_octave = index == 0 || index == TABLE_ENTRIES;
    let balance = if is_end_of_octave {
        0.0
    } else {
        exact * (std::f64::consts::LN_2 * step).powi(2) / 16.0
    };
    (exact - balance).round_ties_even() as i64
}

/// 2^-x: x in UQ5.12, the result in u22 where 1.0 is [`ONE`].
///
/// The result never rises with x and is 0 from x = 23 on.
///
/// # Panics
/// When x does not fit its 17 bits.
pub fn exp2_negative(x: i64) -> i64 {
    assert!(
        (0..1 << EXPONENT_BITS).contains(&x),
        "exponent {x} does not fit u{EXPONENT_BITS}"
    );
    let octave = (x >> EXPONENT_FRACTION_BITS) as u32;
    let fraction = x & ((1 << EXPONENT_FRACTION_BITS) - 1);
    let position = fraction & ((1 << POSITION_BITS) - 1);
    let entry = table()[(fraction >> POSITION_BITS) as usize];

    let fall = round_shift_right(entry.slope * position, POSITION_BITS as u32);
    let in_first_octave = (entry.value - fall) << (EXPONENTIAL_BITS - VALUE_BITS);
    round_shift_right(in_first_octave, octave)
}
