//! Lists, jobs and queries of one round: random, with the vectors that they must bring.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::fetch::{Class, Fetch, Placement, VectorFormat};
use crate::accelerator::kv_buffer::golden::BufferRow;
use crate::cosim::memory::SparseMemory;

/// A vector's elements.
pub type Vector = Vec<i64>;

/// A job of a list class.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its class.
    pub class: Class,
    /// First beat of the head in every channel, that of the vectors' own part.
    pub base: u64,
    /// Turn of the channels.
    pub rotation: usize,
    /// Level of the head dimension.
    pub level: usize,
    /// Format of the vectors.
    pub format: VectorFormat,
    /// Ids 0, 1, 2 and so on.
    pub dense: bool,
    /// The class's last job with its list.
    pub list_last: bool,
    /// Reads nothing.
    pub skip: bool,
    /// The tokens, in order.
    pub ids: Vec<usize>,
    /// Their vectors.
    pub vectors: Vec<Vector>,
    /// Live keys of the rows that read its lines.
    pub live: Vec<usize>,
}

/// One query.
#[derive(Clone, Debug)]
pub struct Query {
    /// First beat of the head in every channel.
    pub base: u64,
    /// Turn of the channels.
    pub rotation: usize,
    /// Level of the head dimension.
    pub level: usize,
    /// Its token.
    pub id: usize,
    /// Its elements.
    pub vector: Vector,
}

/// What one round does.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// Lists of tokens.
    pub lists: Vec<Vec<usize>>,
    /// Jobs of each class, in the order of the codes; none of queries.
    pub jobs: [Vec<Job>; 3],
    /// Queries.
    pub queries: Vec<Query>,
}

/// What rounds are made of.
#[derive(Clone, Debug)]
pub struct Kinds {
    /// Levels that jobs may have.
    pub levels: Vec<usize>,
    /// Lists of a round.
    pub lists: usize,
    /// Longest list.
    pub most_keys: usize,
}

impl Job {
    /// As the class's channel takes it.
    pub fn word(&self) -> Vec<i64> {
        let mut word = vec![
            self.base as i64,
            self.rotation as i64,
            self.level as i64,
            self.format.code() as i64,
            self.ids.len() as i64,
            i64::from(self.dense),
            i64::from(self.list_last),
        ];
        if self.class == Class::Lsb {
            word.push(i64::from(self.skip));
        }
        word
    }

    /// The rows that read its lines: the last one frees them.
    pub fn rows(&self) -> impl Iterator<Item = BufferRow> + '_ {
        let last = self.live.len() - 1;
        let rows = self.live.iter().enumerate();
        rows.map(move |(row, &live)| BufferRow {
            level: self.level,
            live,
            release: (row == last).then_some(self.ids.len()),
        })
    }
}

impl Query {
    /// As channel `query` takes it.
    pub fn word(&self) -> Vec<i64> {
        let id = self.id as i64;
        vec![
            self.base as i64,
            self.rotation as i64,
            self.level as i64,
            id,
        ]
    }
}

impl Jobs {
    /// Vectors that are fetched.
    pub fn vectors(&self) -> usize {
        let jobs = self.jobs.iter().flatten().filter(|job| !job.skip);
        let keys: usize = jobs.map(|job| job.ids.len()).sum();
        keys + self.queries.len()
    }

    /// Beats that are read.
    pub fn beats(&self, fetch: &Fetch) -> usize {
        let channels = self.traffic(fetch);
        channels.iter().map(|traffic| traffic.beats as usize).sum()
    }

    /// What every channel is asked for.
    pub fn traffic(&self, fetch: &Fetch) -> Vec<ChannelTraffic> {
        let placement = Placement::new(fetch.channels);
        let mut channels = vec![ChannelTraffic::default(); fetch.channels];
        let mut read = |id: usize, rotation: usize, format: VectorFormat, level: usize| {
            let traffic = &mut channels[placement.channel(id, rotation)];
            traffic.reads += 1;
            traffic.beats += format.beats(fetch.shape.min_dim() << level) as u64;
        };
        for job in self.jobs.iter().flatten().filter(|job| !job.skip) {
            for &id in &job.ids {
                read(id, job.rotation, job.format, job.level);
            }
        }
        for query in &self.queries {
            read(query.id, query.rotation, VectorFormat::Bits16, query.level);
        }
        channels
    }
}

/// What a round asks one channel's memory for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelTraffic {
    /// Reads: one per vector.
    pub reads: u64,
    /// Beats of their data.
    pub beats: u64,
}

/// Makes jobs and writes their vectors into the memories.
pub struct JobMaker<'a, R: Rng> {
    fetch: &'a Fetch,
    placement: Placement,
    memories: Vec<SparseMemory>,
    /// First beat that no head of this round takes.
    free: u64,
    random: &'a mut R,
}

impl<'a, R: Rng> JobMaker<'a, R> {
    /// With memories of undefined content.
    pub fn new(fetch: &'a Fetch, random: &'a mut R) -> Self {
        JobMaker {
            fetch,
            placement: Placement::new(fetch.channels),
            memories: vec![SparseMemory::default(); fetch.channels],
            free: 0,
            random,
        }
    }

    /// The memories of the channels.
    pub fn into_memories(self) -> Vec<SparseMemory> {
        self.memories
    }

    /// Ids are below it: as many as a 64th of the address space holds at the longest stride.
    fn tokens(&self) -> usize {
        let strides = VectorFormat::ALL.map(|format| format.stride(self.fetch.shape.max_dim()));
        let longest = strides.into_iter().max().unwrap_or(1);
        let rows = (1usize << (self.fetch.address_bits - 6)) / longest;
        self.fetch.tokens.min(rows * self.fetch.channels)
    }

    /// Whether what one more list brings surely finds room.
    fn has_room(&self) -> bool {
        self.free < 1 << (self.fetch.base_bits() - 1)
    }

    /// Places for a head, with the beat before which nothing of it lies.
    fn place(&mut self, stride: usize) -> u64 {
        let stride = (stride / BEAT_BYTES) as u64;
        let base = self.free.next_multiple_of(stride);
        self.free = base + self.placement.rows(self.tokens()) as u64 * stride;
        base
    }

    fn elements(&mut self, dim: usize, bits: usize, signed: bool) -> Vector {
        let half = 1i64 << (bits - 1);
        let (low, high) = if signed { (-half, half) } else { (0, 2 * half) };
        (0..dim)
            .map(|_| self.random.random_range(low..high))
            .collect()
    }

    /// Writes a vector of the head at `base`.
    fn write(
        &mut self,
        base: u64,
        rotation: usize,
        id: usize,
        format: VectorFormat,
        vector: &[i64],
    ) {
        let stride = format.stride(vector.len());
        let address = base * BEAT_BYTES as u64 + (self.placement.row(id) * stride) as u64;
        let memory = &mut self.memories[self.placement.channel(id, rotation)];
        let mut place = memory.read(address, stride);
        format.pack(vector, &mut place);
        memory.write(address, &place);
    }

    fn dim(&self, level: usize) -> usize {
        self.fetch.shape.min_dim() << level
    }

    /// A job on these tokens, and the rows that read it.
    fn job(&mut self, class: Class, level: usize, ids: Vec<usize>) -> Job {
        let format = match class {
            Class::Lsb => VectorFormat::Bits4,
            _ => VectorFormat::ALL[self.random.random_range(0..7)],
        };
        let rotation = self.random.random_range(0..self.fetch.channels);
        let dim = self.dim(level);
        let base = self.place(format.stride(dim));
        let bits = self.fetch.bits_of(class).min(format.bits());
        let mut vectors = Vec::new();
        for &id in &ids {
            let vector = self.elements(dim, bits, class != Class::Lsb);
            self.write(base, rotation, id, format, &vector);
            vectors.push(vector);
        }
        let ring = self.fetch.ring(class);
        let fits = ids.len() <= ring.lines * ring.shape.vectors_per_line(level);
        // Many rows of one line read its bank in every cycle, so that fills wait.
        let rows = match self.random.random_range(0..6) {
            0 | 1 if fits => self.random.random_range(2..=3),
            2 if fits => self.random.random_range(4..=16),
            _ => 1,
        };
        let live = (0..rows).map(|_| match self.random.random_range(0..3) {
            0 => self.random.random_range(0..=ids.len()),
            _ => ids.len(),
        });
        Job {
            class,
            base: base + format.first_beat(dim) as u64,
            rotation,
            level,
            format,
            dense: false,
            list_last: false,
            skip: false,
            live: live.collect(),
            ids,
            vectors,
        }
    }

    fn list(&mut self, most: usize) -> Vec<usize> {
        let tokens = self.tokens();
        let most = most.min(tokens);
        let count = match self.random.random_range(0..4) {
            0 => most,
            1 => 1,
            _ => self.random.random_range(1..=most),
        };
        let mut ids: Vec<usize> = (0..tokens).collect();
        ids.shuffle(self.random);
        ids.truncate(count);
        if self.random.random_bool(0.7) {
            ids.sort_unstable();
        }
        ids
    }

    fn level(&mut self, kinds: &Kinds) -> usize {
        kinds.levels[self.random.random_range(0..kinds.levels.len())]
    }

    /// The jobs of a class with one list.
    fn jobs_of_list(&mut self, class: Class, list: &[usize], kinds: &Kinds) -> Vec<Job> {
        let count = self.random.random_range(1..=4);
        let longest = kinds.most_keys.min(self.tokens());
        let mut jobs = Vec::new();
        for index in 0..count {
            let level = self.level(kinds);
            let dense = self.random.random_bool(0.25);
            let ids = match dense {
                true => (0..self.random.random_range(1..=longest)).collect(),
                false if self.random.random_bool(0.3) => {
                    list[..self.random.random_range(1..=list.len())].to_vec()
                }
                false => list.to_vec(),
            };
            let mut job = self.job(class, level, ids);
            job.dense = dense;
            job.list_last = index + 1 == count;
            job.skip = class == Class::Lsb && self.random.random_bool(0.4);
            jobs.push(job);
        }
        jobs
    }

    /// A round of random jobs.
    pub fn round(&mut self, kinds: &Kinds) -> Jobs {
        let mut jobs = Jobs::default();
        let classes: Vec<Class> = self.fetch.list_classes().collect();
        for _ in 0..kinds.lists {
            if !self.has_room() {
                break;
            }
            let list = self.list(kinds.most_keys);
            for &class in &classes {
                let of_list = self.jobs_of_list(class, &list, kinds);
                jobs.jobs[class as usize].extend(of_list);
            }
            let level = self.level(kinds);
            jobs.queries.extend(self.queries(level));
            jobs.lists.push(list);
        }
        jobs
    }

    /// Some queries of one head.
    fn queries(&mut self, level: usize) -> Vec<Query> {
        let (format, dim) = (VectorFormat::Bits16, self.dim(level));
        let rotation = self.random.random_range(0..self.fetch.channels);
        let base = self.place(format.stride(dim));
        let bits = self.fetch.bits_of(Class::Query);
        let count = self.random.random_range(0..12);
        let mut tokens: Vec<usize> = (0..self.tokens()).collect();
        tokens.shuffle(self.random);
        tokens.truncate(count);
        let mut queries = Vec::new();
        for id in tokens {
            let vector = self.elements(dim, bits, true);
            self.write(base, rotation, id, format, &vector);
            queries.push(Query {
                base,
                rotation,
                level,
                id,
                vector,
            });
        }
        queries
    }
}
