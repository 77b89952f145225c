//! Golden model of the scores s = (Q . K_msb) << 4, what K's LSBs add to them, and their maximum (`docs/decisions.md`, section 1).

use crate::numerics::{Formats, KEY_LSB_BITS, fits_signed};

/// Splits a K element into its planes: (MSB plane, signed; LSB plane, unsigned 4 bits), K = MSB * 16 + LSB.
pub fn split_key(key: i64) -> (i64, i64) {
    (key >> KEY_LSB_BITS, key & ((1 << KEY_LSB_BITS) - 1))
}

/// The score of one query against one key: s = (Q . K_msb) << 4, exact.
///
/// A K without an LSB plane is its own MSB plane and is shifted alike; the scale then takes a sixteenth of
/// K's step.
///
/// # Panics
/// When query and key differ in length, or the score leaves `formats.score_bits()`, which operands within
/// their formats cannot cause.
pub fn score(formats: &Formats, query: &[i64], key_msb: &[i64]) -> i64 {
    assert_eq!(query.len(), key_msb.len(), "query and key differ in length");
    let dot: i64 = query.iter().zip(key_msb).map(|(q, k)| q * k).sum();
    let score = dot << KEY_LSB_BITS;
    assert!(
        fits_signed(score, formats.score_bits()),
        "score {score} does not fit s{}",
        formats.score_bits()
    );
    score
}

/// The scores of one query against every key of the row, in key order.
///
/// # Panics
/// As [`score`].
pub fn score_row(formats: &Formats, query: &[i64], keys_msb: &[Vec<i64>]) -> Vec<i64> {
    keys_msb
        .iter()
        .map(|key| score(formats, query, key))
        .collect()
}

/// What the LSB plane adds to the scores of a row: s + Q . K_lsb, which is Q . K exactly.
///
/// # Panics
/// When lengths differ, or a score or a sum of the LSB plane leaves its format, which operands within theirs cannot cause:
/// Q . K_lsb fits `formats.lsb_dot_bits()`, and as |K| < 2^(key_bits + 3) the score its own.
pub fn refine_row(
    formats: &Formats,
    scores: &[i64],
    query: &[i64],
    keys_lsb: &[Vec<i64>],
) -> Vec<i64> {
    assert_eq!(
        scores.len(),
        keys_lsb.len(),
        "scores and LSBs differ in number"
    );
    let refine = |(score, lsb): (&i64, &Vec<i64>)| {
        assert_eq!(query.len(), lsb.len(), "query and LSBs differ in length");
        let dot: i64 = query.iter().zip(lsb).map(|(q, k)| q * k).sum();
        let refined = score + dot;
        assert!(
            fits_signed(dot, formats.lsb_dot_bits()) && fits_signed(refined, formats.score_bits()),
            "score {score} + {dot} does not fit s{} + s{}",
            formats.score_bits(),
            formats.lsb_dot_bits()
        );
        refined
    };
    scores.iter().zip(keys_lsb).map(refine).collect()
}

/// The largest score among the live keys; `None` when no key is live.
///
/// # Panics
/// When the mask's length differs from the row's.
pub fn row_maximum(scores: &[i64], live: &[bool]) -> Option<i64> {
    assert_eq!(scores.len(), live.len(), "scores and mask differ in length");
    scores
        .iter()
        .zip(live)
        .filter_map(|(&score, &is_live)| is_live.then_some(score))
        .max()
}
