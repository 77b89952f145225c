//! Cycle model of the fetcher, from lists of surviving vectors to complete buffer lines: what its sizes cost in
//! bandwidth. `README.md` has the results.
//!
//! ```text
//! lists of K -> scan -+-> queue per channel -> reads under way -> assembly per channel -> columns -> K's lines in order
//! lists of V -> scan -'                                                                        '-> V's lines in order
//! ```
//!
//! The memory behind each channel is an [`AxiSlave`] with its timing. Each ring reads at most one line per cycle, in
//! order, and frees it; so lists run into each other as far as the rings allow.

use std::collections::VecDeque;

use crate::cosim::memory::{AxiSlave, BEAT_BYTES, Burst};

/// Sizes of the fetcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchModel {
    /// Survivors that are scanned per cycle.
    pub scan: usize,
    /// Vectors that a channel's queue holds.
    pub queue_depth: usize,
    /// Vectors that enter a queue per cycle.
    pub queue_writes: usize,
    /// Reads that a channel has under way.
    pub outstanding: usize,
    /// What a channel holds until its vectors are granted columns.
    pub assembly: Assembly,
    /// Lines of each ring.
    pub lines: usize,
    /// Lines that a ring takes into use per cycle.
    pub allocations: usize,
    /// Vectors of a line: columns of a ring.
    pub columns: usize,
    /// Single-port memories of a column, chosen by the line's number; the one that is read takes no vector.
    pub banks: usize,
    /// Vectors that a column takes per cycle, in lines whose numbers differ modulo this.
    pub column_fills: usize,
}

/// The assembly of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assembly {
    /// Beats that wait in front of the vectors' places.
    pub beats: usize,
    /// Vectors that are being assembled or wait for their column; the oldest one asks for it.
    pub vectors: usize,
    /// Cycles from a vector's move to its column until its place takes the next vector's first beat.
    pub leaving: usize,
    /// Vectors that wait behind their grant, in the crossbar's ports.
    pub outs: usize,
    /// Cycles until the id of a read that has ended is used again.
    pub id_delay: usize,
}

impl Default for FetchModel {
    /// The published size, at d = 64.
    fn default() -> Self {
        FetchModel {
            scan: 16,
            queue_depth: 16,
            queue_writes: 2,
            outstanding: 64,
            assembly: Assembly {
                beats: 1,
                vectors: 4,
                leaving: 1,
                outs: 1,
                id_delay: 0,
            },
            lines: 256,
            allocations: 1,
            columns: 8,
            banks: 4,
            column_fills: 2,
        }
    }
}

/// The surviving vectors of one head.
#[derive(Clone, Debug)]
pub struct List {
    /// Ring that they go to: 0 for K, 1 for V.
    pub ring: usize,
    /// Channel and address of each vector, in order.
    pub vectors: Vec<(usize, u64)>,
    /// Beats of a vector.
    pub beats: usize,
}

/// What a run took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Cycles from the start to the last line.
    pub cycles: u64,
    /// Cycles from the start to the first line.
    pub first_line: u64,
    /// Bytes read.
    pub bytes: u64,
}

impl FetchModel {
    /// Fetches all lists, those of a ring one after the other; `memories` has one memory per channel.
    ///
    /// # Panics
    /// When nothing more happens.
    pub fn run(&self, memories: &mut [AxiSlave], lists: &[List]) -> Outcome {
        let mut run = Run::new(self, memories.len(), lists);
        let lines = |list: &List| list.vectors.len().div_ceil(self.columns);
        let total: usize = lists.iter().map(lines).sum();
        let mut outcome = Outcome {
            cycles: 0,
            first_line: 0,
            bytes: 0,
        };
        while run.rings.iter().map(|ring| ring.first).sum::<usize>() < total {
            memories.iter_mut().for_each(AxiSlave::begin);
            let reading = run.consume();
            if outcome.first_line == 0 && reading != [None; RINGS] {
                outcome.first_line = outcome.cycles;
            }
            run.fill(reading);
            outcome.bytes += run.receive(memories);
            run.ask(memories);
            run.scan();
            memories.iter_mut().for_each(AxiSlave::end);
            outcome.cycles += 1;
            let most = 1_000_000 + 1000 * total as u64;
            assert!(outcome.cycles < most, "the fetcher is stuck");
        }
        outcome
    }
}

/// Rings of the model.
const RINGS: usize = 2;

/// A vector on its way to a place in a ring.
#[derive(Clone, Copy, Debug)]
struct Vector {
    address: u64,
    beats: usize,
    ring: usize,
    /// Line, counted from the first one ever.
    line: usize,
    column: usize,
}

/// A place for a vector in an assembly.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    vector: Option<Vector>,
    /// Beats that have come.
    beats: usize,
    granted: bool,
    /// Cycles until it is free, once granted.
    leaving: usize,
}

#[derive(Clone, Debug)]
struct Channel {
    queue: VecDeque<Vector>,
    under_way: Vec<Option<Vector>>,
    free: VecDeque<u16>,
    /// Beats in front of the places: their vectors.
    beats: VecDeque<Vector>,
    /// The oldest first.
    places: VecDeque<Place>,
    granted: Option<usize>,
    late: VecDeque<(usize, u16)>,
}

/// The port of a column's even or odd lines.
#[derive(Clone, Debug, Default)]
struct Port {
    granted: Option<(usize, Vector)>,
    out: VecDeque<Vector>,
}

/// The lists of a ring and its lines.
#[derive(Clone, Debug)]
struct Ring<'a> {
    lists: Vec<&'a List>,
    /// Vectors missing in each line in use, from line `first` on.
    missing: VecDeque<usize>,
    /// The oldest line not read.
    first: usize,
    /// Where the taking into use goes on: list, line of the list.
    take: (usize, usize),
    /// Where the scan goes on: list, survivor, and the list's first line.
    list: usize,
    survivor: usize,
    list_line: usize,
}

struct Run<'a> {
    model: &'a FetchModel,
    channels: Vec<Channel>,
    rings: [Ring<'a>; RINGS],
    /// Scanned survivors that found no queue yet.
    scanned: Vec<(usize, Vector)>,
    ports: Vec<Port>,
    /// Channel that is granted first.
    turn: usize,
    /// Ring that is scanned first.
    ring_turn: usize,
}

impl<'a> Run<'a> {
    fn new(model: &'a FetchModel, channels: usize, lists: &'a [List]) -> Self {
        let channel = Channel {
            queue: VecDeque::new(),
            under_way: vec![None; model.outstanding],
            free: (0..model.outstanding as u16).collect(),
            beats: VecDeque::new(),
            places: VecDeque::new(),
            granted: None,
            late: VecDeque::new(),
        };
        let ring = |ring| Ring {
            lists: lists.iter().filter(|list| list.ring == ring).collect(),
            missing: VecDeque::new(),
            first: 0,
            take: (0, 0),
            list: 0,
            survivor: 0,
            list_line: 0,
        };
        Run {
            model,
            channels: vec![channel; channels],
            rings: [ring(0), ring(1)],
            scanned: Vec::new(),
            ports: vec![Port::default(); model.columns * model.column_fills],
            turn: 0,
            ring_turn: 0,
        }
    }

    fn bank(&self, line: usize) -> usize {
        line % self.model.lines % self.model.banks
    }

    /// Reads the oldest line of each ring if it is complete; the banks that are read.
    fn consume(&mut self) -> [Option<usize>; RINGS] {
        [0, 1].map(|index| {
            let ring = &mut self.rings[index];
            let line = ring.first;
            let complete = ring.missing.front() == Some(&0);
            if complete {
                ring.missing.pop_front();
                ring.first += 1;
            }
            complete.then(|| self.bank(line))
        })
    }

    /// Chunks leave their ports for the rings; granted vectors move to their ports; ports grant the channels in turn.
    fn fill(&mut self, reading: [Option<usize>; RINGS]) {
        for channel in &mut self.channels {
            channel.open(self.model.assembly);
        }
        let count = self.channels.len();
        let mut ports = std::mem::take(&mut self.ports);
        for port in &mut ports {
            if let Some(&vector) = port.out.front()
                && reading[vector.ring] != Some(self.bank(vector.line))
            {
                port.out.pop_front();
                let ring = &mut self.rings[vector.ring];
                ring.missing[vector.line - ring.first] -= 1;
            }
            if port.out.len() < self.model.assembly.outs
                && let Some((channel, vector)) = port.granted.take()
            {
                port.out.push_back(vector);
                self.channels[channel].moved(self.model.assembly.leaving);
            }
        }
        let fills = self.model.column_fills;
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some((place, vector)) = self.channels[index].asking() else {
                continue;
            };
            let port = vector.column * fills + vector.line % self.model.lines % fills;
            if ports[port].granted.is_none() {
                ports[port].granted = Some((index, vector));
                self.channels[index].granted = Some(place);
                self.channels[index].places[place].granted = true;
            }
        }
        self.ports = ports;
        self.turn += 1;
    }

    /// Takes a beat from each memory whose channel has room; bytes taken.
    fn receive(&mut self, memories: &mut [AxiSlave]) -> u64 {
        let assembly = self.model.assembly;
        let mut bytes = 0;
        for (channel, memory) in self.channels.iter_mut().zip(memories) {
            channel.assemble(assembly);
            for late in &mut channel.late {
                late.0 = late.0.saturating_sub(1);
            }
            while channel.late.front().is_some_and(|l| l.0 == 0) {
                let id = channel.late.pop_front().unwrap().1;
                channel.free.push_back(id);
            }
            if channel.beats.len() == assembly.beats {
                continue;
            }
            let Some(beat) = memory.read_offer() else {
                continue;
            };
            let (id, last) = (beat.id, beat.last);
            memory.read_taken();
            bytes += BEAT_BYTES;
            let vector = channel.under_way[id as usize].expect("a read is under way");
            channel.beats.push_back(vector);
            if last {
                channel.under_way[id as usize] = None;
                channel.late.push_back((assembly.id_delay, id));
            }
        }
        bytes
    }

    /// Sends an address to each memory that takes one.
    fn ask(&mut self, memories: &mut [AxiSlave]) {
        for (channel, memory) in self.channels.iter_mut().zip(memories) {
            if !memory.read_ready() || channel.queue.is_empty() {
                continue;
            }
            let Some(id) = channel.free.pop_front() else {
                continue;
            };
            let Some(vector) = channel.queue.pop_front() else {
                continue;
            };
            channel.under_way[id as usize] = Some(vector);
            memory.take_read(Burst::new(id, vector.address, vector.beats));
        }
    }

    /// Scans the next survivors of one ring when all of the last ones have gone and their lines are taken into use, and
    /// fills the queues.
    fn scan(&mut self) {
        for ring in &mut self.rings {
            for _ in 0..self.model.allocations {
                ring.take_line(self.model);
            }
        }
        for step in 0..RINGS {
            let index = (self.ring_turn + step) % RINGS;
            if self.scanned.is_empty() {
                self.scanned = self.rings[index].scan(self.model, index);
                if !self.scanned.is_empty() {
                    self.ring_turn = index + 1;
                }
            }
        }
        let mut writes = vec![0; self.channels.len()];
        let (channels, model) = (&mut self.channels, self.model);
        self.scanned.retain(|&(index, vector)| {
            let queue = &mut channels[index].queue;
            let enters = writes[index] < model.queue_writes && queue.len() < model.queue_depth;
            if enters {
                writes[index] += 1;
                queue.push_back(vector);
            }
            !enters
        });
    }
}

impl Channel {
    /// The place and the vector that ask for a column.
    fn asking(&self) -> Option<(usize, Vector)> {
        if self.granted.is_some() {
            return None;
        }
        let complete = |place: &Place| {
            let vector = place.vector?;
            (place.beats == vector.beats && place.leaving == 0 && !place.granted).then_some(vector)
        };
        let mut vectors = self.places.iter().enumerate();
        vectors.find_map(|(k, place)| Some((k, complete(place)?)))
    }

    fn moved(&mut self, leaving: usize) {
        self.granted = None;
        let mut places = self.places.iter();
        let place = places
            .position(|place| place.granted)
            .expect("it was granted");
        self.places[place].granted = false;
        if leaving == 0 {
            self.places.remove(place);
        } else {
            self.places[place].leaving = leaving;
        }
    }

    /// Opens a place for the first beat of a vector.
    fn open(&mut self, assembly: Assembly) {
        let open = |place: &Place| place.vector.is_some_and(|v| place.beats < v.beats);
        if let Some(&vector) = self.beats.front()
            && !self.places.back().is_some_and(open)
            && self.places.len() < assembly.vectors
        {
            self.places.push_back(Place {
                vector: Some(vector),
                ..Place::default()
            });
        }
    }

    /// Moves a beat into its vector's place.
    fn assemble(&mut self, assembly: Assembly) {
        if assembly.leaving == 0 {
            self.open(assembly);
        }
        let open = |place: &Place| place.vector.is_some_and(|v| place.beats < v.beats);
        if !self.beats.is_empty()
            && let Some(place) = self.places.back_mut().filter(|place| open(place))
        {
            place.beats += 1;
            self.beats.pop_front();
        }
        for place in &mut self.places {
            place.leaving = match place.leaving {
                0 => 0,
                1 => usize::MAX,
                n => n - 1,
            };
        }
        self.places.retain(|place| place.leaving != usize::MAX);
    }
}

impl Ring<'_> {
    /// Takes the next line into use if there is one and room for it.
    fn take_line(&mut self, model: &FetchModel) {
        let (list, line) = self.take;
        let Some(vectors) = self.lists.get(list).map(|list| list.vectors.len()) else {
            return;
        };
        if self.missing.len() == model.lines {
            return;
        }
        let left = vectors - line * model.columns;
        self.missing.push_back(left.min(model.columns));
        self.take = if left > model.columns {
            (list, line + 1)
        } else {
            (list + 1, 0)
        };
    }

    /// The next survivors, if their lines are in use.
    fn scan(&mut self, model: &FetchModel, ring: usize) -> Vec<(usize, Vector)> {
        let Some(&list) = self.lists.get(self.list) else {
            return Vec::new();
        };
        let columns = model.columns;
        let end = (self.survivor + model.scan).min(list.vectors.len());
        let lines = self.list_line + end.div_ceil(columns);
        if lines > self.first + self.missing.len() {
            return Vec::new();
        }
        let place = |place: usize| {
            let (channel, address) = list.vectors[place];
            let vector = Vector {
                address,
                beats: list.beats,
                ring,
                line: self.list_line + place / columns,
                column: place % columns,
            };
            (channel, vector)
        };
        let scanned = (self.survivor..end).map(place).collect();
        self.survivor = end;
        if end == list.vectors.len() {
            (self.list, self.survivor, self.list_line) = (self.list + 1, 0, lines);
        }
        scanned
    }
}
