//! The queue of one memory channel: takes the first two of the scanned vectors that go to it.

use crate::cells::counter::ring_pointer;
use crate::cells::one_hot::chosen;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::value_bits;
use crate::{net, reg};

/// A queue into which up to two words enter per cycle, chosen among lanes.
///
/// - Latency: 1 cycle from a lane to the output; interval: two words in and one out per cycle.
/// - Stalls: takes nothing while fewer than two places are free; neither side's handshake reaches the other within a
///   cycle.
#[derive(Clone, Debug)]
pub struct ChannelQueue {
    /// Lanes that may have words for the channel.
    pub lanes: usize,
    /// Bits of a lane's own part of a word.
    pub width: usize,
    /// Bits of the part that all lanes have in common.
    pub common_width: usize,
    /// Words held, an even number from 4 on.
    pub depth: usize,
}

impl ChannelQueue {
    /// Cycles from a lane to the output.
    pub const LATENCY: u64 = 1;
}

impl Block for ChannelQueue {
    fn name(&self) -> String {
        format!(
            "spatten_channel_queue_n{}_w{}_{}_d{}",
            self.lanes, self.width, self.common_width, self.depth
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Queue of a memory channel: the words of the first two lanes that hit the channel enter, in order, if\n\
                      two places are free. Even and odd places are memories of their own, each written once per cycle."
                .into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("width", self.width.to_string()),
                ("common_width", self.common_width.to_string()),
                ("depth", self.depth.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (n, width) = (self.lanes, self.width);
        assert!(
            self.depth >= 4 && self.depth.is_multiple_of(2),
            "a queue of {} places",
            self.depth
        );
        let hits = m.input("hits", n, "lane k has a word for the channel");
        let words = m.input("words", n * width, "own part of lane k's word");
        let common = m.input("common", self.common_width, "part of all lanes' words");
        let taken = m.output("taken", n, "lane k's word enters");
        let doc = "own part, common part, same order";
        let out_field = [Field::new("data", width + self.common_width, doc)];
        let all = m.output("all", 1, "every lane that hits enters");
        let out = m.stream_out("out", &out_field);

        m.section("the first two lanes that hit");
        let (first, second) = self.first_two(m, hits);
        reg!(m, held_q: value_bits(self.depth), reset = 0, "words");
        let limit = m.lit(self.depth as u64 - 1, held_q.width());
        net!(m, room = held_q.lt(limit), "for two");
        taken.drive((first | second) & room.repeat(n));
        // By itself, not by the lanes taken: the end of the batch has a long way behind it.
        net!(m, none = !hits.any());
        let fit = match self.has_three(m, hits) {
            Some(three) => room & !three,
            None => room,
        };
        all.drive(none | fit);

        m.section("words enter and leave");
        net!(m, one = first.any() & room);
        net!(m, two = second.any() & room);
        let pop = m.wire("pop", 1, "");
        let lit = |value: u64| m.lit(value, held_q.width());
        let grown = two.select(lit(2), one.extend(held_q.width()));
        let shrunk = held_q.wrapping_sub(pop.extend(held_q.width()));
        held_q.next(shrunk.wrapping_add(grown));

        m.section("even and odd places");
        reg!(m, enters_odd_q: 1, reset = 0, "the next word enters an odd place");
        enters_odd_q.next(*enters_odd_q ^ (one & !two));
        let lanes = words.lanes(width).to_vec();
        let first_word = m.net("first_word", chosen(first, &lanes), "");
        let second_word = m.net("second_word", chosen(second, &lanes), "");
        let rows = self.depth / 2;
        reg!(m, leaves_odd_q: 1, reset = 0);
        leaves_odd_q.next(*leaves_odd_q ^ *pop);
        let mut heads = Vec::new();
        for (odd, name) in ["even", "odd"].into_iter().enumerate() {
            let is_first = match odd {
                0 => !*enters_odd_q,
                _ => *enters_odd_q,
            };
            let is_first = m.net(&format!("{name}_first"), is_first, "");
            let writes = m.net(&format!("{name}_writes"), is_first.select(one, two), "");
            let word = m.cat(&[is_first.select(first_word, second_word), common]);
            let leaves = match odd {
                0 => !*leaves_odd_q,
                _ => *leaves_odd_q,
            };
            let reads = m.net(&format!("{name}_reads"), *pop & leaves, "");
            let write = ring_pointer(m, &format!("{name}_write_q"), rows, writes, "");
            let read = ring_pointer(m, &format!("{name}_read_q"), rows, reads, "");
            heads.push(m.register_file(name, rows, (writes, write, word), read));
        }
        net!(m, valid = held_q.any());
        pop.drive(valid & out.ready);
        out.drive(valid, &[("data", leaves_odd_q.select(heads[1], heads[0]))]);
    }
}

impl ChannelQueue {
    /// Whether more lanes hit than can enter, where there are so many: of halves, quarters and so on, are there one, two,
    /// three?
    fn has_three<'m>(&self, m: &'m Builder, hits: Sig<'m>) -> Option<Sig<'m>> {
        type Counts<'m> = [Option<Sig<'m>>; 3];
        let both = |a: Option<Sig<'m>>, b: Option<Sig<'m>>| Some(a? & b?);
        let any = |of: &[Option<Sig<'m>>]| of.iter().flatten().copied().reduce(|a, b| a | b);
        let mut parts: Vec<Counts> = (0..self.lanes)
            .map(|k| [Some(hits.bit(k)), None, None])
            .collect();
        let mut lanes = 1;
        while parts.len() > 1 {
            lanes *= 2;
            let is_last = parts.len() == 2;
            let join = |(index, pair): (usize, &[Counts<'m>])| {
                let [[a1, a2, a3], [b1, b2, b3]] = *pair else {
                    return pair[0];
                };
                let count = |name: &str, of: &[Option<Sig<'m>>]| {
                    any(of).map(|count| m.net(&format!("{name}_of{lanes}_{index}"), count, ""))
                };
                let below = |name: &str, of: &[Option<Sig<'m>>]| match is_last {
                    true => None,
                    false => count(name, of),
                };
                [
                    below("one", &[a1, b1]),
                    below("two", &[a2, b2, both(a1, b1)]),
                    count("three", &[a3, b3, both(a2, b1), both(a1, b2)]),
                ]
            };
            parts = parts.chunks(2).enumerate().map(join).collect();
        }
        parts[0][2]
    }

    /// The first and the second set flag, each one-hot: of the lanes below one, are there any, are there two?
    fn first_two<'m>(&self, m: &'m Builder, hits: Sig<'m>) -> (Sig<'m>, Sig<'m>) {
        let n = self.lanes;
        // Of the lanes that end with lane k; the last one is below none.
        let mut any: Vec<Sig> = (0..n - 1).map(|k| hits.bit(k)).collect();
        let mut two: Vec<Option<Sig>> = vec![None; n - 1];
        let mut reach = 1;
        while reach < n - 1 {
            let name = |what: &str, k: usize| format!("{what}{}_{k}", 2 * reach);
            let level = (0..n - 1).map(|k| {
                let Some(below) = k.checked_sub(reach) else {
                    return (any[k], two[k]);
                };
                let joined = any[k] & any[below];
                let joined = [two[k], two[below]]
                    .into_iter()
                    .flatten()
                    .fold(joined, |a, b| a | b);
                let any = m.net(&name("any", k), any[k] | any[below], "");
                (any, Some(m.net(&name("two", k), joined, "")))
            });
            (any, two) = level.collect();
            reach *= 2;
        }
        let first = |k: usize| match k {
            0 => hits.bit(0),
            k => hits.bit(k) & !any[k - 1],
        };
        let second = |k: usize| match k {
            0 => m.lit(0, 1),
            k => match two[k - 1] {
                Some(two) => hits.bit(k) & any[k - 1] & !two,
                None => hits.bit(k) & any[k - 1],
            },
        };
        let first = m.pack(&(0..n).map(first).collect::<Vec<_>>());
        let second = m.pack(&(0..n).map(second).collect::<Vec<_>>());
        let first = m.net("first", first, "one-hot");
        (first, m.net("second", second, "one-hot"))
    }
}
