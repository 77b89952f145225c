//! `spatten presets`: the shipped configurations, one line each.

use super::{Failure, print};
use crate::config::presets::PRESETS;

pub(super) fn run() -> Result<(), Failure> {
    let width = PRESETS
        .iter()
        .map(|preset| preset.name.len())
        .max()
        .unwrap_or(0);
    let lines: String = PRESETS
        .iter()
        .map(|preset| format!("{:width$}  {}\n", preset.name, preset.summary))
        .collect();
    print(&lines)
}
