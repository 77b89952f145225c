//! RTL of the K and V line buffer.

use crate::accelerator::shape::ArrayShape;
use crate::cells::sram::Sram;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::{index_bits, value_bits};
use crate::{net, reg};

/// A ring of K or V lines that every row of a head reads from the head's first line.
#[derive(Clone, Debug)]
pub struct LineBuffer {
    /// Array that the lines feed.
    pub shape: ArrayShape,
    /// Bits of an element.
    pub element_bits: usize,
    /// Lines of the ring, at least 2.
    pub lines: usize,
    /// Longest row in keys.
    pub keys_per_row: usize,
}

impl LineBuffer {
    /// Cycles from the step that reads a line to the line at the output. A row leaves its channel with its last step.
    pub const LATENCY: u64 = 1;

    /// Cycles from the transfer of a line in to the same line at the output, where a row waits for it.
    pub const FILL_LATENCY: u64 = 2;

    /// Bits of a line.
    pub fn line_bits(&self) -> usize {
        self.shape.multipliers * self.element_bits
    }

    /// Fields of the `row` channel.
    pub fn row_fields(&self) -> Vec<Field> {
        let lines_doc = "lines of the head, freed with its last row";
        vec![
            self.shape.level_field(),
            Field::new(
                "live",
                value_bits(self.keys_per_row),
                "live keys of the row",
            ),
            Field::new("release", 1, "last row of its head"),
            Field::new("lines", value_bits(self.lines), lines_doc),
        ]
    }
}

impl Block for LineBuffer {
    fn name(&self) -> String {
        format!(
            "spatten_line_buffer_{}_w{}_n{}_k{}",
            self.shape.name(),
            self.element_bits,
            self.lines,
            self.keys_per_row
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.push(("element_bits", self.element_bits.to_string()));
        parameters.push(("lines", self.lines.to_string()));
        parameters.push(("keys_per_row", self.keys_per_row.to_string()));
        About {
            purpose: "K or V line buffer: a ring of lines that is filled head by head; each row of a head reads the\n\
                      head's lines from the first one, and the head's last row frees them."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let chunks = self.shape.chunks();
        let address_bits = index_bits(self.lines);
        let count_bits = value_bits(self.lines);
        let line_doc = format!(
            "line: {} elements of {} bits",
            self.shape.multipliers, self.element_bits
        );
        let fill = m.stream_in("fill", &[Field::new("data", self.line_bits(), &line_doc)]);
        let row = m.stream_in("row", &self.row_fields());
        let out = m.stream_out(
            "line",
            &[
                Field::new("data", self.line_bits(), &line_doc),
                Field::new("live", chunks, "vector k of the line is a live key"),
                Field::new("last", 1, "last line of the row"),
            ],
        );
        let level = row.field("level");
        let live = row.field("live");
        let release = row.field("release");
        let head_lines = row.field("lines");

        m.section("ring: lines held from the head's first one on");
        reg!(m, write_address_q: address_bits, reset = 0);
        reg!(m, base_q: address_bits, reset = 0, "first line of the head");
        reg!(m, held_q: count_bits, reset = 0);
        net!(m, room = held_q.lt(m.lit(self.lines as u64, count_bits)));
        net!(m, write = fill.valid & room);
        fill.ready.drive(room);
        write_address_q.next_when(
            write,
            self.advance(m, "write", *write_address_q, m.lit(1, count_bits)),
        );

        m.section("reading: one line per step, from the head's first line");
        reg!(m, index_q: count_bits, reset = 0, "lines of the row already read");
        reg!(m, read_address_q: address_bits, reset = 0);
        reg!(m, left_q: live.width(), "keys of the row not yet read");
        reg!(m, first_q: 1, reset = 1, "the next line is the row's first");
        let left = m.net("left", first_q.select(live, *left_q), "");
        let per_line = self
            .shape
            .by_level(m, "per_line", level, "keys per line", |l| {
                m.lit(self.shape.vectors_per_line(l) as u64, value_bits(chunks))
            });
        // Wide enough for one more than either, so that no comparison is constant.
        let bits = value_bits(self.keys_per_row.max(chunks) + 1);
        let last = m.net("last", left.extend(bits).le(per_line.extend(bits)), "");
        // A releasing row ends when all lines of its head are there, so that the ring never frees what will still come.
        // Both comparisons go on beside the one behind `last`.
        net!(m, head_filled = held_q.ge(head_lines));
        net!(m, line_filled = held_q.gt(*index_q));
        net!(
            m,
            filled = (last & release).select(head_filled, line_filled)
        );
        reg!(m, line_valid_q: 1, reset = 0);
        net!(m, read = row.valid & filled & (out.ready | !line_valid_q));
        line_valid_q.next(read | (line_valid_q & !out.ready));
        row.ready.drive(read & last);
        let next_index = index_q.wrapping_add(m.lit(1, count_bits));
        index_q.next_when(read, last.select(m.lit(0, count_bits), next_index));
        let left_after = left.extend(bits).wrapping_sub(per_line.extend(bits));
        left_q.next_when(read, left_after.truncate(live.width()));
        first_q.next_when(read, last);

        m.section("freeing");
        net!(m, free = read & last & release);
        // What depends on `free`, the slowest signal, is ready for either value.
        let one = m.lit(1, count_bits);
        let [freed, kept] = [held_q.wrapping_sub(head_lines), *held_q]
            .map(|held| write.select(held.wrapping_add(one), held));
        held_q.next(free.select(freed, kept));
        let next_base = self.advance(m, "base", *base_q, head_lines);
        base_q.next_when(free, next_base);
        let first_address = release.select(next_base, *base_q);
        let next_address = self.advance(m, "read", *read_address_q, one);
        read_address_q.next_when(read, last.select(first_address, next_address));

        m.section("which vectors of the line are live keys");
        let mut flags = Vec::new();
        for k in 0..chunks {
            // No row has more keys than the longest: a comparison with them would be constant.
            flags.push(if k < self.keys_per_row {
                let k_bits = value_bits(chunks.max(self.keys_per_row));
                left.extend(k_bits).gt(m.lit(k as u64, k_bits))
            } else {
                m.lit(0, 1)
            });
        }
        let among = m.net("among", m.pack(&flags), "vector k is among the keys left");
        let fits =
            self.shape
                .by_level(m, "fits", level, "vector k exists at this dimension", |l| {
                    let vectors = self.shape.vectors_per_line(l);
                    m.lit_big((num_bigint::BigUint::from(1u8) << vectors) - 1u8, chunks)
                });
        reg!(m, live_q = among & fits, when = read);
        reg!(m, last_q = last, when = read);

        m.section("memory");
        let sram = Sram {
            width: self.line_bits(),
            depth: self.lines,
        };
        let u_lines = m.instance("u_lines", &sram);
        u_lines
            .input("write_enable", write)
            .input("write_address", write_address_q)
            .input("write_data", fill.data())
            .input("read_enable", read)
            .input("read_address", read_address_q);
        let data = u_lines.output("read_data");
        out.drive(
            line_valid_q,
            &[("data", data), ("live", *live_q), ("last", *last_q)],
        );
    }
}

impl LineBuffer {
    /// `address + step` in the ring; `step` is at most the number of lines.
    fn advance<'m>(&self, m: &'m Builder, name: &str, address: Sig<'m>, step: Sig<'m>) -> Sig<'m> {
        let address_bits = address.width();
        let sum = m.net(&format!("{name}_sum"), address + step, "");
        if self.lines.is_power_of_two() {
            let high = sum.slice(address_bits, sum.width() - address_bits);
            m.unused(&format!("{name}_carry"), high, "the ring is a power of two");
            return sum.slice(0, address_bits);
        }
        let lines = m.lit(self.lines as u64, sum.width());
        let wrapped = sum.wrapping_sub(lines).truncate(address_bits);
        sum.ge(lines).select(wrapped, sum.truncate(address_bits))
    }
}
