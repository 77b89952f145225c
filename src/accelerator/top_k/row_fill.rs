//! From lines to rows, and the FIFO in which rows wait for the first pass.

use crate::cells::counter::{count, ring_pointer};
use crate::cells::sram::Sram;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::{index_bits, value_bits};
use crate::{net, reg};

/// Lines of `inputs` keys become rows of `lanes` keys: several lines make a row, or one line makes several.
///
/// - Latency: 0 cycles from the line that completes a row to the row while the FIFO is empty and `first_i` is one, else 1
///   cycle from a read of the FIFO.
/// - Interval: one line or one row per cycle.
/// - Stalls: `in_ready_o` depends on registers and `open_i` only.
#[derive(Clone, Debug)]
pub struct RowFill {
    /// Bits of a key.
    pub width: usize,
    /// Keys per row, a power of two.
    pub lanes: usize,
    /// Keys per line, a power of two.
    pub inputs: usize,
    /// Rows of the FIFO, at least 1.
    pub rows: usize,
}

/// The row that a line completes.
struct Row<'m> {
    /// It is complete in this cycle.
    complete: Sig<'m>,
    data: Sig<'m>,
    live: Sig<'m>,
    /// The line's last row; `None` where a line makes no more than one.
    line_end: Option<Sig<'m>>,
}

impl RowFill {
    /// The FIFO's memory: last row's flag, mask, keys.
    pub fn memory(&self) -> Sram {
        Sram {
            width: self.lanes * (self.width + 1) + 1,
            depth: self.rows,
        }
    }

    /// Fields of a line.
    pub fn line_fields(&self) -> Vec<Field> {
        let (inputs, width) = (self.inputs, self.width);
        vec![
            Field::new("data", inputs * width, &format!("{inputs} keys u{width}")),
            Field::new("ranked", inputs, "key k takes part"),
            Field::new("last", 1, "last line of the selection"),
        ]
    }
}

impl Block for RowFill {
    fn name(&self) -> String {
        format!(
            "spatten_row_fill_w{}_l{}_i{}_n{}",
            self.width, self.lanes, self.inputs, self.rows
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Lines become rows. A row goes to the FIFO, or past it while the FIFO is empty and the first pass\n\
                      waits."
                .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("lanes", self.lanes.to_string()),
                ("inputs", self.inputs.to_string()),
                ("rows", self.rows.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let open = m.input("open", 1, "lines are taken");
        let skip = m.input("skip", 1, "their keys are not wanted");
        let first = m.input("first", 1, "the first pass takes rows");
        let first_next = m.input("first_next", 1, "it does from the next cycle on");
        let input = m.stream_in("in", &self.line_fields());
        let line = m.output("line", 1, "a line has been taken whole");
        let full_out = m.output("full", 1, "no row can be taken");
        let valid = m.output("row_valid", 1, "a row for the first pass");
        let data = m.output("row_data", self.lanes * self.width, "");
        let live = m.output("row_live", self.lanes, "lane k has a key");
        let last = m.output("row_last", 1, "last row of the selection");

        m.section("lines become rows");
        reg!(m, stored_q: value_bits(self.rows), reset = 0, "rows in the FIFO");
        net!(m, full = stored_q.is(self.rows as u64));
        full_out.drive(full);
        net!(m, room = open & !full);
        net!(m, step = input.valid & room);
        let row = if self.lanes >= self.inputs {
            self.gather(m, &input, step)
        } else {
            self.split(m, &input, step)
        };
        let at_line_end = |signal| row.line_end.map_or(signal, |end| signal & end);
        input.ready.drive(at_line_end(room));
        line.drive(at_line_end(step));
        net!(m, comes = row.complete & !skip);
        let last_row = at_line_end(input.field("last"));

        m.section("FIFO");
        reg!(m, fetched_q: 1, reset = 0, "a row leaves the FIFO");
        net!(m, fetch = (first | first_next) & stored_q.any());
        fetched_q.next(fetch);
        net!(m, direct = comes & first & !stored_q.any() & !*fetched_q);
        net!(m, store = comes & !direct);
        count(m, stored_q, store, fetch);
        let store_row = ring_pointer(m, "store_row_q", self.rows, store, "");
        let fetch_row = ring_pointer(m, "fetch_row_q", self.rows, fetch, "");
        let u_rows = m.instance("u_rows", &self.memory());
        u_rows
            .input("write_enable", store)
            .input("write_address", store_row)
            .input("write_data", m.cat(&[last_row, row.live, row.data]))
            .input("read_enable", fetch)
            .input("read_address", fetch_row);
        net!(m, word = u_rows.output("read_data"));
        valid.drive(direct | *fetched_q);
        let keys = self.lanes * self.width;
        data.drive(fetched_q.select(word.slice(0, keys), row.data));
        live.drive(fetched_q.select(word.slice(keys, self.lanes), row.live));
        last.drive(fetched_q.select(word.msb(), last_row));
    }
}

impl RowFill {
    /// Several lines make a row; lanes of lines that have not come are dead.
    fn gather<'m>(&self, m: &'m Builder, input: &crate::hdl::Stream<'m>, step: Sig<'m>) -> Row<'m> {
        let group = self.lanes / self.inputs;
        let (line, ranked, last) = (input.data(), input.field("ranked"), input.field("last"));
        if group == 1 {
            return Row {
                complete: step,
                data: line,
                live: ranked,
                line_end: None,
            };
        }
        let bits = index_bits(group);
        reg!(m, place_q: bits, reset = 0, "the next line's place in its row");
        let end = last | place_q.is(group as u64 - 1);
        net!(m, complete = step & end);
        let next = end.select(m.lit(0, bits), place_q.wrapping_add(m.lit(1, bits)));
        place_q.next_when(step, next);
        let mut data = Vec::new();
        let mut live = Vec::new();
        for place in 0..group - 1 {
            let here = place_q.is(place as u64);
            let here = m.net(&format!("here{place}"), here, "");
            let held = m.register(&format!("line{place}_q"), line.width(), None, "");
            held.next_when(step & here, line);
            let flags = m.register(&format!("ranked{place}_q"), self.inputs, None, "");
            flags.next_when(step & here, ranked);
            let after = place_q.gt(m.lit(place as u64, bits));
            data.push(here.select(line, *held));
            let before = *flags & after.repeat(self.inputs);
            live.push(here.select(ranked, before));
        }
        let at_end = place_q.is(group as u64 - 1).repeat(self.inputs);
        data.push(line);
        live.push(ranked & at_end);
        Row {
            complete,
            data: m.net("gathered", m.pack(&data), ""),
            live: m.net("gathered_live", m.pack(&live), ""),
            line_end: None,
        }
    }

    /// A line, which waits at the input, makes several rows.
    fn split<'m>(&self, m: &'m Builder, input: &crate::hdl::Stream<'m>, step: Sig<'m>) -> Row<'m> {
        let parts = self.inputs / self.lanes;
        let part = ring_pointer(m, "part_q", parts, step, "part of the line");
        let choose = |name: &str, word: Sig<'m>, width: usize| {
            let pieces: Vec<_> = (0..parts)
                .map(|k| (k as u64, word.slice(k * width, width)))
                .collect();
            let (last, others) = pieces.split_last().expect("there are parts");
            m.case(name, part, others, last.1, "")
        };
        Row {
            complete: step,
            data: choose("part_data", input.data(), self.lanes * self.width),
            live: choose("part_live", input.field("ranked"), self.lanes),
            line_end: Some(m.net("line_end", part.is(parts as u64 - 1), "")),
        }
    }
}
