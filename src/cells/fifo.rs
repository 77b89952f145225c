//! FIFO of flip-flops: a queue of a few words, in order.
//!
//! Ports: stream `in` (`data`), stream `out` (`data`), and `count_o` where asked for. Neither valid nor ready passes
//! from one side to the other within a cycle: both come from registers alone.
//!
//! - Latency: 1 cycle from a transfer in to the first cycle the word can leave.
//! - Interval: 1 cycle; 2 cycles at depth 1, whose only place must be empty before it is filled.
//! - Stalls: takes `depth` words while the output stalls.
//! - Limits: the read multiplexer grows with the depth; deeper than some 16 words use
//!   [`BankedFifo`](crate::cells::banked_fifo::BankedFifo).

use crate::cells::counter::{count, ring_pointer};
use crate::hdl::{About, Block, Builder, Field};
use crate::numerics::value_bits;
use crate::{net, reg};

/// A queue of `depth` words of `width` bits.
#[derive(Clone, Debug)]
pub struct Fifo {
    /// Bits of the payload, at least 1.
    pub width: usize,
    /// Words held, at least 1; any number, also one that is no power of two.
    pub depth: usize,
    /// Gives the number of words held on `count_o`, from a register: what a sender with credits needs.
    pub count: bool,
}

impl Fifo {
    /// A FIFO without `count_o`.
    pub fn new(width: usize, depth: usize) -> Self {
        Fifo {
            width,
            depth,
            count: false,
        }
    }

    /// Cycles from a transfer in to the first cycle the word can leave.
    pub const LATENCY: u64 = 1;

    /// Cycles per word when neither side stalls.
    pub fn interval(&self) -> u64 {
        if self.depth == 1 { 2 } else { 1 }
    }

    /// Bits of `count_o`, which ranges over 0..=depth.
    pub fn count_bits(&self) -> usize {
        value_bits(self.depth)
    }
}

impl Block for Fifo {
    fn name(&self) -> String {
        let count = if self.count { "_count" } else { "" };
        format!("spatten_fifo_w{}_d{}{count}", self.width, self.depth)
    }

    fn about(&self) -> About {
        About {
            purpose:
                "FIFO of flip-flops. Neither valid nor ready passes from one side to the other\n\
                      within a cycle; a word can leave in the cycle after it came."
                    .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("depth", self.depth.to_string()),
                ("count", self.count.to_string()),
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
        let count_out = self
            .count
            .then(|| m.output("count", self.count_bits(), "words held"));

        m.section("words held");
        reg!(m, count_q: self.count_bits(), reset = 0);
        net!(
            m,
            ready = count_q.differs(m.lit(self.depth as u64, self.count_bits()))
        );
        net!(m, valid = count_q.any());
        net!(m, push = input.valid & ready);
        net!(m, pop = valid & out.ready);
        count(m, count_q, push, pop);
        input.ready.drive(ready);
        if let Some(count_out) = count_out {
            count_out.drive(count_q);
        }

        m.section("places, filled and emptied in turn");
        let head = if self.depth == 1 {
            reg!(m, word_q = input.data(), when = push);
            *word_q
        } else {
            let write_q = ring_pointer(m, "write_q", self.depth, push, "place to fill next");
            let read_q = ring_pointer(m, "read_q", self.depth, pop, "place of the oldest word");
            m.register_file("words", self.depth, (push, write_q, input.data()), read_q)
        };
        out.drive(valid, &[("data", head)]);
    }
}
