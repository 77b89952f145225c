//! Testbench of the K and V line buffer: heads of every length fill the ring while earlier ones are read.

use rand::{Rng, RngExt};

use super::harness::{Round, ensure, start};
use super::{BenchError, Options, Report};
use crate::accelerator::kv_buffer::LineBuffer;
use crate::accelerator::kv_buffer::golden::{BufferRow, read};
use crate::accelerator::shape::ArrayShape;
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, SinkId, SourceId};
use crate::hdl::{Block, elaborate};

/// Lines read in one round.
const ROUND: usize = 1000;
/// Rows of a causal head: a row for every key while there are no more.
const CAUSAL_ROWS: usize = 50;

/// Runs on the K and the V buffer of the configuration, on a ring whose heads can fill it exactly, and on the
/// smallest.
///
/// # Errors
/// [`BenchError`]: a tool fails, or RTL and golden model differ.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let core = AttentionCore::new(config);
    let (keys, values) = (core.key_buffer(), core.value_buffer());
    let mut report = check(&keys, &Design::from(&elaborate(&keys)), options)?;
    let values_differ = values.name() != keys.name();
    let others = values_differ.then_some(values).into_iter().chain(corners());
    for buffer in others {
        let design = Design::from(&elaborate(&buffer));
        report.add(check(&buffer, &design, &options.untraced())?);
    }
    Ok(report)
}

fn corners() -> [LineBuffer; 2] {
    [
        LineBuffer {
            shape: ArrayShape {
                multipliers: 16,
                head_dims: vec![2, 4, 8, 16],
            },
            element_bits: 3,
            lines: 12,
            keys_per_row: 40,
        },
        LineBuffer {
            shape: ArrayShape {
                multipliers: 2,
                head_dims: vec![2],
            },
            element_bits: 1,
            lines: 4,
            keys_per_row: 4,
        },
    ]
}

/// Runs on one design, which is the buffer's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(
    buffer: &LineBuffer,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let shape = &buffer.shape;
    let data = Field::signed("data", buffer.element_bits).lanes(shape.multipliers);
    let row_fields: Vec<Field> = buffer
        .row_fields()
        .iter()
        .map(|field| Field::unsigned(&field.name, field.ty.width))
        .collect();
    let line_fields = [
        data.clone(),
        Field::unsigned("live", 1).lanes(shape.chunks()),
        Field::unsigned("last", 1),
    ];
    let ports = Ports {
        fill: bench.source("fill", &[data]),
        row: bench.source("row", &row_fields),
        line: bench.sink("line", &line_fields),
    };
    let mut random = options.random(1);
    let mut report = Report::default();
    capacity(buffer, &mut bench, &ports, &mut random)?;
    for level in shape.levels() {
        full_speed(buffer, &mut bench, &ports, level, &mut random)?;
    }
    while report.words < options.cases as u64 {
        let heads = random_heads(buffer, &mut random);
        let (round, words) = round(buffer, &mut bench, &ports, &heads, &mut random);
        round.with_stalls(&mut bench, &mut random, |_| ())?;
        report.words += words as u64;
    }
    report.cycles = bench.simulator().cycle();
    report.notes.push(format!(
        "{}: latency {} from read and {} from fill, one line per cycle from row to row, {} lines held",
        design.top,
        LineBuffer::LATENCY,
        LineBuffer::FILL_LATENCY,
        buffer.lines
    ));
    Ok(report)
}

struct Ports {
    fill: SourceId,
    row: SourceId,
    line: SinkId,
}

/// A head: its level, its keys, and the live ones of each of its rows.
pub(super) struct Head {
    pub level: usize,
    pub keys: usize,
    pub live: Vec<usize>,
}

impl Head {
    /// Its lines in the buffer.
    pub fn lines(&self, shape: &ArrayShape) -> usize {
        self.keys.div_ceil(shape.vectors_per_line(self.level))
    }
}

/// Most lines of a head at a level: the ring and the longest row allow no more.
fn longest_head(buffer: &LineBuffer, level: usize) -> usize {
    let per_line = buffer.shape.vectors_per_line(level);
    buffer
        .ring()
        .lines
        .min(buffer.keys_per_row.div_ceil(per_line))
}

/// Heads for one round: at each level at first one of the most lines with causal rows, then any.
pub(super) fn random_heads(buffer: &LineBuffer, random: &mut impl Rng) -> Vec<Head> {
    let shape = &buffer.shape;
    let most_keys = |level, lines: usize| {
        let held = lines * shape.vectors_per_line(level);
        held.min(buffer.keys_per_row)
    };
    let mut heads = Vec::new();
    for level in shape.levels() {
        let lines = longest_head(buffer, level);
        let keys = most_keys(level, lines);
        let causal = (0..=keys).step_by(keys.div_ceil(CAUSAL_ROWS));
        heads.push(Head {
            level,
            keys,
            live: causal.collect(),
        });
    }
    let mut read = 0;
    while read < ROUND {
        let level = shape.levels()[random.random_range(0..shape.levels().len())];
        let keys = random.random_range(1..=most_keys(level, longest_head(buffer, level)));
        let rows = random.random_range(1..=6);
        let live: Vec<usize> = (0..rows)
            .map(|_| match random.random_range(0..4) {
                0 => keys,
                _ => random.random_range(0..=keys),
            })
            .collect();
        let per_line = shape.vectors_per_line(level);
        read += live
            .iter()
            .map(|live| live.div_ceil(per_line))
            .sum::<usize>();
        heads.push(Head { level, keys, live });
    }
    heads
}

fn random_line(buffer: &LineBuffer, random: &mut impl Rng) -> Vec<i64> {
    let bound = 1i64 << (buffer.element_bits - 1);
    let elements = (0..buffer.shape.multipliers).map(|_| random.random_range(-bound..bound));
    elements.collect()
}

/// The words of `heads`, and the number of lines read.
fn round(
    buffer: &LineBuffer,
    bench: &mut Bench,
    ports: &Ports,
    heads: &[Head],
    random: &mut impl Rng,
) -> (Round, usize) {
    let mut fill = Vec::new();
    let mut rows = Vec::new();
    let mut row_words = Vec::new();
    let mut row_places = Vec::new();
    for (index, head) in heads.iter().enumerate() {
        let lines = head.lines(&buffer.shape);
        fill.extend((0..lines).map(|_| random_line(buffer, random)));
        for (row, &live) in head.live.iter().enumerate() {
            let is_last = row + 1 == head.live.len();
            rows.push(BufferRow {
                level: head.level,
                live,
                release: is_last.then_some(head.keys),
            });
            // The head's keys mean nothing but in the releasing row.
            let keys = if is_last {
                head.keys
            } else {
                random.random_range(0..=buffer.keys_per_row)
            };
            row_words.push(vec![
                head.level as i64,
                live as i64,
                i64::from(is_last),
                keys as i64,
            ]);
            row_places.push(format!("head {index} at level {}, row {row}", head.level));
        }
    }

    let mut lines = Vec::new();
    let mut places = Vec::new();
    for (row, place) in read(&buffer.shape, &rows).iter().zip(&row_places) {
        for (index, line) in row.iter().enumerate() {
            let mut word = fill[line.index].clone();
            word.extend(line.live.iter().map(|&live| i64::from(live)));
            word.push(i64::from(line.last));
            lines.push(word);
            places.push(format!("{place}, line {index}"));
        }
    }
    bench.explain(ports.line, move |place| places[place.word].clone());
    let words = lines.len();
    let round = Round {
        sources: vec![(ports.fill, fill), (ports.row, row_words)],
        sinks: vec![(ports.line, lines)],
        collected: vec![],
    };
    (round, words)
}

/// Without rows the ring takes as many lines as it has places, one per cycle, and no more.
fn capacity(
    buffer: &LineBuffer,
    bench: &mut Bench,
    ports: &Ports,
    random: &mut impl Rng,
) -> Result<(), BenchError> {
    bench.reset(2)?;
    let places = buffer.lines;
    let lines = (0..places + 3).map(|_| random_line(buffer, random));
    bench.send(ports.fill, lines.collect::<Vec<_>>());
    bench.run_for(2 * places as u64 + 10)?;
    let filled = bench.source_cycles(ports.fill);
    ensure(filled.len() == places, || {
        let lines = filled.len();
        format!("{buffer:?}: {lines} lines entered without a row, not {places}")
    })?;
    let cycles = filled[filled.len() - 1] - filled[0] + 1;
    ensure(cycles == filled.len() as u64, || {
        format!(
            "{buffer:?}: {} lines entered in {cycles} cycles",
            filled.len()
        )
    })
}

/// Heads of half the ring without stalls: each is filled while the one before is read, so that a line leaves in every
/// cycle after the first.
fn full_speed(
    buffer: &LineBuffer,
    bench: &mut Bench,
    ports: &Ports,
    level: usize,
    random: &mut impl Rng,
) -> Result<(), BenchError> {
    let per_line = buffer.shape.vectors_per_line(level);
    let most = longest_head(buffer, level).min(buffer.lines / 2);
    let heads: Vec<Head> = (0..20)
        .map(|_| {
            let keys = (most * per_line).min(buffer.keys_per_row);
            let any = random.random_range(0..=keys);
            Head {
                level,
                keys,
                live: vec![keys, any, 0, keys],
            }
        })
        .collect();
    let (round, _) = round(buffer, bench, ports, &heads, random);
    round.at_full_speed(bench, |_| ())?;

    let lines = bench.sink_cycles(ports.line);
    let latency = lines[0] - bench.source_cycles(ports.fill)[0];
    ensure(latency == LineBuffer::FILL_LATENCY, || {
        format!("{buffer:?}: the first line leaves {latency} cycles after it entered")
    })?;
    for (line, pair) in lines.windows(2).enumerate() {
        ensure(pair[1] - pair[0] == 1, || {
            let gap = pair[1] - pair[0];
            format!("{buffer:?}: line {} follows after {gap} cycles", line + 1)
        })?;
    }
    let mut read = 0;
    let rows = heads.iter().flat_map(|head| &head.live);
    for (row, &live) in rows.enumerate() {
        read += live.div_ceil(per_line).max(1);
        let latency = lines[read - 1].wrapping_sub(bench.source_cycles(ports.row)[row]);
        ensure(latency == LineBuffer::LATENCY, || {
            format!("{buffer:?}: the last line of row {row} leaves {latency} cycles after the row")
        })?;
    }
    Ok(())
}
