//! Synthetic attention: its rows are of the kinds that it says.

use spatten::golden::float64::attend_head;
use spatten::golden::head::live_keys;
use spatten::golden::layer::kv_head;
use spatten::workload::statistics::RowStatistics;
use spatten::workload::synthetic::{RowKind, SyntheticAttention};
use spatten::workload::tensors::AttentionTensors;

use crate::shared_data;
use crate::tensors::TensorFile;

const MODEL: SyntheticAttention = SyntheticAttention {
    layers: 2,
    heads: 6,
    kv_heads: 2,
    queries: 20,
    keys: 24,
    head_dim: 64,
    causal: true,
    rows: None,
    seed: 1,
};

/// Float64 attention probabilities of one head, `[queries][keys]`.
fn head_probabilities(tensors: &AttentionTensors, layer: usize, head: usize) -> Vec<Vec<f64>> {
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
        let tensors = model.tensors();
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
    assert_eq!(smallest.tensors().keys().shape(), [1, 1, 1, 1]);
}

#[test]
fn rows_are_of_their_heads_kind() {
    for causal in [false, true] {
        let model = SyntheticAttention { causal, ..MODEL };
        let tensors = model.tensors();
        for (layer, head) in [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (1, 5)] {
            let rows = head_probabilities(&tensors, layer, head);
            let first = mean(rows.iter().map(|row| row[0]));
            let largest = mean(
                rows.iter()
                    .map(|row| row.iter().copied().fold(0.0, f64::max)),
            );
            match model.row_kind(head) {
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
                RowKind::RealLike => unreachable!("not one of those that take turns"),
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

const REAL_LIKE: SyntheticAttention = SyntheticAttention {
    layers: 4,
    heads: 12,
    rows: Some(RowKind::RealLike),
    ..MODEL
};

fn statistics(tensors: &AttentionTensors) -> RowStatistics {
    let layers = 0..tensors.layer_count();
    RowStatistics::mean(layers.map(|layer| RowStatistics::of_layer(tensors, layer)))
}

/// Between the statistics of the two real files, or not far outside.
#[test]
fn real_like_rows_are_as_sharp_as_those_of_real_tensors() {
    let Some(files) = shared_data::tensor_files() else {
        return;
    };
    let real: Vec<RowStatistics> = files
        .iter()
        .map(|file| statistics(&AttentionTensors::read(file, None).unwrap()))
        .collect();
    for (keys, head_dim, causal, seed) in [(13, 32, false, 1), (24, 32, true, 2), (24, 64, true, 3)]
    {
        let model = SyntheticAttention {
            queries: keys,
            keys,
            head_dim,
            causal,
            seed,
            ..REAL_LIKE
        };
        let made = statistics(&model.tensors());
        println!("{made:?} against {real:?}");
        type Figure = fn(&RowStatistics) -> f64;
        let figures: [(&str, Figure); 4] = [
            ("entropy", |s| s.entropy),
            ("largest", |s| s.largest),
            ("first", |s| s.first),
            ("neighbours", |s| s.neighbours),
        ];
        for (name, figure) in figures {
            let least = real.iter().map(figure).fold(1.0, f64::min);
            let most = real.iter().map(figure).fold(0.0, f64::max);
            let range = least - 0.1..most + 0.1;
            assert!(
                range.contains(&figure(&made)),
                "{name} of {model:?}: {made:?} is not in {range:?}"
            );
        }
    }
}

#[test]
fn real_like_heads_differ_as_those_of_trained_models() {
    let tensors = SyntheticAttention {
        layers: 1,
        queries: 64,
        keys: 64,
        ..REAL_LIKE
    }
    .tensors();
    let sharpness: Vec<f64> = (0..12)
        .map(|head| {
            let rows = head_probabilities(&tensors, 0, head);
            mean(
                rows.iter()
                    .map(|row| row.iter().copied().fold(0.0, f64::max)),
            )
        })
        .collect();
    let least = sharpness.iter().copied().fold(1.0, f64::min);
    let most = sharpness.iter().copied().fold(0.0, f64::max);
    assert!(most > 2.0 * least, "{sharpness:?}");
}

#[test]
fn real_like_tensors_have_any_size() {
    for (queries, keys, head_dim, causal) in
        [(1, 1, 1, true), (5, 1, 7, false), (1, 300, 128, true)]
    {
        let model = SyntheticAttention {
            queries,
            keys,
            head_dim,
            causal,
            ..REAL_LIKE
        };
        assert_eq!(model.tensors().keys().shape(), [4, 2, keys, head_dim]);
        assert_eq!(model.to_bytes(), model.to_bytes());
    }
}

#[test]
fn statistics_of_known_rows_are_theirs() {
    // Every key alike: flat rows. A query that only key 3 meets: all on it.
    let flat = [0.0; 9];
    let peaked = [0.0, 0.0, 0.0, 1e6, 0.0, 0.0, 0.0, 0.0, 0.0];
    for (keys, entropy, largest, first, neighbours) in [
        (flat, 1.0, 1.0 / 9.0, 1.0 / 9.0, 25.0 / 81.0),
        (peaked, 0.0, 1.0, 0.0, 3.0 / 9.0),
    ] {
        let mut file = TensorFile::valid();
        file.remove("ctx");
        for (name, elements) in [("q", [1.0; 9]), ("k", keys), ("v", keys)] {
            file.set_data(name, &[1, 1, 9, 1], &elements);
        }
        let tensors = AttentionTensors::from_bytes(&file.bytes(), Some(false)).unwrap();
        let found = RowStatistics::of_layer(&tensors, 0);
        assert_eq!(found.rows, 9);
        for (found, expected) in [
            (found.entropy, entropy),
            (found.largest, largest),
            (found.first, first),
            (found.neighbours, neighbours),
        ] {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }
}
