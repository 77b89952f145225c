//! Layers from seeds: all head dimensions, one key to the most that the preset takes, heads that share K and V, causal
//! rows and rows with live keys of their own, and rows built to err.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::config::Config;
use spatten::golden::layer::LayerOperands;
use spatten::workload::adversarial;
use spatten::workload::quantizer::QuantizedLayer;
use spatten::workload::synthetic::{RowKind, SyntheticAttention};

use super::{Preset, SEED, is_long};

/// Numbers of keys up to the most, some of which fill lines in part.
fn lengths(config: &Config) -> Vec<usize> {
    let most = config.limits.keys_per_row;
    let mut lengths = vec![1, 2, 13, 128, 333, most - 3, most];
    lengths.retain(|&keys| keys <= most);
    lengths
}

/// Which keys the rows of a layer see.
#[derive(Clone, Copy, Debug)]
enum Live {
    All,
    Causal,
    Random,
}

/// One layer of the preset's operand widths.
fn layer(
    config: &Config,
    (head_dim, keys, live): (usize, usize, Live),
    rows: Option<RowKind>,
    random: &mut ChaCha8Rng,
) -> LayerOperands {
    let most = if is_long() {
        keys.min(200)
    } else {
        keys.min(9)
    };
    let (heads, kv_heads) = [(3, 3), (4, 2), (3, 1)][random.random_range(0..3)];
    let model = SyntheticAttention {
        layers: 1,
        heads,
        kv_heads,
        queries: random.random_range(1..=most),
        keys,
        head_dim,
        causal: matches!(live, Live::Causal),
        rows,
        seed: random.random(),
    };
    let mut layer = QuantizedLayer::new(&model.tensors(), 0, &config.formats(), true).operands;
    if matches!(live, Live::Random) {
        for row in &mut layer.live_keys {
            *row = random.random_range(0..=keys);
        }
    }
    layer
}

/// Every head dimension with every length, all kinds of rows in turn.
fn layers(config: &Config, random: &mut ChaCha8Rng) -> Vec<LayerOperands> {
    let mut kinds = [
        None,
        Some(RowKind::RealLike),
        Some(RowKind::FirstTokenHeavy),
    ]
    .into_iter()
    .cycle();
    let mut layers = Vec::new();
    for &head_dim in &config.array.head_dims {
        for keys in lengths(config) {
            for live in [Live::All, Live::Causal, Live::Random] {
                let kind = kinds.next().flatten();
                layers.push(layer(config, (head_dim, keys, live), kind, random));
            }
            // The kinds meet the three masks in another order each time.
            kinds.next();
        }
        let most = config.limits.keys_per_row;
        let live = vec![most, most / 2, 0, most - 1, 1];
        layers.push(adversarial::layer(
            &config.formats(),
            2,
            most,
            head_dim,
            live,
        ));
    }
    layers
}

fn generated_layers_equal_golden(preset: &str) {
    let mut preset = Preset::start(preset);
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for round in 0..if is_long() { 3 } else { 1 } {
        let layers = layers(&preset.config, &mut random);
        preset.equals_golden(&format!("round {round}"), &layers, 3);
    }
}

#[test]
fn generated_layers_equal_golden_at_eighth() {
    generated_layers_equal_golden("eighth");
}

#[test]
fn generated_layers_equal_golden_at_odd() {
    generated_layers_equal_golden("odd");
}

#[test]
fn generated_layers_equal_golden_at_spatten() {
    generated_layers_equal_golden("spatten");
}

/// A whole model of the published shape at once: 12 layers of 12 heads, each with as many queries as keys.
#[test]
fn all_heads_of_a_model_equal_golden_at_spatten() {
    if !is_long() {
        return;
    }
    let mut preset = Preset::start("spatten");
    for (head_dim, keys, causal) in [
        (64, 128, false),
        (64, 128, true),
        (128, 64, true),
        (32, 64, false),
    ] {
        let model = SyntheticAttention {
            layers: 12,
            heads: 12,
            kv_heads: 12,
            queries: keys,
            keys,
            head_dim,
            causal,
            rows: Some(RowKind::RealLike),
            seed: SEED,
        };
        let tensors = model.tensors();
        let formats = preset.config.formats();
        let layers: Vec<_> = (0..model.layers)
            .map(|layer| QuantizedLayer::new(&tensors, layer, &formats, true).operands)
            .collect();
        preset.equals_golden(&format!("{model:?}"), &layers, 1);
    }
}
