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
    let mut report = queue(&used, shape).run(options)?;
    for depth in [1, 3] {
        let corner = SramFifo { width: 5, depth };
        report.add(queue(&corner, (1, 5)).run(&options.untraced())?);
    }
    Ok(report)
}

fn queue(block: &SramFifo, shape: (usize, usize)) -> Queue<'_> {
    let (interval, capacity) = (block.interval(), block.capacity());
    Queue::new(block, shape, SramFifo::LATENCY, interval, capacity)
}
