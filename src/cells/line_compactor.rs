//! Line compactor: partly filled lines become full ones.

use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::value_bits;
use crate::{net, reg};

/// The elements of lines with 0 to `lanes` elements each, in order, in as few lines as possible: all are full but the last
/// of a sequence, which is empty only where the sequence is.
///
/// - Latency: 1 cycle; interval: 1 cycle, one more after a sequence whose end does not fit in one line.
/// - Stalls: ready passes combinationally from `out` to `in`.
#[derive(Clone, Debug)]
pub struct LineCompactor {
    /// Elements of a line, at least 1.
    pub lanes: usize,
    /// Bits of an element.
    pub width: usize,
}

/// Golden model: the elements of one sequence in lines of `lanes`; one empty line for none.
pub fn golden(lanes: usize, lines: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let elements = lines.concat();
    match elements.is_empty() {
        true => vec![Vec::new()],
        false => elements.chunks(lanes).map(<[_]>::to_vec).collect(),
    }
}

impl LineCompactor {
    /// Cycles from the line that shows that a full line is not the last one, or from the last, to the line out.
    pub const LATENCY: u64 = 1;

    /// Bits of a number of elements.
    pub fn count_bits(&self) -> usize {
        value_bits(self.lanes)
    }

    /// Fields of both channels.
    pub fn fields(&self) -> Vec<Field> {
        let doc = format!("{} elements of {} bits", self.lanes, self.width);
        vec![
            Field::new("data", self.lanes * self.width, &doc),
            Field::new(
                "count",
                self.count_bits(),
                "elements, in the low lanes; the others are zero",
            ),
            Field::new("last", 1, "last line of the sequence"),
        ]
    }

    /// Lane k of the result is lane k - `amount` of `word`, modulo the lanes.
    fn rotated<'m>(&self, m: &'m Builder, word: Sig<'m>, amount: Sig<'m>) -> Vec<Sig<'m>> {
        let (n, lanes) = (self.lanes, word.lanes(self.width).to_vec());
        (0..n)
            .map(|k| {
                let arms: Vec<_> = (1..n)
                    .map(|amount| (amount as u64, lanes[(k + n - amount) % n]))
                    .collect();
                match arms.is_empty() {
                    true => lanes[k],
                    false => m.case(&format!("rotated{k}"), amount, &arms, lanes[k], ""),
                }
            })
            .collect()
    }
}

impl Block for LineCompactor {
    fn name(&self) -> String {
        format!("spatten_line_compactor_n{}_w{}", self.lanes, self.width)
    }

    fn about(&self) -> About {
        About {
            purpose: "Line compactor: the elements of partly filled lines leave in full lines, in order; the last line of\n\
                      a sequence holds the rest."
                .into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("width", self.width.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (n, bits) = (self.lanes, self.count_bits());
        let input = m.stream_in("in", &self.fields());
        let out = m.stream_out("out", &self.fields());
        let (count, last) = (input.field("count"), input.field("last"));

        m.section("a line joins what is held; what does not fit is held, and leaves by itself after the last line");
        reg!(m, valid_q: 1, reset = 0);
        reg!(m, flush_q: 1, reset = 0, "what is held leaves");
        reg!(m, held_count_q: bits, reset = 0, "elements held: at most a line");
        reg!(m, held_q: n * self.width);
        net!(m, room = out.ready | !*valid_q);
        net!(m, take = input.valid & room & !*flush_q);
        net!(m, flush = *flush_q & room);
        input.ready.drive(room & !*flush_q);
        net!(m, total = *held_count_q + count);
        let lanes = m.lit(n as u64, bits + 1);
        net!(m, over = total.gt(lanes));
        net!(m, rest = total.wrapping_sub(lanes), "at most a line");
        m.unused("rest_high", rest.msb(), "at most a line");
        flush_q.next_when(take | flush, take & last & over);
        let rest = rest.slice(0, bits);
        net!(m, low = total);
        let low_bits = low.slice(0, bits);
        m.unused("low_high", low.msb(), "at most a line where it is wanted");
        let left = over.select(rest, low_bits);
        let none = m.lit(0, bits);
        let ended = flush_q.select(m.lit(1, 1), last & !over);
        held_count_q.next_when(take | flush, ended.select(none, left));

        m.section("lanes");
        let rotated = self.rotated(m, input.data(), *held_count_q);
        let held = held_q.lanes(self.width).to_vec();
        let joined: Vec<_> = (0..n)
            .map(|k| {
                let taken = held_count_q.gt(m.lit(k as u64, bits));
                taken.select(held[k], rotated[k])
            })
            .collect();
        let rotated = m.pack(&rotated);
        net!(
            m,
            joined = m.pack(&joined),
            "held elements and new ones as far as they fit"
        );
        held_q.next_when(take, over.select(rotated, joined));

        m.section("output register");
        net!(m, leaves = flush | (take & (over | last)));
        valid_q.next_when(room, leaves);
        let most = m.lit(n as u64, bits);
        net!(
            m,
            amount = flush_q.select(*held_count_q, over.select(most, low_bits))
        );
        let leaving = flush_q.select(*held_q, joined).lanes(self.width).to_vec();
        let leaving: Vec<_> = (0..n)
            .map(|k| leaving[k] & amount.gt(m.lit(k as u64, bits)).repeat(self.width))
            .collect();
        reg!(m, data_q = m.pack(&leaving), when = leaves);
        reg!(m, count_q = amount, when = leaves);
        reg!(m, last_q = *flush_q | (last & !over), when = leaves);
        out.drive(
            valid_q,
            &[("data", *data_q), ("count", *count_q), ("last", *last_q)],
        );
    }
}
