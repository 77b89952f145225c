//! Which V vectors of a row stay, as their positions.

use crate::cells::fifo::Fifo;
use crate::cells::zero_eliminator::ZeroEliminator;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream};
use crate::numerics::{index_bits, log2_exact, value_bits};
use crate::{net, reg};

/// A word of keep flags per line becomes a word of the kept keys' positions in their row, packed in the low lanes.
///
/// Every line gives a word, one of no position too, so that a receiver can follow the lines.
///
/// - Latency: [`ValueIds::LATENCY`] cycles; interval: one line per cycle, also from row to row.
/// - Stalls: ready passes combinationally from `value_id` to `line`.
#[derive(Clone, Debug)]
pub struct ValueIds {
    /// Keys per line.
    pub lanes: usize,
    /// Longest row in keys; a key at this position or beyond is never kept.
    pub max_keys: usize,
}

impl ValueIds {
    /// Cycles from a line's transfer to the first in which its positions can leave.
    pub const LATENCY: u64 = ZeroEliminator::LATENCY;

    /// Bits of a position.
    pub fn id_bits(&self) -> usize {
        index_bits(self.max_keys.max(self.lanes))
    }

    fn eliminator(&self) -> ZeroEliminator {
        ZeroEliminator {
            lanes: self.lanes,
            width: self.id_bits(),
        }
    }

    /// Fields of the `line` channel.
    pub fn line_fields(&self) -> Vec<Field> {
        vec![
            Field::new("keep", self.lanes, "key k of the line is kept"),
            Field::new("last", 1, "last line of the row"),
        ]
    }

    /// Fields of the `value_id` channel.
    pub fn id_fields(&self) -> Vec<Field> {
        let (lanes, bits) = (self.lanes, self.id_bits());
        let doc = format!("positions in the row, up to {lanes} of {bits} bits, then zeros");
        vec![
            Field::new("data", lanes * bits, &doc),
            Field::new("count", value_bits(lanes), "keys that are kept"),
            Field::new("last", 1, "last line of the row"),
        ]
    }
}

impl Block for ValueIds {
    fn name(&self) -> String {
        format!("spatten_value_ids_l{}_n{}", self.lanes, self.max_keys)
    }

    fn about(&self) -> About {
        About {
            purpose: "Positions of a row's kept keys, packed line by line, for the fetch of their V vectors.".into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("max_keys", self.max_keys.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let line = m.stream_in("line", &self.line_fields());
        let out = m.stream_out("value_id", &self.id_fields());
        let last = line.field("last");

        m.section("positions of the line's keys");
        let u_packed = m.instance("u_zero_eliminator", &self.eliminator());
        net!(m, ready = u_packed.output("in_ready"));
        net!(m, enters = line.valid & ready);
        line.ready.drive(ready);
        let ids = self.positions(m, enters, last);
        u_packed
            .input("in_valid", line.valid)
            .input("in_data", ids)
            .input("in_keep", line.field("keep"))
            .input("out_ready", out.ready);

        m.section("the end of a row goes along");
        let place = m.wire("last_ready", 1, "");
        m.never(enters & !*place, "the end of a line finds no place");
        let fields = vec![("data".into(), last)];
        let ends = Stream::new(enters, place, fields);
        // A word in each of the eliminator's two stages, and one that enters.
        let ends = m.through("u_lasts", &Fifo::new(1, 4), ends);
        net!(m, line_packed = u_packed.output("out_valid"));
        ends.ready.drive(line_packed & out.ready);
        m.unused("last_valid", ends.valid, "in step with the packed line");
        out.drive(
            line_packed,
            &[
                ("data", u_packed.output("out_data")),
                ("count", u_packed.output("out_count")),
                ("last", ends.data()),
            ],
        );
    }
}

impl ValueIds {
    /// Position of every lane's key; a row's first line begins at 0.
    fn positions<'m>(&self, m: &'m Builder, step: Sig<'m>, last: Sig<'m>) -> Sig<'m> {
        let (lanes, bits) = (self.lanes, self.id_bits());
        let lane_bits = if lanes == 1 { 0 } else { index_bits(lanes) };
        let lane = |k: usize, bits: usize| m.lit(k as u64, bits);
        // Lines of a power of two need no adders: the line's number stands above the lane's.
        let whole_bits = lanes.is_power_of_two();
        if whole_bits && bits == lane_bits {
            m.unused("line_step", m.cat(&[step, last]), "a row is one line");
            return m.pack(&(0..lanes).map(|k| lane(k, bits)).collect::<Vec<_>>());
        }
        let (counter_bits, stride) = match whole_bits {
            true => (bits - log2_exact(lanes), 1),
            false => (bits, lanes as u64),
        };
        reg!(m, line_q: counter_bits, reset = 0, "where the line begins");
        let following = line_q.wrapping_add(m.lit(stride, counter_bits));
        line_q.next_when(step, last.select(m.lit(0, counter_bits), following));
        let ids = (0..lanes).map(|k| match (whole_bits, lane_bits) {
            (true, 0) => *line_q,
            (true, _) => m.cat(&[*line_q, lane(k, lane_bits)]),
            (false, _) => line_q.wrapping_add(lane(k, bits)),
        });
        m.pack(&ids.collect::<Vec<_>>())
    }
}
