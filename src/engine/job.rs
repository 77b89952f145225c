//! A job: layers of a tensor file through an engine, with the errors of what comes out.

use std::ops::Range;

use thiserror::Error;

use super::{Engine, EngineError, Importance, Layer, LayerAttention, Outputs};
use crate::golden::cascade::{CascadeResult, CascadeStep, Live, gather};
use crate::golden::float64::{
    AbsError, attend_integer_head, live_float_rows, outputs, refined_rows,
};
use crate::golden::layer::LayerOperands;
use crate::numerics::{Formats, KEY_LSB_BITS, OUTPUT_FRACTION_BITS, PROBABILITY_BITS};
use crate::perf::traffic::Moved;
use crate::workload::attention_output::AttentionOutput;
use crate::workload::quantizer::{QuantizedLayer, reference_value_step};
use crate::workload::refinement::{Refinement, RefinementError};
use crate::workload::schedule::{Pruning, PruningError, Schedule};
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

/// Attention of some layers of a model, dense or pruned.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    tensors: &'a AttentionTensors,
    layers: Range<usize>,
    formats: Formats,
    condition: bool,
    /// For all layers of the model.
    schedule: Schedule,
    /// Of K with an LSB plane.
    refinement: Option<Refinement>,
}

/// What a job gives.
#[derive(Clone, Debug, PartialEq)]
pub struct JobResult {
    /// One report per layer, in order.
    pub layers: Vec<LayerReport>,
    /// The results for a file: the job's layers only.
    pub output: AttentionOutput,
}

/// What is to be said of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// The layer, counted from 0 in the model.
    pub layer: usize,
    /// Query rows that took part, of all heads that did.
    pub rows: usize,
    /// Clock cycles, from engines that have a clock.
    pub cycles: Option<u64>,
    /// Tokens (keys) that took part, ascending.
    pub kept_tokens: Vec<usize>,
    /// Heads that took part, ascending.
    pub kept_heads: Vec<usize>,
    /// The outputs of the rows that took part, as float32, against float64 attention of the tensors on the same kept
    /// tokens, in the tensors' units. Values are pruned in float64 likewise, by its own probabilities.
    pub error: AbsError,
    /// Rows that took K's LSB plane, where there is one.
    pub refetched_rows: Option<usize>,
    /// Bits of K that a score was made of, in the mean over all rows and the keys that they see.
    pub effective_key_bits: Option<f64>,
    /// Bytes moved to and from memory, from engines that have one.
    pub traffic: Option<Moved>,
    /// The integer outputs against float64 attention of the same integers, in steps of V: the error of the
    /// arithmetic without that of the quantization. `None` for engines that do not compute on integers.
    pub arithmetic_error: Option<AbsError>,
    /// The outputs of the rows that took part against the model's own, in the tensors' units, when the file has those.
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
        let (heads, keys) = (tensors.head_count(), tensors.key_count());
        let schedule = Pruning::default().schedule(count, heads, keys);
        Ok(Job {
            tensors,
            layers,
            formats,
            condition,
            schedule: schedule.expect("a model can be kept whole"),
            refinement: None,
        })
    }

    /// The job with pruning. In a job over a single layer all tokens and heads take part, and only values are pruned.
    ///
    /// # Errors
    /// [`PruningError`] when ratios or pins do not fit the tensors.
    pub fn pruned(self, pruning: &Pruning) -> Result<Job<'a>, PruningError> {
        let tensors = self.tensors;
        let schedule = pruning.schedule(
            tensors.layer_count(),
            tensors.head_count(),
            tensors.key_count(),
        )?;
        Ok(Job { schedule, ..self })
    }

    /// The job with K in an LSB plane beside its `formats.key_bits`, which rows take as `refinement` says.
    ///
    /// # Errors
    /// [`RefinementError`] when its limits do not fit the tensors.
    pub fn refined(self, refinement: Refinement) -> Result<Job<'a>, RefinementError> {
        refinement.check(self.tensors.layer_count())?;
        Ok(Job {
            refinement: Some(refinement),
            ..self
        })
    }

    /// A layer in the job's widths.
    fn quantized(&self, index: usize) -> QuantizedLayer {
        let (tensors, formats) = (self.tensors, &self.formats);
        let Some(refinement) = &self.refinement else {
            return QuantizedLayer::new(tensors, index, formats, self.condition);
        };
        let mut quantized = QuantizedLayer::with_lsb_plane(tensors, index, formats, self.condition);
        quantized.operands.rules = refinement.rules(index, &quantized);
        quantized
    }

    /// Query rows of all heads and layers of the job, those that pruning leaves out among them.
    pub fn row_count(&self) -> usize {
        self.layers.len() * self.rows_per_layer()
    }

    fn rows_per_layer(&self) -> usize {
        self.tensors.head_count() * self.tensors.query_count()
    }

    /// Runs the job; `progress` is called now and then with the number of rows finished, or left out, since its last
    /// call.
    ///
    /// # Errors
    /// [`EngineError`] of the first layer that the engine could not attend.
    pub fn run(
        &self,
        engine: &mut dyn Engine,
        mut progress: impl FnMut(usize),
    ) -> Result<JobResult, EngineError> {
        let tensors = self.tensors;
        let reference_step =
            reference_value_step(tensors, self.layers.clone(), self.formats.value_bits);
        let mut live = Live::all(tensors.key_count(), tensors.head_count());
        let mut reports = Vec::with_capacity(self.layers.len());
        let mut output = OutputTables::default();
        for index in self.layers.clone() {
            let run = LayerRun::new(self, index, live, reference_step);
            progress(self.rows_per_layer() - run.row_count());
            let result = engine.attend(&run.layer(tensors), &mut progress)?;
            live = run.next(&result)?;
            reports.push(run.report(tensors, &result));
            output.add(&run, tensors, &result);
        }

        let [_, heads, queries, head_dim] = tensors.queries().shape();
        let output = AttentionOutput {
            out: Tensor::new([reports.len(), heads, queries, head_dim], output.out),
            token_importance: output.token_importance.into_iter().collect(),
            head_importance: output.head_importance.into_iter().collect(),
            kept_tokens: Some(output.kept_tokens),
            kept_heads: Some(output.kept_heads),
        };
        Ok(JobResult {
            layers: reports,
            output,
        })
    }
}

/// One layer of a job as an engine gets it.
struct LayerRun {
    index: usize,
    quantized: QuantizedLayer,
    formats: Formats,
    operands: LayerOperands,
    live: Live,
    /// The queries that take part.
    queries: Vec<usize>,
    step: CascadeStep,
    /// The job's, in the tensors' units: heads' importance counts in its fractions, as outputs do in those of their V.
    reference_step: f64,
}

impl LayerRun {
    fn new(job: &Job<'_>, index: usize, live: Live, reference_step: f64) -> LayerRun {
        let (tensors, schedule) = (job.tensors, &job.schedule);
        let quantized = job.quantized(index);
        let mut operands = quantized.operands.gather(&live);
        for (pruning, &live_keys) in operands.value_pruning.iter_mut().zip(&operands.live_keys) {
            *pruning = schedule.value_pruning(index, live_keys);
        }

        // After the last layer nothing is left to select for.
        let next = (index + 1 < job.layers.end).then_some(index + 1);
        let keep = |sizes: &[usize], left: usize| next.map_or(left, |next| left.min(sizes[next]));
        let scale = |&head: &usize| quantized.head_scale(head, reference_step);
        let step = CascadeStep {
            first: index == job.layers.start,
            keep_tokens: keep(&schedule.tokens, live.tokens.len()),
            keep_heads: keep(&schedule.heads, live.heads.len()),
            pinned: schedule.pinned.clone(),
            head_scales: live.heads.iter().map(scale).collect(),
        };
        LayerRun {
            index,
            operands,
            queries: live.queries(tensors.query_count(), tensors.key_count()),
            formats: job.formats,
            quantized,
            live,
            step,
            reference_step,
        }
    }

    fn row_count(&self) -> usize {
        self.live.heads.len() * self.queries.len()
    }

    fn layer<'r>(&'r self, tensors: &'r AttentionTensors) -> Layer<'r> {
        Layer {
            tensors,
            index: self.index,
            quantized: &self.quantized,
            formats: &self.formats,
            operands: &self.operands,
            live: &self.live,
            step: &self.step,
        }
    }

    /// What takes part in the next layer, as the engine selected it.
    fn next(&self, result: &LayerAttention) -> Result<Live, EngineError> {
        let next = match &result.cascade {
            Some(Importance::Codes(result)) => &result.next,
            Some(Importance::Values(result)) => &result.next,
            None => &self.live,
        };
        for (what, next, live, keep) in [
            (
                "tokens",
                &next.tokens,
                &self.live.tokens,
                self.step.keep_tokens,
            ),
            ("heads", &next.heads, &self.live.heads, self.step.keep_heads),
        ] {
            let is_selection = next.is_sorted_by(|a, b| a < b)
                && next.iter().all(|id| live.binary_search(id).is_ok());
            if !is_selection || next.len() != keep.min(live.len()) {
                return Err(EngineError::Mismatch(format!(
                    "layer {}: the engine was to keep {keep} of the {what} {live:?}, and kept {next:?}",
                    self.index
                )));
            }
        }
        Ok(next.clone())
    }

    fn report(&self, tensors: &AttentionTensors, result: &LayerAttention) -> LayerReport {
        let outputs = self.values(&result.outputs);
        let elements = || outputs.iter().map(|&value| f64::from(value));
        let heads = &self.live.heads;
        let rows_of = |&head: &usize| {
            live_float_rows(tensors, (self.index, head), &self.live, &self.operands)
        };
        let reference = heads.iter().flat_map(rows_of).flat_map(|row| row.outputs);
        let context = tensors.context().map(|context| {
            let rows_of = |&head: &usize| gather(&context.head(self.index, head), &self.queries);
            compare(elements(), heads.iter().flat_map(rows_of).flatten())
        });
        let refetched = result.refetched.as_ref();
        LayerReport {
            layer: self.index,
            rows: self.row_count(),
            cycles: result.cycles,
            kept_tokens: self.live.tokens.clone(),
            kept_heads: heads.clone(),
            error: compare(elements(), reference),
            refetched_rows: refetched.map(|flags| flags.iter().flatten().filter(|&&f| f).count()),
            effective_key_bits: refetched.map(|flags| self.effective_key_bits(flags)),
            traffic: result.traffic,
            arithmetic_error: self.arithmetic_error(result),
            context_error: context,
        }
    }

    /// An engine's outputs in the tensors' units, in row-major order of what took part.
    fn values(&self, outputs: &Outputs) -> Vec<f32> {
        match outputs {
            Outputs::Values(heads) => heads.iter().flatten().flatten().map(to_f32).collect(),
            Outputs::Codes(heads) => {
                let scaled = self.live.heads.iter().zip(heads).flat_map(|(&head, rows)| {
                    let step = self.quantized.output_step(head);
                    rows.iter().flatten().map(move |&code| code as f64 * step)
                });
                scaled.map(|value| to_f32(&value)).collect()
            }
        }
    }

    /// The error of integer outputs against float64 attention of the same integers, in steps of V.
    fn arithmetic_error(&self, result: &LayerAttention) -> Option<AbsError> {
        let Outputs::Codes(heads) = &result.outputs else {
            return None;
        };
        let mut error = AbsError::default();
        for (position, (&head, rows)) in self.live.heads.iter().zip(heads).enumerate() {
            let factor = self.quantized.factors[head];
            let head = self.operands.head(position);
            let reference = match &result.refetched {
                Some(flags) => outputs(refined_rows(&head, factor, &flags[position])),
                None => attend_integer_head(&head, factor),
            };
            let codes = rows.iter().flatten();
            let steps = codes.map(|&code| code as f64 / f64::from(1 << OUTPUT_FRACTION_BITS));
            error.extend(steps.zip(reference.into_iter().flatten()));
        }
        Some(error)
    }

    /// Bits of K that a score was made of, in the mean over the keys that rows see.
    fn effective_key_bits(&self, refetched: &[Vec<bool>]) -> f64 {
        let (mut keys, mut lsbs) = (0, 0);
        for flags in refetched {
            for (&live, &refetched) in self.operands.live_keys.iter().zip(flags) {
                keys += live;
                lsbs += if refetched { live } else { 0 };
            }
        }
        let share = lsbs as f64 / keys.max(1) as f64;
        self.formats.key_bits as f64 + KEY_LSB_BITS as f64 * share
    }

    /// Importance in float32: tokens in units of probability, heads in the tensors' own.
    fn importance(&self, importance: &Importance) -> CascadeResult<f32> {
        let scaled = |scores: &[i64], unit: f64| {
            let value = |&score: &i64| to_f32(&(score as f64 * unit));
            scores.iter().map(value).collect()
        };
        let rounded = |scores: &[f64]| scores.iter().map(to_f32).collect();
        let head_unit = self.reference_step / f64::from(1 << OUTPUT_FRACTION_BITS);
        match importance {
            Importance::Codes(result) => CascadeResult {
                token_scores: scaled(&result.token_scores, 1.0 / f64::from(1 << PROBABILITY_BITS)),
                head_scores: scaled(&result.head_scores, head_unit),
                next: result.next.clone(),
            },
            Importance::Values(result) => CascadeResult {
                token_scores: rounded(&result.token_scores),
                head_scores: rounded(&result.head_scores),
                next: result.next.clone(),
            },
        }
    }
}

/// The tables of an output file, layer after layer: zeros where something was pruned.
#[derive(Default)]
struct OutputTables {
    out: Vec<f32>,
    token_importance: Vec<Option<Vec<f32>>>,
    head_importance: Vec<Option<Vec<f32>>>,
    kept_tokens: Vec<Vec<bool>>,
    kept_heads: Vec<Vec<bool>>,
}

impl OutputTables {
    fn add(&mut self, run: &LayerRun, tensors: &AttentionTensors, result: &LayerAttention) {
        let [_, heads, queries, head_dim] = tensors.queries().shape();
        let keys = tensors.key_count();
        let live = &run.live;

        let start = self.out.len();
        self.out.resize(start + heads * queries * head_dim, 0.0);
        let values = run.values(&result.outputs);
        let rows = live
            .heads
            .iter()
            .flat_map(|head| run.queries.iter().map(move |query| head * queries + query));
        for (row, values) in rows.zip(values.chunks(head_dim)) {
            let start = start + row * head_dim;
            self.out[start..start + head_dim].copy_from_slice(values);
        }

        let importance = result
            .cascade
            .as_ref()
            .map(|cascade| run.importance(cascade));
        let importance = importance.as_ref();
        let tokens = importance.map(|i| scatter(&i.token_scores, &live.tokens, keys));
        let heads_importance = importance.map(|i| scatter(&i.head_scores, &live.heads, heads));
        self.token_importance.push(tokens);
        self.head_importance.push(heads_importance);
        let kept = |ids: &[usize], all| scatter(&vec![true; ids.len()], ids, all);
        self.kept_tokens.push(kept(&live.tokens, keys));
        self.kept_heads.push(kept(&live.heads, heads));
    }
}

/// A row of `all` elements with these values at these places, and the default elsewhere.
fn scatter<T: Clone + Default>(values: &[T], places: &[usize], all: usize) -> Vec<T> {
    let mut row = vec![T::default(); all];
    for (&place, value) in places.iter().zip(values) {
        row[place] = value.clone();
    }
    row
}

/// The nearest finite float32: values at its very end may be rounded beyond it.
fn to_f32(value: &f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

fn compare(actual: impl Iterator<Item = f64>, expected: impl Iterator<Item = f64>) -> AbsError {
    let mut error = AbsError::default();
    error.extend(actual.zip(expected));
    error
}
