//! Testbench of a processing element of `prob_value`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::harness::start;
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::prob_value::golden::accumulate;
use crate::accelerator::prob_value::{ProbValueColumn, ProbValueElement};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::Design;
use crate::numerics::{Formats, MAX_KEYS_PER_ROW, WEIGHT_BITS};

/// A line of one row: per bank a weight and the V elements of all columns.
#[derive(Clone, Debug)]
struct Line {
    row: usize,
    first: bool,
    operands: Operands,
    /// The row's accumulators, with its last line.
    total: Option<Vec<i64>>,
}

/// What enters in one cycle.
#[derive(Clone, Debug)]
struct Operands {
    /// One per bank.
    weights: Vec<i64>,
    /// One vector of the columns' elements per bank.
    values: Vec<Vec<i64>>,
}

/// Runs on the configuration's element and on one of a single multiplier.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).prob_value().element();
    let mut report = check(&used, config.formats(), &design(&used), options)?;
    let narrow = super::exponent::narrowest();
    let single = ProbValueElement {
        columns: 1,
        column: ProbValueColumn {
            banks: 1,
            value_bits: narrow.value_bits,
            accumulator_bits: narrow.accumulator_bits(),
        },
    };
    let corner = check(&single, narrow, &design(&single), &options.untraced())?;
    report.add(corner.without_notes());
    Ok(report)
}

/// At least `options.cases` lines, without and with idle cycles between them. The sums must be held exactly
/// [`ProbValueElement::latency`] cycles after the row's last line, and until the next row's are.
///
/// # Errors
/// As [`run`]; the message names row and column.
pub fn check(
    block: &ProbValueElement,
    formats: Formats,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut simulator = start(design, options)?;
    let [valid, first, last] = ["valid_i", "first_i", "last_i"].map(|n| simulator.port(n));
    let [value, weight] = ["value_i", "weight_i"].map(|n| simulator.port(n));
    let held = simulator.port("held_o");
    let ProbValueColumn {
        value_bits,
        accumulator_bits,
        ..
    } = block.column;
    let mut words = 0;
    for idle in [0.0, 0.4] {
        let lines = lines(block, formats, &mut random, options.cases / 2 + 1);
        words += lines.len() as u64;
        let mut waiting = lines.iter();
        let mut entered: Vec<Option<&Line>> = Vec::new();
        let mut expected: Option<(usize, &[i64])> = None;
        // As many cycles after the last line as its row needs to be held, and some more.
        let mut left = block.latency() + 10;
        while left > 0 {
            let line = if random.random_bool(idle) {
                None
            } else {
                waiting.next()
            };
            left -= usize::from(line.is_none() && waiting.len() == 0);
            // Operands of idle cycles, and the flags beside them, must not matter.
            let noise = random_operands(block, &mut random);
            let operands = line.map_or(&noise, |line| &line.operands);
            let begins = line.map_or_else(|| random.random(), |line| line.first);
            let ends = line.map_or_else(|| random.random(), |line| line.total.is_some());
            simulator.set(valid, u64::from(line.is_some()));
            simulator.set(first, u64::from(begins));
            simulator.set(last, u64::from(ends));
            simulator.set_lanes(value, value_bits as u32, &operands.values.concat());
            simulator.set_lanes(weight, WEIGHT_BITS as u32, &operands.weights);
            entered.push(line);
            let finished = entered.len().checked_sub(block.latency() + 1);
            let finished = finished.and_then(|cycle| entered[cycle]);
            let finished = finished.and_then(|line| Some((line.row, line.total.as_deref()?)));
            expected = finished.or(expected);

            simulator.settle()?;
            if let Some((row, expected)) = expected {
                let mut got = vec![0; block.columns];
                simulator.get_lanes(held, accumulator_bits as u32, true, &mut got);
                if let Some(column) = (0..block.columns).find(|&k| expected[k] != got[k]) {
                    return Err(BenchError::Mismatch(format!(
                        "{} (seed {}): port `held_o`, cycle {}, row {row}, column {column}: expected {}, got {}",
                        design.top,
                        options.seed,
                        simulator.cycle(),
                        expected[column],
                        got[column],
                    )));
                }
            }
            simulator.tick()?;
        }
    }
    Ok(Report {
        words,
        cycles: simulator.cycle(),
        notes: vec![format!(
            "last line to held sums: {} cycles; interval: 1 cycle, also from row to row",
            block.latency()
        )],
        ..Report::default()
    })
}

/// Random operands, or extreme ones.
fn random_operands(block: &ProbValueElement, random: &mut ChaCha8Rng) -> Operands {
    let bound = 1_i64 << (block.column.value_bits - 1);
    let largest = (1_i64 << WEIGHT_BITS) - 1;
    let extreme = random.random_bool(0.1);
    let mut value = |_| match (extreme, random.random_bool(0.5)) {
        (true, true) => -bound,
        (true, false) => bound - 1,
        (false, _) => random.random_range(-bound..bound),
    };
    let banks = 0..block.column.banks;
    Operands {
        values: banks
            .clone()
            .map(|_| (0..block.columns).map(&mut value).collect())
            .collect(),
        weights: banks
            .map(|_| match extreme {
                true => largest,
                false => random.random_range(0..=largest),
            })
            .collect(),
    }
}

/// At least `count` lines: first the longest rows of extreme operands, then random rows.
fn lines(
    block: &ProbValueElement,
    formats: Formats,
    random: &mut ChaCha8Rng,
    count: usize,
) -> Vec<Line> {
    let banks = block.column.banks;
    let bound = 1_i64 << (block.column.value_bits - 1);
    let longest = MAX_KEYS_PER_ROW / banks;
    let mut lines = Vec::new();
    let mut row = 0;
    while lines.len() < 2 * longest + count {
        let operands: Vec<_> = if row < 2 {
            let extreme = Operands {
                weights: vec![(1 << WEIGHT_BITS) - 1; banks],
                values: vec![vec![[-bound, bound - 1][row]; block.columns]; banks],
            };
            vec![extreme; longest]
        } else {
            let length = random.random_range(1..=6);
            (0..length)
                .map(|_| random_operands(block, random))
                .collect()
        };
        let weights: Vec<i64> = operands.iter().flat_map(|o| o.weights.clone()).collect();
        let values: Vec<_> = operands.iter().flat_map(|o| o.values.clone()).collect();
        let total = accumulate(&formats, &weights, &values);
        let last = operands.len() - 1;
        lines.extend(
            operands
                .into_iter()
                .enumerate()
                .map(|(index, operands)| Line {
                    row,
                    first: index == 0,
                    operands,
                    total: (index == last).then(|| total.clone()),
                }),
        );
        row += 1;
    }
    lines
}
