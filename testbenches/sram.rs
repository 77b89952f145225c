//! Testbench of the SRAM wrappers: random writes and reads, never one address in one cycle but for the last access,
//! which must end the simulation.

use rand::{Rng, RngExt};

use super::harness::{ensure, start};
use super::{BenchError, Options, Report};
use crate::cells::sram::{self, SinglePortSram, Sram, SramModel};
use crate::config::Config;
use crate::cosim::{Design, Simulator};
use crate::hdl::elaborate;

/// Runs both wrappers on the words of the K buffer's depth, and on 3 words.
///
/// # Errors
/// [`BenchError`]: a tool fails, a word read is wrong, or a forbidden access goes unseen.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut reports = Vec::new();
    for depth in [config.buffers.key_lines, 3] {
        let two_ports = Sram {
            width: WIDTH,
            depth,
        };
        let design = Design::from(&elaborate(&two_ports));
        reports.push(check(depth, &design, options)?);
        let one_port = SinglePortSram {
            width: WIDTH,
            depth,
        };
        let design = Design::from(&elaborate(&one_port));
        reports.push(check(depth, &design, &options.untraced())?);
    }
    Ok(Report::of(reports))
}

/// Bits of a word that [`check`] expects.
pub const WIDTH: usize = 19;

/// A write of an address and word, and a read of an address, in one cycle.
type Accesses = (Option<(usize, u64)>, Option<usize>);

/// Whether the design writes at a port of its own.
fn has_two_ports(design: &Design) -> bool {
    design.port("write_address_i").is_some()
}

fn draw(two_ports: bool, depth: usize, random: &mut impl Rng) -> Accesses {
    let write = (
        random.random_range(0..depth),
        random.random_range(0..1 << WIDTH),
    );
    let write = random.random_bool(0.6).then_some(write);
    let read = random
        .random_bool(0.6)
        .then(|| random.random_range(0..depth));
    let may_read = |address: usize| match write {
        Some((written, _)) => two_ports && written != address,
        None => true,
    };
    (write, read.filter(|&address| may_read(address)))
}

/// Sets the ports for the accesses of a cycle. A port that is not enabled shows an access all the same.
fn drive(simulator: &mut Simulator, (write, read): Accesses) {
    let (written, word) = write.unwrap_or((0, 0));
    if has_two_ports(simulator.design()) {
        set(simulator, "write_enable_i", write.is_some().into());
        set(simulator, "write_address_i", written as u64);
        set(simulator, "read_enable_i", read.is_some().into());
        set(simulator, "read_address_i", read.unwrap_or(0) as u64);
    } else {
        let enable = write.is_some() || read.is_some();
        set(simulator, "enable_i", enable.into());
        set(simulator, "write_i", read.is_none().into());
        set(simulator, "address_i", read.unwrap_or(written) as u64);
    }
    set(simulator, "write_data_i", word);
}

fn set(simulator: &mut Simulator, port: &str, value: u64) {
    let port = simulator.port(port);
    simulator.set(port, value);
}

/// Runs on one design of `depth` words of [`WIDTH`] bits, which is a wrapper's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(depth: usize, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut simulator = start(design, options)?;
    let output = simulator.port("read_data_o");
    let mut model = SramModel::new(depth);
    let mut report = Report::default();
    report.notes.push(pace(depth, &mut simulator, &mut model)?);
    let mut random = options.random(1);
    while report.words < options.cases as u64 {
        let (write, read) = draw(has_two_ports(design), depth, &mut random);
        drive(&mut simulator, (write, read));
        simulator.tick()?;
        model.tick(write, read);
        // The word stays on the output until the next read, so it is compared in every cycle.
        if let Some(&expected) = model.read_data() {
            let got = simulator.get(output);
            ensure(got == expected, || {
                format!(
                    "{}: cycle {}: read {got:#x}, not {expected:#x}",
                    design.top,
                    simulator.cycle()
                )
            })?;
            report.words += u64::from(read.is_some());
        }
    }
    must_stop(&mut simulator, depth)?;
    report.cycles = simulator.cycle();
    Ok(report)
}

/// Writes a word of its own to every address in consecutive cycles, then reads them all in consecutive cycles: the words
/// must appear in turn, the first after the documented latency, the others after the documented interval each.
fn pace(
    depth: usize,
    simulator: &mut Simulator,
    model: &mut SramModel<u64>,
) -> Result<String, BenchError> {
    let word = |address: usize| !(address as u64) & ((1 << WIDTH) - 1);
    let mut access = |simulator: &mut Simulator, accesses: Accesses| {
        drive(simulator, accesses);
        model.tick(accesses.0, accesses.1);
        simulator.tick()
    };
    for address in 0..depth {
        access(simulator, (Some((address, word(address))), None))?;
    }
    let output = simulator.port("read_data_o");
    let first_read = simulator.cycle();
    let mut appeared = Vec::new();
    for cycle in 0..depth + PATIENCE {
        access(simulator, (None, (cycle < depth).then_some(cycle)))?;
        if appeared.len() < depth && simulator.get(output) == word(appeared.len()) {
            appeared.push(simulator.cycle() - first_read);
        }
    }
    let expected = (0..depth as u64).map(|address| sram::LATENCY + address * sram::INTERVAL);
    let expected: Vec<u64> = expected.collect();
    let top = &simulator.design().top;
    ensure(appeared == expected, || {
        format!(
            "{top}: words read in consecutive cycles appear {appeared:?} cycles after the first read, not {expected:?}"
        )
    })?;
    let (latency, interval) = (sram::LATENCY, sram::INTERVAL);
    Ok(format!("{top}: latency {latency}, interval {interval}"))
}

/// Cycles after the last access in which its word may still appear.
const PATIENCE: usize = 4;

/// A forbidden access ends the simulation: one address written and read at two ports, or one beyond the last word.
fn must_stop(simulator: &mut Simulator, depth: usize) -> Result<(), BenchError> {
    let message = if has_two_ports(simulator.design()) {
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
