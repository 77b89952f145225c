//! Testbench of the FIFO.

use super::queue::Queue;
use super::{BenchError, Options, Report};
use crate::cells::fifo::Fifo;
use crate::config::Config;

/// Runs on a FIFO of score lines for the rows in flight, and on depths 1 and 3.
///
/// # Errors
/// [`BenchError`]: a tool fails, or a word or a documented figure is wrong.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let shape = (config.softmax.lanes, config.formats().score_bits());
    let used = Fifo::new(shape.0 * shape.1, config.schedule.rows_in_flight);
    let mut report = Queue::new(&used, shape, Fifo::LATENCY, used.interval()).run(options)?;
    for depth in [1, 3] {
        let corner = Fifo::new(5, depth);
        let queue = Queue::new(&corner, (1, 5), Fifo::LATENCY, corner.interval());
        report.add(queue.run(&options.untraced())?);
    }
    Ok(report)
}
