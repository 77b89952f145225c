//! Running Verilator and the C++ compiler.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::CosimError;

/// Lines of a failed tool's output that an error repeats.
const REPORTED_LINES: usize = 20;

/// Runs `command` and returns its standard output.
///
/// # Errors
/// [`CosimError::ToolMissing`] when it does not start, [`CosimError::ToolFailed`] when it ends in failure.
pub(super) fn run(command: &mut Command) -> Result<String, CosimError> {
    let output = command.output().map_err(|source| CosimError::ToolMissing {
        tool: PathBuf::from(command.get_program()),
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let all = text + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = all.lines().collect();
    Err(CosimError::ToolFailed {
        command: command_line(command),
        status: output.status,
        output: lines[lines.len().saturating_sub(REPORTED_LINES)..].join("\n"),
    })
}

fn command_line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What `tool argument` prints, asked once per process: versions do not change under a running program.
///
/// # Errors
/// As [`run`].
pub(super) fn ask(tool: &Path, argument: &[&str]) -> Result<String, CosimError> {
    static ANSWERS: Mutex<Option<HashMap<(PathBuf, String), String>>> = Mutex::new(None);
    let key = (tool.to_owned(), argument.join(" "));
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = answers.get_or_insert_with(HashMap::new);
    if let Some(answer) = answers.get(&key) {
        return Ok(answer.clone());
    }
    let answer = run(Command::new(tool).args(argument))?.trim().to_owned();
    answers.insert(key, answer.clone());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_tool_is_reported_by_its_command_and_last_lines() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 100; echo 'no space' >&2; exit 7"]);
        let error = run(&mut command).unwrap_err();
        let CosimError::ToolFailed {
            command,
            status,
            output,
        } = &error
        else {
            panic!("{error}")
        };
        assert!(command.starts_with("sh -c seq 100"), "{command}");
        assert_eq!(status.code(), Some(7));
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), REPORTED_LINES);
        assert_eq!(lines[REPORTED_LINES - 2..], ["100", "no space"]);
    }
}
