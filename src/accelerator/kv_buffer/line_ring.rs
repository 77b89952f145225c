//! RTL of the ring of K or V lines: which lines are in use, which row reads which of them, and when they are free.

use super::line_column::{LineColumn, PARITIES};
use crate::accelerator::shape::ArrayShape;
use crate::cells::counter::{count, ring_next, ring_pointer};
use crate::hdl::{About, Block, Builder, Field, Reg, Sig, Stream, Wire};
use crate::numerics::{index_bits, value_bits};
use crate::{net, reg};

/// A ring of K or V lines that are filled chunk by chunk, in any order, and read row by row.
///
/// A line is taken into use by `allocate`, which tells the columns that will be filled; its chunks arrive on the fill
/// channels of these columns. Every row of a head reads the head's lines from the first one, each when it and all lines
/// before it are complete; the head's last row, which releases it, frees each line as it passes. A head of one row
/// streams through.
///
/// - Latency: [`LATENCY`](super::LineBuffer::LATENCY) from the step that reads a line, and
///   [`FILL_LATENCY`](super::LineBuffer::FILL_LATENCY) from its last fill.
/// - Interval: one line per cycle, also from row to row; an even and an odd line filled per column and cycle.
/// - Stalls: the memories hold the word read; `line_ready_i` reaches their enables, and the `ready` of the fills, in the
///   same cycle.
#[derive(Clone, Debug)]
pub struct LineRing {
    /// Array that the lines feed.
    pub shape: ArrayShape,
    /// Bits of an element.
    pub element_bits: usize,
    /// Lines of the ring: a multiple of [`LineColumn::BANKS`].
    pub lines: usize,
    /// Longest row in keys.
    pub keys_per_row: usize,
}

impl LineRing {
    /// The part of the ring behind one chunk of the array.
    pub fn column(&self) -> LineColumn {
        LineColumn {
            chunk_bits: self.shape.min_dim() * self.element_bits,
            lines: self.lines,
        }
    }

    /// Bits of a line.
    pub fn line_bits(&self) -> usize {
        self.shape.multipliers * self.element_bits
    }

    /// Names of a column's fill channels, for even and for odd lines.
    pub fn fill_names(column: usize) -> [String; 2] {
        PARITIES.map(|parity| format!("{parity}_fill{column}"))
    }

    /// Fields of the `allocate` channel.
    pub fn allocate_fields(&self) -> Vec<Field> {
        let doc = "chunk c of the line will be filled";
        vec![Field::new("columns", self.shape.chunks(), doc)]
    }

    /// Fields of the `row` channel.
    pub fn row_fields(&self) -> Vec<Field> {
        let bits = value_bits(self.keys_per_row);
        let keys_doc = "keys of the head, whose lines the last row frees; not used in other rows";
        vec![
            self.shape.level_field(),
            Field::new("live", bits, "live keys of the row: the head's first ones"),
            Field::new("release", 1, "last row of its head"),
            Field::new("keys", bits, keys_doc),
        ]
    }

    /// Fields of the `line` channel.
    pub fn line_fields(&self) -> Vec<Field> {
        let doc = format!(
            "line: {} elements of {} bits; vectors that are no live keys are undefined",
            self.shape.multipliers, self.element_bits
        );
        vec![
            Field::new("data", self.line_bits(), &doc),
            Field::new(
                "live",
                self.shape.chunks(),
                "vector k of the line is a live key",
            ),
            Field::new("last", 1, "last line of the row"),
        ]
    }

    /// Name and banner of this and of the block around it.
    pub(super) fn name_of(&self, block: &str) -> String {
        format!(
            "spatten_{block}_{}_w{}_n{}_k{}",
            self.shape.name(),
            self.element_bits,
            self.lines,
            self.keys_per_row
        )
    }

    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = self.shape.parameters();
        parameters.push(("element_bits", self.element_bits.to_string()));
        parameters.push(("lines", self.lines.to_string()));
        parameters.push(("keys_per_row", self.keys_per_row.to_string()));
        parameters
    }
}

impl Block for LineRing {
    fn name(&self) -> String {
        self.name_of("line_ring")
    }

    fn about(&self) -> About {
        About {
            purpose: "Ring of K or V lines. A line is taken into use by `allocate`; its chunks arrive column by column, in\n\
                      any order. Each row of a head reads the head's lines from the first one, each line when it and all\n\
                      before it are complete. The head's last row frees the lines as it passes them."
                .into(),
            parameters: self.parameters(),
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let address_bits = index_bits(self.lines);
        let allocate = m.stream_in("allocate", &self.allocate_fields());
        let allocated_line = m.output("allocate_line", address_bits, "the line taken into use");
        let fill_fields = self.column().fill_fields();
        let fills: Vec<[Stream; 2]> = (0..self.shape.chunks())
            .map(|c| Self::fill_names(c).map(|name| m.stream_in(&name, &fill_fields)))
            .collect();
        let row = m.stream_in("row", &self.row_fields());
        let out = m.stream_out("line", &self.line_fields());

        m.section("lines in use");
        let held = self.counter(m, "held_q", "lines taken into use and not yet free");
        net!(m, room = held.lt(m.lit(self.lines as u64, held.width())));
        net!(m, take = allocate.valid & room);
        allocate.ready.drive(room);
        let take_line = ring_pointer(m, "take_line_q", self.lines, take, "line to take next");
        allocated_line.drive(take_line);
        let free = m.wire("free", 1, "the releasing row has passed a line");
        count(m, held, take, *free);

        let is_odd = take_line.bit(0);
        let completion = self.completion(m, [take & !is_odd, take & is_odd]);
        let complete = self.counter(
            m,
            "complete_q",
            "lines complete, as all before them, and not yet free",
        );
        count(m, complete, completion.advance, *free);

        let step = m.wire("step", 1, "the row passes a line");
        let walk = self.walk(m, &row, *step);

        m.section("where the row is in the ring");
        let release = row.field("release");
        reg!(m, base_q: address_bits, reset = 0, "first line of the head");
        reg!(m, read_line_q: address_bits, reset = 0);
        let index = self.counter(m, "index_q", "lines that the row has passed");
        net!(m, next_line = ring_next(m, *read_line_q, self.lines));
        let first_line = release.select(next_line, *base_q);
        read_line_q.next_when(*step, walk.ends.select(first_line, next_line));
        base_q.next_when(*step & walk.ends & release, next_line);
        let none = m.lit(0, index.width());
        let one = m.lit(1, index.width());
        index.next_when(*step, walk.ends.select(none, index.wrapping_add(one)));
        free.drive(*step & release);

        m.section("a complete line is passed, and read if the row shows it");
        // A releasing row has freed the lines that it has passed.
        net!(
            m,
            ready = release.select(complete.any(), complete.gt(*index))
        );
        reg!(m, line_valid_q: 1, reset = 0);
        net!(m, proceeds = out.ready | !line_valid_q | !walk.shown);
        step.drive(row.valid & ready & proceeds);
        net!(m, read = *step & walk.shown);
        line_valid_q.next(read | (line_valid_q & !out.ready));
        row.ready.drive(*step & walk.ends);
        reg!(m, live_q = walk.live, when = read);
        reg!(m, last_q = walk.last, when = read);
        let keys = row.field("keys");
        m.never(
            row.valid & release & (keys.lt(row.field("live")) | !keys.any()),
            "a head has no key, or fewer than live ones",
        );

        m.section("columns");
        let mut looked_at = [Vec::new(), Vec::new()];
        let mut chunks = Vec::new();
        for (c, fills) in fills.into_iter().enumerate() {
            let u_column = m
                .instance(&format!("u_column{c}"), &self.column())
                .input("take", take)
                .input("take_line", take_line)
                .input("awaited", allocate.field("columns").bit(c))
                .input("read", read)
                .input("read_line", *read_line_q);
            for (parity, fill) in fills.into_iter().enumerate() {
                let name = PARITIES[parity];
                u_column
                    .feed(&format!("{name}_fill"), fill)
                    .input(&format!("{name}_look"), completion.look[parity]);
                looked_at[parity].push(u_column.output(&format!("{name}_complete")));
            }
            chunks.push(u_column.output("data"));
        }
        for (found, looked_at) in completion.found.into_iter().zip(looked_at) {
            found.drive(m.pack(&looked_at).all());
        }
        out.drive(
            line_valid_q,
            &[
                ("data", m.pack(&chunks)),
                ("live", *live_q),
                ("last", *last_q),
            ],
        );
    }
}

/// Which line is the first that is not complete.
struct Completion<'m> {
    /// Half of the even and of the odd line that is looked at.
    look: [Sig<'m>; 2],
    /// To be driven: all its chunks are there.
    found: [Wire<'m>; 2],
    /// One more line is complete.
    advance: Sig<'m>,
}

impl LineRing {
    /// A count of lines of the ring, none after reset.
    fn counter<'m>(&self, m: &'m Builder, name: &str, doc: &str) -> Reg<'m> {
        m.register(name, value_bits(self.lines), Some(0), doc)
    }

    /// Finds complete lines in order, one per cycle: the next even and the next odd one are looked at in turn, for a
    /// look takes two cycles.
    fn completion<'m>(&self, m: &'m Builder, takes: [Sig<'m>; 2]) -> Completion<'m> {
        m.section("complete lines, in order: an even and an odd one are looked at in turn");
        reg!(m, odd_q: 1, reset = 0, "the first line that is not complete is odd");
        let halves = self.lines / 2;
        let mut look = Vec::new();
        let mut wires = Vec::new();
        let mut advances = Vec::new();
        for (parity, take) in takes.into_iter().enumerate() {
            let name = |what: &str| format!("{}_{what}", PARITIES[parity]);
            let found = m.wire(
                &name("found"),
                1,
                "nothing is awaited for the line looked at",
            );
            let seen = m.register(&name("found_q"), 1, None, "");
            seen.next(*found);
            let is_its_turn = if parity == 0 { !*odd_q } else { *odd_q };
            let looked = m.register(
                &name("looked_q"),
                1,
                Some(0),
                "the look is at a line in use",
            );
            let advance = m.net(&name("advance"), is_its_turn & *looked & *seen, "");
            let open = m.register(
                &name("open_q"),
                value_bits(halves),
                Some(0),
                "lines in use that are not known to be complete",
            );
            let take = m.net(&name("take"), take, "");
            count(m, open, take, advance);
            // Right after an advance both are still of the line before, but then it is the other parity's turn.
            looked.next(open.any());
            look.push(ring_pointer(
                m,
                &name("look_q"),
                halves,
                advance,
                "half of the line looked at",
            ));
            wires.push(found);
            advances.push(advance);
        }
        net!(m, advance = advances[0] | advances[1]);
        odd_q.next_when(advance, !*odd_q);
        Completion {
            look: [look[0], look[1]],
            found: [wires[0], wires[1]],
            advance,
        }
    }
}

/// What a row asks of the line that it has come to.
struct Walk<'m> {
    /// The line goes to the output: only a releasing row passes more lines than it shows.
    shown: Sig<'m>,
    /// A flag per chunk: vector k of the line is a live key.
    live: Sig<'m>,
    /// It is the row's last line at the output.
    last: Sig<'m>,
    /// It is the last line that the row passes.
    ends: Sig<'m>,
}

impl LineRing {
    /// Counts the keys of the row down, a line per step.
    fn walk<'m>(&self, m: &'m Builder, row: &Stream<'m>, step: Sig<'m>) -> Walk<'m> {
        let chunks = self.shape.chunks();
        let level = row.field("level");
        let live = row.field("live");
        m.section("keys of the row that are left: live ones, and those of its lines to pass");
        reg!(m, first_q: 1, reset = 1, "the next line is the row's first");
        reg!(m, live_left_q: live.width());
        reg!(m, keys_left_q: live.width());
        net!(m, live_left = first_q.select(live, *live_left_q));
        net!(
            m,
            keys = row.field("release").select(row.field("keys"), live)
        );
        net!(m, keys_left = first_q.select(keys, *keys_left_q));
        let per_line = self
            .shape
            .by_level(m, "per_line", level, "keys per line", |l| {
                m.lit(self.shape.vectors_per_line(l) as u64, value_bits(chunks))
            });
        // Wide enough for one more than either, so that no comparison is constant.
        let bits = value_bits(self.keys_per_row.max(chunks) + 1);
        let within = |left: Sig<'m>| left.extend(bits).le(per_line.extend(bits));
        let less = |left: Sig<'m>| {
            let less = left.extend(bits).wrapping_sub(per_line.extend(bits));
            less.truncate(live.width())
        };
        net!(m, last = within(live_left));
        net!(m, ends = within(keys_left));
        reg!(m, shown_q: 1, reset = 1, "the row has not yet shown all its live keys");
        shown_q.next_when(step, ends | !last);
        first_q.next_when(step, ends);
        let none = m.lit(0, live.width());
        live_left_q.next_when(step, last.select(none, less(live_left)));
        keys_left_q.next_when(step, less(keys_left));

        m.section("which vectors of the line are live keys");
        let among = m.net(
            "among",
            self.among(m, live_left),
            "vector k is among those left",
        );
        let fits =
            self.shape
                .by_level(m, "fits", level, "vector k exists at this dimension", |l| {
                    let vectors = self.shape.vectors_per_line(l);
                    m.lit_big((num_bigint::BigUint::from(1u8) << vectors) - 1u8, chunks)
                });
        Walk {
            shown: *shown_q,
            live: among & fits,
            last,
            ends,
        }
    }

    /// Vector k of the line is among the `left` ones.
    fn among<'m>(&self, m: &'m Builder, left: Sig<'m>) -> Sig<'m> {
        let chunks = self.shape.chunks();
        let bits = value_bits(chunks.max(self.keys_per_row));
        let flags: Vec<_> = (0..chunks)
            .map(|k| {
                if k < self.keys_per_row {
                    left.extend(bits).gt(m.lit(k as u64, bits))
                } else {
                    // No row has more keys than the longest: a comparison with them would be constant.
                    m.lit(0, 1)
                }
            })
            .collect();
        m.pack(&flags)
    }
}
