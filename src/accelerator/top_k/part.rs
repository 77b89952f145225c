//! One of the three parts that a pass makes: the zero eliminator, the FIFO of rows, and three samples.

use crate::cells::counter::ring_next;
use crate::cells::prefix_sum::PrefixSum;
use crate::cells::sram::Sram;
use crate::cells::zero_eliminator::ZeroEliminator;
use crate::hdl::{About, Block, Builder, Sig};
use crate::numerics::{index_bits, log2_exact, value_bits};
use crate::{net, reg};

/// FIFO_L, FIFO_M or FIFO_R: keys of a part packed into rows of `lanes`, the last 1 to `lanes` of them in a register, the
/// tail, in front of the memory.
///
/// - Latency: [`Part::LATENCY`] cycles from a row to the tail and the rows it becomes, 1 from `read_i` to the row read.
/// - Interval: 1 cycle.
/// - Stalls: none; what enters fits because no part has more keys than the selection.
#[derive(Clone, Debug)]
pub struct Part {
    /// Bits of a key.
    pub width: usize,
    /// Keys per row, a power of two.
    pub lanes: usize,
    /// Rows of the memory, at least 1.
    pub rows: usize,
}

impl Part {
    /// Cycles from a row at the input to the tail.
    pub const LATENCY: u64 = 2;

    /// Bits of the number of keys in the tail.
    pub fn tail_bits(&self) -> usize {
        value_bits(self.lanes)
    }

    fn eliminator(&self) -> ZeroEliminator {
        ZeroEliminator {
            lanes: self.lanes,
            width: self.width,
        }
    }

    /// The rows' memory.
    pub fn memory(&self) -> Sram {
        Sram {
            width: self.lanes * self.width,
            depth: self.rows,
        }
    }
}

impl Block for Part {
    fn name(&self) -> String {
        format!(
            "spatten_part_w{}_l{}_n{}",
            self.width, self.lanes, self.rows
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Part of a quick-select pass: the kept lanes of every row are packed behind the tail; when it is more\n\
                      than full, a row goes to the memory.\n\
                      \n\
                      in -> u_dropped -> packed -> rotated to the tail's end -> tail -> u_rows -> row"
                .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("lanes", self.lanes.to_string()),
                ("rows", self.rows.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let Part { width, lanes, .. } = *self;
        let begin = m.input("begin", 1, "a pass begins: the tail has been taken");
        let source = m.input(
            "source",
            1,
            "with begin: the rows in memory are still to be read",
        );
        let valid = m.input("valid", 1, "a row of the pass");
        let data = m.input("data", lanes * width, "");
        let keep = m.input("keep", lanes, "lane k belongs to this part");
        let read = m.input("read", 1, "the next row leaves the memory");
        let row = m.output("row", lanes * width, "row read last");
        let tail = m.output("tail", lanes * width, "last keys, the low lanes first");
        let tail_count = m.output("tail_count", self.tail_bits(), "keys in the tail");
        let samples = ["smallest", "median", "largest"].map(|which| {
            m.output(
                &format!("{which}_sample"),
                width,
                "of three keys of the part",
            )
        });

        m.section("how far each kept lane moves");
        let sums = PrefixSum { lanes };
        let u_dropped = m.instance("u_dropped", &sums);
        u_dropped.input("flags", !keep);
        let all = m.lit(lanes as u64, sums.count_bits());
        let kept = all.wrapping_sub(u_dropped.output("total"));
        reg!(m, packed_valid_q = valid, reset = 0);
        reg!(m, packed_count_q = kept);
        reg!(m, keep_q = keep);
        reg!(m, data_q = data);
        let (packed_valid, packed_count) = (*packed_valid_q, *packed_count_q);
        let eliminator = self.eliminator();
        let moves = eliminator.moves(m, u_dropped.output("counts"), m.lit(1, 1));

        m.section("kept lanes packed");
        let packed = eliminator.pack(m, *data_q, *keep_q, &moves);
        net!(m, packed_data = packed);

        m.section("rotated to the end of the tail");
        let bits = self.tail_bits();
        reg!(m, tail_count_q: bits, reset = 0);
        let rotated = self.rotated(m, packed_data, *tail_count_q);
        let sum = *tail_count_q + packed_count;
        net!(m, total = sum);
        let full = m.lit(lanes as u64, total.width());
        net!(m, overflow = packed_valid & total.gt(full));
        reg!(m, tail_q: lanes * width);
        let old = tail_q.lanes(width).to_vec();
        let joined: Vec<_> = (0..lanes)
            .map(|k| {
                let taken = tail_count_q.gt(m.lit(k as u64, bits));
                taken.select(old[k], rotated[k])
            })
            .collect();
        net!(
            m,
            joined = m.pack(&joined),
            "tail and new keys as far as they fit"
        );
        tail_q.next_when(packed_valid, overflow.select(m.pack(&rotated), joined));
        let low = total.slice(0, bits);
        let rest = low.wrapping_sub(m.lit(lanes as u64, bits));
        let left = overflow.select(rest, low);
        let none = m.lit(0, bits);
        tail_count_q.next_when(begin | packed_valid, begin.select(none, left));
        m.never(
            begin & packed_valid,
            "a pass begins before the last has ended",
        );
        tail.drive(tail_q);
        tail_count.drive(tail_count_q);

        m.section("rows that the tail has overflowed into");
        let address_bits = index_bits(self.rows);
        net!(m, restart = begin & !source);
        let write_row = self.pointer(m, "write_row_q", overflow, restart, address_bits);
        let read_row = self.pointer(m, "read_row_q", read, restart, address_bits);
        let u_rows = m.instance("u_rows", &self.memory());
        u_rows
            .input("write_enable", overflow)
            .input("write_address", write_row)
            .input("write_data", joined)
            .input("read_enable", read)
            .input("read_address", read_row);
        row.drive(u_rows.output("read_data"));

        m.section(
            "samples: the lowest key of the first row, of the last power of two, of the last",
        );
        let rows_bits = value_bits(self.rows);
        reg!(m, seen_q: rows_bits, reset = 0, "rows so far with a key of this part");
        net!(m, sampled = packed_valid & packed_count.any());
        let one = m.lit(1, rows_bits);
        let none = m.lit(0, rows_bits);
        seen_q.next_when(
            begin | sampled,
            begin.select(none, seen_q.wrapping_add(one)),
        );
        net!(m, first = !seen_q.any());
        net!(
            m,
            power = !(*seen_q & seen_q.wrapping_sub(one)).any(),
            "none or a power of two"
        );
        let key = packed_data.slice(0, width);
        let [first, middle, last] = [
            ("first_q", sampled & first),
            ("middle_q", sampled & power),
            ("last_q", sampled),
        ]
        .map(|(name, when)| {
            let sample = m.register(name, width, None, "");
            sample.next_when(when, key);
            *sample
        });
        net!(m, first_middle = first.lt(middle), "first < middle");
        net!(m, first_last = first.lt(last), "first < last");
        net!(m, middle_last = middle.lt(last), "middle < last");
        let smallest = first_middle.select(
            first_last.select(first, last),
            middle_last.select(middle, last),
        );
        let median = first_middle.select(
            middle_last.select(middle, first_last.select(last, first)),
            first_last.select(first, middle_last.select(last, middle)),
        );
        let largest = first_middle.select(
            middle_last.select(last, middle),
            first_last.select(last, first),
        );
        reg!(m, smallest_q = smallest);
        reg!(m, median_q = median);
        reg!(m, largest_q = largest);
        for (output, sample) in samples
            .into_iter()
            .zip([*smallest_q, *median_q, *largest_q])
        {
            output.drive(sample);
        }
    }
}

impl Part {
    /// Lane k of the result is lane k - `amount` of `word`, modulo the lanes.
    fn rotated<'m>(&self, m: &'m Builder, word: Sig<'m>, amount: Sig<'m>) -> Vec<Sig<'m>> {
        let n = self.lanes;
        let mut lanes = word.lanes(self.width).to_vec();
        for layer in 0..log2_exact(n) {
            let reach = 1 << layer;
            let moves = amount.bit(layer);
            let moved: Vec<_> = (0..n)
                .map(|k| moves.select(lanes[(k + n - reach) % n], lanes[k]))
                .collect();
            let word = m.net(&format!("rotated{}", 2 * reach), m.pack(&moved), "");
            lanes = word.lanes(self.width).to_vec();
        }
        lanes
    }

    /// A pointer into the rows that can be set back to the first.
    fn pointer<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        step: Sig<'m>,
        restart: Sig<'m>,
        bits: usize,
    ) -> Sig<'m> {
        let pointer = m.register(name, bits, Some(0), "");
        let next = ring_next(m, *pointer, self.rows);
        let first = m.lit(0, bits);
        pointer.next_when(step | restart, restart.select(first, next));
        *pointer
    }
}
