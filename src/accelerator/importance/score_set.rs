//! A set of importance scores: working memory, accumulation in place, selection.

use super::home_side::{HomeSide, Loaded};
use crate::cells::delay::delay;
use crate::cells::line_compactor::LineCompactor;
use crate::cells::spill_register::registered;
use crate::cells::sram::Sram;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig, Stream};
use crate::numerics::{RESCALE_BITS, index_bits, value_bits};
use crate::{net, reg};

/// The scores of the live elements (tokens or heads) of one sequence, in live order, with their ids.
///
/// A job takes it through its states: scores start from zero or go on as they are; increments are added, one line per
/// cycle; scores are handed out; the survivors of a selection come back and take the places of all.
///
/// - Interval: one line of increments per cycle, however short the rows.
/// - Stalls: on every stream; increments are taken while the job adds.
#[derive(Clone, Debug)]
pub struct ScoreSet {
    /// Bits of a score, unsigned, saturating.
    pub score_bits: usize,
    /// Bits of an increment, unsigned, at most those of a score.
    pub increment_bits: usize,
    /// Elements of a line.
    pub lanes: usize,
    /// Most elements.
    pub elements: usize,
    /// Lines: those of all elements, or more, so that rows may end in lines without elements.
    pub lines: usize,
    /// Whether there is a home memory for the scores of elements that are not live.
    pub home: bool,
}

/// The states, by their numbers in the state register.
const IDLE: u64 = 0;
const ZERO: u64 = 1;
const ADD: u64 = 2;
const DRAIN: u64 = 3;
const READ: u64 = 4;
const KEEP: u64 = 5;
const LOAD: u64 = 6;
const SETTLE: u64 = 7;

/// A line on its way to the scores.
#[derive(Clone, Copy)]
pub(super) struct Stage<'m> {
    pub valid: Sig<'m>,
    pub line: Sig<'m>,
}

impl<'m> Stage<'m> {
    /// This stage and the `count` after it, registers `<prefix>valid<k>_q` and `<prefix>line<k>_q`: stage k is k cycles later.
    pub fn and_after(self, m: &'m Builder, prefix: &str, count: usize) -> Vec<Self> {
        let mut stages = vec![self];
        for k in 1..=count {
            let before = stages[k - 1];
            let valid = m.register(&format!("{prefix}valid{k}_q"), 1, Some(0), "");
            valid.next(before.valid);
            let line = m.register(&format!("{prefix}line{k}_q"), before.line.ty(), None, "");
            line.next(before.line);
            stages.push(Stage {
                valid: *valid,
                line: *line,
            });
        }
        stages
    }

    /// Whether any of some stages holds a line.
    pub fn any_valid(m: &'m Builder, stages: &[Self]) -> Sig<'m> {
        let valid: Vec<_> = stages.iter().map(|stage| stage.valid).collect();
        m.pack(&valid).any()
    }

    /// Whether both stages hold increments of one line.
    fn meets(self, older: Stage<'m>) -> Sig<'m> {
        older.valid & self.line.equals(older.line)
    }
}

impl ScoreSet {
    /// Cycles from a line of increments to the write of its scores: read, register, operand, sum, write.
    const ADD_LATENCY: usize = 4;

    fn line_bits(&self) -> usize {
        index_bits(self.lines)
    }

    /// Bits of an id.
    pub fn id_bits(&self) -> usize {
        index_bits(self.elements)
    }

    /// Bits of a number of elements.
    pub fn count_bits(&self) -> usize {
        value_bits(self.elements)
    }

    /// Bits of a payload: the id and above it whether the element is pinned.
    pub fn payload_bits(&self) -> usize {
        self.id_bits() + 1
    }

    /// Bits of a stored score: the score and above it whether it has overflowed.
    fn stored_bits(&self) -> usize {
        self.score_bits + 1
    }

    /// Fields of the `dropped` channel.
    pub fn dropped_fields(&self) -> Vec<Field> {
        vec![
            Field::new(
                "data",
                self.lanes * self.element_bits(),
                "scores, payloads above",
            ),
            Field::new("dropped", self.lanes, "element k does not stay"),
            Field::new("last", 1, "last line of the selection"),
        ]
    }

    fn scores(&self) -> Sram {
        Sram {
            width: self.lanes * self.stored_bits(),
            depth: self.lines,
        }
    }

    fn payloads(&self) -> Sram {
        Sram {
            width: self.lanes * self.payload_bits(),
            depth: self.lines,
        }
    }

    /// Fields of the `job` channel.
    pub fn job_fields(&self) -> Vec<Field> {
        let mut fields = vec![
            Field::new(
                "zero",
                1,
                "elements 0, 1, ... start anew; else the scores go on",
            ),
            Field::new("elements", self.count_bits(), "live elements, at least 1"),
            Field::new("add", 1, "increments will come"),
            Field::new("read", 1, "scores are handed out after that"),
            Field::new("select", 1, "and survivors come back; only with read"),
        ];
        fields.extend(self.home_fields());
        fields
    }

    /// Those of them that are about the home memory; none without one.
    pub fn home_fields(&self) -> Vec<Field> {
        if !self.home {
            return Vec::new();
        }
        let known = "of elements that start anew, how many start from their score at home; others from zero";
        let rescale = "by which these are rescaled: at most 2^15, 1";
        let store = "with read: all scores go home, not only those dropped";
        vec![
            Field::new("known", self.count_bits(), known),
            Field::new("rescale", RESCALE_BITS, rescale),
            Field::new("store", 1, store),
        ]
    }

    /// Fields of the `pin` channel.
    pub fn pin_fields(&self) -> Vec<Field> {
        let doc = "element k of the line always stays; one line after the other for a job that starts from zero";
        vec![Field::new("data", self.lanes, doc)]
    }

    /// Fields of the `increment` channel.
    pub fn increment_fields(&self) -> Vec<Field> {
        let (lanes, bits) = (self.lanes, self.increment_bits);
        let doc = format!("{lanes} increments u{bits}, in live order");
        vec![
            Field::new("data", lanes * bits, &doc),
            Field::new("last", 1, "last line of the row"),
            Field::new("end", 1, "last line of the job"),
        ]
    }

    /// Fields of the `line` channel.
    pub fn line_fields(&self) -> Vec<Field> {
        let (lanes, bits) = (self.lanes, self.score_bits);
        vec![
            Field::new("data", lanes * bits, &format!("{lanes} scores u{bits}")),
            Field::new(
                "payload",
                lanes * self.payload_bits(),
                "pinned flags and ids",
            ),
            Field::new("live", lanes, "lane k has an element"),
            Field::new("last", 1, "last line of the set"),
        ]
    }

    /// What lines hold of an element: the score, above it the payload.
    pub fn element_bits(&self) -> usize {
        self.score_bits + self.payload_bits()
    }

    /// Fields of the `kept` channel.
    pub fn kept_fields(&self) -> Vec<Field> {
        LineCompactor {
            lanes: self.lanes,
            width: self.element_bits(),
        }
        .fields()
    }
}

impl Block for ScoreSet {
    fn name(&self) -> String {
        format!(
            "spatten_score_set_w{}_i{}_l{}_n{}_{}{}",
            self.score_bits,
            self.increment_bits,
            self.lanes,
            self.elements,
            self.lines,
            if self.home { "_h" } else { "" }
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Importance scores of one sequence, in live order. A job: start from zero or go on, add increments in\n\
                      place, hand the scores out, take back the survivors of a selection.\n\
                      \n\
                      increment -> read -> add -> write; scores -> line; kept -> scores"
                .into(),
            parameters: vec![
                ("score_bits", self.score_bits.to_string()),
                ("increment_bits", self.increment_bits.to_string()),
                ("lanes", self.lanes.to_string()),
                ("elements", self.elements.to_string()),
                ("lines", self.lines.to_string()),
                ("home", self.home.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (lanes, id_bits) = (self.lanes, self.id_bits());
        let job = m.stream_in("job", &self.job_fields());
        let pin = m.stream_in("pin", &self.pin_fields());
        let increment = m.stream_in("increment", &self.increment_fields());
        let kept = m.stream_in("kept", &self.kept_fields());
        let line = m.stream_out("line", &self.line_fields());
        let pin_last = m.output("pin_last", 1, "the pins of the last line are wanted");

        m.section("job");
        reg!(m, state_q: 3, reset = IDLE, "idle, zero, add, drain, read, keep, load, settle");
        let [idle, zero, add, drain, read, keep] = [
            ("idle", IDLE),
            ("zero", ZERO),
            ("add", ADD),
            ("drain", DRAIN),
            ("read", READ),
            ("keep", KEEP),
        ]
        .map(|(name, state)| m.net(name, state_q.is(state), ""));
        net!(m, accept = job.valid & idle);
        job.ready.drive(idle);
        reg!(m, elements_q = job.field("elements"), when = accept);
        reg!(m, add_q = job.field("add"), when = accept);
        reg!(m, read_q = job.field("read"), when = accept);
        reg!(m, select_q = job.field("select"), when = accept);
        let home = self.home.then(|| HomeSide::new(m, self, &job, accept));

        m.section("a walk over the lines of the set");
        let step = m.wire("step", 1, "the walk goes on");
        let count_bits = self.count_bits();
        reg!(m, walk_line_q: self.line_bits(), reset = 0);
        reg!(m, walk_left_q: count_bits, "elements from this line on");
        let most = m.lit(lanes as u64, count_bits.max(value_bits(lanes)));
        let left = walk_left_q.resize(most.width());
        // No comparison that a set of fewer elements than lanes decides by itself.
        let fits_a_line = self.elements <= lanes;
        net!(
            m,
            walk_last = if fits_a_line {
                m.lit(1, 1)
            } else {
                left.le(most)
            }
        );
        let live: Vec<_> = (0..lanes)
            .map(|k| match k < self.elements {
                true => left.gt(m.lit(k as u64, left.width())),
                false => m.lit(0, 1),
            })
            .collect();
        net!(m, walk_live = m.pack(&live));
        net!(m, walk_end = *step & walk_last);
        let first_line = m.lit(0, self.line_bits());
        let one_line = m.lit(1, self.line_bits());
        let next_line = walk_line_q.wrapping_add(one_line);
        walk_line_q.next_when(*step, walk_last.select(first_line, next_line));
        let rest = left.wrapping_sub(most);
        let rest = match rest.width() > count_bits {
            true => {
                net!(m, walk_rest = rest);
                m.unused(
                    "walk_rest_high",
                    walk_rest.slice(count_bits, rest.width() - count_bits),
                    "never more than the elements",
                );
                walk_rest.slice(0, count_bits)
            }
            false => rest,
        };
        let again = accept.select(job.field("elements"), *elements_q);
        walk_left_q.next_when(accept | *step, (accept | walk_last).select(again, rest));

        m.section("start from zero: every element gets its place as its id");
        net!(m, start = zero & pin.valid);
        pin.ready.drive(zero);
        pin_last.drive(walk_last);
        reg!(m, id_q: id_bits, "of the line's first element");
        let line_of_ids = m.lit(lanes as u64 & ((1 << id_bits) - 1), id_bits);
        let first_id = m.lit(0, id_bits);
        id_q.next_when(
            accept | start,
            accept.select(first_id, id_q.wrapping_add(line_of_ids)),
        );
        let started: Vec<_> = (0..lanes)
            .map(|k| {
                let id = id_q.wrapping_add(m.lit(k as u64 & ((1 << id_bits) - 1), id_bits));
                m.net(&format!("started{k}"), m.cat(&[pin.data().bit(k), id]), "")
            })
            .collect();
        let walk = Stage {
            valid: start,
            line: *walk_line_q,
        };
        let loaded = home.as_ref().map(|home| home.load(m, self, walk, &started));
        let started = m.pack(&started);

        m.section("increments: which scores they meet");
        increment.ready.drive(add);
        net!(m, enter = increment.valid & add);
        reg!(m, add_line_q: self.line_bits(), reset = 0, "line of the next increments");
        let row_end = increment.field("last") | increment.field("end");
        let following = add_line_q.wrapping_add(one_line);
        add_line_q.next_when(enter, row_end.select(first_line, following));
        net!(m, add_end = enter & increment.field("end"));
        let entry = Stage {
            valid: enter,
            line: *add_line_q,
        };
        let stages = entry.and_after(m, "", Self::ADD_LATENCY + 1);

        m.section("survivors of the selection take the places of all");
        // The last of them wait until the last line has been taken from `line`.
        let early = read & *select_q & !kept.field("last");
        net!(m, selecting = early | keep);
        kept.ready.drive(selecting);
        net!(m, keep_take = kept.valid & selecting);
        net!(m, keep_write = keep_take & kept.field("count").any());
        net!(m, keep_end = keep_take & kept.field("last"));
        reg!(m, keep_line_q: self.line_bits(), reset = 0);
        let following = keep_line_q.wrapping_add(one_line);
        keep_line_q.next_when(keep_take, kept.field("last").select(first_line, following));
        let survivors = kept.data().lanes(self.element_bits()).to_vec();
        let survivors: Vec<_> = (0..lanes)
            .map(|k| m.net(&format!("survivor{k}"), survivors[k], ""))
            .collect();
        let kept_scores: Vec<_> = survivors
            .iter()
            .map(|element| m.cat(&[m.lit(0, 1), element.slice(0, self.score_bits)]))
            .collect();
        let kept_payloads: Vec<_> = survivors
            .iter()
            .map(|element| element.slice(self.score_bits, self.payload_bits()))
            .collect();

        m.section("scores and payloads");
        let fetch = m.wire("fetch", 1, "a line is read to be handed out");
        let sums = m.register(
            "sum_q",
            self.scores().width,
            None,
            "scores after the increments",
        );
        net!(m, add_write = stages[4].valid);
        // One address is not read and written in one cycle: these increments take the sum that is being written.
        net!(m, add_read = enter & !stages[0].meets(stages[4]));
        let first = loaded.unwrap_or(Loaded {
            at: walk,
            scores: m.pack(&vec![m.lit(0, self.stored_bits()); lanes]),
        });
        let set_line = first.at.valid.select(first.at.line, *keep_line_q);
        let set_scores = first.at.valid.select(first.scores, m.pack(&kept_scores));
        let u_scores = m.instance("u_scores", &self.scores());
        u_scores
            .input("write_enable", first.at.valid | add_write | keep_write)
            .input("write_address", add_write.select(stages[4].line, set_line))
            .input("write_data", add_write.select(*sums, set_scores))
            .input("read_enable", add_read | *fetch)
            .input("read_address", add.select(*add_line_q, *walk_line_q));
        let u_payloads = m.instance("u_payloads", &self.payloads());
        u_payloads
            .input("write_enable", start | keep_write)
            .input("write_address", zero.select(*walk_line_q, *keep_line_q))
            .input("write_data", zero.select(started, m.pack(&kept_payloads)))
            .input("read_enable", *fetch)
            .input("read_address", *walk_line_q);

        m.section(
            "addition: rows shorter than the adder find their scores on the way to the memory",
        );
        reg!(m, stored_q = u_scores.output("read_data"));
        let [two, three, four] = [("two_ago_q", 3), ("three_ago_q", 4), ("four_ago_q", 5)].map(
            |(name, older): (&str, usize)| {
                let met = m.register(name, 1, None, "");
                met.next(stages[1].meets(stages[older]));
                *met
            },
        );
        reg!(m, one_ago_q = stages[2].meets(stages[3]));
        reg!(m, sum_one_ago_q = *sums);
        reg!(m, sum_two_ago_q = *sum_one_ago_q);
        let found = four.select(*sum_two_ago_q, *stored_q);
        let found = three.select(*sum_one_ago_q, found);
        reg!(m, operand_q = two.select(*sums, found));
        net!(m, base = one_ago_q.select(*sums, *operand_q));
        let increments = delay(m, "increments", increment.data(), 3);
        sums.next(self.sum(m, base, increments));
        net!(m, adding = Stage::any_valid(m, &stages[1..=4]));

        m.section("lines out");
        let out = self.handed_out(m, *fetch, (walk_live, walk_last), (u_scores, u_payloads));
        reg!(m, all_read_q: 1, reset = 0, "every line of the set has been read");
        all_read_q.next_when(accept | (*fetch & walk_last), !accept);
        fetch.drive(read & !*all_read_q & out.room);
        step.drive(start | *fetch);
        let taken = match &home {
            Some(home) => home.share(m, self, (read, *select_q, keep), out.stream, &line),
            None => {
                let taken = out.stream.valid & line.ready;
                let last = out.stream.field("last");
                line.connect(out.stream);
                taken & last
            }
        };
        net!(m, handed = taken);

        m.section("states");
        let code = |state| m.lit(state, 3);
        let at_end = code(if self.home { SETTLE } else { IDLE });
        let after_add = read_q.select(code(READ), code(IDLE));
        let after_start = add_q.select(code(ADD), after_add);
        let unread = job.field("read").select(code(READ), code(IDLE));
        let carried = job.field("add").select(code(ADD), unread);
        let after_job = job.field("zero").select(code(ZERO), carried);
        let after_read = select_q.select(code(KEEP), at_end);
        let mut arms = vec![
            (IDLE, after_job),
            (ADD, code(DRAIN)),
            (DRAIN, after_add),
            (READ, after_read),
            (KEEP, at_end),
        ];
        let mut moves =
            accept | (zero & walk_end) | add_end | (drain & !adding) | (read & handed) | keep_end;
        match &home {
            Some(home) => {
                arms.extend([(ZERO, code(LOAD)), (LOAD, after_start)]);
                let settled = *home.dropped_done_q | !*select_q;
                let loaded = state_q.is(LOAD) & !*home.loading;
                moves = moves | loaded | (state_q.is(SETTLE) & settled & !home.busy);
            }
            None => arms.push((ZERO, after_start)),
        }
        let next = m.case("next_state", *state_q, &arms, code(IDLE), "");
        state_q.next_when(moves, next);
    }
}

/// The lines being handed out, and whether the memories may be read for one more.
struct HandedOut<'m> {
    stream: Stream<'m>,
    room: Sig<'m>,
}

impl ScoreSet {
    /// Scores and their overflow flags after the increments. The upper half is made with and without a carry.
    fn sum<'m>(&self, m: &'m Builder, base: Sig<'m>, increments: Sig<'m>) -> Sig<'m> {
        let (bits, half) = (self.score_bits, self.score_bits / 2);
        let increments = increments.lanes(self.increment_bits).to_vec();
        let sums: Vec<_> = base
            .lanes(self.stored_bits())
            .to_vec()
            .into_iter()
            .zip(increments)
            .enumerate()
            .map(|(k, (stored, increment))| {
                let stored = m.net(&format!("stored{k}"), stored, "");
                let increment = m.net(&format!("increment{k}"), increment.extend(bits), "");
                let low = m.net(
                    &format!("low{k}"),
                    stored.slice(0, half) + increment.slice(0, half),
                    "",
                );
                let (above, more) = (
                    stored.slice(half, bits - half),
                    increment.slice(half, bits - half),
                );
                let without = m.net(&format!("high{k}"), above + more, "");
                let with = without.wrapping_add(m.lit(1, without.width()));
                let high = m.net(&format!("carried{k}"), low.msb().select(with, without), "");
                let flag = stored.msb() | high.msb();
                m.cat(&[flag, high.slice(0, bits - half), low.slice(0, half)])
            })
            .collect();
        m.pack(&sums)
    }

    /// Words read wait in the memories' outputs, then in a spill register; scores that have overflowed are the largest, lanes
    /// without an element zero.
    fn handed_out<'m>(
        &self,
        m: &'m Builder,
        fetch: Sig<'m>,
        (live, last): (Sig<'m>, Sig<'m>),
        (scores, payloads): (Instance<'m>, Instance<'m>),
    ) -> HandedOut<'m> {
        let spill_ready = m.wire("spill_ready", 1, "");
        reg!(m, fetched_q: 1, reset = 0, "a line waits in the memories' outputs");
        net!(m, fetch_room = !*fetched_q | *spill_ready);
        fetched_q.next(fetch | !fetch_room);
        reg!(m, live_q = live, when = fetch);
        reg!(m, last_q = last, when = fetch);
        let fields = vec![
            ("data".to_owned(), scores.output("read_data")),
            ("payload".to_owned(), payloads.output("read_data")),
            ("live".to_owned(), *live_q),
            ("last".to_owned(), *last_q),
        ];
        let fetched = Stream::new(*fetched_q, spill_ready, fields);
        let spilled = registered(m, "u_spill", fetched);
        let live = spilled.field("live");
        let words = m.net("spilled_scores", spilled.field("data"), "");
        let words: Vec<_> = words
            .lanes(self.stored_bits())
            .to_vec()
            .into_iter()
            .enumerate()
            .map(|(k, word)| {
                let word = m.net(&format!("spilled{k}"), word, "");
                let score = word.slice(0, self.score_bits);
                let score = score | word.msb().repeat(self.score_bits);
                score & live.bit(k).repeat(self.score_bits)
            })
            .collect();
        let payloads = spilled.field("payload").lanes(self.payload_bits()).to_vec();
        let payloads: Vec<_> = payloads
            .into_iter()
            .enumerate()
            .map(|(k, payload)| payload & live.bit(k).repeat(self.payload_bits()))
            .collect();
        let mut fields = vec![
            ("data".to_owned(), m.pack(&words)),
            ("payload".to_owned(), m.pack(&payloads)),
        ];
        for name in ["live", "last"] {
            fields.push((name.to_owned(), spilled.field(name)));
        }
        HandedOut {
            stream: spilled.with_fields(fields),
            room: fetch_room,
        }
    }
}
