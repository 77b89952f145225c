//! Arbiter: several streams share one, in turn.

use crate::cells::one_hot::{chosen, lowest};
use crate::hdl::{About, Block, Builder, Field};
use crate::net;
use crate::numerics::index_bits;
use crate::reg;

/// Round robin among the branches that offer a word.
///
/// After a transfer the search for the next winner starts behind the one served, so a waiting branch is served after
/// at most `branches - 1` others. An offer that the output does not take stays as it is.
///
/// - Latency: 0; interval: 1 cycle.
#[derive(Clone, Debug)]
pub struct Arbiter {
    /// Branches, at least 2.
    pub branches: usize,
    /// Bits of a word.
    pub width: usize,
}

/// Golden model: who is served next.
#[derive(Clone, Debug, Default)]
pub struct ArbiterModel {
    /// Where the search starts: behind the branch served last.
    start: usize,
    /// The offer that waits to be taken.
    held: Option<usize>,
}

impl ArbiterModel {
    /// The branch whose word is offered while `valid` says who has one, and whether it moves with `ready`.
    ///
    /// # Panics
    /// When a branch withdraws an offered word.
    pub fn cycle(&mut self, valid: &[bool], ready: bool) -> Option<usize> {
        let count = valid.len();
        let search = || {
            (0..count)
                .map(|step| (self.start + step) % count)
                .find(|&branch| valid[branch])
        };
        let winner = self.held.or_else(search)?;
        assert!(valid[winner], "branch {winner} withdrew its word");
        if ready {
            self.held = None;
            self.start = (winner + 1) % count;
        } else {
            self.held = Some(winner);
        }
        Some(winner)
    }
}

impl Block for Arbiter {
    fn name(&self) -> String {
        format!("spatten_arbiter_n{}_w{}", self.branches, self.width)
    }

    fn about(&self) -> About {
        About {
            purpose: "Arbiter: one of the branches that offer a word is served at a time, in turn; an offer stands until\n\
                      it is taken."
                .into(),
            parameters: vec![
                ("branches", self.branches.to_string()),
                ("width", self.width.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let n = self.branches;
        assert!(n >= 2, "an arbiter has at least 2 branches, not {n}");
        let branches: Vec<_> = (0..n)
            .map(|b| m.stream_in(&format!("in{b}"), &[Field::new("data", self.width, "word")]))
            .collect();
        let out = m.stream_out(
            "out",
            &[
                Field::new("data", self.width, "word of the branch served"),
                Field::new("index", index_bits(n), "the branch served"),
            ],
        );

        m.section("the first offer behind the branch served last, else the first of all");
        let valids: Vec<_> = branches.iter().map(|branch| branch.valid).collect();
        net!(m, offers = m.pack(&valids), "branch k offers a word");
        reg!(m, behind_q: n, reset = 0, "branch k comes behind the one served last");
        net!(m, offers_behind = offers & behind_q);
        let first_behind = m.net("first_behind", lowest(m, offers_behind), "one-hot");
        let first_of_all = m.net("first_of_all", lowest(m, offers), "one-hot");
        net!(
            m,
            winner = offers_behind.any().select(first_behind, first_of_all)
        );

        m.section("an offer that is not taken stands");
        reg!(m, standing_q: 1, reset = 0);
        reg!(m, standing_grant_q: n);
        net!(
            m,
            grant = standing_q.select(standing_grant_q, winner),
            "one-hot; 0 without offers"
        );
        net!(m, offer = offers.any());
        standing_q.next(offer & !out.ready);
        standing_grant_q.next(grant);
        let before = grant.wrapping_sub(m.lit(1, n));
        behind_q.next_when(offer & out.ready, !(grant | before));

        m.section("the served branch's word");
        let words: Vec<_> = branches
            .iter()
            .enumerate()
            .map(|(b, branch)| {
                let index = m.lit(b as u64, index_bits(n));
                m.cat(&[index, branch.data()])
            })
            .collect();
        net!(m, word = chosen(grant, &words));
        for (b, branch) in branches.iter().enumerate() {
            branch.ready.drive(grant.bit(b) & out.ready);
        }
        let index = word.slice(self.width, index_bits(n));
        out.drive(
            offer,
            &[("data", word.slice(0, self.width)), ("index", index)],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdl::{Evaluator, elaborate};
    use num_bigint::BigUint;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn serves_whom_the_model_serves_and_holds_its_offers() {
        let seed = 11;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for branches in [2, 3, 5] {
            let block = Arbiter { branches, width: 4 };
            let mut evaluator = Evaluator::new(elaborate(&block));
            evaluator.reset();
            let mut model = ArbiterModel::default();
            let mut valid = vec![false; branches];
            for cycle in 0..2000 {
                let ready = random.random_bool(0.5);
                for (branch, valid) in valid.iter_mut().enumerate() {
                    *valid |= random.random_bool(0.3);
                    for (name, value) in [
                        (format!("in{branch}_valid_i"), u64::from(*valid)),
                        (format!("in{branch}_data_i"), branch as u64 + 3),
                    ] {
                        let port = evaluator.module().port_index(&name).unwrap();
                        evaluator.set(port, &BigUint::from(value));
                    }
                }
                let port = evaluator.module().port_index("out_ready_i").unwrap();
                evaluator.set(port, &BigUint::from(u64::from(ready)));
                let mut get = |name: &str| {
                    let port = evaluator.module().port_index(name).unwrap();
                    u64::try_from(evaluator.get(port)).unwrap()
                };
                let served = model.cycle(&valid, ready);
                let place = format!("seed {seed}, {branches} branches, cycle {cycle}");
                assert_eq!(get("out_valid_o") == 1, served.is_some(), "{place}");
                if let Some(branch) = served {
                    assert_eq!(get("out_index_o"), branch as u64, "{place}");
                    assert_eq!(get("out_data_o"), branch as u64 + 3, "{place}");
                    for other in 0..branches {
                        let taken = get(&format!("in{other}_ready_o")) == 1;
                        assert_eq!(taken, ready && other == branch, "{place}");
                    }
                    valid[branch] &= !ready;
                }
                evaluator.tick().unwrap();
            }
        }
    }
}
