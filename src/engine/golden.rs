//! The golden engine: the Rust model of the hardware, with the same limits and the same bits.

use super::{
    Engine, EngineError, Importance, Layer, LayerAttention, Outputs, SelectionError, error,
};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::golden::cascade::Cascade;
use crate::golden::head::attend_head;
use crate::perf::traffic::layer_traffic;

/// The golden model under a configuration.
#[derive(Clone, Debug)]
pub struct GoldenEngine {
    config: Config,
    core: AttentionCore,
    cascade: Cascade,
}

impl GoldenEngine {
    /// The model of the hardware of `config`.
    pub fn new(config: &Config) -> GoldenEngine {
        GoldenEngine {
            config: config.clone(),
            core: AttentionCore::new(config),
            cascade: Cascade::default(),
        }
    }
}

impl Engine for GoldenEngine {
    fn attend(
        &mut self,
        layer: &Layer<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerAttention, EngineError> {
        let (live, step) = (layer.live, layer.step);
        let keys = live.tokens.len();
        let heads = live.heads.len();
        error::check_fit(&self.core, (layer.tensors.head_dim(), heads), keys)?;
        error::check_selection(&self.core, step.keep_tokens)?;
        error::check_value_pruning(&self.core, layer.operands)?;
        error::check_lsb_plane(&self.config, layer.operands.key_lsbs.is_some())?;

        self.cascade.begin(live, step.first);
        let mut outputs = Vec::with_capacity(live.heads.len());
        let mut refetched = Vec::with_capacity(live.heads.len());
        for (head, &scale) in step.head_scales.iter().enumerate() {
            let rows = attend_head(&self.core.formats, &layer.operands.head(head));
            progress(rows.len());
            self.cascade.add_head(head, &rows, scale);
            refetched.push(rows.iter().map(|row| row.refetched).collect());
            outputs.push(rows.into_iter().map(|row| row.outputs).collect());
        }
        let kv_heads = layer.kv_heads();
        let traffic = layer_traffic(layer.operands, layer.formats, &kv_heads, &refetched);
        let result = self.cascade.select(live, step);
        Ok(LayerAttention {
            outputs: Outputs::Codes(outputs),
            cycles: None,
            refetched: layer.operands.key_lsbs.is_some().then_some(refetched),
            traffic: Some(traffic.moved()),
            cascade: Some(Importance::Codes(result.map_err(SelectionError::Pins)?)),
        })
    }
}
