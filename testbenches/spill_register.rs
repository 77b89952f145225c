//! Testbench of the spill register.

use super::queue::Queue;
use super::{BenchError, Options, Report};
use crate::cells::spill_register::SpillRegister;
use crate::config::Config;

/// Runs on a register for a score line.
///
/// # Errors
/// [`BenchError`]: a tool fails, or a word or a documented figure is wrong.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let shape = (config.softmax.lanes, config.formats().score_bits());
    let block = SpillRegister {
        width: shape.0 * shape.1,
    };
    Queue::new(&block, shape, SpillRegister::LATENCY, 1, 2).run(options)
}
