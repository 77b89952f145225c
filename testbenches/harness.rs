//! What the testbenches share: starting a design under test, drawing stalls, and reporting.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{BenchError, Options, Report};
use crate::cosim::{self, Bench, Design, Simulator, SinkId, SourceId, Stalls, Tracing, Verilator};

impl Options {
    /// The same without waveforms: for designs beside the one that the configuration uses.
    pub fn untraced(&self) -> Self {
        Self {
            trace: None,
            ..self.clone()
        }
    }

    /// Random numbers for one part of a testbench, told apart by `stream`.
    pub fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        random
    }
}

impl Report {
    /// What the runs of several designs did and measured.
    pub fn of(reports: impl IntoIterator<Item = Report>) -> Report {
        let mut reports = reports.into_iter();
        let mut all = reports.next().unwrap_or_default();
        reports.for_each(|report| all.add(report));
        all
    }

    /// Adds what another design's run did and measured.
    pub fn add(&mut self, other: Report) {
        self.designs = [self.words_by_design(), other.words_by_design()].concat();
        self.words += other.words;
        self.cycles += other.cycles;
        self.notes.extend(other.notes);
    }

    /// The words compared of each design.
    pub fn words_by_design(&self) -> Vec<u64> {
        if self.designs.is_empty() {
            vec![self.words]
        } else {
            self.designs.clone()
        }
    }

    /// The same without measurements: for designs beside the one that the configuration uses.
    pub fn without_notes(self) -> Report {
        Report {
            notes: Vec::new(),
            ..self
        }
    }
}

impl From<cosim::BenchError> for BenchError {
    fn from(error: cosim::BenchError) -> Self {
        BenchError::Mismatch(error.to_string())
    }
}

impl From<cosim::DesignStopped> for BenchError {
    fn from(stopped: cosim::DesignStopped) -> Self {
        BenchError::Mismatch(stopped.to_string())
    }
}

/// Builds and starts a design, with waveforms where the options ask for them.
///
/// # Errors
/// [`BenchError::Cosim`] when a tool is missing or fails, or the trace is not writable.
pub fn start(design: &Design, options: &Options) -> Result<Simulator, BenchError> {
    let verilator = Verilator::default();
    let simulator = match &options.trace {
        None => verilator.build(design, Tracing::Off)?.start(options.seed)?,
        Some(path) => verilator
            .build(design, Tracing::Fst)?
            .start_traced(options.seed, path)?,
    };
    Ok(simulator)
}

/// Seldom stalls that outlast any pipeline, so that all its places fill or run empty.
const LONG_STALLS: Stalls = Stalls {
    probability: 0.05,
    longest: 100,
};

/// Stalls for one end of one stream: every third time none, else single cycles or bursts, seldom to mostly.
pub fn random_stalls(random: &mut impl Rng) -> Stalls {
    match random.random_range(0..3) {
        0 => Stalls::NONE,
        1 => Stalls::random(random.random_range(0.05..0.8)),
        _ => Stalls::bursts(random.random_range(0.02..0.3), random.random_range(2..12)),
    }
}

/// An error unless each of the `cycles` comes `interval` after the one before; `what` names one of their words.
///
/// # Errors
/// [`BenchError::Mismatch`] with the first word that comes early or late.
pub fn ensure_interval(what: &str, cycles: &[u64], interval: u64) -> Result<(), BenchError> {
    for (word, pair) in cycles.windows(2).enumerate() {
        let gap = pair[1] - pair[0];
        ensure(gap == interval, || {
            format!(
                "{what} {} follows after {gap} cycles, not {interval}",
                word + 1
            )
        })?;
    }
    Ok(())
}

/// An error with `message` unless a documented figure `holds`.
///
/// # Errors
/// [`BenchError::Mismatch`].
pub fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), BenchError> {
    if holds {
        Ok(())
    } else {
        Err(BenchError::Mismatch(message()))
    }
}

/// Cycles per word after which a run counts as stuck.
const CYCLES_PER_WORD: u64 = 100;
/// Cycles after the last awaited word in which no other may come.
const QUIET: u64 = 20;

/// Words of every stream of a design that belong together.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// What enters.
    pub sources: Vec<(SourceId, Vec<Vec<i64>>)>,
    /// What must leave.
    pub sinks: Vec<(SinkId, Vec<Vec<i64>>)>,
    /// Streams whose words are kept and not compared, with their number.
    pub collected: Vec<(SinkId, usize)>,
}

impl Round {
    /// Resets, sends and awaits the words without any stall, so that transfers can be timed. Before every cycle
    /// `drive` sets the ports that belong to no stream.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`]: the first wrong value, surplus word or broken rule.
    pub fn at_full_speed(
        &self,
        bench: &mut Bench,
        drive: impl FnMut(&mut Bench),
    ) -> Result<(), BenchError> {
        self.stall(bench, &[], || Stalls::NONE);
        self.to_the_end(bench, drive)
    }

    /// The same with random stalls: of another kind on every stream, or long ones on a single stream. At first some
    /// of the words are sent and then forgotten by a reset in mid-stream.
    ///
    /// # Errors
    /// As [`at_full_speed`](Self::at_full_speed).
    pub fn with_stalls(
        &self,
        bench: &mut Bench,
        random: &mut impl Rng,
        drive: impl FnMut(&mut Bench),
    ) -> Result<(), BenchError> {
        self.with_stalls_except(&[], bench, random, drive)
    }

    /// The same, but words of the `steady` streams are taken at once: their receiver has promised places for them.
    ///
    /// # Errors
    /// As [`at_full_speed`](Self::at_full_speed).
    pub fn with_stalls_except(
        &self,
        steady: &[SinkId],
        bench: &mut Bench,
        random: &mut impl Rng,
        mut drive: impl FnMut(&mut Bench),
    ) -> Result<(), BenchError> {
        let streams = self.sources.len() + self.sinks.len() + self.collected.len();
        let only = random
            .random_bool(0.5)
            .then(|| random.random_range(0..streams));
        let mut stream = 0..streams;
        self.stall(bench, steady, || match (only, stream.next()) {
            (None, _) => random_stalls(random),
            (only, stream) if only == stream => LONG_STALLS,
            _ => Stalls::NONE,
        });
        self.load(bench)?;
        for _ in 0..random.random_range(1..100) {
            drive(bench);
            bench.step()?;
        }
        self.to_the_end(bench, drive)
    }

    /// The same with long stalls of the `slow` streams alone, whose last words then come long after all others.
    ///
    /// # Errors
    /// As [`at_full_speed`](Self::at_full_speed).
    pub fn with_long_stalls_of(
        &self,
        slow: &[SinkId],
        bench: &mut Bench,
        drive: impl FnMut(&mut Bench),
    ) -> Result<(), BenchError> {
        self.stall(bench, &[], || Stalls::NONE);
        for &sink in slow {
            bench.stall_sink(sink, LONG_STALLS);
        }
        self.to_the_end(bench, drive)
    }

    fn stall(&self, bench: &mut Bench, steady: &[SinkId], mut stalls: impl FnMut() -> Stalls) {
        for (source, _) in &self.sources {
            bench.stall_source(*source, stalls());
        }
        let sinks = self.sinks.iter().map(|(sink, _)| *sink);
        for sink in sinks.chain(self.collected.iter().map(|(sink, _)| *sink)) {
            let stalls = stalls();
            let stalls = if steady.contains(&sink) {
                Stalls::NONE
            } else {
                stalls
            };
            bench.stall_sink(sink, stalls);
        }
    }

    fn load(&self, bench: &mut Bench) -> Result<(), BenchError> {
        bench.reset(2)?;
        for (source, words) in &self.sources {
            bench.send(*source, words);
        }
        for (sink, words) in &self.sinks {
            bench.expect(*sink, words);
        }
        for (sink, words) in &self.collected {
            bench.collect(*sink, *words);
        }
        Ok(())
    }

    fn to_the_end(
        &self,
        bench: &mut Bench,
        drive: impl FnMut(&mut Bench),
    ) -> Result<(), BenchError> {
        self.load(bench)?;
        let sent = self.sources.iter().map(|(_, words)| words.len());
        let awaited = self.sinks.iter().map(|(_, words)| words.len());
        let words: usize = sent.chain(awaited).sum();
        bench.run_driving(1000 + words as u64 * CYCLES_PER_WORD, drive)?;
        Ok(bench.run_for(QUIET)?)
    }
}
