//! Testbench of the SRAM wrappers: random writes and reads, never one address in one cycle but for the last access,
//! which must end the simulation.

use rand::{Rng, RngExt};

use super::harness::{ensure, start};
use super::{BenchError, Options, Report};
use crate::cells::sram::{SinglePortSram, Sram, SramModel};
use crate::config::Config;
use crate::cosim::{Design, Simulator};
use crate::hdl::elaborate;

/// Runs both wrappers on the words of the K buffer's depth, and on 3 words.
///
/// # Errors
/// [`BenchError`]: a tool fails, a word read is wrong, or a forbidden access goes unseen.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut report = Report::default();
    for depth in [config.buffers.key_lines, 3] {
        let two_ports = Sram {
            width: WIDTH,
            depth,
        };
        let design = Design::from(&elaborate(&two_ports));
        report.add(check(depth, &design, options, two_port_cycle)?);
        let one_port = SinglePortSram {
            width: WIDTH,
            depth,
        };
        let design = Design::from(&elaborate(&one_port));
        report.add(check(depth, &design, &options.untraced(), one_port_cycle)?);
    }
    Ok(report)
}

/// Bits of a word.
const WIDTH: usize = 19;

/// A write of an address and word, and a read of an address, in one cycle.
type Accesses = (Option<(usize, u64)>, Option<usize>);

/// Draws the accesses of a cycle and sets the ports for them.
type Cycle = fn(&mut Simulator, usize, &mut dyn Rng) -> Accesses;

fn two_port_cycle(simulator: &mut Simulator, depth: usize, random: &mut dyn Rng) -> Accesses {
    let write = (
        random.random_range(0..depth),
        random.random_range(0..1 << WIDTH),
    );
    let write = random.random_bool(0.6).then_some(write);
    let read = random
        .random_bool(0.6)
        .then(|| random.random_range(0..depth));
    let read = read.filter(|&address| write.is_none_or(|(written, _)| written != address));
    set(simulator, "write_enable_i", write.is_some().into());
    set(
        simulator,
        "write_address_i",
        write.map_or(0, |w| w.0 as u64),
    );
    set(simulator, "write_data_i", write.map_or(0, |w| w.1));
    set(simulator, "read_enable_i", read.is_some().into());
    set(simulator, "read_address_i", read.unwrap_or(0) as u64);
    (write, read)
}

fn one_port_cycle(simulator: &mut Simulator, depth: usize, random: &mut dyn Rng) -> Accesses {
    let address = random.random_range(0..depth);
    let word = random.random_range(0..1 << WIDTH);
    let (enable, write) = (random.random_bool(0.8), random.random_bool(0.5));
    set(simulator, "enable_i", enable.into());
    set(simulator, "write_i", write.into());
    set(simulator, "address_i", address as u64);
    set(simulator, "write_data_i", word);
    (
        (enable && write).then_some((address, word)),
        (enable && !write).then_some(address),
    )
}

fn set(simulator: &mut Simulator, port: &str, value: u64) {
    let port = simulator.port(port);
    simulator.set(port, value);
}

fn check(
    depth: usize,
    design: &Design,
    options: &Options,
    draw: Cycle,
) -> Result<Report, BenchError> {
    let mut simulator = start(design, options)?;
    let output = simulator.port("read_data_o");
    let mut model = SramModel::new(depth);
    let mut random = options.random(1);
    let mut report = Report::default();
    while report.words < options.cases as u64 {
        let (write, read) = draw(&mut simulator, depth, &mut random);
        simulator.tick()?;
        model.tick(write, read);
        report.cycles += 1;
        // The word stays on the output until the next read, so it is compared in every cycle.
        if let Some(&expected) = model.read_data() {
            let got = simulator.get(output);
            ensure(got == expected, || {
                format!(
                    "{}: cycle {}: read {got:#x}, not {expected:#x}",
                    design.top, report.cycles
                )
            })?;
            report.words += u64::from(read.is_some());
        }
    }
    must_stop(&mut simulator, depth)?;
    report.notes.push(format!("{}: latency 1", design.top));
    Ok(report)
}

/// A forbidden access ends the simulation: one address written and read at two ports, or one beyond the last word.
fn must_stop(simulator: &mut Simulator, depth: usize) -> Result<(), BenchError> {
    let two_ports = simulator.design().port("write_address_i").is_some();
    let message = if two_ports {
        for enable in ["write_enable_i", "read_enable_i"] {
            set(simulator, enable, 1);
        }
        for address in ["write_address_i", "read_address_i"] {
            set(simulator, address, depth as u64 - 1);
        }
        "one address is written and read in one cycle"
    } else if depth.is_power_of_two() {
        return Ok(());
    } else {
        set(simulator, "enable_i", 1);
        set(simulator, "address_i", depth as u64);
        "an address beyond the last word is accessed"
    };
    let stopped = simulator.tick().err();
    let is_seen = stopped
        .as_ref()
        .is_some_and(|s| s.message.contains(message));
    ensure(is_seen, || {
        format!(
            "{}: {message}, and the simulation gave {stopped:?}",
            simulator.design().top
        )
    })
}
