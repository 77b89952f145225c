//! RTL of `softmax`.

use super::exponential_pass::ExponentialPass;
use super::use_pass::UsePass;
use super::value_ids::ValueIds;
use super::value_ranking::ValueRanking;
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::fifo::Fifo;
use crate::cells::fork::Fork;
use crate::cells::spill_register::registered;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig, Stream};
use crate::numerics::Formats;
use crate::{net, reg};

/// Score lines of a row become weights for V and the reciprocal of their sum.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// Operand formats.
    pub formats: Formats,
    /// Keys per line.
    pub lanes: usize,
    /// Lines of the score ring: at least those of the longest row.
    pub score_lines: usize,
    /// Lines of the exponential ring: at least those of the longest row.
    pub exponential_lines: usize,
    /// Lines of the weight ring.
    pub weight_lines: usize,
    /// Rows whose reciprocal may be under way or waiting, in each of the two passes.
    pub rows_in_flight: usize,
    /// Local value pruning; `None` for hardware without it.
    pub value_ranking: Option<ValueRanking>,
}

impl Softmax {
    /// The score ring.
    pub fn score_ring(&self) -> BankedFifo {
        let width = self.lanes * (self.formats.score_bits() + 1) + 1;
        BankedFifo::new(width, self.score_lines)
    }

    /// The pass that reads the scores.
    pub fn exponential_pass(&self) -> ExponentialPass {
        ExponentialPass {
            formats: self.formats,
            lanes: self.lanes,
            exponential_lines: self.exponential_lines,
            rows_in_flight: self.rows_in_flight,
            value_pruning: self.value_ranking.is_some(),
        }
    }

    /// The pass that reads the exponentials.
    pub fn use_pass(&self) -> UsePass {
        UsePass {
            lanes: self.lanes,
            weight_lines: self.weight_lines,
            rows_in_flight: self.rows_in_flight,
            pruned_keys: self.value_ranking.as_ref().map(|r| r.max_keys),
        }
    }

    /// Cycles from the transfer of a row's last score line to the first in which its 1/S reaches the use pass, when the
    /// row's maximum and scale are there and nothing stalls.
    fn row_latency(&self) -> usize {
        BankedFifo::LATENCY as usize + self.exponential_pass().row_latency()
    }

    /// Cycles from the transfer of a row's last score line to the first in which its first weights can leave, likewise.
    pub fn weight_latency(&self) -> usize {
        self.row_latency() + self.use_pass().weight_latency()
    }

    /// Cycles from the transfer of the last of a row's `lines` score lines to the first in which its reciprocal can
    /// leave, likewise.
    pub fn reciprocal_latency(&self, lines: usize) -> usize {
        self.row_latency() + lines - 1 + self.use_pass().reciprocal_latency()
    }

    /// Whether rows of `lines` lines follow each other without an idle cycle: enough of them are in flight, and both
    /// rings behind the passes are long enough.
    pub fn has_full_speed(&self, lines: usize) -> bool {
        let (exponential, weight) = (self.exponential_pass(), self.use_pass());
        self.rows_in_flight * lines >= exponential.row_cycles(lines)
            && exponential.ring().lines() >= exponential.lines_at_full_speed(lines)
            && weight.ring().lines() >= weight.lines_at_full_speed()
    }

    /// Score lines that are always taken: those of the ring, until `score_free_o` tells that one has left it.
    pub fn score_places(&self) -> usize {
        self.score_ring().lines()
    }

    /// Fields of the `scale` channel.
    pub fn scale_fields(&self) -> Vec<Field> {
        ExponentialPass::scale_fields()
    }
}

impl Block for Softmax {
    fn name(&self) -> String {
        format!(
            "spatten_softmax_s{}_l{}_n{}_{}_{}_r{}{}",
            self.formats.score_bits(),
            self.lanes,
            self.score_lines,
            self.exponential_lines,
            self.weight_lines,
            self.rows_in_flight,
            self.value_ranking
                .as_ref()
                .map_or(String::new(), |r| format!(
                    "_e{}_c{}_k{}",
                    r.engines, r.comparators, r.max_keys
                ))
        )
    }

    fn about(&self) -> About {
        let ranking = match self.value_ranking {
            Some(_) => {
                "\nexponentials of rows that prune -> u_value_ranking -> u_use_pass -> value_id"
            }
            None => "",
        };
        let mut parameters = vec![
            ("score_bits", self.formats.score_bits().to_string()),
            ("lanes", self.lanes.to_string()),
            ("score_lines", self.score_lines.to_string()),
            ("exponential_lines", self.exponential_lines.to_string()),
            ("weight_lines", self.weight_lines.to_string()),
            ("rows_in_flight", self.rows_in_flight.to_string()),
        ];
        let engines = self.value_ranking.as_ref().map_or(0, |r| r.engines);
        parameters.push(("value_engines", engines.to_string()));
        if let Some(ranking) = &self.value_ranking {
            parameters.push(("comparators", ranking.comparators.to_string()));
            parameters.push(("max_keys", ranking.max_keys.to_string()));
        }
        About {
            purpose: format!(
                "Softmax with deferred normalisation: a row's scores wait in the score ring until their maximum is\n\
                 known and become exponentials e; these wait until their sum S and its reciprocal are known and\n\
                 become weights. The weights are not divided by S: the outputs are, once each.\n\
                 \n\
                 score -> u_score_ring -> u_exponential_pass -> u_use_pass -> weight, reciprocal, probability{ranking}"
            ),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let pass = self.exponential_pass();
        let score = m.stream_in("score", &pass.score_fields());
        let maximum = m.stream_in("maximum", &pass.maximum_fields());
        let scale = m.stream_in("scale", &self.scale_fields());
        let weight = m.stream_out("weight", &UsePass::weight_fields(self.lanes));
        let probability = m.stream_out("probability", &UsePass::probability_fields(self.lanes));
        let reciprocal = m.stream_out("reciprocal", &ExponentialPass::row_fields());

        let score_free = m.output("score_free", 1, "a score line has left the ring");

        m.section("scores wait for their row's maximum");
        let line = m.through("u_score_ring", &self.score_ring(), score);
        reg!(m, score_free_q = line.valid & *line.ready, reset = 0);
        score_free.drive(score_free_q);

        m.section("exponentials wait for their row's sum");
        let u_exponential_pass = m.instance("u_exponential_pass", &pass);
        u_exponential_pass
            .feed("score", line)
            .feed("maximum", maximum)
            .feed("scale", scale);

        let u_use_pass = m.instance("u_use_pass", &self.use_pass());
        if let Some(ranking) = &self.value_ranking {
            self.rank(m, ranking, u_exponential_pass, u_use_pass);
        }

        m.section("weights");
        u_use_pass
            .feed("exponential", u_exponential_pass.stream("exponential"))
            .feed("row", u_exponential_pass.stream("row"));
        weight.connect(u_use_pass.stream("weight"));
        probability.connect(u_use_pass.stream("probability"));
        reciprocal.connect(u_use_pass.stream("reciprocal"));
    }
}

impl Softmax {
    /// Joins the ranking to both passes. Every row's descriptor goes to all three, each of which takes it in its own
    /// time; a FIFO per branch keeps one that is late from holding the others.
    fn rank<'m>(
        &self,
        m: &'m Builder,
        ranking: &ValueRanking,
        exponential_pass: Instance<'m>,
        use_pass: Instance<'m>,
    ) {
        let pruning_fields = ValueRanking::pruning_fields(ranking.max_keys);
        let pruning = m.stream_in("pruning", &pruning_fields);
        let value_ids = ValueIds {
            lanes: self.lanes,
            max_keys: ranking.max_keys,
        };
        let value_id = m.stream_out("value_id", &value_ids.id_fields());

        m.section("which rows prune their values: those that keep fewer than their live keys");
        let (keys, kept) = (pruning.field("keys"), pruning.field("kept"));
        net!(m, prunes = kept.lt(keys));
        let u_fork = m.instance("u_pruning_fork", &Fork { branches: 3 });
        u_fork.input("in_valid", pruning.valid);
        pruning.ready.drive(u_fork.output("in_ready"));
        let branch = |index: usize, fields: &[(&str, Sig<'m>)]| {
            let handshake = u_fork.stream(&format!("out{index}"));
            let fields = fields
                .iter()
                .map(|(name, word)| ((*name).to_owned(), *word));
            Stream::new(handshake.valid, handshake.ready, fields.collect())
        };
        let through = |name: &str, depth: usize, stream: Stream<'m>| {
            m.through(name, &Fifo::new(stream.width(), depth), stream)
        };

        let of_pass = branch(0, &[("prunes", prunes)]);
        exponential_pass.feed("pruning", through("u_pruning_fifo", 2, of_pass));
        let mode = [
            ("prunes", prunes),
            ("renormalise", pruning.field("renormalise")),
        ];
        // Rows between the passes, and the two at their inputs, which the spill register holds: from the FIFO's pointer to
        // the ring of exponentials is more than a cycle's way.
        let modes = through("u_mode_fifo", self.rows_in_flight, branch(1, &mode));
        use_pass.feed("mode", registered(m, "u_mode_spill", modes));

        m.section("thresholds; the other rows pass the ranking by");
        let all = branch(2, &[]);
        let ranked_ready = m.wire("selection_ready", 1, "");
        all.ready.drive(*ranked_ready | !prunes);
        let fields = vec![("k".into(), kept), ("keys".into(), keys)];
        let selection = Stream::new(all.valid & prunes, ranked_ready, fields);
        let u_ranking = m.instance("u_value_ranking", ranking);
        u_ranking
            .feed("selection", through("u_selection_fifo", 2, selection))
            .feed("line", exponential_pass.stream("ranked"));
        use_pass.feed("threshold", u_ranking.stream("threshold"));
        value_id.connect(use_pass.stream("value_id"));
    }
}
