//! What ends a command early, by exit status.

use thiserror::Error;

use crate::config::ConfigError;
use crate::engine::EngineError;
use crate::handoff::output::OutputError;
use crate::synth::SynthError;
use crate::workload::tensors::TensorError;

/// Why a command did not succeed. The message names the field, file or tool, and what to do.
///
/// Library errors convert with `?` once they have a `From` below, which decides their class. Their messages name
/// causes themselves, so the chain of sources is not printed.
#[derive(Debug, Error)]
pub enum Failure {
    /// A check or comparison failed.
    #[error("{0}")]
    Check(anyhow::Error),
    /// Bad usage, configuration or input.
    #[error("{0}")]
    Input(anyhow::Error),
    /// A tool is missing or failed, or the disk did.
    #[error("{0}")]
    Environment(anyhow::Error),
}

impl Failure {
    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::Check(_) => 1,
            Failure::Input(_) => 2,
            Failure::Environment(_) => 3,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Input(error.into())
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Failure {
        if error.is_bad_input() {
            Failure::Input(error.into())
        } else {
            Failure::Environment(error.into())
        }
    }
}

impl From<TensorError> for Failure {
    fn from(error: TensorError) -> Failure {
        Failure::Input(error.into())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        match error {
            EngineError::Layer(_) | EngineError::Selection(_) | EngineError::Image(_) => {
                Failure::Input(error.into())
            }
            EngineError::Cosim(_) => Failure::Environment(error.into()),
            EngineError::Synth(error) => error.into(),
            EngineError::Bench(_) | EngineError::Mismatch(_) => Failure::Check(error.into()),
        }
    }
}

impl From<SynthError> for Failure {
    fn from(error: SynthError) -> Failure {
        if error.is_bad_input() {
            Failure::Input(error.into())
        } else {
            Failure::Environment(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosim::{BenchError, CosimError, DesignStopped, Fault};
    use crate::engine::{LayerError, SelectionError};
    use crate::tools::ToolError;

    #[test]
    fn engine_errors_are_input_environment_or_a_failed_check() {
        let layer = LayerError::Keys {
            keys: 33,
            limit: 32,
            config: "tiny".into(),
        };
        let selection = SelectionError::Capacity {
            keep: 33,
            limit: 32,
            config: "tiny".into(),
        };
        let tool = CosimError::Tool(ToolError::Missing {
            tool: "verilator".into(),
            source: std::io::ErrorKind::NotFound.into(),
        });
        let stopped = BenchError {
            design: "core".into(),
            seed: 1,
            fault: Box::new(Fault::Stopped(DesignStopped {
                cycle: 5,
                message: "$fatal".into(),
            })),
        };
        let disk = SynthError::Folder {
            path: "/full".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        for (error, status) in [
            (EngineError::from(layer), 2),
            (EngineError::from(selection), 2),
            (EngineError::from(tool), 3),
            (EngineError::from(stopped), 1),
            (EngineError::from(disk), 3),
        ] {
            let message = error.to_string();
            let failure = Failure::from(error);
            assert_eq!(failure.exit_status(), status, "{message}");
            assert_eq!(failure.to_string(), message);
        }
    }
}
