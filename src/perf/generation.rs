//! How fast generation reads K and V: steps of one query each, in the simulated memory core with HBM2 behind its channels.

use super::workload::{Memory, dense_layers, usual_head_dim};
use super::{Benchmark, Inputs, Row};
use crate::accelerator::axi::BEAT_BYTES;
use crate::cosim::Verilator;
use crate::engine::EngineError;
use crate::engine::rtl::RtlEngine;
use crate::numerics::Formats;
use crate::workload::synthetic::SyntheticAttention;

/// Tokens of the sequence, where the configuration takes them.
const KEYS: usize = 1000;
/// Layers and heads of GPT-2 small.
const LAYERS: usize = 12;
const HEADS: usize = 12;
/// Bits of K and V as stored.
const BITS: usize = 8;
/// What the published size should reach of the channels' peak (`docs/decisions.md`, section 6).
const TARGET: f64 = 0.91;
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
    let head_dim = usual_head_dim(config);
    let keys = KEYS.min(config.limits.keys_per_row);
    let model = SyntheticAttention {
        layers: LAYERS,
        heads,
        kv_heads: heads,
        queries: 1,
        keys,
        head_dim,
        causal: true,
        rows: None,
        seed: SEED,
    };
    let jobs = dense_layers(&model, &formats);
    let mut rows = Vec::new();
    for memory in Memory::ALL {
        let mut engine = RtlEngine::new(config, &Verilator::default(), &memory.timing(), SEED)?;
        let (cycles, results) = engine.attend_jobs(&jobs, &formats)?;
        let read = results.first().map_or(0, |result| result.moved.read);
        let peak = (config.memory.channels * BEAT_BYTES) as f64;
        let case = format!(
            "keys={keys} d={head_dim} heads={heads} {BITS}b {}",
            memory.name()
        );
        let value = read as f64 / cycles as f64;
        let row = Row::of(GENERATION.name, case, value, "bytes/cycle").bound(peak);
        // The target is that of the published size.
        rows.push(match (config.name.as_str(), memory) {
            ("spatten", Memory::Hbm2) => row.target(TARGET * peak),
            _ => row,
        });
    }
    Ok(rows)
}
