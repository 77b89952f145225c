//! Bytes that a layer moves between the memory channels and the accelerator.

use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::fetch::VectorFormat;
use crate::accelerator::refine::golden::Rule;
use crate::golden::layer::LayerOperands;
use crate::numerics::Formats;
use crate::workload::memory_image::{key_format, value_format};

/// Bytes in whole beats, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// K, or its MSB plane.
    pub key: u64,
    /// K's LSB plane.
    pub key_lsb: u64,
    /// V.
    pub value: u64,
    /// Q.
    pub query: u64,
    /// Output rows.
    pub output: u64,
}

/// Bytes that have moved between the channels and the accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

impl Traffic {
    /// All of it.
    pub fn moved(&self) -> Moved {
        Moved {
            read: self.key + self.key_lsb + self.value + self.query,
            written: self.output,
        }
    }
}

/// The traffic of a layer of which `layer` takes part, with K and V of `formats`; `kv_heads` are the KV heads of `layer` by
/// their number in the whole layer, which says which half of a pair they are, and `refetched` says which rows of each head
/// took the LSB plane.
///
/// - Heads without a rule: K and V of their KV head are read once, and serve all queries of neighbouring heads.
/// - Heads with a rule: each row reads K and V of the keys that it sees, at least of one, and their LSBs where
///   it is refetched.
/// - Q is read and an output row written once per row. V of pruned values is read like all others.
///
/// # Panics
/// When lengths disagree.
pub fn layer_traffic(
    layer: &LayerOperands,
    formats: &Formats,
    kv_heads: &[usize],
    refetched: &[Vec<bool>],
) -> Traffic {
    assert_eq!(
        layer.keys.len(),
        kv_heads.len(),
        "KV heads differ in number"
    );
    assert_eq!(
        layer.queries.len(),
        refetched.len(),
        "heads differ in number"
    );
    let Some(head_dim) = layer.queries.iter().flatten().map(Vec::len).next() else {
        return Traffic::default();
    };
    let bytes = |format: VectorFormat| (format.beats(head_dim) * BEAT_BYTES) as u64;
    let mut traffic = Traffic::default();
    for (head, flags) in refetched.iter().enumerate() {
        let kv_head = layer.kv_heads[head];
        let key = bytes(key_format(formats.key_bits, kv_heads[kv_head]));
        let value = bytes(value_format(formats.value_bits));
        let rows = flags.len() as u64;
        traffic.query += rows * bytes(VectorFormat::Bits16);
        traffic.output += rows * bytes(VectorFormat::Bits16);
        // A head with a rule in between makes its neighbours load their KV head again.
        let shares =
            |other: usize| layer.kv_heads[other] == kv_head && layer.rules[other] == Rule::None;
        if layer.rules[head] != Rule::None {
            assert_eq!(layer.live_keys.len(), flags.len(), "rows differ in number");
            for (&live, &refetched) in layer.live_keys.iter().zip(flags) {
                let seen = live.max(1) as u64;
                traffic.key += seen * key;
                traffic.value += seen * value;
                if refetched {
                    traffic.key_lsb += live as u64 * bytes(VectorFormat::Bits4);
                }
            }
        } else if head == 0 || !shares(head - 1) {
            let keys = layer.keys[kv_head].len() as u64;
            traffic.key += keys * key;
            traffic.value += keys * value;
        }
    }
    traffic
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accelerator::softmax::golden::Scale;
    use crate::golden::row::ValuePruning;

    /// Three heads over KV heads 1, 1 and 2 of a whole layer, of two rows that see none and all of 5 keys of d 32.
    fn layer(rules: [Rule; 3]) -> LayerOperands {
        let vectors = |heads, rows| vec![vec![vec![0; 32]; rows]; heads];
        LayerOperands {
            queries: vectors(3, 2),
            keys: vectors(2, 5),
            key_lsbs: Some(vectors(2, 5)),
            rules: rules.to_vec(),
            values: vectors(2, 5),
            kv_heads: vec![0, 0, 1],
            scales: vec![Scale::from_factor(0.0).unwrap(); 3],
            live_keys: vec![0, 5],
            value_pruning: vec![ValuePruning::NONE; 2],
        }
    }

    fn formats(key_bits: usize) -> Formats {
        Formats {
            query_bits: 12,
            key_bits,
            value_bits: 8,
            max_head_dim: 32,
        }
    }

    #[test]
    fn heads_without_a_rule_share_what_is_read_once() {
        let flags = vec![vec![false; 2]; 3];
        let traffic = layer_traffic(&layer([Rule::None; 3]), &formats(6), &[1, 2], &flags);
        let expected = Traffic {
            // Two beats of half B, one of half A.
            key: 5 * 64 + 5 * 32,
            key_lsb: 0,
            value: 10 * 32,
            query: 6 * 64,
            output: 6 * 64,
        };
        assert_eq!(traffic, expected);
        assert_eq!(traffic.moved().read, 480 + 320 + 384);
        assert_eq!(traffic.moved().written, 384);
    }

    #[test]
    fn rows_with_a_rule_read_their_own_keys_and_lsbs_where_they_are_refetched() {
        let rule = Rule::threshold(0.5);
        let flags = vec![vec![false; 2], vec![false; 2], vec![false, true]];
        let layer = layer([Rule::None, rule, rule]);
        let traffic = layer_traffic(&layer, &formats(12), &[1, 2], &flags);
        let expected = Traffic {
            key: (5 + 6 + 6) * 64,
            key_lsb: 5 * 32,
            value: (5 + 6 + 6) * 32,
            query: 6 * 64,
            output: 6 * 64,
        };
        assert_eq!(traffic, expected);
    }

    #[test]
    fn nothing_alive_moves_nothing() {
        let mut layer = layer([Rule::None; 3]);
        layer.queries.clear();
        layer.keys.clear();
        assert_eq!(
            layer_traffic(&layer, &formats(8), &[], &[]),
            Traffic::default()
        );
    }
}
