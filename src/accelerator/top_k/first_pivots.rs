//! Pivots of the first pass: two samples around the wanted rank.

use super::sampler::Sampler;
use crate::hdl::{About, Block, Builder, Sig};
use crate::numerics::{index_bits, log2_exact, value_bits};
use crate::{net, reg};

/// Takes a key from every 2^s-th line of the first half of a selection, so that up to [`SAMPLES`](Self::SAMPLES) spread
/// over it, and chooses the samples below and above the one at the wanted rank.
///
/// With m samples the rank of the k-th largest of n keys among them is k m / n, give or take sqrt(m k/n (1 - k/n)); the
/// pivots stand 0.8 of that to both sides, in sixteenths of a rank.
///
/// - Latency: [`FirstPivots::LATENCY`] cycles from `prepare_i` to the pivots, which then stay.
/// - Stalls: none.
#[derive(Clone, Debug)]
pub struct FirstPivots {
    /// Bits of a key.
    pub width: usize,
    /// Keys per line, a power of two.
    pub inputs: usize,
    /// Most keys of a selection.
    pub max_keys: usize,
}

impl FirstPivots {
    /// Places of the sampler.
    pub const SAMPLES: usize = 16;

    /// Cycles from `prepare_i` to the pivots.
    pub const LATENCY: u64 = 3;

    /// Lines before half the selection at which there are enough samples: about as many as the pivots take cycles.
    const LINES_AHEAD: u64 = 4;

    /// Bits of the quotient 16 k / n.
    const QUOTIENT_BITS: usize = 4;

    fn count_bits(&self) -> usize {
        value_bits(self.max_keys)
    }

    /// Bits of a number of lines of half a selection.
    fn half_bits(&self) -> usize {
        value_bits((self.max_keys / (2 * self.inputs)).max(1))
    }

    /// The sorted samples.
    pub fn sampler(&self) -> Sampler {
        Sampler {
            width: self.width,
            samples: Self::SAMPLES,
        }
    }
}

impl Block for FirstPivots {
    fn name(&self) -> String {
        format!(
            "spatten_first_pivots_w{}_i{}_n{}",
            self.width, self.inputs, self.max_keys
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Pivots of a selection's first pass: two of the sorted samples of its first half, around the rank of\n\
                      the k-th largest key among them."
                .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("inputs", self.inputs.to_string()),
                ("max_keys", self.max_keys.to_string()),
                ("samples", Self::SAMPLES.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let FirstPivots { width, inputs, .. } = *self;
        let bits = self.count_bits();
        let accept = m.input("accept", 1, "a selection begins");
        let k = m.input(
            "k",
            bits,
            "with accept: how many of its keys stay, less than keys",
        );
        let keys = m.input("keys", bits, "with accept: its keys");
        let line = m.input("line", 1, "a line comes");
        let data = m.input("data", inputs * width, "");
        let ranked = m.input("ranked", inputs, "lane k has a key");
        let prepare = m.input("prepare", 1, "the pivots are wanted: no more samples");
        let enough = m.output(
            "enough",
            1,
            "half of the lines have come, and the rank is known",
        );
        let low = m.output("low", width, "lower pivot");
        let high = m.output("high", width, "upper pivot");

        m.section("quotient 16 k / n, two bits per cycle");
        let fraction = self.fraction(m, accept, k, keys);

        m.section("which lines are sampled, and when there are enough");
        let half_bits = self.half_bits();
        let half_shift = log2_exact(2 * inputs);
        let half = match bits > half_shift {
            true => keys.slice(half_shift, bits - half_shift).resize(half_bits),
            false => m.lit(0, half_bits),
        };
        let half = m.net("half", half, "lines of half the selection");
        reg!(m, half_q = half, when = accept);
        reg!(m, lines_q: half_bits + 1, reset = 0, "lines so far, at most the largest number");
        let most = lines_q.all();
        let zero = m.lit(0, half_bits + 1);
        let following = lines_q.wrapping_add(m.lit(1, half_bits + 1));
        lines_q.next_when(accept | (line & !most), accept.select(zero, following));
        let wide = (half_bits + 1).max(3);
        let ahead = lines_q.extend(wide) + m.lit(Self::LINES_AHEAD, wide);
        let nearly_half = ahead.ge(half_q.extend(wide + 1));
        let two = lines_q.shift_right(1).any();
        reg!(m, enough_lines_q = nearly_half & two & !accept, reset = 0);
        enough.drive(*enough_lines_q & fraction.known);
        let due = self.due(m, *half_q, *lines_q);

        m.section("a sample: of the lines' lanes in turn");
        let lane_bits = index_bits(inputs);
        let lines = lines_q.resize(lane_bits);
        let lane = match lane_bits {
            0..=2 => lines,
            bits => {
                let times_4 = m.cat(&[lines_q.resize(bits - 2), m.lit(0, 2)]);
                m.net(
                    "lane",
                    lines.wrapping_add(times_4),
                    "5 times the line's number",
                )
            }
        };
        let (key, has_key) = match inputs {
            1 => (data, ranked),
            _ => {
                let keys = data.lanes(width).to_vec();
                let arm = |k: usize| (k as u64, keys[k]);
                let arms: Vec<_> = (0..inputs - 1).map(arm).collect();
                let key = m.case("key", lane, &arms, keys[inputs - 1], "");
                let flags: Vec<_> = (0..inputs).map(|k| (k as u64, ranked.bit(k))).collect();
                let last = ranked.bit(inputs - 1);
                (key, m.case("has_key", lane, &flags[..inputs - 1], last, ""))
            }
        };
        reg!(m, closed_q: 1, reset = 0, "no more samples");
        closed_q.next_when(accept | prepare, !accept);
        m.never(accept & line, "a line comes before its selection");
        // No key comes with accept: the samples of the selection before may go a cycle later.
        reg!(m, clear_q = accept, reset = 0);
        reg!(m, insert_q = line & has_key & due & !*closed_q, reset = 0);
        reg!(m, key_q = key);
        let u_sampler = m.instance("u_sampler", &self.sampler());
        u_sampler
            .input("clear", *clear_q)
            .input("insert", *insert_q & !*closed_q & !prepare)
            .input("key", key_q);
        net!(m, sorted = u_sampler.output("sorted"));
        net!(m, count = u_sampler.output("count"));

        m.section("first cycle: rank among the samples, in sixteenths");
        let rank_bits = Self::QUOTIENT_BITS + count.width();
        let wide = count.extend(rank_bits);
        let terms = (0..Self::QUOTIENT_BITS).map(|bit| {
            let there = fraction.quotient.bit(bit).repeat(rank_bits);
            wide.shift_left(bit).resize(rank_bits) & there
        });
        let half_rank = count.shift_right(1).extend(rank_bits);
        let rank = terms.fold(half_rank, Sig::wrapping_add);
        reg!(m, rank_q = rank);
        let at_end = fraction.quotient.lt(m.lit(2, 4)) | fraction.quotient.gt(m.lit(13, 4));
        let many = count.gt(m.lit(8, count.width()));
        let some = count.gt(m.lit(4, count.width()));
        let wide_margin = at_end.select(m.lit(16, rank_bits), m.lit(24, rank_bits));
        let few_margin = some.select(m.lit(14, rank_bits), m.lit(10, rank_bits));
        reg!(
            m,
            margin_q = many.select(wide_margin, few_margin),
            "to both sides"
        );

        m.section("second cycle: places from the top");
        let place_bits = index_bits(Self::SAMPLES);
        reg!(m, held_q = count);
        let far = rank_q.lt(*margin_q);
        let up = rank_q.wrapping_sub(*margin_q);
        let up = far.select(m.lit(0, rank_bits), up);
        let down = rank_q.wrapping_add(*margin_q);
        net!(m, up = up);
        net!(m, down = down);
        let rest = m.cat(&[up.slice(8, rank_bits - 8), up.slice(0, 4), down.slice(0, 4)]);
        m.unused(
            "rank_rest",
            rest,
            "whole ranks only; those from the top are less than 16",
        );
        let above = up.slice(4, place_bits);
        let below = down.slice(4, count.width());
        net!(m, last = held_q.wrapping_sub(m.lit(1, count.width())));
        let top = last.slice(0, place_bits);
        let high_place = top.wrapping_sub(above);
        let under = top.wrapping_sub(below.slice(0, place_bits));
        let under = under.wrapping_sub(m.lit(1, place_bits));
        let low_place = below.ge(last).select(m.lit(0, place_bits), under);
        reg!(m, high_place_q = high_place);
        let few = held_q.le(m.lit(2, count.width()));
        reg!(m, low_place_q = few.select(high_place, low_place));
        reg!(
            m,
            none_q = !held_q.any(),
            "without samples the pivots are zero"
        );

        m.section("third cycle: the pivots");
        let places = sorted.lanes(width).to_vec();
        let arms: Vec<_> = (0..).zip(places).collect();
        let (last, others) = arms.split_last().expect("there are samples");
        let gate = none_q.repeat(width);
        let chosen_low = m.case("chosen_low", *low_place_q, others, last.1, "");
        let chosen_high = m.case("chosen_high", *high_place_q, others, last.1, "");
        reg!(m, low_q = chosen_low & !gate);
        reg!(m, high_q = chosen_high & !gate);
        low.drive(low_q);
        high.drive(high_q);
    }
}

/// The quotient 16 k / n.
struct Fraction<'m> {
    quotient: Sig<'m>,
    known: Sig<'m>,
}

impl FirstPivots {
    /// Restoring division, two bits per cycle from the cycle after `accept`.
    fn fraction<'m>(
        &self,
        m: &'m Builder,
        accept: Sig<'m>,
        k: Sig<'m>,
        keys: Sig<'m>,
    ) -> Fraction<'m> {
        let bits = self.count_bits();
        reg!(m, divisor_q = keys, when = accept);
        reg!(m, remainder_q: bits, "less than the divisor");
        reg!(m, quotient_q: Self::QUOTIENT_BITS);
        reg!(m, first_two_q = accept, reset = 0);
        reg!(m, last_two_q = *first_two_q, reset = 0);
        net!(m, going = *first_two_q | *last_two_q);
        let mut rest = *remainder_q;
        let mut bits_found = Vec::new();
        for step in ["first", "second"] {
            let twice = m.net(&format!("twice_{step}"), rest.shift_left(1), "");
            let fits = twice.ge(divisor_q.extend(bits + 1));
            let fits = m.net(&format!("fits_{step}"), fits, "");
            let low = twice.slice(0, bits);
            rest = fits.select(low.wrapping_sub(*divisor_q), low);
            bits_found.push(fits);
        }
        remainder_q.next_when(accept | going, accept.select(k, rest));
        let shifted = m.cat(&[quotient_q.slice(0, 2), bits_found[0], bits_found[1]]);
        quotient_q.next_when(going, shifted);
        Fraction {
            quotient: *quotient_q,
            known: !going,
        }
    }

    /// Whether a line is sampled: every one, or every second, fourth, ... where half the selection has more lines than
    /// there are places.
    fn due<'m>(&self, m: &'m Builder, half: Sig<'m>, lines: Sig<'m>) -> Sig<'m> {
        let mut due = m.lit(1, 1);
        let mut shift = 0;
        while Self::SAMPLES << shift < 1 << half.width() {
            let more = half.gt(m.lit((Self::SAMPLES << shift) as u64, half.width()));
            due = due & (!more | !lines.bit(shift));
            shift += 1;
        }
        m.net("due", due, "the line is sampled")
    }
}
