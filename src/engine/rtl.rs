//! The RTL engine: the emitted attention core in Verilator.

use super::error::check_selection;
use super::streams::{CoreFields, CoreJob, LayerStreams};
use super::{Engine, EngineError, Importance, Layer, LayerAttention, Outputs, SelectionError};
use crate::accelerator::top::AttentionCore;
use crate::accelerator::top_k::golden::Part;
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, SinkId, SourceId, Tracing, Verilator};
use crate::golden::cascade::{CascadeResult, Live};
use crate::golden::layer::LayerOperands;
use crate::hdl::elaborate;

/// Cycles without an end after which a layer counts as stuck, per input word.
const CYCLES_PER_WORD: u64 = 1000;

/// Cycles for the selections after the last output: bounds of the engine at every size.
const SELECTION_CYCLES: u64 = 100_000;

/// Cycles between two calls of `progress`.
const CYCLES_PER_REPORT: u64 = 1000;

/// The attention core of a configuration, running.
pub struct RtlEngine {
    core: AttentionCore,
    bench: Bench,
    sources: Sources,
    out: Collected,
    /// Ids of the tokens and heads that a selection keeps, as positions at the job's start from zero.
    kept: [Collected; 2],
    /// Scores of tokens and heads.
    scores: [Collected; 2],
    /// Positions of kept values, where the hardware prunes them: nobody fetches by them here.
    value_id: Option<SinkId>,
    /// LSB lines, and which rows want theirs, where there is an LSB plane.
    lsb: Option<(SourceId, SinkId)>,
}

/// What the core takes.
struct Sources {
    key: SourceId,
    value: SourceId,
    row: SourceId,
    job: SourceId,
    pin: SourceId,
}

/// A stream that leaves the core, and how much of it has been read here.
struct Collected {
    sink: SinkId,
    /// Values of a word.
    values: usize,
    /// Words read so far.
    taken: usize,
}

impl Collected {
    fn new(bench: &mut Bench, name: &str, fields: &[Field]) -> Self {
        Collected {
            sink: bench.sink(name, fields),
            values: fields.iter().map(|field| field.lanes).sum(),
            taken: 0,
        }
    }

    /// The next `words` words, which have come.
    fn take<'a>(&mut self, bench: &'a Bench, words: usize) -> impl Iterator<Item = &'a [i64]> {
        let new = &bench.collected(self.sink)[self.taken * self.values..];
        self.taken += words;
        new.chunks(self.values).take(words)
    }
}

/// What one layer gave.
pub struct LayerResult {
    /// `[heads][queries][d]`, in V's units with four fraction bits.
    pub outputs: Vec<Vec<Vec<i64>>>,
    /// Clock cycles from the layer's first input to its last word.
    pub cycles: u64,
    /// Scores of tokens and heads, of a job that reports them.
    pub scores: [Vec<i64>; 2],
    /// Ids of the tokens and heads that stay, where the job selects.
    pub kept: [Option<Vec<usize>>; 2],
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
        let sources = Sources {
            key: bench.source("key", &fields.key),
            value: bench.source("value", &fields.value),
            row: bench.source("row", &fields.row),
            job: bench.source("job", &fields.job),
            pin: bench.source("pin", &fields.pin),
        };
        let out = Collected::new(&mut bench, "out", &fields.out);
        let [tokens, heads] = &fields.kept;
        let kept = [("kept_token", tokens), ("kept_head", heads)]
            .map(|(name, fields)| Collected::new(&mut bench, name, fields));
        let [tokens, heads] = &fields.scores;
        let scores = [("token_score", tokens), ("head_score", heads)]
            .map(|(name, fields)| Collected::new(&mut bench, name, fields));
        let value_id = fields.value_id.map(|of| bench.sink("value_id", &of));
        let lsb = fields
            .lsb
            .map(|[lsb, refetch]| (bench.source("lsb", &lsb), bench.sink("refetch", &refetch)));
        bench.reset(4)?;
        Ok(RtlEngine {
            core,
            bench,
            sources,
            out,
            kept,
            scores,
            value_id,
            lsb,
        })
    }

    /// Attends one layer by itself, without a selection.
    ///
    /// # Errors
    /// As [`RtlEngine::attend_job`].
    pub fn attend_layer(&mut self, layer: &LayerOperands) -> Result<LayerResult, EngineError> {
        self.attend_job(layer, &CoreJob::dense(layer), &mut |_| {})
    }

    /// Attends layers one after the other without a pause, whatever their selections say; gives the cycles from the first input to the
    /// last word.
    ///
    /// # Errors
    /// As [`RtlEngine::attend_job`].
    pub fn attend_jobs(&mut self, layers: &[(LayerOperands, CoreJob)]) -> Result<u64, EngineError> {
        let start = self.bench.simulator().cycle();
        let mut all = Vec::new();
        for (layer, job) in layers {
            let streams = LayerStreams::new(&self.core, layer, job)?;
            self.send(&streams);
            all.push((layer, streams));
        }
        let inputs: usize = all.iter().map(|(_, streams)| input_words(streams)).sum();
        self.bench.run(inputs as u64 * CYCLES_PER_WORD)?;
        for (layer, streams) in &all {
            self.results(layer, streams);
        }
        Ok(self.bench.simulator().cycle() - start)
    }

    /// Attends one layer; `progress` is called now and then with the number of rows finished since its last call.
    ///
    /// # Errors
    /// [`EngineError`] when the layer does not fit, or the design breaks a rule of its streams or is stuck.
    pub fn attend_job(
        &mut self,
        layer: &LayerOperands,
        job: &CoreJob,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerResult, EngineError> {
        let streams = LayerStreams::new(&self.core, layer, job)?;
        let start = self.bench.simulator().cycle();
        let rows = streams.row.len();
        self.send(&streams);
        let limit = start + input_words(&streams) as u64 * CYCLES_PER_WORD;
        let words = rows * streams.words_per_row;
        let mut reported = 0;
        while reported < rows && self.bench.simulator().cycle() < limit {
            self.run_until(self.out.taken + words)?;
            let taken = self.bench.sink_cycles(self.out.sink).len() - self.out.taken;
            let finished = taken / streams.words_per_row;
            progress(finished - reported);
            reported = finished;
        }
        // What is left is the selection; whatever else is outstanding is stuck.
        self.bench.run(SELECTION_CYCLES)?;
        let cycles = self.bench.simulator().cycle() - start;
        Ok(LayerResult {
            cycles,
            ..self.results(layer, &streams)
        })
    }

    /// Sends a layer's words and awaits its results.
    fn send(&mut self, streams: &LayerStreams) {
        let sources = &self.sources;
        self.bench.send(sources.job, [&streams.job]);
        self.bench.send(sources.pin, &streams.pin);
        self.bench.send(sources.key, &streams.key);
        self.bench.send(sources.value, &streams.value);
        self.bench.send(sources.row, &streams.row);
        let words = streams.row.len() * streams.words_per_row;
        self.bench.collect(self.out.sink, words);
        for kind in 0..2 {
            self.bench
                .collect(self.kept[kind].sink, streams.kept_words[kind]);
            self.bench
                .collect(self.scores[kind].sink, streams.score_words[kind]);
        }
        if let Some(value_id) = self.value_id {
            self.bench.collect(value_id, streams.value_id_words);
        }
        if let Some((lsb, refetch)) = self.lsb {
            self.bench.send(lsb, &streams.lsb);
            self.bench.collect(refetch, streams.refetch_words);
        }
    }

    /// The results of a layer that has ended.
    fn results(&mut self, layer: &LayerOperands, streams: &LayerStreams) -> LayerResult {
        let lanes = self.core.output_lanes;
        let words = streams.row.len() * streams.words_per_row;
        let words = self.out.take(&self.bench, words);
        let elements: Vec<i64> = words.flat_map(|word| &word[..lanes]).copied().collect();
        let rows: Vec<_> = elements
            .chunks(streams.words_per_row * lanes)
            .map(<[_]>::to_vec)
            .collect();
        let queries = layer.live_keys.len();
        let lanes = self.core.softmax_lanes;
        let counts = [layer.keys[0].len(), layer.queries.len()];
        let scores = [0, 1].map(|kind| {
            let words = self.scores[kind].take(&self.bench, streams.score_words[kind]);
            let scores = words.flat_map(|word| &word[..lanes]).copied();
            scores.take(counts[kind]).collect()
        });
        let kept = [0, 1].map(|kind| {
            let words = streams.kept_words[kind];
            let lines = self.kept[kind].take(&self.bench, words);
            let ids = lines.flat_map(|word| &word[..word[lanes] as usize]);
            let ids = ids.map(|&id| id as usize).collect();
            (words > 0).then_some(ids)
        });
        LayerResult {
            outputs: rows.chunks(queries).map(<[_]>::to_vec).collect(),
            cycles: 0,
            scores,
            kept,
        }
    }

    /// Runs some cycles, but not beyond the output word with this number.
    fn run_until(&mut self, words: usize) -> Result<(), EngineError> {
        for _ in 0..CYCLES_PER_REPORT {
            if self.bench.sink_cycles(self.out.sink).len() == words {
                break;
            }
            self.bench.step()?;
        }
        Ok(())
    }
}

fn input_words(streams: &LayerStreams) -> usize {
    streams.key.len() + streams.value.len() + streams.row.len()
}

impl Engine for RtlEngine {
    fn attend(
        &mut self,
        layer: &Layer<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerAttention, EngineError> {
        let (live, step) = (layer.live, layer.step);
        check_selection(&self.core, step.keep_tokens)?;
        step.check_pins().map_err(SelectionError::Pins)?;
        let parts = step.token_parts(live);
        let pinned: Vec<bool> = parts.iter().map(|&part| part == Part::Pinned).collect();
        let job = CoreJob {
            zero: step.first,
            report: true,
            pinned,
            keep_tokens: step.keep_tokens,
            keep_heads: step.keep_heads,
            head_scales: step.head_scales.clone(),
        };
        let result = self.attend_job(layer.operands, &job, progress)?;
        let [token_scores, head_scores] = result.scores;
        let [tokens, heads] = result.kept;
        Ok(LayerAttention {
            outputs: Outputs::Codes(result.outputs),
            cycles: Some(result.cycles),
            refetched: None,
            traffic: None,
            cascade: Some(Importance::Codes(CascadeResult {
                token_scores,
                head_scores,
                next: Live {
                    tokens: tokens.unwrap_or_else(|| live.tokens.clone()),
                    heads: heads.unwrap_or_else(|| live.heads.clone()),
                },
            })),
        })
    }
}
