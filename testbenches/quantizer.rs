//! The quantizer, against committed vectors and its own rules, and real tensors through the golden models.

use proptest::prelude::*;
use serde::Deserialize;
use spatten::golden::float64::{self, AbsError};
use spatten::golden::layer::attend_layer;
use spatten::numerics::Formats;
use spatten::workload::quantizer::{QuantizedLayer, condition_keys, condition_queries, quantize};
use spatten::workload::tensors::AttentionTensors;

use crate::shared_data;

const TWELVE_BITS: Formats = Formats {
    query_bits: 12,
    key_bits: 12,
    value_bits: 12,
    max_head_dim: 128,
};

/// The quantizer's part of the committed vectors; `scripts/make_vectors.py` writes them.
#[derive(Deserialize)]
struct Vectors {
    quantizer: QuantizerVectors,
}

#[derive(Deserialize)]
struct QuantizerVectors {
    q: Vec<Vec<f64>>,
    k: Vec<Vec<f64>>,
    conditioned_q: Vec<Vec<f64>>,
    conditioned_k: Vec<Vec<f64>>,
    codes: Vec<CodeVectors>,
}

#[derive(Deserialize)]
struct CodeVectors {
    bits: usize,
    codes: Vec<Vec<i64>>,
    step: f64,
}

fn vectors() -> QuantizerVectors {
    let text = include_str!("data/numerics_vectors.json");
    let vectors: Vectors = serde_json::from_str(text).expect("the file has the form of `Vectors`");
    vectors.quantizer
}

#[track_caller]
fn assert_close(actual: &[Vec<f64>], expected: &[Vec<f64>]) {
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().flatten().zip(expected.iter().flatten()) {
        assert!((a - e).abs() <= 1e-12 * e.abs().max(1.0), "{a} is not {e}");
    }
}

/// A file of attention tensors: `q` [1, heads, rows, d], `k` and `v` [1, kv_heads, rows, d].
fn tensors_of(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    heads: usize,
    kv_heads: usize,
    dim: usize,
) -> AttentionTensors {
    let rows = k.len() / kv_heads / dim;
    let bytes = |data: &[f32]| -> Vec<u8> { data.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let data = [bytes(q), bytes(k), bytes(v)];
    let views = ["q", "k", "v"].into_iter().zip(&data).map(|(name, bytes)| {
        let heads = if name == "q" { heads } else { kv_heads };
        let shape = vec![1, heads, rows, dim];
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes);
        (name, view.expect("the data fills the shape"))
    });
    let file = safetensors::serialize(views, None).expect("the views are valid");
    AttentionTensors::from_bytes(&file, Some(false)).expect("the file is valid")
}

#[test]
fn codes_and_steps_equal_the_vectors() {
    let vectors = vectors();
    assert_eq!(vectors.codes.len(), 5);
    for case in vectors.codes {
        let quantized = quantize(&vectors.k, case.bits);
        assert_eq!(quantized.codes, case.codes, "{} bits", case.bits);
        assert_eq!(quantized.step, case.step, "{} bits", case.bits);
    }
}

#[test]
fn conditioned_operands_equal_the_vectors() {
    let vectors = vectors();
    let (keys, factors) = condition_keys(&vectors.k);
    assert_close(&keys, &vectors.conditioned_k);
    assert_close(
        &condition_queries(&vectors.q, &factors),
        &vectors.conditioned_q,
    );
}

#[test]
fn matrix_of_zeros_becomes_zero_codes_with_step_one() {
    let quantized = quantize(&vec![vec![0.0; 3]; 2], 12);
    assert_eq!(quantized.codes, vec![vec![0; 3]; 2]);
    assert_eq!(quantized.step, 1.0);
}

#[test]
fn heads_of_zeros_weigh_every_key_alike() {
    let zeros = [0.0; 12];
    let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
    for (q, k) in [
        (&zeros, &zeros),
        (&[1e30; 12], &zeros),
        (&zeros, &[-1e30; 12]),
    ] {
        let tensors = tensors_of(q, k, &values, 1, 1, 4);
        for condition in [false, true] {
            let layer = QuantizedLayer::new(&tensors, 0, &TWELVE_BITS, condition);
            let outputs = &attend_layer(&TWELVE_BITS, &layer.operands)[0];
            for (channel, &output) in outputs[0].iter().enumerate() {
                let mean = (4 + channel) as f64;
                let error = (output as f64 * layer.output_step(0) - mean).abs();
                assert!(
                    error < layer.value_steps[0],
                    "channel {channel}: error {error}"
                );
            }
        }
    }
}

#[test]
fn extreme_scales_select_or_level_the_keys() {
    let values = [100.0, -100.0, 50.0];
    let keys = [3.0, 1.0, 2.0];
    let largest_wins: [f32; 3] = [1e38; 3];
    let all_alike: [f32; 3] = [1e-38; 3];
    for (queries, scale_of_keys, expected) in [
        (largest_wins, 1e37_f32, 100.0),
        (all_alike, 1e-37, 50.0 / 3.0),
    ] {
        let keys = keys.map(|k| k * scale_of_keys);
        let tensors = tensors_of(&queries, &keys, &values, 1, 1, 1);
        for condition in [false, true] {
            let layer = QuantizedLayer::new(&tensors, 0, &TWELVE_BITS, condition);
            let output = attend_layer(&TWELVE_BITS, &layer.operands)[0][0][0];
            let error = (output as f64 * layer.output_step(0) - expected).abs();
            assert!(
                error < layer.value_steps[0],
                "keys of {scale_of_keys:e}: error {error}"
            );
        }
    }
}

#[test]
fn conditioning_saves_coarse_keys_with_one_dominant_channel() {
    // Channel 0 is large but the same for every key; only channel 1 tells the keys apart.
    let keys: Vec<f32> = (0..8).flat_map(|key| [100.0, key as f32 / 8.0]).collect();
    let queries: Vec<f32> = (0..8).flat_map(|_| [0.1, 4.0]).collect();
    let values: Vec<f32> = (0..16).map(|i| ((i * 5) % 16) as f32).collect();
    let tensors = tensors_of(&queries, &keys, &values, 1, 1, 2);
    let coarse = Formats {
        key_bits: 4,
        ..TWELVE_BITS
    };
    let error_of = |condition| {
        let layer = QuantizedLayer::new(&tensors, 0, &coarse, condition);
        error_against_floats(&tensors, &layer, &coarse).max
    };
    let (plain, conditioned) = (error_of(false), error_of(true));
    assert!(conditioned < plain / 10.0, "{conditioned} against {plain}");
}

#[test]
fn grouped_query_heads_share_their_kv_heads_conditioning() {
    let wave = |count: usize, step: f32| -> Vec<f32> {
        (0..count)
            .map(|i| (i as f32 * step).sin() * (1 + i % 3) as f32)
            .collect()
    };
    let tensors = tensors_of(&wave(96, 0.7), &wave(48, 1.3), &wave(48, 2.1), 4, 2, 4);
    let layer = QuantizedLayer::new(&tensors, 0, &TWELVE_BITS, true);
    assert_eq!(
        (layer.operands.queries.len(), layer.operands.keys.len()),
        (4, 2)
    );
    // Wrong factors or wrong groups would change the scores, and with them the outputs, entirely.
    let error = error_against_floats(&tensors, &layer, &TWELVE_BITS);
    assert!(error.max < 0.02, "{error:?}");
}

/// The golden outputs' error against `exact`, which gives a head's expected outputs; `step` gives the unit of
/// a head's outputs in the unit of `exact`.
fn output_error(
    layer: &QuantizedLayer,
    formats: &Formats,
    step: impl Fn(usize) -> f64,
    exact: impl Fn(usize) -> Vec<Vec<f64>>,
) -> AbsError {
    let mut error = AbsError::default();
    for (head, outputs) in attend_layer(formats, &layer.operands).iter().enumerate() {
        let step = step(head);
        let actual = outputs.iter().flatten().map(|&out| out as f64 * step);
        error.extend(actual.zip(exact(head).into_iter().flatten()));
    }
    error
}

/// In the model's units, against float64 attention of the model's own floats.
fn error_against_floats(
    tensors: &AttentionTensors,
    layer: &QuantizedLayer,
    formats: &Formats,
) -> AbsError {
    let exact = |head| float64::attend_float_head(tensors, 0, head);
    output_error(layer, formats, |head| layer.output_step(head), exact)
}

/// In steps of V, against float64 attention of the same integers.
fn error_against_integers(layer: &QuantizedLayer) -> AbsError {
    let exact =
        |head| float64::attend_integer_head(&layer.operands.head(head), layer.factors[head]);
    output_error(layer, &TWELVE_BITS, |_| 1.0 / 16.0, exact)
}

/// In the model's units, against the model's own output.
fn error_against_context(
    tensors: &AttentionTensors,
    layer: &QuantizedLayer,
    index: usize,
) -> AbsError {
    let context = tensors.context().expect("the shared files hold `ctx`");
    let exact = |head| context.head(index, head);
    output_error(layer, &TWELVE_BITS, |head| layer.output_step(head), exact)
}

#[test]
fn float64_attention_of_real_tensors_is_the_models_own_output() {
    let Some(files) = shared_data::tensor_files() else {
        return;
    };
    for path in files {
        let tensors = AttentionTensors::read(&path, None).unwrap();
        let context = tensors.context().expect("the shared files hold `ctx`");
        let mut error = AbsError::default();
        for layer in 0..tensors.layer_count() {
            for head in 0..tensors.head_count() {
                let exact = float64::attend_float_head(&tensors, layer, head);
                let pairs = exact.into_iter().flatten();
                error.extend(pairs.zip(context.head(layer, head).into_iter().flatten()));
            }
        }
        assert!(error.max < 1e-5, "{}: {error:?}", path.display());
    }
}

#[test]
fn real_tensors_stay_within_a_quarter_of_a_value_step_of_float64() {
    let Some(files) = shared_data::tensor_files() else {
        return;
    };
    for path in files {
        let tensors = AttentionTensors::read(&path, None).unwrap();
        for condition in [false, true] {
            let mut integers = AbsError::default();
            let mut context = AbsError::default();
            for index in 0..tensors.layer_count() {
                let layer = QuantizedLayer::new(&tensors, index, &TWELVE_BITS, condition);
                integers.merge(&error_against_integers(&layer));
                context.merge(&error_against_context(&tensors, &layer, index));
            }
            println!(
                "{}, K conditioned {condition}: {:.3} max, {:.4} mean in steps of V against float64 on the \
                 same integers; {:.5} max, {:.6} mean against the model's own output",
                path.file_name().unwrap().display(),
                integers.max,
                integers.mean(),
                context.max,
                context.mean(),
            );
            assert!(integers.max <= 0.25, "{}: {integers:?}", path.display());
            assert!(integers.mean() <= 0.02, "{}: {integers:?}", path.display());
        }
    }
}

/// Matrices of up to 6 by 6 finite float32 values of any size.
fn any_matrix() -> impl Strategy<Value = Vec<Vec<f64>>> {
    use proptest::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    let value = (POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO).prop_map(f64::from);
    (1..7_usize).prop_flat_map(move |dim| {
        let row = prop::collection::vec(value.clone(), dim);
        prop::collection::vec(row, 1..7)
    })
}

proptest! {
    #[test]
    fn codes_are_symmetric_and_within_half_a_step(matrix in any_matrix(), bits in 2..=12_usize) {
        let quantized = quantize(&matrix, bits);
        let largest = (1_i64 << (bits - 1)) - 1;
        let codes = quantized.codes.iter().flatten();
        for (&code, &value) in codes.zip(matrix.iter().flatten()) {
            prop_assert!(code.abs() <= largest, "code {}", code);
            let error = (code as f64 * quantized.step - value).abs();
            prop_assert!(error <= 0.500001 * quantized.step, "value {}, code {}", value, code);
        }
    }

    #[test]
    fn conditioning_keeps_the_differences_between_scores(
        operands in (1..6_usize).prop_flat_map(|dim| {
            let vector = prop::collection::vec(-50.0..50.0_f64, dim);
            (vector.clone(), prop::collection::vec(vector, 1..8))
        })
    ) {
        let (query, keys) = operands;
        let (conditioned_keys, factors) = condition_keys(&keys);
        let conditioned_query = &condition_queries(std::slice::from_ref(&query), &factors)[0];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let first = dot(&query, &keys[0]) - dot(conditioned_query, &conditioned_keys[0]);
        for (key, conditioned) in keys.iter().zip(&conditioned_keys) {
            let shift = dot(&query, key) - dot(conditioned_query, conditioned);
            prop_assert!((shift - first).abs() < 1e-6, "{} is not {}", shift, first);
        }
    }

    #[test]
    fn any_finite_tensors_quantize_and_attend(
        data in prop::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::ZERO, 36),
        condition in any::<bool>(),
    ) {
        let tensors = tensors_of(&data[..12], &data[12..24], &data[24..], 1, 1, 4);
        let layer = QuantizedLayer::new(&tensors, 0, &TWELVE_BITS, condition);
        let outputs = attend_layer(&TWELVE_BITS, &layer.operands);
        let (least, most) = (-2047 * 16 - 1, 2047 * 16 + 1);
        prop_assert!(outputs[0].iter().flatten().all(|out| (least..=most).contains(out)));
    }
}
