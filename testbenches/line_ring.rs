//! Testbench of the ring of K and V lines: its columns are filled chunk by chunk, in any order, while rows are read.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::harness::{ensure, ensure_interval, random_stalls, start};
use super::kv_buffer::{Head, Rows, random_heads, random_line, row_and_line};
use super::{BenchError, Options, Report};
use crate::accelerator::kv_buffer::LineRing;
use crate::accelerator::kv_buffer::golden::{ReadLine, read};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, PortId, SinkId, SourceId, Stalls};
use crate::hdl::elaborate;

/// Runs on the ring of the K ring.
///
/// # Errors
/// [`BenchError`]: a tool fails, or RTL and golden model differ.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let ring = AttentionCore::new(config).key_buffer().ring;
    check(&ring, &Design::from(&elaborate(&ring)), options)
}

/// Runs on one design, which is the ring's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(ring: &LineRing, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let ports = Ports::find(ring, &mut bench);
    let mut random = options.random(1);
    let mut report = Report::default();
    for level in ring.shape.levels() {
        streaming(ring, &mut bench, &ports, level, (&mut random, options.seed))?;
    }
    while report.words < options.cases as u64 {
        let heads = random_heads(ring, &mut random);
        let mut fills = Fills::new(ring, &heads, &mut random);
        fills.eagerness = [0.05, 0.3, 1.0][random.random_range(0..3)];
        fills.shuffles = true;
        let mut stalls = || random_stalls(&mut random);
        ports.stall(&mut bench, &mut stalls);
        report.words += fills.round(&mut bench, &ports, options.seed)? as u64;
    }
    report.cycles = bench.simulator().cycle();
    report.notes.push(format!(
        "{}: one line filled and read per cycle, by rows that each release their lines",
        design.top
    ));
    Ok(report)
}

/// Heads of one row each, filled without pause: a line enters and a line leaves in every cycle.
fn streaming(
    ring: &LineRing,
    bench: &mut Bench,
    ports: &Ports,
    level: usize,
    (random, seed): (&mut impl Rng, u64),
) -> Result<(), BenchError> {
    let keys = ring
        .keys_per_row
        .min(ring.lines / 2 * ring.shape.vectors_per_line(level));
    let heads: Vec<Head> = (0..20)
        .map(|_| Head {
            level,
            keys,
            live: vec![keys],
        })
        .collect();
    let mut fills = Fills::new(ring, &heads, random);
    ports.stall(bench, &mut || Stalls::NONE);
    fills.round(bench, ports, seed)?;
    let lines = bench.sink_cycles(ports.line);
    ensure_interval(&format!("{ring:?}: line"), lines, 1)
}

struct Ports {
    allocate_valid: PortId,
    allocate_ready: PortId,
    allocate_columns: PortId,
    /// Of each column: for even and for odd lines.
    fills: Vec<[SourceId; 2]>,
    row: SourceId,
    line: SinkId,
}

impl Ports {
    fn find(ring: &LineRing, bench: &mut Bench) -> Self {
        let shape = &ring.shape;
        let element = Field::signed("data", ring.element_bits);
        let half_bits = ring.column().half_bits();
        let fill_fields = [
            Field::unsigned("half", half_bits),
            element.lanes(shape.min_dim()),
        ];
        let (row, line) = row_and_line(ring, bench);
        Ports {
            allocate_valid: bench.simulator().port("allocate_valid_i"),
            allocate_ready: bench.simulator().port("allocate_ready_o"),
            allocate_columns: bench.simulator().port("allocate_columns_i"),
            fills: (0..shape.chunks())
                .map(|c| LineRing::fill_names(c).map(|name| bench.source(&name, &fill_fields)))
                .collect(),
            row,
            line,
        }
    }

    fn stall(&self, bench: &mut Bench, stalls: &mut dyn FnMut() -> Stalls) {
        let fills = self.fills.iter().flatten();
        for &source in fills.chain([&self.row]) {
            bench.stall_source(source, stalls());
        }
        bench.stall_sink(self.line, stalls());
    }
}

/// The lines of some heads on their way into the ring, and what must leave it.
struct Fills<'a> {
    ring: &'a LineRing,
    /// Elements of every line.
    lines: Vec<Vec<i64>>,
    /// Of every line, the columns that hold keys: the others are never filled.
    columns: Vec<Vec<usize>>,
    rows: Vec<Vec<i64>>,
    /// What every row reads, with the name of its place and the chunks of a vector.
    expected: Vec<(String, usize, ReadLine)>,
    /// Chance of an action per cycle.
    eagerness: f64,
    /// Chunks arrive in any order.
    shuffles: bool,
    random: ChaCha8Rng,
}

impl<'a> Fills<'a> {
    fn new(ring: &'a LineRing, heads: &[Head], random: &mut impl Rng) -> Self {
        let shape = &ring.shape;
        let mut fills = Fills {
            ring,
            lines: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
            expected: Vec::new(),
            eagerness: 1.0,
            shuffles: false,
            random: ChaCha8Rng::seed_from_u64(random.random()),
        };
        for head in heads {
            let per_line = shape.vectors_per_line(head.level);
            for line in 0..head.lines(shape) {
                let vectors = (head.keys - line * per_line).min(per_line);
                fills.columns.push((0..vectors << head.level).collect());
                fills.lines.push(random_line(ring, random));
            }
        }
        let rows = Rows::of(ring, heads, random);
        for (lines, (row, place)) in read(shape, &rows.rows)
            .into_iter()
            .zip(rows.rows.iter().zip(rows.places))
        {
            let named = lines.into_iter().enumerate();
            let named =
                named.map(|(index, line)| (format!("{place}, line {index}"), 1 << row.level, line));
            fills.expected.extend(named);
        }
        fills.rows = rows.words;
        fills
    }

    /// Runs to the end and compares what is defined; the number of lines read.
    fn round(&mut self, bench: &mut Bench, ports: &Ports, seed: u64) -> Result<usize, BenchError> {
        bench.reset(2)?;
        bench.send(ports.row, &self.rows);
        bench.collect(ports.line, self.expected.len());
        let chunk_words: usize = self.columns.iter().map(Vec::len).sum();
        let limit = 2000 + 200 * (self.expected.len() + chunk_words) as u64;
        let mut allocated = 0;
        let mut waits = false;
        let mut pool: Vec<(usize, usize)> = Vec::new();
        bench.run_driving(limit, |bench| {
            // Chunks of lines that were taken into use in an earlier cycle.
            if self.shuffles {
                pool.shuffle(&mut self.random);
            }
            for (line, column) in std::mem::take(&mut pool) {
                if self.random.random_bool(self.eagerness) {
                    let (source, word) = self.fill(ports, line, column);
                    bench.send(source, [word]);
                } else {
                    pool.push((line, column));
                }
            }
            // An offer stands until it is taken.
            let more = allocated < self.lines.len();
            let offers = waits || (more && self.random.random_bool(self.eagerness.max(0.3)));
            let simulator = bench.simulator();
            simulator.set(ports.allocate_valid, u64::from(offers));
            if offers {
                let flags = self.columns[allocated].iter();
                let flags = flags.fold(0u64, |flags, column| flags | 1 << column);
                simulator.set(ports.allocate_columns, flags);
            }
            let taken = offers && simulator.get(ports.allocate_ready) == 1;
            if taken {
                let columns = self.columns[allocated].iter();
                pool.extend(columns.map(|&column| (allocated, column)));
                allocated += 1;
            }
            waits = offers && !taken;
        })?;
        self.compare(bench.collected(ports.line), seed)?;
        Ok(self.expected.len())
    }

    /// The fill of a chunk.
    fn fill(&self, ports: &Ports, line: usize, column: usize) -> (SourceId, Vec<i64>) {
        let at = line % self.ring.lines;
        let elements = self.ring.shape.min_dim();
        let chunk = &self.lines[line][column * elements..][..elements];
        let mut word = vec![(at / 2) as i64];
        word.extend(chunk);
        (ports.fills[column][at % 2], word)
    }

    /// Flags and live vectors must be right; other vectors are undefined.
    fn compare(&self, got: &[i64], seed: u64) -> Result<(), BenchError> {
        let shape = &self.ring.shape;
        let width = shape.multipliers + shape.chunks() + 1;
        for ((place, chunks, expected), got) in self.expected.iter().zip(got.chunks(width)) {
            let (data, flags) = got.split_at(shape.multipliers);
            let mut expected_flags: Vec<i64> =
                expected.live.iter().map(|&live| i64::from(live)).collect();
            expected_flags.push(i64::from(expected.last));
            ensure(flags == expected_flags, || {
                format!(
                    "stream `line` (seed {seed}): {place}: live vectors and last are {flags:?}, not {expected_flags:?}"
                )
            })?;
            let vectors = expected.live.iter().filter(|&&live| live).count();
            let defined = vectors * chunks * shape.min_dim();
            let whole = &self.lines[expected.index];
            for lane in 0..defined {
                ensure(data[lane] == whole[lane], || {
                    let (got, expected) = (data[lane], whole[lane]);
                    format!(
                        "stream `line` (seed {seed}): {place}, lane {lane}: got {got}, expected {expected}"
                    )
                })?;
            }
        }
        Ok(())
    }
}
