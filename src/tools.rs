//! Running other programs: Verilator, the C++ compiler, Yosys and OpenSTA.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

/// Lines of a failed program's output that an error repeats.
const REPORTED_LINES: usize = 20;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be started.
    #[error("cannot run `{}`: {source}; install it (scripts/setup does) or put it on the PATH", tool.display())]
    Missing {
        /// The program.
        tool: PathBuf,
        /// Why it did not start.
        source: io::Error,
    },
    /// It ran and failed.
    #[error("`{command}` failed ({status}):\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        output: String,
    },
}

/// What a program wrote and how it ended.
pub(crate) struct Run {
    command: String,
    status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Run {
    /// The error that this run failed, whatever its exit status says.
    pub fn failed(&self) -> ToolError {
        let all = format!("{}{}", self.stdout, self.stderr);
        let lines: Vec<&str> = all.lines().collect();
        ToolError::Failed {
            command: self.command.clone(),
            status: self.status,
            output: lines[lines.len().saturating_sub(REPORTED_LINES)..].join("\n"),
        }
    }
}

/// Runs `command` without input to its end.
///
/// # Errors
/// [`ToolError`] when it does not start or ends in failure.
pub(crate) fn run(command: &mut Command) -> Result<Run, ToolError> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| ToolError::Missing {
        tool: PathBuf::from(command.get_program()),
        source,
    })?;
    let run = Run {
        command: command_line(command),
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    if run.status.success() {
        Ok(run)
    } else {
        Err(run.failed())
    }
}

fn command_line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What `tool arguments` prints, asked once per process: versions do not change under a running program.
///
/// # Errors
/// As [`run`].
pub(crate) fn ask(tool: &Path, arguments: &[&str]) -> Result<String, ToolError> {
    static ANSWERS: Mutex<Option<HashMap<(PathBuf, String), String>>> = Mutex::new(None);
    let key = (tool.to_owned(), arguments.join(" "));
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = answers.get_or_insert_with(HashMap::new);
    if let Some(answer) = answers.get(&key) {
        return Ok(answer.clone());
    }
    let run = run(Command::new(tool).args(arguments))?;
    let answer = run.stdout.trim().to_owned();
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
        let Err(ToolError::Failed {
            command,
            status,
            output,
        }) = run(&mut command)
        else {
            panic!("the command failed")
        };
        assert!(command.starts_with("sh -c seq 100"), "{command}");
        assert_eq!(status.code(), Some(7));
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), REPORTED_LINES);
        assert_eq!(lines[REPORTED_LINES - 2..], ["100", "no space"]);
    }

    #[test]
    fn a_missing_tool_is_named_with_the_way_to_install_it() {
        let error = run(&mut Command::new("no-such-tool")).err().unwrap();
        let message = error.to_string();
        assert!(
            message.contains("no-such-tool") && message.contains("scripts/setup"),
            "{message}"
        );
    }
}
