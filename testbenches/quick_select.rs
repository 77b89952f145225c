//! Testbench of the quick-select engine.

use super::harness::ensure;
use super::selections::{Kind, Selection};
use super::streams::{ROUNDS, Streams, Traffic, Word, design};
use super::{BenchError, Options, Report};
use crate::accelerator::top_k::golden::Part;
use crate::accelerator::top_k::{QuickSelect, TopK};
use crate::config::Config;
use crate::cosim::{Design, Field};

/// Runs on 16 lanes of exponentials, and on the corners of lanes and widths.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = TopK::new(config).engine;
    let mut report = check(&used, &design(&used), options)?;
    for (width, lanes, inputs, max_keys) in [(1, 1, 1, 5), (5, 2, 8, 40), (36, 32, 4, 100)] {
        let corner = QuickSelect {
            width,
            lanes,
            inputs,
            max_keys,
        };
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        report.add(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` selections with random stalls, each round interrupted once by a reset; then every kind of
/// keys alone, each within the bound of cycles.
///
/// # Errors
/// As [`run`]; the message names the selection.
pub fn check(
    block: &QuickSelect,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let counts = Field::unsigned("k", block.count_bits());
    let sources = [
        (
            "selection",
            vec![counts.clone(), Field::unsigned("keys", block.count_bits())],
        ),
        (
            "in",
            vec![
                Field::unsigned("data", block.width).lanes(block.inputs),
                Field::unsigned("ranked", 1).lanes(block.inputs),
                Field::unsigned("last", 1),
            ],
        ),
    ];
    let sinks = [(
        "threshold",
        vec![
            Field::unsigned("kth", block.width),
            Field::unsigned("keep_equal", block.count_bits()),
        ],
    )];
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    for _ in 0..ROUNDS {
        let selections: Vec<_> = (0..options.cases / ROUNDS + 1)
            .map(|_| Selection::random(block.max_keys.min(100), block.width, &mut random))
            .collect();
        streams.with_stalls(traffic(block, &selections))?;
    }

    let keys = block.max_keys;
    let mut slowest = (0, Kind::Equal);
    for kind in Kind::ALL {
        for k in [1, keys / 3, keys / 2, keys - 1] {
            let selection = Selection::of(kind, keys, k, block.width, &mut random);
            streams.at_full_speed(traffic(block, std::slice::from_ref(&selection)))?;
            let last = *streams.sent_at(1).last().expect("lines were sent");
            let cycles = streams.taken_at(0)[0] - last;
            let bound = block.most_cycles(keys) as u64;
            ensure(cycles <= bound, || {
                format!(
                    "{}: {kind:?}, k {k} of {keys}: {cycles} cycles, at most {bound}",
                    design.top
                )
            })?;
            slowest = slowest.max_by(cycles, kind);
        }
    }
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes: vec![format!(
            "last line to threshold: at most {} cycles at {keys} keys ({:?}); bound {}",
            slowest.0,
            slowest.1,
            block.most_cycles(keys)
        )],
        ..Report::default()
    })
}

/// The slower of two.
trait Slower {
    fn max_by(self, cycles: u64, kind: Kind) -> Self;
}

impl Slower for (u64, Kind) {
    fn max_by(self, cycles: u64, kind: Kind) -> Self {
        if cycles > self.0 {
            (cycles, kind)
        } else {
            self
        }
    }
}

fn traffic(block: &QuickSelect, selections: &[Selection]) -> Traffic {
    let lines = selections.iter().flat_map(|s| lines(s, block.inputs));
    let descriptors = selections
        .iter()
        .map(|s| vec![s.k as i64, s.ranked().len() as i64]);
    let thresholds = selections.iter().map(|s| {
        let threshold = block.golden(&s.ranked(), s.k);
        vec![threshold.kth as i64, threshold.keep_equal as i64]
    });
    Traffic {
        sent: vec![descriptors.collect(), lines.collect()],
        expected: vec![thresholds.collect()],
        explain: vec![Box::new(|place| format!("selection {}", place.word))],
    }
}

/// Lines of a selection, at least one.
pub fn lines(selection: &Selection, inputs: usize) -> Vec<Word> {
    let count = selection.keys.len().div_ceil(inputs).max(1);
    let element = |index: usize| match selection.parts.get(index) {
        Some(&part) => (
            selection.keys[index] as i64,
            i64::from(part == Part::Ranked),
        ),
        None => (0, 0),
    };
    (0..count)
        .map(|line| {
            let lanes = (0..inputs).map(|lane| element(line * inputs + lane));
            let (mut word, flags): (Word, Word) = lanes.unzip();
            word.extend(flags);
            word.push(i64::from(line + 1 == count));
            word
        })
        .collect()
}
