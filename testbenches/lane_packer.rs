//! Testbench of the lane packer: groups of every level, packed, split and passed on, in rows of any length.

use rand::{Rng, RngExt};

use super::harness::{Round, ensure, ensure_interval, start};
use super::{BenchError, Options, Report};
use crate::accelerator::shape::ArrayShape;
use crate::accelerator::top::AttentionCore;
use crate::cells::lane_packer::{LanePacker, pack_groups};
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, SinkId, SourceId};
use crate::hdl::elaborate;

/// Lines of one round.
const ROUND: usize = 1000;

/// Runs on the packer of `query_key`, on one whose groups are larger than, equal to and smaller than its line, and on
/// the smallest.
///
/// # Errors
/// [`BenchError`]: a tool fails, or RTL and golden model differ.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).query_key().packer();
    let design = Design::from(&elaborate(&used));
    let mut report = check(&used, &design, options)?;
    for corner in corners() {
        let design = Design::from(&elaborate(&corner));
        report.add(check(&corner, &design, &options.untraced())?);
    }
    Ok(report)
}

fn corners() -> [LanePacker; 2] {
    [
        LanePacker {
            shape: ArrayShape {
                multipliers: 16,
                head_dims: vec![2, 4, 8, 16],
            },
            lanes: 2,
            width: 5,
        },
        LanePacker {
            shape: ArrayShape {
                multipliers: 4,
                head_dims: vec![4],
            },
            lanes: 1,
            width: 1,
        },
    ]
}

/// Runs on one design, which is the packer's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(
    packer: &LanePacker,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let chunks = packer.shape.chunks();
    let input = bench.source(
        "in",
        &[
            Field::unsigned("data", packer.width).lanes(chunks),
            Field::unsigned("level", packer.shape.level_bits()),
            Field::unsigned("last", 1),
        ],
    );
    let output = bench.sink(
        "out",
        &[
            Field::unsigned("data", packer.width).lanes(packer.lanes),
            Field::unsigned("last", 1),
        ],
    );
    let ports = (input, output);
    let mut random = options.random(1);
    let mut report = Report::default();
    for level in packer.shape.levels() {
        full_speed(packer, &mut bench, ports, level, &mut random)?;
    }
    while report.words < options.cases as u64 {
        let rows = random_rows(packer, &mut random);
        let (round, words) = round(packer, &mut bench, ports, &rows);
        round.with_stalls(&mut bench, &mut random, |_| ())?;
        report.words += words as u64;
    }
    report.cycles = bench.simulator().cycle();
    report.notes.push(format!(
        "{}: latency {}, one group or one line per cycle",
        design.top,
        LanePacker::LATENCY
    ));
    Ok(report)
}

/// A row: its level and its groups.
type Row = (usize, Vec<Vec<i64>>);

/// Rows for one round; at first one of all ones in every lane for each level and length up to two lines and a group.
fn random_rows(packer: &LanePacker, random: &mut impl Rng) -> Vec<Row> {
    let ones = (1 << packer.width) - 1;
    let mut rows = Vec::new();
    for level in packer.shape.levels() {
        let group = packer.shape.vectors_per_line(level);
        for groups in 1..=2 * packer.lanes.div_ceil(group) + 1 {
            rows.push((level, vec![vec![ones; group]; groups]));
        }
    }
    let mut lines = 0;
    while lines < ROUND {
        let levels = packer.shape.levels();
        let level = levels[random.random_range(0..levels.len())];
        let group = packer.shape.vectors_per_line(level);
        let groups = random.random_range(1..=4 * packer.lanes.div_ceil(group));
        let row = random_row(packer, level, groups, random);
        lines += (groups * group).div_ceil(packer.lanes);
        rows.push(row);
    }
    rows
}

fn random_row(packer: &LanePacker, level: usize, groups: usize, random: &mut impl Rng) -> Row {
    let group = packer.shape.vectors_per_line(level);
    let mut group = || -> Vec<i64> {
        let lanes = (0..group).map(|_| random.random_range(0..1 << packer.width));
        lanes.collect()
    };
    (level, (0..groups).map(|_| group()).collect())
}

/// The words of `rows`, and the number of lines among them.
fn round(
    packer: &LanePacker,
    bench: &mut Bench,
    (input, output): (SourceId, SinkId),
    rows: &[Row],
) -> (Round, usize) {
    let mut groups = Vec::new();
    let mut lines = Vec::new();
    let mut places = Vec::new();
    for (row, (level, row_groups)) in rows.iter().enumerate() {
        for (index, group) in row_groups.iter().enumerate() {
            let mut word = group.clone();
            word.resize(packer.shape.chunks(), 0);
            let is_last = index + 1 == row_groups.len();
            word.extend([*level as i64, i64::from(is_last)]);
            groups.push(word);
        }
        let packed = pack_groups(row_groups, packer.lanes);
        let count = packed.len();
        for (index, mut line) in packed.into_iter().enumerate() {
            line.push(i64::from(index + 1 == count));
            lines.push(line);
            places.push(format!("row {row} at level {level}, line {index}"));
        }
    }
    let words = lines.len();
    bench.explain(output, move |place| places[place.word].clone());
    let round = Round {
        sources: vec![(input, groups)],
        sinks: vec![(output, lines)],
        collected: vec![],
    };
    (round, words)
}

/// Rows of one level without stalls: latency and interval are as documented.
fn full_speed(
    packer: &LanePacker,
    bench: &mut Bench,
    ports: (SourceId, SinkId),
    level: usize,
    random: &mut impl Rng,
) -> Result<(), BenchError> {
    let lengths: Vec<usize> = (0..50).map(|_| random.random_range(1..20)).collect();
    let rows: Vec<Row> = lengths
        .iter()
        .map(|&groups| random_row(packer, level, groups, random))
        .collect();
    let (round, _) = round(packer, bench, ports, &rows);
    round.at_full_speed(bench, |_| ())?;
    let taken = bench.source_cycles(ports.0);
    let left = bench.sink_cycles(ports.1);

    let group = packer.shape.vectors_per_line(level);
    let interval = group.div_ceil(packer.lanes) as u64;
    ensure_interval(&format!("{packer:?}: group"), taken, interval)?;
    // The group that completes each line: the line's last lane, counted within its row.
    let mut line = 0;
    let mut first_group = 0;
    for groups in lengths {
        for index in 0..(groups * group).div_ceil(packer.lanes) {
            let last_group = (((index + 1) * packer.lanes).min(groups * group) - 1) / group;
            let is_end_of_group =
                ((index + 1) * packer.lanes).is_multiple_of(group) || group < packer.lanes;
            let latency = left[line].wrapping_sub(taken[first_group + last_group]);
            ensure(!is_end_of_group || latency == LanePacker::LATENCY, || {
                format!(
                    "{packer:?}: line {line} leaves {latency} cycles after its last group, not {}",
                    LanePacker::LATENCY
                )
            })?;
            line += 1;
        }
        first_group += groups;
    }
    Ok(())
}
