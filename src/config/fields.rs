//! The field table: the one place that lists every field of the configuration.

use std::fmt;

use super::{Config, Origin, Problem};
use crate::numerics::{MAX_HEADS, MAX_KEYS_PER_ROW, MAX_TOKENS};

/// Head dimensions that the hardware can be built for.
pub const SUPPORTED_HEAD_DIMS: &[usize] = &[32, 64, 128];
/// Longest configuration name: it becomes part of file and folder names.
pub const MAX_NAME_LENGTH: usize = 40;

/// One field of the configuration.
#[derive(Debug)]
pub struct Field {
    /// Dotted key: `array.multipliers`.
    pub key: &'static str,
    /// What the field is, in one sentence without its full stop.
    pub meaning: &'static str,
    /// Unit of the value; empty for a name.
    pub unit: &'static str,
    /// What is gained and lost by changing it.
    pub trade_off: &'static str,
    /// Type, range, default and place in [`Config`].
    pub kind: Kind,
}

/// Type, range, default and place in [`Config`] of a field.
#[derive(Debug)]
pub enum Kind {
    /// A lower-case identifier.
    Name {
        /// Default.
        default: &'static str,
        /// Reads the field.
        get: fn(&Config) -> &str,
        /// The field's place.
        place: fn(&mut Config) -> &mut String,
    },
    /// A whole number.
    Integer {
        /// Smallest value allowed.
        min: usize,
        /// Largest value allowed.
        max: usize,
        /// Default.
        default: usize,
        /// Reads the field.
        get: fn(&Config) -> usize,
        /// The field's place.
        place: fn(&mut Config) -> &mut usize,
    },
    /// A nonempty ascending list without repeats out of a fixed set.
    Subset {
        /// The values that may appear.
        of: &'static [usize],
        /// Why no other value is supported.
        reason: &'static str,
        /// Default.
        default: &'static [usize],
        /// Reads the field.
        get: fn(&Config) -> &[usize],
        /// The field's place.
        place: fn(&mut Config) -> &mut Vec<usize>,
    },
}

/// A value as it is written in TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A list of whole numbers.
    Integers(Vec<i64>),
    /// Text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(value) => write!(f, "{value}"),
            Value::Integers(values) => write!(f, "{values:?}"),
            Value::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Why a field does not take a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The value has another type than the field.
    WrongType,
    /// The type is right; the text says what is wrong with the value beyond what [`Field::allowed`] tells.
    OutOfRange(String),
}

impl Refusal {
    /// The problem to report when `field` refused the value written as `value` at `origin`.
    pub fn problem(self, field: &Field, value: String, origin: Origin) -> Problem {
        let key = field.key.to_string();
        match self {
            Refusal::WrongType => Problem::WrongType {
                key,
                value,
                expected: field.type_name().to_string(),
                origin,
            },
            Refusal::OutOfRange(detail) => Problem::OutOfRange {
                key,
                value,
                allowed: field.allowed(),
                detail,
                origin,
            },
        }
    }
}

macro_rules! integer {
    ($group:ident . $name:ident, $min:expr, $max:expr, default $default:expr, $unit:expr, $meaning:expr, $trade_off:expr) => {
        Field {
            key: concat!(stringify!($group), ".", stringify!($name)),
            meaning: $meaning,
            unit: $unit,
            trade_off: $trade_off,
            kind: Kind::Integer {
                min: $min,
                max: $max,
                default: $default,
                get: |config| config.$group.$name,
                place: |config| &mut config.$group.$name,
            },
        }
    };
}

/// Every field, in the order of files, listings and hashes.
pub const FIELDS: &[Field] = &[
    Field {
        key: "name",
        meaning: "name of the configuration, in banners and manifests and of its default output folder in rtl_out",
        unit: "",
        trade_off: "none: it changes no hardware; give every configuration its own, so that outputs do not replace each other",
        kind: Kind::Name {
            default: "spatten",
            get: |config| &config.name,
            place: |config| &mut config.name,
        },
    },
    integer!(arithmetic.query_bits, 4, 12, default 12, "bits",
        "width of a Q element on chip, signed",
        "multiplier area grows with query_bits x key_bits; fewer bits cost accuracy"),
    integer!(arithmetic.key_bits, 4, 12, default 12, "bits",
        "width of a K element's MSB plane on chip, signed",
        "sets multiplier area and, with multipliers and key_lines, the size of the K buffer; jobs may store K with fewer bits, never with more"),
    integer!(arithmetic.value_bits, 4, 12, default 12, "bits",
        "width of a V element on chip, signed",
        "sets the size of the V buffer and of the accumulators; outputs carry four bits more; jobs may store V with fewer bits, never with more"),
    integer!(array.multipliers, 32, 1024, default 512, "multipliers per array",
        "multipliers in each of the two arrays, Q x K and probability x V; a line of K or V holds as many elements",
        "throughput and area are proportional to it: multipliers/d keys per cycle; memory bandwidth and softmax.lanes must keep up"),
    Field {
        key: "array.head_dims",
        meaning: "head dimensions d that a job may select at run time",
        unit: "elements",
        trade_off: "each further one adds a level of result selection to the adder trees; the smallest sets the keys per line, the largest the accumulator and score widths",
        kind: Kind::Subset {
            of: SUPPORTED_HEAD_DIMS,
            reason: "adder trees and memory beats are cut at these powers of two; pad a head with zeros to the next one",
            default: &[32, 64, 128],
            get: |config| &config.array.head_dims,
            place: |config| &mut config.array.head_dims,
        },
    },
    integer!(buffers.key_lines, 2, 8192, default 256, "lines",
        "lines of the K buffer, multipliers elements each",
        "must hold a whole row of keys; twice that lets the next head load while this one computes; key_lines, in whole rows of four banks, x multipliers x key_bits of SRAM"),
    integer!(buffers.value_lines, 2, 8192, default 256, "lines",
        "lines of the V buffer, multipliers elements each",
        "must hold a whole row of keys; twice that lets the next head load while this one computes; value_lines, in whole rows of four banks, x multipliers x value_bits of SRAM"),
    integer!(buffers.score_lines, 2, 8192, default 512, "lines",
        "lines of the score ring, softmax.lanes scores each",
        "must hold one longest row; twice that avoids bubbles, because the next row's scores arrive while this one's are read"),
    integer!(buffers.exponential_lines, 2, 8192, default 512, "lines",
        "lines of the exponential ring, softmax.lanes exponentials each",
        "must hold one longest row, whose 1/S is known when all of it is there; 48 lines more avoid bubbles, because the next row's exponentials arrive while 1/S is made"),
    integer!(buffers.weight_lines, 16, 8192, default 256, "lines",
        "lines of the weight ring, softmax.lanes weights each",
        "16 already give a line per cycle; more let softmax run ahead while prob_value waits for V lines or for places of its outputs"),
    integer!(buffers.key_lsb_lines, 0, 8192, default 64, "lines",
        "lines of the buffer for K's LSB plane, multipliers elements of 4 bits each",
        "0 leaves out the LSB plane and with it progressive quantization; a line is free as soon as a refined row has passed it, so the buffer covers the memory's latency, not a row"),
    integer!(buffers.held_lines, 2, 8192, default 512, "lines",
        "lines of the ring in which scores wait until their row is confident or refined, softmax.lanes scores each",
        "must hold one longest row where there is an LSB plane; more lets later rows be computed while LSBs are fetched"),
    integer!(buffers.query_rows, 2, 256, default 32, "rows",
        "queries that are fetched ahead of their row's first score",
        "they cover the memory's latency: a row of n lines takes n cycles; query_rows, in whole rows of four banks, x largest d x query_bits of SRAM"),
    integer!(softmax.lanes, 1, 16, default 8, "scores per cycle",
        "exponentials computed per cycle",
        "fewer than multipliers/d keys per cycle makes softmax the bottleneck at that d; each lane has its own multiplier and exponential table"),
    integer!(softmax.value_engines, 0, 2, default 2, "engines",
        "quick-select engines that find which exponentials of a row keep their V: local value pruning",
        "0 leaves value pruning out; one engine of top_k.lanes ranks a row while the next one's exponentials arrive, two rank rows in turn and keep pace with short ones; rows that prune nothing cost no cycle either way"),
    integer!(top_k.lanes, 1, 32, default 16, "comparators of each kind",
        "keys that a quick-select engine compares with its pivots per cycle, once with < and once with >",
        "used by the engine that selects tokens and heads and by those of softmax.value_engines; a pass over n keys takes n/lanes cycles, and the engine is as large as its lanes; below 2 x softmax.lanes selections no longer keep pace with their input"),
    integer!(output.lanes, 1, 32, default 16, "elements per cycle",
        "output elements normalised and rounded per cycle",
        "a row leaves in d/lanes cycles, so short rows wait when there are few; each lane has its own wide multiplier"),
    integer!(limits.keys_per_row, 1, MAX_KEYS_PER_ROW, default 1024, "keys",
        "most keys that one query row may attend to",
        "every buffer must hold a row of this length; longer sequences need a larger configuration or pruning to this length"),
    integer!(limits.tokens, 1, MAX_TOKENS, default 4096, "tokens",
        "tokens of a sequence, whose ids are 0 to tokens - 1: the vectors that memory holds per head",
        "rows see keys_per_row of them at most; more make ids wider, 16 of which are scanned per cycle, and spread a head's plane further"),
    integer!(limits.heads, 1, MAX_HEADS, default 32, "heads",
        "most query heads of a layer",
        "each of the two sequences whose importance is kept has a score per head; more heads take more of that memory"),
    integer!(schedule.rows_in_flight, 2, 64, default 32, "rows",
        "query rows between their first score and their last output",
        "a row is under way for some 75 cycles, so rows of n score lines follow each other without a gap when 75/n are in flight (32 from 3 lines on, 64 from 2); each takes an entry in the rows' FIFOs"),
    integer!(memory.channels, 1, 32, default 16, "channels",
        "HBM channels of 32 bytes per cycle each",
        "each has its port and read master; generation is bound by bandwidth, so with too few channels the arrays idle"),
    integer!(memory.address_bits, 20, 48, default 34, "bits",
        "width of an address of one channel, in bytes",
        "every layer's planes must end below 2^address_bits; wider addresses cost registers per outstanding read"),
    integer!(memory.outstanding_reads, 2, 64, default 64, "reads",
        "reads that one port may have under way, each with an id of its own",
        "64 cover the latency of HBM2 with 8-bit vectors of d = 64, with 32 a fifth of the bandwidth is lost; each one takes a word of the port's tag table"),
    integer!(memory.silence_log2, 10, 24, default 16, "log2 cycles",
        "after 2^this cycles without data a port with reads under way reports an error",
        "must outlast the memory's longest pause (about 350 cycles around an HBM2 refresh, and what other masters add); longer only delays the report"),
];

/// The field with a dotted key.
pub fn find(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

/// The table names (`array`, `buffers`, ...) in order.
pub fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = FIELDS
        .iter()
        .filter_map(|field| field.key.split_once('.'))
        .map(|(group, _)| group)
        .collect();
    groups.dedup();
    groups
}

/// The known key nearest to a mistyped one, if any is near enough to be meant.
///
/// The last part counts twice, so that `multipliers` and `arrays.multiplier` both find `array.multipliers`.
pub fn nearest(key: &str) -> Option<&'static str> {
    let key = key.to_lowercase();
    let last_part = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
    let whole = |field: &Field| strsim::jaro_winkler(field.key, &key);
    let last = |field: &Field| strsim::jaro_winkler(&last_part(field.key), &last_part(&key));
    let likeness = |field: &Field| whole(field) + last(field);
    let best = FIELDS
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (whole(best) > 0.85 || last(best) > 0.85).then_some(best.key)
}

/// What to say to someone who used an unknown key.
pub(super) fn advice(key: &str) -> String {
    match nearest(key) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => {
            let keys: Vec<&str> = FIELDS.iter().map(|field| field.key).collect();
            format!("the keys are {}", keys.join(", "))
        }
    }
}

impl Field {
    /// True for a field that every configuration file must give: a default name would let the outputs of
    /// different configurations replace each other.
    pub fn is_required(&self) -> bool {
        matches!(self.kind, Kind::Name { .. })
    }

    /// The field's value in a configuration.
    pub fn get(&self, config: &Config) -> Value {
        match self.kind {
            Kind::Name { get, .. } => Value::Text(get(config).to_string()),
            Kind::Integer { get, .. } => Value::Integer(saturating(get(config))),
            Kind::Subset { get, .. } => {
                Value::Integers(get(config).iter().copied().map(saturating).collect())
            }
        }
    }

    /// Puts a value into a configuration if the field takes it.
    ///
    /// # Errors
    /// [`Refusal`]; the configuration is then unchanged.
    pub fn set(&self, config: &mut Config, value: &Value) -> Result<(), Refusal> {
        self.check(value)?;
        match (&self.kind, value) {
            (Kind::Name { place, .. }, Value::Text(text)) => *place(config) = text.clone(),
            (Kind::Integer { place, .. }, Value::Integer(value)) => {
                *place(config) = *value as usize
            }
            (Kind::Subset { place, .. }, Value::Integers(values)) => {
                *place(config) = values.iter().map(|value| *value as usize).collect();
            }
            _ => return Err(Refusal::WrongType),
        }
        Ok(())
    }

    /// Puts the default into a configuration.
    pub fn set_default(&self, config: &mut Config) {
        match self.kind {
            Kind::Name { default, place, .. } => *place(config) = default.to_string(),
            Kind::Integer { default, place, .. } => *place(config) = default,
            Kind::Subset { default, place, .. } => *place(config) = default.to_vec(),
        }
    }

    /// Checks a value against the field's type and range.
    ///
    /// # Errors
    /// [`Refusal`] with the reason.
    pub fn check(&self, value: &Value) -> Result<(), Refusal> {
        match (&self.kind, value) {
            (Kind::Name { .. }, Value::Text(text)) => check_name(text),
            (Kind::Integer { min, max, .. }, Value::Integer(value)) => {
                let fits =
                    usize::try_from(*value).is_ok_and(|value| (*min..=*max).contains(&value));
                if fits {
                    Ok(())
                } else {
                    Err(Refusal::OutOfRange(String::new()))
                }
            }
            (Kind::Subset { of, reason, .. }, Value::Integers(values)) => {
                check_subset(values, of, reason)
            }
            _ => Err(Refusal::WrongType),
        }
    }

    /// What the field accepts, as it reads in tables and messages: `4 to 12`.
    pub fn allowed(&self) -> String {
        match &self.kind {
            Kind::Name { .. } => format!(
                "a lower-case letter, then lower-case letters, digits and underscores, at most {MAX_NAME_LENGTH} in all"
            ),
            Kind::Integer { min, max, .. } => format!("{min} to {max}"),
            Kind::Subset { of, .. } => format!("one or more of {}, ascending, each once", list(of)),
        }
    }

    /// The TOML type, as it reads in messages: `a whole number`.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Name { .. } => "a string",
            Kind::Integer { .. } => "a whole number",
            Kind::Subset { .. } => "a list of whole numbers",
        }
    }

    /// The default, as it is written in TOML; `required` for a field that has none.
    pub fn default_text(&self) -> String {
        if self.is_required() {
            return "required".to_string();
        }
        self.get(&Config::default()).to_string()
    }
}

fn saturating(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn check_name(text: &str) -> Result<(), Refusal> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on_well = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if starts_well && goes_on_well && text.len() <= MAX_NAME_LENGTH {
        Ok(())
    } else {
        Err(Refusal::OutOfRange(
            "the name becomes part of file names and Verilog comments".to_string(),
        ))
    }
}

fn check_subset(values: &[i64], of: &[usize], reason: &str) -> Result<(), Refusal> {
    let supported = |value: &&i64| usize::try_from(**value).is_ok_and(|value| of.contains(&value));
    if let Some(other) = values.iter().find(|value| !supported(value)) {
        return Err(Refusal::OutOfRange(format!(
            "{other} is not supported: {reason}"
        )));
    }
    if values.is_empty() {
        return Err(Refusal::OutOfRange("the list is empty".to_string()));
    }
    if !values.is_sorted_by(|a, b| a < b) {
        return Err(Refusal::OutOfRange(
            "sort the list and drop repeats".to_string(),
        ));
    }
    Ok(())
}

/// `[32, 64, 128]` as `32, 64 and 128`.
pub(super) fn list(values: &[usize]) -> String {
    let words: Vec<String> = values.iter().map(usize::to_string).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
