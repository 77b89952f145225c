//! The attention pipeline: `query_key`, `softmax`, `prob_value` and importance, joined by streams. Its lines come from
//! whatever holds K and V.

use super::importance::{HeadMagnitude, Importance};
use super::kv_buffer::LineRing;
use super::prob_value::ProbValue;
use super::query_key::QueryKey;
use super::refine::{QueryNoise, Refine};
use super::shape::ArrayShape;
use super::softmax::{Softmax, ValueRanking};
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::fork::{Fork, StreamFork};
use crate::cells::join::Join;
use crate::config::Config;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig, Stream};
use crate::net;
use crate::numerics::{Formats, KEY_LSB_BITS, value_bits};

/// Query rows enter with the lines of K and V that they read, output rows leave in order.
#[derive(Clone, Debug)]
pub struct AttentionPipeline {
    /// Configuration name, part of the module name.
    pub name: String,
    /// Both multiplier arrays.
    pub shape: ArrayShape,
    /// Operand formats.
    pub formats: Formats,
    /// Scores and weights per line.
    pub softmax_lanes: usize,
    /// Outputs per cycle.
    pub output_lanes: usize,
    /// Lines of the score ring, and of that in which rows with a rule wait for their maximum.
    pub score_lines: usize,
    /// Lines of the ring in which these wait for their verdict and LSBs; 0 for hardware without an LSB plane.
    pub held_lines: usize,
    /// Lines of the exponential ring.
    pub exponential_lines: usize,
    /// Lines of the weight ring.
    pub weight_lines: usize,
    /// Longest row in keys.
    pub keys_per_row: usize,
    /// Rows between `query_key` and `prob_value`.
    pub rows_in_flight: usize,
    /// Engines that rank a row's exponentials for local value pruning; 0 for hardware without it.
    pub value_engines: usize,
    /// Comparators of each kind in such an engine, and in that for tokens and heads.
    pub comparators: usize,
    /// Most query heads of a layer.
    pub heads: usize,
}

impl AttentionPipeline {
    /// Rows ahead of their first score: in a query FIFO and before the fork of the core around this. Their descriptors
    /// wait in the other FIFOs beside those of the rows in flight.
    pub(super) const ROWS_AHEAD: usize = 3;

    /// The pipeline of a configuration.
    pub fn new(config: &Config) -> Self {
        AttentionPipeline {
            name: config.name.clone(),
            shape: ArrayShape {
                multipliers: config.array.multipliers,
                head_dims: config.array.head_dims.clone(),
            },
            formats: config.formats(),
            softmax_lanes: config.softmax.lanes,
            output_lanes: config.output.lanes,
            score_lines: config.buffers.score_lines,
            held_lines: match config.buffers.key_lsb_lines {
                0 => 0,
                _ => config.buffers.held_lines,
            },
            exponential_lines: config.buffers.exponential_lines,
            weight_lines: config.buffers.weight_lines,
            keys_per_row: config.limits.keys_per_row,
            rows_in_flight: config.schedule.rows_in_flight,
            value_engines: config.softmax.value_engines,
            comparators: config.top_k.lanes,
            heads: config.limits.heads,
        }
    }

    /// Whether there is an LSB plane.
    pub fn refines(&self) -> bool {
        self.held_lines > 0
    }

    /// Rows whose descriptors may wait for a stage, those ahead of their first score among them.
    pub fn rows(&self) -> usize {
        self.rows_in_flight + Self::ROWS_AHEAD
    }

    /// The same for what waits for V: as many rows again may be between `query_key` and softmax.
    pub fn value_rows(&self) -> usize {
        self.rows()
            + if self.refines() {
                self.rows_in_flight
            } else {
                0
            }
    }

    /// The Q x K stage.
    pub fn query_key(&self) -> QueryKey {
        let score_places = match self.refine() {
            Some(refine) => refine.waiting_ring().lines(),
            None => self.softmax().score_places(),
        };
        QueryKey {
            score_places,
            held_queries: if self.refines() {
                self.rows_in_flight
            } else {
                0
            },
            ..self.plain_query_key()
        }
    }

    /// The Q x K stage without what depends on its receivers.
    fn plain_query_key(&self) -> QueryKey {
        QueryKey {
            shape: self.shape.clone(),
            formats: self.formats,
            lanes: self.softmax_lanes,
            score_places: 0,
            held_queries: 0,
        }
    }

    /// The stage of progressive rows, where there is an LSB plane.
    pub fn refine(&self) -> Option<Refine> {
        self.refines().then(|| Refine {
            formats: self.formats,
            lanes: self.softmax_lanes,
            waiting_lines: self.score_lines,
            held_lines: self.held_lines,
            lsb_lines: self.plain_query_key().lsb_places(),
            rows: self.rows_in_flight,
            score_places: self.softmax().score_places(),
        })
    }

    /// The noise of queries, where there is an LSB plane.
    pub fn query_noise(&self) -> Option<QueryNoise> {
        self.refines().then(|| QueryNoise {
            shape: self.shape.clone(),
            query_bits: self.formats.query_bits,
            rows: self.rows_in_flight,
        })
    }

    /// The softmax stage.
    pub fn softmax(&self) -> Softmax {
        Softmax {
            formats: self.formats,
            lanes: self.softmax_lanes,
            score_lines: self.score_lines,
            exponential_lines: self.exponential_lines,
            weight_lines: self.weight_lines,
            rows_in_flight: self.rows_in_flight,
            value_ranking: self.value_ranking(),
        }
    }

    /// The ranking for local value pruning, where there is one.
    pub fn value_ranking(&self) -> Option<ValueRanking> {
        (self.value_engines > 0).then_some(ValueRanking {
            engines: self.value_engines,
            comparators: self.comparators,
            lanes: self.softmax_lanes,
            max_keys: self.keys_per_row,
        })
    }

    /// Score lines of the longest row, which takes whole K lines, at the head dimension that needs most.
    fn lines_per_row(&self) -> usize {
        let lines = |level| self.score_lines(level, self.keys_per_row);
        let levels = self.shape.levels().into_iter();
        levels
            .map(lines)
            .max()
            .expect("at least one head dimension")
    }

    /// Score lines of a row with so many live keys, which comes in whole K lines, at least one.
    pub fn score_lines(&self, level: usize, live: usize) -> usize {
        let per_line = self.shape.vectors_per_line(level);
        let scores = live.div_ceil(per_line).max(1) * per_line;
        scores.div_ceil(self.softmax_lanes)
    }

    /// Importance of tokens and heads, and the cascade's selections.
    pub fn importance(&self) -> Importance {
        Importance {
            lanes: self.softmax_lanes,
            tokens: self.keys_per_row,
            token_lines: self.lines_per_row(),
            heads: self.heads,
            top_k_lanes: self.comparators,
            output_lanes: self.output_lanes,
            output_bits: self.formats.output_bits(),
        }
    }

    /// The Prob x V stage.
    pub fn prob_value(&self) -> ProbValue {
        ProbValue {
            shape: self.shape.clone(),
            formats: self.formats,
            lanes: self.softmax_lanes,
            output_lanes: self.output_lanes,
        }
    }

    /// Fields of the `query` channel.
    pub fn query_fields(&self) -> Vec<Field> {
        self.plain_query_key().row_fields()
    }

    /// Fields of the `row` channel.
    pub fn row_fields(&self) -> Vec<Field> {
        let mut fields = vec![self.shape.level_field()];
        fields.extend(self.softmax().scale_fields());
        fields.extend(HeadMagnitude::row_fields());
        if self.value_ranking().is_some() {
            let bits = value_bits(self.keys_per_row);
            fields.push(Field::new("live", bits, "live keys of the row"));
            for mut field in ValueRanking::pruning_fields(self.keys_per_row) {
                match field.name.as_str() {
                    "keys" => continue,
                    "kept" => field.name = "values_kept".into(),
                    _ => {}
                }
                fields.push(field);
            }
        }
        if self.refines() {
            fields.extend(Refine::rule_fields());
            fields.push(QueryNoise::shift_field());
        }
        fields
    }

    /// Fields of `key_line`, `value_line` and `lsb_line`, as a [`LineRing`] gives them.
    pub fn line_fields(&self, element_bits: usize) -> Vec<Field> {
        let of_any_length = LineRing {
            shape: self.shape.clone(),
            element_bits,
            lines: 0,
            keys_per_row: self.keys_per_row,
        };
        of_any_length.line_fields()
    }

    /// Fields of the `value_id` channel, where values are pruned.
    pub fn value_id_fields(&self) -> Option<Vec<Field>> {
        self.softmax()
            .use_pass()
            .value_ids()
            .map(|ids| ids.id_fields())
    }

    /// The channels of jobs, with their fields.
    pub fn job_channels(&self) -> [(&'static str, Vec<Field>); 2] {
        let importance = self.importance();
        [
            ("job", importance.job_fields()),
            ("pin", importance.token_scores().set.pin_fields()),
        ]
    }

    /// The channels that leave, with their fields: outputs, positions of kept values, what importance gives.
    pub fn out_channels(&self) -> Vec<(&'static str, Vec<Field>)> {
        let mut channels = vec![("out", self.prob_value().out_fields())];
        channels.extend(self.value_id_fields().map(|fields| ("value_id", fields)));
        if self.refines() {
            channels.push(("refetch", Refine::verdict_fields()));
        }
        channels.extend(self.importance().out_channels());
        channels
    }

    /// Banner rows.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = self.shape.parameters();
        for (name, value) in [
            ("query_bits", self.formats.query_bits),
            ("key_bits", self.formats.key_bits),
            ("value_bits", self.formats.value_bits),
            ("softmax_lanes", self.softmax_lanes),
            ("output_lanes", self.output_lanes),
            ("score_lines", self.score_lines),
            ("held_lines", self.held_lines),
            ("exponential_lines", self.exponential_lines),
            ("weight_lines", self.weight_lines),
            ("keys_per_row", self.keys_per_row),
            ("rows_in_flight", self.rows_in_flight),
            ("value_engines", self.value_engines),
            ("heads", self.heads),
        ] {
            parameters.push((name, value.to_string()));
        }
        parameters
    }
}

impl Block for AttentionPipeline {
    fn name(&self) -> String {
        format!("spatten_{}_attention_pipeline", self.name)
    }

    fn about(&self) -> About {
        About {
            purpose: "Attention pipeline: softmax(q K^T * scale) V for one query row after another.\n\
                      \n\
                      query, key_line -> query_key -> softmax -> prob_value -> out\n\
                      value_line ------------------------------^\n\
                      row -> one descriptor per query row, forked to every stage\n\
                      \n\
                      job -> importance: adds up what softmax and prob_value give, then selects -> kept_token, kept_head"
                .into(),
            parameters: self.parameters(),
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let formats = self.formats;
        let query = m.stream_in("query", &self.query_fields());
        let key_line = m.stream_in("key_line", &self.line_fields(formats.key_bits));
        let value_line = m.stream_in("value_line", &self.line_fields(formats.value_bits));
        let row = m.stream_in("row", &self.row_fields());
        let out = m.stream_out("out", &self.prob_value().out_fields());

        let (row, first) = self.fork(m, row);
        let scale = row.branch("scale", self.rows(), &["mantissa", "pre", "post"]);
        let prob_row = row.branch("prob_row", self.rows(), &["level"]);
        let probability_row = row.branch("probability_row", self.rows(), &["job_last"]);
        let names = ["head_last", "job_last", "step_mantissa", "step_shift"];
        let output_row = row.branch("output_row", self.rows() + 1, &names);

        m.section("scores");
        let score_free = m.wire("score_free", 1, "a place in the score ring is free again");
        let [score, maximum] = match first {
            Some(first) => self.refined_scores(m, query, key_line, first, *score_free),
            None => {
                let u_query_key = m.instance("u_query_key", &self.query_key());
                u_query_key
                    .feed("row", query)
                    .feed("line", key_line)
                    .input("score_free", *score_free);
                ["score", "maximum"].map(|channel| u_query_key.stream(channel))
            }
        };

        m.section("weights");
        let u_softmax = m.instance("u_softmax", &self.softmax());
        u_softmax
            .feed("score", score)
            .feed("maximum", maximum)
            .feed("scale", scale);
        if let Some(fields) = self.value_id_fields() {
            let names = ["live", "values_kept", "renormalise"];
            let pruning = row.branch("pruning", self.rows(), &names);
            let as_softmax = [
                ("keys", "live"),
                ("kept", "values_kept"),
                ("renormalise", "renormalise"),
            ];
            let words = as_softmax.map(|(name, field)| (name.to_owned(), pruning.field(field)));
            u_softmax.feed("pruning", pruning.with_fields(words.into()));
            let value_id = m.stream_out("value_id", &fields);
            value_id.connect(u_softmax.stream("value_id"));
        }
        score_free.drive(u_softmax.output("score_free"));
        let [weight, reciprocal] =
            ["weight", "reciprocal"].map(|channel| u_softmax.stream(channel));

        m.section("outputs");
        m.unused(
            "value_live",
            value_line.field("live"),
            "dead keys have weight zero",
        );
        let fields = ["data", "last"].map(|f| (f.to_owned(), value_line.field(f)));
        let u_prob_value = m.instance("u_prob_value", &self.prob_value());
        u_prob_value
            .feed("row", prob_row)
            .feed("weight", weight)
            .feed("line", value_line.with_fields(fields.into()))
            .feed("reciprocal", reciprocal);
        let outputs = u_prob_value.stream("out");

        m.section("importance of what has been computed, and what the next layer keeps of it");
        let u_importance = self.importance_of(m, u_softmax.stream("probability"), probability_row);
        u_importance.feed("row", output_row);
        let u_out_fork = m.instance("u_out_fork", &Fork { branches: 2 });
        u_out_fork.input("in_valid", outputs.valid);
        outputs.ready.drive(u_out_fork.output("in_ready"));
        let [word, copy] = ["out0", "out1"].map(|branch| {
            let branch = u_out_fork.stream(branch);
            let fields = ["data", "last"].map(|name| (name.to_owned(), outputs.field(name)));
            Stream::new(branch.valid, branch.ready, fields.into())
        });
        out.connect(word);
        u_importance.feed("word", copy);
        for (name, fields) in self.importance().out_channels() {
            m.stream_out(name, &fields)
                .connect(u_importance.stream(name));
        }
    }
}

/// What is told of a row before softmax.
struct FirstPart<'m> {
    /// With its query.
    query: Stream<'m>,
    /// With its first scores.
    refine: Stream<'m>,
}

impl AttentionPipeline {
    /// Hands out the row descriptor to the stages from softmax on, and where there is an LSB plane to those before it;
    /// then the others get it through one memory, as rows may wait for long between `query_key` and softmax.
    fn fork<'m>(&self, m: &'m Builder, row: Stream<'m>) -> (StreamFork<'m>, Option<FirstPart<'m>>) {
        m.section("every stage gets its part of the row descriptor");
        let branches = if self.value_engines > 0 { 5 } else { 4 };
        if !self.refines() {
            return (StreamFork::new(m, "u_row_fork", branches, row), None);
        }
        let first = StreamFork::new(m, "u_first_row_fork", 3, row);
        let names = ["rule", "noise_shift"];
        let query = first.branch("query_row", Self::ROWS_AHEAD - 1, &names);
        let fields = Refine::row_fields();
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        let refine = first.branch("refine_row", self.rows(), &names);
        let fields = self.row_fields();
        let names = fields.iter().map(|field| field.name.as_str());
        let before = ["rule", "confident_sum", "noise_limit", "noise_shift"];
        let names: Vec<_> = names.filter(|name| !before.contains(name)).collect();
        let others = first.direct(&names);
        let ring = BankedFifo::new(others.width(), self.rows_in_flight);
        let others = m.through("u_row_ring", &ring, others);
        let first = FirstPart { query, refine };
        (
            StreamFork::new(m, "u_row_fork", branches, others),
            Some(first),
        )
    }

    /// Final scores and their maxima: `query_key` and `refine`.
    fn refined_scores<'m>(
        &self,
        m: &'m Builder,
        query: Stream<'m>,
        key_line: Stream<'m>,
        row: FirstPart<'m>,
        score_free: Sig<'m>,
    ) -> [Stream<'m>; 2] {
        let (Some(refine), Some(noise)) = (self.refine(), self.query_noise()) else {
            unreachable!("there is an LSB plane");
        };
        let lsb_line = m.stream_in("lsb_line", &self.line_fields(KEY_LSB_BITS));
        let of_query = row.query;
        let u_join = m.instance("u_query_join", &Join { branches: 2 });
        u_join
            .input("in0_valid", query.valid)
            .input("in1_valid", of_query.valid);
        query.ready.drive(u_join.output("in0_ready"));
        of_query.ready.drive(u_join.output("in1_ready"));
        let rule = of_query.field("rule");
        let fields = vec![
            ("query".to_owned(), query.field("query")),
            ("level".to_owned(), query.field("level")),
            ("progressive".to_owned(), rule.any()),
            ("wanted".to_owned(), rule.bit(1)),
            ("shift".to_owned(), of_query.field("noise_shift")),
        ];
        let both = u_join.stream("out").with_fields(fields);
        let fork = StreamFork::new(m, "u_query_fork", 2, both);

        let u_query_key = m.instance("u_query_key", &self.query_key());
        u_query_key
            .feed("row", fork.direct(&["query", "level", "progressive"]))
            .feed("line", key_line)
            .feed("lsb_line", lsb_line);
        let u_noise = m.instance("u_query_noise", &noise);
        u_noise.feed("query", fork.direct(&["query", "level", "wanted", "shift"]));

        m.section("rows with a rule wait for their verdict, and are refined");
        let u_refine = m.instance("u_refine", &refine);
        u_refine
            .feed("first_score", u_query_key.stream("score"))
            .feed("first_maximum", u_query_key.stream("maximum"))
            .feed("lsb", u_query_key.stream("lsb"))
            .feed("row", row.refine)
            .feed("noise", u_noise.stream("noise"))
            .input("score_free", score_free);
        u_query_key
            .feed("verdict", u_refine.stream("verdict"))
            .input("score_free", u_refine.output("first_free"))
            .input("lsb_free", u_refine.output("lsb_free"));
        m.stream_out("refetch", &Refine::verdict_fields())
            .connect(u_refine.stream("refetch"));
        ["score", "maximum"].map(|channel| u_refine.stream(channel))
    }

    /// Importance with its jobs, fed with the probabilities of each row.
    fn importance_of<'m>(
        &self,
        m: &'m Builder,
        probability: Stream<'m>,
        row: Stream<'m>,
    ) -> Instance<'m> {
        let u_importance = m.instance("u_importance", &self.importance());
        for (name, fields) in self.job_channels() {
            u_importance.feed(name, m.stream_in(name, &fields));
        }
        let row_end = probability.field("last");
        net!(m, probability_valid = probability.valid & row.valid);
        let taken = m.wire("probability_taken", 1, "");
        let end: Sig = row_end & row.field("job_last");
        let fields = vec![
            ("data".to_owned(), probability.data()),
            ("last".to_owned(), row_end),
            ("end".to_owned(), end),
        ];
        u_importance.feed("probability", Stream::new(probability_valid, taken, fields));
        probability.ready.drive(*taken & row.valid);
        row.ready.drive(*taken & probability_valid & row_end);
        u_importance
    }
}
