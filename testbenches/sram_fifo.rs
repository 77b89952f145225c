//! Testbench of the FIFO over an SRAM.

use super::queue::Queue;
use super::{BenchError, Options, Report};
use crate::cells::sram_fifo::SramFifo;
use crate::config::Config;

/// Runs on the score ring, and on depths 1 and 3.
///
/// # Errors
/// [`BenchError`]: a tool fails, or a word or a documented figure is wrong.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let shape = (config.softmax.lanes, config.formats().score_bits());
    let used = SramFifo {
        width: shape.0 * shape.1,
        depth: config.buffers.score_lines,
    };
    let mut report = Queue::new(&used, shape, SramFifo::LATENCY, used.interval()).run(options)?;
    for depth in [1, 3] {
        let corner = SramFifo { width: 5, depth };
        let queue = Queue::new(&corner, (1, 5), SramFifo::LATENCY, corner.interval());
        report.add(queue.run(&options.untraced())?);
    }
    Ok(report)
}
