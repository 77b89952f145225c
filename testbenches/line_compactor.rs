//! Testbench of the line compactor: sequences of lines with every number of elements.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::streams::{ROUNDS, Streams, Traffic, Word, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::top::AttentionCore;
use crate::cells::line_compactor::{LineCompactor, golden};
use crate::config::Config;
use crate::cosim::{Design, Field};

/// Runs on the one that importance holds, and on 1, 3 and 8 lanes.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).importance().compactor();
    let mut report = check(&used, &design(&used), options)?;
    for lanes in [1, 3, 8] {
        let corner = LineCompactor { lanes, width: 5 };
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        report.add(check(&corner, &design(&corner), &few)?.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` sequences in rounds of random stalls, each interrupted once by a reset; then the documented
/// latency and intervals.
///
/// # Errors
/// As [`run`]; the message names the sequence, the line and the lane.
pub fn check(
    block: &LineCompactor,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let fields = vec![
        Field::unsigned("data", block.width).lanes(block.lanes),
        Field::unsigned("count", block.count_bits()),
        Field::unsigned("last", 1),
    ];
    let mut streams = Streams::start(
        design,
        options,
        &[("in", fields.clone())],
        &[("out", fields)],
    )?;
    for _ in 0..ROUNDS {
        let sequences =
            (0..options.cases / ROUNDS + 1).map(|_| random_sequence(block, &mut random));
        streams.with_stalls(traffic(block.lanes, &sequences.collect::<Vec<_>>()))?;
    }

    let line = |count: usize, random: &mut ChaCha8Rng| random_line(block, count, random);
    let short: Vec<_> = (0..50)
        .map(|_| vec![line(random.random_range(0..=block.lanes), &mut random)])
        .collect();
    streams.at_full_speed(traffic(block.lanes, &short))?;
    let latency = streams.taken_at(0)[0] - streams.sent_at(0)[0];
    let mut notes = vec![
        figure(
            design,
            "last line to line",
            LineCompactor::LATENCY as usize,
            latency,
        )?,
        figure(
            design,
            "50 sequences of a line",
            49,
            span(streams.taken_at(0)),
        )?,
    ];
    // The second line shows that the first is not the last; the end of a sequence takes a cycle of its own.
    let full: Vec<_> = (0..20)
        .map(|_| (0..5).map(|_| line(block.lanes, &mut random)).collect())
        .collect();
    streams.at_full_speed(traffic(block.lanes, &full))?;
    let latency = streams.taken_at(0)[0] - streams.sent_at(0)[1];
    notes.extend([
        figure(
            design,
            "next line to line",
            LineCompactor::LATENCY as usize,
            latency,
        )?,
        figure(
            design,
            "20 sequences of 5 full lines",
            20 * 6 - 2,
            span(streams.sent_at(0)),
        )?,
    ]);
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

/// A sequence of lines that are all alike in how full they are, or of any.
fn random_sequence(block: &LineCompactor, random: &mut ChaCha8Rng) -> Vec<Vec<i64>> {
    let most = match random.random_range(0..4) {
        0 => 1,
        _ => block.lanes,
    };
    let least = match random.random_range(0..4) {
        0 => most,
        _ => 0,
    };
    let lines = random.random_range(1..=6);
    let mut line = || {
        let count = random.random_range(least..=most);
        random_line(block, count, random)
    };
    (0..lines).map(|_| line()).collect()
}

fn random_line(block: &LineCompactor, count: usize, random: &mut ChaCha8Rng) -> Vec<i64> {
    let element = |_| random.random_range(0..1_i64 << block.width);
    (0..count).map(element).collect()
}

fn traffic(lanes: usize, sequences: &[Vec<Vec<i64>>]) -> Traffic {
    let words = |lines: &[Vec<i64>]| -> Vec<Word> {
        let count = lines.len();
        let word = |(index, line): (usize, &Vec<i64>)| {
            let mut word = line.clone();
            word.resize(lanes, 0);
            word.extend([line.len() as i64, i64::from(index + 1 == count)]);
            word
        };
        lines.iter().enumerate().map(word).collect()
    };
    let (mut sent, mut expected, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (sequence, lines) in sequences.iter().enumerate() {
        sent.extend(words(lines));
        let full = golden(lanes, lines);
        places.extend((0..full.len()).map(|line| (sequence, line)));
        expected.extend(words(&full));
    }
    Traffic {
        sent: vec![sent],
        expected: vec![expected],
        explain: vec![Box::new(move |place| {
            let (sequence, line) = places[place.word];
            format!("sequence {sequence}, line {line}")
        })],
    }
}
