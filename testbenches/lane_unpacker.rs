//! Testbench of the lane unpacker: groups of every level cut from lines, collected from several and passed on.

use std::rc::Rc;

use rand::{Rng, RngExt};

use super::harness::{Round, ensure, ensure_interval, start};
use super::{BenchError, Options, Report};
use crate::accelerator::shape::ArrayShape;
use crate::accelerator::top::AttentionCore;
use crate::cells::lane_unpacker::{LaneUnpacker, unpack_lines};
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, PortId, SinkId, SourceId};
use crate::hdl::elaborate;

/// Groups of one round.
const ROUND: usize = 1000;

/// Runs on the unpacker of `prob_value`, on one whose groups are larger than, equal to and smaller than its line, and
/// on the smallest.
///
/// # Errors
/// [`BenchError`]: a tool fails, or RTL and golden model differ.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).prob_value().unpacker();
    let design = Design::from(&elaborate(&used));
    let mut report = check(&used, &design, options)?;
    for corner in corners() {
        let design = Design::from(&elaborate(&corner));
        report.add(check(&corner, &design, &options.untraced())?);
    }
    Ok(report)
}

fn corners() -> [LaneUnpacker; 2] {
    [
        LaneUnpacker {
            shape: ArrayShape {
                multipliers: 16,
                head_dims: vec![2, 4, 8, 16],
            },
            lanes: 2,
            width: 5,
        },
        LaneUnpacker {
            shape: ArrayShape {
                multipliers: 4,
                head_dims: vec![4],
            },
            lanes: 1,
            width: 1,
        },
    ]
}

/// Runs on one design, which is the unpacker's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(
    unpacker: &LaneUnpacker,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let (lanes, chunks) = (unpacker.lanes, unpacker.shape.chunks());
    let data = Field::unsigned("data", unpacker.width);
    let ports = Ports {
        input: bench.source("in", &[data.clone().lanes(lanes)]),
        output: bench.sink("out", &[data.lanes(chunks)]),
        level: bench.simulator().port("level_i"),
        finish: bench.simulator().port("finish_i"),
    };
    let mut random = options.random(1);
    let mut report = Report::default();
    for level in unpacker.shape.levels() {
        full_speed(unpacker, &mut bench, &ports, level, &mut random)?;
    }
    while report.words < options.cases as u64 {
        let rows = random_rows(unpacker, &mut random);
        let (round, places) = round(unpacker, &ports, &rows);
        explain(&mut bench, &ports, places.clone());
        round.with_stalls(&mut bench, &mut random, |bench| ports.drive(bench, &places))?;
        report.words += places.len() as u64;
    }
    report.cycles = bench.simulator().cycle();
    report.notes.push(format!(
        "{}: latency {}, one group or one line per cycle",
        design.top,
        LaneUnpacker::LATENCY
    ));
    Ok(report)
}

struct Ports {
    input: SourceId,
    output: SinkId,
    level: PortId,
    finish: PortId,
}

impl Ports {
    /// Level and finish of the group that leaves next.
    fn drive(&self, bench: &mut Bench, places: &[Place]) {
        let taken = bench.sink_cycles(self.output).len();
        if let Some(place) = places.get(taken) {
            bench.simulator().set(self.level, place.level as u64);
            bench.simulator().set(self.finish, u64::from(place.is_last));
        }
    }
}

/// What a group is.
struct Place {
    row: usize,
    group: usize,
    level: usize,
    is_last: bool,
}

fn explain(bench: &mut Bench, ports: &Ports, places: Rc<[Place]>) {
    let names: Vec<String> = places
        .iter()
        .map(|place| {
            format!(
                "row {} at level {}, group {}",
                place.row, place.level, place.group
            )
        })
        .collect();
    bench.explain(ports.output, move |place| names[place.word].clone());
}

/// A row: its level, the number of its groups, and lines that hold them.
struct Row {
    level: usize,
    groups: usize,
    lines: Vec<Vec<i64>>,
}

/// Rows for one round; at first one of all ones in every lane for each level and length up to two lines and a group.
fn random_rows(unpacker: &LaneUnpacker, random: &mut impl Rng) -> Vec<Row> {
    let mut rows = Vec::new();
    for level in unpacker.shape.levels() {
        let group = unpacker.shape.vectors_per_line(level);
        for groups in 1..=2 * unpacker.lanes.div_ceil(group) + 1 {
            let mut row = random_row(unpacker, level, groups, random);
            let ones = (1 << unpacker.width) - 1;
            row.lines.iter_mut().for_each(|line| line.fill(ones));
            rows.push(row);
        }
    }
    let mut all_groups = 0;
    while all_groups < ROUND {
        let levels = unpacker.shape.levels();
        let level = levels[random.random_range(0..levels.len())];
        let group = unpacker.shape.vectors_per_line(level);
        let groups = random.random_range(1..=4 * unpacker.lanes.div_ceil(group));
        rows.push(random_row(unpacker, level, groups, random));
        all_groups += groups;
    }
    rows
}

fn random_row(unpacker: &LaneUnpacker, level: usize, groups: usize, random: &mut impl Rng) -> Row {
    let group = unpacker.shape.vectors_per_line(level);
    let mut line = || -> Vec<i64> {
        let lanes = (0..unpacker.lanes).map(|_| random.random_range(0..1 << unpacker.width));
        lanes.collect()
    };
    Row {
        level,
        groups,
        lines: (0..(groups * group).div_ceil(unpacker.lanes))
            .map(|_| line())
            .collect(),
    }
}

/// The words of `rows`, and what each group is.
fn round(unpacker: &LaneUnpacker, ports: &Ports, rows: &[Row]) -> (Round, Rc<[Place]>) {
    let mut groups = Vec::new();
    let mut places = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let size = unpacker.shape.vectors_per_line(row.level);
        for (group, mut word) in unpack_lines(&row.lines, size, row.groups)
            .into_iter()
            .enumerate()
        {
            word.resize(unpacker.shape.chunks(), 0);
            groups.push(word);
            places.push(Place {
                row: index,
                group,
                level: row.level,
                is_last: group + 1 == row.groups,
            });
        }
    }
    let lines = rows.iter().flat_map(|row| row.lines.iter().cloned());
    let round = Round {
        sources: vec![(ports.input, lines.collect())],
        sinks: vec![(ports.output, groups)],
        collected: vec![],
    };
    (round, places.into())
}

/// Rows of one level without stalls: latency and interval are as documented.
fn full_speed(
    unpacker: &LaneUnpacker,
    bench: &mut Bench,
    ports: &Ports,
    level: usize,
    random: &mut impl Rng,
) -> Result<(), BenchError> {
    let rows: Vec<Row> = (0..50)
        .map(|_| {
            let groups = random.random_range(1..20);
            random_row(unpacker, level, groups, random)
        })
        .collect();
    let (round, places) = round(unpacker, ports, &rows);
    explain(bench, ports, places.clone());
    round.at_full_speed(bench, |bench| ports.drive(bench, &places))?;

    let taken = bench.source_cycles(ports.input);
    let left = bench.sink_cycles(ports.output);
    let interval = unpacker
        .shape
        .vectors_per_line(level)
        .div_ceil(unpacker.lanes) as u64;
    ensure_interval(&format!("{unpacker:?}: group"), left, interval)?;
    // A row's last line is used up with its last group.
    let (mut lines, mut groups) = (0, 0);
    for row in &rows {
        lines += row.lines.len();
        groups += row.groups;
        let latency = left[groups - 1].wrapping_sub(taken[lines - 1]);
        ensure(latency == LaneUnpacker::LATENCY, || {
            format!(
                "{unpacker:?}: group {} leaves {latency} cycles after its line, not {}",
                groups - 1,
                LaneUnpacker::LATENCY
            )
        })?;
    }
    Ok(())
}
