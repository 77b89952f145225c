//! The RTL engine: the emitted attention core in Verilator.

use super::streams::{CoreFields, LayerStreams};
use super::{Engine, EngineError, Layer, LayerAttention, Outputs};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::{Bench, Design, SinkId, SourceId, Tracing, Verilator};
use crate::golden::layer::LayerOperands;
use crate::golden::row::ValuePruning;
use crate::hdl::elaborate;

/// Cycles without an end after which a layer counts as stuck, per input word.
const CYCLES_PER_WORD: u64 = 1000;

/// Cycles between two calls of `progress`.
const CYCLES_PER_REPORT: u64 = 1000;

/// The attention core of a configuration, running.
pub struct RtlEngine {
    core: AttentionCore,
    bench: Bench,
    key: SourceId,
    value: SourceId,
    row: SourceId,
    out: SinkId,
    /// Positions of kept values, where the hardware prunes them: nobody fetches by them here.
    value_id: Option<SinkId>,
    /// Output words taken so far.
    taken: usize,
}

/// What one layer gave.
pub struct LayerResult {
    /// `[heads][queries][d]`, in V's units with four fraction bits.
    pub outputs: Vec<Vec<Vec<i64>>>,
    /// Clock cycles from the layer's first input to its last output.
    pub cycles: u64,
}

impl RtlEngine {
    /// Builds (or finds built) and resets the core of `config`; `seed` fills memories and registers before use.
    ///
    /// # Errors
    /// [`EngineError::Cosim`] when a tool is missing or fails.
    pub fn new(config: &Config, verilator: &Verilator, seed: u64) -> Result<Self, EngineError> {
        let core = AttentionCore::new(config);
        let design = Design::from(&elaborate(&core));
        let simulator = verilator.build(&design, Tracing::Off)?.start(seed)?;
        let fields = CoreFields::new(&core);
        let mut bench = Bench::new(simulator, seed);
        let key = bench.source("key", &fields.key);
        let value = bench.source("value", &fields.value);
        let row = bench.source("row", &fields.row);
        let out = bench.sink("out", &fields.out);
        let value_id = fields.value_id.map(|of| bench.sink("value_id", &of));
        bench.reset(4)?;
        Ok(RtlEngine {
            core,
            bench,
            key,
            value,
            row,
            out,
            value_id,
            taken: 0,
        })
    }

    /// Attends one layer.
    ///
    /// # Errors
    /// As [`RtlEngine::attend_layer_reporting`].
    pub fn attend_layer(&mut self, layer: &LayerOperands) -> Result<LayerResult, EngineError> {
        self.attend_layer_reporting(layer, &mut |_| {})
    }

    /// Attends one layer; `progress` is called now and then with the number of rows finished since its last call.
    ///
    /// # Errors
    /// [`EngineError`] when the layer does not fit, or the design breaks a rule of its streams or is stuck.
    pub fn attend_layer_reporting(
        &mut self,
        layer: &LayerOperands,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerResult, EngineError> {
        let streams = LayerStreams::new(&self.core, layer)?;
        let start = self.bench.simulator().cycle();
        let rows = streams.row.len();
        let inputs = streams.key.len() + streams.value.len() + rows;
        self.bench.send(self.key, &streams.key);
        self.bench.send(self.value, &streams.value);
        self.bench.send(self.row, &streams.row);
        let words = rows * streams.words_per_row;
        self.bench.collect(self.out, words);
        if let Some(value_id) = self.value_id {
            self.bench.collect(value_id, streams.value_id_words);
        }
        let limit = start + inputs as u64 * CYCLES_PER_WORD;
        let mut reported = 0;
        while reported < rows && self.bench.simulator().cycle() < limit {
            self.run_until(self.taken + words)?;
            let taken = self.bench.sink_cycles(self.out).len() - self.taken;
            let finished = taken / streams.words_per_row;
            progress(finished - reported);
            reported = finished;
        }
        // Nothing is left to run, or whatever is outstanding is stuck.
        self.bench.run(0)?;
        let cycles = self.bench.simulator().cycle() - start;
        let lanes = self.core.output_lanes;
        let collected = self.bench.collected(self.out);
        let collected = &collected[self.taken * (lanes + 1)..];
        self.taken += words;
        let outputs: Vec<Vec<i64>> = collected
            .chunks(streams.words_per_row * (lanes + 1))
            .map(|row| {
                row.chunks(lanes + 1)
                    .flat_map(|word| word[..lanes].to_vec())
                    .collect()
            })
            .collect();
        let queries = layer.live_keys.len();
        Ok(LayerResult {
            outputs: outputs.chunks(queries).map(<[_]>::to_vec).collect(),
            cycles,
        })
    }

    /// Runs some cycles, but not beyond the output word with this number.
    fn run_until(&mut self, words: usize) -> Result<(), EngineError> {
        for _ in 0..CYCLES_PER_REPORT {
            if self.bench.sink_cycles(self.out).len() == words {
                break;
            }
            self.bench.step()?;
        }
        Ok(())
    }
}

impl Engine for RtlEngine {
    fn attend(
        &mut self,
        layer: &Layer<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerAttention, EngineError> {
        refuse_pruning(layer)?;
        let result = self.attend_layer_reporting(layer.operands, progress)?;
        Ok(LayerAttention {
            outputs: Outputs::Codes(result.outputs),
            cycles: Some(result.cycles),
            cascade: None,
        })
    }
}

/// The core prunes nothing so far.
fn refuse_pruning(layer: &Layer<'_>) -> Result<(), EngineError> {
    if layer.step.selects(layer.live) {
        return Err(EngineError::NotInRtl {
            what: "pruning of tokens and heads",
        });
    }
    let prunings = &layer.operands.value_pruning;
    if prunings
        .iter()
        .any(|&pruning| pruning != ValuePruning::NONE)
    {
        return Err(EngineError::NotInRtl {
            what: "pruning of values",
        });
    }
    Ok(())
}
