//! The use pass: once a row's 1/S is known, its exponentials are read once, in order, for everything made of them.

use super::exponential_pass::ExponentialPass;
use super::weights::Weights;
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::credits::Credits;
use crate::cells::fifo::Fifo;
use crate::hdl::{About, Block, Builder, Field, Stream};
use crate::numerics::{EXPONENTIAL_BITS, WEIGHT_BITS};
use crate::{net, reg};

/// Exponential lines become weight lines, which wait in the weight ring; the row's 1/S goes along.
///
/// - Latency: [`weight_latency`](Self::weight_latency) and [`reciprocal_latency`](Self::reciprocal_latency).
/// - Interval: one line per cycle, also from row to row.
/// - Stalls: a line enters when the weight ring has a place for it, a row's last line also when the row's 1/S has one;
///   nothing behind that stalls.
#[derive(Clone, Debug)]
pub struct UsePass {
    /// Keys per line.
    pub lanes: usize,
    /// Lines of the weight ring.
    pub weight_lines: usize,
    /// Rows whose 1/S may wait for the outputs.
    pub rows_in_flight: usize,
}

impl UsePass {
    pub(crate) fn weights(&self) -> Weights {
        Weights { lanes: self.lanes }
    }

    /// The weight ring.
    pub fn ring(&self) -> BankedFifo {
        BankedFifo::new(self.lanes * WEIGHT_BITS, self.weight_lines)
    }

    /// Cycles from the transfer of an exponential line to the first in which its weights can leave the ring.
    pub fn weight_latency(&self) -> usize {
        1 + self.weights().latency() + BankedFifo::LATENCY as usize
    }

    /// Cycles from the transfer of a row's last exponential line to the first in which its 1/S can leave.
    pub fn reciprocal_latency(&self) -> usize {
        1 + Fifo::LATENCY as usize
    }

    /// Lines of the weight ring with which one line leaves per cycle: a line keeps its place from its entry until the
    /// cycle after its weights have left.
    pub fn lines_at_full_speed(&self) -> usize {
        self.weight_latency() + 1
    }

    /// Fields of the `weight` channel.
    pub fn weight_fields(lanes: usize) -> Vec<Field> {
        let doc = format!("{lanes} weights u{WEIGHT_BITS}");
        vec![Field::new("data", lanes * WEIGHT_BITS, &doc)]
    }
}

impl Block for UsePass {
    fn name(&self) -> String {
        format!(
            "spatten_use_pass_l{}_n{}_r{}",
            self.lanes, self.weight_lines, self.rows_in_flight
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Use pass: the exponentials of a row whose 1/S is known are read once, in order, and become the\n\
                      weights of its V vectors.\n\
                      \n\
                      exponential -> u_weights -> u_weight_ring -> weight\n\
                      row ---------> u_reciprocal_fifo ---------> reciprocal"
                .into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("weight_lines", self.weight_lines.to_string()),
                ("rows_in_flight", self.rows_in_flight.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let exponential = m.stream_in(
            "exponential",
            &ExponentialPass::exponential_fields(self.lanes),
        );
        let row = m.stream_in("row", &ExponentialPass::row_fields());
        let weight = m.stream_out("weight", &Self::weight_fields(self.lanes));
        let reciprocal = m.stream_out("reciprocal", &ExponentialPass::row_fields());

        m.section("a line enters when its row's 1/S is known and its results have places");
        let ring = self.ring();
        let lines = Credits::new(m, "line", ring.lines());
        let rows = Credits::new(m, "row", self.rows_in_flight);
        let last = exponential.field("last");
        let (line_room, row_room) = (lines.available(), rows.available());
        net!(m, ready = row.valid & line_room & (row_room | !last));
        net!(m, issue = exponential.valid & ready);
        exponential.ready.drive(ready);
        net!(m, row_end = issue & last);
        row.ready.drive(row_end);

        m.section("the line and its row: behind this register nothing stalls");
        reg!(m, valid_q = issue, reset = 0);
        reg!(m, row_end_q = row_end, reset = 0);
        reg!(m, last_q = last);
        reg!(m, e_q = exponential.field("data"), when = issue);
        reg!(m, live_q = exponential.field("live"), when = issue);
        reg!(m, r_q = row.field("r"));
        reg!(m, k_q = row.field("k"));
        let e = e_q.lanes(EXPONENTIAL_BITS).to_vec();
        let dead: Vec<_> = (0..self.lanes)
            .map(|k| e[k].any() & !live_q.bit(k))
            .collect();
        m.never(
            *valid_q & m.pack(&dead).any(),
            "a dead key has an exponential",
        );

        m.section("weights by error feedback");
        let u_weights = m.instance("u_weights", &self.weights());
        u_weights
            .input("e", e_q)
            .input("valid", valid_q)
            .input("last", last_q);
        let found = u_weights.output("valid");
        let ring_ready = m.wire("ring_ready", 1, "");
        m.never(found & !ring_ready, "a weight line found no place");
        let data = vec![("data".into(), u_weights.output("weight"))];
        let found = Stream::new(found, ring_ready, data);
        let found = m.through("u_weight_ring", &ring, found);
        lines.count(issue, found.valid & weight.ready);
        weight.connect(found);

        m.section("1/S goes to the outputs with the row's last line");
        let row_ready = m.wire("reciprocal_ready", 1, "");
        m.never(*row_end_q & !row_ready, "a reciprocal found no place");
        let fields = vec![("r".into(), *r_q), ("k".into(), *k_q)];
        let known = Stream::new(*row_end_q, row_ready, fields);
        let fifo = Fifo::new(known.width(), self.rows_in_flight);
        let known = m.through("u_reciprocal_fifo", &fifo, known);
        rows.count(row_end, known.valid & reciprocal.ready);
        reciprocal.connect(known);
    }
}
