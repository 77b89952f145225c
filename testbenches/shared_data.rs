//! Finds the data that the tests share with other checkouts and that is not committed here.

use std::path::{Path, PathBuf};

/// The tensor files of the shared data: `$SPATTEN_SHARED/data/tensors`, else `../shared/data/tensors` beside
/// the package. Without them it says so and returns `None`, and the test returns early.
pub fn tensor_files() -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(part("data/tensors")?).expect("the folder can be listed");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the shared data holds tensor files");
    Some(files)
}

/// The folder of shared data that has the cells of IHP SG13G2; likewise `None` without them.
pub fn with_ihp_cells() -> Option<PathBuf> {
    part("pdk/ihp-sg13g2").map(|_| folder())
}

fn folder() -> PathBuf {
    std::env::var_os("SPATTEN_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    )
}

/// A folder of the shared data.
fn part(name: &str) -> Option<PathBuf> {
    let part = folder().join(name);
    if part.is_dir() {
        return Some(part);
    }
    println!("SKIPPED: shared data");
    None
}
