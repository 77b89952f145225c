//! The fetcher: lists of tokens and jobs in, lines of K, of its LSB plane, of V, and queries out.

use super::read_master::{BEAT_BYTES, ReadMaster};
use crate::accelerator::kv_buffer::{LineColumn, LineRing};
use crate::accelerator::shape::ArrayShape;
use crate::config::Config;
use crate::hdl::Field;
use crate::numerics::{index_bits, log2_exact, value_bits};

/// Bits of an element of K's LSB plane.
pub const LSB_BITS: usize = 4;
/// Bits of a vector's format.
pub const FORMAT_BITS: usize = 3;

/// A class of vectors: each has its jobs, its ring of lines and its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// K, or its MSB plane.
    Key,
    /// K's LSB plane.
    Lsb,
    /// V.
    Value,
    /// Q.
    Query,
}

impl Class {
    /// Every class, in the order of its code.
    pub const ALL: [Class; 4] = [Class::Key, Class::Lsb, Class::Value, Class::Query];

    /// Bits of a code.
    pub const BITS: usize = 2;

    /// The code in tags.
    pub fn code(self) -> u64 {
        self as u64
    }

    /// Name of the class's channels: jobs `<name>` in, rows `<name>_row` in, lines `<name>_line` out.
    pub fn name(self) -> &'static str {
        match self {
            Class::Key => "key",
            Class::Lsb => "lsb",
            Class::Value => "value",
            Class::Query => "query",
        }
    }
}

/// From lists of tokens to lines: the read side of the memory system.
///
/// | port | |
/// |---|---|
/// | `list` in | surviving ids, [`scan_lanes`](Self::scan_lanes) per word, to every list class |
/// | `key`, `lsb`, `value` in | jobs: [`job_fields`](Self::job_fields) |
/// | `query` in | one vector per word: [`query_fields`](Self::query_fields) |
/// | `key_row`, `lsb_row`, `value_row` in | [`LineRing::row_fields`]: what is read of the rings |
/// | `key_line`, `lsb_line`, `value_line` out | [`LineRing::line_fields`] |
/// | `query_line` out | `data`, one query after another |
/// | `mem<n>_ar` out, `mem<n>_r` in | AXI4 read port of channel n: [`ReadMaster::address_fields`], [`ReadMaster::data_fields`] |
/// | `error` out | [`error_fields`](Self::error_fields): the first thing that a memory did wrong |
/// | `stop_i`, `idle_o` | the ports stop and drain; all have |
/// | `restart_n_i` | active low, from a register or port: resets all but the ports, which must be idle |
///
/// `lsb`, `lsb_row` and `lsb_line` are there where the configuration has an LSB plane.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Both multiplier arrays.
    pub shape: ArrayShape,
    /// Bits of an element of K's MSB plane, of V and of Q.
    pub element_bits: [usize; 3],
    /// Lines of the rings of K, of its LSB plane (0: none), of V, and rows of Q.
    pub lines: [usize; 4],
    /// Longest list.
    pub keys_per_row: usize,
    /// Ids are below it.
    pub tokens: usize,
    /// Memory channels, a power of two.
    pub channels: usize,
    /// Bits of a byte address.
    pub address_bits: usize,
    /// Reads that a port may have under way.
    pub outstanding: usize,
    /// Cycles after which a port is silent.
    pub timeout: usize,
}

impl Fetch {
    /// The fetcher of a configuration.
    pub fn new(config: &Config) -> Self {
        let (arithmetic, buffers) = (&config.arithmetic, &config.buffers);
        Fetch {
            shape: ArrayShape {
                multipliers: config.array.multipliers,
                head_dims: config.array.head_dims.clone(),
            },
            element_bits: [
                arithmetic.key_bits,
                arithmetic.value_bits,
                arithmetic.query_bits,
            ],
            lines: [
                buffers.key_lines,
                buffers.key_lsb_lines,
                buffers.value_lines,
                buffers.query_rows,
            ],
            keys_per_row: config.limits.keys_per_row,
            tokens: config.limits.tokens,
            channels: config.memory.channels,
            address_bits: config.memory.address_bits,
            outstanding: config.memory.outstanding_reads,
            timeout: 1 << config.memory.silence_log2,
        }
    }

    /// The classes that there are, in the order of their codes.
    pub fn classes(&self) -> impl Iterator<Item = Class> + '_ {
        let there = |class: &Class| self.lines[*class as usize] > 0;
        Class::ALL.into_iter().filter(there)
    }

    /// The classes that take lists.
    pub fn list_classes(&self) -> impl Iterator<Item = Class> + '_ {
        self.classes().filter(|class| *class != Class::Query)
    }

    /// Bits of an element in a class's ring.
    pub fn bits_of(&self, class: Class) -> usize {
        let [key, value, query] = self.element_bits;
        match class {
            Class::Key => key,
            Class::Lsb => LSB_BITS,
            Class::Value => value,
            Class::Query => query,
        }
    }

    /// The ring of a class. Q's has a line per query, its vector at the low end.
    pub fn ring(&self, class: Class) -> LineRing {
        let mut shape = self.shape.clone();
        let mut keys_per_row = self.keys_per_row;
        if class == Class::Query {
            shape.multipliers = shape.max_dim();
            keys_per_row = 1;
        }
        LineRing {
            shape,
            element_bits: self.bits_of(class),
            lines: self.lines[class as usize].next_multiple_of(LineColumn::BANKS),
            keys_per_row,
        }
    }

    /// Ids of a word of `list`, and ids that are scanned per cycle: the largest power of two up to 16 within a row.
    pub fn scan_lanes(&self) -> usize {
        let most = self.keys_per_row.min(16);
        1 << most.ilog2()
    }

    /// Bits of an id.
    pub fn id_bits(&self) -> usize {
        index_bits(self.tokens)
    }

    /// Bits of a rotation of channels; one that is not used where there is one channel.
    pub fn rotation_bits(&self) -> usize {
        index_bits(self.channels)
    }

    /// Bits of an address in beats of 32 bytes.
    pub fn base_bits(&self) -> usize {
        self.address_bits - log2_exact(BEAT_BYTES)
    }

    /// Fields of the `list` channel.
    pub fn list_fields(&self) -> Vec<Field> {
        let lanes = self.scan_lanes();
        let doc = format!("{lanes} ids of {} bits, the first one low", self.id_bits());
        vec![
            Field::new("id", lanes * self.id_bits(), &doc),
            Field::new("last", 1, "last word of the list"),
        ]
    }

    /// Fields of the channels `key`, `lsb` and `value`.
    pub fn job_fields(&self, class: Class) -> Vec<Field> {
        let mut fields = self.place_fields();
        fields.extend([
            Field::new("format", FORMAT_BITS, "of the vectors: 0 to 6"),
            Field::new(
                "keys",
                value_bits(self.keys_per_row),
                "vectors, at least one",
            ),
            Field::new("dense", 1, "ids 0 to keys - 1 instead of a list"),
            Field::new("list_last", 1, "the class's last job with the list"),
        ]);
        if class == Class::Lsb {
            fields.push(Field::new("skip", 1, "reads nothing"));
        }
        fields
    }

    /// Fields of the `query` channel.
    pub fn query_fields(&self) -> Vec<Field> {
        let mut fields = self.place_fields();
        fields.push(Field::new("id", self.id_bits(), "of the query's token"));
        fields
    }

    /// Where the vectors of a head lie, and how long they are.
    fn place_fields(&self) -> Vec<Field> {
        vec![
            Field::new(
                "base",
                self.base_bits(),
                "of the head in every channel: byte address / 32",
            ),
            Field::new(
                "rotation",
                self.rotation_bits(),
                "exclusive-ored to the channel",
            ),
            self.shape.level_field(),
        ]
    }

    /// Fields of the `query_line` channel.
    pub fn query_line_fields(&self) -> Vec<Field> {
        let ring = self.ring(Class::Query);
        let doc = format!(
            "{} elements of {} bits; those from d on are undefined",
            ring.shape.multipliers, ring.element_bits
        );
        vec![Field::new("data", ring.line_bits(), &doc)]
    }

    /// Fields of the `error` channel.
    pub fn error_fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new(
            "port",
            index_bits(self.channels),
            "memory channel",
        )];
        fields.extend(self.read_master().error_fields());
        fields
    }

    /// The read side of a port.
    pub fn read_master(&self) -> ReadMaster {
        ReadMaster {
            address_bits: self.address_bits,
            outstanding: self.outstanding,
            burst_beats: self.shape.max_dim() * 16 / (8 * BEAT_BYTES),
            tag_bits: 1,
            timeout: self.timeout,
        }
    }

    /// Channels of a memory port: `mem<n>_ar` and `mem<n>_r`.
    pub fn port_names(&self, channel: usize) -> [String; 2] {
        ["ar", "r"].map(|name| format!("mem{channel}_{name}"))
    }
}
