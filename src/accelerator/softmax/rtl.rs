//! RTL of `softmax`.

use super::exponential_pass::ExponentialPass;
use super::use_pass::UsePass;
use crate::cells::banked_fifo::BankedFifo;
use crate::hdl::{About, Block, Builder, Field};
use crate::numerics::Formats;
use crate::reg;

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
        }
    }

    /// The pass that reads the exponentials.
    pub fn use_pass(&self) -> UsePass {
        UsePass {
            lanes: self.lanes,
            weight_lines: self.weight_lines,
            rows_in_flight: self.rows_in_flight,
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
            "spatten_softmax_s{}_l{}_n{}_{}_{}_r{}",
            self.formats.score_bits(),
            self.lanes,
            self.score_lines,
            self.exponential_lines,
            self.weight_lines,
            self.rows_in_flight
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Softmax with deferred normalisation: a row's scores wait in the score ring until their maximum is\n\
                      known and become exponentials e; these wait until their sum S and its reciprocal are known and\n\
                      become weights. The weights are not divided by S: the outputs are, once each.\n\
                      \n\
                      score -> u_score_ring -> u_exponential_pass -> u_use_pass -> weight, reciprocal"
                .into(),
            parameters: vec![
                ("score_bits", self.formats.score_bits().to_string()),
                ("lanes", self.lanes.to_string()),
                ("score_lines", self.score_lines.to_string()),
                ("exponential_lines", self.exponential_lines.to_string()),
                ("weight_lines", self.weight_lines.to_string()),
                ("rows_in_flight", self.rows_in_flight.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let pass = self.exponential_pass();
        let score = m.stream_in("score", &pass.score_fields());
        let maximum = m.stream_in("maximum", &pass.maximum_fields());
        let scale = m.stream_in("scale", &self.scale_fields());
        let weight = m.stream_out("weight", &UsePass::weight_fields(self.lanes));
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

        m.section("weights");
        let u_use_pass = m.instance("u_use_pass", &self.use_pass());
        u_use_pass
            .feed("exponential", u_exponential_pass.stream("exponential"))
            .feed("row", u_exponential_pass.stream("row"));
        weight.connect(u_use_pass.stream("weight"));
        reciprocal.connect(u_use_pass.stream("reciprocal"));
    }
}
