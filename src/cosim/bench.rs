//! A simulator with sources and sinks on its streams.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fault::{BenchError, Fault, Place, StuckStream};
use super::memory::{AxiChannels, AxiLimits, AxiSlave, MemoryPort};
use super::probe::probe;
use super::sink::StreamSink;
use super::source::StreamSource;
use super::stalls::{Hesitation, Stalls};
use super::stream::{Channel, Field};
use super::{Direction, PortId, Simulator};

/// Cycles after a reset in which every cycle is probed; later one in [`PROBE_INTERVAL`] is, at random.
const PROBED_CYCLES: u64 = 64;
const PROBE_INTERVAL: u32 = 32;

/// Runs words through a design: drives input streams, compares output streams, and checks the handshake of every
/// stream in every cycle.
///
/// A word is a flat list: the lanes of its first field, then those of the second, and so on. Words, expectations
/// and cycle stamps are counted from the last reset.
///
/// ```no_run
/// # fn run(build: &spatten::cosim::Build) -> Result<(), Box<dyn std::error::Error>> {
/// use spatten::cosim::{Bench, Field, Stalls};
/// let mut bench = Bench::new(build.start(7)?, 7);
/// let input = bench.source("in", &[Field::signed("data", 12)]);
/// let output = bench.sink("out", &[Field::signed("data", 12)]);
/// bench.stall_source(input, Stalls::random(0.3));
/// bench.stall_sink(output, Stalls::bursts(0.1, 8));
/// bench.reset(2)?;
/// bench.send(input, [[3], [-4]]);
/// bench.expect(output, [[3], [-4]]);
/// bench.run(100)?;
/// let latency = bench.sink_cycles(output)[0] - bench.source_cycles(input)[0];
/// # Ok(())
/// # }
/// ```
pub struct Bench {
    simulator: Simulator,
    sources: Vec<StreamSource>,
    sinks: Vec<StreamSink>,
    memories: Vec<MemoryPort>,
    seed: u64,
    random: ChaCha8Rng,
    reset_end: u64,
    /// Streams stand still.
    silent: bool,
}

/// An input stream of one bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(usize);

/// An output stream of one bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkId(usize);

/// A memory behind a port of one bench's design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryId(usize);

impl Bench {
    /// A bench without streams; `seed` decides all stalls.
    pub fn new(simulator: Simulator, seed: u64) -> Self {
        Self {
            reset_end: simulator.cycle(),
            simulator,
            sources: Vec::new(),
            sinks: Vec::new(),
            memories: Vec::new(),
            silent: false,
            seed,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// The simulator, to drive and read ports that belong to no stream.
    pub fn simulator(&mut self) -> &mut Simulator {
        &mut self.simulator
    }

    /// Attaches a source to the input stream `<name>_valid_i`, `<name>_ready_o`, `<name>_<field>_i`.
    ///
    /// # Panics
    /// When a port is missing or has another width.
    #[track_caller]
    pub fn source(&mut self, name: &str, fields: &[Field]) -> SourceId {
        let channel = Channel::new(&self.simulator, name, Direction::In, fields);
        let mut source = StreamSource::new(channel, self.hesitation());
        source.clear(&mut self.simulator);
        self.sources.push(source);
        SourceId(self.sources.len() - 1)
    }

    /// Attaches a sink to the output stream `<name>_valid_o`, `<name>_ready_i`, `<name>_<field>_o`.
    ///
    /// # Panics
    /// When a port is missing or has another width.
    #[track_caller]
    pub fn sink(&mut self, name: &str, fields: &[Field]) -> SinkId {
        let channel = Channel::new(&self.simulator, name, Direction::Out, fields);
        let mut sink = StreamSink::new(channel, self.hesitation());
        sink.clear(&mut self.simulator);
        self.sinks.push(sink);
        SinkId(self.sinks.len() - 1)
    }

    /// Attaches a memory to the AXI4 port `<name>_ar_valid_o`, `<name>_r_valid_i` and so on (without a name:
    /// `ar_valid_o`), whose transfers must keep `limits`.
    ///
    /// # Panics
    /// When a port is missing or has another width.
    #[track_caller]
    pub fn memory(
        &mut self,
        name: &str,
        channels: AxiChannels,
        limits: AxiLimits,
        slave: AxiSlave,
    ) -> MemoryId {
        let noise = || self.hesitation();
        let mut memory = MemoryPort::new(&self.simulator, name, channels, limits, slave, noise);
        memory.clear(&mut self.simulator);
        self.memories.push(memory);
        MemoryId(self.memories.len() - 1)
    }

    /// All memories, in the order in which they were attached.
    pub fn slaves(&mut self) -> impl Iterator<Item = &mut AxiSlave> {
        self.memories.iter_mut().map(|memory| &mut memory.slave)
    }

    /// The memory behind a port.
    pub fn slave(&mut self, memory: MemoryId) -> &mut AxiSlave {
        &mut self.memories[memory.0].slave
    }

    /// Random numbers of a stream's own; the bench itself uses stream 0.
    fn hesitation(&self) -> Hesitation {
        let streams = self.sources.len() + self.sinks.len() + self.memories.len();
        Hesitation::new(self.seed, 1 + streams as u64)
    }

    /// Sets how a source hesitates; at first it never does.
    ///
    /// # Panics
    /// When a field of `stalls` is out of its range.
    #[track_caller]
    pub fn stall_source(&mut self, source: SourceId, stalls: Stalls) {
        self.sources[source.0].hesitation.set(stalls);
    }

    /// Sets how a sink hesitates; at first it never does.
    ///
    /// # Panics
    /// When a field of `stalls` is out of its range.
    #[track_caller]
    pub fn stall_sink(&mut self, sink: SinkId, stalls: Stalls) {
        self.sinks[sink.0].hesitation.set(stalls);
    }

    /// Names the place of a wrong value in error messages, for example by token and head.
    pub fn explain(&mut self, sink: SinkId, explain: impl Fn(&Place) -> String + Send + 'static) {
        self.sinks[sink.0].explain = Some(Box::new(explain));
    }

    /// Adds words to be sent.
    ///
    /// # Panics
    /// When a word has not one value per lane, or a value does not fit its field.
    #[track_caller]
    pub fn send(&mut self, source: SourceId, words: impl IntoIterator<Item = impl AsRef<[i64]>>) {
        for word in words {
            self.sources[source.0].send(word.as_ref());
        }
    }

    /// Adds words that must come, in this order.
    ///
    /// # Panics
    /// When a word has not one value per lane, a value does not fit its field, or the stream is being collected.
    #[track_caller]
    pub fn expect(&mut self, sink: SinkId, words: impl IntoIterator<Item = impl AsRef<[i64]>>) {
        for word in words {
            self.sinks[sink.0].expect(word.as_ref());
        }
    }

    /// Awaits `words` further words of any value, and keeps them for [`collected`](Self::collected).
    pub fn collect(&mut self, sink: SinkId, words: usize) {
        self.sinks[sink.0].total += words;
    }

    /// The words kept since the last reset, one after the other.
    pub fn collected(&self, sink: SinkId) -> &[i64] {
        &self.sinks[sink.0].collected
    }

    /// The cycle of each transfer since the last reset: it happens at the rising edge that ends the cycle.
    pub fn source_cycles(&self, source: SourceId) -> &[u64] {
        &self.sources[source.0].transfers
    }

    /// The cycle of each transfer since the last reset: it happens at the rising edge that ends the cycle.
    pub fn sink_cycles(&self, sink: SinkId) -> &[u64] {
        &self.sinks[sink.0].transfers
    }

    /// Runs until all words are sent and all awaited words have come.
    ///
    /// # Errors
    /// [`BenchError`]: the first wrong value, surplus word or broken rule, or which streams are stuck after
    /// `cycle_limit` cycles.
    pub fn run(&mut self, cycle_limit: u64) -> Result<(), BenchError> {
        self.run_driving(cycle_limit, |_| ())
    }

    /// As [`run`](Self::run); before every cycle `drive` sets the ports that belong to no stream.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_driving(
        &mut self,
        cycle_limit: u64,
        mut drive: impl FnMut(&mut Self),
    ) -> Result<(), BenchError> {
        for _ in 0..cycle_limit {
            if self.is_done() {
                return Ok(());
            }
            drive(self);
            self.step()?;
        }
        if self.is_done() {
            Ok(())
        } else {
            Err(self.error(self.stuck(cycle_limit)))
        }
    }

    /// Runs for a number of cycles, whatever is outstanding: up to a reset in mid-stream, or past the last word to
    /// see that no other follows.
    ///
    /// # Errors
    /// [`BenchError`]: the first wrong value, surplus word or broken rule.
    pub fn run_for(&mut self, cycles: u64) -> Result<(), BenchError> {
        (0..cycles).try_for_each(|_| self.step())
    }

    /// Withdraws every word that is queued or offered, forgets those awaited and collected, and leaves all streams alone until
    /// [`resume`](Self::resume), only memories answer: for designs that are told to stop.
    pub fn silence(&mut self) {
        self.forget();
        self.silent = true;
    }

    /// Lets the streams move again.
    pub fn resume(&mut self) {
        self.silent = false;
    }

    fn forget(&mut self) {
        for source in &mut self.sources {
            source.clear(&mut self.simulator);
        }
        for sink in &mut self.sinks {
            sink.clear(&mut self.simulator);
        }
    }

    /// Asserts reset at once, holds it for `cycles` cycles and releases it. Every word that is queued, under way or
    /// awaited is forgotten, and so are cycle stamps, collected words and the bursts and seeded faults of memories;
    /// their content stays.
    ///
    /// # Errors
    /// [`BenchError`] when an output stream is valid during reset, or the design stops.
    pub fn reset(&mut self, cycles: u64) -> Result<(), BenchError> {
        self.forget();
        for memory in &mut self.memories {
            memory.clear(&mut self.simulator);
        }
        self.hold_reset(cycles).map_err(|fault| self.error(fault))
    }

    fn hold_reset(&mut self, cycles: u64) -> Result<(), Fault> {
        self.simulator.set_reset(true)?;
        self.check_reset()?;
        for _ in 0..cycles {
            self.simulator.tick()?;
            self.check_reset()?;
        }
        self.simulator.set_reset(false)?;
        self.reset_end = self.simulator.cycle();
        Ok(())
    }

    fn check_reset(&self) -> Result<(), Fault> {
        let simulator = &self.simulator;
        let mut sinks = self.sinks.iter();
        sinks.try_for_each(|sink| sink.check_reset(simulator))?;
        let mut memories = self.memories.iter();
        memories.try_for_each(|memory| memory.check_reset(simulator))
    }

    /// Runs one cycle.
    ///
    /// # Errors
    /// [`BenchError`]: a wrong value, surplus word or broken rule.
    pub fn step(&mut self) -> Result<(), BenchError> {
        self.cycle().map_err(|fault| self.error(fault))
    }

    fn cycle(&mut self) -> Result<(), Fault> {
        let simulator = &mut self.simulator;
        if self.silent {
            return self.memory_cycle();
        }
        for source in &mut self.sources {
            source.drive(simulator);
        }
        for sink in &mut self.sinks {
            sink.drive(simulator);
        }
        for memory in &mut self.memories {
            memory.drive(simulator);
        }
        simulator.settle()?;
        let is_early = simulator.cycle() - self.reset_end < PROBED_CYCLES;
        if is_early || self.random.random_ratio(1, PROBE_INTERVAL) {
            probe(simulator, &self.sources, &self.sinks, &self.memories)?;
        }
        for source in &mut self.sources {
            source.observe(simulator);
        }
        for sink in &mut self.sinks {
            sink.observe(simulator)?;
        }
        for memory in &mut self.memories {
            memory.observe(simulator)?;
        }
        Ok(simulator.tick()?)
    }

    /// A cycle in which nothing but the memories moves.
    fn memory_cycle(&mut self) -> Result<(), Fault> {
        let simulator = &mut self.simulator;
        for memory in &mut self.memories {
            memory.drive(simulator);
        }
        simulator.settle()?;
        for memory in &mut self.memories {
            memory.observe(simulator)?;
        }
        Ok(simulator.tick()?)
    }

    fn is_done(&self) -> bool {
        self.sources.iter().all(StreamSource::is_done) && self.sinks.iter().all(StreamSink::is_done)
    }

    fn stuck(&self, limit: u64) -> Fault {
        let high = |port: PortId| self.simulator.get(port) == 1;
        let status = |channel: &Channel, transferred, total| StuckStream {
            stream: channel.name.clone(),
            transferred,
            total,
            valid: high(channel.valid),
            ready: high(channel.ready),
        };
        let sources = self.sources.iter().filter(|source| !source.is_done());
        let sources =
            sources.map(|source| status(&source.channel, source.transfers.len(), source.total));
        let sinks = self.sinks.iter().filter(|sink| !sink.is_done());
        let sinks = sinks.map(|sink| status(&sink.channel, sink.transfers.len(), sink.total));
        Fault::Stuck {
            limit,
            streams: sources.chain(sinks).collect(),
        }
    }

    #[cold]
    fn error(&self, fault: Fault) -> BenchError {
        BenchError {
            design: self.simulator.design().top.clone(),
            seed: self.seed,
            fault: Box::new(fault),
        }
    }
}
