//! Sampler: the first keys offered, kept sorted.

use crate::hdl::{About, Block, Builder};
use crate::numerics::value_bits;
use crate::{net, reg};

/// A sorted list of at most `samples` keys; one is inserted per cycle, keys beyond the last place are refused.
///
/// - Latency: 1 cycle from a key to its place in the list; interval: 1 cycle.
/// - Stalls: none.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// Bits of a key.
    pub width: usize,
    /// Places, at least 1.
    pub samples: usize,
}

impl Sampler {
    /// Bits of the number of keys held.
    pub fn count_bits(&self) -> usize {
        value_bits(self.samples)
    }
}

impl Block for Sampler {
    fn name(&self) -> String {
        format!("spatten_sampler_w{}_n{}", self.width, self.samples)
    }

    fn about(&self) -> About {
        About {
            purpose: "Sampler: the first keys since clear, in ascending order. A new key goes behind those that are not\n\
                      larger; the larger ones move up a place."
                .into(),
            parameters: vec![
                ("width", self.width.to_string()),
                ("samples", self.samples.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let clear = m.input(
            "clear",
            1,
            "forget all keys; none is inserted in this cycle",
        );
        let insert = m.input("insert", 1, "");
        let key = m.input("key", self.width, "");
        let sorted = m.output(
            "sorted",
            self.samples * self.width,
            "place k: the k-th smallest; undefined from count on",
        );
        let count = m.output("count", self.count_bits(), "keys held");

        m.section("keys held, as a mask and as a number");
        reg!(m, held_q: self.samples, reset = 0, "place k has a key: the low places first");
        reg!(m, count_q: self.count_bits(), reset = 0);
        net!(m, room = !held_q.bit(self.samples - 1));
        net!(m, write = insert & room);
        let one_more = match self.samples {
            1 => m.lit(1, 1),
            n => m.pack(&[m.lit(1, 1), held_q.slice(0, n - 1)]),
        };
        let none = m.lit(0, self.samples);
        held_q.next_when(clear | write, clear.select(none, one_more));
        let following = count_q.wrapping_add(m.lit(1, self.count_bits()));
        let empty = m.lit(0, self.count_bits());
        count_q.next_when(clear | write, clear.select(empty, following));

        m.section("places: a key stays below the new one, takes it, or moves up");
        let mut places: Vec<crate::hdl::Reg> = Vec::new();
        let mut below = m.lit(1, 1);
        for k in 0..self.samples {
            let place = m.register(&format!("place{k}_q"), self.width, None, "");
            let stays = held_q.bit(k) & place.le(key);
            let stays = m.net(&format!("stays{k}"), stays, "");
            let moved = match places.last() {
                Some(lower) => below.select(key, **lower),
                None => key,
            };
            place.next_when(write & !stays, moved);
            places.push(place);
            below = stays;
        }
        let places: Vec<_> = places.iter().map(|place| **place).collect();
        sorted.drive(m.pack(&places));
        count.drive(count_q);
    }
}
