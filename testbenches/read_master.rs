//! Testbench of the read master: reads of random places in a memory that stalls and reorders, against the memory's bytes;
//! and everything that the memory can do wrong.

use std::ops::Range;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::harness::{ensure, random_stalls, start};
use super::streams::{design, figure};
use super::{BenchError, Options, Report};
use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::fetch::{Fetch, ReadFault, ReadMaster};
use crate::config::Config;
use crate::cosim::memory::{
    AxiChannels, AxiLimits, AxiSlave, AxiStalls, Hbm2Timing, MemoryTiming, Response, SlaveFault,
    SlaveOptions,
};
use crate::cosim::{Bench, Design, Field, MemoryId, SinkId, SourceId, Stalls};

/// Runs on the configuration's read master, and on ports of 2 and of 5 reads, of one beat and of three.
///
/// # Errors
/// [`BenchError`]: a tool fails; a beat, an error record or a documented figure is wrong; a rule of AXI4 is broken.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = Fetch::new(config).read_master();
    let mut report = check(&used, &design(&used), options)?;
    for (outstanding, burst_beats) in [(2, 1), (5, 3)] {
        let corner = ReadMaster {
            address_bits: 20,
            outstanding,
            burst_beats,
            tag_bits: 9,
            timeout: 1024,
        };
        let outcome = check(&corner, &design(&corner), &options.untraced())?;
        report.add(outcome.without_notes());
    }
    Ok(report)
}

/// Runs on one design, which is the read master's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(block: &ReadMaster, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut report = Report::default();
    report.notes.push(latency(block, design, options)?);
    report
        .notes
        .push(interval(block, design, &options.untraced())?);
    let mut random = options.random(1);
    let timings = [
        MemoryTiming::Fixed(1),
        MemoryTiming::Fixed(30),
        MemoryTiming::Hbm2(Hbm2Timing::default()),
    ];
    for timing in timings {
        let mut port = Port::attach(block, design, &options.untraced(), timing)?;
        let words = options.cases as u64 / 3 + 1;
        let begin = report.words;
        while report.words < begin + words {
            report.words += port.random_round(&mut random)?;
        }
        report.cycles += port.bench.simulator().cycle();
    }
    let timing = MemoryTiming::Fixed(8);
    let mut port = Port::attach(block, design, &options.untraced(), timing)?;
    report.words += port.every_fault(&mut random)?;
    report.cycles += port.bench.simulator().cycle();
    Ok(report)
}

/// A read to be made; its tag is its index in the round.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// In beats.
    address: u64,
    beats: usize,
}

/// Values of a beat on the stream: eight words of data, the tag and the last flag.
const BEAT_VALUES: usize = 10;
/// Places that reads go to, in beats; 4 KB pages are whole.
const PLACES: u64 = 1 << 12;

struct Port<'a> {
    block: &'a ReadMaster,
    bench: Bench,
    memory: MemoryId,
    request: SourceId,
    beat: SinkId,
    error: SinkId,
}

impl<'a> Port<'a> {
    fn attach(
        block: &'a ReadMaster,
        design: &Design,
        options: &Options,
        timing: MemoryTiming,
    ) -> Result<Self, BenchError> {
        let mut bench = Bench::new(start(design, options)?, options.seed);
        let fields = block.request_fields();
        let bits = |index: usize| fields[index].ty.width;
        let request = [
            Field::unsigned("address", bits(0)),
            Field::unsigned("length", bits(1)),
            Field::unsigned("tag", block.tag_bits),
        ];
        let beat = [
            Field::unsigned("data", 32).lanes(8),
            Field::unsigned("tag", block.tag_bits),
            Field::unsigned("last", 1),
        ];
        let error = [
            Field::unsigned("kind", ReadFault::BITS),
            Field::unsigned("id", block.id_bits()),
            Field::unsigned("address", bits(0)),
        ];
        let limits = AxiLimits {
            id_bits: block.id_bits(),
            address_bits: block.address_bits,
            burst_beats: block.burst_beats,
            reads: block.outstanding,
            writes: 0,
        };
        let slave = AxiSlave::new(SlaveOptions::new(timing, options.seed));
        Ok(Port {
            block,
            memory: bench.memory("", AxiChannels::Read, limits, slave),
            request: bench.source("request", &request),
            beat: bench.sink("beat", &beat),
            error: bench.sink("error", &error),
            bench,
        })
    }

    fn reset(&mut self) -> Result<(), BenchError> {
        self.set("stop_i", 0);
        Ok(self.bench.reset(2)?)
    }

    fn set(&mut self, port: &str, value: u64) {
        let port = self.bench.simulator().port(port);
        self.bench.simulator().set(port, value);
    }

    fn is_idle(&mut self) -> bool {
        let port = self.bench.simulator().port("idle_o");
        self.bench.simulator().get(port) == 1
    }

    fn requests(&self, count: usize, random: &mut impl Rng) -> Vec<Request> {
        let request = |_| {
            let beats = random.random_range(1..=self.block.burst_beats);
            let page = 4096 / BEAT_BYTES as u64;
            let in_page = random.random_range(0..=page - beats as u64);
            let address = random.random_range(0..PLACES / page) * page + in_page;
            Request { address, beats }
        };
        (0..count).map(request).collect()
    }

    /// Sends the requests of these indices.
    fn send(&mut self, requests: &[Request], indices: Range<usize>) {
        let word = |tag: usize| {
            let Request { address, beats } = requests[tag];
            [address as i64, beats as i64 - 1, tag as i64]
        };
        self.bench.send(self.request, indices.map(word));
    }

    /// Tags of the reads that came whole, in their order, after comparing every beat with the memory. A read may be
    /// broken off where `broken` says so.
    fn answered(&mut self, requests: &[Request], broken: bool) -> Result<Vec<usize>, BenchError> {
        let design = self.bench.simulator().design().top.clone();
        let collected = self.bench.collected(self.beat).to_vec();
        let mut answered = Vec::new();
        let mut place = (0, 0);
        for (index, word) in collected.chunks(BEAT_VALUES).enumerate() {
            let (tag, last) = (word[8] as usize, word[9] == 1);
            let wrong = |what: String| {
                BenchError::Mismatch(format!(
                    "{design}: stream `beat`, word {index}, tag {tag}: {what}"
                ))
            };
            let request = requests
                .get(tag)
                .ok_or_else(|| wrong("no such request".into()))?;
            let beat = if place.0 == tag { place.1 } else { 0 };
            if place.1 > 0 && beat == 0 && !broken {
                return Err(wrong(format!("inside the read of tag {}", place.0)));
            }
            let address = (request.address + beat as u64) * BEAT_BYTES as u64;
            let bytes = self
                .bench
                .slave(self.memory)
                .memory()
                .read(address, BEAT_BYTES);
            for (lane, bytes) in bytes.chunks(4).enumerate() {
                let expected = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                if word[lane] != i64::from(expected) {
                    return Err(wrong(format!(
                        "beat {beat}, lane {lane}: expected {expected}, got {}",
                        word[lane]
                    )));
                }
            }
            if last != (beat + 1 == request.beats) {
                return Err(wrong(format!(
                    "last is {last} on beat {beat} of {}",
                    request.beats
                )));
            }
            place = if last { (0, 0) } else { (tag, beat + 1) };
            answered.extend(last.then_some(tag));
        }
        Ok(answered)
    }

    /// Reads under stalls of every kind, sometimes reordered; a reset in mid-stream comes first. Beats compared.
    fn random_round(&mut self, random: &mut ChaCha8Rng) -> Result<u64, BenchError> {
        let count = 300.min(1 << self.block.tag_bits);
        let requests = self.requests(count, random);
        self.reset()?;
        self.send(&requests, 0..count);
        self.bench.collect(self.beat, usize::MAX / 2);
        self.bench.run_for(random.random_range(1..200))?;

        self.reset()?;
        let reorder = [0, 0, 40][random.random_range(0..3)];
        let stalls = AxiStalls {
            read_address: random_stalls(random),
            read_data: random_stalls(random),
            ..AxiStalls::all(Stalls::NONE)
        };
        let slave = self.bench.slave(self.memory);
        slave.reorder(reorder);
        slave.stall(stalls);
        self.bench.stall_source(self.request, random_stalls(random));
        self.bench.stall_sink(self.beat, random_stalls(random));
        self.send(&requests, 0..count);
        let beats: usize = requests.iter().map(|request| request.beats).sum();
        self.bench.collect(self.beat, beats);
        self.bench.run(1000 + 300 * beats as u64)?;
        self.bench.run_for(20)?;

        let mut answered = self.answered(&requests, false)?;
        let in_order = answered.is_sorted();
        answered.sort_unstable();
        let design = self.bench.simulator().design().top.clone();
        ensure(answered.iter().copied().eq(0..count), || {
            format!("{design}: not every read is answered once")
        })?;
        let fixed = reorder == 0 && self.is_fixed();
        ensure(in_order || !fixed, || {
            format!("{design}: answers are not in the order of the memory")
        })?;
        Ok(beats as u64)
    }

    fn is_fixed(&mut self) -> bool {
        matches!(
            self.bench.slave(self.memory).timing(),
            MemoryTiming::Fixed(_)
        )
    }

    /// Every fault of the memory: the record names it, what is under way drains, and the requests that follow are
    /// answered. Beats compared.
    fn every_fault(&mut self, random: &mut ChaCha8Rng) -> Result<u64, BenchError> {
        let respond = |response| SlaveFault::Respond { beat: 1, response };
        // An id that the first reads after a reset do not use.
        let id = self.block.outstanding as u16 - 1;
        let mut beats = 0;
        for (fault, kind, after) in [
            (respond(Response::SlaveError), ReadFault::SlaveError, 9),
            (respond(Response::DecodeError), ReadFault::DecodeError, 14),
            (SlaveFault::WrongLast, ReadFault::WrongLast, 7),
            (SlaveFault::StrayAnswer { id }, ReadFault::UnknownId, 0),
        ] {
            self.reset()?;
            self.quiet();
            let requests = self.requests(60, random);
            self.bench.slave(self.memory).fail_read(after, fault);
            beats += self.fault(&requests, kind, Some(after as usize))?;
        }
        if self.block.burst_beats > 1 {
            self.reset()?;
            self.quiet();
            self.bench.slave(self.memory).interleave(0.9);
            let mut requests = self.requests(60, random);
            for request in &mut requests {
                let page = 4096 / BEAT_BYTES as u64;
                request.beats = self.block.burst_beats;
                request.address -= request.address % page;
            }
            beats += self.fault(&requests, ReadFault::Interleaved, None)?;
        }
        beats += self.stopped(random)?;
        beats += self.silence(random)?;
        Ok(beats)
    }

    /// Stopped in mid-stream without an error: what is under way is thrown away, what follows is answered.
    fn stopped(&mut self, random: &mut impl Rng) -> Result<u64, BenchError> {
        self.reset()?;
        self.quiet();
        let requests = self.requests(60, random);
        self.send(&requests, 0..requests.len());
        self.bench.collect(self.beat, usize::MAX / 2);
        self.bench.run_for(40)?;
        self.set("stop_i", 1);
        self.bench.run_for(3)?;
        let left = self.bench.collected(self.beat).len();
        let taken = self.bench.source_cycles(self.request).len();
        self.bench.run_for(200)?;
        let design = self.bench.simulator().design().top.clone();
        // One beat can wait at the output.
        let thrown_away = self.bench.collected(self.beat).len() <= left + BEAT_VALUES;
        ensure(thrown_away, || {
            format!("{design}: beats leave a stopped port")
        })?;
        ensure(self.is_idle(), || {
            format!("{design}: does not drain when stopped")
        })?;
        let before = self.answered(&requests, true)?.len();
        self.set("stop_i", 0);
        self.bench.run_for(3000)?;
        let answered = self.answered(&requests, true)?;
        let rest = answered[before..].iter().copied();
        ensure(rest.eq(taken..requests.len()), || {
            format!("{design}: stopped after {taken} requests, answered {answered:?}")
        })?;
        Ok(self.bench.collected(self.beat).len() as u64 / BEAT_VALUES as u64)
    }

    /// Without stalls and reordering.
    fn quiet(&mut self) {
        let slave = self.bench.slave(self.memory);
        slave.stall(AxiStalls::all(Stalls::NONE));
        slave.reorder(0);
        slave.interleave(0.0);
        self.bench.stall_source(self.request, Stalls::NONE);
        self.bench.stall_sink(self.beat, Stalls::random(0.2));
        self.bench.stall_sink(self.error, Stalls::random(0.5));
    }

    /// Runs into a fault of read `failing`, if that is known, and on after it.
    fn fault(
        &mut self,
        requests: &[Request],
        kind: ReadFault,
        failing: Option<usize>,
    ) -> Result<u64, BenchError> {
        self.run_to_error(requests, kind, failing)?;
        self.set("stop_i", 1);
        let mut idle = false;
        for _ in 0..500 {
            self.bench.step()?;
            idle |= self.is_idle();
        }
        let design = self.bench.simulator().design().top.clone();
        ensure(idle && self.is_idle(), || {
            format!("{design}: does not drain after {kind:?}")
        })?;
        let taken = self.bench.source_cycles(self.request).len();
        let before = self.answered(requests, true)?.len();
        self.bench.slave(self.memory).interleave(0.0);
        if kind == ReadFault::UnknownId {
            self.send(requests, 1..requests.len());
        }
        self.set("stop_i", 0);
        self.bench.run_for(3000)?;
        let answered = self.answered(requests, true)?;
        ensure(
            answered[before..].iter().copied().eq(taken..requests.len()),
            || {
                format!(
                    "{design}: after {kind:?} and {taken} requests the reads {:?} are answered",
                    &answered[before..]
                )
            },
        )?;
        let records = self.bench.collected(self.error).len();
        ensure(records == 3, || {
            format!("{design}: {kind:?} is reported {} times", records / 3)
        })?;
        Ok(self.bench.collected(self.beat).len() as u64 / BEAT_VALUES as u64)
    }

    /// Sends the requests and runs until the record of the fault has come; checks it.
    fn run_to_error(
        &mut self,
        requests: &[Request],
        kind: ReadFault,
        failing: Option<usize>,
    ) -> Result<(), BenchError> {
        // A stray id must be one of which no read is under way: the other requests come later.
        let first = if kind == ReadFault::UnknownId {
            1
        } else {
            requests.len()
        };
        self.send(requests, 0..first);
        self.bench.collect(self.beat, usize::MAX / 2);
        self.bench.collect(self.error, usize::MAX / 2);
        let limit = 2000 + 2 * self.block.timeout;
        for _ in 0..limit {
            if !self.bench.collected(self.error).is_empty() {
                break;
            }
            self.bench.step()?;
        }
        let record = self.bench.collected(self.error).to_vec();
        let design = self.bench.simulator().design().top.clone();
        let wrong = || format!("{design}: {kind:?} of read {failing:?} is reported as {record:?}");
        ensure(record.first() == Some(&(kind.code() as i64)), wrong)?;
        let address = match (kind, failing) {
            (ReadFault::UnknownId, _) => Some(0),
            (_, Some(failing)) => Some(requests[failing].address),
            _ => None,
        };
        ensure(
            address.is_none_or(|address| record[2] == address as i64),
            wrong,
        )?;
        let stray = self.block.outstanding as i64 - 1;
        ensure(kind != ReadFault::UnknownId || record[1] == stray, wrong)?;
        let taken = self.bench.source_cycles(self.request).len();
        self.bench.run_for(50)?;
        let later = self.bench.source_cycles(self.request).len();
        ensure(later <= taken + 1, || {
            format!("{design}: takes requests after {kind:?}")
        })
    }

    /// A read that is never answered is named after the timeout; only a reset helps.
    fn silence(&mut self, random: &mut ChaCha8Rng) -> Result<u64, BenchError> {
        // A long timeout would be long to wait for.
        if self.block.timeout > 1 << 12 {
            return Ok(0);
        }
        self.reset()?;
        self.quiet();
        let requests = self.requests(60, random);
        let fault = SlaveFault::Silence;
        self.bench.slave(self.memory).fail_read(6, fault);
        self.run_to_error(&requests, ReadFault::Silence, None)?;
        let record = self.bench.collected(self.error).to_vec();
        let design = self.bench.simulator().design().top.clone();
        let named = requests[6].address as i64;
        ensure(record[2] == named, || {
            format!("{design}: read 6 at {named} is silent, reported is {record:?}")
        })?;
        self.set("stop_i", 1);
        for _ in 0..200 {
            self.bench.step()?;
            let idle = self.is_idle();
            ensure(!idle, || format!("{design}: is idle with a read under way"))?;
        }
        self.random_round(random)
    }
}

/// A read of one beat through the empty port: request, address, memory, beat.
fn latency(block: &ReadMaster, design: &Design, options: &Options) -> Result<String, BenchError> {
    let memory = 10;
    let mut port = Port::attach(block, design, options, MemoryTiming::Fixed(memory))?;
    port.reset()?;
    let request = Request {
        address: 5,
        beats: 1,
    };
    port.send(&[request], 0..1);
    port.bench.collect(port.beat, 1);
    port.bench.run(100)?;
    let span = port.bench.sink_cycles(port.beat)[0] - port.bench.source_cycles(port.request)[0];
    let documented = ReadMaster::REQUEST_LATENCY + ReadMaster::DATA_LATENCY;
    let what = "latency besides the memory's";
    figure(design, what, documented as usize, span - memory)
}

/// Reads of one beat, as many as the port can have under way at a short latency: one per cycle.
fn interval(block: &ReadMaster, design: &Design, options: &Options) -> Result<String, BenchError> {
    let mut port = Port::attach(block, design, options, MemoryTiming::Fixed(1))?;
    port.reset()?;
    let requests: Vec<Request> = (0..200)
        .map(|address| Request { address, beats: 1 })
        .collect();
    port.send(&requests, 0..requests.len());
    port.bench.collect(port.beat, requests.len());
    port.bench.run(2000)?;
    let cycles = port.bench.sink_cycles(port.beat);
    let span = cycles[cycles.len() - 1] - cycles[0];
    // Cycles from a request to the first one that can use its id again: address, memory, data, and two for the list of
    // free ids.
    let round_trip = 5;
    let waits = round_trip.max(block.outstanding);
    let expected = 199 / block.outstanding * waits + 199 % block.outstanding;
    let what = format!("200 reads of one beat, {} under way", block.outstanding);
    figure(design, &what, expected, span)
}
