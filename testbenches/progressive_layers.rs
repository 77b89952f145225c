//! Layers whose rows have a rule: K's LSB plane, and the golden rows with the LSBs where the rules ask for them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::accelerator::refine::golden::{MAX_NOISE, MAX_SUM, Rule, noise};
use crate::accelerator::top::AttentionCore;
use crate::engine::streams::{LayerStreams, lines};
use crate::golden::head::prefix_mask;
use crate::golden::layer::LayerOperands;
use crate::golden::row::{RowKeys, RowTrace, attend_row, first_sum};
use crate::numerics::{Formats, KEY_LSB_BITS};

/// A layer of the attention core's testbench.
#[derive(Clone, Debug)]
pub struct BenchLayer {
    /// Its operands, K's MSB plane among them.
    pub operands: LayerOperands,
    /// What makes it progressive, where it is.
    pub progressive: Option<Progressive>,
}

/// K's LSB plane and the rows' rules.
#[derive(Clone, Debug)]
pub struct Progressive {
    /// `[kv_heads][keys][d]`, 0 to 15.
    pub key_lsbs: Vec<Vec<Vec<i64>>>,
    /// `[heads][queries]`.
    pub rules: Vec<Vec<Rule>>,
}

impl From<LayerOperands> for BenchLayer {
    fn from(operands: LayerOperands) -> Self {
        BenchLayer {
            operands,
            progressive: None,
        }
    }
}

impl BenchLayer {
    /// One row, and whether its LSBs were wanted, if it has a rule.
    pub fn row(&self, formats: &Formats, head: usize, token: usize) -> (RowTrace, Option<bool>) {
        let operands = self.operands.head(head);
        let live = prefix_mask(operands.live_keys[token], operands.keys.len());
        let (query, pruning) = (&operands.queries[token], operands.value_pruning[token]);
        let keys = match &self.progressive {
            None => operands.keys.into(),
            Some(progressive) => RowKeys {
                msb: operands.keys,
                lsb: Some(&progressive.key_lsbs[self.operands.kv_heads[head]]),
                rule: progressive.rules[head][token],
            },
        };
        let (values, scale) = (operands.values, operands.scale);
        let row = attend_row(formats, query, keys, values, &live, scale, pruning);
        let refetched = (keys.rule != Rule::None).then_some(row.refetched);
        (row, refetched)
    }

    /// Puts the layer's rules, and the LSB lines of rows that are refined, into its streams.
    pub fn complete(&self, core: &AttentionCore, streams: &mut LayerStreams) {
        let Some(progressive) = &self.progressive else {
            return;
        };
        let queries = self.operands.live_keys.len();
        let (mut lsb, mut words) = (Vec::new(), 0);
        for (index, row) in streams.row.iter_mut().enumerate() {
            let (head, token) = (index / queries, index % queries);
            let (most, limit, shift) = match progressive.rules[head][token] {
                Rule::None => continue,
                Rule::Threshold { most } => (most, 0, 0),
                Rule::Noise { limit, shift } => (0, limit, shift),
            };
            let fields = row.len() - 4;
            row.truncate(fields);
            let code = progressive.rules[head][token].code();
            row.extend([code, most, limit, i64::from(shift)]);
            words += 1;
            if self.row(&core.formats, head, token).1 == Some(true) {
                let lsbs = &progressive.key_lsbs[self.operands.kv_heads[head]];
                let live = self.operands.live_keys[token];
                lsb.extend(lines(&core.shape, &lsbs[..live]));
            }
        }
        streams.lsb = lsb;
        streams.refetch_words = words;
    }

    /// Makes the layer progressive: K's MSB plane in one of the widths that jobs store, random LSBs, and rules that a
    /// `rate` of the rows with one meets, most of them by little; `resident` of the rows have none.
    pub fn with_rules(
        operands: LayerOperands,
        formats: &Formats,
        (rate, resident): (f64, f64),
        random: &mut ChaCha8Rng,
    ) -> Self {
        let mut operands = operands;
        let widths = [4, 6, 8, 10, 12];
        let bits = widths[random.random_range(0..widths.len())].min(formats.key_bits);
        let elements = operands.keys.iter_mut().flatten().flatten();
        elements.for_each(|key| *key >>= formats.key_bits - bits);
        let extreme = random.random_bool(0.1);
        let mut lsb = |_: &i64| match extreme {
            true => [0, 15][random.random_range(0..2)],
            false => random.random_range(0..1 << KEY_LSB_BITS),
        };
        let mut plane = |keys: &Vec<Vec<i64>>| {
            let mut vector = |key: &Vec<i64>| key.iter().map(&mut lsb).collect();
            keys.iter().map(&mut vector).collect()
        };
        let key_lsbs = operands.keys.iter().map(&mut plane).collect();
        let mut rules = Vec::new();
        for head in 0..operands.queries.len() {
            let operands = operands.head(head);
            let rule = |(query, &live): (&Vec<i64>, &usize)| {
                if random.random_bool(resident) {
                    return Rule::None;
                }
                let live = prefix_mask(live, operands.keys.len());
                let sum = first_sum(formats, query, operands.keys, &live, operands.scale);
                let meets = random.random_bool(rate);
                let shift = random.random_range(0..24);
                let noise = random
                    .random_bool(0.5)
                    .then(|| (noise(query, shift), shift));
                near_rule(sum, noise, meets)
            };
            rules.push(
                operands
                    .queries
                    .iter()
                    .zip(operands.live_keys)
                    .map(rule)
                    .collect(),
            );
        }
        BenchLayer {
            operands,
            progressive: Some(Progressive { key_lsbs, rules }),
        }
    }
}

/// A rule that a row of this sum, and of this noise at this shift if it is that of noise, just meets or just does not; where
/// it cannot meet any the row does not.
pub fn near_rule(sum: i64, noise: Option<(i64, u32)>, meets: bool) -> Rule {
    let Some((noise, shift)) = noise else {
        let most = if meets { (sum - 1).max(0) } else { sum };
        return Rule::Threshold {
            most: most.min(MAX_SUM),
        };
    };
    // The larger the limit the fewer rows exceed it: the first that this one does not.
    let exceeds = |limit: i64| Rule::Noise { limit, shift }.exceeds(noise, sum);
    let (mut low, mut high) = (0, noise.min(MAX_NOISE));
    while low < high {
        let middle = (low + high) / 2;
        if exceeds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let limit = if meets { (low - 1).max(0) } else { low };
    Rule::Noise { limit, shift }
}
