//! Sizes that follow from a configuration: lines, capacities, memories and peak rates.

use serde::Serialize;

use super::Config;
use crate::numerics::{EXPONENTIAL_BITS, WEIGHT_BITS};

/// Bytes that one HBM channel moves per cycle: 32 GB/s at 1 GHz.
pub const CHANNEL_BYTES_PER_CYCLE: usize = 32;

/// A memory whose size the configuration sets directly; flags beside the values of a line are not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BufferSize {
    /// What it holds.
    pub name: &'static str,
    /// Lines.
    pub depth: usize,
    /// Bits of a line.
    pub width: usize,
}

impl BufferSize {
    /// Bits in all.
    pub fn bits(&self) -> usize {
        self.depth * self.width
    }
}

/// A derived size for `spatten check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DerivedSize {
    /// Name, unique among the derived sizes.
    pub name: String,
    /// Value.
    pub value: usize,
    /// Unit.
    pub unit: &'static str,
}

impl Config {
    /// Largest head dimension; 0 when there is none.
    pub fn max_head_dim(&self) -> usize {
        self.array.head_dims.iter().copied().max().unwrap_or(0)
    }

    /// Smallest head dimension; 0 when there is none.
    pub fn min_head_dim(&self) -> usize {
        self.array.head_dims.iter().copied().min().unwrap_or(0)
    }

    /// Keys (or values) in one line at head dimension `d`, which is also the keys per cycle: multipliers / d.
    ///
    /// # Panics
    /// When `d` is 0.
    pub fn keys_per_line(&self, d: usize) -> usize {
        self.array.multipliers / d
    }

    /// Most keys in one line: those of the smallest head dimension.
    pub fn max_keys_per_line(&self) -> usize {
        self.keys_per_line(self.min_head_dim())
    }

    /// Bits of a line of K.
    pub fn key_line_bits(&self) -> usize {
        self.array.multipliers * self.arithmetic.key_bits
    }

    /// Bits of a line of V.
    pub fn value_line_bits(&self) -> usize {
        self.array.multipliers * self.arithmetic.value_bits
    }

    /// Bits of a line of scores.
    pub fn score_line_bits(&self) -> usize {
        self.softmax.lanes * self.formats().score_bits()
    }

    /// Lines that `keys` vectors of head dimension `d` fill.
    pub fn lines(&self, keys: usize, d: usize) -> usize {
        // A line holds at least one vector in every valid configuration; in others the rules report it.
        keys.div_ceil(self.keys_per_line(d).max(1))
    }

    /// Lines of K (or V) of the longest row at the largest head dimension.
    pub fn lines_per_longest_row(&self) -> usize {
        self.lines(self.limits.keys_per_row, self.max_head_dim())
    }

    /// Score lines of the longest row, which takes whole K lines, at the head dimension that needs most.
    pub fn score_lines_per_longest_row(&self) -> usize {
        let keys = self.limits.keys_per_row;
        let scores = |&d: &usize| self.lines(keys, d) * self.keys_per_line(d);
        let most = self.array.head_dims.iter().map(scores).max();
        most.unwrap_or(keys).div_ceil(self.softmax.lanes)
    }

    /// Keys that the K buffer holds at head dimension `d`.
    pub fn key_capacity(&self, d: usize) -> usize {
        self.buffers.key_lines * self.keys_per_line(d)
    }

    /// Values that the V buffer holds at head dimension `d`.
    pub fn value_capacity(&self, d: usize) -> usize {
        self.buffers.value_lines * self.keys_per_line(d)
    }

    /// Scores that the score ring holds.
    pub fn score_capacity(&self) -> usize {
        self.buffers.score_lines * self.softmax.lanes
    }

    /// Cycles in which the outputs of one row of head dimension `d` leave.
    pub fn output_cycles(&self, d: usize) -> usize {
        d.div_ceil(self.output.lanes)
    }

    /// Multiply-accumulates per cycle when both arrays are busy.
    pub fn peak_macs_per_cycle(&self) -> usize {
        2 * self.array.multipliers
    }

    /// Bytes per cycle when all memory channels are busy.
    pub fn peak_bytes_per_cycle(&self) -> usize {
        CHANNEL_BYTES_PER_CYCLE * self.memory.channels
    }

    /// The memories whose sizes the configuration sets directly.
    pub fn buffer_sizes(&self) -> [BufferSize; 5] {
        [
            BufferSize {
                name: "K buffer",
                depth: self.buffers.key_lines,
                width: self.key_line_bits(),
            },
            BufferSize {
                name: "V buffer",
                depth: self.buffers.value_lines,
                width: self.value_line_bits(),
            },
            BufferSize {
                name: "score ring",
                depth: self.buffers.score_lines,
                width: self.score_line_bits(),
            },
            BufferSize {
                name: "exponential ring",
                depth: self.buffers.exponential_lines,
                width: self.softmax.lanes * EXPONENTIAL_BITS,
            },
            BufferSize {
                name: "weight ring",
                depth: self.buffers.weight_lines,
                width: self.softmax.lanes * WEIGHT_BITS,
            },
        ]
    }

    /// Every derived size, in the order of `spatten check`.
    pub fn derived_sizes(&self) -> Vec<DerivedSize> {
        let mut sizes = Vec::new();
        let mut add = |name: String, value: usize, unit: &'static str| {
            sizes.push(DerivedSize { name, value, unit })
        };
        add(
            "peak rate of both arrays".into(),
            self.peak_macs_per_cycle(),
            "multiply-accumulates/cycle",
        );
        add(
            "peak memory bandwidth".into(),
            self.peak_bytes_per_cycle(),
            "bytes/cycle",
        );
        for &d in &self.array.head_dims {
            add(
                format!("keys per line and cycle, d = {d}"),
                self.keys_per_line(d),
                "keys",
            );
            add(
                format!("K buffer capacity, d = {d}"),
                self.key_capacity(d),
                "keys",
            );
            add(
                format!("V buffer capacity, d = {d}"),
                self.value_capacity(d),
                "values",
            );
            add(
                format!("output time of a row, d = {d}"),
                self.output_cycles(d),
                "cycles",
            );
        }
        add(
            "score ring capacity".into(),
            self.score_capacity(),
            "scores",
        );
        for buffer in self.buffer_sizes() {
            add(format!("{}, depth", buffer.name), buffer.depth, "lines");
            add(format!("{}, width", buffer.name), buffer.width, "bits");
            add(
                format!("{}, size", buffer.name),
                buffer.bits().div_ceil(8),
                "bytes",
            );
        }
        let formats = self.formats();
        add("score width".into(), formats.score_bits(), "bits");
        add(
            "accumulator width".into(),
            formats.accumulator_bits(),
            "bits",
        );
        add("output width".into(), formats.output_bits(), "bits");
        sizes
    }
}
