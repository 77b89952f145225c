//! Testbench of the reset control.

use rand::RngExt;

use super::harness::{ensure, start};
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::cells::reset_control::ResetControl;
use crate::config::Config;
use crate::cosim::Design;

/// Random requests and answers against the table of its documentation.
///
/// # Errors
/// [`BenchError`] when an output is wrong, or the block cannot be simulated.
pub fn run(_: &Config, options: &Options) -> Result<Report, BenchError> {
    check(&design(&ResetControl), options)
}

/// Runs on one design, which is the reset control or a faulty copy of it.
///
/// # Errors
/// As [`run`]; the message names the cycle.
pub fn check(design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut simulator = start(design, options)?;
    let [stop_port, idle_port] = ["stop_i", "idle_i"].map(|name| simulator.port(name));
    let outputs = ["stopped_o", "restart_n_o"].map(|name| simulator.port(name));
    let mut random = options.random(0);
    let mut stop = false;
    for port in [stop_port, idle_port] {
        simulator.set(port, 0);
    }
    simulator.reset(2)?;
    let mut stopped = false;
    let mut working = false;
    for cycle in 0..options.cases {
        if random.random_bool(0.1) {
            stop = !stop;
        }
        let idle = random.random_bool(0.1);
        simulator.set(stop_port, u64::from(stop));
        simulator.set(idle_port, u64::from(idle));
        simulator.settle()?;
        let found = outputs.map(|port| simulator.get(port) == 1);
        ensure(found == [stopped, working], || {
            let expected = [stopped, working];
            format!(
                "{}: cycle {cycle}: stopped_o, restart_n_o are {found:?}, expected {expected:?}",
                design.top
            )
        })?;
        simulator.tick()?;
        stopped = stop && (idle || stopped);
        working = !stopped;
    }
    Ok(Report {
        words: options.cases as u64,
        cycles: simulator.cycle(),
        ..Report::default()
    })
}
