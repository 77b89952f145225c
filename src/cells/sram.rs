//! SRAM wrappers: each memory is a module of its own, so that its behavioural body can be swapped for a macro in the
//! file list.
//!
//! - [`Sram`]: two ports, one that writes and one that reads (1R1W).
//! - [`SinglePortSram`]: one port that writes or reads (1RW).
//!
//! - Latency: [`LATENCY`], 1 cycle from a read to its word, which then stays on the output until the next read; a word
//!   written can be read in the next cycle.
//! - Interval: [`INTERVAL`], 1 cycle: every port takes an access in every cycle.
//! - Stalls: none.
//!
//! They have no reset; a word is undefined until it is written. Every enabled address must lie below the depth.
//!
//! **Reading and writing one address in one cycle is forbidden** at the two-port memory: macros answer differently
//! (old word, new word, neither). An assertion stops the simulation there. A macro that replaces the body must hold
//! its output while it does not read, or be wrapped in logic that does.
//!
//! The golden model is an array of words: [`SramModel`].

use crate::hdl::{About, Block, Builder, Sig};
use crate::numerics::index_bits;

/// Two-port memory: one write port, one read port.
///
/// Ports: `write_enable_i`, `write_address_i`, `write_data_i`, `read_enable_i`, `read_address_i`, `read_data_o`.
#[derive(Clone, Debug)]
pub struct Sram {
    /// Bits of a word, at least 1.
    pub width: usize,
    /// Words, at least 1.
    pub depth: usize,
}

/// Single-port memory: one port that writes or reads.
///
/// Ports: `enable_i`, `write_i` (with enable: write, else read), `address_i`, `write_data_i`, `read_data_o`. A write
/// leaves the output as it is.
#[derive(Clone, Debug)]
pub struct SinglePortSram {
    /// Bits of a word, at least 1.
    pub width: usize,
    /// Words, at least 1.
    pub depth: usize,
}

/// Cycles from a read to its word on the output, of every SRAM.
pub const LATENCY: u64 = 1;

/// Cycles between the accesses of a port, of every SRAM.
pub const INTERVAL: u64 = 1;

impl Sram {
    /// Bits of an address.
    pub fn address_bits(&self) -> usize {
        index_bits(self.depth)
    }
}

impl SinglePortSram {
    /// Bits of an address.
    pub fn address_bits(&self) -> usize {
        index_bits(self.depth)
    }
}

impl Block for Sram {
    fn name(&self) -> String {
        format!("spatten_sram_1r1w_w{}_d{}", self.width, self.depth)
    }

    fn about(&self) -> About {
        About {
            purpose: "Two-port SRAM (1R1W), behavioural: replace this file by a wrapper of a macro.\n\
                      The word read appears one cycle after read_enable_i and stays until the next read.\n\
                      Reading and writing one address in one cycle is forbidden."
                .into(),
            parameters: parameters(self.width, self.depth),
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        check_size(self.width, self.depth);
        let bits = self.address_bits();
        let write_enable = m.input("write_enable", 1, "");
        let write_address = m.input("write_address", bits, "");
        let write_data = m.input("write_data", self.width, "");
        let read_enable = m.input("read_enable", 1, "");
        let read_address = m.input("read_address", bits, "");
        let read_data = m.output("read_data", self.width, "word of the last read");

        let word = m.memory(
            "words",
            self.depth,
            (write_enable, write_address, write_data),
            (read_enable, read_address),
        );
        read_data.drive(word);

        m.never(
            write_enable & read_enable & write_address.equals(read_address),
            "one address is written and read in one cycle",
        );
        forbid_outside(m, self.depth, write_enable, write_address, "written");
        forbid_outside(m, self.depth, read_enable, read_address, "read");
    }
}

impl Block for SinglePortSram {
    fn name(&self) -> String {
        format!("spatten_sram_1rw_w{}_d{}", self.width, self.depth)
    }

    fn about(&self) -> About {
        About {
            purpose:
                "Single-port SRAM (1RW), behavioural: replace this file by a wrapper of a macro.\n\
                      The word read appears one cycle after the read and stays until the next read."
                    .into(),
            parameters: parameters(self.width, self.depth),
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        check_size(self.width, self.depth);
        let enable = m.input("enable", 1, "write or read in this cycle");
        let write = m.input("write", 1, "1: write, 0: read");
        let address = m.input("address", self.address_bits(), "");
        let write_data = m.input("write_data", self.width, "");
        let read_data = m.output("read_data", self.width, "word of the last read");

        let word = m.memory(
            "words",
            self.depth,
            (enable & write, address, write_data),
            (enable & !write, address),
        );
        read_data.drive(word);

        forbid_outside(m, self.depth, enable, address, "accessed");
    }
}

fn parameters(width: usize, depth: usize) -> Vec<(&'static str, String)> {
    vec![("width", width.to_string()), ("depth", depth.to_string())]
}

fn check_size(width: usize, depth: usize) {
    assert!(
        width >= 1 && depth >= 1,
        "an SRAM has at least one word of at least one bit, not {depth} of {width}"
    );
}

/// Where not every address has a word, one beyond them must not be used.
fn forbid_outside<'m>(m: &'m Builder, depth: usize, enable: Sig<'m>, address: Sig<'m>, what: &str) {
    if depth < 1 << address.width() {
        let last = m.lit(depth as u64 - 1, address.width());
        m.never(
            enable & address.gt(last),
            &format!("an address beyond the last word is {what}"),
        );
    }
}

/// Golden model of both memories: the array of words and the word on the output.
#[derive(Clone, Debug)]
pub struct SramModel<W> {
    words: Vec<Option<W>>,
    read: Option<W>,
}

impl<W: Clone> SramModel<W> {
    /// `depth` undefined words.
    pub fn new(depth: usize) -> Self {
        SramModel {
            words: vec![None; depth],
            read: None,
        }
    }

    /// One clock edge with the accesses made in it, `(address, word)` and `address`.
    ///
    /// # Panics
    /// When an address lies beyond the last word, or one address is written and read.
    pub fn tick(&mut self, write: Option<(usize, W)>, read: Option<usize>) {
        if let Some(address) = read {
            let written = write.as_ref().map(|(address, _)| *address);
            assert_ne!(
                written,
                Some(address),
                "one address is written and read in one cycle"
            );
            self.read = self.words[address].clone();
        }
        if let Some((address, word)) = write {
            self.words[address] = Some(word);
        }
    }

    /// The word on the output; `None` where it is undefined.
    pub fn read_data(&self) -> Option<&W> {
        self.read.as_ref()
    }
}
