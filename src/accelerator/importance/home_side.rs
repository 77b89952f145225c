//! What a job does with the home memory of its score set.

use super::home::Home;
use super::rescale::Rescale;
use super::score_set::{ScoreSet, Stage};
use crate::cells::delay::delay;
use crate::cells::fork::Fork;
use crate::hdl::{Builder, Instance, Reg, Sig, Stream, StreamOut, Wire};
use crate::net;

/// Scores that the elements of a line start from.
#[derive(Clone, Copy)]
pub(super) struct Loaded<'m> {
    pub at: Stage<'m>,
    pub scores: Sig<'m>,
}

/// The home memory inside a set, and what a job does with it.
pub(super) struct HomeSide<'m> {
    memory: Instance<'m>,
    /// A line is being stored.
    pub busy: Sig<'m>,
    /// Scores are on their way from home.
    pub loading: Wire<'m>,
    /// The last line of those dropped has come.
    pub dropped_done_q: Reg<'m>,
    accept: Sig<'m>,
    known: Sig<'m>,
    factor: Sig<'m>,
    store: Sig<'m>,
}

impl<'m> HomeSide<'m> {
    /// The memory, and what the job says of it.
    pub fn new(m: &'m Builder, set: &ScoreSet, job: &Stream<'m>, accept: Sig<'m>) -> Self {
        let memory = m.instance(
            "u_home",
            &Home {
                score_bits: set.score_bits,
                lanes: set.lanes,
                elements: set.elements,
            },
        );
        let register = |name: &str| {
            let value = job.field(name);
            let register = m.register(&format!("{name}_q"), value.ty(), None, "");
            register.next_when(accept, value);
            *register
        };
        HomeSide {
            memory,
            busy: memory.output("busy"),
            loading: m.wire("loading", 1, "scores are on their way from home"),
            dropped_done_q: m.register("dropped_done_q", 1, Some(0), ""),
            accept,
            known: register("known"),
            factor: register("rescale"),
            store: register("store"),
        }
    }

    /// Reads the home scores of the line that starts, whose payloads hold its ids, and rescales them; ids that are not
    /// known start from zero.
    pub fn load(
        &self,
        m: &'m Builder,
        set: &ScoreSet,
        start: Stage<'m>,
        payloads: &[Sig<'m>],
    ) -> Loaded<'m> {
        m.section("the scores that they had at home");
        let ids: Vec<_> = payloads
            .iter()
            .map(|payload| payload.slice(0, set.id_bits()))
            .collect();
        self.memory
            .input("read", start.valid)
            .input("read_id", m.pack(&ids));
        let bits = set.count_bits().max(set.id_bits());
        let known: Vec<_> = ids
            .iter()
            .map(|id| id.resize(bits).lt(self.known.resize(bits)))
            .collect();
        let rescale = Rescale {
            score_bits: set.score_bits,
        };
        let latency = Home::LATENCY + rescale.latency();
        let known = delay(m, "load_known", m.pack(&known), latency);
        let found = self.memory.output("data").lanes(set.score_bits);
        let rescaled = m.wire("rescaled", set.lanes * set.score_bits, "");
        m.generate("g_rescale", set.lanes, |k| {
            let u_rescale = m.instance("u_rescale", &rescale);
            u_rescale
                .input("score", found.at(k))
                .input("factor", self.factor);
            rescaled.drive_lane(k, u_rescale.output("rescaled"));
        });
        let scores = rescaled.lanes(set.score_bits).to_vec();
        let scores: Vec<_> = (0..set.lanes)
            .map(|k| {
                let score = scores[k] & known.bit(k).repeat(set.score_bits);
                m.cat(&[m.lit(0, 1), score])
            })
            .collect();
        let stages = start.and_after(m, "load_", latency);
        self.loading.drive(Stage::any_valid(m, &stages[1..]));
        Loaded {
            at: stages[latency],
            scores: m.pack(&scores),
        }
    }

    /// Hands the lines out, and home where all are stored; else those dropped go home. Gives whether the last line has
    /// been handed out.
    pub fn share(
        &self,
        m: &'m Builder,
        set: &ScoreSet,
        (read, select, keep): (Sig<'m>, Sig<'m>, Sig<'m>),
        out: Stream<'m>,
        line: &StreamOut<'m>,
    ) -> Sig<'m> {
        m.section("home: all scores, or those of the elements that do not stay");
        let dropped = m.stream_in("dropped", &set.dropped_fields());
        let home_ready = m.wire("home_ready", 1, "");
        let u_fork = m.instance("u_line_fork", &Fork { branches: 2 });
        u_fork.input("in_valid", out.valid);
        let both = u_fork.output("in_ready");
        out.ready.drive(both);
        let [to_line, to_home] = ["out0", "out1"].map(|branch| u_fork.stream(branch));
        to_home.ready.drive(*home_ready | !self.store);

        let elements = dropped.data().lanes(set.element_bits()).to_vec();
        let elements: Vec<_> = (0..set.lanes)
            .map(|k| m.net(&format!("dropped{k}"), elements[k], ""))
            .collect();
        let scores: Vec<_> = elements
            .iter()
            .map(|element| element.slice(0, set.score_bits))
            .collect();
        let ids: Vec<_> = elements
            .iter()
            .enumerate()
            .map(|(k, element)| {
                let pinned = element.bit(set.score_bits + set.id_bits());
                m.unused(&format!("dropped_pin{k}"), pinned, "zero: pinned ones stay");
                element.slice(set.score_bits, set.id_bits())
            })
            .collect();
        let all_ids: Vec<_> = out
            .field("payload")
            .lanes(set.payload_bits())
            .to_vec()
            .into_iter()
            .enumerate()
            .map(|(k, payload)| {
                let payload = m.net(&format!("out_payload{k}"), payload, "");
                let pinned = payload.bit(set.id_bits());
                m.unused(
                    &format!("out_pin{k}"),
                    pinned,
                    "pins are set when elements start",
                );
                payload.slice(0, set.id_bits())
            })
            .collect();
        net!(
            m,
            drops = dropped.valid & dropped.field("dropped").any() & !self.store
        );
        let valid = self.store.select(to_home.valid, drops);
        let fields = [
            ("data", self.store.select(out.data(), m.pack(&scores))),
            ("id", self.store.select(m.pack(&all_ids), m.pack(&ids))),
            (
                "keep",
                self.store
                    .select(out.field("live"), dropped.field("dropped")),
            ),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        self.memory
            .feed("store", Stream::new(valid, home_ready, fields.into()));

        net!(m, dropping = (read & select) | keep);
        let stored = self.store | !dropped.field("dropped").any() | *home_ready;
        net!(m, dropped_ready = dropping & stored);
        dropped.ready.drive(dropped_ready);
        let ends = dropped.valid & dropped_ready & dropped.field("last");
        self.dropped_done_q.next_when(self.accept | ends, ends);

        let fields = ["data", "payload", "live", "last"].map(|name| (name, out.field(name)));
        to_line.ready.drive(line.ready);
        line.drive(to_line.valid, &fields);
        out.valid & both & out.field("last")
    }
}
