//! What benchmarks run: memories behind the channels, and layers of synthetic tensors back to back.

use crate::config::Config;
use crate::cosim::memory::{Hbm2Timing, MemoryTiming};
use crate::engine::streams::CoreJob;
use crate::golden::layer::LayerOperands;
use crate::numerics::Formats;
use crate::workload::quantizer::QuantizedLayer;
use crate::workload::synthetic::SyntheticAttention;

/// Head dimension of GPT-2 and BERT.
const HEAD_DIM: usize = 64;

/// A memory behind the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// A fixed latency of 80 cycles.
    Fixed80,
    /// HBM2 timing.
    Hbm2,
}

impl Memory {
    /// Every memory.
    pub(super) const ALL: [Memory; 2] = [Memory::Fixed80, Memory::Hbm2];

    /// As in the names of cases.
    pub(super) fn name(self) -> &'static str {
        match self {
            Memory::Fixed80 => "fixed80",
            Memory::Hbm2 => "hbm2",
        }
    }

    /// Its timing.
    pub(super) fn timing(self) -> MemoryTiming {
        match self {
            Memory::Fixed80 => MemoryTiming::Fixed(80),
            Memory::Hbm2 => MemoryTiming::Hbm2(Hbm2Timing::default()),
        }
    }
}

/// Head dimension 64, or the greatest that the configuration has.
pub(super) fn usual_head_dim(config: &Config) -> usize {
    match config.array.head_dims.contains(&HEAD_DIM) {
        true => HEAD_DIM,
        false => config.max_head_dim(),
    }
}

/// The layers of a model in these formats, dense, whose importance adds up from the first on.
pub(super) fn dense_layers(
    model: &SyntheticAttention,
    formats: &Formats,
) -> Vec<(LayerOperands, CoreJob)> {
    let tensors = model.tensors();
    let job = |layer| {
        let operands = QuantizedLayer::new(&tensors, layer, formats, true).operands;
        let job = CoreJob {
            zero: layer == 0,
            ..CoreJob::dense(&operands)
        };
        (operands, job)
    };
    (0..model.layers).map(job).collect()
}
