//! Synthetic attention: its rows are of the kinds that it says.

use spatten::golden::float64::attend_head;
use spatten::golden::head::live_keys;
use spatten::golden::layer::kv_head;
use spatten::workload::synthetic::{RowKind, SyntheticAttention};
use spatten::workload::tensors::AttentionTensors;

const MODEL: SyntheticAttention = SyntheticAttention {
    layers: 2,
    heads: 6,
    kv_heads: 2,
    queries: 20,
    keys: 24,
    head_dim: 64,
    causal: true,
    seed: 1,
};

fn tensors(model: SyntheticAttention) -> AttentionTensors {
    AttentionTensors::from_bytes(&model.to_bytes(), None).unwrap()
}

/// Float64 attention probabilities of one head, `[queries][keys]`.
fn probabilities(tensors: &AttentionTensors, layer: usize, head: usize) -> Vec<Vec<f64>> {
    let kv_head = kv_head(head, tensors.head_count(), tensors.kv_head_count());
    let keys = tensors.key_count();
    // With the identity for V, attention gives the probabilities.
    let identity: Vec<Vec<f64>> = (0..keys)
        .map(|key| (0..keys).map(|i| f64::from(u8::from(i == key))).collect())
        .collect();
    attend_head(
        &tensors.queries().head(layer, head),
        &tensors.keys().head(layer, kv_head),
        &identity,
        &live_keys(tensors.query_count(), keys, tensors.causal()),
        std::f64::consts::LOG2_E / (tensors.head_dim() as f64).sqrt(),
    )
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[test]
fn tensors_have_the_sizes_asked_for() {
    for causal in [false, true] {
        let model = SyntheticAttention { causal, ..MODEL };
        let tensors = tensors(model);
        assert_eq!(tensors.queries().shape(), [2, 6, 20, 64]);
        assert_eq!(tensors.keys().shape(), [2, 2, 24, 64]);
        assert_eq!(tensors.values().shape(), [2, 2, 24, 64]);
        assert_eq!(tensors.causal(), causal);
    }
    let smallest = SyntheticAttention {
        layers: 1,
        heads: 1,
        kv_heads: 1,
        queries: 1,
        keys: 1,
        head_dim: 1,
        ..MODEL
    };
    assert_eq!(tensors(smallest).keys().shape(), [1, 1, 1, 1]);
}

#[test]
fn rows_are_of_their_heads_kind() {
    for causal in [false, true] {
        let model = SyntheticAttention { causal, ..MODEL };
        let tensors = tensors(model);
        for (layer, head) in [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (1, 5)] {
            let rows = probabilities(&tensors, layer, head);
            let first = mean(rows.iter().map(|row| row[0]));
            let largest = mean(
                rows.iter()
                    .map(|row| row.iter().copied().fold(0.0, f64::max)),
            );
            match SyntheticAttention::row_kind(head) {
                RowKind::Peaked => {
                    let favoured = rows.iter().enumerate();
                    let favoured =
                        mean(favoured.map(|(query, row)| row[model.favoured_key(query)]));
                    assert!(favoured > 0.9, "head {head}: {favoured}");
                }
                // Causal rows have 5 to 24 keys.
                RowKind::Flat => assert!(largest < 0.12, "head {head}: {largest}"),
                RowKind::FirstTokenHeavy => {
                    assert!((0.3..0.9).contains(&first), "head {head}: {first}");
                }
            }
        }
    }
}

#[test]
fn favoured_keys_are_seen_and_differ_from_query_to_query() {
    let seen = live_keys(MODEL.queries, MODEL.keys, true);
    let favoured: Vec<usize> = (0..MODEL.queries)
        .map(|query| MODEL.favoured_key(query))
        .collect();
    assert!(favoured.iter().zip(&seen).all(|(key, live)| key < live));
    let changes = favoured.windows(2).filter(|pair| pair[0] != pair[1]);
    assert_eq!(changes.count(), MODEL.queries - 1);
}

#[test]
fn equal_seeds_give_equal_bytes_and_others_do_not() {
    assert_eq!(MODEL.to_bytes(), MODEL.to_bytes());
    let other = SyntheticAttention { seed: 2, ..MODEL };
    assert_ne!(MODEL.to_bytes(), other.to_bytes());
}
