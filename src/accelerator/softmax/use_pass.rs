//! The use pass: once a row's 1/S is known, its exponentials are read once, in order, for everything made of them.

use super::exponential_pass::ExponentialPass;
use super::row_sum::RowSum;
use super::value_ids::ValueIds;
use super::value_ranking::ValueRanking;
use super::weights::Weights;
use crate::accelerator::importance::Probability;
use crate::accelerator::top_k::FirstEquals;
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::credits::Credits;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::reciprocal::Reciprocal;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream, StreamOut};
use crate::numerics::{EXPONENTIAL_BITS, PROBABILITY_BITS, WEIGHT_BITS};
use crate::{net, reg};

/// Exponential lines become weight lines, which wait in the weight ring; the row's 1/S goes along.
///
/// - Latency: [`weight_latency`](Self::weight_latency) and [`reciprocal_latency`](Self::reciprocal_latency).
/// - Interval: one line per cycle, also from row to row.
/// - Stalls: a line enters when the weight ring has a place for it, a row's last line also when the row's 1/S has one;
///   nothing behind that stalls. A row that prunes its values starts when its threshold is known, too, and its lines
///   need places for their kept keys' positions.
#[derive(Clone, Debug)]
pub struct UsePass {
    /// Keys per line.
    pub lanes: usize,
    /// Lines of the weight ring.
    pub weight_lines: usize,
    /// Rows whose 1/S may wait for the outputs.
    pub rows_in_flight: usize,
    /// Longest row in keys, where values are pruned; `None` for hardware without value pruning.
    pub pruned_keys: Option<usize>,
}

impl UsePass {
    /// Lines of kept keys under way or waiting to be packed into positions: one leaves per cycle.
    const ID_LINES: usize = 8;

    /// Cycles from the exponentials in the first register to those of the kept keys alone: compared with the threshold,
    /// then counted where they equal it.
    const FILTER_LATENCY: usize = 2;

    pub(crate) fn weights(&self) -> Weights {
        Weights { lanes: self.lanes }
    }

    /// Positions of the kept keys, where values are pruned.
    pub fn value_ids(&self) -> Option<ValueIds> {
        let lanes = self.lanes;
        self.pruned_keys
            .map(|max_keys| ValueIds { lanes, max_keys })
    }

    fn filter_latency(&self) -> usize {
        self.pruned_keys.map_or(0, |_| Self::FILTER_LATENCY)
    }

    /// The weight ring.
    pub fn ring(&self) -> BankedFifo {
        BankedFifo::new(self.lanes * WEIGHT_BITS, self.weight_lines)
    }

    /// Cycles from the transfer of an exponential line to the first in which its weights can leave the ring.
    pub fn weight_latency(&self) -> usize {
        1 + self.filter_latency() + self.weights().latency() + BankedFifo::LATENCY as usize
    }

    /// Cycles from the transfer of a row's last exponential line to the first in which its 1/S can leave.
    pub fn reciprocal_latency(&self) -> usize {
        let chosen = self.pruned_keys.map_or(0, |_| Fifo::LATENCY as usize);
        1 + Fifo::LATENCY as usize + chosen
    }

    /// Cycles from the transfer of the last exponential line of a row that is divided by the sum of its kept
    /// exponentials to the first in which that reciprocal can leave.
    pub fn renormalised_latency(&self) -> usize {
        let sum = RowSum { lanes: self.lanes };
        let of_sum = sum.latency() + Reciprocal.latency();
        1 + self.filter_latency() + of_sum + Fifo::LATENCY as usize
    }

    /// Cycles from the transfer of an exponential line to the first in which its kept keys' positions can leave.
    pub fn id_latency(&self) -> usize {
        let stages = 1 + self.filter_latency();
        stages + Fifo::LATENCY as usize + ValueIds::LATENCY as usize
    }

    /// Fields of the `mode` channel: how a row prunes its values.
    pub fn mode_fields() -> Vec<Field> {
        vec![
            Field::new("prunes", 1, "a threshold says which values stay"),
            Field::new("renormalise", 1, "of a pruning row: divide by the kept sum"),
        ]
    }

    /// Lines of the weight ring with which one line leaves per cycle: a line keeps its place from its entry until the
    /// cycle after its weights have left.
    pub fn lines_at_full_speed(&self) -> usize {
        self.weight_latency() + 1
    }

    /// Lines of probabilities under way or waiting: those of the pipeline, and enough to hand one on per cycle.
    pub const PROBABILITY_LINES: usize = 10;

    /// Cycles from the transfer of an exponential line to the first in which its probabilities can leave.
    pub fn probability_latency(&self) -> usize {
        1 + Probability.latency() + Fifo::LATENCY as usize
    }

    /// Fields of the `probability` channel.
    pub fn probability_fields(lanes: usize) -> Vec<Field> {
        let doc = format!("{lanes} probabilities UQ0.{PROBABILITY_BITS}, 0 for a dead key");
        vec![
            Field::new("data", lanes * PROBABILITY_BITS, &doc),
            Field::new("last", 1, "last line of the row"),
        ]
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
            "spatten_use_pass_l{}_n{}_r{}{}",
            self.lanes,
            self.weight_lines,
            self.rows_in_flight,
            self.pruned_keys
                .map_or(String::new(), |keys| format!("_v{keys}"))
        )
    }

    fn about(&self) -> About {
        let pruned = match self.pruned_keys {
            Some(_) => {
                "\n\nOf a row that prunes its values only the keys that its threshold keeps get a weight:\n\
                 \n\
                 threshold -> u_first_equals -> u_weights; u_value_ids -> value_id;\n\
                 \x20            u_kept_sum -> u_kept_reciprocal -> u_kept_fifo -> reciprocal"
            }
            None => "",
        };
        let pruned_keys = self.pruned_keys.map_or("none".into(), |k| k.to_string());
        About {
            purpose: format!(
                "Use pass: the exponentials of a row whose 1/S is known are read once, in order, and become the\n\
                 weights of its V vectors.\n\
                 \n\
                 exponential -> u_weights -> u_weight_ring -> weight\n\
                 \x20           '-> u_probability -> u_probability_fifo -> probability\n\
                 row ---------> u_reciprocal_fifo ---------> reciprocal{pruned}"
            ),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("weight_lines", self.weight_lines.to_string()),
                ("rows_in_flight", self.rows_in_flight.to_string()),
                ("pruned_keys", pruned_keys),
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
        let probability = m.stream_out("probability", &Self::probability_fields(self.lanes));
        let pruning = self.pruned_keys.map(|keys| Pruning::new(m, self, keys));

        m.section("a line enters when its row's 1/S is known and its results have places");
        let ring = self.ring();
        let lines = Credits::new(m, "line", ring.lines());
        let rows = Credits::new(m, "row", self.rows_in_flight);
        let probabilities = Credits::new(m, "probability", Self::PROBABILITY_LINES);
        let last = exponential.field("last");
        let (line_room, row_room) = (lines.available(), rows.available());
        let probability_room = probabilities.available();
        let ready = row.valid & line_room & probability_room & (row_room | !last);
        let ready = pruning.as_ref().map_or(ready, |p| ready & p.known);
        net!(m, ready = ready);
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

        let line = Line {
            issue,
            valid: *valid_q,
            last: *last_q,
            e: *e_q,
            live: *live_q,
        };
        let found = self.probabilities(m, line, [*r_q, *k_q]);
        probabilities.count(issue, found.valid & probability.ready);
        probability.connect(found);

        let kept = match &pruning {
            Some(pruning) => self.keep(m, pruning, row_end, line),
            None => Kept {
                line,
                renormalises: None,
            },
        };

        m.section("weights by error feedback");
        let u_weights = m.instance("u_weights", &self.weights());
        u_weights
            .input("e", kept.line.e)
            .input("valid", kept.line.valid)
            .input("last", kept.line.last);
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
        let mut fields = vec![("r".into(), *r_q), ("k".into(), *k_q)];
        if let Some((renormalises, _)) = kept.renormalises {
            fields.push(("renormalises".into(), renormalises));
        }
        let known = Stream::new(*row_end_q, row_ready, fields);
        let fifo = Fifo::new(known.width(), self.rows_in_flight);
        let known = m.through("u_reciprocal_fifo", &fifo, known);
        let known = match kept.renormalises {
            Some((_, of_line)) => self.renormalised(m, known, kept.line, of_line),
            None => known,
        };
        rows.count(row_end, known.valid & reciprocal.ready);
        reciprocal.connect(known);
    }
}

/// An exponential line in one stage of the pipeline.
#[derive(Clone, Copy)]
struct Line<'m> {
    /// It enters the first register.
    issue: Sig<'m>,
    valid: Sig<'m>,
    last: Sig<'m>,
    e: Sig<'m>,
    live: Sig<'m>,
}

/// The exponentials that become weights.
struct Kept<'m> {
    line: Line<'m>,
    /// Where values are pruned, whether the row is divided by the sum of its kept exponentials: of the row in the first
    /// register, and of the line here.
    renormalises: Option<(Sig<'m>, Sig<'m>)>,
}

/// The streams of value pruning.
struct Pruning<'m> {
    mode: Stream<'m>,
    threshold: Stream<'m>,
    value_id: StreamOut<'m>,
    ids: ValueIds,
    places: Credits<'m>,
    /// What the row at the input needs for its pruning is here.
    known: Sig<'m>,
}

impl<'m> Pruning<'m> {
    fn new(m: &'m Builder, pass: &UsePass, max_keys: usize) -> Self {
        let mode = m.stream_in("mode", &UsePass::mode_fields());
        let fields = ValueRanking::threshold_fields(max_keys);
        let threshold = m.stream_in("threshold", &fields);
        let ids = ValueIds {
            lanes: pass.lanes,
            max_keys,
        };
        let value_id = m.stream_out("value_id", &ids.id_fields());

        m.section("a row that prunes waits for its threshold too; other rows do not");
        let places = Credits::new(m, "id", UsePass::ID_LINES);
        let threshold_here = threshold.valid & places.available();
        let known = mode.valid & (threshold_here | !mode.field("prunes"));
        Pruning {
            known: m.net("pruning_known", known, ""),
            mode,
            threshold,
            value_id,
            ids,
            places,
        }
    }
}

impl UsePass {
    /// What the line's keys add to their importance: every live key, whether its value is kept or not.
    fn probabilities<'m>(
        &self,
        m: &'m Builder,
        line: Line<'m>,
        [r, k]: [Sig<'m>; 2],
    ) -> Stream<'m> {
        m.section("probabilities, for importance");
        let lane = Probability;
        let e = line.e.lanes(EXPONENTIAL_BITS);
        let p = m.wire("p", self.lanes * PROBABILITY_BITS, "probability of key k");
        m.generate("g_probability", self.lanes, |lane_index| {
            let u_probability = m.instance("u_probability", &lane);
            u_probability
                .input("e", e.at(lane_index))
                .input("r", r)
                .input("k", k);
            p.drive_lane(lane_index, u_probability.output("p"));
        });
        let valid = delay_flag(m, "p_valid", line.valid, lane.latency());
        let last = delay(m, "p_last", line.last, lane.latency());
        let room = m.wire("p_room", 1, "");
        m.never(valid & !*room, "a line of probabilities finds no place");
        let fields = vec![("data".to_owned(), *p), ("last".to_owned(), last)];
        let found = Stream::new(valid, room, fields);
        let fifo = Fifo::new(found.width(), Self::PROBABILITY_LINES);
        m.through("u_probability_fifo", &fifo, found)
    }

    /// The exponentials that the row's threshold keeps, [`FILTER_LATENCY`](Self::FILTER_LATENCY) cycles after the first
    /// register; all live ones of a row that does not prune. What needs every exponential reads the first register.
    fn keep<'m>(
        &self,
        m: &'m Builder,
        pruning: &Pruning<'m>,
        row_end: Sig<'m>,
        line: Line<'m>,
    ) -> Kept<'m> {
        m.section("the row's threshold");
        let (mode, threshold) = (&pruning.mode, &pruning.threshold);
        let prunes = mode.field("prunes");
        mode.ready.drive(row_end);
        threshold.ready.drive(row_end & prunes);
        reg!(m, first_q: 1, reset = 1, "the next line is a row's first");
        first_q.next_when(line.issue, row_end);
        reg!(m, starts_q = line.issue & *first_q, reset = 0);
        reg!(m, prunes_q = prunes);
        reg!(m, renormalises_q = prunes & mode.field("renormalise"));
        reg!(m, kth_q = threshold.field("kth"));
        reg!(m, keep_equal_q = threshold.field("keep_equal"));

        m.section("compared with it");
        let (e, live) = (line.e.lanes(EXPONENTIAL_BITS).to_vec(), line.live);
        let over = (0..self.lanes).map(|k| live.bit(k) & (e[k].gt(*kth_q) | !*prunes_q));
        let equal = (0..self.lanes).map(|k| live.bit(k) & e[k].equals(*kth_q) & *prunes_q);
        reg!(m, over_q = m.pack(&over.collect::<Vec<_>>()));
        reg!(m, equal_q = m.pack(&equal.collect::<Vec<_>>()));
        reg!(m, compared_e_q = line.e, when = line.valid);
        reg!(m, compared_q = line.valid, reset = 0);
        reg!(m, compared_last_q = line.last);
        reg!(m, compared_prunes_q = *prunes_q);

        m.section("of the equal ones the first stay");
        let first_equals = FirstEquals {
            inputs: self.lanes,
            max_keys: pruning.ids.max_keys,
        };
        let u_first_equals = m.instance("u_first_equals", &first_equals);
        u_first_equals
            .input("load", *starts_q)
            .input("keep_equal", *keep_equal_q)
            .input("step", *compared_q)
            .input("equal", *equal_q);
        reg!(m, keep_q = *over_q | u_first_equals.output("stays"));
        reg!(m, counted_e_q = *compared_e_q, when = *compared_q);
        reg!(m, counted_q = *compared_q, reset = 0);
        reg!(m, counted_last_q = *compared_last_q);
        reg!(m, pruned_q = *compared_q & *compared_prunes_q, reset = 0);
        let counted_e = counted_e_q.lanes(EXPONENTIAL_BITS).to_vec();
        let kept = (0..self.lanes).map(|k| counted_e[k] & keep_q.bit(k).repeat(EXPONENTIAL_BITS));
        let kept = m.pack(&kept.collect::<Vec<_>>());
        net!(m, kept_e = kept, "0 for a key that does not stay");

        m.section("positions of the kept keys");
        let id_ready = m.wire("id_ready", 1, "");
        m.never(*pruned_q & !id_ready, "kept keys found no place");
        let fields = vec![("keep".into(), *keep_q), ("last".into(), *counted_last_q)];
        let keys = Stream::new(*pruned_q, id_ready, fields);
        let keys = m.through(
            "u_id_fifo",
            &Fifo::new(self.lanes + 1, Self::ID_LINES),
            keys,
        );
        pruning
            .places
            .count(line.issue & prunes, keys.valid & *keys.ready);
        let u_value_ids = m.instance("u_value_ids", &pruning.ids);
        u_value_ids.feed("line", keys);
        pruning.value_id.connect(u_value_ids.stream("value_id"));

        let line = Line {
            valid: *counted_q,
            last: *counted_last_q,
            e: kept_e,
            live: *keep_q,
            ..line
        };
        let of_line = delay(
            m,
            "kept_renormalises",
            *renormalises_q,
            Self::FILTER_LATENCY,
        );
        Kept {
            line,
            renormalises: Some((*renormalises_q, of_line)),
        }
    }

    /// The rows' reciprocals, `known` for the rows that are divided by the sum of all exponentials, else that of the
    /// kept ones: their sum is that of the row's weights. A row of either kind waits for those before it.
    fn renormalised<'m>(
        &self,
        m: &'m Builder,
        known: Stream<'m>,
        kept: Line<'m>,
        renormalises: Sig<'m>,
    ) -> Stream<'m> {
        m.section("reciprocal of the kept sum");
        let sum = RowSum { lanes: self.lanes };
        let line = (kept.e, kept.valid & renormalises, kept.last);
        // The rows' credits count these places too.
        let found = sum.reciprocals(m, "kept", line, self.rows_in_flight);

        m.section("one or the other, row by row");
        // The flag of the oldest of many rows is a long way from the decision that it makes.
        let known = m.through("u_oldest", &Fifo::new(known.width(), 2), known);
        net!(m, waits = known.field("renormalises"));
        net!(m, valid = known.valid & (found.valid | !waits));
        let taken = m.wire("taken", 1, "");
        let fields = ["r", "k"].map(|name| {
            let word = waits.select(found.field(name), known.field(name));
            (name.to_owned(), word)
        });
        known.ready.drive(*taken & valid);
        found.ready.drive(*taken & valid & waits);
        Stream::new(valid, taken, fields.into())
    }
}
