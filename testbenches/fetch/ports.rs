//! The fetcher with memories on its ports and streams on its channels.

use rand::{Rng, RngExt};

use super::super::harness::{ensure, random_stalls, start};
use super::super::{BenchError, Options};
use super::jobs::{ChannelTraffic, Job, Jobs};
use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::fetch::{Class, Fetch};
use crate::accelerator::kv_buffer::golden::{ReadLine, read};
use crate::cosim::memory::{
    AxiChannels, AxiLimits, AxiSlave, AxiStalls, MemoryTiming, ReadMisdeed, SlaveOptions,
    SparseMemory,
};
use crate::cosim::{Bench, Design, Field, MemoryId, PortId, SinkId, SourceId, Stalls};
use crate::hdl;

/// Cycles without a read under way after which none is to come, and no word that nobody awaits.
const QUIET_CYCLES: usize = 40;

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

    /// Memories that do not hesitate, but reorder.
    pub fn calm(&mut self) {
        for slave in self.bench.slaves() {
            slave.stall(AxiStalls::all(Stalls::NONE));
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

    /// Resets everything, also in mid-stream.
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

    /// Forgets what has been collected: the next round begins where this one has ended.
    pub fn forget(&mut self) {
        self.bench.silence();
        self.bench.resume();
    }

    /// Queues a round's words.
    pub fn send(&mut self, jobs: &Jobs) {
        for list in &jobs.lists {
            self.bench.send(self.list, self.fetch.list_words(list));
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

    /// Runs on until the memories have been quiet for some cycles: what no row sees may be read after the last line has
    /// left. Each memory must have been read exactly as often as the jobs ask, and nothing else may leave.
    ///
    /// # Errors
    /// [`BenchError`]: a word that is not awaited, or reads too many or too few.
    pub fn settle(&mut self, jobs: &Jobs) -> Result<(), BenchError> {
        let mut quiet = 0;
        while quiet < QUIET_CYCLES {
            quiet = if self.reads_open() == 0 { quiet + 1 } else { 0 };
            self.bench.step()?;
        }
        let expected = jobs.traffic(self.fetch);
        for (channel, (slave, expected)) in self.bench.slaves().zip(expected).enumerate() {
            let found = ChannelTraffic {
                reads: slave.reads_taken(),
                beats: slave.bytes_moved()[0] / BEAT_BYTES as u64,
            };
            let seed = self.seed;
            ensure(found == expected, || {
                format!("channel {channel} (seed {seed}): {found:?}, the jobs ask for {expected:?}")
            })?;
        }
        Ok(())
    }

    /// Compares all that has come with what must; the vectors that were compared, each counted once. Lines may be missing
    /// at the end, where [`run`](Bench::run) has not awaited all of them.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`] names stream, job, row, token and lane.
    pub fn compare(&self, jobs: &Jobs) -> Result<usize, BenchError> {
        let mut vectors = 0;
        for (class, sink) in &self.lines {
            let got = self.bench.collected(*sink);
            vectors += match class {
                Class::Query => self.compare_queries(jobs, got)?,
                _ => self.compare_lines(*class, jobs, got)?,
            };
        }
        Ok(vectors)
    }

    fn compare_queries(&self, jobs: &Jobs, got: &[i64]) -> Result<usize, BenchError> {
        let got = got.chunks(self.fetch.shape.max_dim());
        let count = got.len();
        for (index, (query, got)) in jobs.queries.iter().zip(got).enumerate() {
            let place = || format!("query {index}, token {}", query.id);
            self.compare_vector(Class::Query, &query.vector, got, place)?;
        }
        Ok(count)
    }

    fn compare_lines(&self, class: Class, jobs: &Jobs, got: &[i64]) -> Result<usize, BenchError> {
        let shape = &self.fetch.ring(class).shape;
        let jobs = jobs.jobs[class as usize].iter().filter(|job| !job.skip);
        let mut words = got.chunks(shape.multipliers + shape.chunks() + 1);
        let mut vectors = 0;
        for (number, job) in jobs.enumerate() {
            let rows: Vec<_> = job.rows().collect();
            // Rows of a job see the same vectors.
            let mut seen = 0;
            for (row, lines) in read(shape, &rows).into_iter().enumerate() {
                for (index, line) in lines.into_iter().enumerate() {
                    let Some(word) = words.next() else {
                        return Ok(vectors + seen);
                    };
                    let place = format!("job {number} ({:?}), row {row}, line {index}", job.format);
                    let keys = self.compare_line(class, job, &line, word, &place)?;
                    seen = seen.max(keys);
                }
            }
            vectors += seen;
        }
        Ok(vectors)
    }

    /// Compares one line; how many of the job's vectors end with it.
    fn compare_line(
        &self,
        class: Class,
        job: &Job,
        line: &ReadLine,
        word: &[i64],
        place: &str,
    ) -> Result<usize, BenchError> {
        let shape = &self.fetch.ring(class).shape;
        let (data, flags) = word.split_at(shape.multipliers);
        let mut expected: Vec<i64> = line.live.iter().map(|&live| i64::from(live)).collect();
        expected.push(i64::from(line.last));
        ensure(flags == expected, || {
            let (stream, seed) = (class.name(), self.seed);
            format!(
                "stream `{stream}_line` (seed {seed}): {place}: live and last are {flags:?}, not {expected:?}"
            )
        })?;
        let dim = shape.min_dim() << job.level;
        let first = line.index * shape.vectors_per_line(job.level);
        let live = line.live.iter().filter(|live| **live).count();
        for slot in 0..live {
            let key = first + slot;
            let place = || format!("{place}, token {}", job.ids[key]);
            self.compare_vector(class, &job.vectors[key], &data[slot * dim..][..dim], place)?;
        }
        Ok(match live {
            0 => 0,
            live => first + live,
        })
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

    /// Reads under way at all memories.
    pub fn reads_open(&mut self) -> usize {
        self.bench.slaves().map(|slave| slave.reads_open()).sum()
    }

    /// The first thing that each memory did wrong.
    pub fn misdeeds(&mut self) -> Vec<Option<ReadMisdeed>> {
        let slaves = self.bench.slaves();
        slaves.map(|slave| slave.first_misdeed()).collect()
    }

    /// Stops the ports, or lets them go.
    pub fn stop(&mut self, stop: bool) {
        self.bench.simulator().set(self.stop, u64::from(stop));
    }

    /// Resets all but the stopped and idle ports, and lets those go, as the core's reset control does; whatever was queued
    /// or awaited is forgotten.
    ///
    /// # Errors
    /// [`BenchError`] when the design stops.
    pub fn restart(&mut self) -> Result<(), BenchError> {
        self.bench.silence();
        self.bench.simulator().set(self.restart, 0);
        self.bench.run_for(2)?;
        self.stop(false);
        self.bench.run_for(1)?;
        self.bench.simulator().set(self.restart, 1);
        self.bench.resume();
        Ok(())
    }
}
