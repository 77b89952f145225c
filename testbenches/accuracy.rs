//! The golden models' error against float64 attention of the same integers, in steps of V: real-like rows of any
//! length, and rows built to err. Real tensors have theirs in `quantizer`. What holds for the golden models holds for
//! the RTL, which equals them.

use spatten::golden::error_bound;
use spatten::golden::float64::{AbsError, attend_integer_head};
use spatten::golden::head::attend_head;
use spatten::golden::layer::LayerOperands;
use spatten::numerics::{Formats, OUTPUT_FRACTION_BITS};
use spatten::workload::adversarial;
use spatten::workload::quantizer::QuantizedLayer;
use spatten::workload::synthetic::{RowKind, SyntheticAttention};

const TWELVE_BITS: Formats = Formats {
    query_bits: 12,
    key_bits: 12,
    value_bits: 12,
    max_head_dim: 128,
};

/// The error of each row of a head, in steps of V.
fn row_errors(formats: &Formats, layer: &LayerOperands, head: usize, factor: f64) -> Vec<AbsError> {
    let operands = layer.head(head);
    let exact = attend_integer_head(&operands, factor);
    let rows = attend_head(formats, &operands).into_iter().zip(exact);
    rows.map(|(row, exact)| {
        let mut error = AbsError::default();
        let step = f64::from(1 << OUTPUT_FRACTION_BITS);
        let outputs = row.outputs.iter().map(|&code| code as f64 / step);
        error.extend(outputs.zip(exact));
        error
    })
    .collect()
}

#[test]
fn real_like_rows_stay_within_a_quarter_of_a_value_step_of_float64() {
    for (keys, head_dim, causal) in [
        (13, 32, false),
        (24, 32, true),
        (128, 64, false),
        (128, 128, true),
        (384, 64, false),
        (1024, 64, true),
        (1024, 128, false),
        (4096, 64, false),
    ] {
        let model = SyntheticAttention {
            layers: 1,
            heads: 12,
            kv_heads: 12,
            queries: keys.min(24),
            keys,
            head_dim,
            causal,
            rows: Some(RowKind::RealLike),
            seed: 1,
        };
        let layer = QuantizedLayer::new(&model.tensors(), 0, &TWELVE_BITS, true);
        let mut error = AbsError::default();
        for (head, &factor) in layer.factors.iter().enumerate() {
            for row in row_errors(&TWELVE_BITS, &layer.operands, head, factor) {
                error.merge(&row);
            }
        }
        println!(
            "{keys} keys, d {head_dim}: max {:.3}, mean {:.4}",
            error.max,
            error.mean()
        );
        // No preset takes rows of more than 1024 keys; there the error feedback's random walk shows.
        let (max, mean) = if keys > 1024 {
            (0.3, 0.025)
        } else {
            (0.25, 0.02)
        };
        assert!(error.max <= max, "{model:?}: {error:?}");
        assert!(error.mean() <= mean, "{model:?}: {error:?}");
    }
}

#[test]
fn adversarial_rows_come_near_the_documented_bound_and_stay_within() {
    for value_bits in [4, 8, 12] {
        let formats = Formats {
            value_bits,
            ..TWELVE_BITS
        };
        let live = vec![1, 2, 3, 16, 100, 1024, 1023, 4096];
        let layer = adversarial::layer(&formats, 1, 4096, 32, live.clone());
        let errors = row_errors(&formats, &layer, 0, adversarial::FACTOR);
        for (live, error) in live.into_iter().zip(errors) {
            let bound = error_bound(&formats, live);
            println!(
                "V of {value_bits} bits, {live} keys: {:.3} of {bound:.3}",
                error.max
            );
            assert!(
                error.max <= bound,
                "V of {value_bits} bits, {live} keys: {} of {bound}",
                error.max
            );
            if live >= 1000 && value_bits == 12 {
                assert!(
                    error.max >= 0.9 * bound,
                    "V of {value_bits} bits, {live} keys: {} of {bound}",
                    error.max
                );
            }
        }
    }
}

#[test]
fn bound_is_the_documented_one() {
    for live in [1, 64, 1024, 4096] {
        let documented = live as f64 / 32.0 + 0.8;
        let bound = error_bound(&TWELVE_BITS, live);
        assert!(
            (documented - 0.1..=documented).contains(&bound),
            "{live} keys: {bound}"
        );
    }
}
