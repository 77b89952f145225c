//! A job: layers of a tensor file through an engine, with the errors of what comes out.

use std::ops::Range;

use thiserror::Error;

use super::{Engine, EngineError, Layer, Outputs};
use crate::golden::float64::{AbsError, attend_float_head, attend_integer_head};
use crate::numerics::{Formats, OUTPUT_FRACTION_BITS};
use crate::workload::attention_output::AttentionOutput;
use crate::workload::quantizer::QuantizedLayer;
use crate::workload::tensors::{AttentionTensors, Tensor};

/// A layer that the tensors do not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no layer {layer}: {}", choices(*.layers))]
pub struct NoSuchLayer {
    /// The layer that was asked for.
    pub layer: usize,
    /// How many there are.
    pub layers: usize,
}

fn choices(layers: usize) -> String {
    match layers {
        1 => "there is one layer; choose 0".to_owned(),
        _ => format!("there are {layers} layers; choose 0 to {}", layers - 1),
    }
}

/// Dense attention of some layers of a model.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    tensors: &'a AttentionTensors,
    layers: Range<usize>,
    formats: Formats,
    condition: bool,
}

/// What a job gives.
#[derive(Clone, Debug, PartialEq)]
pub struct JobResult {
    /// One report per layer, in order.
    pub layers: Vec<LayerReport>,
    /// The results for a file: the job's layers only, all tokens and heads kept.
    pub output: AttentionOutput,
}

/// What is to be said of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// The layer, counted from 0 in the model.
    pub layer: usize,
    /// Query rows of all heads.
    pub rows: usize,
    /// Clock cycles, from engines that have a clock.
    pub cycles: Option<u64>,
    /// Tokens (keys) that took part, ascending.
    pub kept_tokens: Vec<usize>,
    /// Heads that took part, ascending.
    pub kept_heads: Vec<usize>,
    /// The outputs, as float32, against float64 attention of the tensors, in the tensors' units.
    pub error: AbsError,
    /// The integer outputs against float64 attention of the same integers, in steps of V: the error of the
    /// arithmetic without that of the quantization. `None` for engines that do not compute on integers.
    pub arithmetic_error: Option<AbsError>,
    /// The outputs against the model's own, in the tensors' units, when the file has those.
    pub context_error: Option<AbsError>,
}

impl JobResult {
    /// Clock cycles of all layers, from engines that have a clock.
    pub fn cycles(&self) -> Option<u64> {
        self.layers.iter().map(|layer| layer.cycles).sum()
    }
}

impl<'a> Job<'a> {
    /// A job over one layer of `tensors`, or over all of them when `layer` is `None`, quantized to the operand
    /// widths of `formats`, which may be narrower than those of the engine; K conditioned when `condition` is set.
    ///
    /// # Errors
    /// [`NoSuchLayer`] when `layer` lies beyond the last one.
    pub fn new(
        tensors: &'a AttentionTensors,
        layer: Option<usize>,
        formats: Formats,
        condition: bool,
    ) -> Result<Job<'a>, NoSuchLayer> {
        let count = tensors.layer_count();
        let layers = match layer {
            None => 0..count,
            Some(layer) if layer < count => layer..layer + 1,
            Some(layer) => {
                return Err(NoSuchLayer {
                    layer,
                    layers: count,
                });
            }
        };
        Ok(Job {
            tensors,
            layers,
            formats,
            condition,
        })
    }

    /// Query rows of all heads and layers of the job.
    pub fn row_count(&self) -> usize {
        self.layers.len() * self.rows_per_layer()
    }

    fn rows_per_layer(&self) -> usize {
        self.tensors.head_count() * self.tensors.query_count()
    }

    /// Runs the job; `progress` is called now and then with the number of rows finished since its last call.
    ///
    /// # Errors
    /// [`EngineError`] of the first layer that the engine could not attend.
    pub fn run(
        &self,
        engine: &mut dyn Engine,
        mut progress: impl FnMut(usize),
    ) -> Result<JobResult, EngineError> {
        let (heads, keys) = (self.tensors.head_count(), self.tensors.key_count());
        let layers = self.layers.len();
        let mut reports = Vec::with_capacity(layers);
        let mut out = Vec::new();
        for layer in self.layers.clone() {
            let (report, outputs) = self.attend(engine, layer, &mut progress)?;
            reports.push(report);
            out.extend(outputs);
        }

        let [_, _, queries, head_dim] = self.tensors.queries().shape();
        let output = AttentionOutput {
            out: Tensor::new([layers, heads, queries, head_dim], out),
            token_importance: None,
            head_importance: None,
            kept_tokens: Some(vec![vec![true; keys]; layers]),
            kept_heads: Some(vec![vec![true; heads]; layers]),
        };
        Ok(JobResult {
            layers: reports,
            output,
        })
    }

    /// One layer's report and its outputs in row-major order.
    fn attend(
        &self,
        engine: &mut dyn Engine,
        index: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(LayerReport, Vec<f32>), EngineError> {
        let tensors = self.tensors;
        let quantized = QuantizedLayer::new(tensors, index, &self.formats, self.condition);
        let operands = Layer {
            tensors,
            index,
            quantized: &quantized,
        };
        let result = engine.attend(&operands, progress)?;

        let outputs = values(&result.outputs, &quantized);
        let elements = || outputs.iter().map(|&value| f64::from(value));
        let heads = 0..tensors.head_count();
        let reference = heads
            .clone()
            .flat_map(|head| attend_float_head(tensors, index, head))
            .flatten();
        let context = tensors.context().map(|context| {
            let rows = heads.clone().flat_map(|head| context.head(index, head));
            compare(elements(), rows.flatten())
        });
        let report = LayerReport {
            layer: index,
            rows: self.rows_per_layer(),
            cycles: result.cycles,
            kept_tokens: (0..tensors.key_count()).collect(),
            kept_heads: heads.clone().collect(),
            error: compare(elements(), reference),
            arithmetic_error: arithmetic_error(&result.outputs, &quantized),
            context_error: context,
        };
        Ok((report, outputs))
    }
}

/// An engine's outputs in the tensors' units, in row-major order.
fn values(outputs: &Outputs, quantized: &QuantizedLayer) -> Vec<f32> {
    match outputs {
        Outputs::Values(heads) => heads.iter().flatten().flatten().map(to_f32).collect(),
        Outputs::Codes(heads) => {
            let scaled = heads.iter().enumerate().flat_map(|(head, rows)| {
                let step = quantized.output_step(head);
                rows.iter().flatten().map(move |&code| code as f64 * step)
            });
            scaled.map(|value| to_f32(&value)).collect()
        }
    }
}

/// The nearest finite float32: values at its very end may be rounded beyond it.
fn to_f32(value: &f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

/// The error of integer outputs against float64 attention of the same integers, in steps of V.
fn arithmetic_error(outputs: &Outputs, quantized: &QuantizedLayer) -> Option<AbsError> {
    let Outputs::Codes(heads) = outputs else {
        return None;
    };
    let mut error = AbsError::default();
    for (head, rows) in heads.iter().enumerate() {
        let reference =
            attend_integer_head(&quantized.operands.head(head), quantized.factors[head]);
        let codes = rows.iter().flatten();
        let steps = codes.map(|&code| code as f64 / f64::from(1 << OUTPUT_FRACTION_BITS));
        error.extend(steps.zip(reference.into_iter().flatten()));
    }
    Some(error)
}

fn compare(actual: impl Iterator<Item = f64>, expected: impl Iterator<Item = f64>) -> AbsError {
    let mut error = AbsError::default();
    error.extend(actual.zip(expected));
    error
}
