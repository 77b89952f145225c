//! Testbench of the weights by error feedback.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::harness::start;
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::Weights;
use crate::accelerator::softmax::golden::{sum, weights};
use crate::cells::exp2::golden::ONE;
use crate::config::Config;
use crate::cosim::Design;
use crate::numerics::{EXPONENTIAL_BITS, MAX_KEYS_PER_ROW, WEIGHT_BITS};

/// One line of a row and what must become of it.
#[derive(Debug)]
struct Line {
    row: usize,
    index: usize,
    exponentials: Vec<i64>,
    weights: Vec<i64>,
    is_last: bool,
}

/// Runs on the configuration's lanes and on a single lane.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = Weights {
        lanes: config.softmax.lanes,
    };
    let mut report = check(&used, &design(&used), options)?;
    let single = Weights { lanes: 1 };
    let corner = check(&single, &design(&single), &options.untraced())?;
    report.add(corner.without_notes());
    Ok(report)
}

/// At least `options.cases` lines, without and with idle cycles between them, and resets in mid-row. Every line must
/// leave exactly [`Weights::latency`] cycles after it entered.
///
/// # Errors
/// As [`run`]; the message names row, line and lane.
pub fn check(block: &Weights, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut bench = WeightsBench {
        block,
        design,
        options,
        simulator: start(design, options)?,
    };
    let mut words = 0;
    let idle = [0.0, 0.5, 0.1];
    for chance in idle {
        let lines = lines(&mut random, block.lanes, options.cases / idle.len() + 1);
        bench.reset()?;
        let part = random.random_range(1..=lines.len().min(100));
        bench.stream(&lines[..part], chance, &mut random)?;
        // The row under way and its carry are forgotten.
        bench.reset()?;
        bench.stream(&lines, chance, &mut random)?;
        words += (part + lines.len()) as u64;
    }
    Ok(Report {
        words,
        cycles: bench.simulator.cycle(),
        notes: vec![format!(
            "line to weights: {} cycles; interval: 1 cycle, also from row to row",
            block.latency()
        )],
        ..Report::default()
    })
}

struct WeightsBench<'a> {
    block: &'a Weights,
    design: &'a Design,
    options: &'a Options,
    simulator: crate::cosim::Simulator,
}

impl WeightsBench<'_> {
    fn reset(&mut self) -> Result<(), BenchError> {
        let valid = self.simulator.port("valid_i");
        self.simulator.set(valid, 0);
        Ok(self.simulator.reset(2)?)
    }

    /// Streams `lines` in; after the last one only as many cycles pass as it needs to leave.
    fn stream(
        &mut self,
        lines: &[Line],
        idle: f64,
        random: &mut ChaCha8Rng,
    ) -> Result<(), BenchError> {
        let latency = self.block.latency();
        let [e, valid, last] = ["e_i", "valid_i", "last_i"].map(|n| self.simulator.port(n));
        let [weight, valid_out] = ["weight_o", "valid_o"].map(|n| self.simulator.port(n));
        let mut waiting = lines.iter();
        let mut entered: Vec<Option<&Line>> = Vec::new();
        let mut got = vec![0; self.block.lanes];
        while waiting.len() > 0 || entered.iter().rev().take(latency).any(Option::is_some) {
            let line = if random.random_bool(idle) {
                None
            } else {
                waiting.next()
            };
            self.simulator.set(valid, u64::from(line.is_some()));
            // What stands at the inputs in an idle cycle must not matter.
            match line {
                Some(line) => {
                    self.simulator
                        .set_lanes(e, EXPONENTIAL_BITS as u32, &line.exponentials);
                    self.simulator.set(last, u64::from(line.is_last));
                }
                None => self.simulator.set(last, u64::from(random.random_bool(0.5))),
            }
            entered.push(line);
            self.simulator.settle()?;
            let leaving = entered.len().checked_sub(latency + 1);
            let leaving = leaving.and_then(|cycle| entered[cycle]);
            let expected = u64::from(leaving.is_some());
            self.compare(leaving, "valid_o", expected, self.simulator.get(valid_out))?;
            if let Some(line) = leaving {
                self.simulator
                    .get_lanes(weight, WEIGHT_BITS as u32, false, &mut got);
                for (lane, (&expected, &got)) in line.weights.iter().zip(&got).enumerate() {
                    let port = format!("weight_o, lane {lane}");
                    self.compare(leaving, &port, expected as u64, got as u64)?;
                }
            }
            self.simulator.tick()?;
        }
        Ok(())
    }

    fn compare(
        &self,
        line: Option<&Line>,
        port: &str,
        expected: u64,
        got: u64,
    ) -> Result<(), BenchError> {
        if expected == got {
            return Ok(());
        }
        let place = line.map_or("no line due".into(), |line| {
            format!("row {}, line {}", line.row, line.index)
        });
        Err(BenchError::Mismatch(format!(
            "{} (seed {}): port {port}, cycle {}, {place}: expected {expected}, got {got}",
            self.design.top,
            self.options.seed,
            self.simulator.cycle(),
        )))
    }
}

/// At least `count` lines: first the longest row with the largest sum, then random rows.
///
/// # Panics
/// When the weights of a row do not add up to its sum: the golden models disagree.
fn lines(random: &mut ChaCha8Rng, lanes: usize, count: usize) -> Vec<Line> {
    let most = MAX_KEYS_PER_ROW / lanes;
    let mut lines = row_lines(0, &vec![ONE; most * lanes], lanes);
    while lines.len() < most + count {
        let row = lines.last().map_or(0, |line| line.row + 1);
        let length = match random.random_range(0..8) {
            0 => random.random_range(1..=64),
            1..=3 => 1,
            _ => random.random_range(1..=6),
        };
        // A flat row, an empty one, one of weights that are all carry, or any.
        let largest = [ONE, 0, 70, ONE][random.random_range(0..4)];
        let flat = random.random_bool(0.2);
        let keys = (0..length * lanes).map(|_| match random.random_range(0..8) {
            0 => 0,
            _ if flat => largest,
            _ => random.random_range(0..=largest),
        });
        lines.extend(row_lines(row, &keys.collect::<Vec<_>>(), lanes));
    }
    lines
}

fn row_lines(row: usize, exponentials: &[i64], lanes: usize) -> Vec<Line> {
    let golden = weights(exponentials, None);
    let handed_out: i64 = golden.iter().sum();
    assert_eq!(
        handed_out,
        sum(exponentials),
        "the weights of a row add up to S"
    );
    let count = exponentials.len() / lanes;
    let chunks = exponentials.chunks(lanes).zip(golden.chunks(lanes));
    chunks
        .enumerate()
        .map(|(index, (exponentials, weights))| Line {
            row,
            index,
            exponentials: exponentials.to_vec(),
            weights: weights.to_vec(),
            is_last: index + 1 == count,
        })
        .collect()
}
