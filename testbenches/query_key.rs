//! Testbench of `query_key`: scores, live flags and maxima of rows of every length and level.

use rand::{Rng, RngExt};

use super::harness::{Round, ensure, ensure_interval, start};
use super::{BenchError, Options, Report};
use crate::accelerator::query_key::QueryKey;
use crate::accelerator::query_key::golden::{row_maximum, score_row};
use crate::accelerator::shape::ArrayShape;
use crate::accelerator::top::AttentionCore;
use crate::cells::lane_packer::pack_groups;
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, PortId, SinkId, SourceId};
use crate::hdl::elaborate;
use crate::numerics::Formats;

/// K lines of one round.
const ROUND: usize = 1000;
/// Longest row in K lines.
const LONGEST_ROW: usize = 40;

/// Runs on the stage of the configuration, on one whose groups of scores are larger than, equal to and smaller than a
/// score line, and on one of a single dimension whose groups are one score each.
///
/// # Errors
/// [`BenchError`]: a tool fails, or RTL and golden model differ.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).query_key();
    let mut report = check(&used, &Design::from(&elaborate(&used)), options)?;
    for corner in corners() {
        let design = Design::from(&elaborate(&corner));
        report.add(check(&corner, &design, &options.untraced())?);
    }
    Ok(report)
}

/// Small stages that reach every kind of packing.
pub fn corners() -> [QueryKey; 2] {
    let stage = |head_dims: &[usize], lanes| QueryKey {
        shape: ArrayShape {
            multipliers: head_dims[head_dims.len() - 1],
            head_dims: head_dims.to_vec(),
        },
        formats: Formats {
            query_bits: 5,
            key_bits: 4,
            value_bits: 4,
            max_head_dim: head_dims[head_dims.len() - 1],
        },
        lanes,
        score_places: 32,
        held_queries: 0,
    };
    [stage(&[2, 4, 8, 16], 2), stage(&[4], 16)]
}

/// Runs on one design, which is the stage's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(stage: &QueryKey, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let ports = Ports::find(stage, &mut bench);
    let mut random = options.random(1);
    let mut report = Report::default();
    for level in stage.shape.levels() {
        full_speed(stage, &mut bench, &ports, level, &mut random)?;
    }
    let mut rows = extreme_rows(stage, &mut random);
    let mut receiver = Receiver::new(stage);
    while report.words < options.cases as u64 {
        add_random_rows(stage, &mut rows, &mut random);
        let words = Words::new(stage, &rows);
        let round = words.round(&ports);
        words.explain(&mut bench, &ports);
        receiver.frees = [1.0, 0.5, 0.1][random.random_range(0..3)];
        let mut pulses = options.random(2 + report.words);
        round.with_stalls_except(&[ports.score], &mut bench, &mut random, |bench| {
            receiver.drive(bench, &ports, &mut pulses);
        })?;
        receiver.check(design, options)?;
        words.compare_maxima(&bench, &ports, design, options)?;
        report.words += (words.scores.len() + words.maxima.len()) as u64;
        rows.clear();
    }
    report.cycles = bench.simulator().cycle();
    report.notes.push(format!(
        "{}: latency {} to scores and {} from there to the maximum, one K line or one score line per cycle",
        design.top,
        stage.score_latency(),
        stage.maximum_latency()
    ));
    Ok(report)
}

struct Ports {
    row: SourceId,
    line: SourceId,
    score: SinkId,
    score_free: PortId,
    maximum: SinkId,
}

/// What takes the score lines: it has a place for each line sent against a credit, so `score` never stalls.
struct Receiver {
    places: usize,
    /// How readily a place becomes free.
    frees: f64,
    freed: usize,
    most_held: usize,
}

impl Receiver {
    fn new(stage: &QueryKey) -> Self {
        Receiver {
            places: stage.score_places,
            frees: 1.0,
            freed: 0,
            most_held: 0,
        }
    }

    /// Gives at most one place back in this cycle.
    fn drive(&mut self, bench: &mut Bench, ports: &Ports, random: &mut impl Rng) {
        let taken = bench.sink_cycles(ports.score).len();
        // After a reset both count from zero.
        self.freed = self.freed.min(taken);
        self.most_held = self.most_held.max(taken - self.freed);
        let frees = self.freed < taken && random.random_bool(self.frees);
        self.freed += usize::from(frees);
        bench.simulator().set(ports.score_free, u64::from(frees));
    }

    /// No more lines than there are places were ever held.
    fn check(&self, design: &Design, options: &Options) -> Result<(), BenchError> {
        ensure(self.most_held <= self.places, || {
            format!(
                "{} (seed {}): stream `score`: {} lines sent for {} places",
                design.top, options.seed, self.most_held, self.places
            )
        })
    }
}

impl Ports {
    fn find(stage: &QueryKey, bench: &mut Bench) -> Self {
        let (shape, formats) = (&stage.shape, &stage.formats);
        let last = Field::unsigned("last", 1);
        let live = Field::unsigned("live", 1);
        let query = Field::signed("query", formats.query_bits).lanes(shape.max_dim());
        let level = Field::unsigned("level", shape.level_bits());
        let keys = Field::signed("data", formats.key_bits).lanes(shape.multipliers);
        let score = Field::signed("data", formats.score_bits());
        Ports {
            row: bench.source("row", &[query, level]),
            line: bench.source(
                "line",
                &[keys, live.clone().lanes(shape.chunks()), last.clone()],
            ),
            score: bench.sink(
                "score",
                &[
                    score.clone().lanes(stage.lanes),
                    live.lanes(stage.lanes),
                    last,
                ],
            ),
            score_free: bench.simulator().port("score_free_i"),
            maximum: bench.sink("maximum", &[score]),
        }
    }
}

/// One row: its query of d elements, the vectors of its K lines, and which of them are live.
#[derive(Clone, Debug)]
struct Row {
    level: usize,
    query: Vec<i64>,
    keys: Vec<Vec<i64>>,
    live: Vec<bool>,
}

/// Bounds of query and key elements; queries never take the most negative code.
fn bounds(formats: &Formats) -> ((i64, i64), (i64, i64)) {
    let most = |bits: usize| (1i64 << (bits - 1)) - 1;
    let (query, key) = (most(formats.query_bits), most(formats.key_bits));
    ((-query, query), (-key - 1, key))
}

/// At every level each pair of extreme operands, in a row of one and of two lines: all live, a prefix, or none.
fn extreme_rows(stage: &QueryKey, random: &mut impl Rng) -> Vec<Row> {
    let (query, key) = bounds(&stage.formats);
    let mut rows = Vec::new();
    for level in stage.shape.levels() {
        let head_dim = stage.shape.min_dim() << level;
        let vectors = stage.shape.vectors_per_line(level);
        for (q, k) in [query.0, query.1]
            .into_iter()
            .flat_map(|q| [key.0, key.1].map(|k| (q, k)))
        {
            for keys in [vectors, 2 * vectors] {
                for live in [0, 1, keys / 2, keys] {
                    rows.push(Row {
                        level,
                        query: vec![q; head_dim],
                        keys: vec![vec![k; head_dim]; keys],
                        live: (0..keys).map(|key| key < live).collect(),
                    });
                }
            }
            // One score stands out by its sign, so that the maximum must find it.
            let mut row = random_row(stage, level, 3, random);
            row.query = vec![q; head_dim];
            let place = random.random_range(0..row.keys.len());
            row.keys[place] = vec![k; head_dim];
            rows.push(row);
        }
    }
    rows
}

/// Random rows until a round is full.
fn add_random_rows(stage: &QueryKey, rows: &mut Vec<Row>, random: &mut impl Rng) {
    let mut lines = 0;
    while lines < ROUND {
        let levels = stage.shape.levels();
        let level = levels[random.random_range(0..levels.len())];
        let length = match random.random_range(0..3) {
            0 => 1,
            1 => random.random_range(1..=3),
            _ => random.random_range(1..=LONGEST_ROW),
        };
        rows.push(random_row(stage, level, length, random));
        lines += length;
    }
}

/// A row of random operands; its live keys are a prefix, any, or none.
fn random_row(stage: &QueryKey, level: usize, lines: usize, random: &mut impl Rng) -> Row {
    let head_dim = stage.shape.min_dim() << level;
    let keys = lines * stage.shape.vectors_per_line(level);
    let (query_range, key_range) = bounds(&stage.formats);
    let mut vector = |(low, high): (i64, i64)| -> Vec<i64> {
        let elements = (0..head_dim).map(|_| random.random_range(low..=high));
        elements.collect()
    };
    let query = vector(query_range);
    let vectors = (0..keys).map(|_| vector(key_range)).collect();
    let prefix = random.random_range(0..=keys);
    let kind = random.random_range(0..8);
    let live = (0..keys).map(|key| match kind {
        0 => false,
        1 | 2 => random.random(),
        3 => true,
        _ => key < prefix,
    });
    Row {
        level,
        query,
        live: live.collect(),
        keys: vectors,
    }
}

/// The words of rows on every stream.
struct Words {
    rows: Vec<Vec<i64>>,
    lines: Vec<Vec<i64>>,
    scores: Vec<Vec<i64>>,
    /// Row, level and index of each score line.
    places: Vec<(usize, usize, usize)>,
    /// Maximum of each row; none where no key is live and the word means nothing.
    maxima: Vec<Option<i64>>,
}

impl Words {
    fn new(stage: &QueryKey, rows: &[Row]) -> Self {
        let mut words = Words {
            rows: Vec::new(),
            lines: Vec::new(),
            scores: Vec::new(),
            places: Vec::new(),
            maxima: Vec::new(),
        };
        for (index, row) in rows.iter().enumerate() {
            let mut word = row.query.clone();
            word.resize(stage.shape.max_dim(), 0);
            word.push(row.level as i64);
            words.rows.push(word);
            words.add_lines(stage, row);
            words.add_scores(stage, index, row);
        }
        words
    }

    fn add_lines(&mut self, stage: &QueryKey, row: &Row) {
        let vectors = stage.shape.vectors_per_line(row.level);
        let lines = row.keys.len() / vectors;
        for (index, (keys, live)) in row
            .keys
            .chunks(vectors)
            .zip(row.live.chunks(vectors))
            .enumerate()
        {
            let mut word = keys.concat();
            word.extend(live.iter().map(|&live| i64::from(live)));
            word.resize(stage.shape.multipliers + stage.shape.chunks(), 0);
            word.push(i64::from(index + 1 == lines));
            self.lines.push(word);
        }
    }

    fn add_scores(&mut self, stage: &QueryKey, index: usize, row: &Row) {
        let scores = score_row(&stage.formats, &row.query, &row.keys);
        self.maxima.push(row_maximum(&scores, &row.live));
        let live: Vec<i64> = row.live.iter().map(|&live| i64::from(live)).collect();
        let packed = |values: &[i64]| {
            let groups = values.chunks(stage.shape.vectors_per_line(row.level));
            let groups: Vec<Vec<i64>> = groups.map(<[i64]>::to_vec).collect();
            pack_groups(&groups, stage.lanes)
        };
        let (scores, live) = (packed(&scores), packed(&live));
        let lines = scores.len();
        for (line, (mut word, live)) in scores.into_iter().zip(live).enumerate() {
            word.extend(live);
            word.push(i64::from(line + 1 == lines));
            self.scores.push(word);
            self.places.push((index, row.level, line));
        }
    }

    fn round(&self, ports: &Ports) -> Round {
        Round {
            sources: vec![
                (ports.row, self.rows.clone()),
                (ports.line, self.lines.clone()),
            ],
            sinks: vec![(ports.score, self.scores.clone())],
            collected: vec![(ports.maximum, self.maxima.len())],
        }
    }

    fn explain(&self, bench: &mut Bench, ports: &Ports) {
        let places = self.places.clone();
        bench.explain(ports.score, move |place| {
            let (row, level, line) = places[place.word];
            format!("row {row} at level {level}, line {line}")
        });
    }

    /// Compares the collected maxima; that of a row without live keys is documented as meaningless.
    fn compare_maxima(
        &self,
        bench: &Bench,
        ports: &Ports,
        design: &Design,
        options: &Options,
    ) -> Result<(), BenchError> {
        let collected = bench.collected(ports.maximum);
        for (row, (expected, &got)) in self.maxima.iter().zip(collected).enumerate() {
            let Some(expected) = *expected else { continue };
            ensure(expected == got, || {
                format!(
                    "{} (seed {}): stream `maximum`, row {row}: expected {expected}, got {got}",
                    design.top, options.seed
                )
            })?;
        }
        Ok(())
    }
}

/// Rows of one level without stalls, among them many of a single line: latency and interval are as documented.
fn full_speed(
    stage: &QueryKey,
    bench: &mut Bench,
    ports: &Ports,
    level: usize,
    random: &mut impl Rng,
) -> Result<(), BenchError> {
    let lengths = (0..100).map(|row| {
        if row < 50 {
            1
        } else {
            random.random_range(1..=4)
        }
    });
    let lengths: Vec<usize> = lengths.collect();
    let rows: Vec<Row> = lengths
        .iter()
        .map(|&lines| random_row(stage, level, lines, random))
        .collect();
    let words = Words::new(stage, &rows);
    words.explain(bench, ports);
    let mut receiver = Receiver::new(stage);
    words.round(ports).at_full_speed(bench, |bench| {
        receiver.drive(bench, ports, random);
    })?;

    let vectors = stage.shape.vectors_per_line(level);
    let lines = bench.source_cycles(ports.line);
    let scores = bench.sink_cycles(ports.score);
    let (stream, cycles) = if vectors > stage.lanes {
        ("score", scores)
    } else {
        ("line", lines)
    };
    let what = format!("{stage:?}, level {level}: `{stream}` word");
    ensure_interval(&what, cycles, 1)?;
    let (mut line, mut score) = (0, 0);
    for (row, length) in lengths.iter().enumerate() {
        line += length;
        score += (length * vectors).div_ceil(stage.lanes);
        let maximum = bench.sink_cycles(ports.maximum)[row];
        let latency = maximum.wrapping_sub(scores[score - 1]);
        ensure(latency == stage.maximum_latency(), || {
            format!("{stage:?}: the maximum of row {row} leaves {latency} cycles after its scores")
        })?;
        // Where groups are cut into several score lines, lines wait for earlier ones.
        let latency = scores[score - 1].wrapping_sub(lines[line - 1]);
        ensure(
            vectors > stage.lanes || latency == stage.score_latency(),
            || {
                format!(
                    "{stage:?}: the last scores of row {row} leave {latency} cycles after their K line"
                )
            },
        )?;
    }
    let first = scores[0] - lines[0];
    let waits = (stage.lanes.div_ceil(vectors) - 1).min(lengths[0] - 1) as u64;
    ensure(first == stage.score_latency() + waits, || {
        format!("{stage:?}: the first scores leave {first} cycles after their K line")
    })
}
