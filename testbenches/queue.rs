//! What the testbenches of cells that hold words in order share: one stream in, one out, the same words.

use rand::RngExt;

use super::harness::{Round, ensure, start};
use super::{BenchError, Options, Report};
use crate::cosim::{Bench, Design, Field, SinkId, SourceId, Stalls};
use crate::hdl::{Block, elaborate};

/// A cell with channels `in` and `out` of one field `data`, and what it documents.
pub struct Queue<'a> {
    /// The cell.
    pub block: &'a dyn Block,
    /// Bits of a word, in lanes of at most 60 bits.
    pub word: Field,
    /// Cycles from a word's entry into the empty cell to its exit.
    pub latency: u64,
    /// Cycles between words without stalls.
    pub interval: u64,
    /// Words taken while the output stands still.
    pub capacity: usize,
}

/// A sink that takes nothing as long as any bench runs.
const STANDSTILL: Stalls = Stalls {
    probability: 1.0 - f64::EPSILON,
    longest: u32::MAX,
};

impl<'a> Queue<'a> {
    /// A cell for words of `lanes` lanes of `width` bits. Where it has `count_o`, that must be the words held.
    pub fn new(
        block: &'a dyn Block,
        (lanes, width): (usize, usize),
        latency: u64,
        interval: u64,
        capacity: usize,
    ) -> Self {
        Queue {
            block,
            word: Field::unsigned("data", width).lanes(lanes),
            latency,
            interval,
            capacity,
        }
    }

    /// Runs on the cell.
    ///
    /// # Errors
    /// [`BenchError`]: a tool fails, or a word or a documented figure is wrong.
    pub fn run(&self, options: &Options) -> Result<Report, BenchError> {
        self.check(&Design::from(&elaborate(self.block)), options)
    }

    /// Runs on one design, which is the cell's or a faulty copy of it.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn check(&self, design: &Design, options: &Options) -> Result<Report, BenchError> {
        let mut bench = Bench::new(start(design, options)?, options.seed);
        let input = bench.source("in", std::slice::from_ref(&self.word));
        let output = bench.sink("out", std::slice::from_ref(&self.word));
        let mut random = options.random(1);
        let mut words = |count: usize| -> Vec<Vec<i64>> {
            let lane = || random.random_range(0..1i64 << self.word.width);
            let mut lane = lane;
            (0..count)
                .map(|_| (0..self.word.lanes).map(|_| lane()).collect())
                .collect()
        };
        let round = |words: Vec<Vec<i64>>| Round {
            sources: vec![(input, words.clone())],
            sinks: vec![(output, words)],
            collected: vec![],
        };

        round(words(200)).at_full_speed(&mut bench, |_| ())?;
        let latency = bench.sink_cycles(output)[0] - bench.source_cycles(input)[0];
        ensure(latency == self.latency, || {
            let documented = self.latency;
            format!("{}: latency {latency}, documented {documented}", design.top)
        })?;
        for pair in bench.sink_cycles(output).windows(2) {
            let interval = pair[1] - pair[0];
            ensure(interval == self.interval, || {
                let documented = self.interval;
                format!(
                    "{}: interval {interval}, documented {documented}",
                    design.top
                )
            })?;
        }

        self.fill(&mut bench, input, output)?;

        let mut report = Report::default();
        let mut stalls = options.random(2);
        while report.words < options.cases as u64 {
            let mut wrong_count = None;
            round(words(1000)).with_stalls(&mut bench, &mut stalls, |bench| {
                wrong_count = wrong_count.take().or(miscount(bench, input, output));
            })?;
            ensure(wrong_count.is_none(), || {
                format!("{}: {}", design.top, wrong_count.unwrap_or_default())
            })?;
            report.words += 1000;
        }
        report.cycles = bench.simulator().cycle();
        let interval = self.interval;
        report.notes.push(format!(
            "{}: latency {latency}, interval {interval}, holds {} words",
            design.top, self.capacity
        ));
        Ok(report)
    }

    /// While the output stands still the cell takes as many words as it holds.
    fn fill(&self, bench: &mut Bench, input: SourceId, output: SinkId) -> Result<(), BenchError> {
        bench.reset(2)?;
        bench.stall_source(input, Stalls::NONE);
        bench.stall_sink(output, STANDSTILL);
        bench.send(input, vec![vec![0; self.word.lanes]; self.capacity + 5]);
        bench.run_for(2 * self.capacity as u64 + 20)?;
        let held = bench.source_cycles(input).len();
        ensure(held == self.capacity, || {
            let (name, documented) = (self.block.name(), self.capacity);
            format!("{name}: holds {held} words, documented {documented}")
        })
    }
}

/// What is wrong with `count_o` between two cycles, if the design has it.
fn miscount(bench: &mut Bench, input: SourceId, output: SinkId) -> Option<String> {
    let port = bench.simulator().design().port("count_o")?;
    let held = bench.source_cycles(input).len() - bench.sink_cycles(output).len();
    let count = bench.simulator().get(port);
    (count != held as u64).then(|| format!("count_o is {count} with {held} words held"))
}
