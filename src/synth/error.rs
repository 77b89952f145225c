//! What can go wrong in synthesis.

use std::io;
use std::path::{Path, PathBuf};

use crate::tools::ToolError;

/// Why blocks could not be synthesised or timed.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// The design has no such block.
    #[error("block `{name}`: this configuration has none of that name; choose among {known}")]
    UnknownBlock {
        /// What was asked for.
        name: String,
        /// The blocks there are.
        known: String,
    },
    /// No such cell library.
    #[error(
        "pdk `{name}`: neither a known library nor a folder; choose among {known}, or name a folder with a .lib file"
    )]
    UnknownLibrary {
        /// What was asked for.
        name: String,
        /// The libraries there are.
        known: String,
    },
    /// The folder's Liberty files do not tell which one to take.
    #[error("pdk folder `{}`: {count} files fit *.lib (of several, *stdcell*typ*.lib); exactly one must", path.display())]
    LibertyFiles {
        /// The folder.
        path: PathBuf,
        /// Fitting files.
        count: usize,
    },
    /// The default library is not installed.
    #[error("cell library `{}`: {source}; install qflow-tech-osu018 (scripts/setup does) or choose another with --pdk", path.display())]
    LibraryMissing {
        /// The Liberty file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder of the run cannot be used.
    #[error("`{}`: {source}; synthesis writes scripts and netlists there, name another place with --keep", path.display())]
    Folder {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Yosys or OpenSTA could not be started, or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl SynthError {
    pub(super) fn folder(path: &Path, source: io::Error) -> SynthError {
        SynthError::Folder {
            path: path.to_owned(),
            source,
        }
    }

    /// True when a tool or the cell library is not there: another machine, or an installation, would do.
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            SynthError::UnknownLibrary { .. }
                | SynthError::LibraryMissing { .. }
                | SynthError::Tool(ToolError::Missing { .. })
        )
    }

    /// True when what was asked for is at fault, false when the environment is.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            SynthError::UnknownBlock { .. }
                | SynthError::UnknownLibrary { .. }
                | SynthError::LibertyFiles { .. }
        )
    }
}
