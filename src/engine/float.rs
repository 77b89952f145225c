//! The float engine: float64 attention of the model's own floats, on no hardware.

use super::{Engine, EngineError, Importance, Layer, LayerAttention, Outputs, SelectionError};
use crate::golden::cascade::{Cascade, CascadeResult};
use crate::golden::float64::{FloatRow, largest, live_float_rows, outputs};

/// Float64 attention; takes layers of any size. Selects by the importance of the floats, which may differ from that of
/// the integers where two scores are nearly alike.
#[derive(Clone, Debug, Default)]
pub struct FloatEngine {
    /// Sums of probabilities, and of magnitudes.
    cascade: Cascade<f64>,
}

impl Engine for FloatEngine {
    fn attend(
        &mut self,
        layer: &Layer<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerAttention, EngineError> {
        let live = layer.live;
        self.cascade.begin(live, layer.step.first);
        let mut values = Vec::with_capacity(live.heads.len());
        for (position, &head) in live.heads.iter().enumerate() {
            let place = (layer.index, head);
            let rows = live_float_rows(layer.tensors, place, live, layer.operands);
            progress(rows.len());
            self.add_head(position, &rows);
            values.push(outputs(rows));
        }
        Ok(LayerAttention {
            outputs: Outputs::Values(values),
            cycles: None,
            refetched: None,
            traffic: None,
            cascade: Some(Importance::Values(self.select(layer)?)),
        })
    }
}

impl FloatEngine {
    /// Adds what the rows of a head give to its and the tokens' importance.
    fn add_head(&mut self, head: usize, rows: &[FloatRow]) {
        for row in rows {
            for (score, probability) in self.cascade.tokens.iter_mut().zip(&row.probabilities) {
                *score += probability;
            }
        }
        let elements = rows.iter().flat_map(|row| &row.outputs);
        self.cascade.heads[head] += elements.map(|output| output.abs()).sum::<f64>();
    }

    /// Selects by the importance so far and keeps that of what stays.
    fn select(&mut self, layer: &Layer<'_>) -> Result<CascadeResult<f64>, SelectionError> {
        let (live, step) = (layer.live, layer.step);
        step.check_pins()?;
        let is_pinned = |position: usize| step.pinned.contains(&live.tokens[position]);
        let tokens = largest(&self.cascade.tokens, step.keep_tokens, is_pinned);
        let heads = largest(&self.cascade.heads, step.keep_heads, |_| false);
        Ok(self.cascade.keep(live, &tokens, &heads))
    }
}
