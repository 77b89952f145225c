//! Attention tensors of any size from a seed, with the kinds of rows that trained models show.

mod real_like;

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::tensors::AttentionTensors;
use crate::golden::layer::kv_head;

/// By how much the favoured key's logit exceeds the typical one in a peaked row: e^8 is about 3000.
const PEAK: f64 = 8.0;
/// By how much the first key's logit does so in a row heavy on it.
const FIRST_TOKEN: f64 = 4.0;
/// Standard deviation of the logits of a flat row.
const FLAT: f64 = 0.1;
/// Standard deviation of the logits of other keys than the favoured one.
const BACKGROUND: f64 = 1.0;
/// Standard deviation of a K channel's mean, which all keys share and softmax does not see.
const CHANNEL_MEAN: f64 = 2.0;

/// How the probabilities of a head's rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// One key, different from query to query, takes nearly all.
    Peaked,
    /// All keys get about the same.
    Flat,
    /// The first key takes much, as it does in real decoders.
    FirstTokenHeavy,
    /// Heads differ as in trained models: sharp or broad, seeking matches, neighbours or the first key.
    RealLike,
}

/// Sizes and seed of synthetic attention. Equal values give equal tensors on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticAttention {
    /// Layers, at least 1.
    pub layers: usize,
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// KV heads, at least 1.
    pub kv_heads: usize,
    /// Queries per head, at least 1; at most `keys` when causal.
    pub queries: usize,
    /// Keys per head, at least 1.
    pub keys: usize,
    /// Elements of a query, key or value, at least 1.
    pub head_dim: usize,
    /// Whether a query sees only the keys up to its own.
    pub causal: bool,
    /// The kind of all rows; with `None` the heads take turns: peaked, flat, first-token-heavy.
    pub rows: Option<RowKind>,
    /// Seed of all elements.
    pub seed: u64,
}

impl SyntheticAttention {
    /// The kind of the rows of a query head.
    pub fn row_kind(&self, head: usize) -> RowKind {
        let turns = [RowKind::Peaked, RowKind::Flat, RowKind::FirstTokenHeavy];
        self.rows.unwrap_or(turns[head % turns.len()])
    }

    /// The key of a query's own token, the newest one: the last query is the last key, whatever comes before.
    fn newest_key(&self, query: usize) -> usize {
        (query + self.keys)
            .saturating_sub(self.queries)
            .min(self.keys - 1)
    }

    /// The key that a query of a peaked row favours: one that it sees even when causal.
    pub fn favoured_key(&self, query: usize) -> usize {
        (query * 7) % (self.newest_key(query) + 1)
    }

    /// A safetensors file of `q`, `k`, `v` and the metadata `causal`, as
    /// [`AttentionTensors::read`](super::tensors::AttentionTensors::read) takes it.
    ///
    /// # Panics
    /// When a size is outside its range.
    pub fn to_bytes(&self) -> Vec<u8> {
        assert!(
            self.layers > 0 && self.queries > 0 && self.keys > 0 && self.head_dim > 0,
            "every size must be at least 1: {self:?}"
        );
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let [mut q, mut k, mut v] = [const { Vec::new() }; 3];
        for _ in 0..self.layers {
            let [queries, keys, values] = match self.rows {
                Some(RowKind::RealLike) => real_like::layer(self, &mut random),
                _ => self.layer(&mut random),
            };
            q.extend(queries);
            k.extend(keys);
            v.extend(values);
        }

        let query_shape = [self.layers, self.heads, self.queries, self.head_dim];
        let key_shape = [self.layers, self.kv_heads, self.keys, self.head_dim];
        let tensors = [
            ("q", query_shape, q),
            ("k", key_shape, k),
            ("v", key_shape, v),
        ]
        .map(|(name, shape, elements)| (name, shape, float32(&elements)));
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
            (*name, view.expect("as many elements as the shape says"))
        });
        let causal = HashMap::from([("causal".to_owned(), self.causal.to_string())]);
        safetensors::serialize(views, Some(causal)).expect("the views are valid")
    }

    /// The tensors themselves.
    ///
    /// # Panics
    /// When a size is outside its range.
    pub fn tensors(&self) -> AttentionTensors {
        AttentionTensors::from_bytes(&self.to_bytes(), None)
            .expect("synthetic tensors have the form that is read")
    }

    /// Q, K and V of one layer, each flat.
    fn layer(&self, random: &mut ChaCha8Rng) -> [Vec<f64>; 3] {
        let keys: Vec<Keys> = (0..self.kv_heads).map(|_| self.keys(random)).collect();
        let heads = (0..self.heads).flat_map(|head| {
            let keys = &keys[kv_head(head, self.heads, self.kv_heads)];
            self.queries(random, self.row_kind(head), keys)
        });
        let queries = heads.collect();
        let values = self.kv_heads * self.keys * self.head_dim;
        [
            queries,
            keys.iter().flat_map(Keys::elements).collect(),
            (0..values).map(|_| normal(random)).collect(),
        ]
    }

    fn keys(&self, random: &mut ChaCha8Rng) -> Keys {
        let mut vector = |deviation: f64| -> Vec<f64> {
            (0..self.head_dim)
                .map(|_| deviation * normal(random))
                .collect()
        };
        Keys {
            mean: vector(CHANNEL_MEAN),
            deviations: (0..self.keys).map(|_| vector(1.0)).collect(),
        }
    }

    /// The queries of one head, flat.
    fn queries(&self, random: &mut ChaCha8Rng, kind: RowKind, keys: &Keys) -> Vec<f64> {
        let mut elements = Vec::with_capacity(self.queries * self.head_dim);
        for query in 0..self.queries {
            let (favoured, peak, background) = match kind {
                RowKind::Peaked => (self.favoured_key(query), PEAK, BACKGROUND),
                RowKind::Flat => (0, 0.0, FLAT),
                RowKind::FirstTokenHeavy => (0, FIRST_TOKEN, BACKGROUND),
                RowKind::RealLike => unreachable!("these layers are made by `real_like`"),
            };
            // A key has about d units of squared length, and logits are divided by sqrt(d).
            let root = (self.head_dim as f64).sqrt();
            for deviation in &keys.deviations[favoured] {
                elements.push(peak * deviation / root + background * normal(random));
            }
        }
        elements
    }
}

/// The keys of one KV head: a mean that they share, and what each adds to it.
struct Keys {
    mean: Vec<f64>,
    deviations: Vec<Vec<f64>>,
}

impl Keys {
    fn elements(&self) -> impl Iterator<Item = f64> {
        self.deviations
            .iter()
            .flat_map(|key| key.iter().zip(&self.mean).map(|(x, mean)| x + mean))
    }
}

/// About normal, with variance 1: the sum of twelve uniform numbers, which every machine computes alike.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| random.random_range(-0.5..0.5)).sum()
}

fn float32(elements: &[f64]) -> Vec<u8> {
    elements
        .iter()
        .flat_map(|&x| (x as f32).to_le_bytes())
        .collect()
}
