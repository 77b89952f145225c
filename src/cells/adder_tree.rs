//! Adder tree: sums of neighbouring lanes, of one group size or of several to choose from at run time.
//!
//! Level l of a binary tree over N lanes holds the sums of groups of 2^l neighbouring lanes: `ceil(N / 2^l)` sums,
//! the last one over fewer lanes when 2^l does not divide N. One or more levels can be asked for; with more than
//! one, a number that travels with the terms says which level this word wants. Its sums leave in the low lanes and
//! the lanes above them are zero.
//!
//! `query_key` uses it behind its processing elements: with 32 multipliers in each, P partial sums are the scores of
//! P keys of dimension 32 (level 0), P/2 keys of dimension 64 (level 1) or P/4 keys of dimension 128 (level 2).

use std::collections::HashMap;

use super::delay::delay_flag;
use super::tree::{self, Pairs};
use crate::hdl::{About, Block, Builder, Lanes, Sig, Ty};
use crate::numerics::index_bits;

/// `sums[g] = sum of terms[g * 2^l .. (g + 1) * 2^l]` for the chosen level l, exact, a new word every cycle.
///
/// - Latency: [`AdderTree::latency`] = ceil(depth / `levels_per_stage`) cycles, where the depth is the last result
///   level, the same for every level asked for; interval: 1 cycle.
/// - Stalls: none; `valid_o` is `valid_i` delayed, and words of cycles without `valid_i` are not meant to be read.
/// - Limit: buses of some 2048 bits and more slow Verilator down, so wide sums are better made of several trees.
#[derive(Clone, Debug)]
pub struct AdderTree {
    /// Terms, at least 1.
    pub lanes: usize,
    /// Type of a term.
    pub term: Ty,
    /// Levels of additions between registers, at least 1.
    pub levels_per_stage: usize,
    /// Levels that can be asked for, rising; the last at most log2 of the lanes, rounded up.
    pub result_levels: Vec<usize>,
}

impl AdderTree {
    /// A tree that adds up all lanes.
    pub fn total(lanes: usize, term: Ty, levels_per_stage: usize) -> Self {
        AdderTree {
            lanes,
            term,
            levels_per_stage,
            result_levels: vec![tree::depth(lanes)],
        }
    }

    /// Levels of additions.
    pub fn depth(&self) -> usize {
        self.result_levels.last().copied().unwrap_or(0)
    }

    /// Cycles from terms to sums.
    pub fn latency(&self) -> usize {
        self.depth().div_ceil(self.levels_per_stage)
    }

    /// Lanes of the output: as many as the first result level has sums.
    pub fn results(&self) -> usize {
        self.sums_at(self.result_levels[0])
    }

    /// Type of a sum: the narrowest that holds every sum of the last result level.
    pub fn sum(&self) -> Ty {
        self.word_at(self.depth())
    }

    /// Bits of the input that chooses the level, 0 when there is nothing to choose.
    pub fn select_bits(&self) -> usize {
        match self.result_levels.len() {
            1 => 0,
            levels => index_bits(levels),
        }
    }

    fn sums_at(&self, level: usize) -> usize {
        self.lanes.div_ceil(1 << level)
    }

    /// Type of a sum of level `level`.
    fn word_at(&self, level: usize) -> Ty {
        sum_of(self.term, self.lanes.min(1 << level))
    }

    fn check(&self) {
        let AdderTree {
            lanes,
            levels_per_stage,
            result_levels,
            ..
        } = self;
        assert!(*lanes >= 1, "an adder tree needs at least one lane");
        assert!(
            *levels_per_stage >= 1,
            "an adder tree needs at least one level per stage"
        );
        let depth = tree::depth(*lanes);
        assert!(
            !result_levels.is_empty()
                && result_levels.is_sorted_by(|a, b| a < b)
                && self.depth() <= depth,
            "result levels {result_levels:?} of an adder tree of {lanes} lanes: \
             they must rise and end at level {depth} or before"
        );
    }
}

/// The narrowest type for the sum of `count` words of type `term`.
fn sum_of(term: Ty, count: usize) -> Ty {
    if term.signed {
        // The least sum, -2^(w-1) * count, decides: it needs log2(count), rounded up, more bits than a term.
        return Ty::signed(term.width + tree::depth(count));
    }
    // Narrow words need fewer: five bits add up to 5, which has three bits and not 1 + 3.
    let largest = ((num_bigint::BigUint::from(1u8) << term.width) - 1u8) * count;
    Ty::unsigned(largest.bits() as usize)
}

/// The sums that the tree gives for `terms` when result level number `select` is asked for.
///
/// # Panics
/// When the number of terms is not that of the lanes.
pub fn golden(tree: &AdderTree, terms: &[i64], select: usize) -> Vec<i64> {
    assert_eq!(terms.len(), tree.lanes, "one term per lane");
    let level = tree
        .result_levels
        .get(select)
        .copied()
        .unwrap_or(tree.depth());
    let mut sums: Vec<i64> = terms
        .chunks(1 << level)
        .map(|group| group.iter().sum())
        .collect();
    sums.resize(tree.results(), 0);
    sums
}

impl Block for AdderTree {
    fn name(&self) -> String {
        let AdderTree {
            lanes,
            term,
            levels_per_stage,
            result_levels,
        } = self;
        let levels: Vec<_> = result_levels.iter().map(usize::to_string).collect();
        format!(
            "spatten_adder_tree_n{lanes}_{term}_l{}_r{levels_per_stage}",
            levels.join("_")
        )
    }

    fn about(&self) -> About {
        let sums_of = |level: &usize| match self.sums_at(*level) {
            1 => format!("{level} (one sum)"),
            sums => format!("{level} ({sums} sums)"),
        };
        let levels: Vec<_> = self.result_levels.iter().map(sums_of).collect();
        let packing = match levels.len() {
            1 => "",
            _ => "\nThe sums asked for leave in the low lanes, the lanes above them are zero.",
        };
        About {
            purpose: format!(
                "Adder tree: a sum of level l is that of 2^l neighbouring lanes, exact.{packing}"
            ),
            parameters: vec![
                ("lanes", format!("{} of {}", self.lanes, self.term)),
                ("result levels", levels.join(", ")),
                ("registers", tree::registers(self.levels_per_stage)),
                ("latency", format!("{} cycles", self.latency())),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        self.check();
        let valid = m.input("valid", 1, "terms enter");
        let mut select = (self.select_bits() > 0).then(|| {
            let levels = &self.result_levels;
            let doc = format!("which of the levels {levels:?}, by its place in the list");
            m.input("select", self.select_bits(), &doc)
        });
        let terms = m.input("terms", self.lanes * self.term.width, "one term per lane");
        let valid_out = m.output("valid", 1, "sums leave");
        let sums = m.output(
            "sums",
            self.results() * self.sum().width,
            "one sum per lane",
        );

        let mut words = terms.lanes(self.term);
        let mut deep = self.decoded(1, |level| {
            let select = select.expect("one of several levels is chosen");
            let doc = "the level asked for is this one or a later one";
            m.net(&format!("deep{level}"), self.is_deep(m, level, select), doc)
        });
        for level in 1..=self.depth() {
            m.section(&format!("level {level}: sums of {} lanes", 1 << level));
            words = match deep.remove(&level) {
                Some(deep) => self.add_where_asked_for(m, level, words, deep),
                None => self.add(m, level, words),
            };
            if level.is_multiple_of(self.levels_per_stage) || level == self.depth() {
                let name = format!("level{level}_q");
                let register = m.register(&name, words.bus.width(), None, "");
                register.next(words.bus);
                words = register.lanes(words.ty);
                // What the next stage chooses by drives all of its lanes: it is decoded before the register.
                deep = self.decoded(level + 1, |next| {
                    let select = select.expect("one of several levels is chosen");
                    let doc = "the level asked for is this one or a later one";
                    let flag = m.register(&format!("deep{next}_q"), 1, None, doc);
                    flag.next(self.is_deep(m, next, select));
                    *flag
                });
                let after = level + 1 + self.levels_per_stage;
                select = select
                    .filter(|_| self.chooses(after..=self.depth()))
                    .map(|select| registered_select(m, level, select));
            }
        }

        m.section("results");
        valid_out.drive(delay_flag(m, "valid", valid, self.latency()));
        sums.drive(words.bus);
    }
}

impl AdderTree {
    /// Whether one of the levels takes sums of an earlier level where these are asked for.
    fn chooses(&self, mut levels: impl Iterator<Item = usize>) -> bool {
        self.select_bits() > 0 && levels.any(|level| self.result_levels[0] < level)
    }

    /// `flag` for every choosing level of the stage that begins with level `first`.
    fn decoded<'m>(
        &self,
        first: usize,
        flag: impl Fn(usize) -> Sig<'m>,
    ) -> HashMap<usize, Sig<'m>> {
        (first..first + self.levels_per_stage)
            .filter(|&level| level <= self.depth() && self.chooses(level..=level))
            .map(|level| (level, flag(level)))
            .collect()
    }

    /// Whether the level asked for is `level` or a later one.
    fn is_deep<'m>(&self, m: &'m Builder, level: usize, select: Sig<'m>) -> Sig<'m> {
        let first = self.result_levels.partition_point(|&l| l < level) as u64;
        match select.width() {
            1 => select,
            width => select.ge(m.lit(first, width)),
        }
    }

    /// Sums of neighbouring lanes.
    fn add<'m>(&self, m: &'m Builder, level: usize, words: Lanes<'m>) -> Lanes<'m> {
        let ty = self.word_at(level);
        let zero = m.lit(0, words.ty.width);
        let pairs = Pairs::new(m, &format!("padded{level}"), words, zero);
        pairs.map(m, &format!("sum{level}"), ty, |low, high| {
            (low + high).resize(ty.width)
        })
    }

    /// Sums of neighbouring lanes where a level this deep is asked for; else the sums of the level before.
    fn add_where_asked_for<'m>(
        &self,
        m: &'m Builder,
        level: usize,
        words: Lanes<'m>,
        deep: Sig<'m>,
    ) -> Lanes<'m> {
        let ty = self.word_at(level);
        let before = self.sums_at(level - 1);
        let live = if before == words.lanes {
            words
        } else {
            let name = format!("live{level}");
            let low = words.bus.slice(0, before * words.ty.width);
            m.net(&name, low, "lanes that can hold sums to add")
                .lanes(words.ty)
        };
        let sums = self.add(m, level, live);
        let kept = if words.ty == ty {
            words.bus
        } else {
            let name = format!("kept{level}");
            m.per_lane(&name, words.lanes, ty, "", |k| words.at(k).extend(ty.width))
        };
        let result = deep.select(sums.bus.extend(kept.width()), kept);
        m.net(&format!("level{level}"), result, "").lanes(ty)
    }
}

fn registered_select<'m>(m: &'m Builder, level: usize, select: Sig<'m>) -> Sig<'m> {
    let register = m.register(&format!("select{level}_q"), select.ty(), None, "");
    register.next(select);
    *register
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::pipeline_test::{check, pack};
    use num_bigint::BigUint;

    /// Terms that rise, all least, all greatest, and a mixture.
    fn term_sets(tree: &AdderTree) -> Vec<Vec<i64>> {
        let Ty { width, signed } = tree.term;
        let (low, high) = match signed {
            true => (-(1_i64 << (width - 1)), (1_i64 << (width - 1)) - 1),
            false => (0, (1_i64 << width) - 1),
        };
        let span = high - low + 1;
        let lanes = 0..tree.lanes as i64;
        vec![
            vec![low; tree.lanes],
            vec![high; tree.lanes],
            lanes.clone().map(|k| low + k.rem_euclid(span)).collect(),
            lanes
                .map(|k| low + (k * 7919 + 3).rem_euclid(span))
                .collect(),
        ]
    }

    fn holds(tree: &AdderTree) {
        let mut vectors = Vec::new();
        for terms in term_sets(tree) {
            for select in 0..tree.result_levels.len() {
                let mut inputs = vec![("terms", pack(&terms, tree.term.width))];
                if tree.select_bits() > 0 {
                    inputs.push(("select", BigUint::from(select)));
                }
                let sums = golden(tree, &terms, select);
                vectors.push((inputs, vec![("sums", pack(&sums, tree.sum().width))]));
            }
        }
        check(tree, tree.latency(), &vectors);
    }

    #[test]
    fn any_number_of_lanes_adds_up_exactly() {
        for lanes in 1..=17 {
            for levels_per_stage in [1, 2, 5] {
                holds(&AdderTree::total(lanes, Ty::signed(5), levels_per_stage));
                holds(&AdderTree::total(lanes, Ty::unsigned(1), levels_per_stage));
            }
        }
    }

    #[test]
    fn every_choice_of_levels_gives_its_sums_in_the_low_lanes() {
        for lanes in [2, 3, 5, 6, 8, 16] {
            let depth = tree::depth(lanes);
            for levels in 1_usize..1 << (depth + 1) {
                let result_levels = (0..=depth).filter(|l| levels >> l & 1 == 1).collect();
                for levels_per_stage in [1, 3] {
                    holds(&AdderTree {
                        lanes,
                        term: Ty::signed(6),
                        levels_per_stage,
                        result_levels: Vec::clone(&result_levels),
                    });
                }
            }
        }
    }

    #[test]
    fn sums_are_as_wide_as_they_need_to_be() {
        assert_eq!(
            AdderTree::total(32, Ty::signed(24), 1).sum(),
            Ty::signed(29)
        );
        assert_eq!(
            AdderTree::total(5, Ty::unsigned(1), 1).sum(),
            Ty::unsigned(3)
        );
        assert_eq!(
            AdderTree::total(8, Ty::unsigned(1), 1).sum(),
            Ty::unsigned(4)
        );
        assert_eq!(AdderTree::total(1, Ty::signed(7), 1).sum(), Ty::signed(7));
    }

    #[test]
    #[should_panic(expected = "end at level 3 or before")]
    fn levels_above_the_root_are_refused() {
        crate::hdl::elaborate(&AdderTree {
            lanes: 6,
            term: Ty::signed(4),
            levels_per_stage: 1,
            result_levels: vec![0, 4],
        });
    }
}
