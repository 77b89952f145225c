//! Engines: what computes a layer's attention.
//!
//! * [`rtl`]: the emitted Verilog in Verilator;
//! * [`golden`]: the Rust model of the same hardware, bit for bit alike;
//! * [`float`]: float64 on the model's own floats, which the other two approximate.
//!
//! [`job`] takes layers of a tensor file through an engine and measures its errors.

use std::fmt;

mod error;
pub mod float;
pub mod golden;
pub mod job;
pub mod memory_streams;
pub mod rtl;
pub mod streams;

pub use error::{EngineError, LayerError, SelectionError};

use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::Verilator;
use crate::cosim::memory::{Hbm2Timing, MemoryTiming};
use crate::golden::cascade::{CascadeResult, CascadeStep, Live};
use crate::golden::layer::LayerOperands;
use crate::numerics::Formats;
use crate::perf::traffic::Moved;
use crate::workload::quantizer::QuantizedLayer;
use crate::workload::tensors::AttentionTensors;

/// Computes attention, layer by layer.
pub trait Engine {
    /// Attends one layer, the layers of a job in order; `progress` is called now and then with the number of rows
    /// finished since its last call.
    ///
    /// # Errors
    /// [`EngineError`] when the layer or the selection after it does not fit the engine's configuration, or the engine
    /// fails.
    fn attend(
        &mut self,
        layer: &Layer<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LayerAttention, EngineError>;
}

/// One layer in the forms that engines compute on.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// The model's own floats.
    pub tensors: &'a AttentionTensors,
    /// Which layer of `tensors`.
    pub index: usize,
    /// The whole layer as the accelerator's integers.
    pub quantized: &'a QuantizedLayer,
    /// Operand widths that K and V are stored in.
    pub formats: &'a Formats,
    /// What takes part of it, compacted ([`LayerOperands::gather`]), with the value pruning of its rows.
    pub operands: &'a LayerOperands,
    /// The tokens and heads that take part.
    pub live: &'a Live,
    /// What the layer does to the importance scores, which the engine holds from layer to layer of a job.
    pub step: &'a CascadeStep,
}

impl Layer<'_> {
    /// The KV heads of `operands`, by their numbers in the whole layer.
    pub fn kv_heads(&self) -> Vec<usize> {
        self.live.kv_heads(&self.quantized.operands.kv_heads)
    }
}

/// What an engine made of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerAttention {
    /// The attention's outputs, of the heads and queries that take part.
    pub outputs: Outputs,
    /// Clock cycles from the layer's first input to its last output; `None` for engines without a clock.
    pub cycles: Option<u64>,
    /// Which rows took K's LSB plane, `[heads][queries]`; `None` without one.
    pub refetched: Option<Vec<Vec<bool>>>,
    /// Bytes moved to and from memory; `None` from engines without one.
    pub traffic: Option<Moved>,
    /// Importance after the layer and what is left for the next one; `None` from engines that do not gather it.
    pub cascade: Option<Importance>,
}

/// Importance after a layer, and what the engine selected by it.
#[derive(Clone, Debug, PartialEq)]
pub enum Importance {
    /// The accelerator's integers: tokens in steps of 2^-16 of a probability, heads in
    /// 2^-[`crate::numerics::OUTPUT_FRACTION_BITS`] of the job's reference step of V
    /// ([`crate::workload::quantizer::reference_value_step`]).
    Codes(CascadeResult<i64>),
    /// Sums of probabilities, and sums of magnitudes in the tensors' own units.
    Values(CascadeResult<f64>),
}

/// Outputs of one layer, `[heads][queries][d]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Outputs {
    /// The accelerator's integers: units of V with [`crate::numerics::OUTPUT_FRACTION_BITS`] fraction bits.
    Codes(Vec<Vec<Vec<i64>>>),
    /// Values in the tensors' own units.
    Values(Vec<Vec<Vec<f64>>>),
}

/// The engines by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// The generated Verilog, simulated by Verilator: counts cycles
    Rtl,
    /// The model of the hardware in Rust: the same bits, without cycles
    Golden,
    /// Float64 attention of the tensors themselves: the reference, without quantization
    Float,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineKind::Rtl => "rtl",
            EngineKind::Golden => "golden",
            EngineKind::Float => "float",
        })
    }
}

impl EngineKind {
    /// Whether the engine stands for the hardware of a configuration, with its limits and number formats.
    pub fn is_hardware(self) -> bool {
        self != EngineKind::Float
    }

    /// Checks that this engine can attend the layers of `tensors` under `config`, with an LSB plane of K or without,
    /// before the costly [`start`].
    ///
    /// # Errors
    /// [`LayerError`] when the layers exceed the configuration's hardware.
    ///
    /// [`start`]: EngineKind::start
    pub fn check(
        self,
        config: &Config,
        tensors: &AttentionTensors,
        has_lsb_plane: bool,
    ) -> Result<(), LayerError> {
        if !self.is_hardware() {
            return Ok(());
        }
        error::check_lsb_plane(config, has_lsb_plane)?;
        let core = AttentionCore::new(config);
        let head = (tensors.head_dim(), tensors.head_count());
        error::check_fit(&core, head, tensors.key_count())?;
        Ok(())
    }

    /// Starts the engine. `seed` decides what the RTL's registers and memories hold before they are written,
    /// which changes no result of a correct design.
    ///
    /// # Errors
    /// [`EngineError::Cosim`] when a tool that the RTL needs is missing or fails.
    pub fn start(self, config: &Config, seed: u64) -> Result<Box<dyn Engine>, EngineError> {
        Ok(match self {
            EngineKind::Rtl => {
                let timing = MemoryTiming::Hbm2(Hbm2Timing::default());
                let verilator = Verilator::default();
                Box::new(rtl::RtlEngine::new(config, &verilator, &timing, seed)?)
            }
            EngineKind::Golden => Box::new(golden::GoldenEngine::new(config)),
            EngineKind::Float => Box::new(float::FloatEngine::default()),
        })
    }
}
