//! Testbench of the top-k block.

use rand_chacha::ChaCha8Rng;

use super::harness::ensure;
use super::selections::{Kind, Selection};
use super::streams::{ROUNDS, Streams, Traffic, Word, design};
use super::{BenchError, Options, Report};
use crate::accelerator::top_k::golden::{Part, select};
use crate::accelerator::top_k::{QuickSelect, TopK};
use crate::config::Config;
use crate::cosim::{Design, Field};
use crate::numerics::value_bits;

/// Longest selections whose every k is tried.
const EVERY_K: usize = 70;

/// Runs on the configuration's parameters, and on corners of lanes, widths and lengths.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = TopK::new(config);
    let mut report = check(&used, &design(&used), options)?;
    for (width, lanes, inputs, max_keys, lines) in
        [(1, 1, 1, 72, 80), (5, 4, 8, 72, 10), (40, 32, 4, 100, 50)]
    {
        let corner = TopK {
            engine: QuickSelect {
                width,
                lanes,
                inputs,
                max_keys,
            },
            payload_bits: 7,
            keys_out: false,
            lines,
        };
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        report.add(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(report)
}

/// Every number of keys up to 70 with every k, without and with pins; then at least `options.cases` random selections
/// with random stalls, each round interrupted once by a reset; then the longest ones of every kind, alone, each within
/// the bound of cycles.
///
/// # Errors
/// As [`run`]; the message names the selection and the lane.
pub fn check(block: &TopK, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let engine = &block.engine;
    let (inputs, width) = (engine.inputs, engine.width);
    let (sources, sinks) = streams_of(block);
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    let every = EVERY_K.min(engine.max_keys);
    streams.at_full_speed(traffic(block, &every_k(every, width, &mut random)))?;
    let mut selections = 2 * (every + 1) * (every + 4) / 2;
    let longest = engine.max_keys.min(100).min(block.lines * inputs);
    for _ in 0..ROUNDS {
        let round: Vec<_> = (0..options.cases / ROUNDS + 1)
            .map(|_| Selection::random(longest, width, &mut random))
            .collect();
        selections += round.len();
        streams.with_stalls(traffic(block, &round))?;
    }

    let keys = engine.max_keys;
    let mut slowest = (0, Kind::Equal);
    for kind in Kind::ALL {
        for k in [1, keys / 3, keys / 2, keys - 1] {
            let selection = Selection::of(kind, keys, k, width, &mut random);
            streams.at_full_speed(traffic(block, std::slice::from_ref(&selection)))?;
            selections += 1;
            let last = *streams.sent_at(1).last().expect("lines were sent");
            let cycles = streams.taken_at(0)[0].saturating_sub(last);
            let bound = block.most_cycles(keys) as u64;
            ensure(cycles <= bound, || {
                let top = &design.top;
                format!("{top}: {kind:?}, k {k} of {keys}: {cycles} cycles, at most {bound}")
            })?;
            if cycles > slowest.0 {
                slowest = (cycles, kind);
            }
        }
    }
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes: vec![
            format!("{selections} selections, every k of up to {every} keys among them"),
            format!(
                "last line to the first out: at most {} cycles at {keys} keys ({:?}); bound {}",
                slowest.0,
                slowest.1,
                block.most_cycles(keys)
            ),
        ],
        ..Report::default()
    })
}

/// A stream's name and fields.
type Channel = (&'static str, Vec<Field>);

fn streams_of(block: &TopK) -> ([Channel; 2], [Channel; 1]) {
    let engine = &block.engine;
    let inputs = engine.inputs;
    let (width, payload) = (engine.width, block.payload_bits);
    let count = |name: &str| Field::unsigned(name, engine.count_bits());
    let lanes = |name: &str, bits: usize| Field::unsigned(name, bits).lanes(inputs);
    let sources = [
        ("selection", vec![count("k"), count("keys")]),
        (
            "in",
            vec![
                lanes("data", width),
                lanes("payload", payload),
                lanes("ranked", 1),
                lanes("pinned", 1),
                Field::unsigned("last", 1),
            ],
        ),
    ];
    let counts = value_bits(inputs);
    let sinks = [(
        "out",
        vec![
            lanes("payload", payload),
            Field::unsigned("count", counts),
            Field::unsigned("last", 1),
        ],
    )];
    (sources, sinks)
}

/// A running top-k block whose selections are timed, and compared all the same.
pub struct Timed {
    block: TopK,
    streams: Streams,
}

impl Timed {
    /// Starts the block.
    ///
    /// # Errors
    /// [`BenchError::Cosim`] when it cannot be built.
    pub fn start(block: &TopK, options: &Options) -> Result<Self, BenchError> {
        let (sources, sinks) = streams_of(block);
        let streams = Streams::start(&design(block), options, &sources, &sinks)?;
        Ok(Timed {
            block: block.clone(),
            streams,
        })
    }

    /// Cycles from the selection's last line to its first output with an element that stays, from idle.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`] when the outputs differ from the golden model's.
    pub fn latency(&mut self, selection: &Selection) -> Result<u64, BenchError> {
        let inputs = self.block.engine.inputs;
        let kept = kept_lines(&self.block, selection);
        let first = kept.iter().position(|line| line[inputs] > 0).unwrap_or(0);
        self.streams
            .at_full_speed(traffic(&self.block, std::slice::from_ref(selection)))?;
        let last = self.streams.sent_at(1).last().copied().unwrap_or(0);
        // Lines decided early may leave before the last one has come.
        Ok(self.streams.taken_at(0)[first].saturating_sub(last))
    }

    /// Cycles per selection when they follow each other without a pause: from the end of the first output to that of
    /// the last, over their number.
    ///
    /// # Errors
    /// As [`latency`](Self::latency).
    pub fn occupancy(&mut self, selections: &[Selection]) -> Result<f64, BenchError> {
        self.streams
            .at_full_speed(traffic(&self.block, selections))?;
        let lines = line_count(&selections[0], self.block.engine.inputs);
        let taken = self.streams.taken_at(0);
        let cycles = taken[taken.len() - 1] - taken[lines - 1];
        Ok(cycles as f64 / (selections.len() - 1) as f64)
    }
}

/// Every number of keys up to `most` with every k, of kinds in turn; each a second time with pins among the keys.
fn every_k(most: usize, width: usize, random: &mut ChaCha8Rng) -> Vec<Selection> {
    let mut selections = Vec::new();
    for count in 0..=most {
        for k in 0..=(count + 1).min(most) {
            let kind = Kind::ALL[(count + k) % Kind::ALL.len()];
            let plain = Selection::of(kind, count, k, width, random);
            let mut pinned = plain.clone();
            // The newest and every fifth; where k is zero nothing else stays.
            for (index, part) in pinned.parts.iter_mut().enumerate() {
                if index + 1 == count || index % 5 == 0 {
                    *part = Part::Pinned;
                }
            }
            selections.extend([plain, pinned]);
        }
    }
    selections
}

fn traffic(block: &TopK, selections: &[Selection]) -> Traffic {
    let inputs = block.engine.inputs;
    let descriptors = selections
        .iter()
        .map(|s| vec![s.k as i64, s.ranked().len() as i64]);
    let sent = selections.iter().flat_map(|s| lines(block, s));
    let expected = selections.iter().flat_map(|s| kept_lines(block, s));
    let starts: Vec<usize> = selections
        .iter()
        .scan(0, |next, s| {
            let start = *next;
            *next += line_count(s, inputs);
            Some(start)
        })
        .collect();
    Traffic {
        sent: vec![descriptors.collect(), sent.collect()],
        expected: vec![expected.collect()],
        explain: vec![Box::new(move |place| {
            let selection = starts.partition_point(|&start| start <= place.word) - 1;
            let line = place.word - starts[selection];
            format!("selection {selection}, line {line}, lane {}", place.lane)
        })],
    }
}

fn line_count(selection: &Selection, inputs: usize) -> usize {
    selection.keys.len().div_ceil(inputs).max(1)
}

fn payload(block: &TopK, index: usize) -> i64 {
    (index & ((1 << block.payload_bits) - 1)) as i64
}

/// Lines of a selection, at least one; the payload is the element's place.
fn lines(block: &TopK, selection: &Selection) -> Vec<Word> {
    let inputs = block.engine.inputs;
    let count = line_count(selection, inputs);
    let line = |line: usize| {
        let lanes = line * inputs..(line + 1) * inputs;
        let flags = |wanted: Part| {
            let is = move |lane| selection.parts.get(lane) == Some(&wanted);
            lanes.clone().map(move |lane| i64::from(is(lane)))
        };
        let key = |lane| selection.keys.get(lane).map_or(0, |&key: &u64| key as i64);
        let mut word: Word = lanes.clone().map(key).collect();
        word.extend(lanes.clone().map(|lane| payload(block, lane)));
        word.extend(flags(Part::Ranked));
        word.extend(flags(Part::Pinned));
        word.push(i64::from(line + 1 == count));
        word
    };
    (0..count).map(line).collect()
}

fn kept_lines(block: &TopK, selection: &Selection) -> Vec<Word> {
    let inputs = block.engine.inputs;
    let pinned = selection.parts.iter().filter(|&&part| part == Part::Pinned);
    let wanted = selection.k + pinned.count();
    let kept = select(&selection.keys, &selection.parts, wanted).expect("k and the pins fit");
    let count = line_count(selection, inputs);
    let line = |line: usize| {
        let lanes = line * inputs..((line + 1) * inputs).min(kept.len());
        let mut word: Word = lanes
            .filter(|&lane| kept[lane])
            .map(|lane| payload(block, lane))
            .collect();
        let stays = word.len() as i64;
        word.resize(inputs, 0);
        word.extend([stays, i64::from(line + 1 == count)]);
        word
    };
    (0..count).map(line).collect()
}
