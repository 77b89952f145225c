//! RTL of `importance`: scores of tokens and heads, and the engine that selects among both.

use super::head_magnitude::HeadMagnitude;
use super::score_contexts::ScoreContexts;
use super::score_set::ScoreSet;
use crate::accelerator::top_k::{QuickSelect, TopK};
use crate::cells::fifo::Fifo;
use crate::cells::fork::Fork;
use crate::cells::line_compactor::LineCompactor;
use crate::cells::spill_register::registered;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig, Stream};
use crate::numerics::{HEAD_SCORE_BITS, PROBABILITY_BITS, TOKEN_SCORE_BITS, value_bits};
use crate::{net, reg};

/// Importance of tokens and heads, and the selections of the cascade.
///
/// A job is a layer of a sequence: the probabilities of its rows add up per token, the magnitudes of its outputs per
/// head; then one engine selects tokens and after them heads, whose ids leave in live order for the next layer.
///
/// - Interval: a line of probabilities and a word of outputs per cycle.
/// - Stalls: on every stream; probabilities and outputs wait until their job has come.
#[derive(Clone, Debug)]
pub struct Importance {
    /// Scores of a line.
    pub lanes: usize,
    /// Most tokens.
    pub tokens: usize,
    /// Lines of probabilities of the longest row.
    pub token_lines: usize,
    /// Most heads.
    pub heads: usize,
    /// Comparators of each kind of the engine.
    pub top_k_lanes: usize,
    /// Outputs of a word.
    pub output_lanes: usize,
    /// Bits of an output, signed.
    pub output_bits: usize,
}

/// Tokens or heads.
#[derive(Clone, Copy)]
struct Kind {
    /// Singular, in names.
    name: &'static str,
    /// Number in the order of a job's selections.
    number: u64,
}

const TOKEN: Kind = Kind {
    name: "token",
    number: 0,
};
const HEAD: Kind = Kind {
    name: "head",
    number: 1,
};

impl Importance {
    /// Selections between the engine's input and its output: one leaves, one is ranked, one enters.
    const SELECTIONS: usize = 4;

    /// Scores of tokens.
    pub fn token_scores(&self) -> ScoreContexts {
        let set = ScoreSet {
            score_bits: TOKEN_SCORE_BITS,
            increment_bits: PROBABILITY_BITS,
            lanes: self.lanes,
            elements: self.tokens,
            lines: self.token_lines,
            home: true,
        };
        ScoreContexts { set }
    }

    /// Scores of heads.
    pub fn head_scores(&self) -> ScoreContexts {
        let set = ScoreSet {
            score_bits: HEAD_SCORE_BITS,
            increment_bits: HEAD_SCORE_BITS,
            lanes: self.lanes,
            elements: self.heads,
            lines: self.heads.div_ceil(self.lanes),
            home: false,
        };
        ScoreContexts { set }
    }

    fn scores(&self, kind: Kind) -> ScoreContexts {
        match kind.number {
            0 => self.token_scores(),
            _ => self.head_scores(),
        }
    }

    /// Magnitudes of heads.
    pub fn head_magnitude(&self) -> HeadMagnitude {
        HeadMagnitude {
            output_lanes: self.output_lanes,
            output_bits: self.output_bits,
            lanes: self.lanes,
        }
    }

    /// The engine for tokens, then heads.
    pub fn top_k(&self) -> TopK {
        let inputs = self.lanes.next_power_of_two();
        let max_keys = self.tokens.max(self.heads);
        TopK {
            engine: QuickSelect {
                width: HEAD_SCORE_BITS,
                lanes: self.top_k_lanes,
                inputs,
                max_keys,
            },
            payload_bits: self.payload_bits(),
            keys_out: true,
            lines: 2 * max_keys.div_ceil(inputs),
        }
    }

    /// Bits of the engine's payloads: the larger kind's.
    fn payload_bits(&self) -> usize {
        let bits = |kind| self.scores(kind).set.payload_bits();
        bits(TOKEN).max(bits(HEAD))
    }

    /// Survivors in full lines.
    pub fn compactor(&self) -> LineCompactor {
        LineCompactor {
            lanes: self.lanes,
            width: self.top_k().out_bits(),
        }
    }

    /// Fields of the `job` channel.
    pub fn job_fields(&self) -> Vec<Field> {
        let mut fields = vec![
            Field::new("context", 1, "sequence: one of two"),
            Field::new("zero", 1, "its scores start from zero; else they go on"),
            Field::new("rows", 1, "query rows follow"),
            Field::new("report", 1, "scores leave after the rows"),
        ];
        for (kind, plural) in [(TOKEN, "tokens"), (HEAD, "heads")] {
            let (name, bits) = (kind.name, self.scores(kind).set.count_bits());
            let number = |field: String, doc: String| Field::new(&field, bits, &doc);
            fields.push(number(
                plural.to_owned(),
                format!("live {plural}, at least 1"),
            ));
            let doc = format!("{plural} are selected after the rows");
            fields.push(Field::new(&format!("{name}_select"), 1, &doc));
            let doc = format!("how many of the ranked {plural} stay");
            fields.push(number(format!("{name}_keep"), doc));
            let doc = format!("{plural} that are not pinned");
            fields.push(number(format!("{name}_ranked"), doc));
        }
        fields.extend(self.token_scores().set.home_fields());
        fields
    }

    /// Fields of the `probability` channel.
    pub fn probability_fields(&self) -> Vec<Field> {
        self.token_scores().set.increment_fields()
    }

    /// Fields of a channel of survivors.
    fn kept_fields(&self, kind: Kind) -> Vec<Field> {
        let bits = self.scores(kind).set.id_bits();
        let doc = format!("{} ids u{bits}, in the low lanes", self.lanes);
        vec![
            Field::new("id", self.lanes * bits, &doc),
            Field::new("count", value_bits(self.lanes), "ids of the line"),
            Field::new("last", 1, "last line of the selection"),
        ]
    }

    /// The channels that leave, with their fields: ids of survivors, scores of jobs that report.
    pub fn out_channels(&self) -> [(&'static str, Vec<Field>); 4] {
        [
            ("kept_token", self.kept_fields(TOKEN)),
            ("kept_head", self.kept_fields(HEAD)),
            ("token_score", self.token_scores().set.line_fields()),
            ("head_score", self.head_scores().set.line_fields()),
        ]
    }
}

impl Block for Importance {
    fn name(&self) -> String {
        format!(
            "spatten_importance_l{}_t{}_{}_h{}_k{}_o{}_w{}",
            self.lanes,
            self.tokens,
            self.token_lines,
            self.heads,
            self.top_k_lanes,
            self.output_lanes,
            self.output_bits
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Importance of tokens and heads, summed up over the rows of each job (layer), and the selection of those\n\
                      that the next layer keeps.\n\
                      \n\
                      probability ------------> u_token_scores -> u_top_k -> kept_token\n\
                      word -> u_head_magnitude -> u_head_scores -'      '--> kept_head"
                .into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("tokens", self.tokens.to_string()),
                ("token_lines", self.token_lines.to_string()),
                ("heads", self.heads.to_string()),
                ("top_k_lanes", self.top_k_lanes.to_string()),
                ("output_lanes", self.output_lanes.to_string()),
                ("output_bits", self.output_bits.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let magnitude = self.head_magnitude();
        let job = m.stream_in("job", &self.job_fields());
        let pin = m.stream_in("pin", &self.token_scores().set.pin_fields());
        let probability = m.stream_in("probability", &self.probability_fields());
        let word = m.stream_in("word", &magnitude.word_fields());
        let row = m.stream_in("row", &HeadMagnitude::row_fields());
        let outs = self.out_channels();
        let [kept_token, kept_head, token_score, head_score] =
            outs.map(|(name, fields)| m.stream_out(name, &fields));

        m.section("every part gets its share of the job");
        let u_fork = m.instance("u_job_fork", &Fork { branches: 3 });
        u_fork.input("in_valid", job.valid);
        job.ready.drive(u_fork.output("in_ready"));
        let [tokens, heads] = [(TOKEN, "tokens", 0), (HEAD, "heads", 1)].map(
            |(kind, plural, branch): (Kind, &str, usize)| {
                let handshake = u_fork.stream(&format!("out{branch}"));
                let select = format!("{}_select", kind.name);
                let fields = [
                    ("context", "context"),
                    ("zero", "zero"),
                    ("elements", plural),
                    ("add", "rows"),
                    ("report", "report"),
                    ("select", select.as_str()),
                ];
                let fields = fields.map(|(name, of_job)| (name.to_owned(), job.field(of_job)));
                let mut fields = Vec::from(fields);
                let scores = self.scores(kind);
                for field in scores.set.home_fields() {
                    let value = job.field(&field.name);
                    fields.push((field.name, value));
                }
                let part = Stream::new(handshake.valid, handshake.ready, fields);
                let instance = m.instance(&format!("u_{}_scores", kind.name), &scores);
                instance.feed("job", part)
            },
        );

        m.section("increments");
        tokens.feed("pin", pin).feed("increment", probability);
        let never_pinned = m.lit(0, self.lanes);
        let pins_ready = m.wire("head_pins_ready", 1, "");
        m.unused("head_pins", *pins_ready, "no head is pinned: always there");
        let pins = vec![("data".to_owned(), never_pinned)];
        heads.feed("pin", Stream::new(m.lit(1, 1), pins_ready, pins));
        let u_magnitude = m.instance("u_head_magnitude", &magnitude);
        u_magnitude.feed("word", word).feed("row", row);
        let found = u_magnitude.stream("out");
        let fields = [("data", "data"), ("last", "end"), ("end", "end")];
        let fields = fields.map(|(name, of)| (name.to_owned(), found.field(of)));
        let increment = Stream::new(found.valid, found.ready, fields.into());
        heads.feed("increment", increment);
        token_score.connect(tokens.stream("score"));
        head_score.connect(heads.stream("score"));

        m.section("selections: of a job's tokens, then of its heads");
        let waiting = self.selections(m, &job, u_fork.stream("out2"));
        reg!(m, asked_q: 1, reset = 0, "the engine knows this selection");
        reg!(m, heads_turn_q: 1, reset = 0, "the job's second selection");
        let of = |name: &str| {
            heads_turn_q.select(
                waiting.field(&format!("head_{name}")),
                waiting.field(&format!("token_{name}")),
            )
        };
        net!(m, wanted = waiting.valid & of("select"));
        net!(m, skip = waiting.valid & !of("select"));
        let queue_ready = m.wire("order_ready", 1, "");
        let u_top_k = m.instance("u_top_k", &self.top_k());
        let dropped_room = m.wire("dropped_order_room", 1, "");
        net!(m, ask = wanted & !*asked_q & *queue_ready & *dropped_room);
        let selection_ready = m.wire("selection_ready", 1, "");
        net!(m, asks = ask & *selection_ready);
        let fields = vec![
            ("k".to_owned(), of("keep")),
            ("keys".to_owned(), of("ranked")),
        ];
        u_top_k.feed("selection", Stream::new(ask, selection_ready, fields));

        let lines = [(TOKEN, tokens), (HEAD, heads)]
            .map(|(kind, scores)| (kind, self.engine_line(m, kind, scores.stream("line"))));
        let [(_, token_line), (_, head_line)] = &lines;
        let choose = |name: &str| {
            let (head, token) = (head_line.field(name), token_line.field(name));
            (name.to_owned(), heads_turn_q.select(head, token))
        };
        let offered = heads_turn_q.select(head_line.valid, token_line.valid);
        let engine_ready = m.wire("engine_ready", 1, "");
        let fields = ["data", "payload", "ranked", "pinned", "last"].map(choose);
        net!(m, line_valid = offered & *asked_q);
        let line_last = choose("last").1;
        net!(m, selection_end = line_valid & *engine_ready & line_last);
        // From the order of the heads' lines to the engine's row register is more than a cycle's way.
        let line = Stream::new(line_valid, engine_ready, fields.into());
        let line = registered(m, "u_line_spill", line);
        u_top_k.feed("in", line);
        let takes = *engine_ready & *asked_q;
        token_line.ready.drive(takes & !*heads_turn_q);
        head_line.ready.drive(takes & *heads_turn_q);
        asked_q.next_when(asks | selection_end, asks);
        net!(m, advance = skip | selection_end);
        heads_turn_q.next_when(advance, !*heads_turn_q);
        waiting.ready.drive(advance & *heads_turn_q);

        m.section("survivors in full lines, back to their scores and on to the next layer");
        let fields = vec![("head".to_owned(), *heads_turn_q)];
        let order = Stream::new(asks, queue_ready, fields);
        let order = m.through("u_order", &Fifo::new(1, Self::SELECTIONS), order);
        let survivors = self.compacted(m, u_top_k);
        let mut ready = Vec::new();
        for (kind, scores, out) in [(TOKEN, tokens, kept_token), (HEAD, heads, kept_head)] {
            let name = kind.name;
            let here = order.valid & order.field("head").is(kind.number);
            let here = m.net(&format!("{name}s_survive"), here & survivors.valid, "");
            let u_fork = m.instance(&format!("u_{name}_fork"), &Fork { branches: 2 });
            u_fork.input("in_valid", here);
            ready.push(u_fork.output("in_ready") & here);
            let (elements, ids) = self.elements(m, (kind, "survivor"), survivors.data());
            let back = u_fork.stream("out0");
            let (count, last) = (survivors.field("count"), survivors.field("last"));
            let fields = vec![
                ("data".to_owned(), elements),
                ("count".to_owned(), count),
                ("last".to_owned(), last),
            ];
            scores.feed("kept", Stream::new(back.valid, back.ready, fields));
            let on = u_fork.stream("out1");
            out.drive(on.valid, &[("id", ids), ("count", count), ("last", last)]);
            on.ready.drive(out.ready);
        }
        let fields = vec![("head".to_owned(), *heads_turn_q)];
        let selections = Stream::new(asks, dropped_room, fields);
        self.send_home(m, u_top_k, selections, tokens);
        net!(m, survivors_ready = m.pack(&ready).any());
        survivors.ready.drive(survivors_ready);
        order
            .ready
            .drive(survivors.valid & survivors_ready & survivors.field("last"));
    }
}

impl Importance {
    /// The jobs' selections, waiting for the engine.
    fn selections<'m>(
        &self,
        m: &'m Builder,
        job: &Stream<'m>,
        handshake: Stream<'m>,
    ) -> Stream<'m> {
        let names = ["select", "keep", "ranked"];
        let fields = ["token", "head"].into_iter().flat_map(|kind| {
            names.map(|name| {
                let name = format!("{kind}_{name}");
                let value = job.field(&name);
                // Both kinds' numbers in the engine's width.
                let bits = match name.ends_with("select") {
                    true => 1,
                    false => self.top_k().engine.count_bits(),
                };
                (name, value.extend(bits))
            })
        });
        let selections = Stream::new(handshake.valid, handshake.ready, fields.collect());
        let fifo = Fifo::new(selections.width(), 2);
        m.through("u_selections", &fifo, selections)
    }

    /// A line of scores in the engine's widths; lanes beyond those of the scores are dead.
    fn engine_line<'m>(&self, m: &'m Builder, kind: Kind, line: Stream<'m>) -> Stream<'m> {
        let (set, engine) = (self.scores(kind).set, self.top_k());
        let name = kind.name;
        let payloads = m.net(&format!("{name}_payloads"), line.field("payload"), "");
        let payloads = payloads.lanes(set.payload_bits()).to_vec();
        let scores = line.data().lanes(set.score_bits).to_vec();
        let beyond = engine.engine.inputs - self.lanes;
        let (mut keys, mut out, mut pins) = (Vec::new(), Vec::new(), Vec::new());
        for k in 0..self.lanes {
            keys.push(scores[k].extend(engine.engine.width));
            let payload = m.net(&format!("{name}_payload{k}"), payloads[k], "");
            out.push(payload.extend(engine.payload_bits));
            pins.push(payload.bit(set.id_bits()) & line.field("live").bit(k));
        }
        for _ in 0..beyond {
            keys.push(m.lit(0, engine.engine.width));
            out.push(m.lit(0, engine.payload_bits));
            pins.push(m.lit(0, 1));
        }
        let live = line.field("live").extend(engine.engine.inputs);
        let pinned = m.net(&format!("{name}_pinned"), m.pack(&pins), "");
        let fields = [
            ("data", m.pack(&keys)),
            ("payload", m.pack(&out)),
            ("ranked", live & !pinned),
            ("pinned", pinned),
            ("last", line.field("last")),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        line.with_fields(fields.into())
    }

    /// The engine's output in full lines.
    fn compacted<'m>(&self, m: &'m Builder, u_top_k: Instance<'m>) -> Stream<'m> {
        let (engine, compactor) = (self.top_k(), self.compactor());
        let out = u_top_k.stream("out");
        let used = self.lanes * compactor.width;
        net!(m, elements = out.field("payload"));
        if engine.engine.inputs > self.lanes {
            let beyond = elements.slice(used, elements.width() - used);
            m.unused("elements_beyond", beyond, "lanes that are always dead");
        }
        net!(m, survivor_count = out.field("count"));
        let bits = compactor.count_bits();
        if survivor_count.width() > bits {
            let above = survivor_count.slice(bits, survivor_count.width() - bits);
            m.unused("survivor_count_high", above, "as many as lanes of scores");
        }
        let fields = [
            ("data", elements.slice(0, used)),
            ("count", survivor_count.slice(0, bits)),
            ("last", out.field("last")),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let u_compactor = m.instance("u_compactor", &compactor);
        u_compactor.feed("in", out.with_fields(fields.into()));
        // Whether their scores take them must not reach back into the filter in the same cycle.
        let full = u_compactor.stream("out");
        registered(m, "u_spill", full)
    }

    /// Tokens that do not stay go home with their scores; heads that do not are forgotten.
    fn send_home<'m>(
        &self,
        m: &'m Builder,
        u_top_k: Instance<'m>,
        selections: Stream<'m>,
        tokens: Instance<'m>,
    ) {
        m.section("those that do not stay");
        let fifo = Fifo::new(selections.width(), Self::SELECTIONS);
        let order = m.through("u_dropped_order", &fifo, selections);
        let dropped = u_top_k.stream("dropped");
        net!(m, dropped_elements = dropped.field("payload"));
        let used = self.lanes * self.top_k().out_bits();
        net!(m, dropped_flags = dropped.field("dropped"));
        if self.top_k().engine.inputs > self.lanes {
            let beyond = dropped_elements.slice(used, dropped_elements.width() - used);
            m.unused("dropped_beyond", beyond, "lanes that are always dead");
            let beyond = dropped_flags.slice(self.lanes, dropped_flags.width() - self.lanes);
            m.unused("dropped_flags_beyond", beyond, "likewise");
        }
        let data = dropped_elements.slice(0, used);
        let (elements, ids) = self.elements(m, (TOKEN, "dropped"), data);
        m.unused("dropped_ids", ids, "they are in the elements too");
        let is_token = m.net("token_dropped", order.valid & !order.field("head"), "");
        let taken = m.wire("dropped_taken", 1, "");
        let fields = [
            ("data", elements),
            ("dropped", dropped_flags.slice(0, self.lanes)),
            ("last", dropped.field("last")),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        tokens.feed(
            "dropped",
            Stream::new(dropped.valid & is_token, taken, fields.into()),
        );
        let goes = order.valid & (order.field("head") | *taken);
        net!(m, dropped_goes = goes);
        dropped.ready.drive(dropped_goes);
        order
            .ready
            .drive(dropped.valid & dropped_goes & dropped.field("last"));
    }

    /// The engine's elements as a kind's scores take them, and their ids.
    fn elements<'m>(
        &self,
        m: &'m Builder,
        (kind, what): (Kind, &str),
        data: Sig<'m>,
    ) -> (Sig<'m>, Sig<'m>) {
        let (set, engine) = (self.scores(kind).set, self.top_k());
        let elements = data.lanes(engine.out_bits()).to_vec();
        let (mut back, mut ids) = (Vec::new(), Vec::new());
        for (k, element) in elements.into_iter().enumerate() {
            let name = format!("{}_{what}{k}", kind.name);
            let element = m.net(&name, element, "");
            let (width, above) = (engine.engine.width, set.payload_bits());
            if width > set.score_bits {
                let high = element.slice(set.score_bits, width - set.score_bits);
                m.unused(&format!("{name}_high"), high, "the score has fewer bits");
            }
            if engine.payload_bits > above {
                let high = element.slice(width + above, engine.payload_bits - above);
                m.unused(
                    &format!("{name}_payload"),
                    high,
                    "the payload has fewer bits",
                );
            }
            let payload = element.slice(width, above);
            back.push(m.cat(&[payload, element.slice(0, set.score_bits)]));
            ids.push(element.slice(width, set.id_bits()));
        }
        (m.pack(&back), m.pack(&ids))
    }
}
