//! The exponential pass: a complete row's scores are read once, become exponentials, and give 1/S.

use super::exponent::{Exponent, ScoreLine};
use super::row_sum::RowSum;
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::credits::Credits;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::reciprocal::Reciprocal;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream, StreamOut, Ty};
use crate::numerics::{
    EXPONENTIAL_BITS, Formats, RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, SCALE_MANTISSA_BITS,
    SCALE_SHIFT_BITS,
};
use crate::{net, reg};

/// Score lines become exponential lines, which wait in the exponential ring, and 1/S per row.
///
/// - Latency: [`exponential_latency`](Self::exponential_latency) and [`row_latency`](Self::row_latency).
/// - Interval: one line per cycle, also from row to row, where `rows_in_flight` rows take [`row_cycles`](Self::row_cycles)
///   or more.
/// - Stalls: a line enters when the exponential ring has a place for it, a row's last line also when the row's 1/S has
///   one, a line of a pruning row also when the ranked ring has one; nothing behind that stalls.
///
/// No row waits for ever: what frees the places of a row's line is rows before it that are used, and lines before it
/// that are ranked, and both need nothing of later rows. So the exponential ring must hold one longest row, with
/// pruning as without.
#[derive(Clone, Debug)]
pub struct ExponentialPass {
    /// Operand formats.
    pub formats: Formats,
    /// Keys per line.
    pub lanes: usize,
    /// Lines of the exponential ring: at least those of the longest row, whose 1/S is known when all are there.
    pub exponential_lines: usize,
    /// Rows whose 1/S may be under way or waiting.
    pub rows_in_flight: usize,
    /// Whether lines of rows that prune their values go to a ranking too.
    pub value_pruning: bool,
}

impl ExponentialPass {
    pub(crate) fn exponent(&self) -> Exponent {
        Exponent {
            formats: self.formats,
        }
    }

    pub(crate) fn row_sum(&self) -> RowSum {
        RowSum { lanes: self.lanes }
    }

    /// The exponential ring.
    pub fn ring(&self) -> BankedFifo {
        BankedFifo::new(
            self.lanes * (EXPONENTIAL_BITS + 1) + 1,
            self.exponential_lines,
        )
    }

    /// The ranked ring, between the pipeline and the ranking: a line leaves every cycle, as a place is taken from a line's
    /// entry until the cycle after it has left.
    pub fn ranked_ring(&self) -> BankedFifo {
        let lines = self.exponential_latency() + 1;
        BankedFifo::new(self.ring().width, lines)
    }

    /// Cycles from the transfer of a score line to its exponentials at the ring.
    fn pipeline_latency(&self) -> usize {
        1 + self.exponent().latency()
    }

    /// Cycles from the transfer of a score line to the first in which its exponentials can leave the ring.
    pub fn exponential_latency(&self) -> usize {
        self.pipeline_latency() + BankedFifo::LATENCY as usize
    }

    /// Cycles from the transfer of a row's last score line to the first in which its 1/S can leave.
    pub fn row_latency(&self) -> usize {
        let sum = self.pipeline_latency() + self.row_sum().latency();
        sum + Reciprocal.latency() + Fifo::LATENCY as usize
    }

    /// Cycles for which a row of `lines` lines counts as in flight when its 1/S and its exponentials are taken at once:
    /// from its last score line until the cycle after its last exponentials have left. Rows come no faster than
    /// `rows_in_flight` in so many cycles.
    pub fn row_cycles(&self, lines: usize) -> usize {
        self.row_latency() + lines
    }

    /// Lines of the exponential ring with which rows of `lines` lines follow each other without an idle cycle: a row's
    /// first line keeps its place until the row is complete and its 1/S known.
    pub fn lines_at_full_speed(&self, lines: usize) -> usize {
        self.row_latency() + lines + 1
    }

    /// Fields of the `scale` channel.
    pub fn scale_fields() -> Vec<Field> {
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

    /// Fields of the `score` channel.
    pub fn score_fields(&self) -> Vec<Field> {
        let score_bits = self.formats.score_bits();
        let doc = format!("{} scores s{score_bits}", self.lanes);
        vec![
            Field::new("data", self.lanes * score_bits, &doc),
            Field::new("live", self.lanes, "score k belongs to a live key"),
            Field::new("last", 1, "last line of the row"),
        ]
    }

    /// Fields of the `maximum` channel.
    pub fn maximum_fields(&self) -> Vec<Field> {
        let doc = "the row's maximum, once all its scores are here";
        let ty = Ty::signed(self.formats.score_bits());
        vec![Field::new("data", ty, doc)]
    }

    /// Fields of the `exponential` channel.
    pub fn exponential_fields(lanes: usize) -> Vec<Field> {
        let doc = format!("{lanes} exponentials u{EXPONENTIAL_BITS}, 0 for a dead key");
        vec![
            Field::new("data", lanes * EXPONENTIAL_BITS, &doc),
            Field::new("live", lanes, "exponential k belongs to a live key"),
            Field::new("last", 1, "last line of the row"),
        ]
    }

    /// Fields of the `pruning` channel.
    pub fn pruning_fields() -> Vec<Field> {
        vec![Field::new("prunes", 1, "the row's exponentials are ranked")]
    }

    /// Fields of the `row` channel: what is known of a row when its exponentials are used.
    pub fn row_fields() -> Vec<Field> {
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

/// The streams of value pruning.
struct Ranking<'m> {
    pruning: Stream<'m>,
    ranked: StreamOut<'m>,
}

impl<'m> Ranking<'m> {
    /// Whether the row at the input is ranked.
    fn prunes(&self) -> Sig<'m> {
        self.pruning.field("prunes")
    }
}

impl Block for ExponentialPass {
    fn name(&self) -> String {
        format!(
            "spatten_exponential_pass_s{}_l{}_n{}_r{}{}",
            self.formats.score_bits(),
            self.lanes,
            self.exponential_lines,
            self.rows_in_flight,
            if self.value_pruning { "_v" } else { "" }
        )
    }

    fn about(&self) -> About {
        let ranked = match self.value_pruning {
            true => "\x20                   '-> u_ranked_ring -> ranked, of rows that prune\n",
            false => "",
        };
        About {
            purpose: format!(
                "Exponential pass: a complete row's scores become exponentials e relative to the row's maximum, which\n\
                 wait in the exponential ring while their sum S and its reciprocal are made.\n\
                 \n\
                 score -> u_exponent -> u_exponential_ring -> exponential\n\
                 {ranked}\x20                   '-> u_row_sum -> u_row_reciprocal -> u_row_fifo -> row"
            ),
            parameters: vec![
                ("score_bits", self.formats.score_bits().to_string()),
                ("lanes", self.lanes.to_string()),
                ("exponential_lines", self.exponential_lines.to_string()),
                ("rows_in_flight", self.rows_in_flight.to_string()),
                ("value_pruning", self.value_pruning.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let score = m.stream_in("score", &self.score_fields());
        let maximum = m.stream_in("maximum", &self.maximum_fields());
        let scale = m.stream_in("scale", &Self::scale_fields());
        let exponential = m.stream_out("exponential", &Self::exponential_fields(self.lanes));
        let row = m.stream_out("row", &Self::row_fields());
        let ranking = self.value_pruning.then(|| Ranking {
            pruning: m.stream_in("pruning", &Self::pruning_fields()),
            ranked: m.stream_out("ranked", &Self::exponential_fields(self.lanes)),
        });

        m.section("a line enters when its row is complete and its results have places");
        let ring = self.ring();
        let lines = Credits::new(m, "line", ring.lines());
        let rows = Credits::new(m, "row", self.rows_in_flight);
        let last = score.field("last");
        let (line_room, row_room) = (lines.available(), rows.available());
        net!(m, row_here = maximum.valid & scale.valid);
        let ready = row_here & line_room & (row_room | !last);
        let places = ranking.as_ref().map(|ranking| {
            let credits = Credits::new(m, "ranked", self.ranked_ring().lines());
            let room = credits.available() | !ranking.prunes();
            (credits, ranking.pruning.valid & room)
        });
        let ready = places.map_or(ready, |(_, room)| ready & room);
        net!(m, ready = ready);
        net!(m, issue = score.valid & ready);
        score.ready.drive(ready);
        net!(m, row_end = issue & last);
        maximum.ready.drive(row_end);
        scale.ready.drive(row_end);
        if let Some(ranking) = &ranking {
            ranking.pruning.ready.drive(row_end);
        }

        m.section("first register: behind it nothing stalls");
        reg!(m, issue_q = issue, reset = 0);
        reg!(m, last_q = last);
        let line = ScoreLine::register(m, issue, &score, &maximum, &scale);
        let exponent = self.exponent();
        let (exponentials, live) = exponent.exponentials(m, self.lanes, &line);
        let latency = exponent.latency();
        let e_valid = delay_flag(m, "e_valid", *issue_q, latency);
        let e_last = delay(m, "e_last", *last_q, latency);

        m.section("exponential ring");
        let ring_ready = m.wire("ring_ready", 1, "");
        m.never(e_valid & !ring_ready, "an exponential line found no place");
        let fields = vec![
            ("data".into(), exponentials),
            ("live".into(), live),
            ("last".into(), e_last),
        ];
        let found = Stream::new(e_valid, ring_ready, fields);
        let found = m.through("u_exponential_ring", &ring, found);
        lines.count(issue, found.valid & exponential.ready);
        exponential.connect(found);

        if let (Some(ranking), Some((credits, _))) = (&ranking, places) {
            m.section("lines of a pruning row, for the ranking");
            net!(m, ranked_issue = issue & ranking.prunes());
            let ranked_valid = delay_flag(m, "ranked_valid", ranked_issue, 1 + latency);
            let ranked_ready = m.wire("ranked_ring_ready", 1, "");
            m.never(ranked_valid & !ranked_ready, "a ranked line found no place");
            let fields = vec![
                ("data".into(), exponentials),
                ("live".into(), live),
                ("last".into(), e_last),
            ];
            let line = Stream::new(ranked_valid, ranked_ready, fields);
            let line = m.through("u_ranked_ring", &self.ranked_ring(), line);
            credits.count(ranked_issue, line.valid & ranking.ranked.ready);
            ranking.ranked.connect(line);
        }

        m.section("sum of the row and its reciprocal");
        let line = (exponentials, e_valid, e_last);
        let done = self
            .row_sum()
            .reciprocals(m, "row", line, self.rows_in_flight);
        rows.count(row_end, done.valid & row.ready);
        row.connect(done);
    }
}
