//! The RTL engine: the emitted memory core in Verilator, with a memory behind each of its ports.

mod faults;

pub use faults::PortError;

use super::error::check_selection;
use super::memory_streams::{FetchedLayer, MemoryStreams};
use super::streams::{CoreJob, kept_fields, score_fields, value_id_fields};
use super::{Engine, EngineError, Importance, Layer, LayerAttention, Outputs, SelectionError};
use crate::accelerator::memory_core::MemoryCore;
use crate::accelerator::refine::golden::Rule;
use crate::accelerator::top_k::golden::Part;
use crate::config::Config;
use crate::cosim::memory::{
    AxiChannels, AxiLimits, AxiSlave, MemoryTiming, SlaveOptions, SparseMemory,
};
use crate::cosim::{Bench, Design, Field, MemoryId, SinkId, SourceId, Tracing, Verilator};
use crate::golden::cascade::{CascadeResult, Live};
use crate::golden::layer::LayerOperands;
use crate::hdl::{self, elaborate};
use crate::numerics::Formats;
use crate::perf::traffic::Moved;
use crate::workload::memory_image::{ImageShape, MemoryImage, query_id};

/// Cycles without an end after which a layer counts as stuck: per key line and row, and at all.
const CYCLES_PER_WORD: u64 = 1000;
const LEAST_CYCLES: u64 = 100_000;
/// Cycles without a read under way after which none is to come.
const QUIET_CYCLES: usize = 100;
/// Cycles between two calls of `progress`.
const CYCLES_PER_REPORT: u64 = 1000;

/// The memory core of a configuration, running.
pub struct RtlEngine {
    config: Config,
    core: MemoryCore,
    bench: Bench,
    memories: Vec<MemoryId>,
    sources: Vec<(&'static str, SourceId)>,
    /// Ids of the tokens and heads that a selection keeps, as positions at the job's start from zero.
    kept: [Collected; 2],
    /// Scores of tokens and heads.
    scores: [Collected; 2],
    /// Which rows with a rule were refined, where there is an LSB plane.
    refined: Option<Collected>,
    /// Positions of kept values, where the hardware prunes them.
    value_id: Option<SinkId>,
    /// What the ports say of their memories: of reads, of writes.
    errors: [SinkId; 2],
    /// Rows whose outputs are in memory, since the last restart.
    rows: u64,
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

/// A layer in the memories, and what lives of it.
struct StoredLayer {
    image: MemoryImage,
    live: Live,
    /// Ids of the live queries' tokens.
    queries: Vec<usize>,
    /// The KV heads that a live head reads.
    kv_heads: Vec<usize>,
}

impl StoredLayer {
    /// What takes part of it, with the operands of that.
    fn fetched<'a>(&'a self, operands: &'a LayerOperands) -> FetchedLayer<'a> {
        FetchedLayer {
            image: &self.image,
            operands,
            tokens: &self.live.tokens,
            queries: &self.queries,
            heads: &self.live.heads,
            kv_heads: &self.kv_heads,
        }
    }
}

/// What one layer gave.
pub struct LayerResult {
    /// `[heads][queries][d]`, in V's units with four fraction bits.
    pub outputs: Vec<Vec<Vec<i64>>>,
    /// Clock cycles from the layer's first word to its last row in memory and the end of its selections.
    pub cycles: u64,
    /// Bytes of the data beats at all ports, of all layers of the run.
    pub moved: Moved,
    /// Which rows of each head were refined, `[heads][queries]`.
    pub refined: Vec<Vec<bool>>,
    /// Scores of tokens and heads, of a job that reports them.
    pub scores: [Vec<i64>; 2],
    /// Ids of the tokens and heads that stay, where the job selects.
    pub kept: [Option<Vec<usize>>; 2],
}

impl RtlEngine {
    /// Builds (or finds built) and resets the core of `config` with memories of this timing; `seed` fills memories and
    /// registers before use.
    ///
    /// # Errors
    /// [`EngineError::Cosim`] when a tool is missing or fails.
    pub fn new(
        config: &Config,
        verilator: &Verilator,
        timing: &MemoryTiming,
        seed: u64,
    ) -> Result<Self, EngineError> {
        let core = MemoryCore::new(config);
        let design = Design::from(&elaborate(&core));
        let simulator = verilator.build(&design, Tracing::Off)?.start(seed)?;
        let mut bench = Bench::new(simulator, seed);
        let pipeline = core.pipeline();
        let sources = core.in_channels().into_iter().map(|(name, fields)| {
            let lanes = match name {
                "list" => core.fetch().scan_lanes(),
                "pin" => pipeline.softmax_lanes,
                _ => 1,
            };
            (name, bench.source(name, &in_lanes(&fields, lanes)))
        });
        let sources = sources.collect();
        let importance = pipeline.importance();
        let sets = [importance.token_scores().set, importance.head_scores().set];
        let [tokens, heads] = &sets;
        let kept = [("kept_token", tokens), ("kept_head", heads)]
            .map(|(name, set)| Collected::new(&mut bench, name, &kept_fields(set)));
        let scores = [("token_score", tokens), ("head_score", heads)]
            .map(|(name, set)| Collected::new(&mut bench, name, &score_fields(set)));
        let value_id = pipeline.softmax().use_pass().value_ids();
        let value_id = value_id.map(|ids| bench.sink("value_id", &value_id_fields(&ids)));
        let refined = core
            .has_lsb()
            .then(|| Collected::new(&mut bench, "refined", &[Field::unsigned("data", 1)]));
        let errors = [
            ("read_error", core.fetch().error_fields()),
            ("write_error", core.output.error_fields()),
        ];
        let errors = errors.map(|(name, fields)| bench.sink(name, &in_lanes(&fields, 1)));
        let memories = memories(&core, &mut bench, timing, seed);
        let stop = bench.simulator().port("stop_i");
        bench.simulator().set(stop, 0);
        bench.reset(4)?;
        Ok(RtlEngine {
            config: config.clone(),
            core,
            bench,
            memories,
            sources,
            kept,
            scores,
            refined,
            value_id,
            errors,
            rows: 0,
        })
    }

    /// Attends one layer by itself, whose K and V are stored in the widths of `formats`, without a selection.
    ///
    /// # Errors
    /// As [`RtlEngine::attend_jobs`].
    pub fn attend_layer(
        &mut self,
        layer: &LayerOperands,
        formats: &Formats,
    ) -> Result<LayerResult, EngineError> {
        let job = CoreJob::dense(layer);
        let mut results = self.attend_jobs(&[(layer.clone(), job)], formats)?;
        Ok(results.1.remove(0))
    }

    /// Attends layers one after the other without a pause, whatever their selections say; gives the cycles from the first
    /// word to the last row in memory, and the results.
    ///
    /// # Errors
    /// [`EngineError`] when a layer does not fit, or the design breaks a rule of its streams or is stuck.
    pub fn attend_jobs(
        &mut self,
        layers: &[(LayerOperands, CoreJob)],
        formats: &Formats,
    ) -> Result<(u64, Vec<LayerResult>), EngineError> {
        let mut base = 0;
        let mut stored = Vec::new();
        for (layer, _) in layers {
            let live = Live::all(layer.keys[0].len(), layer.queries.len());
            let layer = self.store((layer, formats), live, base)?;
            base += layer.image.step();
            stored.push(layer);
        }
        let fetched: Vec<_> = layers
            .iter()
            .zip(&stored)
            .map(|((operands, job), stored)| (stored.fetched(operands), job))
            .collect();
        self.run(&fetched, &mut |_| {})
    }

    /// Attends what lives of a `whole` layer, whose K and V are stored in the widths of `formats`: `operands` are those of
    /// the tokens and heads that are `live`. `progress` is called now and then with the number of rows finished since its
    /// last call.
    ///
    /// # Errors
    /// As [`RtlEngine::attend_jobs`].
    pub fn attend_live(
        &mut self,
        (whole, formats): (&LayerOperands, &Formats),
        (operands, live): (&LayerOperands, &Live),
        job: &CoreJob,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerResult, EngineError> {
        let stored = self.store((whole, formats), live.clone(), 0)?;
        let (_, mut results) = self.run(&[(stored.fetched(operands), job)], progress)?;
        Ok(results.remove(0))
    }

    /// Puts a layer's vectors into the memories, from byte address `base` of every channel on.
    fn store(
        &mut self,
        (whole, formats): (&LayerOperands, &Formats),
        live: Live,
        base: u64,
    ) -> Result<StoredLayer, EngineError> {
        let image = MemoryImage::new(&self.config, ImageShape::of(whole, formats), base)?;
        let mut memory = self.take_memories();
        image.write_layer(&mut memory[..], whole);
        self.give_memories(memory);
        let queries = live.queries(whole.live_keys.len(), whole.keys[0].len());
        let ids = queries.into_iter().map(|query| query_id(whole, query));
        Ok(StoredLayer {
            image,
            queries: ids.collect(),
            kv_heads: live.kv_heads(&whole.kv_heads),
            live,
        })
    }

    /// Takes the content out of the memories, to work on it.
    fn take_memories(&mut self) -> Vec<SparseMemory> {
        let slaves = self.bench.slaves();
        slaves
            .map(|slave| std::mem::take(slave.memory_mut()))
            .collect()
    }

    fn give_memories(&mut self, content: Vec<SparseMemory>) {
        for (slave, content) in self.bench.slaves().zip(content) {
            *slave.memory_mut() = content;
        }
    }

    /// Runs layers that lie in the memories, back to back.
    fn run(
        &mut self,
        layers: &[(FetchedLayer<'_>, &CoreJob)],
        progress: &mut dyn FnMut(usize),
    ) -> Result<(u64, Vec<LayerResult>), EngineError> {
        let start = self.bench.simulator().cycle();
        let bytes = self.bytes();
        let mut all = Vec::new();
        for (layer, job) in layers {
            all.push(MemoryStreams::new(&self.core, layer, job)?);
        }
        all.iter().for_each(|streams| self.send(streams));
        self.end_stop()?;
        let rows: usize = all.iter().map(|streams| streams.row.len()).sum();
        let lines: u64 = all.iter().map(|streams| self.lines(streams)).sum();
        let limit = start + LEAST_CYCLES + lines * CYCLES_PER_WORD;
        self.await_rows(rows, limit, progress)?;
        // What is left is the selection; whatever else is outstanding is stuck.
        self.bench.run(LEAST_CYCLES)?;
        let cycles = self.bench.simulator().cycle() - start;
        self.await_reads()?;
        let moved = self.bytes();
        let mut results = Vec::new();
        for ((layer, _), streams) in layers.iter().zip(&all) {
            results.push(LayerResult {
                cycles,
                moved: Moved {
                    read: moved[0] - bytes[0],
                    written: moved[1] - bytes[1],
                },
                ..self.result(layer, streams)
            });
        }
        Ok((cycles, results))
    }

    /// Bytes that have moved at all ports.
    fn bytes(&mut self) -> [u64; 2] {
        let moved = self.bench.slaves().map(|slave| slave.bytes_moved());
        moved.fold([0; 2], |sum, moved| [sum[0] + moved[0], sum[1] + moved[1]])
    }

    /// A measure of the work of a layer: score lines and rows.
    fn lines(&self, streams: &MemoryStreams) -> u64 {
        let fields = self.core.dispatch.row_fields();
        let live = fields.iter().position(|field| field.name == "live");
        let keys = streams.row.iter().filter_map(|row| Some(row[live?] as u64));
        keys.sum::<u64>() / self.core.pipeline().softmax_lanes as u64 + streams.row.len() as u64
    }

    fn send(&mut self, streams: &MemoryStreams) {
        for (name, source) in self.sources.clone() {
            let words = match name {
                "list" => &streams.list,
                "key" => &streams.key,
                "value" => &streams.value,
                "row" => &streams.row,
                "job" => &vec![streams.job.clone()],
                _ => &streams.pin,
            };
            self.bench.send(source, words);
        }
        for kind in 0..2 {
            let (kept, scores) = (&self.kept[kind], &self.scores[kind]);
            self.bench.collect(kept.sink, streams.kept_words[kind]);
            self.bench.collect(scores.sink, streams.score_words[kind]);
        }
        if let Some(value_id) = self.value_id {
            self.bench.collect(value_id, streams.value_id_words);
        }
        if let Some(refined) = &self.refined {
            self.bench.collect(refined.sink, streams.refined_words);
        }
    }

    /// Runs until so many more rows are in memory.
    fn await_rows(
        &mut self,
        rows: usize,
        limit: u64,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), EngineError> {
        let port = self.bench.simulator().port("rows_written_o");
        let awaited = self.rows + rows as u64;
        loop {
            // The port counts modulo 2^32.
            let written = u64::from(self.bench.simulator().get(port) as u32 - self.rows as u32);
            progress(written as usize);
            self.rows += written;
            let cycle = self.bench.simulator().cycle();
            if self.rows >= awaited {
                return Ok(());
            }
            if cycle >= limit {
                let missing = awaited - self.rows;
                // Names the streams that are stuck.
                self.bench.run(1)?;
                return Err(EngineError::Mismatch(format!(
                    "{missing} of {rows} output rows are not in memory after {limit} cycles"
                )));
            }
            for _ in 0..CYCLES_PER_REPORT {
                let count = self.bench.simulator().get(port) as u32;
                if count == awaited as u32 {
                    break;
                }
                self.bench.step()?;
            }
        }
    }

    /// Runs until the ports are quiet: keys that no row sees may come after the last row has left.
    fn await_reads(&mut self) -> Result<(), EngineError> {
        let mut quiet = 0;
        while quiet < QUIET_CYCLES {
            let open: usize = self.bench.slaves().map(|slave| slave.reads_open()).sum();
            quiet = if open == 0 { quiet + 1 } else { 0 };
            self.bench.step()?;
        }
        Ok(())
    }

    /// The results of a layer that has ended.
    fn result(&mut self, layer: &FetchedLayer<'_>, streams: &MemoryStreams) -> LayerResult {
        let memory = self.take_memories();
        let outputs = layer
            .image
            .read_outputs(&memory[..], layer.heads, layer.queries);
        self.give_memories(memory);
        let lanes = self.core.pipeline().softmax_lanes;
        let counts = [layer.tokens.len(), layer.heads.len()];
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
        let mut flags = Vec::new();
        if let Some(refined) = &mut self.refined {
            let words = refined.take(&self.bench, streams.refined_words);
            flags.extend(words.map(|word| word[0] == 1));
        }
        let mut flags = flags.into_iter();
        let of_head = |rule: &Rule| match rule {
            Rule::None => vec![false; layer.queries.len()],
            _ => flags.by_ref().take(layer.queries.len()).collect(),
        };
        LayerResult {
            outputs,
            cycles: 0,
            moved: Moved::default(),
            refined: layer.operands.rules.iter().map(of_head).collect(),
            scores,
            kept,
        }
    }
}

/// Fields of a channel for a bench; the first one in lanes.
fn in_lanes(fields: &[hdl::Field], lanes: usize) -> Vec<Field> {
    let field = |(index, field): (usize, &hdl::Field)| match index {
        0 => Field::unsigned(&field.name, field.ty.width / lanes).lanes(lanes),
        _ => field.into(),
    };
    fields.iter().enumerate().map(field).collect()
}

/// A memory behind every port.
fn memories(
    core: &MemoryCore,
    bench: &mut Bench,
    timing: &MemoryTiming,
    seed: u64,
) -> Vec<MemoryId> {
    let (reads, writes) = (core.fetch().read_master(), core.output.master());
    let limits = AxiLimits {
        id_bits: reads.id_bits(),
        address_bits: reads.address_bits,
        burst_beats: reads.burst_beats.max(writes.burst_beats),
        reads: reads.outstanding,
        writes: writes.outstanding,
    };
    let memory = |n: usize| {
        let slave = AxiSlave::new(SlaveOptions::new(timing.clone(), seed + n as u64));
        bench.memory(&format!("mem{n}"), AxiChannels::Both, limits, slave)
    };
    (0..core.fetch().channels).map(memory).collect()
}

impl Engine for RtlEngine {
    fn attend(
        &mut self,
        layer: &Layer<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerAttention, EngineError> {
        let (live, step) = (layer.live, layer.step);
        check_selection(self.core.pipeline(), step.keep_tokens)?;
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
        let whole = &layer.quantized.operands;
        let parts = (layer.operands, live);
        let result = self.attend_live((whole, layer.formats), parts, &job, progress)?;
        let [token_scores, head_scores] = result.scores;
        let [tokens, heads] = result.kept;
        Ok(LayerAttention {
            outputs: Outputs::Codes(result.outputs),
            cycles: Some(result.cycles),
            refetched: whole.key_lsbs.is_some().then_some(result.refined),
            traffic: Some(result.moved),
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
