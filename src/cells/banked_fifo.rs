//! FIFO over banks of single-port SRAM: a ring of lines that is written and read in the same cycle.
//!
//! Line n of the ring stands in bank n % `banks`. A write and a read of one cycle go to different banks, or else the
//! write wins and the read follows one cycle later. Words read wait in one place per bank, the registers at the
//! memories' outputs, so that the reader does not see a read that came a cycle late.
//!
//! ```text
//!       .-> bank 0 -> place 0 -.
//! in ---+-> bank 1 -> place 1 -+-> output register -> out
//!       '-> ...       ...     -'
//! ```
//!
//! Ports: stream `in` (`data`), stream `out` (`data`). Neither valid nor ready passes from one side to the other within
//! a cycle; a memory's output goes to a register only, and so does the output come from one.
//!
//! - Latency: 4 cycles from a transfer in to the first cycle the word can leave (written, read, placed, offered).
//! - Interval: 1 cycle, at any fill level. A read loses its cycle only when the ring holds a multiple of `banks` lines;
//!   the write that won makes it one more, so no further read is late until the writer has idled for a cycle. Hence the
//!   reads that come late are at most one more than the cycles in which nothing was written: what waits never grows
//!   while the reader takes all it is offered. The place beyond the three that a stream of reads needs hides the first.
//! - Stalls: takes the ring's lines and `banks` + 1 more words while the output stalls.
//! - Memory: `banks` [`SinglePortSram`] of depth / `banks` words, rounded up: the ring has whole rows of banks.
//!   With a ring of one line more than whole rows, a full one would be read and written by turns.
//! - Limits: at least four banks, as a read is under way for two cycles before its word can move on.

use crate::cells::counter::{count, ring_pointer};
use crate::cells::sram::SinglePortSram;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::{index_bits, log2_exact, value_bits};
use crate::{net, reg};

/// A queue of `depth` words in single-port memories, one more per bank behind them, and one at the output.
#[derive(Clone, Debug)]
pub struct BankedFifo {
    /// Bits of the payload, at least 1.
    pub width: usize,
    /// Words of the memories, at least 1; rounded up to a multiple of `banks`.
    pub depth: usize,
    /// Memories: a power of two, at least 4.
    pub banks: usize,
}

impl BankedFifo {
    /// A ring of four banks.
    pub fn new(width: usize, depth: usize) -> Self {
        BankedFifo {
            width,
            depth,
            banks: 4,
        }
    }

    /// Cycles from a transfer in to the first cycle the word can leave.
    pub const LATENCY: u64 = 4;

    /// Cycles per word when neither side stalls.
    pub const INTERVAL: u64 = 1;

    /// Words of one memory.
    fn rows(&self) -> usize {
        self.depth.div_ceil(self.banks)
    }

    /// Lines of the ring: a word is always taken while fewer are held in all.
    pub fn lines(&self) -> usize {
        self.rows() * self.banks
    }

    /// Words held while the output stalls.
    pub fn capacity(&self) -> usize {
        self.lines() + self.banks + 1
    }

    /// One of the memories.
    pub fn bank(&self) -> SinglePortSram {
        SinglePortSram {
            width: self.width,
            depth: self.rows(),
        }
    }
}

impl Block for BankedFifo {
    fn name(&self) -> String {
        format!(
            "spatten_banked_fifo_w{}_d{}_b{}",
            self.width, self.depth, self.banks
        )
    }

    fn about(&self) -> About {
        About {
            purpose: format!(
                "FIFO over single-port SRAMs: a ring of {} lines, line n in bank n % {}. Where a write and a read\n\
                 meet in one bank the write wins; one place per bank, filled ahead of the reader, hides the late read.",
                self.lines(),
                self.banks
            ),
            parameters: vec![
                ("width", self.width.to_string()),
                ("depth", self.depth.to_string()),
                ("banks", self.banks.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        assert!(
            self.width >= 1 && self.depth >= 1,
            "a FIFO holds at least one word of at least one bit, not {} of {}",
            self.depth,
            self.width
        );
        assert!(
            self.banks.is_power_of_two() && self.banks >= 4,
            "a banked FIFO has a power of two of banks, at least 4, not {}",
            self.banks
        );
        let input = m.stream_in("in", &[Field::new("data", self.width, "word")]);
        let out = m.stream_out("out", &[Field::new("data", self.width, "word, same order")]);

        m.section("lines in the memories");
        let lines = self.lines();
        reg!(m, stored_q: value_bits(lines), reset = 0, "written and not yet read");
        let full = m.lit(lines as u64, stored_q.width());
        net!(m, ready = stored_q.differs(full));
        net!(m, write = input.valid & ready);
        let read = m.wire("read", 1, "");
        count(m, stored_q, write, *read);
        input.ready.drive(ready);
        let write_line = ring_pointer(m, "write_line_q", lines, write, "line to write next");
        let read_line = ring_pointer(m, "read_line_q", lines, *read, "line to read next");
        let bank_bits = log2_exact(self.banks);
        net!(m, write_bank = write_line.slice(0, bank_bits));
        net!(m, read_bank = read_line.slice(0, bank_bits));
        net!(m, write_row = self.row_of(m, write_line));
        net!(m, read_row = self.row_of(m, read_line));

        m.section("a read needs a word, its place, and its bank free of a write");
        let pop = m.wire("pop", 1, "");
        let place_bits = value_bits(self.banks);
        reg!(m, reserved_q: place_bits, reset = 0, "places taken, from the read until the word moves on");
        count(m, reserved_q, *read, *pop);
        let all = m.lit(self.banks as u64, place_bits);
        net!(m, wanted = stored_q.any() & reserved_q.differs(all));
        net!(m, blocked = write & write_bank.equals(read_bank));
        read.drive(wanted & !blocked);

        let mut places = Vec::new();
        for bank in 0..self.banks {
            m.section(&format!("bank {bank} and its place"));
            let number = bank as u64;
            let written = m.net(&format!("write{bank}"), write & write_bank.is(number), "");
            let fetched = m.net(&format!("read{bank}"), *read & read_bank.is(number), "");
            let memory = m
                .instance(&format!("u_bank{bank}"), &self.bank())
                .input("enable", written | fetched)
                .input("write", written)
                .input("address", written.select(write_row, read_row))
                .input("write_data", input.data());
            let arrives = m.register(&format!("read{bank}_q"), 1, Some(0), "");
            arrives.next(fetched);
            let place = m.register(&format!("place{bank}_q"), self.width, None, "");
            place.next_when(arrives, memory.output("read_data"));
            places.push((arrives, place));
        }

        m.section("output: the places in turn, through one register");
        let arriving: Vec<_> = places.iter().map(|place| *place.0).collect();
        net!(m, arrives = m.pack(&arriving).any());
        reg!(m, filled_q: place_bits, reset = 0, "places with a word");
        count(m, filled_q, arrives, *pop);
        m.never(arrives & filled_q.equals(all), "a word read finds no place");
        let place = ring_pointer(m, "place_q", self.banks, *pop, "place of the oldest word");
        let arms: Vec<_> = (0..).zip(places.iter().map(|place| *place.1)).collect();
        let (last, others) = arms.split_last().expect("there are banks");
        let word = m.case("word", place, others, last.1, "");
        reg!(m, valid_q: 1, reset = 0);
        net!(m, room = out.ready | !valid_q);
        net!(m, waiting = filled_q.any());
        valid_q.next(waiting | !room);
        pop.drive(waiting & room);
        reg!(m, word_q = word, when = *pop);
        out.drive(valid_q, &[("data", *word_q)]);
    }
}

impl BankedFifo {
    /// Address of a line in its bank.
    fn row_of<'m>(&self, m: &'m Builder, line: Sig<'m>) -> Sig<'m> {
        match self.rows() {
            1 => m.lit(0, 1),
            rows => line.slice(log2_exact(self.banks), index_bits(rows)),
        }
    }
}
