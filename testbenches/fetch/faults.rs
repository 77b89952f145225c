//! Memories that fail under the fetcher, and stops from outside: what is told of it, how the ports drain, and what a restart
//! or a reset leaves behind.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::super::BenchError;
use super::super::harness::{ensure, random_stalls};
use super::jobs::{ChannelTraffic, Jobs};
use super::ports::Ports;
use super::{prepare, to_the_end};
use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::fetch::{Fetch, ReadFault};
use crate::cosim::memory::{AxiSlave, ReadMisdeed, Response, SlaveFault};

/// Cycles within which a port tells of data that its memory has offered.
const TELLING: u64 = 200;
/// Cycles within which stopped ports have drained, whatever the memories' latency and stalls.
const DRAINING: u64 = 10_000;
/// A timeout that a testbench waits for.
const SHORT_TIMEOUT: usize = 1 << 12;

/// What ends a round before its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Memories make ports tell this.
    Fault(ReadFault),
    /// The ports are stopped, or all is reset, without an error.
    Stop,
}

/// What was told in all rounds.
#[derive(Default)]
struct Told {
    records: BTreeMap<u64, usize>,
    stops: usize,
    /// Restarts of all but the ports.
    restarts: usize,
    vectors: usize,
}

/// At least `rounds` rounds that end in trouble, each kind in turn, at a random time and on random ports; every other time the
/// next trouble follows at once, else jobs that run to their end.
///
/// # Errors
/// [`BenchError`]: an error record, a line before or after the trouble is wrong; the ports do not drain.
pub fn rounds(
    ports: &mut Ports,
    random: &mut impl Rng,
    rounds: usize,
) -> Result<String, BenchError> {
    let troubles = troubles(ports.fetch);
    let mut told = Told::default();
    let rounds = rounds.next_multiple_of(troubles.len()).max(troubles.len());
    ports.reset()?;
    for round in 0..rounds {
        let trouble = troubles[round % troubles.len()];
        let ended = end_in(trouble, ports, random, &mut told);
        ended.map_err(|error| told_with("up to", trouble, error))?;
        if random.random_bool(0.5) || round + 1 == rounds {
            let jobs = prepare(ports, random);
            let compared = to_the_end(ports, &jobs);
            let compared = compared.map_err(|error| told_with("after", trouble, error));
            told.vectors += compared? as usize;
            ports.forget();
        }
    }
    told.note(&troubles, rounds)
}

/// The kinds of trouble that this fetcher can meet within a testbench's time.
fn troubles(fetch: &Fetch) -> Vec<Trouble> {
    let faults = possible(fetch).into_iter().map(Trouble::Fault);
    faults.chain([Trouble::Stop]).collect()
}

/// The faults that can be seeded into the memories of this fetcher, and are told within a testbench's time.
pub fn possible(fetch: &Fetch) -> Vec<ReadFault> {
    let can_be = |fault: &ReadFault| match fault {
        ReadFault::UnknownId => stray_id(fetch).is_some(),
        ReadFault::Interleaved => fetch.read_master().burst_beats > 1,
        ReadFault::Silence => fetch.timeout <= SHORT_TIMEOUT,
        _ => true,
    };
    ReadFault::ALL.into_iter().filter(can_be).collect()
}

/// An id that no read ever has, if ids leave one over.
pub fn stray_id(fetch: &Fetch) -> Option<u16> {
    let id = (1 << fetch.read_master().id_bits()) - 1;
    (id >= fetch.outstanding).then_some(id as u16)
}

/// The error with the trouble near which it came.
fn told_with(place: &str, trouble: Trouble, error: BenchError) -> BenchError {
    match error {
        BenchError::Mismatch(what) => BenchError::Mismatch(format!("{place} {trouble:?}: {what}")),
        other => other,
    }
}

/// Runs jobs into trouble, and leaves the fetcher ready for the next ones.
fn end_in(
    trouble: Trouble,
    ports: &mut Ports,
    random: &mut impl Rng,
    told: &mut Told,
) -> Result<(), BenchError> {
    let jobs = prepare(ports, random);
    if let Trouble::Fault(fault) = trouble {
        seed(fault, ports, &jobs, random);
    }
    ports.send(&jobs);
    ports.collect(&jobs);
    ports.bench.collect(ports.error, usize::MAX / 2);
    ports.bench.stall_sink(ports.error, random_stalls(random));
    match trouble {
        Trouble::Stop => ports.bench.run_for(random.random_range(1..600))?,
        Trouble::Fault(fault) => run_to_error(fault, ports, &jobs)?,
    }
    let certain = go_on(ports, random)?;
    if trouble == Trouble::Stop && random.random_bool(0.3) {
        told.vectors += ports.compare(&jobs)?;
        told.stops += 1;
        return ports.reset();
    }
    let drained = drain(ports)?;
    told.vectors += ports.compare(&jobs)?;
    check_records(ports, &certain, told)?;
    told.stops += usize::from(trouble == Trouble::Stop);
    if drained && random.random_bool(0.7) {
        told.restarts += 1;
        return ports.restart();
    }
    ports.reset()
}

/// Goes on for a while, in which other ports may fail; those whose memories have been wrong for so long that it must be told.
fn go_on(ports: &mut Ports, random: &mut impl Rng) -> Result<Vec<usize>, BenchError> {
    let certain = sent_wrong(ports);
    let cycles = match random.random_range(0..3) {
        0 => TELLING,
        1 => random.random_range(0..60),
        _ => 0,
    };
    ports.bench.run_for(cycles)?;
    Ok(match cycles {
        TELLING => certain,
        _ => Vec::new(),
    })
}

/// Seeds a fault into one memory, and faults of this or of any kind into up to two others.
fn seed(fault: ReadFault, ports: &mut Ports, jobs: &Jobs, random: &mut impl Rng) {
    let traffic = jobs.traffic(ports.fetch);
    let mut channels: Vec<usize> = (0..traffic.len())
        .filter(|&channel| traffic[channel].reads > 0)
        .collect();
    channels.shuffle(random);
    if fault != ReadFault::Interleaved {
        channels.truncate(random.random_range(1..=3));
    }
    let stray = stray_id(ports.fetch);
    let mut others = possible(ports.fetch);
    others.retain(|other| *other != ReadFault::Interleaved);
    let mixed = fault != ReadFault::Interleaved && random.random_bool(0.3);
    for (index, channel) in channels.into_iter().enumerate() {
        let fault = match mixed && index > 0 {
            true => others[random.random_range(0..others.len())],
            false => fault,
        };
        let ChannelTraffic { reads, .. } = traffic[channel];
        let slave = ports.bench.slave(ports.memories[channel]);
        // Of two silent reads either may be named.
        let count = match fault {
            ReadFault::Silence => 1,
            _ => random.random_range(1..=2),
        };
        for _ in 0..count {
            let read = random.random_range(0..reads);
            let beat = random.random_range(0..4);
            seed_one(slave, (fault, read, beat), stray);
        }
    }
}

/// Seeds a fault into one read of a memory, and into one of its beats, or into all reads where they interleave.
pub fn seed_one(
    slave: &mut AxiSlave,
    (fault, read, beat): (ReadFault, u64, usize),
    stray: Option<u16>,
) {
    let respond = |response| SlaveFault::Respond { beat, response };
    let fault = match fault {
        ReadFault::UnknownId => SlaveFault::StrayAnswer {
            id: stray.expect("such faults only where there is one"),
        },
        ReadFault::Interleaved => return slave.interleave(0.5),
        ReadFault::SlaveError => respond(Response::SlaveError),
        ReadFault::DecodeError => respond(Response::DecodeError),
        ReadFault::WrongLast => SlaveFault::WrongLast,
        ReadFault::Silence => SlaveFault::Silence,
    };
    slave.fail_read(read, fault);
}

/// Runs until a port tells an error. Where data may interleave, but did not, all reads are answered in the end.
fn run_to_error(fault: ReadFault, ports: &mut Ports, jobs: &Jobs) -> Result<(), BenchError> {
    let reads: u64 = jobs.traffic(ports.fetch).iter().map(|t| t.reads).sum();
    let limit = 20_000 + 400 * reads + 4 * ports.fetch.timeout as u64;
    for _ in 0..limit {
        if !ports.bench.collected(ports.error).is_empty() {
            return Ok(());
        }
        ports.bench.step()?;
        let taken: u64 = ports.bench.slaves().map(|slave| slave.reads_taken()).sum();
        if taken == reads && ports.reads_open() == 0 && sent_wrong(ports).is_empty() {
            let may_be = fault == ReadFault::Interleaved;
            return ensure(may_be, || format!("{fault:?} has not happened"));
        }
    }
    ensure(false, || format!("{fault:?} is not told in {limit} cycles"))
}

/// The ports whose memories have sent something wrong.
fn sent_wrong(ports: &mut Ports) -> Vec<usize> {
    let is_sent = |misdeed: &Option<ReadMisdeed>| {
        misdeed.is_some_and(|misdeed| !matches!(misdeed, ReadMisdeed::Silence { .. }))
    };
    let misdeeds = ports.misdeeds().into_iter().enumerate();
    let wrong = misdeeds.filter(|(_, misdeed)| is_sent(misdeed));
    wrong.map(|(port, _)| port).collect()
}

/// Stops the ports; whether they have drained, which they must unless a memory is silent.
fn drain(ports: &mut Ports) -> Result<bool, BenchError> {
    ports.stop(true);
    let mut waited = 0;
    // Addresses that stand already are still taken, and their reads may be silent.
    while !ports.is_idle() && waited < if is_silent(ports) { 1000 } else { DRAINING } {
        ports.bench.step()?;
        waited += 1;
    }
    // Records may still be on their way.
    ports.bench.run_for(TELLING)?;
    let open = ports.reads_open();
    let drained = ports.is_idle();
    ensure(
        drained == (open == 0) && drained != is_silent(ports),
        || format!("stopped for {waited} cycles: idle is {drained} with {open} reads under way"),
    )?;
    Ok(drained)
}

/// Whether a memory has taken a read that it never answers.
fn is_silent(ports: &mut Ports) -> bool {
    let misdeeds = ports.misdeeds();
    let silent = |misdeed: &_| matches!(misdeed, Some(ReadMisdeed::Silence { .. }));
    misdeeds.iter().any(silent)
}

/// Holds all records against what the memories did first; those of the ports in `certain` must be there.
fn check_records(ports: &mut Ports, certain: &[usize], told: &mut Told) -> Result<(), BenchError> {
    let words = ports.bench.collected(ports.error).to_vec();
    let records: Vec<&[i64]> = words.chunks(4).collect();
    let misdeeds = ports.misdeeds();
    let mut seen = vec![false; misdeeds.len()];
    for record in records {
        let (port, kind) = (record[0] as usize, record[1] as u64);
        let misdeed = misdeeds[port];
        let expected = misdeed.map(expected_record);
        let is_it = expected.is_some_and(|(kind, id, address)| {
            [record[1], record[3]] == [kind.code() as i64, address as i64]
                && id.is_none_or(|id| record[2] == i64::from(id))
        });
        ensure(is_it && !seen[port], || {
            format!("error record (port, kind, id, address / 32) {record:?} of {misdeed:x?}")
        })?;
        seen[port] = true;
        *told.records.entry(kind).or_default() += 1;
    }
    let missing = certain.iter().find(|&&port| !seen[port]);
    ensure(missing.is_none(), || {
        format!("no error record of port {missing:?}, whose memory did {misdeeds:x?}")
    })
}

/// What a port tells of its memory's misdeed: kind, id where it is known, and address / 32.
pub fn expected_record(misdeed: ReadMisdeed) -> (ReadFault, Option<u16>, u64) {
    let (fault, id, address) = match misdeed {
        ReadMisdeed::Stray { id } => (ReadFault::UnknownId, Some(id), 0),
        ReadMisdeed::Interleaved { address } => (ReadFault::Interleaved, None, address),
        ReadMisdeed::Response { response, address } => match response {
            Response::DecodeError => (ReadFault::DecodeError, None, address),
            _ => (ReadFault::SlaveError, None, address),
        },
        ReadMisdeed::WrongLast { address } => (ReadFault::WrongLast, None, address),
        ReadMisdeed::Silence { address } => (ReadFault::Silence, None, address),
    };
    (fault, id, address / BEAT_BYTES as u64)
}

impl Told {
    /// A note for the report.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`] when a kind of trouble was never told.
    fn note(&self, troubles: &[Trouble], rounds: usize) -> Result<String, BenchError> {
        let mut note = format!(
            "{rounds} rounds that break off, {} restarts, {} vectors exact; told:",
            self.restarts, self.vectors
        );
        for trouble in troubles {
            let (name, count) = match trouble {
                Trouble::Fault(fault) => {
                    let count = self.records.get(&fault.code()).copied();
                    (format!("{fault:?}"), count.unwrap_or(0))
                }
                Trouble::Stop => ("stops".to_owned(), self.stops),
            };
            // Another port's error may come first in a single round.
            ensure(count > 0 || rounds < 4 * troubles.len(), || {
                format!("{trouble:?} was never told")
            })?;
            write!(note, " {name} {count}").expect("a string takes all");
        }
        Ok(note)
    }
}
