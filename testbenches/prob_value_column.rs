//! Testbench of a processing element of `prob_value`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::harness::start;
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::prob_value::ProbValueColumn;
use crate::accelerator::prob_value::golden::accumulate;
use crate::config::Config;
use crate::cosim::Design;
use crate::numerics::{Formats, MAX_KEYS_PER_ROW, WEIGHT_BITS};

/// A line of one row: a weight and a V element per bank.
#[derive(Clone, Debug)]
struct Line {
    row: usize,
    first: bool,
    weights: Vec<i64>,
    values: Vec<i64>,
    /// The row's accumulator, with its last line.
    total: Option<i64>,
}

/// Runs on the configuration's column and on one of a single multiplier.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let column = |formats: Formats, banks| ProbValueColumn {
        banks,
        value_bits: formats.value_bits,
        accumulator_bits: formats.accumulator_bits(),
    };
    let formats = config.formats();
    let used = column(formats, config.array.multipliers / formats.max_head_dim);
    let mut report = check(&used, formats, &design(&used), options)?;
    let narrow = super::exponent::narrowest();
    let single = column(narrow, 1);
    let corner = check(&single, narrow, &design(&single), &options.untraced())?;
    report.add(corner.without_notes());
    Ok(report)
}

/// At least `options.cases` lines, without and with idle cycles between them. The sum must be held exactly
/// [`ProbValueColumn::latency`] cycles and one after its last line, and until the next row's is.
///
/// # Errors
/// As [`run`]; the message names the row.
pub fn check(
    block: &ProbValueColumn,
    formats: Formats,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut simulator = start(design, options)?;
    let [load, value, weight] = ["load_i", "value_i", "weight_i"].map(|n| simulator.port(n));
    let [accumulate, first, hold] =
        ["accumulate_i", "first_i", "hold_i"].map(|n| simulator.port(n));
    let held = simulator.port("held_o");
    let mut words = 0;
    for idle in [0.0, 0.4] {
        let lines = lines(block, formats, &mut random, options.cases / 2 + 1);
        words += lines.len() as u64;
        let mut waiting = lines.iter();
        let mut entered: Vec<Option<&Line>> = Vec::new();
        let mut expected: Option<(usize, i64)> = None;
        // As many cycles after the last line as its row needs to be held, and some more.
        let mut left = block.latency() + 10;
        while left > 0 {
            let line = if random.random_bool(idle) {
                None
            } else {
                waiting.next()
            };
            left -= usize::from(line.is_none() && waiting.len() == 0);
            simulator.set(load, u64::from(line.is_some()));
            // Operands of idle cycles must not matter.
            let idle_line = || random_operands(block, &mut random);
            let (values, weights) = line.map_or_else(idle_line, |line| {
                (line.values.clone(), line.weights.clone())
            });
            simulator.set_lanes(value, block.value_bits as u32, &values);
            simulator.set_lanes(weight, WEIGHT_BITS as u32, &weights);
            entered.push(line);

            let since = |delay: usize| {
                let cycle = entered.len().checked_sub(delay + 1)?;
                entered[cycle]
            };
            let added = since(block.sum_latency());
            simulator.set(accumulate, u64::from(added.is_some()));
            simulator.set(first, u64::from(added.is_some_and(|line| line.first)));
            let ended = |delay| since(delay).and_then(|line| Some((line.row, line.total?)));
            simulator.set(hold, u64::from(ended(block.latency()).is_some()));
            expected = ended(block.latency() + 1).or(expected);

            simulator.settle()?;
            if let Some((row, expected)) = expected {
                let got = simulator.get_signed(held);
                if expected != got {
                    return Err(BenchError::Mismatch(format!(
                        "{} (seed {}): port `held_o`, cycle {}, row {row}: expected {expected}, got {got}",
                        design.top,
                        options.seed,
                        simulator.cycle(),
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
            "last line to held sum: {} cycles; interval: 1 cycle, also from row to row",
            block.latency() + 1
        )],
    })
}

fn random_operands(block: &ProbValueColumn, random: &mut ChaCha8Rng) -> (Vec<i64>, Vec<i64>) {
    let bound = 1_i64 << (block.value_bits - 1);
    let largest = (1_i64 << WEIGHT_BITS) - 1;
    let extreme = random.random_bool(0.1);
    let lane = |_| {
        if extreme {
            let value = if random.random_bool(0.5) {
                -bound
            } else {
                bound - 1
            };
            (value, largest)
        } else {
            (
                random.random_range(-bound..bound),
                random.random_range(0..=largest),
            )
        }
    };
    (0..block.banks).map(lane).unzip()
}

/// At least `count` lines: first the longest rows of extreme operands, then random rows.
fn lines(
    block: &ProbValueColumn,
    formats: Formats,
    random: &mut ChaCha8Rng,
    count: usize,
) -> Vec<Line> {
    let bound = 1_i64 << (block.value_bits - 1);
    let longest = MAX_KEYS_PER_ROW / block.banks;
    let mut lines = Vec::new();
    let mut row = 0;
    while lines.len() < 2 * longest + count {
        let operands: Vec<_> = if row < 2 {
            let value = [-bound, bound - 1][row];
            vec![
                (
                    vec![value; block.banks],
                    vec![(1 << WEIGHT_BITS) - 1; block.banks]
                );
                longest
            ]
        } else {
            let length = random.random_range(1..=6);
            (0..length)
                .map(|_| random_operands(block, random))
                .collect()
        };
        let weights: Vec<i64> = operands.iter().flat_map(|(_, w)| w.clone()).collect();
        let values: Vec<_> = operands
            .iter()
            .flat_map(|(v, _)| v.iter().map(|&v| vec![v]))
            .collect();
        let total = accumulate(&formats, &weights, &values)[0];
        let length = operands.len();
        lines.extend(
            operands
                .into_iter()
                .enumerate()
                .map(|(index, (values, weights))| Line {
                    row,
                    first: index == 0,
                    weights,
                    values,
                    total: (index + 1 == length).then_some(total),
                }),
        );
        row += 1;
    }
    lines
}
