//! The golden engine: the Rust model of the hardware, with the same limits and the same bits.

use super::{Engine, EngineError, Layer, LayerAttention, Outputs, error};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::golden::layer::attend_layer;

/// The golden model under a configuration.
#[derive(Clone, Debug)]
pub struct GoldenEngine {
    core: AttentionCore,
}

impl GoldenEngine {
    /// The model of the hardware of `config`.
    pub fn new(config: &Config) -> GoldenEngine {
        GoldenEngine {
            core: AttentionCore::new(config),
        }
    }
}

impl Engine for GoldenEngine {
    fn attend(&mut self, layer: &Layer<'_>) -> Result<LayerAttention, EngineError> {
        error::check_fit(
            &self.core,
            layer.tensors.head_dim(),
            layer.tensors.key_count(),
        )?;
        let outputs = attend_layer(&self.core.formats, &layer.quantized.operands);
        Ok(LayerAttention {
            outputs: Outputs::Codes(outputs),
            cycles: None,
        })
    }
}
