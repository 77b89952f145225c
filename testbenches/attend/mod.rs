//! The command `attend`: its results, its refusals, and what an interrupt leaves.

mod interrupts;
mod progress;
mod pruning;
mod refinement;
mod refusals;
mod results;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use spatten::workload::synthetic::SyntheticAttention;
use tempfile::TempDir;

/// A small model that every preset can attend, with grouped heads and causal rows of all three kinds.
const SMALL: SyntheticAttention = SyntheticAttention {
    layers: 2,
    heads: 6,
    kv_heads: 2,
    queries: 5,
    keys: 9,
    head_dim: 32,
    causal: true,
    rows: None,
    seed: 1,
};

/// A folder with a tensor file, in which commands run.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn with(tensors: impl AsRef<[u8]>) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in.safetensors"), tensors).unwrap();
        Folder { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tensors(&self) -> PathBuf {
        self.path("in.safetensors")
    }

    /// `spatten attend -c tiny --tensors in.safetensors` with further arguments separated by spaces.
    fn attend(&self, arguments: &str) -> assert_cmd::Command {
        let mut command = attend("tiny", Path::new("in.safetensors"), arguments);
        command.current_dir(self.folder.path());
        command
    }

    /// Names and contents of all files.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(&path).unwrap_or_default()))
            .collect()
    }
}

/// `spatten attend` with further arguments separated by spaces.
fn attend(config: &str, tensors: &Path, arguments: &str) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::cargo_bin("spatten").unwrap();
    command
        .args(["attend", "-c", config, "--tensors"])
        .arg(tensors);
    command.args(arguments.split_whitespace());
    command
}

/// Runs a command that must succeed, and returns its standard output.
#[track_caller]
fn succeed(mut command: assert_cmd::Command) -> String {
    let assert = command.assert().success().stderr("");
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// Fails unless the command ended with this status, nothing on standard output and a message that holds all words.
#[track_caller]
fn assert_refused(output: &Output, status: i32, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{message}");
    assert!(output.stdout.is_empty(), "results beside: {message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}
