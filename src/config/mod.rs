//! The configuration: everything that shapes the generated hardware, read from TOML.
//!
//! * [`Config`] holds the values; hardware blocks read their parameters from it.
//! * [`fields`] is the one table of all fields (meaning, unit, range, default, trade-off). Parsing, range checks,
//!   `spatten check`, `spatten explain`, `--set` and the README's parameter table all read it.
//! * [`rules`] holds what must be true between fields.
//! * [`sizes`] derives line widths, buffer capacities and peak rates.
//!
//! ```
//! use spatten::config::Config;
//!
//! let config = Config::load("tiny", &["array.head_dims=[32]".to_string()])?;
//! assert_eq!(config.keys_per_line(32), 2);
//! # Ok::<(), spatten::config::ConfigError>(())
//! ```

mod error;
pub mod fields;
mod parse;
pub mod presets;
mod report;
pub mod rules;
pub mod sizes;

pub use error::{ConfigError, Origin, Problem};
pub use report::{explain, overview, parameter_table, summary, summary_json};

use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::numerics::Formats;

/// Everything that shapes the generated hardware.
///
/// A `Config` from [`Config::load`] or [`Config::parse`] is valid. One changed afterwards in code is valid again
/// when [`Config::validate`] says so; blocks may assume a valid one. The meaning, unit, range and trade-off of
/// every field stand in [`fields::FIELDS`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Config {
    /// Name of the configuration; part of banners and of the default output folder.
    pub name: String,
    /// Operand widths.
    pub arithmetic: Arithmetic,
    /// The two multiplier arrays.
    pub array: Array,
    /// On-chip buffers.
    pub buffers: Buffers,
    /// The softmax unit.
    pub softmax: Softmax,
    /// The selection of tokens.
    pub top_k: TopK,
    /// The output stage.
    pub output: Output,
    /// Largest problem the hardware accepts.
    pub limits: Limits,
    /// Concurrency between rows.
    pub schedule: Schedule,
    /// External memory.
    pub memory: Memory,
}

/// On-chip operand widths.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Arithmetic {
    /// Bits of a Q element (signed).
    pub query_bits: usize,
    /// Bits of a K element's MSB plane (signed).
    pub key_bits: usize,
    /// Bits of a V element (signed).
    pub value_bits: usize,
}

/// The Q x K and probability x V multiplier arrays, which have the same size.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Array {
    /// Multipliers in each of the two arrays; also the elements in a line of K or V.
    pub multipliers: usize,
    /// Head dimensions that a job may select at run time: ascending, without repeats.
    pub head_dims: Vec<usize>,
}

/// On-chip buffers, in lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Buffers {
    /// Lines of the K buffer, `array.multipliers` elements each.
    pub key_lines: usize,
    /// Lines of the V buffer, `array.multipliers` elements each.
    pub value_lines: usize,
    /// Lines of the score ring, `softmax.lanes` scores each.
    pub score_lines: usize,
    /// Lines of the exponential ring, `softmax.lanes` exponentials each.
    pub exponential_lines: usize,
    /// Lines of the weight ring, `softmax.lanes` weights each.
    pub weight_lines: usize,
    /// Lines of the buffer for K's LSB plane; 0 for hardware without it.
    pub key_lsb_lines: usize,
    /// Lines of the ring of scores that wait for confidence or refinement, `softmax.lanes` scores each.
    pub held_lines: usize,
    /// Queries fetched ahead.
    pub query_rows: usize,
}

/// The softmax unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Softmax {
    /// Scores that pass through the exponential per cycle.
    pub lanes: usize,
    /// Quick-select engines for local value pruning; 0 for hardware without it.
    pub value_engines: usize,
}

/// The selection of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TopK {
    /// Comparators of each kind in a quick-select engine.
    pub lanes: usize,
}

/// The output stage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Output {
    /// Output elements normalised and rounded per cycle.
    pub lanes: usize,
}

/// Largest problem the hardware accepts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Limits {
    /// Most keys that one query row may attend to.
    pub keys_per_row: usize,
    /// Tokens of a sequence: ids are below it.
    pub tokens: usize,
    /// Most query heads of a layer.
    pub heads: usize,
}

/// Concurrency between rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Schedule {
    /// Query rows between the first score and the last output.
    pub rows_in_flight: usize,
}

/// External memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Memory {
    /// HBM channels of [`sizes::CHANNEL_BYTES_PER_CYCLE`] bytes per cycle.
    pub channels: usize,
    /// Bits of a byte address within a channel.
    pub address_bits: usize,
    /// Reads that one port may have under way.
    pub outstanding_reads: usize,
    /// log2 of the cycles without data after which a port gives up.
    pub silence_log2: usize,
}

impl Default for Config {
    /// Every field at its default, which is the `spatten` preset.
    fn default() -> Config {
        let mut config = Config {
            name: String::new(),
            arithmetic: Arithmetic {
                query_bits: 0,
                key_bits: 0,
                value_bits: 0,
            },
            array: Array {
                multipliers: 0,
                head_dims: Vec::new(),
            },
            buffers: Buffers {
                key_lines: 0,
                value_lines: 0,
                score_lines: 0,
                exponential_lines: 0,
                weight_lines: 0,
                key_lsb_lines: 0,
                held_lines: 0,
                query_rows: 0,
            },
            softmax: Softmax {
                lanes: 0,
                value_engines: 0,
            },
            top_k: TopK { lanes: 0 },
            output: Output { lanes: 0 },
            limits: Limits {
                keys_per_row: 0,
                tokens: 0,
                heads: 0,
            },
            schedule: Schedule { rows_in_flight: 0 },
            memory: Memory {
                channels: 0,
                address_bits: 0,
                outstanding_reads: 0,
                silence_log2: 0,
            },
        };
        for field in fields::FIELDS {
            field.set_default(&mut config);
        }
        config
    }
}

impl Config {
    /// Reads the configuration that `-c SOURCE --set KEY=VALUE...` means.
    ///
    /// `source` is a file when it has a path separator or ends in `.toml`; else a preset's name; else, when no
    /// preset has that name, a file. `sets` are `key=value` with dotted keys, applied in order over the file.
    ///
    /// # Errors
    /// [`ConfigError`], which carries every problem of the file, the overrides and the rules at once.
    pub fn load(source: &str, sets: &[String]) -> Result<Config, ConfigError> {
        let looks_like_a_path =
            source.ends_with(".toml") || source.contains(std::path::MAIN_SEPARATOR);
        match presets::find(source) {
            Some(preset) if !looks_like_a_path => Config::parse(preset.toml, preset.name, sets),
            None if !looks_like_a_path && !Path::new(source).exists() => {
                Err(presets::unknown(source))
            }
            _ => Config::parse(&parse::read_file(Path::new(source))?, source, sets),
        }
    }

    /// Parses and validates TOML text with overrides; `source` names the text in messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(toml: &str, source: &str, sets: &[String]) -> Result<Config, ConfigError> {
        parse::parse(toml, source, sets)
    }

    /// Checks every field's range and every rule between fields.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all violations.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems: Vec<Problem> = Vec::new();
        for field in fields::FIELDS {
            let value = field.get(self);
            problems.extend(
                field
                    .check(&value)
                    .err()
                    .map(|refusal| refusal.problem(field, value.to_string(), Origin::Code)),
            );
        }
        let refused: Vec<&str> = problems.iter().map(Problem::key).collect();
        let broken = rules::broken(self, &refused, |_| Origin::Code);
        problems.extend(broken);
        ConfigError::unless_empty(&self.name, problems)
    }

    /// The number formats of a row under this configuration.
    pub fn formats(&self) -> Formats {
        Formats {
            query_bits: self.arithmetic.query_bits,
            key_bits: self.arithmetic.key_bits,
            value_bits: self.arithmetic.value_bits,
            max_head_dim: self.max_head_dim(),
        }
    }

    /// The configuration as `key = value` lines in the field table's order: what [`Config::hash`] covers.
    pub fn canonical(&self) -> String {
        fields::FIELDS
            .iter()
            .map(|field| format!("{} = {}\n", field.key, field.get(self)))
            .collect()
    }

    /// Twelve hexadecimal digits of SHA-256 over [`Config::canonical`], for banners and manifests.
    ///
    /// Comments, order and spelling of the TOML file do not change it; any field's value does.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.canonical());
        digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests;
