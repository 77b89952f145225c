//! How fast generation reads K and V: steps of one query each, in the simulated memory core with HBM2 behind its channels.

use super::{Benchmark, Inputs, Row};
use crate::accelerator::axi::BEAT_BYTES;
use crate::cosim::Verilator;
use crate::cosim::memory::{Hbm2Timing, MemoryTiming};
use crate::engine::EngineError;
use crate::engine::rtl::RtlEngine;
use crate::engine::streams::CoreJob;
use crate::numerics::Formats;
use crate::workload::quantizer::QuantizedLayer;
use crate::workload::synthetic::SyntheticAttention;

/// Tokens of the sequence, where the configuration takes them.
const KEYS: usize = 1000;
/// Layers and heads of GPT-2 small.
const LAYERS: usize = 12;
const HEADS: usize = 12;
/// Head dimension, or the greatest that the configuration has.
const HEAD_DIM: usize = 64;
/// Bits of K and V as stored.
const BITS: usize = 8;
/// What the published size should reach of the channels' peak (`docs/decisions.md`, section 6).
const TARGET: f64 = 0.91;
/// Cycles of the memory with fixed latency.
const LATENCY: u64 = 80;
const SEED: u64 = 1;

pub(super) const GENERATION: Benchmark = Benchmark {
    name: "generation",
    summary: "bytes per cycle that steps of one query on dense keys read, layer behind layer, from the first job to the last \
              row in memory; the bound is the channels' peak",
    run: generation,
};

fn generation(inputs: &Inputs<'_>) -> Result<Vec<Row>, EngineError> {
    let config = inputs.config;
    let own = config.formats();
    let formats = Formats {
        key_bits: BITS.min(own.key_bits),
        value_bits: BITS.min(own.value_bits),
        ..own
    };
    let heads = HEADS.min(config.limits.heads);
    let head_dim = match config.array.head_dims.contains(&HEAD_DIM) {
        true => HEAD_DIM,
        false => config.max_head_dim(),
    };
    let keys = KEYS.min(config.limits.keys_per_row);
    let tensors = SyntheticAttention {
        layers: LAYERS,
        heads,
        kv_heads: heads,
        queries: 1,
        keys,
        head_dim,
        causal: true,
        rows: None,
        seed: SEED,
    }
    .tensors();
    let job = |layer| {
        let operands = QuantizedLayer::new(&tensors, layer, &formats, true).operands;
        let job = CoreJob {
            zero: layer == 0,
            ..CoreJob::dense(&operands)
        };
        (operands, job)
    };
    let jobs: Vec<_> = (0..LAYERS).map(job).collect();
    let memories = [
        ("fixed80", MemoryTiming::Fixed(LATENCY)),
        ("hbm2", MemoryTiming::Hbm2(Hbm2Timing::default())),
    ];
    let mut rows = Vec::new();
    for (memory, timing) in memories {
        let mut engine = RtlEngine::new(config, &Verilator::default(), &timing, SEED)?;
        let (cycles, results) = engine.attend_jobs(&jobs, &formats)?;
        let read = results.first().map_or(0, |result| result.moved.read);
        let peak = (config.memory.channels * BEAT_BYTES) as f64;
        let case = format!("keys={keys} d={head_dim} heads={heads} {BITS}b {memory}");
        let value = read as f64 / cycles as f64;
        let row = Row::of(GENERATION.name, case, value, "bytes/cycle").bound(peak);
        // The target is that of the published size.
        rows.push(match (config.name.as_str(), memory) {
            ("spatten", "hbm2") => row.target(TARGET * peak),
            _ => row,
        });
    }
    Ok(rows)
}
