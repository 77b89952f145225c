//! What can go wrong between a design and its running simulation.

use std::path::PathBuf;

use crate::tools::ToolError;

/// The environment cannot build or run a simulation. Commands map every variant to exit status 3.
#[derive(Debug, thiserror::Error)]
pub enum CosimError {
    /// The design's description contradicts itself or its Verilog.
    #[error("design `{top}`: {reason}")]
    Design {
        /// Top module.
        top: String,
        /// What is wrong.
        reason: String,
    },
    /// Verilator or the C++ compiler could not be started, or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The cache of built simulations cannot be used.
    #[error("simulation cache `{}`: {source}; name a writable folder in SPATTEN_CACHE", path.display())]
    Cache {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A built simulation cannot be loaded.
    #[error("cannot load `{}`: {reason}; delete it to have it built anew", path.display())]
    Load {
        /// The shared object.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The waveform file cannot be written.
    #[error("cannot write the trace `{}`: {source}", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The design stopped before its first cycle.
    #[error(transparent)]
    Stopped(#[from] DesignStopped),
}

/// The design ended its own simulation: `$finish`, `$stop`, `$error` or `$fatal`, or logic that does not settle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the design stopped in cycle {cycle}: {message}")]
pub struct DesignStopped {
    /// Clock cycles run before.
    pub cycle: u64,
    /// What the design printed, and where it stopped.
    pub message: String,
}
