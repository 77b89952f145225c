//! Running Yosys and OpenSTA inside the folder of a run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::SynthError;

/// Lines of a failed tool's output that an error repeats.
const REPORTED_LINES: usize = 20;

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
/// [`SynthError::ToolMissing`] when it does not start, [`SynthError::ToolFailed`] when it ends in failure or prints
/// a line that starts with `Error`: OpenSTA goes on after some of its errors.
pub(super) fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<String, SynthError> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| SynthError::ToolMissing {
            tool: program.to_owned(),
            source,
        })?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() && !text.lines().any(|line| line.starts_with("Error")) {
        return Ok(text);
    }
    let lines: Vec<&str> = text.lines().collect();
    Err(SynthError::ToolFailed {
        command: [&[program], arguments].concat().join(" "),
        status: output.status,
        output: lines[lines.len().saturating_sub(REPORTED_LINES)..].join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_tool_is_reported_by_its_command_and_last_lines() {
        let script = "seq 100; echo 'ERROR: no cells' >&2; exit 3";
        let error = run(Path::new("."), "sh", &["-c", script]).unwrap_err();
        let SynthError::ToolFailed {
            command, output, ..
        } = &error
        else {
            panic!("{error}")
        };
        assert!(command.starts_with("sh -c seq 100"), "{command}");
        assert_eq!(output.lines().count(), REPORTED_LINES);
        assert!(output.ends_with("100\nERROR: no cells"), "{output}");
    }

    #[test]
    fn a_tool_that_prints_an_error_and_goes_on_has_failed() {
        let error = run(Path::new("."), "echo", &["Error: no such cell"]).unwrap_err();
        assert!(matches!(error, SynthError::ToolFailed { .. }), "{error}");
    }

    #[test]
    fn a_missing_tool_is_named_with_the_way_to_install_it() {
        let message = run(Path::new("."), "no-such-tool", &[])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("no-such-tool") && message.contains("scripts/setup"),
            "{message}"
        );
    }
}
