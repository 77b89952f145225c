//! The memory behind one AXI4 port: takes addresses and data, answers after a time, and misbehaves where asked to.

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::stalls::{Hesitation, Stalls};
use super::axi::{BEAT_BYTES, Burst, ReadBeat, Response, WriteBeat, WriteResponse};
use super::bytes::SparseMemory;
use super::hbm2::{Answer, Hbm2, Hbm2Timing, Request};

/// How long a memory takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryTiming {
    /// So many cycles from the transfer of an address (of a write: of its last data) to the first cycle that can show
    /// the answer, at least 1; a beat per cycle.
    Fixed(u64),
    /// An HBM2 channel.
    Hbm2(Hbm2Timing),
}

/// How often each channel of a port hesitates, besides what the timing asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxiStalls {
    /// Taking read addresses.
    pub read_address: Stalls,
    /// Offering read data.
    pub read_data: Stalls,
    /// Taking write addresses.
    pub write_address: Stalls,
    /// Taking write data.
    pub write_data: Stalls,
    /// Offering write responses.
    pub write_response: Stalls,
}

impl AxiStalls {
    /// The same on every channel.
    pub fn all(stalls: Stalls) -> Self {
        AxiStalls {
            read_address: stalls,
            read_data: stalls,
            write_address: stalls,
            write_data: stalls,
            write_response: stalls,
        }
    }
}

/// A memory's size and manners.
#[derive(Clone, Debug, PartialEq)]
pub struct SlaveOptions {
    /// How long it takes.
    pub timing: MemoryTiming,
    /// Bytes; an access behind them is answered by DECERR.
    pub bytes: u64,
    /// How its channels hesitate.
    pub stalls: AxiStalls,
    /// Answers come 0 to this many cycles later than the timing says, at random, so that bursts of different ids
    /// overtake each other. Those of one id stay in order.
    pub reorder: u64,
    /// Chance that a beat of read data comes from another burst than the beat before, inside a burst. AXI4 allows a
    /// slave to interleave; ports that do not expect it must notice.
    pub interleave: f64,
    /// Seed of everything random.
    pub seed: u64,
}

impl SlaveOptions {
    /// A memory without stalls, reordering and interleaving.
    pub fn new(timing: MemoryTiming, seed: u64) -> Self {
        SlaveOptions {
            timing,
            bytes: u64::MAX,
            stalls: AxiStalls::all(Stalls::NONE),
            reorder: 0,
            interleave: 0.0,
            seed,
        }
    }
}

/// Something a slave does wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlaveFault {
    /// Answers with an error: on one beat of a read, counted from 0 (the last if there are fewer), or for the write.
    Respond {
        /// Beat of the read; nothing for a write.
        beat: usize,
        /// The response.
        response: Response,
    },
    /// Before it answers, it sends a beat (or a write response) of an id that nobody uses.
    StrayAnswer {
        /// The id.
        id: u16,
    },
    /// A read's last flag comes with its first beat, and the others never; a read of one beat has no last flag, and
    /// a second beat has.
    WrongLast,
    /// Never answers.
    Silence,
}

/// What a slave did wrong to a port that reads; addresses are those of the reads' first beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMisdeed {
    /// Data of an id of which no read is under way.
    Stray {
        /// The id.
        id: u16,
    },
    /// Data of a read inside the burst of another one.
    Interleaved {
        /// Of the read that came in between.
        address: u64,
    },
    /// An error response.
    Response {
        /// The response.
        response: Response,
        /// Of the read.
        address: u64,
    },
    /// A last flag that is missing, or too early.
    WrongLast {
        /// Of the read.
        address: u64,
    },
    /// A read that is never answered.
    Silence {
        /// Of the read.
        address: u64,
    },
}

/// A memory with one AXI4 port.
///
/// A cycle is: [`begin`](Self::begin); then readies and offers stand, and the transfers of the cycle are reported by
/// the `take_*` and `*_taken` methods; then [`end`](Self::end).
#[derive(Debug)]
pub struct AxiSlave {
    memory: SparseMemory,
    options: SlaveOptions,
    device: Device,
    random: ChaCha8Rng,
    now: u64,
    reads: Reads,
    writes: Writes,
    answers: Vec<Answer>,
    /// Beats of data transferred: read, written.
    beats: [u64; 2],
}

#[derive(Debug)]
enum Device {
    Fixed(u64),
    Hbm2(Box<Hbm2>),
}

/// Reads of one port.
#[derive(Debug)]
struct Reads {
    taking: Hesitation,
    offering: Hesitation,
    ready: bool,
    /// Under way, in the order of their addresses.
    open: VecDeque<Read>,
    taken: u64,
    /// Token of the read whose burst is being sent.
    sending: Option<u64>,
    offer: Option<ReadBeat>,
    faults: Vec<(u64, SlaveFault)>,
    /// The first thing that it did wrong.
    misdeed: Option<ReadMisdeed>,
}

#[derive(Debug)]
struct Read {
    token: u64,
    burst: Burst,
    sent: usize,
    /// When its data may be shown.
    at: Option<u64>,
    fault: Option<SlaveFault>,
}

/// Writes of one port.
#[derive(Debug)]
struct Writes {
    taking: Hesitation,
    taking_data: Hesitation,
    offering: Hesitation,
    ready: bool,
    data_ready: bool,
    /// Under way, in the order of their addresses.
    open: VecDeque<Write>,
    taken: u64,
    offer: Option<WriteResponse>,
    faults: Vec<(u64, SlaveFault)>,
}

#[derive(Debug)]
struct Write {
    token: u64,
    burst: Burst,
    data: Vec<WriteBeat>,
    at: Option<u64>,
    fault: Option<SlaveFault>,
}

/// Writes whose data has not come yet and whose addresses are taken all the same.
const WRITE_ADDRESSES: usize = 4;
/// Tokens of writes at the device are told from those of reads by this bit.
const WRITE_TOKEN: u64 = 1 << 63;

impl AxiSlave {
    /// An idle memory of undefined content.
    ///
    /// # Panics
    /// When an option is out of its range.
    #[track_caller]
    pub fn new(options: SlaveOptions) -> Self {
        assert!(
            (0.0..1.0).contains(&options.interleave),
            "interleaving: a probability from 0 to below 1, not {}",
            options.interleave
        );
        let channel = |stream, stalls| {
            let mut hesitation = Hesitation::new(options.seed, stream);
            hesitation.set(stalls);
            hesitation
        };
        let stalls = options.stalls;
        AxiSlave {
            memory: SparseMemory::default(),
            device: Device::new(&options.timing),
            random: ChaCha8Rng::seed_from_u64(options.seed),
            now: 0,
            reads: Reads {
                taking: channel(1, stalls.read_address),
                offering: channel(2, stalls.read_data),
                ready: false,
                open: VecDeque::new(),
                taken: 0,
                sending: None,
                offer: None,
                faults: Vec::new(),
                misdeed: None,
            },
            writes: Writes {
                taking: channel(3, stalls.write_address),
                taking_data: channel(4, stalls.write_data),
                offering: channel(5, stalls.write_response),
                ready: false,
                data_ready: false,
                open: VecDeque::new(),
                taken: 0,
                offer: None,
                faults: Vec::new(),
            },
            answers: Vec::new(),
            beats: [0; 2],
            options,
        }
    }

    /// The content.
    pub fn memory(&self) -> &SparseMemory {
        &self.memory
    }

    /// The content, to be changed.
    pub fn memory_mut(&mut self) -> &mut SparseMemory {
        &mut self.memory
    }

    /// How long it takes.
    pub fn timing(&self) -> &MemoryTiming {
        &self.options.timing
    }

    /// Changes how the channels hesitate.
    pub fn stall(&mut self, stalls: AxiStalls) {
        self.options.stalls = stalls;
        self.reads.taking.set(stalls.read_address);
        self.reads.offering.set(stalls.read_data);
        self.writes.taking.set(stalls.write_address);
        self.writes.taking_data.set(stalls.write_data);
        self.writes.offering.set(stalls.write_response);
    }

    /// Answers come 0 to `cycles` cycles late from now on.
    pub fn reorder(&mut self, cycles: u64) {
        self.options.reorder = cycles;
    }

    /// Interleaves read data from now on.
    ///
    /// # Panics
    /// When this is no probability below 1.
    #[track_caller]
    pub fn interleave(&mut self, probability: f64) {
        assert!((0.0..1.0).contains(&probability), "{probability}");
        self.options.interleave = probability;
    }

    /// Seeds a fault into the read that follows after `reads` others, counted since the last reset.
    pub fn fail_read(&mut self, reads: u64, fault: SlaveFault) {
        self.reads.faults.push((reads, fault));
    }

    /// Seeds a fault into the write that follows after `writes` others, counted since the last reset.
    pub fn fail_write(&mut self, writes: u64, fault: SlaveFault) {
        self.writes.faults.push((writes, fault));
    }

    /// Whether it may do what its port must notice: then its own side of the protocol is not checked.
    pub fn misbehaves(&self) -> bool {
        let faults = !self.reads.faults.is_empty() || !self.writes.faults.is_empty();
        faults || self.options.interleave > 0.0
    }

    /// Read addresses taken since the last reset.
    pub fn reads_taken(&self) -> u64 {
        self.reads.taken
    }

    /// The first thing that it did wrong to a port that reads, since the last reset or since it forgot its faults.
    pub fn first_misdeed(&self) -> Option<ReadMisdeed> {
        self.reads.misdeed
    }

    /// Bytes of the data beats that were transferred since the last reset: read, written.
    pub fn bytes_moved(&self) -> [u64; 2] {
        self.beats.map(|beats| beats * BEAT_BYTES)
    }

    /// Write addresses taken since the last reset.
    pub fn writes_taken(&self) -> u64 {
        self.writes.taken
    }

    /// Does nothing wrong any more, and forgets what it did.
    pub fn forget_faults(&mut self) {
        self.options.interleave = 0.0;
        self.reads.misdeed = None;
        self.reads.faults.clear();
        self.writes.faults.clear();
    }

    /// Reads whose last beat has not left.
    pub fn reads_open(&self) -> usize {
        self.reads.open.len()
    }

    /// Writes without their response.
    pub fn writes_open(&self) -> usize {
        self.writes.open.len()
    }

    /// Forgets all bursts and seeded faults; the content stays.
    pub fn reset(&mut self) {
        let options = self.options.clone();
        let memory = std::mem::take(&mut self.memory);
        *self = AxiSlave::new(options);
        self.memory = memory;
    }

    /// Decides what the cycle's readies and offers are.
    pub fn begin(&mut self) {
        let room = self.device.has_room();
        self.reads.ready = !self.reads.taking.stalled() && room;
        let waiting = self.writes.open.iter().filter(|write| !write.is_complete());
        let addresses = waiting.count();
        let stalled = self.writes.taking.stalled();
        self.writes.ready = !stalled && addresses < WRITE_ADDRESSES;
        let stalled = self.writes.taking_data.stalled();
        self.writes.data_ready = !stalled && addresses > 0 && room;
        if self.reads.offer.is_none() && !self.reads.offering.stalled() {
            self.reads.offer = self.next_read_beat();
        }
        if self.writes.offer.is_none() && !self.writes.offering.stalled() {
            self.writes.offer = self.next_write_response();
        }
    }

    /// `ARREADY`.
    pub fn read_ready(&self) -> bool {
        self.reads.ready
    }

    /// `AWREADY`.
    pub fn write_ready(&self) -> bool {
        self.writes.ready
    }

    /// `WREADY`.
    pub fn data_ready(&self) -> bool {
        self.writes.data_ready
    }

    /// The beat on channel `r`.
    pub fn read_offer(&self) -> Option<&ReadBeat> {
        self.reads.offer.as_ref()
    }

    /// The word on channel `b`.
    pub fn write_offer(&self) -> Option<&WriteResponse> {
        self.writes.offer.as_ref()
    }

    /// A read address is transferred.
    pub fn take_read(&mut self, burst: Burst) {
        let token = self.reads.taken;
        self.reads.taken += 1;
        let fault = planned(&self.reads.faults, token);
        if fault == Some(SlaveFault::Silence) {
            let address = burst.address;
            self.reads
                .misdeed
                .get_or_insert(ReadMisdeed::Silence { address });
        }
        let at = self.ask(token, burst, false);
        self.reads.open.push_back(Read {
            token,
            burst,
            sent: 0,
            at,
            fault,
        });
    }

    /// A write address is transferred.
    pub fn take_write(&mut self, burst: Burst) {
        let token = self.writes.taken;
        self.writes.taken += 1;
        let fault = planned(&self.writes.faults, token);
        self.writes.open.push_back(Write {
            token,
            burst,
            data: Vec::new(),
            at: None,
            fault,
        });
    }

    /// A beat of write data is transferred; with the last one the bytes are in the memory.
    pub fn take_data(&mut self, beat: WriteBeat) {
        self.beats[1] += 1;
        let mut waiting = self.writes.open.iter_mut();
        let Some(write) = waiting.find(|write| !write.is_complete()) else {
            return;
        };
        write.data.push(beat);
        if !write.is_complete() {
            return;
        }
        let (token, burst) = (write.token, write.burst);
        let data = write.data.clone();
        if self.exists(&burst) {
            for (index, beat) in data.iter().enumerate() {
                let address = burst.address + index as u64 * BEAT_BYTES;
                let enabled = |byte: usize| beat.strobes >> byte & 1 == 1;
                self.memory.write_where(address, &beat.data, enabled);
            }
        }
        let at = self.ask(token | WRITE_TOKEN, burst, true);
        let mut open = self.writes.open.iter_mut();
        let write = open.find(|write| write.token == token);
        write.expect("found above").at = at;
    }

    /// The beat on channel `r` is transferred.
    pub fn read_taken(&mut self) {
        self.beats[0] += 1;
        self.reads.offer = None;
    }

    /// The word on channel `b` is transferred.
    pub fn response_taken(&mut self) {
        self.writes.offer = None;
    }

    /// Ends the cycle.
    pub fn end(&mut self) {
        if let Device::Hbm2(memory) = &mut self.device {
            memory.cycle(self.now, &mut self.answers);
        }
        for Answer { token, at } in std::mem::take(&mut self.answers) {
            let at = Some(at + self.delay());
            if token & WRITE_TOKEN == 0 {
                let mut open = self.reads.open.iter_mut();
                if let Some(read) = open.find(|read| read.token == token) {
                    read.at = at;
                }
            } else {
                let mut open = self.writes.open.iter_mut();
                if let Some(write) = open.find(|write| write.token | WRITE_TOKEN == token) {
                    write.at = at;
                }
            }
        }
        self.now += 1;
    }

    fn exists(&self, burst: &Burst) -> bool {
        burst.end() <= self.options.bytes
    }

    /// Asks the device; the answer's cycle where it is known at once.
    fn ask(&mut self, token: u64, burst: Burst, write: bool) -> Option<u64> {
        match &mut self.device {
            Device::Fixed(latency) => {
                let latency = *latency;
                Some(self.now + latency + self.delay())
            }
            Device::Hbm2(memory) => {
                let request = Request {
                    token,
                    address: burst.address,
                    beats: burst.beats,
                    write,
                };
                memory.request(self.now, request);
                None
            }
        }
    }

    fn delay(&mut self) -> u64 {
        match self.options.reorder {
            0 => 0,
            most => self.random.random_range(0..=most),
        }
    }

    /// The next beat: the burst being sent goes on, else the read whose data came first begins.
    fn next_read_beat(&mut self) -> Option<ReadBeat> {
        let open = &self.reads.open;
        let current = self.reads.sending;
        let current = current.and_then(|token| open.iter().position(|read| read.token == token));
        let interleave = self.options.interleave;
        let leave = interleave > 0.0 && self.random.random_bool(interleave);
        let index = match current {
            Some(index) if leave => self.first_read_there(current).unwrap_or(index),
            Some(index) => index,
            None => self.first_read_there(None)?,
        };
        Some(self.beat_of(index))
    }

    /// Of the reads whose data is there and of which none of the same id came before: the one whose data came first,
    /// other than `except`.
    fn first_read_there(&self, except: Option<usize>) -> Option<usize> {
        let open = &self.reads.open;
        let first_of_its_id = |index: usize| {
            let id = open[index].burst.id;
            !open.iter().take(index).any(|older| older.burst.id == id)
        };
        let may_begin = |&index: &usize| {
            let read: &Read = &open[index];
            read.at.is_some_and(|at| at <= self.now)
                && read.fault != Some(SlaveFault::Silence)
                && Some(index) != except
                && first_of_its_id(index)
        };
        let there = (0..open.len()).filter(may_begin);
        there.min_by_key(|&index| (open[index].at, open[index].token))
    }

    /// The next beat of a read, which leaves the list with its last one.
    fn beat_of(&mut self, index: usize) -> ReadBeat {
        let Read {
            token,
            burst,
            sent,
            fault,
            ..
        } = self.reads.open[index];
        let exists = self.exists(&burst);
        let inside_other = self.reads.sending.is_some_and(|open| open != token);
        let address = burst.address + sent as u64 * BEAT_BYTES;
        let mut beat = ReadBeat {
            id: burst.id,
            data: [0; BEAT_BYTES as usize],
            response: Response::DecodeError,
            last: sent + 1 == burst.beats,
        };
        if exists {
            beat.response = Response::Okay;
            let bytes = self.memory.read(address, BEAT_BYTES as usize);
            beat.data.copy_from_slice(&bytes);
        }
        match fault {
            Some(SlaveFault::Respond {
                beat: failing,
                response,
            }) if sent == failing.min(burst.beats - 1) => beat.response = response,
            Some(SlaveFault::StrayAnswer { id }) => {
                self.reads.open[index].fault = None;
                (beat.id, beat.last) = (id, true);
                self.reads.misdeed.get_or_insert(ReadMisdeed::Stray { id });
                return beat;
            }
            // The flag of a longer read comes too early, that of a single beat one beat late.
            Some(SlaveFault::WrongLast) => beat.last = burst.beats > 1 || sent > 0,
            _ => {}
        }
        let is_last = sent + 1 == burst.beats;
        if let Some(misdeed) = misdeed(&beat, burst.address, inside_other, is_last) {
            self.reads.misdeed.get_or_insert(misdeed);
        }
        self.reads.open[index].sent += 1;
        self.reads.sending = Some(token);
        if beat.last {
            self.reads.open.remove(index);
            self.reads.sending = None;
        }
        beat
    }

    /// The response to the write that was done first.
    fn next_write_response(&mut self) -> Option<WriteResponse> {
        let open = &self.writes.open;
        let may_answer = |&index: &usize| {
            let write: &Write = &open[index];
            let id = write.burst.id;
            write.at.is_some_and(|at| at <= self.now)
                && write.fault != Some(SlaveFault::Silence)
                && !open.iter().take(index).any(|older| older.burst.id == id)
        };
        let index = (0..open.len())
            .filter(may_answer)
            .min_by_key(|&index| (open[index].at, index))?;
        if let Some(SlaveFault::StrayAnswer { id }) = open[index].fault {
            self.writes.open[index].fault = None;
            let response = Response::Okay;
            return Some(WriteResponse { id, response });
        }
        let write = self.writes.open.remove(index)?;
        let response = match write.fault {
            Some(SlaveFault::Respond { response, .. }) => response,
            _ if self.exists(&write.burst) => Response::Okay,
            _ => Response::DecodeError,
        };
        let id = write.burst.id;
        Some(WriteResponse { id, response })
    }
}

impl Write {
    /// Whether all data has come.
    fn is_complete(&self) -> bool {
        self.data.len() == self.burst.beats
    }
}

impl Device {
    fn new(timing: &MemoryTiming) -> Self {
        match timing {
            MemoryTiming::Fixed(latency) => {
                assert!(*latency >= 1, "a memory takes at least one cycle");
                Device::Fixed(*latency)
            }
            MemoryTiming::Hbm2(timing) => Device::Hbm2(Box::new(Hbm2::new(timing.clone()))),
        }
    }

    fn has_room(&self) -> bool {
        match self {
            Device::Fixed(_) => true,
            Device::Hbm2(memory) => memory.has_room(),
        }
    }
}

/// What is wrong with a beat of a read from `address` on; of several things that which a port tells.
fn misdeed(
    beat: &ReadBeat,
    address: u64,
    inside_other: bool,
    is_last: bool,
) -> Option<ReadMisdeed> {
    let response = beat.response;
    if inside_other {
        Some(ReadMisdeed::Interleaved { address })
    } else if response != Response::Okay {
        Some(ReadMisdeed::Response { response, address })
    } else {
        (beat.last != is_last).then_some(ReadMisdeed::WrongLast { address })
    }
}

fn planned(faults: &[(u64, SlaveFault)], number: u64) -> Option<SlaveFault> {
    let planned = faults.iter().find(|(index, _)| *index == number);
    planned.map(|(_, fault)| *fault)
}
