//! All layers and heads of the shared tensor files.

use spatten::workload::quantizer::QuantizedLayer;
use spatten::workload::tensors::AttentionTensors;

use super::Preset;
use crate::shared_data;

fn real_layers_equal_golden(preset: &str) {
    let Some(files) = shared_data::tensor_files() else {
        return;
    };
    let mut preset = Preset::start(preset);
    for file in files {
        let tensors = AttentionTensors::read(&file, None).unwrap();
        for condition in [true, false] {
            let formats = preset.config.formats();
            let layers: Vec<_> = (0..tensors.layer_count())
                .map(|layer| QuantizedLayer::new(&tensors, layer, &formats, condition).operands)
                .collect();
            let what = format!("{}, conditioning {condition}", file.display());
            preset.equals_golden(&what, &layers, 2);
        }
    }
}

#[test]
fn real_layers_equal_golden_at_eighth() {
    real_layers_equal_golden("eighth");
}

#[test]
fn real_layers_equal_golden_at_odd() {
    real_layers_equal_golden("odd");
}

#[test]
fn real_layers_equal_golden_at_spatten() {
    real_layers_equal_golden("spatten");
}
