//! Cycle model of the fetcher, from lists of surviving vectors to complete buffer lines: what its sizes cost in
//! bandwidth. `README.md` has the results.
//!
//! ```text
//! list -> scan -> queue per channel -> reads under way -> assembly per channel -> columns of the buffer -> lines in order
//! ```
//!
//! The memory behind each channel is an [`AxiSlave`] with its timing. The buffer reads at most one line per cycle, in
//! order, and frees it; so lists run into each other as far as the ring of lines allows.

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
    /// Beats that a channel holds until their vector is granted a column.
    pub assembly_beats: usize,
    /// Lines of the buffer's ring.
    pub lines: usize,
    /// Vectors of a line: columns of the buffer.
    pub columns: usize,
    /// Single-port memories of a column, chosen by the line's number; the one that is read takes no vector.
    pub banks: usize,
    /// Vectors that a column takes per cycle, in lines whose numbers differ modulo this.
    pub column_fills: usize,
}

impl Default for FetchModel {
    /// The published size, at d = 64.
    fn default() -> Self {
        FetchModel {
            scan: 16,
            queue_depth: 16,
            queue_writes: 2,
            outstanding: 64,
            assembly_beats: 8,
            lines: 256,
            columns: 8,
            banks: 4,
            column_fills: 2,
        }
    }
}

/// The surviving vectors of one head.
#[derive(Clone, Debug)]
pub struct List {
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
    /// Fetches all lists, one after the other; `memories` has one memory per channel.
    ///
    /// # Panics
    /// When nothing more happens.
    pub fn run(&self, memories: &mut [AxiSlave], lists: &[List]) -> Outcome {
        let mut run = Run::new(self, memories.len());
        let total: usize = lists
            .iter()
            .map(|list| list.vectors.len().div_ceil(self.columns))
            .sum();
        let mut outcome = Outcome {
            cycles: 0,
            first_line: 0,
            bytes: 0,
        };
        while run.first < total {
            memories.iter_mut().for_each(AxiSlave::begin);
            let reading = run.consume();
            if reading.is_some() && run.first == 1 {
                outcome.first_line = outcome.cycles;
            }
            run.fill(reading);
            outcome.bytes += run.receive(memories);
            run.ask(memories);
            run.scan(lists);
            memories.iter_mut().for_each(AxiSlave::end);
            outcome.cycles += 1;
            let most = 1_000_000 + 1000 * total as u64;
            assert!(outcome.cycles < most, "the fetcher is stuck");
        }
        outcome
    }
}

/// A vector on its way to a place in the buffer.
#[derive(Clone, Copy, Debug)]
struct Vector {
    address: u64,
    beats: usize,
    /// Line, counted from the first one ever.
    line: usize,
    column: usize,
}

#[derive(Clone, Debug)]
struct Channel {
    queue: VecDeque<Vector>,
    under_way: Vec<Option<Vector>>,
    free: VecDeque<u16>,
    assembled: VecDeque<Vector>,
    beats: usize,
}

struct Run<'a> {
    model: &'a FetchModel,
    channels: Vec<Channel>,
    /// Vectors missing in each reserved line, from line `first` on.
    missing: VecDeque<usize>,
    /// The oldest line not read.
    first: usize,
    /// Scanned survivors that found no queue yet.
    scanned: Vec<(usize, Vector)>,
    /// Where the scan goes on: list, survivor, and the list's first line.
    list: usize,
    survivor: usize,
    list_line: usize,
    /// Channel that is granted first.
    turn: usize,
}

impl<'a> Run<'a> {
    fn new(model: &'a FetchModel, channels: usize) -> Self {
        let channel = Channel {
            queue: VecDeque::new(),
            under_way: vec![None; model.outstanding],
            free: (0..model.outstanding as u16).collect(),
            assembled: VecDeque::new(),
            beats: 0,
        };
        Run {
            model,
            channels: vec![channel; channels],
            missing: VecDeque::new(),
            first: 0,
            scanned: Vec::new(),
            list: 0,
            survivor: 0,
            list_line: 0,
            turn: 0,
        }
    }

    fn bank(&self, line: usize) -> usize {
        line % self.model.lines % self.model.banks
    }

    /// Reads the oldest line if it is complete; the bank that is read.
    fn consume(&mut self) -> Option<usize> {
        let complete = self.missing.front() == Some(&0);
        let bank = complete.then(|| self.bank(self.first));
        if complete {
            self.missing.pop_front();
            self.first += 1;
        }
        bank
    }

    /// Grants the oldest assembled vector of each channel its column, in turn, where the column takes it.
    fn fill(&mut self, reading: Option<usize>) {
        let fills = self.model.column_fills;
        let mut taken = vec![false; self.model.columns * fills];
        let count = self.channels.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some(&vector) = self.channels[index].assembled.front() else {
                continue;
            };
            let port = vector.column * fills + vector.line % self.model.lines % fills;
            if taken[port] || reading == Some(self.bank(vector.line)) {
                continue;
            }
            taken[port] = true;
            self.channels[index].assembled.pop_front();
            self.channels[index].beats -= vector.beats;
            self.missing[vector.line - self.first] -= 1;
        }
        self.turn += 1;
    }

    /// Takes a beat from each memory whose channel has room; bytes taken.
    fn receive(&mut self, memories: &mut [AxiSlave]) -> u64 {
        let mut bytes = 0;
        for (channel, memory) in self.channels.iter_mut().zip(memories) {
            if channel.beats == self.model.assembly_beats {
                continue;
            }
            let Some(beat) = memory.read_offer() else {
                continue;
            };
            let ended = beat.last.then_some(beat.id);
            memory.read_taken();
            bytes += BEAT_BYTES;
            channel.beats += 1;
            if let Some(id) = ended {
                let vector = channel.under_way[id as usize].take();
                channel.assembled.extend(vector);
                channel.free.push_back(id);
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

    /// Scans the next survivors when all of the last ones have gone and their lines are free, and fills the queues.
    fn scan(&mut self, lists: &[List]) {
        if self.scanned.is_empty()
            && let Some(list) = lists.get(self.list)
        {
            self.scan_list(list);
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

    fn scan_list(&mut self, list: &List) {
        let columns = self.model.columns;
        let end = (self.survivor + self.model.scan).min(list.vectors.len());
        let lines = self.list_line + end.div_ceil(columns);
        if lines - self.first > self.model.lines {
            return;
        }
        for line in self.first + self.missing.len()..lines {
            let before = (line - self.list_line) * columns;
            self.missing
                .push_back((list.vectors.len() - before).min(columns));
        }
        for place in self.survivor..end {
            let (channel, address) = list.vectors[place];
            let vector = Vector {
                address,
                beats: list.beats,
                line: self.list_line + place / columns,
                column: place % columns,
            };
            self.scanned.push((channel, vector));
        }
        self.survivor = end;
        if end == list.vectors.len() {
            (self.list, self.survivor, self.list_line) = (self.list + 1, 0, lines);
        }
    }
}
