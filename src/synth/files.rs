//! Files of a synthesis run, and the tools that work on them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::SynthError;
use crate::tools;

/// Writes a file of the run.
///
/// # Errors
/// [`SynthError::Folder`] with the file that cannot be written.
pub(super) fn write(folder: &Path, file: &str, content: &str) -> Result<(), SynthError> {
    let path = folder.join(file);
    fs::write(&path, content).map_err(|source| SynthError::folder(&path, source))
}

/// Reads a file that a tool wrote.
///
/// # Errors
/// [`SynthError::Folder`] with the file that cannot be read.
pub(super) fn read(folder: &Path, file: &str) -> Result<String, SynthError> {
    let path = folder.join(file);
    fs::read_to_string(&path).map_err(|source| SynthError::folder(&path, source))
}

/// Runs `program arguments` in the folder and returns what it printed.
///
/// # Errors
/// [`SynthError::Tool`] when it does not start, ends in failure or prints a line that starts with `Error`: OpenSTA
/// goes on after some of its errors.
pub(super) fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<String, SynthError> {
    let run = tools::run(Command::new(program).args(arguments).current_dir(folder))?;
    let text = format!("{}{}", run.stdout, run.stderr);
    if text.lines().any(|line| line.starts_with("Error")) {
        return Err(run.failed().into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_prints_an_error_and_goes_on_has_failed() {
        let error = run(Path::new("."), "echo", &["Error: no such cell"]).unwrap_err();
        assert!(matches!(error, SynthError::Tool(_)), "{error}");
    }
}
