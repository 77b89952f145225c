//! What heads add to their importance: the magnitudes of their outputs in a common unit.

use super::wide_product::{self, wide_product};
use crate::cells::adder_tree::AdderTree;
use crate::cells::credits::Credits;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream, Ty};
use crate::numerics::{
    HEAD_SCALE_MANTISSA_BITS, HEAD_SCALE_SHIFT_BITS, HEAD_SCORE_BITS, MAGNITUDE_BITS, value_bits,
};
use crate::{net, reg};

/// H = sum of |out| over a head's rows; its increment is min(2^40 - 1, rshr(H * mantissa, shift)). The increments of a
/// job's heads leave in lines.
///
/// - Latency: [`Self::latency`] cycles, so long as nothing waits.
/// - Interval: one output word per cycle; heads of fewer words than the way of an increment takes cycles, over
///   [`Self::HEADS_ON_THE_WAY`], wait for it.
/// - Stalls: the last word of a head stalls while increments of earlier heads wait; nothing behind it does.
#[derive(Clone, Debug)]
pub struct HeadMagnitude {
    /// Outputs of a word.
    pub output_lanes: usize,
    /// Bits of an output, signed.
    pub output_bits: usize,
    /// Increments of a line.
    pub lanes: usize,
}

impl HeadMagnitude {
    /// Heads whose increments may be under way or waiting.
    pub const HEADS_ON_THE_WAY: usize = 4;

    /// Cycles from a head's last word to the line that holds its increment.
    pub fn latency(&self) -> usize {
        let summed = 1 + self.tree().latency() + 1;
        summed + Self::increment_latency() + Fifo::LATENCY as usize
    }

    fn tree(&self) -> AdderTree {
        AdderTree::total(self.output_lanes, Ty::unsigned(self.output_bits), 2)
    }

    /// Fields of the `word` channel.
    pub fn word_fields(&self) -> Vec<Field> {
        let (lanes, bits) = (self.output_lanes, self.output_bits);
        let doc = format!("{lanes} outputs s{bits}");
        vec![
            Field::new("data", lanes * bits, &doc),
            Field::new("last", 1, "last word of the row"),
        ]
    }

    /// Fields of the `row` channel: what belongs to an output row.
    pub fn row_fields() -> Vec<Field> {
        vec![
            Field::new("head_last", 1, "last row of its head"),
            Field::new("job_last", 1, "last row of its job"),
            Field::new(
                "step_mantissa",
                HEAD_SCALE_MANTISSA_BITS,
                "the head's step of V: mantissa * 2^-shift",
            ),
            Field::new("step_shift", HEAD_SCALE_SHIFT_BITS, "its shift"),
        ]
    }

    /// Fields of the `out` channel.
    pub fn out_fields(&self) -> Vec<Field> {
        let (lanes, bits) = (self.lanes, HEAD_SCORE_BITS);
        let doc = format!("{lanes} increments u{bits}, in the order of the heads, then zeros");
        vec![
            Field::new("data", lanes * bits, &doc),
            Field::new("end", 1, "last line of the job"),
        ]
    }

    /// rshr(H * mantissa, shift), at most the largest score, some cycles after a head's magnitude, with its flags.
    fn increment<'m>(
        &self,
        m: &'m Builder,
        magnitude: Sig<'m>,
        [mantissa, shift]: [Sig<'m>; 2],
    ) -> Sig<'m> {
        let product = m.cat(&[wide_product(m, magnitude, mantissa), m.lit(0, 1)]);
        net!(m, product = product, "with a place for the half");
        let amount = delay(m, "amount", shift, wide_product::LATENCY);
        reg!(m, shifted_q = product.shift_right_by(amount));
        let one = m.lit(1, shifted_q.width());
        net!(m, rounded = shifted_q.wrapping_add(one));
        m.unused("rounded_half", rounded.bit(0), "rounded away");
        let over = rounded.slice(HEAD_SCORE_BITS + 1, rounded.width() - HEAD_SCORE_BITS - 1);
        let most = m.lit((1 << HEAD_SCORE_BITS) - 1, HEAD_SCORE_BITS);
        reg!(
            m,
            increment_q = over.any().select(most, rounded.slice(1, HEAD_SCORE_BITS))
        );
        *increment_q
    }

    /// Cycles from a head's magnitude to its increment.
    fn increment_latency() -> usize {
        wide_product::LATENCY + 2
    }
}

impl Block for HeadMagnitude {
    fn name(&self) -> String {
        format!(
            "spatten_head_magnitude_o{}_w{}_l{}",
            self.output_lanes, self.output_bits, self.lanes
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Magnitude of heads: the sum of |out| over a head's rows, times the head's step of V, is what the head\n\
                      adds to its importance.\n\
                      \n\
                      word -> |out| -> u_sum -> H -> times step -> u_increments -> lines -> out"
                .into(),
            parameters: vec![
                ("output_lanes", self.output_lanes.to_string()),
                ("output_bits", self.output_bits.to_string()),
                ("lanes", self.lanes.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let bits = self.output_bits;
        let word = m.stream_in("word", &self.word_fields());
        let row = m.stream_in("row", &Self::row_fields());
        let out = m.stream_out("out", &self.out_fields());

        m.section("a head's last word enters when its increment has a place");
        let heads = Credits::new(m, "head", Self::HEADS_ON_THE_WAY);
        let head_room = heads.available();
        let last = word.field("last");
        let head_last = row.field("head_last");
        net!(m, head_ends = last & head_last);
        net!(m, ready = row.valid & (head_room | !head_ends));
        net!(m, enter = word.valid & ready);
        word.ready.drive(ready);
        row.ready.drive(enter & last);
        net!(m, head_end = enter & head_ends);

        m.section("magnitudes of a word");
        let outputs = word.data().lanes(Ty::signed(bits)).to_vec();
        let magnitudes: Vec<_> = outputs
            .into_iter()
            .map(|x| {
                let zero = m.lit_signed(0, bits);
                x.msb().select(zero.wrapping_sub(x), x).as_unsigned()
            })
            .collect();
        reg!(m, magnitudes_q = m.pack(&magnitudes));
        reg!(m, valid_q = enter, reset = 0);
        reg!(m, head_end_q = head_end, reset = 0);
        reg!(m, job_end_q = row.field("job_last"));
        reg!(m, mantissa_q = row.field("step_mantissa"));
        reg!(m, shift_q = row.field("step_shift"));
        let tree = self.tree();
        let u_sum = m.instance("u_sum", &tree);
        u_sum.input("valid", valid_q).input("terms", *magnitudes_q);
        if tree.select_bits() > 0 {
            u_sum.input("select", m.lit(0, tree.select_bits()));
        }

        m.section("sum over the rows of a head");
        let latency = tree.latency();
        let summed = u_sum.output("valid");
        let sum = u_sum.output("sums").as_unsigned().extend(MAGNITUDE_BITS);
        let ends = delay_flag(m, "summed_end", *head_end_q, latency);
        reg!(m, magnitude_q: MAGNITUDE_BITS, reset = 0, "of the head's words so far");
        net!(m, total = magnitude_q.wrapping_add(sum));
        let none = m.lit(0, MAGNITUDE_BITS);
        magnitude_q.next_when(summed, ends.select(none, total));
        reg!(m, head_q = total);
        let known = delay_flag(m, "known", ends, 1);

        m.section("in the common unit");
        let [mantissa, shift] = [("head_mantissa", *mantissa_q), ("head_shift", *shift_q)]
            .map(|(name, value)| delay(m, name, value, latency + 1));
        let increment = self.increment(m, *head_q, [mantissa, shift]);
        let late = Self::increment_latency();
        let known = delay_flag(m, "increment_valid", known, late);
        let job_end = delay(m, "known_job_end", *job_end_q, latency + 1 + late);

        m.section("increments wait here");
        let room = m.wire("increment_room", 1, "");
        m.never(known & !*room, "an increment finds no place");
        let fields = vec![("data".to_owned(), increment), ("end".to_owned(), job_end)];
        let found = Stream::new(known, room, fields);
        let fifo = Fifo::new(found.width(), Self::HEADS_ON_THE_WAY);
        let found = m.through("u_increments", &fifo, found);

        m.section("lines of increments");
        let lane_bits = value_bits(self.lanes - 1);
        reg!(m, lane_q: lane_bits, reset = 0, "lane of the next increment");
        net!(
            m,
            line_end = found.field("end") | lane_q.is(self.lanes as u64 - 1)
        );
        net!(m, take = found.valid & (out.ready | !line_end));
        found.ready.drive(out.ready | !line_end);
        heads.count(head_end, take);
        let first = m.lit(0, lane_bits);
        let next = lane_q.wrapping_add(m.lit(1, lane_bits));
        lane_q.next_when(take, line_end.select(first, next));
        let line: Vec<_> = (0..self.lanes)
            .map(|k| {
                let here = m.net(&format!("here{k}"), lane_q.is(k as u64), "");
                let zero = m.lit(0, HEAD_SCORE_BITS);
                if k + 1 == self.lanes {
                    return here.select(found.data(), zero);
                }
                let held = m.register(&format!("held{k}_q"), HEAD_SCORE_BITS, None, "");
                held.next_when(take & here, found.data());
                let before = lane_q.gt(m.lit(k as u64, lane_bits));
                here.select(found.data(), before.select(*held, zero))
            })
            .collect();
        out.drive(
            found.valid & line_end,
            &[("data", m.pack(&line)), ("end", found.field("end"))],
        );
    }
}
