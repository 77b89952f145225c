//! Bytes per cycle that the fetcher alone brings, of K and V of heads whose survivors are scattered.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::workload::{Memory, usual_head_dim};
use super::{Benchmark, Inputs, Row};
use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::fetch::{Class, Fetch, Placement, VectorFormat};
use crate::config::Config;
use crate::cosim::Design;
use crate::cosim::memory::{MemoryTiming, SparseMemory};
use crate::engine::EngineError;
use crate::hdl::elaborate;
use crate::testbenches::Options;
use crate::testbenches::fetch::jobs::{Job, Jobs};
use crate::testbenches::fetch::ports::Ports;
use crate::workload::memory_image::key_format;

/// Heads of a layer, which share their survivors.
const HEADS: usize = 12;
/// Tokens of the sequences.
const TOKENS: usize = 1024;
/// Cycles that a run's bytes would take at the channels' peak: five refreshes.
const PEAK_CYCLES: usize = 20_000;
/// Bytes between the planes of K and V and of layers: they lie in different banks.
const APART: usize = 1 << 18;
const SEED: u64 = 1;

/// Bits of a vector's element.
const BITS: [usize; 4] = [8, 4, 6, 12];

pub(super) const FETCH: Benchmark = Benchmark {
    name: "fetch",
    summary: "bytes per cycle of K and V vectors that the fetcher alone reads from memories of fixed latency and of HBM2 \
              timing; the bound is the channels' peak, or what two lines per cycle take",
    run: fetch,
};

/// Which tokens of a layer survive.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Dense,
    /// So many percent, at random.
    Random(usize),
    Every16th,
    /// So many, at random.
    Count(usize),
}

const KINDS: [Kind; 9] = [
    Kind::Dense,
    Kind::Random(50),
    Kind::Random(30),
    Kind::Random(10),
    Kind::Every16th,
    Kind::Count(20),
    Kind::Count(64),
    Kind::Count(100),
    Kind::Count(300),
];

impl Kind {
    fn name(self) -> String {
        match self {
            Kind::Dense => "dense".into(),
            Kind::Random(percent) => format!("r{percent}"),
            Kind::Every16th => "s16".into(),
            Kind::Count(count) => format!("n{count}"),
        }
    }

    fn survivors(self, tokens: usize, random: &mut impl Rng) -> Vec<usize> {
        let mut ids: Vec<usize> = (0..tokens).collect();
        match self {
            Kind::Dense => ids,
            Kind::Every16th => (0..tokens).step_by(16).collect(),
            Kind::Random(percent) => {
                ids.retain(|_| random.random_ratio(percent as u32, 100));
                // A list has an id.
                if ids.is_empty() {
                    ids.push(0);
                }
                ids
            }
            Kind::Count(count) => {
                ids.shuffle(random);
                ids.truncate(count);
                ids.sort_unstable();
                ids
            }
        }
    }

    /// What the project set itself for the published size and 8 bits, as a share of the peak.
    fn target(self, memory: Memory) -> Option<f64> {
        let targets = match self {
            Kind::Dense => [0.98, 0.915],
            Kind::Random(50) => [0.95, 0.89],
            Kind::Random(30) => [0.95, 0.89],
            Kind::Random(10) => [0.94, 0.87],
            Kind::Every16th => [0.97, 0.90],
            _ => return None,
        };
        Some(targets[memory as usize])
    }
}

/// What is measured: one width, one kind of lists, one memory.
struct Case {
    bits: usize,
    kind: Kind,
    memory: Memory,
}

impl Case {
    fn name(&self) -> String {
        format!("{}b {} {}", self.bits, self.kind.name(), self.memory.name())
    }
}

/// Where jobs come from.
struct Layers<'a> {
    fetch: &'a Fetch,
    placement: Placement,
    tokens: usize,
    level: usize,
}

impl Layers<'_> {
    fn new<'a>(config: &Config, fetch: &'a Fetch) -> Layers<'a> {
        let dim = usual_head_dim(config);
        Layers {
            fetch,
            placement: Placement::new(fetch.channels),
            tokens: TOKENS.min(fetch.keys_per_row),
            level: fetch.shape.level_of(dim).expect("it is one of them"),
        }
    }

    fn dim(&self) -> usize {
        self.fetch.shape.min_dim() << self.level
    }

    /// A layer's jobs: of each head K and V.
    fn layer(&self, case: &Case, plane: usize, ids: &[usize], jobs: &mut Jobs) {
        let is_dense = matches!(case.kind, Kind::Dense);
        let space = 1u64 << self.fetch.base_bits();
        for head in 0..HEADS {
            for class in [Class::Key, Class::Value] {
                let format = key_format(case.bits, head);
                let stride = format.stride(self.dim());
                let place = if format.is_paired() {
                    head / 2 * 2
                } else {
                    head
                };
                let rows = self.placement.rows(self.tokens) * place;
                let of_plane = (2 * plane + usize::from(class == Class::Value)) * APART;
                let base = (of_plane + rows * stride) / BEAT_BYTES + format.first_beat(self.dim());
                let rotation = match class {
                    Class::Value => self.placement.value_rotation(head),
                    _ => self.placement.rotation(head),
                };
                jobs.jobs[class as usize].push(Job {
                    class,
                    base: base as u64 % space,
                    rotation,
                    level: self.level,
                    format,
                    dense: is_dense,
                    list_last: !is_dense && head + 1 == HEADS,
                    skip: false,
                    ids: ids.to_vec(),
                    vectors: Vec::new(),
                    live: vec![ids.len()],
                });
            }
        }
        if !is_dense {
            jobs.lists.push(ids.to_vec());
            if self.fetch.lines[Class::Lsb as usize] > 0 {
                jobs.jobs[Class::Lsb as usize].push(self.no_lsbs(ids));
            }
        }
    }

    /// The LSB plane is done with the list at once.
    fn no_lsbs(&self, ids: &[usize]) -> Job {
        Job {
            class: Class::Lsb,
            base: 0,
            rotation: 0,
            level: self.level,
            format: VectorFormat::Bits4,
            dense: false,
            list_last: true,
            skip: true,
            ids: ids.to_vec(),
            vectors: Vec::new(),
            live: vec![0],
        }
    }

    /// Layers until the bytes would take the wanted cycles at the peak.
    fn jobs(&self, case: &Case) -> Jobs {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let mut jobs = Jobs::default();
        let mut plane = 0;
        while jobs.beats(self.fetch) < PEAK_CYCLES * self.fetch.channels {
            let ids = case.kind.survivors(self.tokens, &mut random);
            self.layer(case, plane, &ids, &mut jobs);
            plane += 1;
        }
        jobs
    }

    /// Bytes per cycle that nothing beats: the channels' peak, or the lines of both rings at one per cycle each.
    fn bound(&self, jobs: &Jobs) -> f64 {
        let bytes = (jobs.beats(self.fetch) * BEAT_BYTES) as f64;
        let peak = (self.fetch.channels * BEAT_BYTES) as f64;
        let per_line = self.fetch.shape.vectors_per_line(self.level);
        let lines = |class: Class| -> usize {
            let jobs = jobs.jobs[class as usize].iter();
            jobs.map(|job| job.ids.len().div_ceil(per_line)).sum()
        };
        let lines = lines(Class::Key).max(lines(Class::Value)) as f64;
        bytes / (bytes / peak).max(lines)
    }
}

/// Runs jobs from an idle fetcher on; the cycles of the first line and of all.
fn run(ports: &mut Ports<'_>, timing: &MemoryTiming, jobs: &Jobs) -> Result<[u64; 2], EngineError> {
    let memories = vec![SparseMemory::default(); ports.fetch.channels];
    ports.attach(memories, timing, None::<&mut ChaCha8Rng>);
    ports.reset()?;
    let start = ports.bench.simulator().cycle();
    ports.send(jobs);
    ports.collect(jobs);
    ports
        .bench
        .run(1000 + 100 * jobs.beats(ports.fetch) as u64)?;
    let end = ports.bench.simulator().cycle();
    let first = ports.lines.iter();
    let first = first.filter_map(|(_, sink)| ports.bench.sink_cycles(*sink).first().copied());
    let first = first.min().unwrap_or(end);
    Ok([first - start, end - start])
}

fn fetch(inputs: &Inputs<'_>) -> Result<Vec<Row>, EngineError> {
    let config = inputs.config;
    let fetch = Fetch::new(config);
    let options = Options {
        cases: 0,
        seed: SEED,
        trace: None,
    };
    let design = Design::from(&elaborate(&fetch));
    let mut ports = Ports::start_watching(&fetch, &design, &options, false)?;
    let layers = Layers::new(config, &fetch);
    let is_published = config.name == "spatten";
    let mut rows = Vec::new();
    for bits in BITS
        .into_iter()
        .filter(|&bits| bits <= config.arithmetic.key_bits.min(config.arithmetic.value_bits))
    {
        for memory in Memory::ALL {
            for kind in KINDS {
                let case = Case { bits, kind, memory };
                let jobs = layers.jobs(&case);
                let [_, cycles] = run(&mut ports, &case.memory.timing(), &jobs)?;
                let bytes = (jobs.beats(&fetch) * BEAT_BYTES) as f64;
                let bound = layers.bound(&jobs);
                let row = Row::of(
                    FETCH.name,
                    case.name(),
                    bytes / cycles as f64,
                    "bytes/cycle",
                )
                .bound(bound);
                let target = kind.target(memory).filter(|_| is_published && bits == 8);
                rows.push(match target {
                    Some(target) => row.target(target * bound),
                    None => row,
                });
            }
        }
    }
    rows.extend(cold(&layers, &mut ports)?);
    Ok(rows)
}

/// One list of K from an idle fetcher on: cycles to its first and to its last line.
fn cold(layers: &Layers<'_>, ports: &mut Ports<'_>) -> Result<Vec<Row>, EngineError> {
    let mut rows = Vec::new();
    for kind in [Kind::Dense, Kind::Count(20), Kind::Count(300)] {
        for memory in Memory::ALL {
            let case = Case {
                bits: 8,
                kind,
                memory,
            };
            let mut jobs = Jobs::default();
            let ids = kind.survivors(layers.tokens, &mut ChaCha8Rng::seed_from_u64(SEED));
            layers.layer(&case, 0, &ids, &mut jobs);
            jobs.jobs[Class::Key as usize].truncate(1);
            jobs.jobs[Class::Value as usize].clear();
            let [first, last] = run(ports, &case.memory.timing(), &jobs)?;
            let row = |what: &str, cycles: u64| {
                let case = format!("{} cold, {what} line", case.name());
                Row::of(FETCH.name, case, cycles as f64, "cycles")
            };
            rows.extend([row("first", first), row("last", last)]);
        }
    }
    Ok(rows)
}
