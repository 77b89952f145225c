//! Testbench of the K and V line buffer: heads of every length fill the ring while earlier ones are read.

use rand::{Rng, RngExt};

use super::harness::{Round, ensure, ensure_interval, start};
use super::{BenchError, Options, Report};
use crate::accelerator::kv_buffer::golden::{BufferRow, read};
use crate::accelerator::kv_buffer::{LineBuffer, LineRing};
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
        LineRing {
            shape: ArrayShape {
                multipliers: 16,
                head_dims: vec![2, 4, 8, 16],
            },
            element_bits: 3,
            lines: 12,
            keys_per_row: 40,
        },
        LineRing {
            shape: ArrayShape {
                multipliers: 2,
                head_dims: vec![2],
            },
            element_bits: 1,
            lines: 4,
            keys_per_row: 4,
        },
    ]
    .map(|ring| LineBuffer { ring })
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
    let ring = &buffer.ring;
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let shape = &ring.shape;
    let data = Field::signed("data", ring.element_bits).lanes(shape.multipliers);
    let (row, line) = row_and_line(ring, &mut bench);
    let ports = Ports {
        fill: bench.source("fill", &[data]),
        row,
        line,
    };
    let mut random = options.random(1);
    let mut report = Report::default();
    capacity(ring, &mut bench, &ports, &mut random)?;
    for level in shape.levels() {
        full_speed(ring, &mut bench, &ports, level, &mut random)?;
    }
    while report.words < options.cases as u64 {
        let heads = random_heads(ring, &mut random);
        let (round, words) = round(ring, &mut bench, &ports, &heads, &mut random);
        round.with_stalls(&mut bench, &mut random, |_| ())?;
        report.words += words as u64;
    }
    report.cycles = bench.simulator().cycle();
    report.notes.push(format!(
        "{}: latency {} from read and {} from fill, one line per cycle from row to row, {} lines held",
        design.top,
        LineBuffer::LATENCY,
        LineBuffer::FILL_LATENCY,
        ring.lines
    ));
    Ok(report)
}

struct Ports {
    fill: SourceId,
    row: SourceId,
    line: SinkId,
}

/// The channels `row` and `line`.
pub(super) fn row_and_line(ring: &LineRing, bench: &mut Bench) -> (SourceId, SinkId) {
    let row_fields: Vec<Field> = ring
        .row_fields()
        .iter()
        .map(|field| Field::unsigned(&field.name, field.ty.width))
        .collect();
    let line_fields = [
        Field::signed("data", ring.element_bits).lanes(ring.shape.multipliers),
        Field::unsigned("live", 1).lanes(ring.shape.chunks()),
        Field::unsigned("last", 1),
    ];
    (
        bench.source("row", &row_fields),
        bench.sink("line", &line_fields),
    )
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
fn longest_head(ring: &LineRing, level: usize) -> usize {
    let per_line = ring.shape.vectors_per_line(level);
    ring.lines.min(ring.keys_per_row.div_ceil(per_line))
}

/// Heads for one round: at each level at first one of the most lines with causal rows, then any.
pub(super) fn random_heads(ring: &LineRing, random: &mut impl Rng) -> Vec<Head> {
    let shape = &ring.shape;
    let most_keys = |level, lines: usize| {
        let held = lines * shape.vectors_per_line(level);
        held.min(ring.keys_per_row)
    };
    let mut heads = Vec::new();
    for level in shape.levels() {
        let lines = longest_head(ring, level);
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
        let keys = random.random_range(1..=most_keys(level, longest_head(ring, level)));
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

pub(super) fn random_line(ring: &LineRing, random: &mut impl Rng) -> Vec<i64> {
    let bound = 1i64 << (ring.element_bits - 1);
    let elements = (0..ring.shape.multipliers).map(|_| random.random_range(-bound..bound));
    elements.collect()
}

/// The rows of some heads.
pub(super) struct Rows {
    /// For the golden model.
    pub rows: Vec<BufferRow>,
    /// For the `row` channel.
    pub words: Vec<Vec<i64>>,
    /// Where each row is, for messages.
    pub places: Vec<String>,
}

impl Rows {
    /// The rows of `heads`.
    pub fn of(ring: &LineRing, heads: &[Head], random: &mut impl Rng) -> Rows {
        let mut all = Rows {
            rows: Vec::new(),
            words: Vec::new(),
            places: Vec::new(),
        };
        for (index, head) in heads.iter().enumerate() {
            let level = head.level;
            for (row, &live) in head.live.iter().enumerate() {
                let is_last = row + 1 == head.live.len();
                // The head's keys mean nothing but in the releasing row.
                let keys = if is_last {
                    head.keys
                } else {
                    random.random_range(0..=ring.keys_per_row)
                };
                all.rows.push(BufferRow {
                    level,
                    live,
                    release: is_last.then_some(keys),
                });
                let release = i64::from(is_last);
                all.words
                    .push(vec![level as i64, live as i64, release, keys as i64]);
                all.places
                    .push(format!("head {index} at level {level}, row {row}"));
            }
        }
        all
    }
}

/// The words of `heads`, and the number of lines read.
fn round(
    ring: &LineRing,
    bench: &mut Bench,
    ports: &Ports,
    heads: &[Head],
    random: &mut impl Rng,
) -> (Round, usize) {
    let mut fill = Vec::new();
    for head in heads {
        let lines = head.lines(&ring.shape);
        fill.extend((0..lines).map(|_| random_line(ring, random)));
    }
    let rows = Rows::of(ring, heads, random);

    let mut lines = Vec::new();
    let mut places = Vec::new();
    for (row, place) in read(&ring.shape, &rows.rows).iter().zip(&rows.places) {
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
        sources: vec![(ports.fill, fill), (ports.row, rows.words)],
        sinks: vec![(ports.line, lines)],
        collected: vec![],
    };
    (round, words)
}

/// Without rows the ring takes as many lines as it has places, one per cycle, and no more.
fn capacity(
    ring: &LineRing,
    bench: &mut Bench,
    ports: &Ports,
    random: &mut impl Rng,
) -> Result<(), BenchError> {
    bench.reset(2)?;
    let places = ring.lines;
    let lines = (0..places + 3).map(|_| random_line(ring, random));
    bench.send(ports.fill, lines.collect::<Vec<_>>());
    bench.run_for(2 * places as u64 + 10)?;
    let filled = bench.source_cycles(ports.fill);
    ensure(filled.len() == places, || {
        let lines = filled.len();
        format!("{ring:?}: {lines} lines entered without a row, not {places}")
    })?;
    let cycles = filled[filled.len() - 1] - filled[0] + 1;
    ensure(cycles == filled.len() as u64, || {
        format!(
            "{ring:?}: {} lines entered in {cycles} cycles",
            filled.len()
        )
    })
}

/// Heads of half the ring without stalls: each is filled while the one before is read, so that a line leaves in every
/// cycle after the first.
fn full_speed(
    ring: &LineRing,
    bench: &mut Bench,
    ports: &Ports,
    level: usize,
    random: &mut impl Rng,
) -> Result<(), BenchError> {
    let per_line = ring.shape.vectors_per_line(level);
    let most = longest_head(ring, level).min(ring.lines / 2);
    let heads: Vec<Head> = (0..20)
        .map(|_| {
            let keys = (most * per_line).min(ring.keys_per_row);
            let any = random.random_range(0..=keys);
            Head {
                level,
                keys,
                live: vec![keys, any, 0, keys],
            }
        })
        .collect();
    let (round, _) = round(ring, bench, ports, &heads, random);
    round.at_full_speed(bench, |_| ())?;

    let lines = bench.sink_cycles(ports.line);
    let latency = lines[0] - bench.source_cycles(ports.fill)[0];
    ensure(latency == LineBuffer::FILL_LATENCY, || {
        format!("{ring:?}: the first line leaves {latency} cycles after it entered")
    })?;
    ensure_interval(&format!("{ring:?}: line"), lines, 1)?;
    let mut read = 0;
    let rows = heads.iter().flat_map(|head| &head.live);
    for (row, &live) in rows.enumerate() {
        read += live.div_ceil(per_line).max(1);
        let latency = lines[read - 1].wrapping_sub(bench.source_cycles(ports.row)[row]);
        ensure(latency == LineBuffer::LATENCY, || {
            format!("{ring:?}: the last line of row {row} leaves {latency} cycles after the row")
        })?;
    }
    Ok(())
}
