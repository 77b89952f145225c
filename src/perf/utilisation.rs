//! Share of the multipliers' cycles that work on live keys, in the simulated memory core with HBM2 behind its channels, and
//! how fast it simulates.

use std::fs;
use std::time::Instant;

use super::workload::{Memory, dense_layers};
use super::{Benchmark, Inputs, Row};
use crate::config::Config;
use crate::cosim::{CosimError, Verilator};
use crate::engine::EngineError;
use crate::engine::rtl::RtlEngine;
use crate::engine::streams::CoreJob;
use crate::golden::cascade::Live;
use crate::golden::layer::LayerOperands;
use crate::golden::row::ValuePruning;
use crate::workload::synthetic::SyntheticAttention;

/// Rows as long as these, where the configuration takes them, with all values and with two in five; queries are as many as
/// keys.
const KEYS: [usize; 4] = [32, 64, 128, 384];
/// Keys of a causal layer, whose rows grow from one key to these.
const CAUSAL_KEYS: usize = 128;
/// Heads of a layer.
const HEADS: usize = 12;
/// Layers that follow each other in one run of short rows.
const LAYERS: usize = 12;
/// Keys of the layers of a cascade, and its heads' dimension (`docs/decisions.md`, section 6).
const CASCADE: [usize; 12] = [128, 128, 106, 99, 92, 85, 78, 71, 64, 56, 49, 42];
const CASCADE_HEAD_DIM: usize = 64;
/// What the cascade should reach when the next layer awaits the selection.
const CASCADE_TARGET: f64 = 0.93;
/// Most scores of one run, which cuts the layers of long rows.
const SCORES: usize = 1 << 21;
const SEED: u64 = 1;
/// Cycles per second that a simulation of the published size should reach (`docs/decisions.md`, section 6).
const TARGET_CYCLES_PER_SECOND: f64 = 40_000.0;
/// Seconds that building it may take.
const TARGET_BUILD_SECONDS: f64 = 180.0;

pub(super) const UTILISATION: Benchmark = Benchmark {
    name: "utilisation",
    summary: "multiplications with live keys over multipliers x cycles, from the first job to the last row in HBM2; the \
              bound is what lines that are not full, softmax.lanes and output.lanes leave",
    run: utilisation,
};

pub(super) const SIMULATE: Benchmark = Benchmark {
    name: "simulate",
    summary: "simulated cycles per second of wall time, HBM2 and all, and seconds to build the simulation; \
              the bound is the target",
    run: simulate,
};

fn utilisation(inputs: &Inputs<'_>) -> Result<Vec<Row>, EngineError> {
    let config = inputs.config;
    let most = config.limits.keys_per_row;
    let mut engine = RtlEngine::new(config, &Verilator::default(), &Memory::Hbm2.timing(), SEED)?;
    let mut rows = Vec::new();
    for &head_dim in &config.array.head_dims {
        for keys in KEYS.into_iter().filter(|&keys| keys <= most) {
            let case = format!("keys={keys} d={head_dim}");
            let run = Run::new(config, head_dim, keys, false);
            rows.push(run.row(config, &mut engine, case, target(head_dim, keys))?);
            if config.softmax.value_engines > 0 {
                let keep = keys * 2 / 5;
                let case = format!("keys={keys} values={keep} d={head_dim}");
                let run = Run::new(config, head_dim, keys, false).keeping(keep);
                rows.push(run.row(config, &mut engine, case, None)?);
            }
        }
        let keys = CAUSAL_KEYS.min(most);
        let case = format!("keys=1..{keys} d={head_dim}");
        let run = Run::new(config, head_dim, keys, true);
        rows.push(run.row(config, &mut engine, case, None)?);
    }
    if CASCADE[0] <= most && config.array.head_dims.contains(&CASCADE_HEAD_DIM) {
        rows.push(cascade(config, &mut engine)?);
    }
    Ok(rows)
}

/// Layers of one sequence with ever fewer tokens, each of which begins when the selection after the last has named them.
fn cascade(config: &Config, engine: &mut RtlEngine) -> Result<Row, EngineError> {
    let whole = Run::new(config, CASCADE_HEAD_DIM, CASCADE[0], false);
    let (whole, dense) = &whole.jobs[0];
    let heads = whole.queries.len();
    let mut live = Live::all(CASCADE[0], heads);
    let (mut cycles, mut work, mut least) = (0, 0.0, 0.0);
    for (layer, &keys) in CASCADE.iter().enumerate() {
        let job = CoreJob {
            zero: layer == 0,
            pinned: live
                .tokens
                .iter()
                .map(|&token| token + 1 == CASCADE[0])
                .collect(),
            keep_tokens: CASCADE.get(layer + 1).copied().unwrap_or(keys),
            ..dense.clone()
        };
        let operands = whole.gather(&live);
        let formats = config.formats();
        let parts = (&operands, &live);
        let result = engine.attend_live((whole, &formats), parts, &job, &mut |_| {})?;
        live.tokens = result.kept[0].clone().unwrap_or(live.tokens);
        cycles += result.cycles;
        let run = Run {
            jobs: vec![(operands, job)],
            head_dim: CASCADE_HEAD_DIM,
        };
        work += run.work();
        least += run.least_cycles(config);
    }
    let multipliers = config.array.multipliers as f64;
    let case = format!(
        "cascade keys={}..{} d={CASCADE_HEAD_DIM}",
        CASCADE[0], CASCADE[11]
    );
    let value = work / (multipliers * cycles as f64);
    let row = Row::of(UTILISATION.name, case, value, "of 1").bound(work / (multipliers * least));
    Ok(row.target(CASCADE_TARGET))
}

/// What the published size should reach with softmax lanes for every key of a line (`docs/decisions.md`, section 6).
fn target(head_dim: usize, keys: usize) -> Option<f64> {
    match (head_dim, keys) {
        (32, ..64) => None,
        (32, _) | (_, ..64) => Some(0.95),
        (_, 64) => Some(0.98),
        _ => Some(0.99),
    }
}

fn simulate(inputs: &Inputs<'_>) -> Result<Vec<Row>, EngineError> {
    let config = inputs.config;
    let row = |what: &str, value, unit, target| {
        let case = format!("{} {what}", config.name);
        Row::of(SIMULATE.name, case, value, unit)
            .bound(target)
            .target(target)
    };
    let start = Instant::now();
    let mut engine = build(config)?;
    let build_seconds = start.elapsed().as_secs_f64();

    let keys = config.limits.keys_per_row.min(128);
    let run = Run::new(config, config.max_head_dim(), keys, false);
    let start = Instant::now();
    let cycles = engine.attend_jobs(&run.jobs, &config.formats())?.0 as f64;
    let speed = cycles / start.elapsed().as_secs_f64();
    Ok(vec![
        row("speed", speed, "cycles/s", TARGET_CYCLES_PER_SECOND),
        row("build", build_seconds, "s", TARGET_BUILD_SECONDS),
    ])
}

/// Builds the simulation anew, whatever the cache holds.
fn build(config: &Config) -> Result<RtlEngine, EngineError> {
    let mut verilator = Verilator::default();
    let fault = |source| CosimError::Cache {
        path: verilator.cache.clone(),
        source,
    };
    fs::create_dir_all(&verilator.cache).map_err(fault)?;
    let cache = tempfile::tempdir_in(&verilator.cache).map_err(fault)?;
    verilator.cache = cache.path().to_path_buf();
    RtlEngine::new(config, &verilator, &Memory::Hbm2.timing(), SEED)
}

/// Layers back to back, whose importance adds up; heads have K and V of their own and as many queries as keys.
struct Run {
    jobs: Vec<(LayerOperands, CoreJob)>,
    head_dim: usize,
}

impl Run {
    fn new(config: &Config, head_dim: usize, keys: usize, causal: bool) -> Run {
        let heads = HEADS.min(config.limits.heads);
        let layers = (SCORES / (keys * keys * heads)).clamp(1, LAYERS);
        let model = SyntheticAttention {
            layers,
            heads,
            kv_heads: heads,
            queries: keys,
            keys,
            head_dim,
            causal,
            rows: None,
            seed: SEED,
        };
        Run {
            jobs: dense_layers(&model, &config.formats()),
            head_dim,
        }
    }

    /// The same with the values of every row pruned to `keep`, and outputs divided by the sum of these.
    fn keeping(mut self, keep: usize) -> Run {
        for (layer, _) in &mut self.jobs {
            layer.value_pruning.fill(ValuePruning {
                keep,
                renormalise: true,
            });
        }
        self
    }

    /// Simulates the run.
    fn row(
        &self,
        config: &Config,
        engine: &mut RtlEngine,
        case: String,
        target: Option<f64>,
    ) -> Result<Row, EngineError> {
        let cycles = engine.attend_jobs(&self.jobs, &config.formats())?.0 as f64;
        let value = self.work() / (config.array.multipliers as f64 * cycles);
        let bound = self.work() / (config.array.multipliers as f64 * self.least_cycles(config));
        let row = Row::of(UTILISATION.name, case, value, "of 1").bound(bound);
        // A target is for configurations that can reach it.
        Ok(match target.filter(|&target| target <= bound) {
            Some(target) => row.target(target),
            None => row,
        })
    }

    /// Multiplications of each array with elements of live keys.
    fn work(&self) -> f64 {
        let of_job = |(layer, _): &(LayerOperands, CoreJob)| {
            layer.queries.len() * layer.live_keys.iter().sum::<usize>()
        };
        let scores: usize = self.jobs.iter().map(of_job).sum();
        (scores * self.head_dim) as f64
    }

    /// A row takes a cycle per K line, per score line and per output word, whichever are most.
    fn least_cycles(&self, config: &Config) -> f64 {
        let keys_per_line = config.array.multipliers / self.head_dim;
        let output_words = self.head_dim / config.output.lanes;
        let of_row = |&live: &usize| {
            let lines = live.div_ceil(keys_per_line).max(1);
            lines
                .max(live.div_ceil(config.softmax.lanes))
                .max(output_words)
        };
        let of_job = |(layer, _): &(LayerOperands, CoreJob)| {
            let cycles: usize = layer.live_keys.iter().map(of_row).sum();
            layer.queries.len() * cycles
        };
        self.jobs.iter().map(of_job).sum::<usize>() as f64
    }
}
