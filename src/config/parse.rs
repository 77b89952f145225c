//! From TOML text and `--set` options to a validated [`Config`].
//!
//! The text is walked against the field table instead of being handed to a derived deserializer, because that
//! stops at the first mistake: here every mistake is found, with its line.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::{self, FIELDS, Kind, Value};
use super::{Config, ConfigError, Origin, Problem, rules};
use crate::input::{self, NotOpened};

/// Larger files are no configurations.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Characters of a value that messages repeat.
const MAX_QUOTED: usize = 60;

/// A file's text.
///
/// # Errors
/// [`ConfigError::Unreadable`] for a missing file, a folder, a device or pipe, a file that is too large or not UTF-8.
pub(super) fn read_file(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable {
        path: path.display().to_string(),
        reason,
    };
    let file = input::open(path).map_err(|why| {
        unreadable(match why {
            NotOpened::Folder => "is a folder; name a TOML file or a preset".into(),
            NotOpened::NotRegular => {
                "is not a regular file; name a TOML file on disk or a preset".into()
            }
            NotOpened::Io(error) => format!("{error}; name a readable TOML file or a preset"),
        })
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(format!(
            "is larger than {MAX_FILE_BYTES} bytes; this is no configuration"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        unreadable(format!("is not UTF-8 at byte {at}; save it as UTF-8 text"))
    })
}

/// Parses and validates TOML text with overrides.
pub(super) fn parse(text: &str, source: &str, sets: &[String]) -> Result<Config, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| syntax_error(text, source, &error))?;
    if table.get_ref().is_empty() {
        return Err(ConfigError::Unreadable {
            path: source.to_string(),
            reason: "is empty; give at least a name, for example `name = \"mine\"`".into(),
        });
    }
    let mut reader = Reader::default();
    reader.read_table(text, table.get_ref());
    for set in sets {
        reader.read_set(set);
    }
    reader.finish(source)
}

fn syntax_error(text: &str, source: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    ConfigError::Syntax {
        source_name: source.to_string(),
        line: line_of(text, at),
        column: before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1,
        message: error.message().replace('\n', ", "),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

/// A value as written, with its place.
struct Written {
    value: Option<Value>,
    text: String,
    origin: Origin,
}

/// Collects values and problems from the file, then from the options.
#[derive(Default)]
struct Reader {
    /// The last value written for each field.
    written: BTreeMap<&'static str, Written>,
    problems: Vec<Problem>,
}

impl Reader {
    fn read_table(&mut self, text: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let origin = Origin::Line(line_of(text, key.span().start));
            match value.get_ref() {
                DeValue::Table(inner) if fields::find(key.get_ref()).is_none() => {
                    self.read_group(text, key.get_ref(), inner, origin);
                }
                _ => self.read_value(key.get_ref().to_string(), value, text, origin),
            }
        }
    }

    fn read_group(&mut self, text: &str, group: &str, table: &DeTable<'_>, origin: Origin) {
        if !fields::groups().contains(&group) {
            let advice = format!("the tables are {}", fields::groups().join(", "));
            self.problems.push(Problem::UnknownKey {
                key: group.to_string(),
                advice,
                origin,
            });
            return;
        }
        for (key, value) in table {
            let origin = Origin::Line(line_of(text, key.span().start));
            self.read_value(format!("{group}.{}", key.get_ref()), value, text, origin);
        }
    }

    fn read_set(&mut self, set: &str) {
        let Some((key, text)) = set.split_once('=') else {
            self.problems.push(Problem::NotKeyValue {
                text: set.to_string(),
            });
            return;
        };
        let (key, text) = (key.trim(), text.trim());
        let is_name =
            fields::find(key).is_some_and(|field| matches!(field.kind, Kind::Name { .. }));
        match DeValue::parse(text) {
            Ok(value) if !is_name || value.get_ref().is_str() => {
                self.read_value(key.to_string(), &value, text, Origin::Set)
            }
            // A shell eats the quotes of a string: name=mine means name="mine".
            _ => self.keep(
                key.to_string(),
                Some(Value::Text(text.to_string())),
                quoted(text),
                Origin::Set,
            ),
        }
    }

    fn read_value(
        &mut self,
        key: String,
        value: &Spanned<DeValue<'_>>,
        text: &str,
        origin: Origin,
    ) {
        let written = written_text(text, value.span());
        self.keep(key, plain(value.get_ref()), written, origin);
    }

    fn keep(&mut self, key: String, value: Option<Value>, text: String, origin: Origin) {
        if let Some(field) = fields::find(&key) {
            self.written.insert(
                field.key,
                Written {
                    value,
                    text,
                    origin,
                },
            );
        } else if fields::groups().contains(&key.as_str()) {
            let prefix = format!("{key}.");
            let fields: Vec<&str> = FIELDS
                .iter()
                .map(|field| field.key)
                .filter(|name| name.starts_with(&prefix))
                .collect();
            self.problems.push(Problem::TableKey {
                key,
                value: text,
                fields: fields.join(", "),
                origin,
            });
        } else {
            let advice = fields::advice(&key);
            self.problems.push(Problem::UnknownKey {
                key,
                advice,
                origin,
            });
        }
    }

    /// Puts the values over the defaults and checks ranges and rules.
    fn finish(mut self, source: &str) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let mut refused = Vec::new();
        for field in FIELDS {
            let Some(Written {
                value,
                text,
                origin,
            }) = self.written.get(field.key)
            else {
                if field.is_required() {
                    let example = format!("{} = \"mine\"", field.key);
                    self.problems.push(Problem::Missing {
                        key: field.key.to_string(),
                        example,
                    });
                }
                continue;
            };
            let result = match value {
                Some(value) => field.set(&mut config, value),
                None => Err(fields::Refusal::WrongType),
            };
            if let Err(refusal) = result {
                self.problems
                    .push(refusal.problem(field, text.clone(), origin.clone()));
                refused.push(field.key);
            }
        }
        let origin = |key: &str| {
            self.written
                .get(key)
                .map_or(Origin::Default, |written| written.origin.clone())
        };
        self.problems
            .extend(rules::broken(&config, &refused, origin));
        ConfigError::unless_empty(source, self.problems)?;
        Ok(config)
    }
}

/// The value if it has one of the types that fields have.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Integer(_) => integer(value).map(Value::Integer),
        DeValue::Array(values) => values
            .iter()
            .map(|value| integer(value.get_ref()))
            .collect::<Option<_>>()
            .map(Value::Integers),
        _ => None,
    }
}

/// The whole number, saturated when it needs more than 64 bits: it is out of every range then.
fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    let saturated = if number.as_str().starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    Some(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(saturated))
}

/// A value as it stands in the text, on one line and not too long.
fn written_text(text: &str, span: Range<usize>) -> String {
    quoted(text.get(span).unwrap_or_default())
}

fn quoted(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_QUOTED {
        line
    } else {
        line.chars().take(MAX_QUOTED).chain("...".chars()).collect()
    }
}
