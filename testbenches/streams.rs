//! A design with sources and sinks on all its streams, and rounds of words through them.

use rand_chacha::ChaCha8Rng;

use super::harness::{Round, ensure, start};
use super::{BenchError, Options};
use crate::cosim::{Bench, Design, Field, Place, SinkId, SourceId};
use crate::hdl::{Block, elaborate};

/// A word of a stream: the lanes of its first field, then those of the second, and so on.
pub type Word = Vec<i64>;
/// What a testbench calls a value of an output stream.
pub type Explain = Box<dyn Fn(&Place) -> String + Send>;

/// Rounds of random words and stalls that a testbench runs.
pub const ROUNDS: usize = 8;

/// The design of a block alone.
pub fn design(block: &dyn Block) -> Design {
    Design::from(&elaborate(block))
}

/// Holds a measured number of cycles against the documented one and returns the note for the report.
///
/// # Errors
/// [`BenchError::Mismatch`] when they differ.
pub fn figure(
    design: &Design,
    what: &str,
    documented: usize,
    measured: u64,
) -> Result<String, BenchError> {
    ensure(documented as u64 == measured, || {
        let top = &design.top;
        format!("{top}: {what}: {measured} cycles measured, {documented} documented")
    })?;
    Ok(format!("{what}: {measured} cycles"))
}

/// Cycles from the first to the last of some transfers.
pub fn span(cycles: &[u64]) -> u64 {
    cycles.last().unwrap_or(&0) - cycles.first().unwrap_or(&0)
}

/// The words of one round.
pub struct Traffic {
    /// Per source: the words to send.
    pub sent: Vec<Vec<Word>>,
    /// Per sink: the words that must come.
    pub expected: Vec<Vec<Word>>,
    /// Per sink: what its values are called.
    pub explain: Vec<Explain>,
}

/// A running design, its sources and its sinks.
pub struct Streams {
    bench: Bench,
    sources: Vec<SourceId>,
    sinks: Vec<SinkId>,
    random: ChaCha8Rng,
    words: u64,
}

impl Streams {
    /// Starts `design` with streams of the given names and fields.
    ///
    /// # Errors
    /// [`BenchError::Cosim`] when the design cannot be built.
    pub fn start(
        design: &Design,
        options: &Options,
        sources: &[(&str, Vec<Field>)],
        sinks: &[(&str, Vec<Field>)],
    ) -> Result<Self, BenchError> {
        let mut bench = Bench::new(start(design, options)?, options.seed);
        let source = |(name, fields): &(&str, Vec<Field>)| bench.source(name, fields);
        let sources = sources.iter().map(source).collect();
        let sink = |(name, fields): &(&str, Vec<Field>)| bench.sink(name, fields);
        let sinks = sinks.iter().map(sink).collect();
        Ok(Streams {
            bench,
            sources,
            sinks,
            random: options.random(1),
            words: 0,
        })
    }

    /// Resets, sends and compares without any stall. Transfers can then be timed.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`]: the first difference, broken rule or stuck stream.
    pub fn at_full_speed(&mut self, traffic: Traffic) -> Result<(), BenchError> {
        let round = self.round(traffic);
        round.at_full_speed(&mut self.bench, |_| ())
    }

    /// Sends and compares with random stalls on every stream, first up to a reset in mid-stream, then to the end.
    ///
    /// # Errors
    /// As [`at_full_speed`](Self::at_full_speed).
    pub fn with_stalls(&mut self, traffic: Traffic) -> Result<(), BenchError> {
        let round = self.round(traffic);
        round.with_stalls(&mut self.bench, &mut self.random, |_| ())
    }

    /// Resets, sends and compares with long stalls of some sinks, by their numbers, alone.
    ///
    /// # Errors
    /// As [`at_full_speed`](Self::at_full_speed).
    pub fn with_long_stalls_of(
        &mut self,
        sinks: &[usize],
        traffic: Traffic,
    ) -> Result<(), BenchError> {
        let slow: Vec<SinkId> = sinks.iter().map(|&index| self.sinks[index]).collect();
        let round = self.round(traffic);
        round.with_long_stalls_of(&slow, &mut self.bench, |_| ())
    }

    fn round(&mut self, traffic: Traffic) -> Round {
        self.words += traffic.expected.iter().map(|w| w.len() as u64).sum::<u64>();
        for (&sink, explain) in self.sinks.iter().zip(traffic.explain) {
            self.bench.explain(sink, explain);
        }
        Round {
            sources: self.sources.iter().copied().zip(traffic.sent).collect(),
            sinks: self.sinks.iter().copied().zip(traffic.expected).collect(),
            collected: Vec::new(),
        }
    }

    /// Cycles of the transfers of source `index` since the last reset.
    pub fn sent_at(&self, index: usize) -> &[u64] {
        self.bench.source_cycles(self.sources[index])
    }

    /// Cycles of the transfers of sink `index` since the last reset.
    pub fn taken_at(&self, index: usize) -> &[u64] {
        self.bench.sink_cycles(self.sinks[index])
    }

    /// Words compared so far.
    pub fn words(&self) -> u64 {
        self.words
    }

    /// Clock cycles so far.
    pub fn cycles(&mut self) -> u64 {
        self.bench.simulator().cycle()
    }
}
