//! What ends a command early, by exit status.

use thiserror::Error;

use crate::config::ConfigError;
use crate::handoff::output::OutputError;

/// Why a command did not succeed. The message names the field, file or tool, and what to do.
///
/// Library errors convert with `?` once they have a `From` below, which decides their class.
#[derive(Debug, Error)]
pub enum Failure {
    /// A check or comparison failed.
    #[error("{0:#}")]
    Check(anyhow::Error),
    /// Bad usage, configuration or input.
    #[error("{0:#}")]
    Input(anyhow::Error),
    /// A tool is missing or failed, or the disk did.
    #[error("{0:#}")]
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
