//! Testbench of importance: jobs of two sequences in turn, from their rows to the survivors of their selections.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::streams::{ROUNDS, Streams, Traffic, Word, design};
use super::{BenchError, Options, Report};
use crate::accelerator::importance::golden::{
    HeadScale, accumulate_head, accumulate_tokens, magnitude, rescale,
};
use crate::accelerator::importance::{Importance, ScoreSet};
use crate::accelerator::top::AttentionCore;
use crate::accelerator::top_k::golden::{Part, select};
use crate::cells::line_compactor;
use crate::config::Config;
use crate::cosim::{Design, Field};
use crate::engine::streams::{kept_fields, score_fields};
use crate::numerics::{
    HEAD_SCALE_MANTISSA_BITS, HEAD_SCALE_SHIFT_BITS, PROBABILITY_BITS, RESCALE_FRACTION_BITS,
};

/// Runs on the configuration's parameters, and on one lane of everything and more heads than tokens.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).importance();
    let mut report = check(&used, &design(&used), options)?;
    let few = Options {
        cases: options.cases / 4,
        ..options.untraced()
    };
    for corner in corners() {
        report.add(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(report)
}

/// One lane; three lanes of five tokens and nine heads.
pub fn corners() -> [Importance; 2] {
    [
        Importance {
            lanes: 1,
            tokens: 6,
            token_lines: 6,
            heads: 2,
            top_k_lanes: 1,
            output_lanes: 1,
            output_bits: 16,
        },
        Importance {
            lanes: 3,
            tokens: 5,
            token_lines: 3,
            heads: 9,
            top_k_lanes: 4,
            output_lanes: 2,
            output_bits: 9,
        },
    ]
}

/// At least `options.cases` query rows in jobs of two sequences, in rounds of random stalls, each interrupted once by a
/// reset, and once with long stalls of the scores that leave; then rows of one line and of the most lines, which must come without a pause.
///
/// # Errors
/// As [`run`]; the message names the job, the line and the lane.
pub fn check(block: &Importance, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let (sources, sinks) = channels(block);
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    let mut jobs = 0;
    for round in 0..=ROUNDS + 1 {
        let mut traffic = Jobs::new(block);
        let mut rows = 0;
        while rows < options.cases.div_ceil(ROUNDS) {
            rows += traffic.random_job(&mut random);
            jobs += 1;
        }
        match round {
            0 => streams.at_full_speed(traffic.traffic())?,
            // Survivors come before the last of the scores has been taken.
            1 => streams.with_long_stalls_of(&[2, 3], traffic.traffic())?,
            _ => streams.with_stalls(traffic.traffic())?,
        }
    }
    let mut notes = vec![format!("{jobs} jobs")];
    for lines in [1, 2, 5, block.token_lines] {
        let tokens = (lines * block.lanes).min(block.tokens);
        let lines = tokens.div_ceil(block.lanes);
        let mut traffic = Jobs::new(block);
        let rows = 60;
        traffic.rows_of(tokens, lines, rows, &mut random);
        streams.at_full_speed(traffic.traffic())?;
        let sent = streams.sent_at(2);
        let cycles = sent[sent.len() - 1] - sent[0] + 1;
        super::harness::ensure(cycles as usize == rows * lines, || {
            let top = &design.top;
            format!("{top}: {rows} rows of {lines} lines of probabilities enter in {cycles} cycles")
        })?;
        notes.push(format!(
            "{rows} rows of {lines} lines enter in {cycles} cycles"
        ));
    }
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

/// A stream's name and fields.
type Channel = (&'static str, Vec<Field>);

fn channels(block: &Importance) -> ([Channel; 5], [Channel; 4]) {
    let (token, head) = (block.token_scores().set, block.head_scores().set);
    let lanes = |name: &str, bits: usize| Field::unsigned(name, bits).lanes(block.lanes);
    let fields = block.job_fields().into_iter();
    let job = fields.map(|field| Field::unsigned(&field.name, field.ty.width));
    let sources = [
        ("job", job.collect()),
        ("pin", vec![lanes("data", 1)]),
        (
            "probability",
            vec![
                lanes("data", PROBABILITY_BITS),
                Field::unsigned("last", 1),
                Field::unsigned("end", 1),
            ],
        ),
        (
            "word",
            vec![
                Field::signed("data", block.output_bits).lanes(block.output_lanes),
                Field::unsigned("last", 1),
            ],
        ),
        (
            "row",
            vec![
                Field::unsigned("head_last", 1),
                Field::unsigned("job_last", 1),
                Field::unsigned("step_mantissa", HEAD_SCALE_MANTISSA_BITS),
                Field::unsigned("step_shift", HEAD_SCALE_SHIFT_BITS),
            ],
        ),
    ];
    let sinks = [
        ("kept_token", kept_fields(&token)),
        ("kept_head", kept_fields(&head)),
        ("token_score", score_fields(&token)),
        ("head_score", score_fields(&head)),
    ];
    (sources, sinks)
}

/// A live token or head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub id: usize,
    pub pinned: bool,
    pub score: i64,
}

fn fresh(count: usize) -> Vec<Element> {
    let element = |id| Element {
        id,
        pinned: false,
        score: 0,
    };
    (0..count).map(element).collect()
}

/// A sequence: what its context holds.
#[derive(Clone, Debug, Default)]
struct Sequence {
    tokens: Vec<Element>,
    heads: Vec<Element>,
    /// Scores at home, by token id; none where a token never went there.
    home: Vec<Option<i64>>,
}

/// Jobs, their words on every stream, and the golden model of both contexts.
struct Jobs<'a> {
    block: &'a Importance,
    sequences: [Sequence; 2],
    sent: Vec<Vec<Word>>,
    expected: Vec<Vec<Word>>,
    /// Per sink: the job and line of each word.
    places: Vec<Vec<(usize, usize)>>,
    jobs: usize,
}

impl<'a> Jobs<'a> {
    fn new(block: &'a Importance) -> Self {
        Jobs {
            block,
            sequences: Default::default(),
            sent: vec![Vec::new(); 5],
            expected: vec![Vec::new(); 4],
            places: vec![Vec::new(); 4],
            jobs: 0,
        }
    }

    fn traffic(self) -> Traffic {
        let names = ["kept tokens", "kept heads", "token scores", "head scores"];
        let explain = self.places.into_iter().zip(names).map(|(places, name)| {
            let explain = move |place: &crate::cosim::Place| {
                let (job, line) = places[place.word];
                format!("job {job}, line {line} of its {name}")
            };
            Box::new(explain) as super::streams::Explain
        });
        Traffic {
            sent: self.sent,
            expected: self.expected,
            explain: explain.collect(),
        }
    }

    /// A job of random sizes; returns the number of its query rows.
    fn random_job(&mut self, random: &mut ChaCha8Rng) -> usize {
        let block = self.block;
        let context = random.random_range(0..2);
        let zero = self.sequences[context].tokens.is_empty() || random.random_bool(0.3);
        let mut home = (0, 0);
        if zero {
            let most = match random.random_bool(0.2) {
                true => block.tokens,
                false => block.tokens.min(4 * block.lanes),
            };
            let tokens = random.random_range(1..=most);
            let heads = random.random_range(1..=block.heads.min(12));
            home = self.start(context, (tokens, heads), 0.1, random);
        }
        let queries = random.random_range(0..=3);
        let select = [random.random_bool(0.6), random.random_bool(0.5)];
        let flags = [random.random_bool(0.5), random.random_bool(0.3)];
        self.job(
            context,
            (zero, queries, None),
            (select, flags, home),
            random,
        )
    }

    /// Rows of so many lines for a lone head, without a selection.
    fn rows_of(&mut self, tokens: usize, lines: usize, rows: usize, random: &mut ChaCha8Rng) {
        self.start(0, (tokens, 1), 0.0, random);
        let flags = [true, false];
        let home = (0, 1);
        self.job(
            0,
            (true, rows, Some(lines)),
            ([false; 2], flags, home),
            random,
        );
    }

    fn start(
        &mut self,
        context: usize,
        (tokens, heads): (usize, usize),
        pinned: f64,
        random: &mut ChaCha8Rng,
    ) -> (usize, i64) {
        let sequence = &mut self.sequences[context];
        sequence.tokens = fresh(tokens);
        sequence.heads = fresh(heads);
        sequence.home.resize(self.block.tokens, None);
        let at_home = sequence
            .home
            .iter()
            .take_while(|score| score.is_some())
            .count();
        let known = [0, at_home.min(tokens)][random.random_range(0..2)];
        let factor = [
            1 << RESCALE_FRACTION_BITS,
            random.random_range(0..=1 << RESCALE_FRACTION_BITS),
        ][random.random_range(0..2)];
        for (token, score) in sequence.tokens.iter_mut().zip(&sequence.home).take(known) {
            token.score = rescale(score.expect("it is known"), factor);
        }
        for token in &mut sequence.tokens {
            token.pinned = random.random_bool(pinned);
        }
        let pins: Vec<i64> = sequence
            .tokens
            .iter()
            .map(|t| i64::from(t.pinned))
            .collect();
        let lines = in_lines(&pins, self.block.lanes);
        self.sent[1].extend(lines);
        (known, factor)
    }

    /// The words of a job and what it does to its sequence; `lines` fixes the lines of its rows.
    fn job(
        &mut self,
        context: usize,
        (zero, queries, lines): (bool, usize, Option<usize>),
        (selects, [report, store], (known, factor)): ([bool; 2], [bool; 2], (usize, i64)),
        random: &mut ChaCha8Rng,
    ) -> usize {
        let mut sequence = std::mem::take(&mut self.sequences[context]);
        let (tokens, heads) = (sequence.tokens.len(), sequence.heads.len());
        let ranked = sequence.tokens.iter().filter(|token| !token.pinned).count();
        let keep = [
            random.random_range(0..=ranked),
            random.random_range(1..=heads),
        ];
        // A selection keeps something: the next job has at least one token.
        let keep = [keep[0].max(usize::from(ranked == tokens)), keep[1]];
        let flags = [context, usize::from(zero), usize::from(queries > 0)];
        let mut word: Word = flags.map(|flag| flag as i64).into();
        word.push(i64::from(report));
        for (kind, (count, ranked)) in [(tokens, ranked), (heads, heads)].into_iter().enumerate() {
            word.extend([
                count as i64,
                i64::from(selects[kind]),
                keep[kind] as i64,
                ranked as i64,
            ]);
        }
        word.extend([known as i64, factor, i64::from(store)]);
        self.sent[0].push(word);

        for head in 0..heads {
            self.head(&mut sequence, (head, queries, lines), random);
        }
        if report {
            self.report(2, &sequence.tokens, true);
            self.report(3, &sequence.heads, false);
        }
        // Only a job that reads its scores sends them home.
        let all_home = store && (report || selects[0]);
        let before = sequence.tokens.clone();
        if selects[0] {
            sequence.tokens = self.selection(0, &sequence.tokens, keep[0] + tokens - ranked);
        }
        let stays = |e: &Element| sequence.tokens.iter().any(|kept| kept.id == e.id);
        for element in before.iter().filter(|e| all_home || !stays(e)) {
            sequence.home[element.id] = Some(element.score);
        }
        if selects[1] {
            sequence.heads = self.selection(1, &sequence.heads, keep[1]);
        }
        self.sequences[context] = sequence;
        self.jobs += 1;
        heads * queries
    }

    /// The rows of one head.
    fn head(
        &mut self,
        sequence: &mut Sequence,
        (head, queries, lines): (usize, usize, Option<usize>),
        random: &mut ChaCha8Rng,
    ) {
        let block = self.block;
        let heads = sequence.heads.len();
        let scale = random_scale(random);
        let mut outputs = Vec::new();
        for query in 0..queries {
            let head_last = query + 1 == queries;
            let job_last = head_last && head + 1 == heads;
            let tokens = sequence.tokens.len();
            let live = match lines {
                Some(lines) => tokens.min(lines * block.lanes),
                None => random.random_range(0..=tokens),
            };
            let probabilities = random_probabilities(live, random);
            let mut scores: Vec<i64> = sequence.tokens.iter().map(|t| t.score).collect();
            accumulate_tokens(&mut scores, &probabilities);
            for (token, score) in sequence.tokens.iter_mut().zip(scores) {
                token.score = score;
            }
            let mut row = in_lines(&probabilities, block.lanes);
            // Rows may end in lines without live keys.
            let longer =
                lines.is_none() && row.len() < block.token_lines && random.random_bool(0.2);
            row.extend(longer.then(|| vec![0; block.lanes]));
            let count = row.len();
            for (line, mut word) in row.into_iter().enumerate() {
                let last = line + 1 == count;
                word.extend([i64::from(last), i64::from(last && job_last)]);
                self.sent[2].push(word);
            }

            let words = random.random_range(1..=3);
            for index in 0..words {
                let mut word = random_outputs(block, random);
                outputs.extend(word.iter().copied());
                word.push(i64::from(index + 1 == words));
                self.sent[3].push(word);
            }
            self.sent[4].push(vec![
                i64::from(head_last),
                i64::from(job_last),
                scale.mantissa,
                i64::from(scale.shift),
            ]);
        }
        if queries > 0 {
            let element = &mut sequence.heads[head];
            element.score = accumulate_head(element.score, magnitude(&outputs), scale);
        }
    }

    /// What leaves on sink `sink` (`token_score`, `head_score`) when a job reports.
    fn report(&mut self, sink: usize, elements: &[Element], tokens: bool) {
        let block = self.block;
        let set = match tokens {
            true => block.token_scores().set,
            false => block.head_scores().set,
        };
        self.expect(sink, score_words(&set, elements));
    }

    /// Words that must come on a sink for this job.
    fn expect(&mut self, sink: usize, words: Vec<Word>) {
        self.places[sink].extend((0..words.len()).map(|line| (self.jobs, line)));
        self.expected[sink].extend(words);
    }

    /// The survivors, and their ids on sink `sink`.
    fn selection(&mut self, sink: usize, elements: &[Element], keep: usize) -> Vec<Element> {
        let keys: Vec<u64> = elements.iter().map(|e| e.score as u64).collect();
        let part = |e: &Element| match e.pinned {
            true => Part::Pinned,
            false => Part::Ranked,
        };
        let parts: Vec<Part> = elements.iter().map(part).collect();
        let stays = select(&keys, &parts, keep).expect("no more pins than stay");
        let kept = elements.iter().zip(stays).filter(|(_, stays)| *stays);
        let kept: Vec<Element> = kept.map(|(e, _)| *e).collect();
        let ids: Vec<usize> = kept.iter().map(|e| e.id).collect();
        self.expect(sink, kept_words(self.block.lanes, &ids));
        kept
    }
}

/// The words of the survivors of a selection, by their ids.
pub(super) fn kept_words(lanes: usize, ids: &[usize]) -> Vec<Word> {
    let ids: Vec<i64> = ids.iter().map(|&id| id as i64).collect();
    let lines = line_compactor::golden(lanes, &[ids]);
    let count = lines.len();
    let word = |(index, line): (usize, Vec<i64>)| {
        let ids = line.len() as i64;
        let word = padded(line.into_iter(), lanes);
        word.chain([ids, i64::from(index + 1 == count)]).collect()
    };
    lines.into_iter().enumerate().map(word).collect()
}

/// The words in which a set hands out its scores.
pub(super) fn score_words(set: &ScoreSet, elements: &[Element]) -> Vec<Word> {
    let lanes = set.lanes;
    let lines = elements.chunks(lanes);
    let count = lines.len();
    let payload = |e: &Element| (e.id | usize::from(e.pinned) << set.id_bits()) as i64;
    let word = |(index, line): (usize, &[Element])| {
        let mut word: Word = padded(line.iter().map(|e| e.score), lanes).collect();
        word.extend(padded(line.iter().map(payload), lanes));
        word.extend(padded(line.iter().map(|_| 1), lanes));
        word.push(i64::from(index + 1 == count));
        word
    };
    lines.enumerate().map(word).collect()
}

/// Lines of `lanes` values, at least one, the last filled up with zeros.
fn in_lines(values: &[i64], lanes: usize) -> Vec<Word> {
    if values.is_empty() {
        return vec![vec![0; lanes]];
    }
    let line = |chunk: &[i64]| padded(chunk.iter().copied(), lanes).collect();
    values.chunks(lanes).map(line).collect()
}

fn padded(values: impl Iterator<Item = i64>, lanes: usize) -> impl Iterator<Item = i64> {
    values.chain(std::iter::repeat(0)).take(lanes)
}

/// Probabilities with many ties, or any.
fn random_probabilities(count: usize, random: &mut ChaCha8Rng) -> Vec<i64> {
    let most = [1, 3, 65535, 65535][random.random_range(0..4)];
    let p = |_| random.random_range(0..=most);
    (0..count).map(p).collect()
}

fn random_outputs(block: &Importance, random: &mut ChaCha8Rng) -> Word {
    let bound = 1_i64 << (block.output_bits - 1);
    let lowest = random.random_bool(0.1);
    let mut output = || match lowest {
        true => -bound,
        false => random.random_range(-bound..bound),
    };
    (0..block.output_lanes).map(|_| output()).collect()
}

/// Seldom so large that the score saturates.
fn random_scale(random: &mut ChaCha8Rng) -> HeadScale {
    let mantissa = random.random_range(0..1 << HEAD_SCALE_MANTISSA_BITS);
    let shift = match random.random_bool(0.2) {
        true => 0,
        false => random.random_range(0..1 << HEAD_SCALE_SHIFT_BITS),
    };
    HeadScale { mantissa, shift }
}
