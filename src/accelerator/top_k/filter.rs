//! The filter: which elements of the lines in input order stay.

use super::first_equals::FirstEquals;
use crate::cells::fifo::Fifo;
use crate::cells::spill_register::registered;
use crate::cells::zero_eliminator::ZeroEliminator;
use crate::hdl::{About, Block, Builder, Field, Stream};
use crate::numerics::value_bits;
use crate::{net, reg};

/// Keeps pinned elements, ranked ones above the k-th largest key, and the first equal ones; hands their payloads on.
///
/// A line can leave before the threshold is known: as soon as none of its keys lies between the bounds of what is not yet
/// known. The last line waits for the threshold.
///
/// - Latency: [`Filter::LATENCY`] cycles from the threshold or the bounds that decide a line to the line.
/// - Interval: one line per cycle once the threshold is known, per two cycles before.
/// - Stalls: on every stream; ready passes combinationally from none to another.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Bits of a key.
    pub width: usize,
    /// Bits of a payload.
    pub payload_bits: usize,
    /// Elements per line.
    pub inputs: usize,
    /// Most ranked keys of a selection.
    pub max_keys: usize,
    /// Whether the payloads of those that do not stay leave too.
    pub drops: bool,
}

impl Filter {
    /// Cycles from the threshold's transfer to the first line.
    pub const LATENCY: u64 = 2 + ZeroEliminator::LATENCY;

    fn count_bits(&self) -> usize {
        value_bits(self.max_keys)
    }

    fn eliminator(&self) -> ZeroEliminator {
        ZeroEliminator {
            lanes: self.inputs,
            width: self.payload_bits,
        }
    }

    /// Fields of the `line` channel.
    pub fn line_fields(&self) -> Vec<Field> {
        let (inputs, width, payload) = (self.inputs, self.width, self.payload_bits);
        let payloads = format!("{inputs} payloads of {payload} bits");
        vec![
            Field::new("data", inputs * width, &format!("{inputs} keys u{width}")),
            Field::new("payload", inputs * payload, &payloads),
            Field::new(
                "ranked",
                inputs,
                "element k stays if its key is large enough",
            ),
            Field::new("pinned", inputs, "element k stays"),
            Field::new("last", 1, "last line of the selection"),
        ]
    }

    /// Fields of the `threshold` channel.
    pub fn threshold_fields(&self) -> Vec<Field> {
        vec![
            Field::new("kth", self.width, "larger keys stay"),
            Field::new("keep_equal", self.count_bits(), "equal ones that stay"),
        ]
    }

    /// Fields of the `dropped` channel, which has a line wherever an element does not stay, and the last one.
    pub fn dropped_fields(&self) -> Vec<Field> {
        let (inputs, payload) = (self.inputs, self.payload_bits);
        let payloads = format!("{inputs} payloads of {payload} bits, where they came");
        vec![
            Field::new("payload", inputs * payload, &payloads),
            Field::new("dropped", inputs, "element k does not stay"),
            Field::new("last", 1, "last line of the selection"),
        ]
    }

    /// Fields of the `out` channel.
    pub fn out_fields(&self) -> Vec<Field> {
        let (inputs, payload) = (self.inputs, self.payload_bits);
        let payloads = format!("up to {inputs} payloads of {payload} bits, then zeros");
        vec![
            Field::new("payload", inputs * payload, &payloads),
            Field::new("count", value_bits(inputs), "elements that stay"),
            Field::new("last", 1, "last line of the selection"),
        ]
    }
}

impl Block for Filter {
    fn name(&self) -> String {
        format!(
            "spatten_filter_w{}_p{}_i{}_n{}{}",
            self.width,
            self.payload_bits,
            self.inputs,
            self.max_keys,
            if self.drops { "_d" } else { "" }
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Filter of a selection: the elements that stay, in input order, the lanes of each line packed.\n\
                      \n\
                      line -> compare with the bounds -> first equals -> u_zero_eliminator -> out"
                .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("payload_bits", self.payload_bits.to_string()),
                ("inputs", self.inputs.to_string()),
                ("max_keys", self.max_keys.to_string()),
                ("drops", self.drops.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let Filter { width, inputs, .. } = *self;
        let line = m.stream_in("line", &self.line_fields());
        let threshold = m.stream_in("threshold", &self.threshold_fields());
        let lower = m.input(
            "lower",
            width,
            "smaller keys do not stay, as far as is known",
        );
        let upper = m.input("upper", width, "larger keys stay, likewise");
        let out = m.stream_out("out", &self.out_fields());
        let last = line.field("last");

        m.section("bounds: what the engine knows so far, then the threshold for the rest of the selection");
        reg!(m, final_q: 1, reset = 0, "the bounds are the threshold");
        reg!(m, judged_q: 1, reset = 0, "the second stage has a line");
        reg!(m, judged_final_q: 1, reset = 0, "compared with the threshold");
        net!(m, free = !*final_q & !(*judged_q & *judged_final_q));
        threshold.ready.drive(free);
        net!(m, learn = threshold.valid & free);
        let leaves = m.wire("leaves", 1, "a line leaves the first stage");
        net!(m, ends = *leaves & last);
        net!(m, is_final = *final_q | learn);
        final_q.next_when(learn | ends, !ends);
        reg!(m, kth_q = threshold.field("kth"), when = learn);
        let kth = threshold.field("kth");
        let low = final_q.select(*kth_q, threshold.valid.select(kth, lower));
        let high = final_q.select(*kth_q, threshold.valid.select(kth, upper));
        net!(m, low = low);
        net!(m, high = high);

        m.section("first stage: compare");
        let (ranked, keys) = (line.field("ranked"), line.data().lanes(width).to_vec());
        let over = (0..inputs).map(|k| ranked.bit(k) & keys[k].gt(high));
        let over = m.pack(&over.collect::<Vec<_>>());
        let under = (0..inputs).map(|k| keys[k].lt(low));
        let under = m.pack(&under.collect::<Vec<_>>());
        net!(m, over = over);
        net!(
            m,
            undecided = ranked & !over & !under,
            "neither above nor below what is known"
        );

        m.section("second stage: a line that is not decided is compared again");
        let room = m.wire("room", 1, "the third stage takes a line");
        reg!(m, open_q: 1, "not decided unless compared with the threshold");
        net!(
            m,
            again = *judged_q & !*judged_final_q,
            "the line is still in the first stage"
        );
        net!(m, decided = *judged_q & (*judged_final_q | !*open_q));
        net!(m, moves = decided & *room);
        net!(m, gone = again & moves);
        net!(m, enable = moves | !decided);
        net!(m, judge = line.valid & !gone & enable);
        leaves.drive(gone | (judge & is_final));
        line.ready.drive(gone | (is_final & enable));
        judged_q.next_when(enable, line.valid & !gone);
        judged_final_q.next_when(enable, is_final);
        open_q.next_when(judge, undecided.any() | last);
        reg!(m, over_q = over, when = judge);
        reg!(m, undecided_q = undecided, when = judge);
        reg!(m, pinned_q = line.field("pinned"), when = judge);
        reg!(m, payload_q = line.field("payload"), when = judge);
        reg!(m, last_q = last, when = judge);

        m.section("third stage: of the keys equal to the k-th largest the first stay");
        let first_equals = FirstEquals {
            inputs,
            max_keys: self.max_keys,
        };
        let u_first_equals = m.instance("u_first_equals", &first_equals);
        u_first_equals
            .input("load", learn)
            .input("keep_equal", threshold.field("keep_equal"))
            .input("step", moves & *judged_final_q)
            .input("equal", undecided_q);
        net!(
            m,
            keep = *over_q | *pinned_q | u_first_equals.output("stays")
        );
        let live = self.drops.then(|| {
            let live = line.field("ranked") | line.field("pinned");
            reg!(m, live_q = live, when = judge);
            *live_q
        });
        let fields = [
            ("payload", Some(*payload_q)),
            ("keep", Some(keep)),
            ("live", live),
            ("last", Some(*last_q)),
        ];
        let fields = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let kept = Stream::new(decided, room, fields.collect());
        // What stalls the output must not reach the lines' memory in the same cycle.
        let kept = registered(m, "u_kept", kept);

        m.section("packed");
        let u_packed = m.instance("u_zero_eliminator", &self.eliminator());
        let places = self.drops.then(|| m.wire("dropped_room", 1, ""));
        let goes_on = places.map_or(kept.valid, |room| kept.valid & *room);
        net!(m, goes_on = goes_on);
        u_packed
            .input("in_valid", goes_on)
            .input("in_data", kept.field("payload"))
            .input("in_keep", kept.field("keep"))
            .input("out_ready", out.ready);
        net!(m, packed_ready = u_packed.output("in_ready"));
        net!(m, enters = goes_on & packed_ready);
        kept.ready.drive(enters);
        let ready = m.wire("last_ready", 1, "");
        m.never(enters & !ready, "the end of a line finds no place");
        let fields = vec![("data".into(), kept.field("last"))];
        let packed_ends = Stream::new(enters, ready, fields);
        let packed_ends = m.through("u_lasts", &Fifo::new(1, 4), packed_ends);
        packed_ends
            .ready
            .drive(u_packed.output("out_valid") & out.ready);
        m.unused(
            "last_valid",
            packed_ends.valid,
            "in step with the packed line",
        );
        out.drive(
            u_packed.output("out_valid"),
            &[
                ("payload", u_packed.output("out_data")),
                ("count", u_packed.output("out_count")),
                ("last", packed_ends.data()),
            ],
        );
        if let Some(place) = places {
            m.section("those that do not stay");
            net!(m, dropped = kept.field("live") & !kept.field("keep"));
            let fields = vec![
                ("payload".to_owned(), kept.field("payload")),
                ("dropped".to_owned(), dropped),
                ("last".to_owned(), kept.field("last")),
            ];
            let told = enters & (dropped.any() | kept.field("last"));
            let left = Stream::new(told, place, fields);
            let fifo = Fifo::new(left.width(), 2);
            let left = m.through("u_dropped_fifo", &fifo, left);
            m.stream_out("dropped", &self.dropped_fields())
                .connect(left);
        }
    }
}
