//! Testbench of the use pass.

use rand_chacha::ChaCha8Rng;

use super::exponent::narrowest;
use super::softmax_rows::{Row, RowShape, fields, places, pruned_places};
use super::streams::{ROUNDS, Streams, Traffic, design, figure, span};
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::UsePass;
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::Design;
use crate::numerics::Formats;

/// Runs on the configuration's parameters and on the smallest: one lane, a ring of one row of banks, one row in flight,
/// with value pruning and without, and with lanes that are no power of two.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).softmax().use_pass();
    let mut report = check(&used, config.formats(), &design(&used), options)?;
    let smallest = UsePass {
        lanes: 1,
        weight_lines: 1,
        rows_in_flight: 1,
        pruned_keys: None,
    };
    let few = Options {
        cases: options.cases / 10,
        ..options.untraced()
    };
    let pruning = UsePass {
        pruned_keys: Some(1),
        ..smallest.clone()
    };
    let odd = UsePass {
        lanes: 3,
        rows_in_flight: 4,
        pruned_keys: Some(20),
        ..smallest.clone()
    };
    for corner in [smallest, pruning, odd] {
        let corner = check(&corner, narrowest(), &design(&corner), &few)?;
        report.add(corner.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` rows in rounds of random stalls, each interrupted once by a reset; then the documented
/// latencies and interval. The exponentials are those of scores in `formats`.
///
/// # Errors
/// As [`run`]; the message names stream, row, line and lane.
pub fn check(
    block: &UsePass,
    formats: Formats,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let shape = RowShape {
        formats,
        lanes: block.lanes,
        most_lines: 40,
        pruned_keys: block.pruned_keys,
    };
    let mut sources = vec!["exponential", "row"];
    let mut sinks = vec!["weight", "reciprocal"];
    if block.pruned_keys.is_some() {
        sources.extend(["mode", "threshold"]);
        sinks.push("value_id");
    }
    let (sources, sinks) = (fields(&shape, &sources), fields(&shape, &sinks));
    let mut streams = Streams::start(design, options, &sources, &sinks)?;
    let corners = shape.corners(&mut random);
    streams.at_full_speed(traffic(&shape, &corners, &mut random))?;
    for _ in 0..ROUNDS {
        let rows: Vec<_> = (0..options.cases / ROUNDS + 1)
            .map(|_| shape.random_row(&mut random))
            .collect();
        streams.with_stalls(traffic(&shape, &rows, &mut random))?;
    }

    let notes = measure(block, design, &shape, &mut streams, &mut random)?;
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

fn traffic(shape: &RowShape, rows: &[Row], random: &mut ChaCha8Rng) -> Traffic {
    let words = shape.words(rows, random);
    let in_lines = places(rows, shape.lanes);
    let pruning = shape.pruned_keys.is_some();
    let mut traffic = Traffic {
        sent: vec![words.exponentials, words.reciprocals],
        expected: vec![words.weights, words.divisors],
        explain: vec![
            Box::new(in_lines),
            Box::new(|place| format!("row {}", place.word)),
        ],
    };
    if pruning {
        traffic.sent.extend([words.modes, words.thresholds]);
        traffic.expected.push(words.value_ids);
        let pruned = pruned_places(rows, shape.lanes);
        traffic.explain.push(Box::new(pruned));
    }
    traffic
}

/// Latencies of a lone line, with pruning and without, and the interval of rows of one line of both kinds.
fn measure(
    block: &UsePass,
    design: &Design,
    shape: &RowShape,
    streams: &mut Streams,
    random: &mut ChaCha8Rng,
) -> Result<Vec<String>, BenchError> {
    let mut rows_of = |count: usize, prunes: bool| {
        let rows = (0..count).map(|_| shape.row_that(prunes, 1, random));
        let rows: Vec<_> = rows.collect();
        traffic(shape, &rows, random)
    };
    let mut notes = Vec::new();
    let mut latencies = vec![
        (false, "exponentials to weights", block.weight_latency(), 0),
        (
            false,
            "last exponentials to 1/S",
            block.reciprocal_latency(),
            1,
        ),
    ];
    if block.pruned_keys.is_some() {
        latencies.extend([
            (
                true,
                "last exponentials to 1/S of the kept ones",
                block.renormalised_latency(),
                1,
            ),
            (
                true,
                "exponentials to kept positions",
                block.id_latency(),
                2,
            ),
        ]);
    }
    for (prunes, what, documented, sink) in latencies {
        streams.at_full_speed(rows_of(1, prunes))?;
        let entered = streams.sent_at(0)[0];
        let measured = streams.taken_at(sink)[0] - entered;
        notes.push(figure(design, what, documented, measured)?);
    }
    if block.ring().lines() >= block.lines_at_full_speed() && block.rows_in_flight >= 3 {
        let rows = 200;
        streams.at_full_speed(rows_of(rows, false))?;
        let what = format!("{rows} rows of one line");
        notes.push(figure(design, &what, rows - 1, span(streams.taken_at(0)))?);
    }
    if block.pruned_keys.is_some() {
        // The longest rows, so that the reciprocals of the kept sums are no limit.
        let lines = shape.most_lines;
        let rows: Vec<_> = (0..20)
            .map(|_| shape.row_that(true, lines, random))
            .collect();
        if block.ring().lines() >= block.lines_at_full_speed()
            && block.rows_in_flight * lines > block.renormalised_latency() + lines
        {
            streams.at_full_speed(traffic(shape, &rows, random))?;
            let what = format!("20 pruned rows of {lines} lines");
            let cycles = span(streams.taken_at(0));
            notes.push(figure(design, &what, 20 * lines - 1, cycles)?);
        }
    }
    Ok(notes)
}
