//! The fetcher with memories on its ports and streams on its channels.

use rand::{Rng, RngExt};

use super::super::harness::{ensure, random_stalls, start};
use super::super::{BenchError, Options};
use super::jobs::Jobs;
use crate::accelerator::fetch::{Class, Fetch};
use crate::accelerator::kv_buffer::golden::read;
use crate::cosim::memory::{
    AxiChannels, AxiLimits, AxiSlave, AxiStalls, MemoryTiming, SlaveOptions, SparseMemory,
};
use crate::cosim::{Bench, Design, Field, MemoryId, PortId, SinkId, SourceId, Stalls};
use crate::hdl;

/// A running fetcher.
pub struct Ports<'a> {
    /// What runs.
    pub fetch: &'a Fetch,
    /// Its bench.
    pub bench: Bench,
    list: SourceId,
    /// Jobs and rows of each list class.
    jobs: Vec<(Class, SourceId, SourceId)>,
    query: SourceId,
    /// Lines of every class.
    pub lines: Vec<(Class, SinkId)>,
    /// Memories of the channels.
    pub memories: Vec<MemoryId>,
    /// Records of errors.
    pub error: SinkId,
    stop: PortId,
    idle: PortId,
    restart: PortId,
    seed: u64,
}

fn unsigned(fields: &[hdl::Field]) -> Vec<Field> {
    fields.iter().map(Field::from).collect()
}

impl<'a> Ports<'a> {
    /// Builds and starts a fetcher's design.
    ///
    /// # Errors
    /// [`BenchError`] when it cannot be built.
    pub fn start(fetch: &'a Fetch, design: &Design, options: &Options) -> Result<Self, BenchError> {
        Ports::start_watching(fetch, design, options, true)
    }

    /// The same; of lines only the last flags are looked at unless `whole`, which simulates faster.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_watching(
        fetch: &'a Fetch,
        design: &Design,
        options: &Options,
        whole: bool,
    ) -> Result<Self, BenchError> {
        let mut bench = Bench::new(start(design, options)?, options.seed);
        let lanes = fetch.scan_lanes();
        let list = [
            Field::unsigned("id", fetch.id_bits()).lanes(lanes),
            Field::unsigned("last", 1),
        ];
        let list = bench.source("list", &list);
        let jobs = fetch.list_classes().map(|class| {
            let job = bench.source(class.name(), &unsigned(&fetch.job_fields(class)));
            let fields = unsigned(&fetch.ring(class).row_fields());
            (
                class,
                job,
                bench.source(&format!("{}_row", class.name()), &fields),
            )
        });
        let jobs = jobs.collect();
        let query = bench.source("query", &unsigned(&fetch.query_fields()));
        let lines = fetch.classes().map(|class| {
            let ring = fetch.ring(class);
            let data = match class {
                Class::Lsb => Field::unsigned("data", ring.element_bits),
                _ => Field::signed("data", ring.element_bits),
            };
            let mut fields = vec![data.lanes(ring.shape.multipliers)];
            if !whole {
                fields.clear();
            }
            if whole && class != Class::Query {
                fields.push(Field::unsigned("live", 1).lanes(ring.shape.chunks()));
            }
            if class != Class::Query {
                fields.push(Field::unsigned("last", 1));
            }
            let name = format!("{}_line", class.name());
            (class, bench.sink(&name, &fields))
        });
        let lines = lines.collect();
        let master = fetch.read_master();
        let limits = AxiLimits {
            id_bits: master.id_bits(),
            address_bits: master.address_bits,
            burst_beats: master.burst_beats,
            reads: master.outstanding,
            writes: 0,
        };
        let memories = (0..fetch.channels).map(|c| {
            let slave = AxiSlave::new(SlaveOptions::new(MemoryTiming::Fixed(1), 0));
            bench.memory(&format!("mem{c}"), AxiChannels::Read, limits, slave)
        });
        let memories = memories.collect();
        let error = bench.sink("error", &unsigned(&fetch.error_fields()));
        let [stop, idle, restart] =
            ["stop_i", "idle_o", "restart_n_i"].map(|name| bench.simulator().port(name));
        bench.simulator().set(restart, 1);
        Ok(Ports {
            fetch,
            bench,
            list,
            jobs,
            query,
            lines,
            memories,
            error,
            stop,
            idle,
            restart,
            seed: options.seed,
        })
    }

    /// Puts memories of this content and timing on the ports; each hesitates and reorders as `random` says.
    pub fn attach(
        &mut self,
        memories: Vec<SparseMemory>,
        timing: &MemoryTiming,
        mut random: Option<&mut impl Rng>,
    ) {
        for (&id, memory) in self.memories.iter().zip(memories) {
            let mut options = SlaveOptions::new(timing.clone(), 0);
            if let Some(random) = &mut random {
                options.seed = random.random();
                options.reorder = [0, 0, 5, 60][random.random_range(0..4)];
                options.stalls = AxiStalls::all(Stalls::NONE);
                options.stalls.read_address = random_stalls(random);
                options.stalls.read_data = random_stalls(random);
            }
            let mut slave = AxiSlave::new(options);
            *slave.memory_mut() = memory;
            *self.bench.slave(id) = slave;
        }
    }

    /// Stalls of every stream, as `stalls` says.
    pub fn stall(&mut self, mut stalls: impl FnMut() -> Stalls) {
        let sources = self.jobs.iter().flat_map(|(_, job, row)| [*job, *row]);
        for source in sources.chain([self.list, self.query]) {
            self.bench.stall_source(source, stalls());
        }
        for (_, sink) in &self.lines {
            self.bench.stall_sink(*sink, stalls());
        }
    }

    /// Resets everything.
    ///
    /// # Errors
    /// [`BenchError`] when something is offered in reset.
    pub fn reset(&mut self) -> Result<(), BenchError> {
        self.bench.simulator().set(self.stop, 0);
        // A restart that is low from the start has no edge for what it resets.
        let simulator = self.bench.simulator();
        simulator.set(self.restart, 1);
        simulator.set_reset(false)?;
        simulator.set(self.restart, 0);
        self.bench.reset(2)?;
        self.bench.simulator().set(self.restart, 1);
        Ok(())
    }

    /// Queues a round's words.
    pub fn send(&mut self, jobs: &Jobs) {
        let lanes = self.fetch.scan_lanes();
        for list in &jobs.lists {
            let words = list.chunks(lanes);
            let count = words.len();
            let words = words.enumerate().map(|(index, ids)| {
                let mut word: Vec<i64> = ids.iter().map(|&id| id as i64).collect();
                word.resize(lanes, 0);
                word.push(i64::from(index + 1 == count));
                word
            });
            self.bench.send(self.list, words);
        }
        for (class, job, row) in &self.jobs {
            let jobs = &jobs.jobs[*class as usize];
            self.bench.send(*job, jobs.iter().map(|job| job.word()));
            let rows = jobs
                .iter()
                .filter(|job| !job.skip)
                .flat_map(|job| job.rows());
            let rows = rows.map(|row| {
                let keys = row.release.unwrap_or(0) as i64;
                let release = i64::from(row.release.is_some());
                vec![row.level as i64, row.live as i64, release, keys]
            });
            self.bench.send(*row, rows);
        }
        let queries = jobs.queries.iter().map(|query| query.word());
        self.bench.send(self.query, queries);
    }

    /// Awaits all lines of a round.
    pub fn collect(&mut self, jobs: &Jobs) {
        for (class, sink) in self.lines.clone() {
            let lines = match class {
                Class::Query => jobs.queries.len(),
                _ => {
                    let shape = &self.fetch.ring(class).shape;
                    let jobs = jobs.jobs[class as usize].iter();
                    let rows = jobs.filter(|job| !job.skip).flat_map(|job| job.rows());
                    rows.map(|row| row.lines(shape)).sum()
                }
            };
            self.bench.collect(sink, lines);
        }
    }

    /// Compares what has come with what must.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`] names stream, job, row, token and lane.
    pub fn compare(&self, jobs: &Jobs) -> Result<(), BenchError> {
        for (class, sink) in &self.lines {
            let got = self.bench.collected(*sink);
            match class {
                Class::Query => self.compare_queries(jobs, got)?,
                _ => self.compare_lines(*class, jobs, got)?,
            }
        }
        Ok(())
    }

    fn compare_queries(&self, jobs: &Jobs, got: &[i64]) -> Result<(), BenchError> {
        let width = self.fetch.shape.max_dim();
        for (index, (query, got)) in jobs.queries.iter().zip(got.chunks(width)).enumerate() {
            let place = || format!("query {index}, token {}", query.id);
            self.compare_vector(Class::Query, &query.vector, got, place)?;
        }
        Ok(())
    }

    fn compare_lines(&self, class: Class, jobs: &Jobs, got: &[i64]) -> Result<(), BenchError> {
        let shape = &self.fetch.ring(class).shape;
        let jobs = jobs.jobs[class as usize].iter().filter(|job| !job.skip);
        let width = shape.multipliers + shape.chunks() + 1;
        let mut words = got.chunks(width);
        for (number, job) in jobs.enumerate() {
            let per_line = shape.vectors_per_line(job.level);
            let dim = shape.min_dim() << job.level;
            let rows: Vec<_> = job.rows().collect();
            for (row, lines) in read(shape, &rows).into_iter().enumerate() {
                for (index, line) in lines.into_iter().enumerate() {
                    let place = format!("job {number} ({:?}), row {row}, line {index}", job.format);
                    let word = words.next().expect("all lines have come");
                    let (data, flags) = word.split_at(shape.multipliers);
                    let mut expected: Vec<i64> =
                        line.live.iter().map(|&live| i64::from(live)).collect();
                    expected.push(i64::from(line.last));
                    ensure(flags == expected, || {
                        let stream = format!("{}_line", class.name());
                        let seed = self.seed;
                        format!(
                            "stream `{stream}` (seed {seed}): {place}: live and last are {flags:?}, not {expected:?}"
                        )
                    })?;
                    let live = line.live.iter().filter(|live| **live).count();
                    for slot in 0..live {
                        let key = line.index * per_line + slot;
                        let place = || format!("{place}, token {}", job.ids[key]);
                        let got = &data[slot * dim..][..dim];
                        self.compare_vector(class, &job.vectors[key], got, place)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn compare_vector(
        &self,
        class: Class,
        expected: &[i64],
        got: &[i64],
        place: impl Fn() -> String,
    ) -> Result<(), BenchError> {
        let wrong = expected.iter().zip(got).position(|(a, b)| a != b);
        match wrong {
            None => Ok(()),
            Some(lane) => Err(BenchError::Mismatch(format!(
                "stream `{}_line` (seed {}): {}, lane {lane}: got {}, expected {}",
                class.name(),
                self.seed,
                place(),
                got[lane],
                expected[lane]
            ))),
        }
    }

    /// Whether all ports are idle.
    pub fn is_idle(&mut self) -> bool {
        self.bench.simulator().get(self.idle) == 1
    }

    /// Stops the ports, or lets them go.
    pub fn stop(&mut self, stop: bool) {
        self.bench.simulator().set(self.stop, u64::from(stop));
    }

    /// Holds all but the ports in reset, or lets them go.
    pub fn restart(&mut self, hold: bool) {
        self.bench.simulator().set(self.restart, u64::from(!hold));
    }
}
