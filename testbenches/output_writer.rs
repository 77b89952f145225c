//! Testbench of the output writer: rows against the bytes in the memories behind all ports, and everything that a memory can
//! do wrong.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::harness::{ensure, random_stalls, start};
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::fetch::{Fetch, Placement, VectorFormat};
use crate::accelerator::output::{OutputWriter, WriteFault};
use crate::accelerator::shape::ArrayShape;
use crate::config::Config;
use crate::cosim::memory::{
    AxiChannels, AxiLimits, AxiSlave, AxiStalls, Hbm2Timing, MemoryTiming, Response, SlaveFault,
    SlaveOptions,
};
use crate::cosim::{Bench, Design, Field, MemoryId, SinkId, SourceId, Stalls};
use crate::numerics::index_bits;

/// Rows of a round.
const ROUND: usize = 200;

/// Runs on the configuration's writer, on one of 32 lanes and 4 channels, and on one of a lane and a channel.
///
/// # Errors
/// [`BenchError`]: a tool fails; a row, an error record or a documented figure is wrong; a rule of AXI4 is broken.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = OutputWriter::new(config);
    let mut report = check(&used, &design(&used), options)?;
    for (lanes, channels, head_dims) in [(32, 4, vec![32, 128]), (1, 1, vec![32])] {
        let shape = ArrayShape {
            multipliers: 128,
            head_dims,
        };
        let corner = OutputWriter {
            shape: shape.clone(),
            fetch: Fetch {
                shape,
                channels,
                tokens: 50,
                address_bits: 20,
                timeout: 1024,
                ..Fetch::new(config)
            },
            lanes,
            element_bits: 7,
        };
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        report.add(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` words in rounds of random rows, stalls and memories; then the interval at full speed; then every
/// fault on every kind of port.
///
/// # Errors
/// As [`run`].
pub fn check(
    block: &OutputWriter,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut report = Report::default();
    let timings = [
        MemoryTiming::Fixed(1),
        MemoryTiming::Fixed(40),
        MemoryTiming::Hbm2(Hbm2Timing::default()),
    ];
    for (index, timing) in timings.into_iter().enumerate() {
        let options = if index == 0 {
            options
        } else {
            &options.untraced()
        };
        let mut writer = Writer::attach(block, design, options, timing)?;
        let target = report.words + options.cases as u64 / 3 + 1;
        while report.words < target {
            report.words += writer.random_round(&mut random)?;
        }
        report.cycles += writer.bench.simulator().cycle();
    }
    let timing = MemoryTiming::Fixed(8);
    let mut writer = Writer::attach(block, design, &options.untraced(), timing)?;
    report.notes.push(writer.interval(&mut random)?);
    writer.every_fault(&mut random)?;
    report.cycles += writer.bench.simulator().cycle();
    Ok(report)
}

/// A row of outputs and where it goes.
struct Row {
    base: u64,
    rotation: usize,
    level: usize,
    id: usize,
    outputs: Vec<i64>,
}

struct Writer<'a> {
    block: &'a OutputWriter,
    placement: Placement,
    bench: Bench,
    memories: Vec<MemoryId>,
    word: SourceId,
    row: SourceId,
    error: SinkId,
}

impl<'a> Writer<'a> {
    fn attach(
        block: &'a OutputWriter,
        design: &Design,
        options: &Options,
        timing: MemoryTiming,
    ) -> Result<Self, BenchError> {
        let fetch = &block.fetch;
        let mut bench = Bench::new(start(design, options)?, options.seed);
        let limits = AxiLimits {
            id_bits: block.master().id_bits,
            address_bits: fetch.address_bits,
            burst_beats: block.master().burst_beats,
            reads: 0,
            writes: block.master().outstanding,
        };
        let memories = (0..fetch.channels).map(|n| {
            let slave = AxiSlave::new(SlaveOptions::new(timing.clone(), options.seed + n as u64));
            bench.memory(&format!("mem{n}"), AxiChannels::Write, limits, slave)
        });
        let memories = memories.collect();
        let word = [
            Field::signed("data", block.element_bits).lanes(block.lanes),
            Field::unsigned("last", 1),
        ];
        let row: Vec<Field> = block.row_fields().iter().map(Field::from).collect();
        let error: Vec<Field> = block.error_fields().iter().map(Field::from).collect();
        Ok(Writer {
            block,
            placement: Placement::new(fetch.channels),
            memories,
            word: bench.source("word", &word),
            row: bench.source("row", &row),
            error: bench.sink("error", &error),
            bench,
        })
    }

    fn get(&mut self, port: &str) -> u64 {
        let port = self.bench.simulator().port(port);
        self.bench.simulator().get(port)
    }

    fn set(&mut self, port: &str, value: u64) {
        let port = self.bench.simulator().port(port);
        self.bench.simulator().set(port, value);
    }

    fn reset(&mut self) -> Result<(), BenchError> {
        self.set("stop_i", 0);
        Ok(self.bench.reset(2)?)
    }

    /// Rows of as many tokens of each head, in turn, of one head dimension.
    fn rows(&self, random: &mut impl Rng, level: usize, count: usize) -> Vec<Row> {
        let fetch = &self.block.fetch;
        let head_dim = fetch.shape.min_dim() << level;
        let stride = VectorFormat::Bits16.stride(head_dim) as u64 / 32;
        let head = self.placement.rows(fetch.tokens) as u64 * stride;
        let half = 1_i64 << (self.block.element_bits - 1);
        let first = random.random_range(0..fetch.tokens);
        let row = |index: usize| Row {
            base: (index / fetch.tokens) as u64 * head,
            rotation: self.placement.rotation(index / fetch.tokens),
            level,
            id: (first + index) % fetch.tokens,
            outputs: (0..head_dim)
                .map(|_| random.random_range(-half..half))
                .collect(),
        };
        (0..count).map(row).collect()
    }

    fn send(&mut self, rows: &[Row]) {
        let lanes = self.block.lanes;
        for row in rows {
            let place = [
                row.base as i64,
                row.rotation as i64,
                row.level as i64,
                row.id as i64,
            ];
            self.bench.send(self.row, [place]);
            let words = row.outputs.chunks(lanes);
            let count = words.len();
            let words = words
                .enumerate()
                .map(|(index, outputs)| [outputs, &[i64::from(index + 1 == count)]].concat());
            self.bench.send(self.word, words.collect::<Vec<_>>());
        }
    }

    /// Runs until so many rows have been acknowledged.
    fn await_rows(&mut self, rows: usize, limit: u64) -> Result<(), BenchError> {
        let start = self.bench.simulator().cycle();
        while self.get("rows_written_o") < rows as u64 {
            let cycle = self.bench.simulator().cycle();
            let design = self.bench.simulator().design().top.clone();
            let written = self.get("rows_written_o");
            ensure(cycle < start + limit, || {
                format!("{design}: {written} of {rows} rows are written after {limit} cycles")
            })?;
            self.bench.step()?;
        }
        Ok(())
    }

    /// Compares the memories with the rows.
    fn compare(&mut self, rows: &[Row]) -> Result<(), BenchError> {
        let design = self.bench.simulator().design().top.clone();
        for (index, row) in rows.iter().enumerate() {
            let head_dim = row.outputs.len();
            let stride = VectorFormat::Bits16.stride(head_dim) as u64;
            let channel = self.placement.channel(row.id, row.rotation);
            let address = row.base * 32 + self.placement.row(row.id) as u64 * stride;
            let memory = self.bench.slave(self.memories[channel]).memory();
            let bytes = memory.read(address, 2 * head_dim);
            let found = VectorFormat::Bits16.unpack(head_dim, &bytes);
            let wrong = found.iter().zip(&row.outputs).position(|(a, b)| a != b);
            if let Some(element) = wrong {
                return Err(BenchError::Mismatch(format!(
                    "{design}: row {index} (token {}), channel {channel}, address {address:#x}, element {element}: {}, expected {}",
                    row.id, found[element], row.outputs[element]
                )));
            }
        }
        Ok(())
    }

    fn random_round(&mut self, random: &mut ChaCha8Rng) -> Result<u64, BenchError> {
        let levels = self.block.shape.levels();
        let level = levels[random.random_range(0..levels.len())];
        let rows = self.rows(random, level, ROUND);
        self.bench.stall_source(self.word, random_stalls(random));
        self.bench.stall_source(self.row, random_stalls(random));
        for memory in self.memories.clone() {
            let slave = self.bench.slave(memory);
            slave.stall(AxiStalls::all(random_stalls(random)));
            slave.reorder(random.random_range(0..20));
        }
        // A reset in mid-stream forgets what was under way.
        self.reset()?;
        self.send(&rows);
        self.bench.run_for(random.random_range(1..200))?;
        self.reset()?;
        self.send(&rows);
        self.await_rows(rows.len(), 200_000)?;
        self.compare(&rows)?;
        self.bench.run_for(20)?;
        let words: usize = rows
            .iter()
            .map(|row| row.outputs.len() / self.block.lanes)
            .sum();
        Ok(words as u64)
    }

    /// Rows enter as fast as their beats.
    fn interval(&mut self, random: &mut ChaCha8Rng) -> Result<String, BenchError> {
        self.full_speed();
        self.reset()?;
        let level = 0;
        let rows = self.rows(random, level, 64);
        self.send(&rows);
        self.await_rows(rows.len(), 20_000)?;
        self.compare(&rows)?;
        // The first words wait for their row's place.
        let cycles = &self.bench.source_cycles(self.word)[8..];
        let span = cycles[cycles.len() - 1] - cycles[0];
        let words = cycles.len() as u64;
        // One port alone needs some cycles between rows.
        ensure(span == words - 1 || self.memories.len() < 4, || {
            format!("{words} words took {} cycles", span + 1)
        })?;
        Ok(format!("{words} words: {} cycles", span + 1))
    }

    fn full_speed(&mut self) {
        self.bench.stall_source(self.word, Stalls::NONE);
        self.bench.stall_source(self.row, Stalls::NONE);
        for memory in self.memories.clone() {
            let slave = self.bench.slave(memory);
            slave.stall(AxiStalls::all(Stalls::NONE));
            slave.reorder(0);
        }
    }

    /// Every fault: the record names port and address, other ports finish, the writer stops and works again after a reset.
    fn every_fault(&mut self, random: &mut ChaCha8Rng) -> Result<(), BenchError> {
        let respond = |response| SlaveFault::Respond { beat: 0, response };
        let mut faults = vec![
            (WriteFault::SlaveError, respond(Response::SlaveError)),
            (WriteFault::DecodeError, respond(Response::DecodeError)),
            (WriteFault::Silence, SlaveFault::Silence),
        ];
        if index_bits(self.block.fetch.outstanding) > 0 {
            faults.push((WriteFault::UnknownId, SlaveFault::StrayAnswer { id: 1 }));
        }
        for (fault, of_slave) in faults {
            self.full_speed();
            self.reset()?;
            let rows = self.rows(random, 0, 24);
            let victim = random.random_range(0..rows.len());
            let channel = |row: &Row| self.placement.channel(row.id, row.rotation);
            let port = channel(&rows[victim]);
            let before = rows[..victim]
                .iter()
                .filter(|row| channel(row) == port)
                .count();
            let memory = self.memories[port];
            self.bench.slave(memory).fail_write(before as u64, of_slave);
            self.send(&rows);
            self.bench.collect(self.error, 1);
            let limit = 4 * self.block.fetch.timeout as u64 + 5000;
            let mut waited = 0;
            while self.bench.collected(self.error).is_empty() && waited < limit {
                self.bench.step()?;
                waited += 1;
            }
            let row = &rows[victim];
            let stride = VectorFormat::Bits16.stride(row.outputs.len()) as u64 / 32;
            let address = row.base + self.placement.row(row.id) as u64 * stride;
            let expected = [port as i64, fault.code() as i64, address as i64];
            let found = self.bench.collected(self.error).to_vec();
            ensure(found == expected, || {
                format!("{fault:?}: error (port, kind, address) {found:?}, expected {expected:?}")
            })?;
            self.set("stop_i", 1);
            self.bench.run_for(500)?;
            let idle = self.get("idle_o") == 1;
            // A write that is never answered stays under way.
            ensure(idle != (fault == WriteFault::Silence), || {
                format!("{fault:?}: idle_o is {idle}")
            })?;
        }
        self.reset()?;
        let rows = self.rows(random, 0, 24);
        self.send(&rows);
        self.await_rows(rows.len(), 20_000)?;
        self.compare(&rows)
    }
}
