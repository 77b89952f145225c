//! Maximum tree: the largest of the live lanes.

use super::delay::{delay, delay_flag};
use super::fifo::Fifo;
use super::tree::{self, Pairs};
use crate::hdl::{About, Block, Builder, Sig, Stream, Ty};
use crate::{net, reg};

/// `max = the largest of words[k] where live[k]`, a new word every cycle.
///
/// Dead lanes take no part. Without a live lane `live_o` is low and `max_o` the most negative word, which is neutral
/// for whoever goes on comparing.
///
/// - Latency: [`MaxTree::latency`] = ceil(log2(`lanes`) / `levels_per_stage`) cycles; interval: 1 cycle.
/// - Stalls: none; `valid_o` is `valid_i` delayed, and words of cycles without `valid_i` are not meant to be read.
/// - Ties cannot be told: only the value leaves.
#[derive(Clone, Debug)]
pub struct MaxTree {
    /// Words compared, at least 1.
    pub lanes: usize,
    /// Bits of a word (signed), 1 or more.
    pub width: usize,
    /// Levels of comparisons between registers, at least 1.
    pub levels_per_stage: usize,
}

impl MaxTree {
    /// Cycles from words to maximum.
    pub fn latency(&self) -> usize {
        tree::depth(self.lanes).div_ceil(self.levels_per_stage)
    }

    /// Type of a word.
    pub fn word(&self) -> Ty {
        Ty::signed(self.width)
    }

    fn check(&self) {
        assert!(
            self.lanes >= 1 && self.width >= 1 && self.levels_per_stage >= 1,
            "a maximum tree needs at least one lane, bit and level per stage: {self:?}"
        );
    }
}

/// The largest live word, or `None` when no lane is live.
///
/// # Panics
/// When the numbers of words and flags differ.
pub fn golden(words: &[i64], live: &[bool]) -> Option<i64> {
    assert_eq!(words.len(), live.len(), "one flag per word");
    let live = words.iter().zip(live).filter(|(_, live)| **live);
    live.map(|(word, _)| *word).max()
}

impl Block for MaxTree {
    fn name(&self) -> String {
        let MaxTree {
            lanes,
            width,
            levels_per_stage,
        } = self;
        format!("spatten_max_tree_n{lanes}_s{width}_r{levels_per_stage}")
    }

    fn about(&self) -> About {
        About {
            purpose: "Maximum tree: the largest of the live lanes' signed words. Without a live lane the live\n\
                      output is low and the maximum is the most negative word."
                .into(),
            parameters: vec![
                ("lanes", format!("{} of {}", self.lanes, self.word())),
                ("registers", tree::registers(self.levels_per_stage)),
                ("latency", format!("{} cycles", self.latency())),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        self.check();
        let (lanes, word) = (self.lanes, self.word());
        let valid = m.input("valid", 1, "words enter");
        let live = m.input("live", lanes, "the lane takes part");
        let words = m.input("words", lanes * self.width, "one signed word per lane");
        let valid_out = m.output("valid", 1, "the maximum leaves");
        let live_out = m.output("live", 1, "some lane took part");
        let max = m.output("max", word, "signed");

        m.section("dead lanes become the most negative word");
        let lowest = m.lit(1, 1).shift_left(self.width - 1).as_signed();
        let masked = m.per_lane("masked", lanes, word, "", |k| {
            live.lanes(1).at(k).select(words.lanes(word).at(k), lowest)
        });

        let mut words = masked.lanes(word);
        for level in 1..=tree::depth(lanes) {
            m.section(&format!("level {level}: the larger of two"));
            let pairs = Pairs::new(m, &format!("padded{level}"), words, lowest);
            words = pairs.map(m, &format!("max{level}"), word, |low, high| {
                high.gt(low).select(high, low)
            });
            if level.is_multiple_of(self.levels_per_stage) || level == tree::depth(lanes) {
                let name = format!("max{level}_q");
                let register = m.register(&name, words.bus.width(), None, "");
                register.next(words.bus);
                words = register.lanes(word);
            }
        }

        m.section("results");
        valid_out.drive(delay_flag(m, "valid", valid, self.latency()));
        live_out.drive(delay(m, "live", live.any(), self.latency()));
        max.drive(words.lane(0));
    }
}

/// A line of words whose row's maximum is wanted.
pub(crate) struct RowLine<'m> {
    /// A line enters.
    pub valid: Sig<'m>,
    /// Its words.
    pub words: Sig<'m>,
    /// Which of them take part.
    pub live: Sig<'m>,
    /// It is the row's last one.
    pub last: Sig<'m>,
    /// With the last line: the row's maximum leaves. Those of other rows are dropped.
    pub sends: Option<Sig<'m>>,
}

impl MaxTree {
    /// Cycles from a row's last line to its maximum in [`row_maxima`](Self::row_maxima).
    pub(crate) fn row_latency(&self) -> usize {
        self.latency() + Fifo::LATENCY as usize
    }

    /// The maximum of each row, collected over its lines; meaningless for a row without live words. Maxima wait in a FIFO
    /// of `places`, which the caller counts.
    pub(crate) fn row_maxima<'m>(
        &self,
        m: &'m Builder,
        line: RowLine<'m>,
        places: usize,
    ) -> Stream<'m> {
        m.section("maximum of the row, collected over its lines");
        let u_max = m.instance("u_max_tree", self);
        u_max
            .input("valid", line.valid)
            .input("words", line.words)
            .input("live", line.live);
        let latency = self.latency();
        let seen = u_max.output("valid");
        let line_was_last = delay(m, "max_tree_last", line.last, latency);
        let line_max = u_max.output("max");
        let line_any = u_max.output("live");
        reg!(m, row_any_q: 1, reset = 0, "a live key was seen in this row");
        reg!(m, row_max_q: self.word(), "valid with row_any_q");
        net!(
            m,
            better = (!row_any_q) | (line_any & line_max.gt(row_max_q)),
            "the first line seen always is"
        );
        net!(m, row_max = better.select(line_max, row_max_q));
        row_any_q.next_when(seen, (row_any_q | line_any) & !line_was_last);
        row_max_q.next_when(seen, row_max);
        let done = match line.sends {
            Some(sends) => seen & line_was_last & delay(m, "max_tree_sends", sends, latency),
            None => seen & line_was_last,
        };
        net!(m, row_done = done);
        let ready = m.wire("row_max_ready", 1, "");
        let found = Stream::new(row_done, ready, vec![("data".into(), row_max)]);
        m.never(row_done & !ready, "a maximum found no place");
        let fifo = Fifo::new(self.width, places);
        m.through("u_maximum_fifo", &fifo, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::pipeline_test::{check, pack, word};
    use num_bigint::BigUint;

    #[test]
    fn the_largest_live_word_wins_for_every_mask() {
        let width = 4;
        for lanes in [1, 2, 3, 5, 8] {
            for levels_per_stage in [1, 2, 4] {
                let tree = MaxTree {
                    lanes,
                    width,
                    levels_per_stage,
                };
                let words: Vec<i64> = (0..lanes as i64).map(|k| (k * 5 + 3) % 16 - 8).collect();
                let lowest = vec![-8; lanes];
                let mut vectors = Vec::new();
                for mask in 0_usize..1 << lanes {
                    let live: Vec<bool> = (0..lanes).map(|k| mask >> k & 1 == 1).collect();
                    for words in [&words, &lowest] {
                        let max = golden(words, &live);
                        let inputs =
                            vec![("live", BigUint::from(mask)), ("words", pack(words, width))];
                        let outputs = vec![
                            ("live", BigUint::from(u8::from(max.is_some()))),
                            ("max", word(max.unwrap_or(-8), width)),
                        ];
                        vectors.push((inputs, outputs));
                    }
                }
                check(&tree, tree.latency(), &vectors);
            }
        }
    }
}
