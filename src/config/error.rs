//! What can be wrong with a configuration, and how it is told.

use std::fmt;

use thiserror::Error;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the TOML text, counted from 1.
    Line(usize),
    /// A `--set` option.
    Set,
    /// The field's default: neither the file nor an option gave a value.
    Default,
    /// A `Config` that was built or changed in code.
    Code,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(line) => write!(f, "line {line}"),
            Origin::Set => f.write_str("--set"),
            Origin::Default => f.write_str("default"),
            Origin::Code => f.write_str("set in code"),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// A key that is no field.
    #[error("{key} ({origin}): unknown key; {advice}")]
    UnknownKey {
        /// The key as written, dotted.
        key: String,
        /// The nearest key, or where to find them all.
        advice: String,
        /// Where it stands.
        origin: Origin,
    },
    /// A table's name where a field is needed, or a value where a table is needed.
    #[error("{key} = {value} ({origin}): {key} is a table, not a field; set one of {fields}")]
    TableKey {
        /// The table's name.
        key: String,
        /// The value as written.
        value: String,
        /// The table's fields, dotted.
        fields: String,
        /// Where it stands.
        origin: Origin,
    },
    /// A `--set` option that is not `key=value`.
    #[error("--set {text}: must be key=value, for example --set array.multipliers=64")]
    NotKeyValue {
        /// The option's text.
        text: String,
    },
    /// A value of another type than the field's.
    #[error("{key} = {value} ({origin}): must be {expected}")]
    WrongType {
        /// The field.
        key: String,
        /// The value as written.
        value: String,
        /// The type that the field needs.
        expected: String,
        /// Where it stands.
        origin: Origin,
    },
    /// A value outside the field's range.
    #[error("{key} = {value} ({origin}): must be {allowed}{}", because(.detail))]
    OutOfRange {
        /// The field.
        key: String,
        /// The value as written.
        value: String,
        /// What the field accepts.
        allowed: String,
        /// The reason; empty when the range says it all.
        detail: String,
        /// Where it stands.
        origin: Origin,
    },
    /// Values that do not fit together.
    #[error("{key} = {value} ({origin}): must be {allowed}: {reason}")]
    BrokenRule {
        /// The field to blame.
        key: String,
        /// Its value.
        value: String,
        /// What it may be, given the other fields.
        allowed: String,
        /// Why.
        reason: String,
        /// Where the value stands.
        origin: Origin,
    },
    /// A field without a default that the file does not give.
    #[error("{key}: missing; add a line such as `{example}`")]
    Missing {
        /// The field.
        key: String,
        /// A line that sets it.
        example: String,
    },
}

fn because(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!("; {detail}")
    }
}

impl Problem {
    /// The dotted key that the problem is about; for a malformed `--set` its text.
    pub fn key(&self) -> &str {
        match self {
            Problem::UnknownKey { key, .. }
            | Problem::TableKey { key, .. }
            | Problem::WrongType { key, .. }
            | Problem::OutOfRange { key, .. }
            | Problem::BrokenRule { key, .. }
            | Problem::Missing { key, .. } => key,
            Problem::NotKeyValue { text } => text,
        }
    }
}

/// Why there is no valid configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Neither a preset nor a file.
    #[error("unknown configuration {name:?}: no preset and no file has that name; {advice}")]
    UnknownPreset {
        /// The name as given.
        name: String,
        /// The nearest preset and the list of them.
        advice: String,
    },
    /// A key to explain that is no field.
    #[error("unknown parameter {key:?}: {advice}")]
    UnknownField {
        /// The key as given.
        key: String,
        /// The nearest key, or the list of them.
        advice: String,
    },
    /// The file cannot be read as text.
    #[error("configuration file {path}: {reason}")]
    Unreadable {
        /// The path as given.
        path: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The text is not TOML.
    #[error("configuration {source_name}, line {line}, column {column}: {message}")]
    Syntax {
        /// File or preset.
        source_name: String,
        /// Line, counted from 1.
        line: usize,
        /// Column in characters, counted from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// The text is TOML but not a valid configuration.
    #[error("configuration {source_name} has {}:{}", count(.problems), lines(.problems))]
    Invalid {
        /// File, preset or the configuration's name.
        source_name: String,
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 error".to_string(),
        n => format!("{n} errors"),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}

impl ConfigError {
    pub(super) fn unless_empty(source: &str, problems: Vec<Problem>) -> Result<(), ConfigError> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid {
                source_name: source.to_string(),
                problems,
            })
        }
    }
}
