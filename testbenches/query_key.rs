//! Testbench of `query_key`: scores, live flags and maxima of rows of every length and level.

use rand::{Rng, RngExt};

use super::harness::{Round, ensure, ensure_interval, start};
use super::receiver::Receiver;
use super::{BenchError, Options, Report};
use crate::accelerator::query_key::QueryKey;
use crate::accelerator::query_key::golden::{row_maximum, score_row};
use crate::accelerator::shape::ArrayShape;
use crate::accelerator::top::AttentionCore;
use crate::cells::lane_packer::pack_groups;
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, Place, PortId, SinkId, SourceId};
use crate::hdl::elaborate;
use crate::numerics::{Formats, KEY_LSB_BITS};

/// K lines of one round.
const ROUND: usize = 1000;
/// Longest row in K lines.
const LONGEST_ROW: usize = 40;

/// Runs on the stage of the configuration, on one whose groups of scores are larger than, equal to and smaller than a
/// score line, and on one of a single dimension whose groups are one score each; on these with an LSB plane, too.
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

/// Small stages that reach every kind of packing, without and with an LSB plane.
pub fn corners() -> [QueryKey; 4] {
    let stage = |head_dims: &[usize], lanes, held_queries| QueryKey {
        shape: ArrayShape {
            multipliers: head_dims[head_dims.len() - 1],
            head_dims: head_dims.to_vec(),
        },
        formats: Formats {
            query_bits: 5,
            key_bits: if held_queries > 0 { 5 } else { 4 },
            value_bits: 4,
            max_head_dim: head_dims[head_dims.len() - 1],
        },
        lanes,
        score_places: 32,
        held_queries,
    };
    [
        stage(&[2, 4, 8, 16], 2, 0),
        stage(&[4], 16, 0),
        stage(&[2, 4, 8, 16], 2, 3),
        stage(&[4], 16, 1),
    ]
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
    let mut receivers = ports.receivers(stage);
    while report.words < options.cases as u64 {
        add_random_rows(stage, &mut rows, &mut random);
        let words = Words::new(stage, &rows);
        let round = words.round(&ports);
        words.explain(&mut bench, &ports);
        for receiver in &mut receivers {
            receiver.frees = [1.0, 0.5, 0.1][random.random_range(0..3)];
        }
        let steady: Vec<_> = receivers.iter().map(|receiver| receiver.sink).collect();
        let mut pulses = options.random(2 + report.words);
        round.with_stalls_except(&steady, &mut bench, &mut random, |bench| {
            for receiver in &mut receivers {
                receiver.drive(bench, &mut pulses);
            }
        })?;
        for receiver in &receivers {
            receiver.check(design, options)?;
        }
        words.compare_maxima(&bench, &ports, design, options)?;
        report.words += (words.scores.len() + words.maxima.len() + words.lsbs.len()) as u64;
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
    second: Option<SecondPorts>,
}

/// Those of the second pass.
struct SecondPorts {
    line: SourceId,
    verdict: SourceId,
    lsb: SinkId,
    free: PortId,
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
        let mut row = vec![query, level];
        let line_live = live.clone().lanes(shape.chunks());
        let second = stage.refines().then(|| {
            row.push(Field::unsigned("progressive", 1));
            let keys = Field::unsigned("data", KEY_LSB_BITS).lanes(shape.multipliers);
            let sums = Field::signed("data", formats.lsb_dot_bits()).lanes(stage.lanes);
            SecondPorts {
                line: bench.source("lsb_line", &[keys, line_live.clone(), last.clone()]),
                verdict: bench.source("verdict", &[Field::unsigned("data", 1)]),
                lsb: bench.sink("lsb", &[sums, last.clone()]),
                free: bench.simulator().port("lsb_free_i"),
            }
        });
        Ports {
            second,
            row: bench.source("row", &row),
            line: bench.source("line", &[keys, line_live, last.clone()]),
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

    fn receivers(&self, stage: &QueryKey) -> Vec<Receiver> {
        let scores = (self.score, self.score_free);
        let mut receivers = vec![Receiver::new("score", scores, stage.score_places)];
        if let Some(second) = &self.second {
            let lsbs = (second.lsb, second.free);
            receivers.push(Receiver::new("lsb", lsbs, stage.lsb_places()));
        }
        receivers
    }
}

/// One row: its query of d elements, the vectors of its K lines, and which of them are live.
#[derive(Clone, Debug)]
struct Row {
    level: usize,
    query: Vec<i64>,
    keys: Vec<Vec<i64>>,
    live: Vec<bool>,
    /// The row's LSBs, if its maximum is wanted and a verdict comes: none where it is not refined.
    lsbs: Option<Option<Vec<Vec<i64>>>>,
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
                    let nibble = [0, 15][live % 2];
                    let lsbs = vec![vec![nibble; head_dim]; keys];
                    rows.push(Row {
                        level,
                        query: vec![q; head_dim],
                        keys: vec![vec![k; head_dim]; keys],
                        live: (0..keys).map(|key| key < live).collect(),
                        lsbs: stage.refines().then_some(Some(lsbs)),
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
    let lsbs: Vec<_> = (0..keys).map(|_| vector((0, 15))).collect();
    let progressive = stage.refines() && random.random_bool(0.7);
    let lsbs = progressive.then(|| random.random_bool(0.5).then_some(lsbs));
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
        lsbs,
    }
}

/// The words of rows on every stream.
struct Words {
    rows: Vec<Vec<i64>>,
    lines: Vec<Vec<i64>>,
    scores: Vec<Vec<i64>>,
    /// Row, level and index of each score line.
    places: Vec<(usize, usize, usize)>,
    /// Maximum of each row whose maximum is wanted; none where no key is live and the word means nothing.
    maxima: Vec<Option<i64>>,
    verdicts: Vec<Vec<i64>>,
    lsb_lines: Vec<Vec<i64>>,
    lsbs: Vec<Vec<i64>>,
    /// Row, level and index of each line of LSB dot products.
    lsb_places: Vec<(usize, usize, usize)>,
}

impl Words {
    fn new(stage: &QueryKey, rows: &[Row]) -> Self {
        let mut words = Words {
            rows: Vec::new(),
            lines: Vec::new(),
            scores: Vec::new(),
            places: Vec::new(),
            maxima: Vec::new(),
            verdicts: Vec::new(),
            lsb_lines: Vec::new(),
            lsbs: Vec::new(),
            lsb_places: Vec::new(),
        };
        for (index, row) in rows.iter().enumerate() {
            let mut word = row.query.clone();
            word.resize(stage.shape.max_dim(), 0);
            word.push(row.level as i64);
            if stage.refines() {
                word.push(i64::from(row.lsbs.is_some()));
            }
            words.rows.push(word);
            let lines = lines_of(stage, row, &row.keys);
            words.lines.extend(lines);
            words.add_scores(stage, index, row);
            let Some(verdict) = &row.lsbs else { continue };
            words.verdicts.push(vec![i64::from(verdict.is_some())]);
            if let Some(lsbs) = verdict {
                words.add_lsbs(stage, index, row, lsbs);
            }
        }
        words
    }

    fn add_lsbs(&mut self, stage: &QueryKey, index: usize, row: &Row, lsbs: &[Vec<i64>]) {
        self.lsb_lines.extend(lines_of(stage, row, lsbs));
        let dot = |lsbs: &Vec<i64>| row.query.iter().zip(lsbs).map(|(q, k)| q * k).sum();
        let dots: Vec<i64> = lsbs.iter().map(dot).collect();
        let lines = packed(stage, row.level, &dots);
        let count = lines.len();
        for (line, mut word) in lines.into_iter().enumerate() {
            word.push(i64::from(line + 1 == count));
            self.lsbs.push(word);
            self.lsb_places.push((index, row.level, line));
        }
    }

    fn add_scores(&mut self, stage: &QueryKey, index: usize, row: &Row) {
        let scores = score_row(&stage.formats, &row.query, &row.keys);
        if row.lsbs.is_some() || !stage.refines() {
            self.maxima.push(row_maximum(&scores, &row.live));
        }
        let live: Vec<i64> = row.live.iter().map(|&live| i64::from(live)).collect();
        let [scores, live] = [scores, live].map(|values| packed(stage, row.level, &values));
        let lines = scores.len();
        for (line, (mut word, live)) in scores.into_iter().zip(live).enumerate() {
            word.extend(live);
            word.push(i64::from(line + 1 == lines));
            self.scores.push(word);
            self.places.push((index, row.level, line));
        }
    }

    fn round(&self, ports: &Ports) -> Round {
        let mut round = Round {
            sources: vec![
                (ports.row, self.rows.clone()),
                (ports.line, self.lines.clone()),
            ],
            sinks: vec![(ports.score, self.scores.clone())],
            collected: vec![(ports.maximum, self.maxima.len())],
        };
        if let Some(second) = &ports.second {
            round.sources.extend([
                (second.line, self.lsb_lines.clone()),
                (second.verdict, self.verdicts.clone()),
            ]);
            round.sinks.push((second.lsb, self.lsbs.clone()));
        }
        round
    }

    fn explain(&self, bench: &mut Bench, ports: &Ports) {
        let name = |places: &[(usize, usize, usize)]| {
            let places = places.to_vec();
            move |place: &Place| {
                let (row, level, line) = places[place.word];
                format!("row {row} at level {level}, line {line}")
            }
        };
        bench.explain(ports.score, name(&self.places));
        if let Some(second) = &ports.second {
            bench.explain(second.lsb, name(&self.lsb_places));
        }
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

/// Vectors of a row, as K lines or LSB lines.
fn lines_of(stage: &QueryKey, row: &Row, vectors: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let per_line = stage.shape.vectors_per_line(row.level);
    let count = vectors.len() / per_line;
    let lines = vectors.chunks(per_line).zip(row.live.chunks(per_line));
    let word = |(index, (vectors, live)): (usize, (&[Vec<i64>], &[bool]))| {
        let mut word = vectors.concat();
        word.extend(live.iter().map(|&live| i64::from(live)));
        word.resize(stage.shape.multipliers + stage.shape.chunks(), 0);
        word.push(i64::from(index + 1 == count));
        word
    };
    lines.enumerate().map(word).collect()
}

/// A row's values, one per vector, in score lines.
fn packed(stage: &QueryKey, level: usize, values: &[i64]) -> Vec<Vec<i64>> {
    let groups = values.chunks(stage.shape.vectors_per_line(level));
    let groups: Vec<Vec<i64>> = groups.map(<[i64]>::to_vec).collect();
    pack_groups(&groups, stage.lanes)
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
    let row = |&lines: &usize| Row {
        // Maxima come, and no second pass.
        lsbs: stage.refines().then_some(None),
        ..random_row(stage, level, lines, random)
    };
    let rows: Vec<Row> = lengths.iter().map(row).collect();
    let words = Words::new(stage, &rows);
    words.explain(bench, ports);
    let mut receivers = ports.receivers(stage);
    words.round(ports).at_full_speed(bench, |bench| {
        for receiver in &mut receivers {
            receiver.drive(bench, random);
        }
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
