//! Zero eliminator: kept lanes move to the low lanes, in order.
//!
//! A prefix sum counts the dropped lanes below each lane; a kept lane moves down by that count, one bit of it per layer
//! of shifters: `[a,0,b,0,c,d,0,e]` becomes `[a,b,c,d,e,0,0,0]`.

use super::prefix_sum::PrefixSum;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::value_bits;
use crate::{net, reg};

/// A stream of words of `lanes` lanes with a keep flag each.
///
/// - Latency: 2 cycles (counts, shifters); interval: 1 cycle.
/// - Stalls: ready passes combinationally from the output; nothing else does.
#[derive(Clone, Debug)]
pub struct ZeroEliminator {
    /// Lanes, at least 1.
    pub lanes: usize,
    /// Bits of a lane.
    pub width: usize,
}

/// The kept lanes in order, then zeros; and how many were kept.
///
/// # Panics
/// When there is not one flag per lane.
pub fn golden(lanes: &[i64], keep: &[bool]) -> (Vec<i64>, usize) {
    assert_eq!(lanes.len(), keep.len(), "one keep flag per lane");
    let kept = lanes.iter().zip(keep).filter(|(_, keep)| **keep);
    let mut packed: Vec<i64> = kept.map(|(lane, _)| *lane).collect();
    let count = packed.len();
    packed.resize(lanes.len(), 0);
    (packed, count)
}

impl ZeroEliminator {
    /// Cycles from a transfer in to the first cycle the word can leave.
    pub const LATENCY: u64 = 2;

    /// Bits of the kept lanes' count.
    pub fn count_bits(&self) -> usize {
        value_bits(self.lanes)
    }

    /// Layers of shifters: bits of the largest move.
    fn layers(&self) -> usize {
        if self.lanes == 1 {
            0
        } else {
            value_bits(self.lanes - 1)
        }
    }
}

impl Block for ZeroEliminator {
    fn name(&self) -> String {
        format!("spatten_zero_eliminator_n{}_w{}", self.lanes, self.width)
    }

    fn about(&self) -> About {
        About {
            purpose: "Zero eliminator: the kept lanes of a word move to its low lanes, in order; the lanes above are\n\
                      zero. A prefix sum counts how far each lane moves, layers of shifters move it."
                .into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("width", self.width.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (n, width) = (self.lanes, self.width);
        let input = m.stream_in(
            "in",
            &[
                Field::new("data", n * width, &format!("{n} lanes of {width} bits")),
                Field::new("keep", n, "lane k is kept"),
            ],
        );
        let out = m.stream_out(
            "out",
            &[
                Field::new("data", n * width, "kept lanes in order, then zeros"),
                Field::new("count", self.count_bits(), "kept lanes"),
            ],
        );

        m.section("first stage: how far each lane moves");
        reg!(m, counted_q: 1, reset = 0, "a word is in the first stage");
        reg!(m, packed_q: 1, reset = 0, "a word is in the second stage");
        net!(m, packed_room = out.ready | !packed_q);
        net!(m, counted_room = packed_room | !counted_q);
        net!(m, take = input.valid & counted_room);
        input.ready.drive(counted_room);
        counted_q.next_when(counted_room, input.valid);
        let keep = input.field("keep");
        let sums = PrefixSum { lanes: n };
        let u_dropped = m.instance("u_dropped", &sums);
        u_dropped.input("flags", !keep);
        let bits = sums.count_bits();
        let lane_count = m.lit(n as u64, bits);
        reg!(m, keep_q = keep, when = take);
        reg!(m, data_q = input.data(), when = take);
        let kept = lane_count.wrapping_sub(u_dropped.output("total"));
        reg!(m, kept_q = kept, when = take);
        let moves = self.moves(m, u_dropped.output("counts"), take);

        m.section("second stage: a layer of shifters per bit of the move");
        net!(m, shift = counted_q & packed_room);
        packed_q.next_when(packed_room, counted_q);
        let packed = self.pack(m, *data_q, *keep_q, &moves);
        reg!(m, out_data_q = packed, when = shift);
        reg!(m, count_q = kept_q, when = shift);
        out.drive(packed_q, &[("data", *out_data_q), ("count", *count_q)]);
    }
}

/// A lane on its way down.
#[derive(Clone, Copy)]
struct Lane<'m> {
    /// Its word; zero when dropped.
    data: Sig<'m>,
    /// How far it still moves, lowest bit first used; none for lanes that cannot move.
    moves: Option<Sig<'m>>,
}

impl<'m> Lane<'m> {
    /// The lane, and the moves left after this layer, where `condition` of its moves holds; zero elsewhere.
    fn gated(self, m: &'m Builder, condition: impl Fn(Sig<'m>) -> Sig<'m>) -> Self {
        let here = match self.moves {
            Some(moves) => condition(moves),
            None => m.lit(1, 1),
        };
        let gate = |word: Sig<'m>| word & here.repeat(word.width());
        let left = self.moves.filter(|moves| moves.width() > 1);
        Lane {
            data: self.moves.map_or(self.data, |_| gate(self.data)),
            moves: left.map(|moves| gate(moves.shift_right(1))),
        }
    }

    fn named(self, m: &'m Builder, layer: usize, k: usize) -> Self {
        Lane {
            data: m.net(&format!("layer{layer}_data{k}"), self.data, ""),
            moves: self
                .moves
                .map(|moves| m.net(&format!("layer{layer}_moves{k}"), moves, "")),
        }
    }
}

impl ZeroEliminator {
    /// Registered moves of every lane; lane 0 never moves.
    pub(crate) fn moves<'m>(
        &self,
        m: &'m Builder,
        counts: Sig<'m>,
        take: Sig<'m>,
    ) -> Vec<Option<Sig<'m>>> {
        let (bits, layers) = (self.count_bits(), self.layers());
        let counts = counts.lanes(bits).to_vec();
        let mut unused = vec![counts[0]];
        let mut moves = vec![None];
        for (k, count) in counts.iter().enumerate().skip(1) {
            if bits > layers {
                unused.push(count.slice(layers, bits - layers));
            }
            let register = m.register(&format!("moves{k}_q"), layers, None, "");
            register.next_when(take, count.slice(0, layers));
            moves.push(Some(*register));
        }
        m.unused("counts_rest", m.pack(&unused), "no lane moves so far");
        moves
    }

    /// The kept lanes of `data` at the bottom, zeros above: `log2(lanes)` layers of multiplexers.
    pub(crate) fn pack<'m>(
        &self,
        m: &'m Builder,
        data: Sig<'m>,
        keep: Sig<'m>,
        moves: &[Option<Sig<'m>>],
    ) -> Sig<'m> {
        let width = self.width;
        let lanes = (0..self.lanes).map(|k| {
            let kept = keep.bit(k);
            let moves = moves[k].map(|moves| moves & kept.repeat(moves.width()));
            Lane {
                data: data.slice(k * width, width) & kept.repeat(width),
                moves: moves.map(|moves| m.net(&format!("moves{k}"), moves, "")),
            }
        });
        self.shifters(m, lanes.collect())
    }

    /// Moves every lane down, by 1, 2, 4, ... lanes. The moves of kept lanes never decrease upwards and grow by at most
    /// the lanes between them, so no two lanes meet.
    fn shifters<'m>(&self, m: &'m Builder, lanes: Vec<Lane<'m>>) -> Sig<'m> {
        let n = self.lanes;
        let mut lanes = lanes;
        for layer in 0..self.layers() {
            let reach = 1 << layer;
            lanes = (0..n)
                .map(|k| {
                    let staying = lanes[k].gated(m, |moves| !moves.bit(0));
                    let above = lanes.get(k + reach).filter(|above| above.moves.is_some());
                    let Some(above) = above else {
                        return staying.named(m, layer, k);
                    };
                    let arriving = above.gated(m, |moves| moves.bit(0));
                    let moves = match (staying.moves, arriving.moves) {
                        (Some(a), Some(b)) => Some(a | b),
                        (a, b) => a.or(b),
                    };
                    let data = staying.data | arriving.data;
                    Lane { data, moves }.named(m, layer, k)
                })
                .collect();
        }
        let data: Vec<_> = lanes.iter().map(|lane| lane.data).collect();
        m.pack(&data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdl::{Evaluator, elaborate};
    use num_bigint::BigUint;

    /// What one word becomes in the evaluator.
    fn eliminate(lanes: &[i64], keep: &[bool], width: usize) -> (Vec<i64>, usize) {
        let block = ZeroEliminator {
            lanes: lanes.len(),
            width,
        };
        let mut evaluator = Evaluator::new(elaborate(&block));
        evaluator.reset();
        let port = |e: &Evaluator, name: &str| e.module().port_index(name).unwrap();
        let pack = |values: Vec<u64>, width: usize| {
            let lanes = values.iter().rev();
            lanes.fold(BigUint::ZERO, |word, v| (word << width) | BigUint::from(*v))
        };
        let data = pack(lanes.iter().map(|&lane| lane as u64).collect(), width);
        let flags = pack(keep.iter().map(|&k| u64::from(k)).collect(), 1);
        for (name, value) in [
            ("in_valid_i", BigUint::from(1u8)),
            ("out_ready_i", BigUint::from(1u8)),
            ("in_data_i", data),
            ("in_keep_i", flags),
        ] {
            let port = port(&evaluator, name);
            evaluator.set(port, &value);
        }
        for _ in 0..ZeroEliminator::LATENCY {
            evaluator.tick().unwrap();
        }
        let mut get = |name: &str| {
            let port = port(&evaluator, name);
            evaluator.get(port).clone()
        };
        assert_eq!(get("out_valid_o"), BigUint::from(1u8));
        let count = usize::try_from(get("out_count_o")).unwrap();
        let word = get("out_data_o");
        let mask = (BigUint::from(1u8) << width) - 1u8;
        let lane = |k: usize| i64::try_from((&word >> (k * width)) & &mask).unwrap();
        ((0..lanes.len()).map(lane).collect(), count)
    }

    #[test]
    fn the_worked_example_comes_out_packed() {
        let keep = [1, 0, 1, 0, 1, 1, 0, 1].map(|k| k == 1);
        let lanes = [10, 0, 11, 0, 12, 13, 0, 14];
        let expected = (vec![10, 11, 12, 13, 14, 0, 0, 0], 5);
        assert_eq!(golden(&lanes, &keep), expected);
        assert_eq!(eliminate(&lanes, &keep, 4), expected);
    }

    #[test]
    fn every_choice_of_kept_lanes_is_packed_in_order() {
        for lanes in 1..=6 {
            let words: Vec<i64> = (1..=lanes as i64).collect();
            for mask in 0..1 << lanes {
                let keep: Vec<bool> = (0..lanes).map(|k| mask >> k & 1 == 1).collect();
                assert_eq!(
                    eliminate(&words, &keep, 3),
                    golden(&words, &keep),
                    "keep {keep:?}"
                );
            }
        }
    }
}
