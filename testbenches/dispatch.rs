//! Testbench of the dispatch of row words and key jobs.

use std::collections::HashMap;

use rand::{Rng, RngExt};

use super::streams::{Explain, ROUNDS, Streams, Traffic, Word, design, figure};
use super::{BenchError, Options, Report};
use crate::accelerator::control::Dispatch;
use crate::accelerator::fetch::Class;
use crate::config::Config;
use crate::cosim::{Design, Field};
use crate::hdl;

/// Runs on the configuration's fetcher and pipeline, and on the same without an LSB plane.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = Dispatch::new(config);
    let mut report = check(&used, &design(&used), options)?;
    let mut without = config.clone();
    without.buffers.key_lsb_lines = 0;
    let without = Dispatch::new(&without);
    let few = Options {
        cases: options.cases / 4,
        ..options.untraced()
    };
    report.add(check(&without, &design(&without), &few)?.without_notes());
    Ok(report)
}

/// At least `options.cases` rows in rounds of random stalls, each interrupted once by a reset; then the documented latency
/// and interval.
///
/// # Errors
/// As [`run`]; the message names stream and row.
pub fn check(block: &Dispatch, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let channels = Channels::new(block);
    let names = |channels: &[(&'static str, Vec<Field>)]| channels.to_vec();
    let mut streams = Streams::start(
        design,
        options,
        &names(&channels.sources),
        &names(&channels.sinks),
    )?;
    let mut random = options.random(0);
    for _ in 0..ROUNDS {
        let rows = options.cases / ROUNDS + 1;
        streams.with_stalls(channels.traffic(&mut random, rows))?;
    }
    streams.at_full_speed(channels.traffic(&mut random, 100))?;
    let sent = streams.sent_at(0);
    let fetched = streams.taken_at(0);
    let notes = vec![
        figure(design, "row to query_fetch", 1, fetched[0] - sent[0])?,
        figure(design, "100 rows", 99, fetched[99] - fetched[0])?,
    ];
    Ok(Report {
        words: streams.words(),
        cycles: streams.cycles(),
        notes,
        ..Report::default()
    })
}

/// Values of a word by field.
type Named = HashMap<String, Vec<i64>>;

struct Channels {
    sources: Vec<(&'static str, Vec<Field>)>,
    sinks: Vec<(&'static str, Vec<Field>)>,
    has_lsb: bool,
}

impl Channels {
    fn new(block: &Dispatch) -> Self {
        let (fetch, pipeline) = (&block.fetch, &block.pipeline);
        let has_lsb = fetch.classes().any(|class| class == Class::Lsb);
        let query = Field::signed("query", pipeline.formats.query_bits);
        let query = query.lanes(pipeline.shape.max_dim());
        let line = Field {
            name: "data".into(),
            ..query.clone()
        };
        let level = unsigned(&[pipeline.shape.level_field()]);
        let ring_row = unsigned(&fetch.ring(Class::Key).row_fields());
        let mut sources = vec![
            ("row", unsigned(&block.row_fields())),
            ("query_line", vec![line]),
            ("key", unsigned(&block.key_fields())),
        ];
        let mut sinks = vec![
            ("query_fetch", unsigned(&fetch.query_fields())),
            ("query", [vec![query], level].concat()),
            ("key_row", ring_row.clone()),
            ("value_row", ring_row),
            ("pipeline_row", unsigned(&pipeline.row_fields())),
            ("output_row", unsigned(&block.output_row_fields())),
            ("key_job", unsigned(&fetch.job_fields(Class::Key))),
        ];
        if has_lsb {
            sources.push(("refetch", vec![Field::unsigned("data", 1)]));
            sinks.push(("lsb_job", unsigned(&fetch.job_fields(Class::Lsb))));
            sinks.push(("refined", vec![Field::unsigned("data", 1)]));
            sinks.push(("lsb_row", unsigned(&fetch.ring(Class::Lsb).row_fields())));
        }
        Channels {
            sources,
            sinks,
            has_lsb,
        }
    }

    fn fields(&self, sink: &str) -> &[Field] {
        let found = self.sinks.iter().find(|(name, _)| *name == sink);
        &found.expect("a sink of this name").1
    }

    /// Random words of as many rows, queries and key jobs, and what must become of them.
    fn traffic(&self, random: &mut impl Rng, rows: usize) -> Traffic {
        let mut sent: Vec<Vec<Word>> = vec![Vec::new(); self.sources.len()];
        let mut expected: HashMap<&str, Vec<Word>> = HashMap::new();
        for _ in 0..rows {
            let [row, line, key] = [0, 1, 2].map(|source| {
                let word = word(random, &self.sources[source].1);
                sent[source].push(flat(&word, &self.sources[source].1));
                word
            });
            let mut leaves = |sink: &'static str, word: &Named| {
                let word = flat(word, self.fields(sink));
                expected.entry(sink).or_default().push(word);
            };
            leaves("query_fetch", &renamed(&row, "query_base", "base"));
            leaves("query", &with(&row, "query", &line["data"]));
            for sink in ["key_row", "value_row", "pipeline_row"] {
                leaves(sink, &row);
            }
            leaves("output_row", &renamed(&row, "output_base", "base"));
            leaves("key_job", &key);
            if !self.has_lsb {
                continue;
            }
            let refetches = random.random_bool(0.5);
            let progressive = key["progressive"] == [1];
            if progressive {
                sent[3].push(vec![i64::from(refetches)]);
                let told = with(&key, "data", &[i64::from(refetches)]);
                leaves("refined", &told);
            }
            let refined = progressive && refetches;
            let job = renamed(&key, "lsb_base", "base");
            let job = renamed(&job, "lsb_rotation", "rotation");
            let job = with(&with(&job, "format", &[0]), "skip", &[i64::from(!refined)]);
            leaves("lsb_job", &job);
            if refined {
                let row = renamed(&key, "keys", "live");
                let row = with(&with(&row, "keys", &key["keys"]), "release", &[1]);
                leaves("lsb_row", &row);
            }
        }
        let sinks = self.sinks.iter().map(|(name, _)| *name);
        let explain = |name: &'static str| -> Explain {
            Box::new(move |place| format!("{name} of row or job {}", place.word))
        };
        Traffic {
            sent,
            expected: sinks
                .clone()
                .map(|name| expected.remove(name).unwrap_or_default())
                .collect(),
            explain: sinks.map(explain).collect(),
        }
    }
}

fn unsigned(fields: &[hdl::Field]) -> Vec<Field> {
    fields.iter().map(Field::from).collect()
}

fn word(random: &mut impl Rng, fields: &[Field]) -> Named {
    let value = |random: &mut _, field: &Field| match field.signed {
        true => RngExt::random_range(random, -(1 << (field.width - 1))..1 << (field.width - 1)),
        false => RngExt::random_range(random, 0..1_i64 << field.width),
    };
    let lanes =
        |random: &mut _, field: &Field| (0..field.lanes).map(|_| value(random, field)).collect();
    let named = fields
        .iter()
        .map(|field| (field.name.clone(), lanes(random, field)));
    named.collect()
}

fn flat(word: &Named, fields: &[Field]) -> Word {
    let values = fields.iter().flat_map(|field| &word[&field.name]);
    values.copied().collect()
}

fn with(word: &Named, field: &str, values: &[i64]) -> Named {
    let mut word = word.clone();
    word.insert(field.to_owned(), values.to_vec());
    word
}

/// The word with the value of `from` in field `to` as well.
fn renamed(word: &Named, from: &str, to: &str) -> Named {
    with(word, to, &word[from])
}
