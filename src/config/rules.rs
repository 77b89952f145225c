//! The rules between fields.

use super::fields::{self, list};
use super::{Config, Origin, Problem};

/// Something that must hold between fields.
#[derive(Debug)]
pub struct Rule {
    /// The field to change when the rule is broken.
    pub key: &'static str,
    /// The other fields that the rule reads.
    pub others: &'static [&'static str],
    /// What must hold, as it reads in `spatten explain`.
    pub statement: &'static str,
    /// Why it must hold.
    pub reason: &'static str,
    /// What the field may be, given the other fields, when the rule is broken. All fields it reads are in range.
    broken: fn(&Config) -> Option<String>,
}

/// Every rule between fields.
pub const RULES: &[Rule] = &[
    Rule {
        key: "array.multipliers",
        others: &["array.head_dims"],
        statement: "array.multipliers is a multiple of the largest of array.head_dims",
        reason: "a line holds whole vectors",
        broken: |config| {
            let largest = config.max_head_dim();
            (config.array.multipliers % largest != 0).then(|| {
                let above = config.array.multipliers.next_multiple_of(largest);
                let near = [above - largest, above];
                let near: Vec<usize> = near.into_iter().filter(|&n| n > 0 && n <= 1024).collect();
                format!(
                    "a multiple of the largest head dimension, {largest} (such as {})",
                    list(&near)
                )
            })
        },
    },
    Rule {
        key: "softmax.lanes",
        others: &["array.multipliers", "array.head_dims"],
        statement: "for every d of array.head_dims, softmax.lanes divides multipliers/d or is a multiple of it",
        reason: "the scores of a cycle fill a whole number of score lines, or several cycles fill one",
        broken: |config| {
            let per_line: Vec<usize> = config
                .array
                .head_dims
                .iter()
                .filter(|&d| config.array.multipliers.is_multiple_of(*d))
                .map(|&d| config.keys_per_line(d))
                .collect();
            let fits = |lanes: usize| {
                per_line
                    .iter()
                    .all(|keys| lanes.is_multiple_of(*keys) || keys.is_multiple_of(lanes))
            };
            (!fits(config.softmax.lanes)).then(|| {
                let fitting: Vec<usize> = (1..=16).filter(|&lanes| fits(lanes)).collect();
                format!(
                    "one of {} with {} keys per cycle",
                    list(&fitting),
                    list(&per_line)
                )
            })
        },
    },
    Rule {
        key: "top_k.lanes",
        others: &[],
        statement: "top_k.lanes is a power of two",
        reason: "keys are packed into rows by layers of shifters",
        broken: |config| {
            let lanes = config.top_k.lanes;
            (!lanes.is_power_of_two()).then(|| "one of 1, 2, 4, 8, 16, 32".to_owned())
        },
    },
    Rule {
        key: "output.lanes",
        others: &["array.head_dims"],
        statement: "output.lanes divides the smallest of array.head_dims",
        reason: "a row leaves in a whole number of cycles",
        broken: |config| {
            let smallest = config.min_head_dim();
            (!smallest.is_multiple_of(config.output.lanes)).then(|| {
                let divisors: Vec<usize> = (1..=32)
                    .filter(|lanes| smallest.is_multiple_of(*lanes))
                    .collect();
                format!(
                    "one of {}, which divide the smallest head dimension, {smallest}",
                    list(&divisors)
                )
            })
        },
    },
    Rule {
        key: "buffers.key_lines",
        others: &[
            "limits.keys_per_row",
            "array.multipliers",
            "array.head_dims",
        ],
        statement: "buffers.key_lines >= limits.keys_per_row / (multipliers / largest d), rounded up",
        reason: "the K buffer holds a whole row of keys at the largest head dimension",
        broken: |config| short_of_vectors(config.buffers.key_lines, config),
    },
    Rule {
        key: "buffers.value_lines",
        others: &[
            "limits.keys_per_row",
            "array.multipliers",
            "array.head_dims",
        ],
        statement: "buffers.value_lines >= limits.keys_per_row / (multipliers / largest d), rounded up",
        reason: "the V buffer holds a whole row of keys at the largest head dimension",
        broken: |config| short_of_vectors(config.buffers.value_lines, config),
    },
    Rule {
        key: "buffers.score_lines",
        others: &[
            "limits.keys_per_row",
            "softmax.lanes",
            "array.multipliers",
            "array.head_dims",
        ],
        statement: "buffers.score_lines >= limits.keys_per_row in whole K lines (every d) / softmax.lanes, rounded up",
        reason: "the ring holds the scores of one longest row until its maximum is known",
        broken: |config| {
            short_of(
                config.buffers.score_lines,
                config.score_lines_per_longest_row(),
                config,
            )
        },
    },
    Rule {
        key: "buffers.exponential_lines",
        others: &[
            "limits.keys_per_row",
            "softmax.lanes",
            "array.multipliers",
            "array.head_dims",
        ],
        statement: "buffers.exponential_lines >= limits.keys_per_row in whole K lines (every d) / softmax.lanes, rounded up",
        reason: "the ring holds the exponentials of one longest row until 1/S is known",
        broken: |config| {
            short_of(
                config.buffers.exponential_lines,
                config.score_lines_per_longest_row(),
                config,
            )
        },
    },
    Rule {
        key: "buffers.key_lsb_lines",
        others: &[],
        statement: "buffers.key_lsb_lines is 0 or at least 16",
        reason: "the vectors of 16 tokens are fetched together, each of which may take a line",
        broken: |config| {
            let lines = config.buffers.key_lsb_lines;
            (1..16)
                .contains(&lines)
                .then(|| "0 or at least 16".to_owned())
        },
    },
    Rule {
        key: "buffers.held_lines",
        others: &[
            "buffers.key_lsb_lines",
            "limits.keys_per_row",
            "softmax.lanes",
            "array.multipliers",
            "array.head_dims",
        ],
        statement: "with an LSB plane, buffers.held_lines >= limits.keys_per_row in whole K lines (every d) / softmax.lanes, rounded up",
        reason: "the ring holds the scores of one longest row until it is known whether they need the LSBs",
        broken: |config| {
            let needed = config.score_lines_per_longest_row();
            short_of(config.buffers.held_lines, needed, config)
                .filter(|_| config.buffers.key_lsb_lines > 0)
        },
    },
    Rule {
        key: "arithmetic.key_bits",
        others: &["buffers.key_lsb_lines"],
        statement: "with an LSB plane, arithmetic.key_bits >= 5",
        reason: "the refinement multiplies the unsigned 4 bits of the LSB plane on the same multipliers",
        broken: |config| {
            let (bits, lines) = (config.arithmetic.key_bits, config.buffers.key_lsb_lines);
            (bits < 5 && lines > 0).then(|| "at least 5, or buffers.key_lsb_lines = 0".to_owned())
        },
    },
    Rule {
        key: "limits.tokens",
        others: &["limits.keys_per_row"],
        statement: "limits.tokens >= limits.keys_per_row",
        reason: "the keys of a row are tokens of its sequence",
        broken: |config| {
            let keys = config.limits.keys_per_row;
            (config.limits.tokens < keys)
                .then(|| format!("at least {keys}, which is limits.keys_per_row"))
        },
    },
    Rule {
        key: "memory.channels",
        others: &[],
        statement: "memory.channels is a power of two",
        reason: "bits of a token's id choose its channel",
        broken: |config| {
            let channels = config.memory.channels;
            (!channels.is_power_of_two()).then(|| "one of 1, 2, 4, 8, 16, 32".to_owned())
        },
    },
];

/// What `lines` of a K or V buffer must be if they are too few for the longest row.
fn short_of_vectors(lines: usize, config: &Config) -> Option<String> {
    // Vectors that do not fill lines are another rule's business; without them there is no number to ask for.
    let whole = config
        .array
        .multipliers
        .is_multiple_of(config.max_head_dim());
    short_of(lines, config.lines_per_longest_row(), config).filter(|_| whole)
}

fn short_of(lines: usize, needed: usize, config: &Config) -> Option<String> {
    let keys = config.limits.keys_per_row;
    (lines < needed).then(|| format!("at least {needed} for limits.keys_per_row = {keys}"))
}

/// The rules that read a field.
pub fn of(key: &str) -> impl Iterator<Item = &'static Rule> + '_ {
    RULES
        .iter()
        .filter(move |rule| rule.key == key || rule.others.contains(&key))
}

/// One problem for each broken rule. Rules that read a field in `refused` (wrong type or out of range) are not
/// judged: they would blame values that the user did not write.
pub(super) fn broken(
    config: &Config,
    refused: &[&str],
    origin: impl Fn(&str) -> Origin,
) -> Vec<Problem> {
    let readable = |rule: &&Rule| {
        !refused.contains(&rule.key) && !rule.others.iter().any(|key| refused.contains(key))
    };
    let problem = |rule: &Rule| {
        let allowed = (rule.broken)(config)?;
        let value = fields::find(rule.key)?.get(config).to_string();
        Some(Problem::BrokenRule {
            key: rule.key.to_string(),
            value,
            allowed,
            reason: rule.reason.to_string(),
            origin: origin(rule.key),
        })
    };
    RULES.iter().filter(readable).filter_map(problem).collect()
}
