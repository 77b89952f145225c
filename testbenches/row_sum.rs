//! Testbench of the sum of a row's exponentials.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::harness::{ensure, start};
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::RowSum;
use crate::accelerator::softmax::golden::sum;
use crate::cells::exp2::golden::ONE;
use crate::config::Config;
use crate::cosim::{Design, Simulator};
use crate::numerics::{EXPONENTIAL_BITS, MAX_KEYS_PER_ROW};

/// One line of a row.
#[derive(Debug)]
struct Line {
    row: usize,
    exponentials: Vec<i64>,
    /// The row's sum, with its last line.
    sum: Option<i64>,
}

/// Runs on the configuration's lanes and on a single lane.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = RowSum {
        lanes: config.softmax.lanes,
    };
    let mut report = check(&used, &design(&used), options)?;
    let single = RowSum { lanes: 1 };
    let corner = check(&single, &design(&single), &options.untraced())?;
    report.add(corner.without_notes());
    Ok(report)
}

/// At least `options.cases` lines, without and with idle cycles between them, and resets in mid-row. Every sum must
/// leave exactly [`RowSum::latency`] cycles after its row's last line, and none at any other time.
///
/// # Errors
/// As [`run`]; the message names the row.
pub fn check(block: &RowSum, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut simulator = start(design, options)?;
    let mut words = 0;
    let idle = [0.0, 0.5, 0.1];
    for chance in idle {
        let lines = lines(&mut random, block.lanes, options.cases / idle.len() + 1);
        let part = random.random_range(1..=lines.len().min(100));
        // The row under way is forgotten by the second reset.
        for lines in [&lines[..part], &lines] {
            let valid = simulator.port("valid_i");
            simulator.set(valid, 0);
            simulator.reset(2)?;
            stream(block, &mut simulator, lines, chance, &mut random).map_err(
                |error| match error {
                    BenchError::Mismatch(what) => BenchError::Mismatch(format!(
                        "{} (seed {}): {what}",
                        design.top, options.seed
                    )),
                    other => other,
                },
            )?;
            words += lines.len() as u64;
        }
    }
    Ok(Report {
        words,
        cycles: simulator.cycle(),
        notes: vec![format!(
            "last line to sum: {} cycles; interval: 1 cycle, also from row to row",
            block.latency()
        )],
        ..Report::default()
    })
}

/// Streams `lines` in; after the last one only as many cycles pass as its sum needs to leave.
fn stream(
    block: &RowSum,
    simulator: &mut Simulator,
    lines: &[Line],
    idle: f64,
    random: &mut ChaCha8Rng,
) -> Result<(), BenchError> {
    let latency = block.latency();
    let [e, valid, last] = ["e_i", "valid_i", "last_i"].map(|n| simulator.port(n));
    let [valid_out, sum_out] = ["valid_o", "sum_o"].map(|n| simulator.port(n));
    let mut waiting = lines.iter();
    let mut entered: Vec<Option<&Line>> = Vec::new();
    while waiting.len() > 0 || entered.iter().rev().take(latency).any(Option::is_some) {
        let line = if random.random_bool(idle) {
            None
        } else {
            waiting.next()
        };
        simulator.set(valid, u64::from(line.is_some()));
        // What stands at the inputs in an idle cycle must not matter.
        match line {
            Some(line) => {
                simulator.set_lanes(e, EXPONENTIAL_BITS as u32, &line.exponentials);
                simulator.set(last, u64::from(line.sum.is_some()));
            }
            None => simulator.set(last, u64::from(random.random_bool(0.5))),
        }
        entered.push(line);
        simulator.settle()?;
        let leaving = entered.len().checked_sub(latency + 1);
        let leaving = leaving.and_then(|cycle| entered[cycle]);
        let due = leaving.and_then(|line| Some((line.row, line.sum?)));
        let (is_valid, got) = (simulator.get(valid_out), simulator.get(sum_out));
        let cycle = simulator.cycle();
        ensure(is_valid == u64::from(due.is_some()), || {
            format!("cycle {cycle}: valid_o is {is_valid}, the sum due is {due:?}")
        })?;
        if let Some((row, expected)) = due {
            ensure(got == expected as u64, || {
                format!("cycle {cycle}, row {row}: sum_o: expected {expected}, got {got}")
            })?;
        }
        simulator.tick()?;
    }
    Ok(())
}

/// At least `count` lines: first the longest row with the largest sum, then random rows.
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
        // Sums around the carry into the high half, empty rows, or any.
        let largest = [ONE, 0, 1 << 17, ONE][random.random_range(0..4)];
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
    let sum = sum(exponentials);
    let count = exponentials.len() / lanes;
    let chunks = exponentials.chunks(lanes).enumerate();
    chunks
        .map(|(index, exponentials)| Line {
            row,
            exponentials: exponentials.to_vec(),
            sum: (index + 1 == count).then_some(sum),
        })
        .collect()
}
