//! What the testbenches of cells that hold words in order share: one stream in, one out, the same words.

use rand::RngExt;

use super::harness::{Round, ensure, start};
use super::{BenchError, Options, Report};
use crate::cosim::{Bench, Design, Field};
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
}

impl<'a> Queue<'a> {
    /// A cell for words of `lanes` lanes of `width` bits.
    pub fn new(
        block: &'a dyn Block,
        (lanes, width): (usize, usize),
        latency: u64,
        interval: u64,
    ) -> Self {
        Queue {
            block,
            word: Field::unsigned("data", width).lanes(lanes),
            latency,
            interval,
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

        let mut report = Report::default();
        let mut stalls = options.random(2);
        while report.words < options.cases as u64 {
            round(words(1000)).with_stalls(&mut bench, &mut stalls, |_| ())?;
            report.words += 1000;
        }
        report.cycles = bench.simulator().cycle();
        let interval = self.interval;
        report.notes.push(format!(
            "{}: latency {latency}, interval {interval}",
            design.top
        ));
        Ok(report)
    }
}
