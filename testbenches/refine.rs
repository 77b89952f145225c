//! Testbench of the stage that refines rows.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::exponent::{narrowest, random_scale};
use super::harness::{Round, ensure, start};
use super::progressive_layers::near_rule;
use super::receiver::Receiver;
use super::streams::{ROUNDS, Word, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::attention_pipeline::AttentionPipeline;
use crate::accelerator::query_key::golden::row_maximum;
use crate::accelerator::refine::Refine;
use crate::accelerator::refine::golden::{MAX_NOISE, Rule};
use crate::accelerator::softmax::golden::{Scale, exponentials, sum};
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, Place, PortId, SinkId, SourceId};
use crate::numerics::{NOISE_BITS, SCALE_MANTISSA_BITS, SCALE_SHIFT_BITS, SUM_BITS};

/// Rows of a measurement.
const MEASURED: usize = 40;

/// Runs on the configuration's stage and on the smallest: one lane, rings of one row of banks, one place of each kind.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut reports = Vec::new();
    if let Some(used) = AttentionPipeline::new(config).refine() {
        reports.push(check(&used, &design(&used), options)?);
    }
    for corner in corners() {
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        reports.push(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(Report::of(reports))
}

/// Small stages.
pub fn corners() -> [Refine; 2] {
    let smallest = Refine {
        formats: narrowest(),
        lanes: 1,
        waiting_lines: 1,
        held_lines: 1,
        lsb_lines: 1,
        rows: 1,
        score_places: 1,
    };
    let odd = Refine {
        lanes: 3,
        waiting_lines: 9,
        held_lines: 13,
        lsb_lines: 5,
        rows: 3,
        score_places: 11,
        ..smallest.clone()
    };
    [smallest, odd]
}

/// A row of whole score lines.
#[derive(Clone, Debug)]
struct Row {
    scores: Vec<i64>,
    live: Vec<bool>,
    scale: Scale,
    rule: Rule,
    /// N of its query.
    noise: i64,
    /// Dot products over the LSB plane.
    lsbs: Vec<i64>,
}

impl Row {
    fn sum(&self) -> i64 {
        let maximum = row_maximum(&self.scores, &self.live);
        sum(&exponentials(&self.scores, &self.live, maximum, self.scale))
    }

    fn refetches(&self) -> bool {
        self.rule.exceeds(self.noise, self.sum())
    }

    /// The scores with which softmax goes on.
    fn final_scores(&self) -> Vec<i64> {
        match self.refetches() {
            true => self
                .scores
                .iter()
                .zip(&self.lsbs)
                .map(|(s, l)| s + l)
                .collect(),
            false => self.scores.clone(),
        }
    }
}

/// What makes a row.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// No rule.
    Resident,
    /// A rule that is not met.
    Confident,
    /// A rule that is.
    Refined,
    /// Any of them.
    Any,
}

/// At least `options.cases` rows in rounds of random stalls, each interrupted once by a reset; then the documented latencies
/// and intervals.
///
/// # Errors
/// As [`run`]; the message names stream, row, line and lane.
pub fn check(block: &Refine, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let ports = Ports::find(block, &mut bench);
    let mut random = options.random(1);
    let mut report = Report::default();
    for round in 0..ROUNDS {
        let rows = (0..options.cases / ROUNDS + 1).map(|_| {
            // Some rounds have a single kind of rows: all refined, none.
            let kind = [Kind::Any, Kind::Any, Kind::Refined, Kind::Confident][round % 4];
            let lines = match random.random_bool(0.2) {
                true => random.random_range(1..=most_lines(block)),
                false => random.random_range(1..=most_lines(block).min(4)),
            };
            row(block, kind, lines, &mut random)
        });
        let rows: Vec<_> = rows.collect();
        let words = Words::new(block, &rows);
        words.explain(&mut bench, &ports);
        let mut receiver = ports.receiver(block);
        receiver.frees = [1.0, 0.5, 0.1][random.random_range(0..3)];
        let mut pulses = options.random(2 + round as u64);
        let round = words.round(&ports);
        round.with_stalls_except(&[ports.score], &mut bench, &mut random, |bench| {
            receiver.drive(bench, &mut pulses);
        })?;
        receiver.check(design, options)?;
        words.compare_maxima(&bench, &ports, design, options)?;
        report.words += words.scores.len() as u64;
    }
    report.notes = speed(block, design, &mut bench, &ports, &mut random)?;
    report.cycles = bench.simulator().cycle();
    Ok(report)
}

/// Latencies, and cycles per row where nothing stalls, for rows of the longest and of some lines.
fn speed(
    block: &Refine,
    design: &Design,
    bench: &mut Bench,
    ports: &Ports,
    random: &mut ChaCha8Rng,
) -> Result<Vec<String>, BenchError> {
    let mut notes = Vec::new();
    let mut lines = vec![most_lines(block), most_lines(block).min(4)];
    lines.dedup();
    for lines in lines {
        for kind in [Kind::Resident, Kind::Confident, Kind::Refined] {
            let rows: Vec<_> = (0..MEASURED)
                .map(|_| row(block, kind, lines, random))
                .collect();
            let words = Words::new(block, &rows);
            words.explain(bench, ports);
            let mut receiver = ports.receiver(block);
            words
                .round(ports)
                .at_full_speed(bench, |bench| receiver.drive(bench, random))?;
            let (sent, taken) = (
                bench.source_cycles(ports.first_score),
                bench.sink_cycles(ports.score),
            );
            let maximum = bench.sink_cycles(ports.maximum)[0] - taken[lines - 1];
            figure(
                design,
                "last score to maximum",
                block.maximum_latency(),
                maximum,
            )?;
            match kind {
                Kind::Resident => {
                    let latency = taken[0] - sent[0];
                    notes.push(figure(
                        design,
                        "no rule: score to score",
                        block.passing_latency(),
                        latency,
                    )?);
                    // All lines of the ring, and as many as its places pass in the time of one.
                    let paced = block.score_places > block.passing_latency();
                    let expected = (MEASURED * lines - 1) as u64;
                    ensure(!paced || span(taken) == expected, || {
                        format!(
                            "{}: rows without a rule leave gaps: {}",
                            design.top,
                            span(taken)
                        )
                    })?;
                }
                _ => {
                    let verdict = bench.sink_cycles(ports.refetch)[0] - sent[lines - 1];
                    figure(
                        design,
                        "last score to verdict",
                        block.verdict_latency(),
                        verdict,
                    )?;
                    let cycles = span(taken) as f64
                        / (MEASURED as f64 - lines as f64 / (MEASURED * lines) as f64);
                    notes.push(format!("{kind:?}, {lines} lines: verdict after {verdict} cycles, {cycles:.1} cycles per row"));
                }
            }
        }
    }
    Ok(notes)
}

/// Lines of the longest row: each ring holds one, and so does softmax's.
fn most_lines(block: &Refine) -> usize {
    let rings = [block.waiting_ring(), block.held_ring()];
    let lines = rings.iter().map(|ring| ring.lines()).min();
    lines.map_or(block.score_places, |lines| lines.min(block.score_places))
}

struct Ports {
    first_score: SourceId,
    first_maximum: SourceId,
    row: SourceId,
    noise: SourceId,
    lsb: SourceId,
    score: SinkId,
    score_free: PortId,
    maximum: SinkId,
    verdict: SinkId,
    refetch: SinkId,
}

impl Ports {
    fn find(block: &Refine, bench: &mut Bench) -> Self {
        let formats = block.formats;
        let score = Field::signed("data", formats.score_bits());
        let dot = Field::signed("data", formats.lsb_dot_bits()).lanes(block.lanes);
        let last = Field::unsigned("last", 1);
        let line = [
            score.clone().lanes(block.lanes),
            Field::unsigned("live", 1).lanes(block.lanes),
            last.clone(),
        ];
        let row = [
            Field::unsigned("rule", 2),
            Field::unsigned("confident_sum", SUM_BITS),
            Field::unsigned("noise_limit", NOISE_BITS),
            Field::unsigned("mantissa", SCALE_MANTISSA_BITS),
            Field::unsigned("pre", SCALE_SHIFT_BITS),
            Field::unsigned("post", SCALE_SHIFT_BITS),
        ];
        let verdict = [Field::unsigned("data", 1)];
        let maximum = [score];
        Ports {
            first_score: bench.source("first_score", &line),
            first_maximum: bench.source("first_maximum", &maximum),
            row: bench.source("row", &row),
            noise: bench.source("noise", &[Field::unsigned("data", NOISE_BITS)]),
            lsb: bench.source("lsb", &[dot, last]),
            score: bench.sink("score", &line),
            score_free: bench.simulator().port("score_free_i"),
            maximum: bench.sink("maximum", &maximum),
            verdict: bench.sink("verdict", &verdict),
            refetch: bench.sink("refetch", &verdict),
        }
    }

    fn receiver(&self, block: &Refine) -> Receiver {
        let ports = (self.score, self.score_free);
        Receiver::new("score", ports, block.score_places)
    }
}

/// A row of random scores whose rule is met or not, mostly by little.
fn row(block: &Refine, kind: Kind, lines: usize, random: &mut ChaCha8Rng) -> Row {
    let bound = 1_i64 << (block.formats.score_bits() - 1);
    let dot_bound = 1_i64 << (block.formats.lsb_dot_bits() - 1);
    // Final scores fit as the first ones do.
    let bound = (bound - dot_bound).max(1);
    let reach = 1_i64 << random.random_range(0..block.formats.score_bits());
    let top = random.random_range(-bound..bound);
    let lowest = (top - reach).max(-bound);
    let dead = match kind {
        Kind::Any => [0.0, 0.3, 1.0][random.random_range(0..20_usize).saturating_sub(17)],
        _ => 0.0,
    };
    let keys = lines * block.lanes;
    let extreme = random.random_bool(0.1);
    let dot = |random: &mut ChaCha8Rng| match extreme {
        true => [-dot_bound, dot_bound - 1][random.random_range(0..2)],
        false => random.random_range(-dot_bound..dot_bound),
    };
    let mut row = Row {
        scores: (0..keys)
            .map(|_| random.random_range(lowest..=top))
            .collect(),
        live: (0..keys).map(|_| !random.random_bool(dead)).collect(),
        scale: random_scale(random, reach),
        rule: Rule::None,
        noise: 0,
        lsbs: (0..keys).map(|_| dot(random)).collect(),
    };
    let sum = row.sum();
    let by_noise = random.random_bool(0.5);
    let kind = match kind {
        Kind::Any => [Kind::Resident, Kind::Confident, Kind::Refined][random.random_range(0..3)],
        kind => kind,
    };
    let met = match kind {
        Kind::Resident => return row,
        Kind::Confident => false,
        _ => true,
    };
    if by_noise {
        row.noise = random.random_range(1..=MAX_NOISE);
    }
    row.rule = near_rule(sum, by_noise.then_some((row.noise, 0)), met);
    row
}

/// The words of rows on every stream.
#[derive(Default)]
struct Words {
    first_scores: Vec<Word>,
    first_maxima: Vec<Word>,
    rows: Vec<Word>,
    noises: Vec<Word>,
    lsbs: Vec<Word>,
    scores: Vec<Word>,
    /// Row and index of each score line.
    places: Vec<(usize, usize)>,
    /// Final maximum of each row; none where no key is live and the word means nothing.
    maxima: Vec<Option<i64>>,
    verdicts: Vec<Word>,
    /// Row of each verdict.
    judged: Vec<usize>,
}

impl Words {
    fn new(block: &Refine, rows: &[Row]) -> Self {
        let mut words = Words::default();
        for (index, row) in rows.iter().enumerate() {
            words.add(block, index, row);
        }
        words
    }

    fn add(&mut self, block: &Refine, index: usize, row: &Row) {
        let lines = |values: &[i64], live: Option<&[bool]>| -> Vec<Word> {
            let count = values.len() / block.lanes;
            let word = |line: usize| {
                let part = line * block.lanes..(line + 1) * block.lanes;
                let live = live.map(|live| live[part.clone()].iter().map(|&f| i64::from(f)));
                let mut word = values[part].to_vec();
                word.extend(live.into_iter().flatten());
                word.push(i64::from(line + 1 == count));
                word
            };
            (0..count).map(word).collect()
        };
        self.first_scores
            .extend(lines(&row.scores, Some(&row.live)));
        let last_lines = lines(&row.final_scores(), Some(&row.live));
        self.places
            .extend((0..last_lines.len()).map(|line| (index, line)));
        self.scores.extend(last_lines);
        self.maxima
            .push(row_maximum(&row.final_scores(), &row.live));
        // What a rule does not read must not matter.
        let (most, limit) = match row.rule {
            Rule::None => (0, 0),
            Rule::Threshold { most } => (most, MAX_NOISE),
            Rule::Noise { limit, .. } => (0, limit),
        };
        let Scale {
            mantissa,
            pre,
            post,
        } = row.scale;
        self.rows.push(vec![
            row.rule.code(),
            most,
            limit,
            mantissa,
            i64::from(pre),
            i64::from(post),
        ]);
        if row.rule == Rule::None {
            return;
        }
        let maximum = row_maximum(&row.scores, &row.live);
        self.first_maxima.push(vec![maximum.unwrap_or(7)]);
        self.verdicts.push(vec![i64::from(row.refetches())]);
        self.judged.push(index);
        if let Rule::Noise { .. } = row.rule {
            self.noises.push(vec![row.noise]);
        }
        if row.refetches() {
            self.lsbs.extend(lines(&row.lsbs, None));
        }
    }

    fn round(&self, ports: &Ports) -> Round {
        Round {
            sources: vec![
                (ports.first_score, self.first_scores.clone()),
                (ports.first_maximum, self.first_maxima.clone()),
                (ports.row, self.rows.clone()),
                (ports.noise, self.noises.clone()),
                (ports.lsb, self.lsbs.clone()),
            ],
            sinks: vec![
                (ports.score, self.scores.clone()),
                (ports.verdict, self.verdicts.clone()),
                (ports.refetch, self.verdicts.clone()),
            ],
            collected: vec![(ports.maximum, self.maxima.len())],
        }
    }

    fn explain(&self, bench: &mut Bench, ports: &Ports) {
        let places = self.places.clone();
        bench.explain(ports.score, move |place: &Place| {
            let (row, line) = places[place.word];
            format!("row {row}, line {line}")
        });
        for sink in [ports.verdict, ports.refetch] {
            let judged = self.judged.clone();
            bench.explain(sink, move |place| format!("row {}", judged[place.word]));
        }
    }

    /// Compares the collected maxima; that of a row without live keys is meaningless.
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
