//! One layer: all its heads, which may share keys and values in groups.

use super::cascade::{Live, gather};
use super::head::{HeadOperands, attend_head};
use super::row::ValuePruning;
use crate::accelerator::refine::golden::Rule;
use crate::accelerator::softmax::golden::Scale;
use crate::numerics::Formats;

/// The integer operands of one layer, of the heads and tokens that take part. Neighbouring query heads may share a KV
/// head (grouped-query attention).
#[derive(Clone, Debug)]
pub struct LayerOperands {
    /// Q, `[heads][queries][d]`.
    pub queries: Vec<Vec<Vec<i64>>>,
    /// K, or its MSB plane, `[kv_heads][keys][d]`.
    pub keys: Vec<Vec<Vec<i64>>>,
    /// K's LSB plane (unsigned 4 bits), `[kv_heads][keys][d]`.
    pub key_lsbs: Option<Vec<Vec<Vec<i64>>>>,
    /// Which rows of each head take the LSB plane too, `[heads]`.
    pub rules: Vec<Rule>,
    /// V, `[kv_heads][keys][d]`.
    pub values: Vec<Vec<Vec<i64>>>,
    /// The KV head that each query head reads, `[heads]`, ascending.
    pub kv_heads: Vec<usize>,
    /// Scale registers, `[heads]`.
    pub scales: Vec<Scale>,
    /// How many keys, from the first, each query sees, `[queries]`.
    pub live_keys: Vec<usize>,
    /// Local value pruning of each query's row, `[queries]`.
    pub value_pruning: Vec<ValuePruning>,
}

impl LayerOperands {
    /// The operands of query head `head`.
    ///
    /// # Panics
    /// When there is no such head.
    pub fn head(&self, head: usize) -> HeadOperands<'_> {
        let kv_head = self.kv_heads[head];
        HeadOperands {
            queries: &self.queries[head],
            keys: &self.keys[kv_head],
            key_lsbs: self.key_lsbs.as_ref().map(|lsbs| &lsbs[kv_head][..]),
            rule: self.rules[head],
            values: &self.values[kv_head],
            live_keys: &self.live_keys,
            value_pruning: &self.value_pruning,
            scale: self.scales[head],
        }
    }

    /// The operands of what lives of this whole layer, compacted in the order of ids: Q of the live heads and of the
    /// queries whose token lives ([`Live::queries`]), K and V of the live tokens in the KV heads that a live head reads,
    /// numbered anew. A query sees of its keys those that live.
    ///
    /// # Panics
    /// When `live` names a token or head that the layer does not have.
    pub fn gather(&self, live: &Live) -> LayerOperands {
        let keys = self.keys.first().map_or(0, Vec::len);
        let queries = live.queries(self.live_keys.len(), keys);
        let heads = &live.heads;

        let of_heads = gather(&self.kv_heads, heads);
        let used = live.kv_heads(&self.kv_heads);
        let number = |kv_head: &usize| used.partition_point(|other| other < kv_head);
        let vectors = |of_kv_heads: &[Vec<Vec<i64>>]| {
            let head = |&kv_head: &usize| gather(&of_kv_heads[kv_head], &live.tokens);
            used.iter().map(head).collect()
        };
        let seen = |&query: &usize| {
            let all = self.live_keys[query];
            live.tokens.partition_point(|&token| token < all)
        };
        LayerOperands {
            queries: heads
                .iter()
                .map(|&head| gather(&self.queries[head], &queries))
                .collect(),
            keys: vectors(&self.keys),
            key_lsbs: self.key_lsbs.as_deref().map(vectors),
            rules: gather(&self.rules, heads),
            values: vectors(&self.values),
            kv_heads: of_heads.iter().map(number).collect(),
            scales: gather(&self.scales, heads),
            live_keys: queries.iter().map(seen).collect(),
            value_pruning: gather(&self.value_pruning, &queries),
        }
    }
}

/// The KV head that query head `head` of `heads` reads: `head / (heads / kv_heads)`.
///
/// # Panics
/// When `head` is not below `heads`, or `kv_heads` does not divide `heads`.
pub fn kv_head(head: usize, heads: usize, kv_heads: usize) -> usize {
    assert!(head < heads, "head {head} of {heads} does not exist");
    assert!(
        kv_heads > 0 && heads.is_multiple_of(kv_heads),
        "{kv_heads} KV heads do not divide {heads} heads"
    );
    head / (heads / kv_heads)
}

/// The KV heads of all query heads, where equal groups of neighbours share one: [`kv_head`] of each.
///
/// # Panics
/// When `kv_heads` does not divide `heads`.
pub fn equal_groups(heads: usize, kv_heads: usize) -> Vec<usize> {
    (0..heads)
        .map(|head| kv_head(head, heads, kv_heads))
        .collect()
}

/// The outputs of one layer, `[heads][queries][d]`, in V's units with 4 fraction bits.
///
/// For the streams inside a head, run [`attend_head`] on [`LayerOperands::head`].
///
/// # Panics
/// As [`attend_row`](super::row::attend_row).
pub fn attend_layer(formats: &Formats, layer: &LayerOperands) -> Vec<Vec<Vec<i64>>> {
    (0..layer.queries.len())
        .map(|head| {
            let rows = attend_head(formats, &layer.head(head));
            rows.into_iter().map(|row| row.outputs).collect()
        })
        .collect()
}
