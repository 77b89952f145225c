//! RTL of `softmax`.

use super::exponent::Exponent;
use super::weights::Weights;
use crate::cells::credits::Credits;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::reciprocal::Reciprocal;
use crate::cells::sram_fifo::SramFifo;
use crate::hdl::{About, Block, Builder, Field, Stream, Ty};
use crate::net;
use crate::numerics::{
    EXPONENTIAL_BITS, Formats, RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, SCALE_MANTISSA_BITS,
    SCALE_SHIFT_BITS, WEIGHT_BITS,
};

/// Score lines of a row become weights for V and the reciprocal of their sum.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// Operand formats.
    pub formats: Formats,
    /// Keys per line.
    pub lanes: usize,
    /// Lines of the score ring: at least those of the longest row.
    pub score_lines: usize,
    /// Rows whose reciprocal may be under way or waiting.
    pub rows_in_flight: usize,
}

impl Softmax {
    pub(crate) fn exponent(&self) -> Exponent {
        Exponent {
            formats: self.formats,
        }
    }

    fn weights(&self) -> Weights {
        Weights { lanes: self.lanes }
    }

    /// Cycles from taking a line out of the ring to its weights.
    pub fn pipeline_latency(&self) -> usize {
        self.exponent().latency() + self.weights().latency()
    }

    /// Cycles from the transfer of a score line to the first in which its weights can leave, when the row's maximum
    /// and scale are there and nothing stalls.
    pub fn latency(&self) -> usize {
        SramFifo::LATENCY as usize + self.pipeline_latency() + Fifo::LATENCY as usize
    }

    /// Cycles from the transfer of a row's last score line to the first in which its reciprocal can leave, likewise.
    pub fn reciprocal_latency(&self) -> usize {
        self.latency() + Reciprocal.latency()
    }

    /// Cycles for which a row counts as in flight when nothing stalls: from its last line's leaving the ring until its
    /// reciprocal has left. Rows of few lines come no faster than `rows_in_flight` in so many cycles.
    pub fn row_cycles(&self) -> usize {
        self.pipeline_latency() + Reciprocal.latency() + Fifo::LATENCY as usize + 1
    }

    /// Lines of a row from which on the rows in flight keep the pipeline full: one line per cycle.
    pub fn least_lines_at_full_speed(&self) -> usize {
        self.row_cycles().div_ceil(self.rows_in_flight)
    }

    /// Fields of the `scale` channel.
    pub fn scale_fields(&self) -> Vec<Field> {
        vec![
            Field::new(
                "mantissa",
                SCALE_MANTISSA_BITS,
                "score to exponent, [2^15, 2^16)",
            ),
            Field::new("pre", SCALE_SHIFT_BITS, "shift before the product"),
            Field::new("post", SCALE_SHIFT_BITS, "shift after the product"),
        ]
    }

    /// Fields of the `weight` channel.
    pub fn weight_fields(&self) -> Vec<Field> {
        let doc = format!("{} weights u{WEIGHT_BITS}", self.lanes);
        vec![Field::new("data", self.lanes * WEIGHT_BITS, &doc)]
    }

    /// Fields of the `reciprocal` channel.
    pub fn reciprocal_fields() -> Vec<Field> {
        vec![
            Field::new(
                "r",
                RECIPROCAL_BITS,
                "1/S = r * 2^-(k + 18); 0 for an empty row",
            ),
            Field::new("k", RECIPROCAL_EXPONENT_BITS, "floor(log2 S)"),
        ]
    }
}

impl Block for Softmax {
    fn name(&self) -> String {
        format!(
            "spatten_softmax_s{}_l{}_n{}_r{}",
            self.formats.score_bits(),
            self.lanes,
            self.score_lines,
            self.rows_in_flight
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Softmax with deferred normalisation: a row's scores wait in the score ring until their maximum is\n\
                      known; then each becomes a weight e relative to the maximum, and 1/S follows once per row."
                .into(),
            parameters: vec![
                ("score_bits", self.formats.score_bits().to_string()),
                ("lanes", self.lanes.to_string()),
                ("score_lines", self.score_lines.to_string()),
                ("rows_in_flight", self.rows_in_flight.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let score_bits = self.formats.score_bits();
        let score_doc = format!("{} scores s{score_bits}", self.lanes);
        let score = m.stream_in(
            "score",
            &[
                Field::new("data", self.lanes * score_bits, &score_doc),
                Field::new("live", self.lanes, "score k belongs to a live key"),
                Field::new("last", 1, "last line of the row"),
            ],
        );
        let maximum_doc = "the row's maximum, once all its scores are here";
        let maximum = m.stream_in(
            "maximum",
            &[Field::new("data", Ty::signed(score_bits), maximum_doc)],
        );
        let scale = m.stream_in("scale", &self.scale_fields());
        let weight = m.stream_out("weight", &self.weight_fields());
        let reciprocal = m.stream_out("reciprocal", &Self::reciprocal_fields());

        m.section("score ring");
        let ring = SramFifo {
            width: score.width(),
            depth: self.score_lines,
        };
        let line = m.through("u_score_ring", &ring, score);

        m.section("a line leaves when its row is complete and its results have places behind the pipeline");
        // Weights come out long before their row's reciprocal; they wait here for it without holding up the rows behind.
        let waiting = Reciprocal.latency() + 2;
        let weight_fifo = Fifo::new(self.lanes * WEIGHT_BITS, self.pipeline_latency() + waiting);
        let lines = Credits::new(m, "weight", weight_fifo.depth);
        let rows = Credits::new(m, "row", self.rows_in_flight);
        let last = line.field("last");
        let room = lines.available();
        let row_room = rows.available();
        net!(
            m,
            row_here = maximum.valid & scale.valid & room & (row_room | !last)
        );
        net!(m, issue = line.valid & row_here);
        line.ready.drive(row_here);
        net!(m, row_end = issue & last);
        maximum.ready.drive(row_end);
        scale.ready.drive(row_end);

        m.section("exponentials");
        let exponent = self.exponent();
        let exponentials = m.wire("exponentials", self.lanes * EXPONENTIAL_BITS, "e of key k");
        let scores = m
            .net("scores", line.field("data"), "")
            .lanes(Ty::signed(score_bits));
        let live = m.net("live", line.field("live"), "").lanes(1);
        let row_maximum = maximum.data();
        let mantissa = delay(
            m,
            "mantissa",
            scale.field("mantissa"),
            Exponent::MANTISSA_AT,
        );
        let pre = delay(m, "pre", scale.field("pre"), Exponent::PRE_AT);
        let post = delay(m, "post", scale.field("post"), exponent.post_at());
        m.generate("g_exponent", self.lanes, |k| {
            let u_exponent = m.instance("u_exponent", &exponent);
            u_exponent
                .input("score", scores.at(k))
                .input("live", live.at(k))
                .input("maximum", row_maximum)
                .input("mantissa", mantissa)
                .input("pre", pre)
                .input("post", post);
            exponentials.drive_lane(k, u_exponent.output("e"));
        });

        m.section("weights and the row's sum");
        let latency = exponent.latency();
        let u_weights = m.instance("u_weights", &self.weights());
        u_weights
            .input("e", exponentials)
            .input("valid", delay_flag(m, "e_valid", issue, latency))
            .input("last", delay(m, "e_last", last, latency));
        let weight_valid = u_weights.output("valid");
        let weight_ready = m.wire("weight_ready", 1, "");
        m.never(weight_valid & !weight_ready, "a weight line found no place");
        let data = vec![("data".into(), u_weights.output("weight"))];
        let found = Stream::new(weight_valid, weight_ready, data);
        let found = m.through("u_weight_fifo", &weight_fifo, found);
        lines.count(issue, found.valid & weight.ready);
        weight.connect(found);

        m.section("reciprocal of the sum");
        let u_reciprocal = m.instance("u_reciprocal", &Reciprocal);
        net!(m, sum_valid = weight_valid & u_weights.output("last"));
        u_reciprocal
            .input("valid", sum_valid)
            .input("sum", u_weights.output("sum"));
        let done = u_reciprocal.output("valid");
        let done_ready = m.wire("reciprocal_ready", 1, "");
        m.never(done & !done_ready, "a reciprocal found no place");
        let fields = vec![
            ("r".into(), u_reciprocal.output("r")),
            ("k".into(), u_reciprocal.output("k")),
        ];
        let reciprocal_fifo = Fifo::new(
            RECIPROCAL_BITS + RECIPROCAL_EXPONENT_BITS,
            self.rows_in_flight,
        );
        let found = Stream::new(done, done_ready, fields);
        let found = m.through("u_reciprocal_fifo", &reciprocal_fifo, found);
        rows.count(row_end, found.valid & reciprocal.ready);
        reciprocal.connect(found);
    }
}
