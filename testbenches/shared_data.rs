//! Finds the data that the tests share with other checkouts and that is not committed here.

use std::path::{Path, PathBuf};

/// The tensor files of the shared data: `$SPATTEN_SHARED/data/tensors`, else `../shared/data/tensors` beside
/// the package. Without them it says so and returns `None`, and the test returns early.
pub fn tensor_files() -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("SPATTEN_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(shared.join("data/tensors")) else {
        println!("SKIPPED: shared data");
        return None;
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the shared data holds tensor files");
    Some(files)
}
