//! RTL of the K and V line buffer: the ring of lines, filled by a stream of whole lines.

use super::line_ring::LineRing;
use crate::cells::counter::{count, ring_pointer};
use crate::hdl::{About, Block, Builder, Field, Stream};
use crate::numerics::value_bits;
use crate::{net, reg};

/// Lines taken into use ahead of their fill: with two, a line enters in every cycle.
const AHEAD: usize = 2;

/// A [`LineRing`] that takes whole lines, one per cycle, in order.
///
/// - Latency: [`LATENCY`](Self::LATENCY) and [`FILL_LATENCY`](Self::FILL_LATENCY).
/// - Interval: one line in and one line out per cycle; a line waits while its bank is read.
#[derive(Clone, Debug)]
pub struct LineBuffer {
    /// The ring.
    pub ring: LineRing,
}

impl LineBuffer {
    /// Cycles from the step that reads a line to the line at the output. A row leaves its channel with the last line
    /// that it passes.
    pub const LATENCY: u64 = 1;

    /// Cycles from the transfer of a line in to the same line at the output, where a row waits for it.
    pub const FILL_LATENCY: u64 = 4;
}

impl Block for LineBuffer {
    fn name(&self) -> String {
        self.ring.name_of("line_buffer")
    }

    fn about(&self) -> About {
        About {
            purpose: "K or V line buffer: a ring of lines that is filled head by head, a whole line per transfer, and read\n\
                      row by row. A line waits while the bank that it goes to is read."
                .into(),
            parameters: self.ring.parameters(),
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let ring = &self.ring;
        let line_doc = format!(
            "line: {} elements of {} bits",
            ring.shape.multipliers, ring.element_bits
        );
        let fill = m.stream_in("fill", &[Field::new("data", ring.line_bits(), &line_doc)]);
        let row = m.stream_in("row", &ring.row_fields());
        let out = m.stream_out("line", &ring.line_fields());

        let u_ring = m.instance("u_ring", ring);
        u_ring.feed("row", row);
        out.connect(u_ring.stream("line"));

        m.section("lines are taken into use ahead of their fill");
        let has_room = u_ring.output("allocate_ready");
        reg!(m, ahead_q: value_bits(AHEAD), reset = 0, "lines taken into use and not yet filled");
        net!(m, takes = ahead_q.lt(m.lit(AHEAD as u64, ahead_q.width())));
        u_ring
            .input("allocate_valid", takes)
            .input("allocate_columns", m.lit(1, 1).repeat(ring.shape.chunks()))
            .ignore("allocate_line", "taken and filled in the same order");

        m.section("a line fills every column in one cycle");
        net!(m, offered = fill.valid & ahead_q.any());
        let bank_free = m.wire("bank_free", 1, "the bank that the line goes to is not read");
        net!(m, filled = offered & *bank_free);
        let line = ring_pointer(m, "fill_line_q", ring.lines, filled, "line to fill next");
        net!(m, odd = line.bit(0));
        net!(m, half = line.slice(1, line.width() - 1));
        let chunks = fill.data().lanes(ring.column().chunk_bits).to_vec();
        let mut readies = Vec::new();
        for (c, chunk) in chunks.iter().enumerate() {
            let valids = [offered & !odd, offered & odd];
            for (name, valid) in LineRing::fill_names(c).into_iter().zip(valids) {
                let ready = m.wire(&format!("{name}_ready"), 1, "");
                let fields = vec![("half".into(), half), ("data".into(), *chunk)];
                u_ring.feed(&name, Stream::new(valid, ready, fields));
                readies.push(*ready);
            }
        }
        // All columns read the same bank, so the first one speaks for all.
        let (of_first, others) = readies.split_at(2);
        if !others.is_empty() {
            m.unused("others_ready", m.pack(others), "as the first column's");
        }
        bank_free.drive(odd.select(of_first[1], of_first[0]));
        fill.ready.drive(ahead_q.any() & *bank_free);
        count(m, ahead_q, takes & has_room, filled);
    }
}
