//! One lane of the exponential unit: from a score and its row's maximum to e = 2^-x.

use crate::cells::delay::delay;
use crate::cells::exp2::Exp2;
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Sig, Stream, Ty};
use crate::numerics::{
    DISTANCE_BITS, EXPONENT_BITS, EXPONENTIAL_BITS, Formats, SCALE_MANTISSA_BITS, SCALE_SHIFT_BITS,
};
use crate::{net, reg};

/// d1 = min((m - s) >> PRE, 2^24 - 1); x = min(rshr(d1 * mantissa, POST), 2^17 - 1); e = 2^-x, 0 for a dead key.
#[derive(Clone, Debug)]
pub struct Exponent {
    /// Operand formats, which set the score's width.
    pub formats: Formats,
}

impl Exponent {
    pub(crate) fn multiplier(&self) -> Multiplier {
        Multiplier {
            a_bits: DISTANCE_BITS + 1,
            b: Ty::unsigned(SCALE_MANTISSA_BITS),
            stages: 3,
        }
    }

    /// Cycles after the score at which `mantissa` is read.
    pub const MANTISSA_AT: usize = 2;

    /// Cycles after the score at which `post` is read.
    pub fn post_at(&self) -> usize {
        Self::MANTISSA_AT + self.multiplier().latency()
    }

    /// Cycles from the score to the exponential: distance, shift, clip, product, rounding shift, clip, table.
    pub fn latency(&self) -> usize {
        self.post_at() + 3 + Exp2::LATENCY
    }
}

impl Block for Exponent {
    fn name(&self) -> String {
        format!("spatten_exponent_s{}", self.formats.score_bits())
    }

    fn about(&self) -> About {
        About {
            purpose: "One lane of the exponential unit: e = 2^-x with x = (maximum - score) * scale in UQ5.12,\n\
                      rounded half up and clipped; 0 for a dead key."
                .into(),
            parameters: vec![
                ("score_bits", self.formats.score_bits().to_string()),
                ("latency", self.latency().to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let score_bits = self.formats.score_bits();
        let score = m.input("score", Ty::signed(score_bits), "score s");
        let live = m.input("live", 1, "the key takes part");
        let maximum = m.input("maximum", Ty::signed(score_bits), "the row's maximum");
        let mantissa = m.input(
            "mantissa",
            SCALE_MANTISSA_BITS,
            "scale in [2^15, 2^16), 2 cycles after the score",
        );
        let pre = m.input("pre", SCALE_SHIFT_BITS, "shift of the distance");
        let post_doc = format!(
            "shift of the product, {} cycles after the score",
            self.post_at()
        );
        let post = m.input("post", SCALE_SHIFT_BITS, &post_doc);
        let e = m.output("e", EXPONENTIAL_BITS, "exponential; 1.0 is 65535 << 6");
        let live_out = m.output("live", 1, "the key takes part, with its exponential");

        m.section("the scale comes to all lanes: each has registers of its own");
        reg!(m, pre_q = pre);
        reg!(m, mantissa_q = mantissa);
        reg!(m, post_q = post);

        m.section("distance from the maximum; never negative for a live key");
        let distance = maximum.wrapping_sub(score).as_unsigned();
        reg!(m, distance_q = distance);

        m.section("d1: shifted and clipped");
        reg!(m, shifted_q = distance_q.shift_right_by(*pre_q));
        let clipped = if score_bits > DISTANCE_BITS {
            let over = shifted_q
                .slice(DISTANCE_BITS, score_bits - DISTANCE_BITS)
                .any();
            net!(m, clip = over);
            shifted_q.slice(0, DISTANCE_BITS) | clip.repeat(DISTANCE_BITS)
        } else {
            shifted_q.extend(DISTANCE_BITS)
        };
        reg!(m, d1_q = clipped);

        m.section("product with the mantissa");
        let multiplier = self.multiplier();
        let u_scale = m.instance("u_scale", &multiplier);
        u_scale.input("a", d1_q.to_signed()).input("b", mantissa_q);
        let product_bits = DISTANCE_BITS + SCALE_MANTISSA_BITS;
        let product = u_scale.output("product").as_unsigned();
        m.unused(
            "product_sign",
            product.slice(product_bits, product.width() - product_bits),
            "neither factor is negative",
        );

        m.section("x: shifted with one more fraction bit, then rounded half up and clipped");
        let doubled = product.slice(0, product_bits).shift_left(1);
        reg!(m, doubled_q = doubled.shift_right_by(*post_q));
        net!(m, rounded = *doubled_q + m.lit(1, 1));
        m.unused("half", rounded.bit(0), "rounded away");
        let x = rounded.slice(1, EXPONENT_BITS);
        let above = rounded.slice(1 + EXPONENT_BITS, rounded.width() - 1 - EXPONENT_BITS);
        net!(m, over = above.any());
        reg!(m, x_q = x | over.repeat(EXPONENT_BITS));

        m.section("table");
        let u_exp2 = m.instance("u_exp2", &Exp2);
        u_exp2
            .input("x", x_q)
            .input("valid", m.lit(1, 1))
            .ignore("valid", "softmax delays one flag for all lanes");
        let live = delay(m, "live", live, self.latency());
        let value = u_exp2.output("e");
        e.drive(value & live.repeat(EXPONENTIAL_BITS));
        live_out.drive(live);
    }
}

/// A line of scores in a register, with what belongs to its row.
pub(crate) struct ScoreLine<'m> {
    /// Scores.
    pub scores: Sig<'m>,
    /// Which of them belong to live keys.
    pub live: Sig<'m>,
    /// The row's maximum.
    pub maximum: Sig<'m>,
    /// Its scale.
    pub mantissa: Sig<'m>,
    /// Shift before the product.
    pub pre: Sig<'m>,
    /// Shift after the product.
    pub post: Sig<'m>,
}

impl<'m> ScoreLine<'m> {
    /// Registers for a line that enters where `issue` says so, with its row's maximum and scale.
    pub(crate) fn register(
        m: &'m Builder,
        issue: Sig<'m>,
        score: &Stream<'m>,
        maximum: &Stream<'m>,
        scale: &Stream<'m>,
    ) -> Self {
        reg!(m, scores_q = score.field("data"), when = issue);
        reg!(m, live_q = score.field("live"));
        reg!(m, maximum_q = maximum.data());
        reg!(m, mantissa_q = scale.field("mantissa"));
        reg!(m, pre_q = scale.field("pre"));
        reg!(m, post_q = scale.field("post"));
        ScoreLine {
            scores: *scores_q,
            live: *live_q,
            maximum: *maximum_q,
            mantissa: *mantissa_q,
            pre: *pre_q,
            post: *post_q,
        }
    }
}

impl Exponent {
    /// A lane for each score of a line: exponentials and live flags, [`latency`](Self::latency) cycles after the line.
    pub(crate) fn exponentials<'m>(
        &self,
        m: &'m Builder,
        lanes: usize,
        line: &ScoreLine<'m>,
    ) -> (Sig<'m>, Sig<'m>) {
        m.section("exponentials");
        let exponentials = m.wire("exponentials", lanes * EXPONENTIAL_BITS, "e of key k");
        let e_live = m.wire("e_live", lanes, "key k is live");
        let scores = line.scores.lanes(Ty::signed(self.formats.score_bits()));
        let live = line.live.lanes(1);
        let mantissa = delay(m, "mantissa_late", line.mantissa, Self::MANTISSA_AT);
        let post = delay(m, "post_late", line.post, self.post_at());
        m.generate("g_exponent", lanes, |k| {
            let u_exponent = m.instance("u_exponent", self);
            u_exponent
                .input("score", scores.at(k))
                .input("live", live.at(k))
                .input("maximum", line.maximum)
                .input("mantissa", mantissa)
                .input("pre", line.pre)
                .input("post", post);
            exponentials.drive_lane(k, u_exponent.output("e"));
            e_live.drive_lane(k, u_exponent.output("live"));
        });
        (*exponentials, *e_live)
    }
}
