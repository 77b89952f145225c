//! Testbench of the fill crossbar.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::harness::{Round, ensure, start};
use super::{BenchError, Options, Report};
use crate::accelerator::fetch::{Class, Fetch, FillCrossbar, fill_names};
use crate::accelerator::shape::ArrayShape;
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, PortId, SinkId, SourceId};
use crate::hdl::{self, elaborate};

/// Rounds of random vectors and stalls.
const ROUNDS: usize = 8;

/// Runs on the configuration's fetcher, on one with a single channel and column, and on one of four channels.
///
/// # Errors
/// [`BenchError`] when a vector does not arrive whole in its columns, or the block cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = FillCrossbar {
        fetch: Fetch::new(config),
    };
    let mut report = check(&used, &Design::from(&elaborate(&used)), options)?;
    for (channels, multipliers, head_dims) in [(1, 32, vec![32]), (4, 128, vec![32, 64, 128])] {
        let corner = FillCrossbar {
            fetch: Fetch {
                channels,
                shape: ArrayShape {
                    multipliers,
                    head_dims,
                },
                element_bits: [5, 6, 7],
                lines: [8, 0, 12, 4],
                ..Fetch::new(config)
            },
        };
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        report.add(check(&corner, &Design::from(&elaborate(&corner)), &few)?.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` vectors in rounds of one head dimension each, with random stalls.
///
/// # Errors
/// As [`run`]; the message names ring, column and line.
pub fn check(
    block: &FillCrossbar,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut crossbar = Crossbar::new(block, design, options)?;
    let mut random = options.random(0);
    let mut report = Report::default();
    let levels = block.fetch.shape.levels();
    for round in 0..ROUNDS {
        let level = levels[round % levels.len()];
        let vectors = crossbar.vectors(&mut random, level, options.cases / ROUNDS + 1);
        report.words += vectors.len() as u64;
        let words = crossbar.words(&mut random, &vectors, level);
        let port = crossbar.level;
        let drive = |bench: &mut Bench| bench.simulator().set(port, level as u64);
        words.with_stalls(&mut crossbar.bench, &mut random, drive)?;
        crossbar.compare(design, &vectors, level)?;
    }

    let vectors = crossbar.in_order(&mut random, 64);
    let words = crossbar.words(&mut random, &vectors, 0);
    let port = crossbar.level;
    words.at_full_speed(&mut crossbar.bench, |bench| bench.simulator().set(port, 0))?;
    crossbar.compare(design, &vectors, 0)?;
    let sent = crossbar
        .sources
        .iter()
        .map(|&source| crossbar.bench.source_cycles(source));
    let filled = crossbar
        .sinks
        .iter()
        .map(|sink| crossbar.bench.sink_cycles(sink.id));
    let first = |cycles: Option<u64>| cycles.unwrap_or_default();
    let latency = first(filled.flatten().copied().min()) - first(sent.flatten().copied().min());
    ensure(latency == FillCrossbar::LATENCY, || {
        let documented = FillCrossbar::LATENCY;
        format!("{}: latency {latency}, {documented} documented", design.top)
    })?;
    report.cycles = crossbar.bench.simulator().cycle();
    report
        .notes
        .push(format!("vector to fill: {latency} cycles"));
    Ok(report)
}

/// A vector on its way to a ring.
struct Vector {
    class: Class,
    line: usize,
    slot: usize,
    data: Vec<i64>,
}

struct Sink {
    class: Class,
    column: usize,
    parity: usize,
    id: SinkId,
}

struct Crossbar<'a> {
    fetch: &'a Fetch,
    bench: Bench,
    level: PortId,
    sources: Vec<SourceId>,
    sinks: Vec<Sink>,
}

impl<'a> Crossbar<'a> {
    fn new(
        block: &'a FillCrossbar,
        design: &Design,
        options: &Options,
    ) -> Result<Self, BenchError> {
        let fetch = &block.fetch;
        let simulator = start(design, options)?;
        let level = simulator.port("level_i");
        let mut bench = Bench::new(simulator, options.seed);
        let bits = fetch.converter().element_bits;
        let field = |field: &hdl::Field| match field.name.as_str() {
            "data" => Field::signed("data", bits).lanes(fetch.shape.max_dim()),
            name => Field::unsigned(name, field.ty.width),
        };
        let fields: Vec<Field> = block.vector_fields().iter().map(field).collect();
        let sources = (0..fetch.channels).map(|n| bench.source(&format!("vector{n}"), &fields));
        let sources = sources.collect();
        let mut sinks = Vec::new();
        for class in fetch.classes() {
            let ring = fetch.ring(class);
            let fields = [
                Field::unsigned("half", ring.column().half_bits()),
                Field::signed("data", ring.element_bits).lanes(ring.shape.min_dim()),
            ];
            for column in 0..ring.shape.chunks() {
                for (parity, name) in fill_names(class, column).iter().enumerate() {
                    let id = bench.sink(name, &fields);
                    sinks.push(Sink {
                        class,
                        column,
                        parity,
                        id,
                    });
                }
            }
        }
        Ok(Crossbar {
            fetch,
            bench,
            level,
            sources,
            sinks,
        })
    }

    fn vector(&self, random: &mut impl Rng, place: (Class, usize, usize)) -> Vector {
        let (class, line, slot) = place;
        let half = 1_i64 << (self.fetch.converter().element_bits - 1);
        let data = (0..self.fetch.shape.max_dim()).map(|_| random.random_range(-half..half));
        Vector {
            class,
            line,
            slot,
            data: data.collect(),
        }
    }

    /// Vectors of one head dimension, to random places.
    fn vectors(&self, random: &mut impl Rng, level: usize, count: usize) -> Vec<Vector> {
        let classes: Vec<Class> = self.fetch.classes().collect();
        let mut vector = || {
            let class = classes[random.random_range(0..classes.len())];
            let slots = match class {
                Class::Query => 1,
                _ => self.fetch.shape.vectors_per_line(level),
            };
            let line = random.random_range(0..self.fetch.ring(class).lines);
            let slot = random.random_range(0..slots);
            self.vector(random, (class, line, slot))
        };
        (0..count).map(|_| vector()).collect()
    }

    /// So many vectors of the smallest dimension that fill K's lines one after the other.
    fn in_order(&self, random: &mut impl Rng, count: usize) -> Vec<Vector> {
        let per_line = self.fetch.shape.chunks();
        let lines = self.fetch.ring(Class::Key).lines;
        let place = |index: usize| (Class::Key, index / per_line % lines, index % per_line);
        (0..count)
            .map(|index| self.vector(random, place(index)))
            .collect()
    }

    /// The vectors, dealt out to the channels.
    fn words(&self, random: &mut impl Rng, vectors: &[Vector], level: usize) -> Round {
        let mut sent = vec![Vec::new(); self.sources.len()];
        let mut channels: Vec<usize> = (0..sent.len()).collect();
        for vectors in vectors.chunks(sent.len()) {
            channels.shuffle(random);
            for (vector, &channel) in vectors.iter().zip(&channels) {
                let place = [vector.class as i64, vector.line as i64, vector.slot as i64];
                sent[channel].push([&place[..], &vector.data].concat());
            }
        }
        let awaited = self
            .sinks
            .iter()
            .map(|sink| (sink.id, self.fills(sink, vectors, level).len()));
        Round {
            sources: self.sources.iter().copied().zip(sent).collect(),
            sinks: vec![],
            collected: awaited.collect(),
        }
    }

    /// Words that leave at a sink, in any order.
    fn fills(&self, sink: &Sink, vectors: &[Vector], level: usize) -> Vec<Vec<i64>> {
        let dim = self.fetch.shape.min_dim();
        let bits = self.fetch.bits_of(sink.class);
        let cut = |value: &i64| value << (64 - bits) >> (64 - bits);
        let fill = |vector: &Vector| {
            let chunk = sink.column.checked_sub(vector.slot << level)?;
            let meant =
                vector.class == sink.class && vector.line % 2 == sink.parity && chunk < 1 << level;
            meant.then(|| {
                let chunk = vector.data[chunk * dim..][..dim].iter().map(cut);
                std::iter::once((vector.line / 2) as i64)
                    .chain(chunk)
                    .collect()
            })
        };
        vectors.iter().filter_map(fill).collect()
    }

    fn compare(&self, design: &Design, vectors: &[Vector], level: usize) -> Result<(), BenchError> {
        for sink in &self.sinks {
            let mut expected = self.fills(sink, vectors, level);
            let words = self.bench.collected(sink.id);
            let words = words.chunks(1 + self.fetch.shape.min_dim());
            let mut found: Vec<Vec<i64>> = words.map(<[_]>::to_vec).collect();
            expected.sort();
            found.sort();
            let wrong = expected
                .iter()
                .zip(&found)
                .find(|(expected, found)| expected != found);
            ensure(wrong.is_none(), || {
                let name = &fill_names(sink.class, sink.column)[sink.parity];
                format!(
                    "{}: stream `{name}`: half, elements of a line are {wrong:?} (expected, found)",
                    design.top
                )
            })?;
        }
        Ok(())
    }
}
