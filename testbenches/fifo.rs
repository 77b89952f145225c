//! Testbench of the FIFO.

use super::queue::Queue;
use super::{BenchError, Options, Report};
use crate::cells::fifo::Fifo;
use crate::config::Config;

/// Runs on a FIFO of score lines for the rows in flight, and on depths 1 and 3, the last with a count.
///
/// # Errors
/// [`BenchError`]: a tool fails, or a word or a documented figure is wrong.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let shape = (config.softmax.lanes, config.formats().score_bits());
    let used = Fifo::new(shape.0 * shape.1, config.schedule.rows_in_flight);
    let mut report = queue(&used, shape).run(options)?;
    for (depth, count) in [(1, false), (3, true)] {
        let corner = Fifo {
            width: 5,
            depth,
            count,
        };
        report.add(queue(&corner, (1, 5)).run(&options.untraced())?);
    }
    Ok(report)
}

fn queue(block: &Fifo, shape: (usize, usize)) -> Queue<'_> {
    Queue::new(block, shape, Fifo::LATENCY, block.interval(), block.depth)
}
