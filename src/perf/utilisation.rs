//! Share of the multipliers' cycles that work on live keys, in the simulated attention core, and how fast it simulates.

use std::time::Instant;

use super::{Benchmark, Row};
use crate::config::Config;
use crate::cosim::Verilator;
use crate::engine::EngineError;
use crate::engine::rtl::RtlEngine;
use crate::golden::layer::LayerOperands;
use crate::workload::quantizer::QuantizedLayer;
use crate::workload::synthetic::SyntheticAttention;
use crate::workload::tensors::AttentionTensors;

/// Rows as long as these, where the configuration takes them; queries are as many as keys.
const KEYS: [usize; 4] = [32, 64, 128, 384];
/// Heads that follow each other in one run: 12 layers of 12 heads for short rows.
const HEADS: usize = 144;
/// Most scores of one run, which cuts the heads of long rows.
const SCORES: usize = 1 << 21;
const SEED: u64 = 1;
/// Cycles per second that a simulation of the published size should reach (`docs/decisions.md`, section 6).
const TARGET_CYCLES_PER_SECOND: f64 = 40_000.0;

pub(super) const UTILISATION: Benchmark = Benchmark {
    name: "utilisation",
    summary: "multiplications with live keys over multipliers x cycles, from the first input to the last output",
    run: utilisation,
};

pub(super) const SIMULATE: Benchmark = Benchmark {
    name: "simulate",
    summary: "simulated cycles per second of wall time, K and V streamed in; the bound is the target",
    run: simulate,
};

fn utilisation(config: &Config) -> Result<Vec<Row>, EngineError> {
    let mut rows = Vec::new();
    for &head_dim in &config.array.head_dims {
        for keys in KEYS
            .into_iter()
            .filter(|&n| n <= config.limits.keys_per_row)
        {
            let run = Run::new(config, head_dim, keys)?;
            let case = format!("keys={keys} d={head_dim}");
            let value = run.work / (config.array.multipliers as f64 * run.cycles);
            rows.push(Row::new(UTILISATION.name, case, value, "of 1", 1.0));
        }
    }
    Ok(rows)
}

fn simulate(config: &Config) -> Result<Vec<Row>, EngineError> {
    let keys = config.limits.keys_per_row.min(128);
    let run = Run::new(config, config.max_head_dim(), keys)?;
    let value = run.cycles / run.seconds;
    Ok(vec![Row::new(
        SIMULATE.name,
        config.name.clone(),
        value,
        "cycles/s",
        TARGET_CYCLES_PER_SECOND,
    )])
}

/// What one run of heads back to back took.
struct Run {
    /// Multiplications of each array with elements of live keys.
    work: f64,
    cycles: f64,
    /// Wall time of the simulation alone.
    seconds: f64,
}

impl Run {
    fn new(config: &Config, head_dim: usize, keys: usize) -> Result<Run, EngineError> {
        let heads = (SCORES / (keys * keys)).clamp(2, HEADS);
        let layer = heads_of(config, head_dim, keys, heads);
        let mut engine = RtlEngine::new(config, &Verilator::default(), SEED)?;
        let start = Instant::now();
        let result = engine.attend_layer(&layer)?;
        Ok(Run {
            work: (heads * keys * keys * head_dim) as f64,
            cycles: result.cycles as f64,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// `heads` heads with K and V of their own and as many queries as keys.
fn heads_of(config: &Config, head_dim: usize, keys: usize, heads: usize) -> LayerOperands {
    let tensors = SyntheticAttention {
        layers: 1,
        heads,
        kv_heads: heads,
        queries: keys,
        keys,
        head_dim,
        causal: false,
        seed: SEED,
    };
    let tensors = AttentionTensors::from_bytes(&tensors.to_bytes(), None);
    let tensors = tensors.expect("synthetic tensors have the form that is read");
    QuantizedLayer::new(&tensors, 0, &config.formats(), true).operands
}
