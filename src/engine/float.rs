//! The float engine: float64 attention of the model's own floats, on no hardware.

use super::{Engine, EngineError, Layer, LayerAttention, Outputs};
use crate::golden::float64::attend_float_head;

/// Float64 attention; takes layers of any size.
#[derive(Clone, Copy, Debug)]
pub struct FloatEngine;

impl Engine for FloatEngine {
    fn attend(
        &mut self,
        layer: &Layer<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerAttention, EngineError> {
        let heads = (0..layer.tensors.head_count()).map(|head| {
            let rows = attend_float_head(layer.tensors, layer.index, head);
            progress(rows.len());
            rows
        });
        Ok(LayerAttention {
            outputs: Outputs::Values(heads.collect()),
            cycles: None,
        })
    }
}
