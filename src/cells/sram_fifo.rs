//! FIFO over a two-port SRAM, for deep queues.
//!
//! Words go through the memory into three output places, which are filled ahead of the reader: a read is issued as soon
//! as a word is in the memory and a place is reserved for it. Memory pins and output see registers only.
//!
//! ```text
//! in -> write port | 1R1W SRAM | read port -> word read -> three places -> out
//! ```
//!
//! Ports: stream `in` (`data`), stream `out` (`data`). Neither valid nor ready passes from one side to the other within
//! a cycle.
//!
//! - Latency: 3 cycles from a transfer in to the first cycle the word can leave (written, read, placed).
//! - Interval: 1 cycle; 2 cycles at depth 1, whose only word must be read before the next is written.
//! - Stalls: takes `depth` + 3 words while the output stalls.
//! - Memory: one [`Sram`] of depth x width.
//! - An address is never written and read in one cycle: a word is read from the cycle after its writing on, and a full
//!   memory is not written in the cycle that frees a word.

use crate::cells::fifo::{Fifo, ring_pointer};
use crate::cells::sram::Sram;
use crate::hdl::{About, Block, Builder, Field, Stream};
use crate::numerics::value_bits;
use crate::{net, reg};

/// A queue of `depth` words in a memory, and three more behind it.
#[derive(Clone, Debug)]
pub struct SramFifo {
    /// Bits of the payload, at least 1.
    pub width: usize,
    /// Words of the memory, at least 1; any number, also one that is no power of two.
    pub depth: usize,
}

/// Output places: a read is under way for two cycles before its word can leave, so that three reservations sustain one
/// word per cycle.
const PLACES: usize = 3;

impl SramFifo {
    /// Cycles from a transfer in to the first cycle the word can leave.
    pub const LATENCY: u64 = 3;

    /// Cycles per word when neither side stalls.
    pub fn interval(&self) -> u64 {
        if self.depth == 1 { 2 } else { 1 }
    }

    /// Words held while the output stalls.
    pub fn capacity(&self) -> usize {
        self.depth + PLACES
    }
}

impl Block for SramFifo {
    fn name(&self) -> String {
        format!("spatten_sram_fifo_w{}_d{}", self.width, self.depth)
    }

    fn about(&self) -> About {
        About {
            purpose:
                "FIFO over a two-port SRAM, which reads ahead into three output places so that\n\
                      one word leaves per cycle."
                    .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("depth", self.depth.to_string()),
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
        let input = m.stream_in("in", &[Field::new("data", self.width, "word")]);
        let out = m.stream_out("out", &[Field::new("data", self.width, "word, same order")]);
        let sram = Sram {
            width: self.width,
            depth: self.depth,
        };

        m.section("words in the memory");
        let count_bits = value_bits(self.depth);
        reg!(m, stored_q: count_bits, reset = 0, "written and not yet read");
        net!(
            m,
            ready = stored_q.differs(m.lit(self.depth as u64, count_bits))
        );
        net!(m, write = input.valid & ready);
        let read = m.wire("read", 1, "");
        let one = m.lit(1, count_bits);
        stored_q.next_when(
            write ^ *read,
            write.select(stored_q.wrapping_add(one), stored_q.wrapping_sub(one)),
        );
        input.ready.drive(ready);

        m.section("output places: reserved from the read until the word leaves");
        let place_bits = value_bits(PLACES);
        reg!(m, reserved_q: place_bits, reset = 0);
        let pop = m.wire("pop", 1, "");
        let one = m.lit(1, place_bits);
        reserved_q.next_when(
            *read ^ *pop,
            read.select(reserved_q.wrapping_add(one), reserved_q.wrapping_sub(one)),
        );
        read.drive(stored_q.any() & reserved_q.differs(m.lit(PLACES as u64, place_bits)));
        reg!(
            m,
            read_q = *read,
            reset = 0,
            "the memory's output is a word to place"
        );

        m.section("memory");
        let write_q = ring_pointer(m, "write_address_q", self.depth, write, "");
        let read_address_q = ring_pointer(m, "read_address_q", self.depth, *read, "");
        let memory = m
            .instance("u_memory", &sram)
            .input("write_enable", write)
            .input("write_address", write_q)
            .input("write_data", input.data())
            .input("read_enable", *read)
            .input("read_address", read_address_q);

        m.section("output");
        let place_free = m.wire("place_free", 1, "");
        m.never(*read_q & !place_free, "a word read finds no place");
        let words = Stream::new(
            *read_q,
            place_free,
            vec![("data".into(), memory.output("read_data"))],
        );
        let words = m.through("u_places", &Fifo::new(self.width, PLACES), words);
        pop.drive(words.valid & out.ready);
        out.connect(words);
    }
}
