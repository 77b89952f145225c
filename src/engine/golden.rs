//! The golden engine: the Rust model of the hardware, with the same limits and the same bits.

use super::{Engine, EngineError, Layer, LayerAttention, Outputs, error};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::golden::head::attend_head;

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
    fn attend(
        &mut self,
        layer: &Layer<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerAttention, EngineError> {
        error::check_fit(
            &self.core,
            layer.tensors.head_dim(),
            layer.tensors.key_count(),
        )?;
        let operands = &layer.quantized.operands;
        error::check_value_pruning(&self.core, operands)?;
        let heads = (0..operands.queries.len()).map(|head| {
            let rows = attend_head(&self.core.formats, &operands.head(head));
            progress(rows.len());
            rows.into_iter().map(|row| row.outputs).collect()
        });
        Ok(LayerAttention {
            outputs: Outputs::Codes(heads.collect()),
            cycles: None,
        })
    }
}
