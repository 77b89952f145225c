//! One attention head: every query against the keys that it may see.

use super::row::{RowKeys, RowTrace, ValuePruning, attend_row};
use crate::accelerator::refine::golden::Rule;
use crate::accelerator::softmax::golden::Scale;
use crate::numerics::Formats;

/// The integer operands of one head.
#[derive(Clone, Copy, Debug)]
pub struct HeadOperands<'a> {
    /// Q, `[queries][d]`.
    pub queries: &'a [Vec<i64>],
    /// K, or its MSB plane, `[keys][d]`.
    pub keys: &'a [Vec<i64>],
    /// K's LSB plane (unsigned 4 bits), `[keys][d]`.
    pub key_lsbs: Option<&'a [Vec<i64>]>,
    /// Which rows take the LSB plane too.
    pub rule: Rule,
    /// V, `[keys][d]`.
    pub values: &'a [Vec<i64>],
    /// How many keys, from the first, each query sees; see [`live_keys`].
    pub live_keys: &'a [usize],
    /// Local value pruning of each query's row.
    pub value_pruning: &'a [ValuePruning],
    /// The head's scale registers.
    pub scale: Scale,
}

impl<'a> HeadOperands<'a> {
    /// K as each row gets it.
    pub fn row_keys(&self) -> RowKeys<'a> {
        RowKeys {
            msb: self.keys,
            lsb: self.key_lsbs,
            rule: self.rule,
        }
    }
}

/// How many keys, from the first, each of `queries` queries over `keys` keys sees: all of them, or, when
/// `causal`, those up to and including its own. The queries are the newest of the keys, so query i is key
/// i + keys - queries.
///
/// # Panics
/// When a causal head has more queries than keys.
pub fn live_keys(queries: usize, keys: usize, causal: bool) -> Vec<usize> {
    if !causal {
        return vec![keys; queries];
    }
    assert!(
        queries <= keys,
        "a causal head has {queries} queries over only {keys} keys"
    );
    (0..queries).map(|i| i + keys - queries + 1).collect()
}

/// The mask of a row of `keys` keys that sees the first `live` of them.
pub fn prefix_mask(live: usize, keys: usize) -> Vec<bool> {
    (0..keys).map(|key| key < live).collect()
}

/// Computes one head, row by row; element i is query i.
///
/// # Panics
/// As [`attend_row`].
pub fn attend_head(formats: &Formats, head: &HeadOperands) -> Vec<RowTrace> {
    assert_eq!(
        head.queries.len(),
        head.live_keys.len(),
        "queries and live-key counts differ in number"
    );
    assert_eq!(
        head.queries.len(),
        head.value_pruning.len(),
        "queries and value prunings differ in number"
    );
    let rows = head.queries.iter().zip(head.live_keys);
    rows.zip(head.value_pruning)
        .map(|((query, &live), &pruning)| {
            let live = prefix_mask(live, head.keys.len());
            attend_row(
                formats,
                query,
                head.row_keys(),
                head.values,
                &live,
                head.scale,
                pruning,
            )
        })
        .collect()
}
