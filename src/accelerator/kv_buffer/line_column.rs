//! RTL of one column of the K and V buffer: a chunk of every line, in banks of single-port memory.

use crate::cells::sram::SinglePortSram;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::index_bits;
use crate::{net, reg};

/// A chunk of every line of the ring, and which of them are there.
///
/// - Latency: 1 cycle from a read to the chunk, which stays until the next read; a chunk taken counts as filled, and
///   can be read, from the next cycle on.
/// - Interval: one even and one odd line filled, and one line read, per cycle.
/// - Stalls: a fill of the bank that is read waits.
#[derive(Clone, Debug)]
pub struct LineColumn {
    /// Bits of a chunk.
    pub chunk_bits: usize,
    /// Lines of the ring: a multiple of [`BANKS`](Self::BANKS).
    pub lines: usize,
}

/// Even and odd lines are filled side by side: they never meet in a bank.
pub(super) const PARITIES: [&str; 2] = ["even", "odd"];

impl LineColumn {
    /// Single-port memories: line n stands in bank n % 4.
    pub const BANKS: usize = 4;

    /// Bits of a line's number within the ring.
    pub fn line_bits(&self) -> usize {
        index_bits(self.lines)
    }

    /// Bits of half a line's number, which tells the lines of one parity apart.
    pub fn half_bits(&self) -> usize {
        self.line_bits() - 1
    }

    /// Fields of a fill channel, `even_fill` or `odd_fill`.
    pub fn fill_fields(&self) -> Vec<Field> {
        vec![
            Field::new("half", self.half_bits(), "line / 2"),
            Field::new("data", self.chunk_bits, "the line's chunk in this column"),
        ]
    }

    /// One of the memories.
    pub fn bank(&self) -> SinglePortSram {
        SinglePortSram {
            width: self.chunk_bits,
            depth: self.lines / Self::BANKS,
        }
    }

    /// Row of a line in its bank: the bits of its number from `low` on.
    fn row_of<'m>(&self, m: &'m Builder, line: Sig<'m>, low: usize) -> Sig<'m> {
        match self.bank().depth {
            1 => m.lit(0, 1),
            _ => line.slice(low, line.width() - low),
        }
    }

    /// `enable` at the place of `row`, zeros elsewhere.
    fn one_hot<'m>(&self, enable: Sig<'m>, row: Sig<'m>) -> Sig<'m> {
        match self.bank().depth {
            1 => enable,
            rows => enable.extend(rows).shift_left_by(row),
        }
    }
}

impl Block for LineColumn {
    fn name(&self) -> String {
        format!("spatten_line_column_w{}_n{}", self.chunk_bits, self.lines)
    }

    fn about(&self) -> About {
        About {
            purpose: "Column of the K or V buffer: one chunk of every line of the ring, line n in bank n % 4, and a flag\n\
                      per line that nothing is awaited here any more. Fills of even and of odd lines go to different banks;\n\
                      a fill of the bank that is read waits for the next cycle."
                .into(),
            parameters: vec![
                ("chunk_bits", self.chunk_bits.to_string()),
                ("lines", self.lines.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        assert!(
            self.lines > 0 && self.lines.is_multiple_of(Self::BANKS),
            "a ring has whole rows of {} banks, not {} lines",
            Self::BANKS,
            self.lines
        );
        let line_bits = self.line_bits();
        let take = m.input("take", 1, "a line is taken into use");
        let take_line = m.input("take_line", line_bits, "");
        let awaited = m.input("awaited", 1, "its chunk in this column will be filled");
        let fields = self.fill_fields();
        let fills = PARITIES.map(|parity| m.stream_in(&format!("{parity}_fill"), &fields));
        let looks = PARITIES.map(|parity| {
            let doc = format!("half of the {parity} line that is looked at");
            m.input(&format!("{parity}_look"), self.half_bits(), &doc)
        });
        let complete = PARITIES.map(|parity| {
            let doc = "nothing is awaited for the line looked at";
            m.output(&format!("{parity}_complete"), 1, doc)
        });
        let read = m.input("read", 1, "");
        let read_line = m.input("read_line", line_bits, "");
        let data_out = m.output("data", self.chunk_bits, "chunk of the last read");

        net!(m, take_bank = take_line.slice(0, 2));
        net!(m, read_bank = read_line.slice(0, 2));
        let take_row = self.row_of(m, take_line, 2);
        let read_row = self.row_of(m, read_line, 2);
        let mut words = Vec::new();
        let mut flags = Vec::new();
        for bank in 0..Self::BANKS {
            m.section(&format!("bank {bank}"));
            let number = bank as u64;
            let name = |what: &str| format!("{what}{bank}");
            let fill = &fills[bank % 2];
            let half = fill.field("half");
            let upper = half.bit(0);
            let meant = if bank < 2 { !upper } else { upper };
            let reads = m.net(&name("read"), read & read_bank.is(number), "");
            let writes = m.net(&name("write"), fill.valid & meant & !reads, "");
            let write_row = self.row_of(m, half, 1);
            let memory = m
                .instance(&format!("u_bank{bank}"), &self.bank())
                .input("enable", writes | reads)
                .input("write", writes)
                .input("address", writes.select(write_row, read_row))
                .input("write_data", fill.field("data"));
            words.push(memory.output("read_data"));

            let doc = "row k: nothing is awaited, from the line's taking into use or its fill on";
            let filled = m.register(&format!("filled{bank}_q"), self.bank().depth, None, doc);
            let takes = m.net(&name("take"), take & take_bank.is(number), "");
            let taken = self.one_hot(takes, take_row);
            let open = self.one_hot(takes & !awaited, take_row);
            let written = self.one_hot(writes, write_row);
            filled.next_when(takes | writes, (*filled & !taken) | open | written);
            flags.push(*filled);
        }

        m.section("a fill waits while its bank is read");
        for (parity, fill) in (0..).zip(&fills) {
            let bank = m.pack(&[m.lit(parity, 1), fill.field("half").bit(0)]);
            fill.ready.drive(!(read & read_bank.equals(bank)));
        }

        m.section("the lines looked at");
        for (parity, (look, complete)) in looks.into_iter().zip(complete).enumerate() {
            let row = self.one_hot(m.lit(1, 1), self.row_of(m, look, 1));
            let row = m.net(&format!("{}_row", PARITIES[parity]), row, "one-hot");
            let of_bank = |bank: usize| (flags[bank] & row).any();
            complete.drive(look.bit(0).select(of_bank(parity + 2), of_bank(parity)));
        }

        m.section("the line read last");
        reg!(m, bank_q = read_bank, when = read);
        let arms: Vec<_> = (0..).zip(words).collect();
        let (last, others) = arms.split_last().expect("there are banks");
        data_out.drive(m.case("word", *bank_q, others, last.1, ""));
    }
}
