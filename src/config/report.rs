//! The field table and configurations as text, Markdown and JSON.

use serde_json::{Value as Json, json};

use super::fields::{self, FIELDS, Field};
use super::{Config, ConfigError, rules};

/// Every field of a configuration and what follows from it, as `spatten check` prints it.
pub fn summary(config: &Config) -> String {
    let parameters = FIELDS.iter().map(|field| {
        [
            field.key.to_string(),
            field.get(config).to_string(),
            field.unit.to_string(),
        ]
    });
    let sizes = config
        .derived_sizes()
        .into_iter()
        .map(|size| [size.name, size.value.to_string(), size.unit.to_string()]);
    format!(
        "{} is valid (hash {})\n\nparameters\n{}\nderived sizes\n{}",
        config.name,
        config.hash(),
        columns(parameters.collect()),
        columns(sizes.collect()),
    )
}

/// The same as one JSON object: `name`, `hash`, `parameters` (tables as in TOML) and `derived` (`name`, `value`,
/// `unit` each).
pub fn summary_json(config: &Config) -> Json {
    json!({
        "name": config.name,
        "hash": config.hash(),
        "parameters": config,
        "derived": config.derived_sizes(),
    })
}

/// Every field with its meaning, one line each.
pub fn overview() -> String {
    columns(
        FIELDS
            .iter()
            .map(|field| {
                [
                    field.key.to_string(),
                    field.meaning.to_string(),
                    String::new(),
                ]
            })
            .collect(),
    )
}

/// Everything about one field, or about each field of a table.
///
/// # Errors
/// [`ConfigError::UnknownField`] for any other key.
pub fn explain(key: &str) -> Result<String, ConfigError> {
    let in_table = |field: &Field| {
        field
            .key
            .split_once('.')
            .is_some_and(|(table, _)| table == key)
    };
    let explained: Vec<String> = FIELDS
        .iter()
        .filter(|field| field.key == key || in_table(field))
        .map(explain_field)
        .collect();
    if explained.is_empty() {
        return Err(ConfigError::UnknownField {
            key: key.to_string(),
            advice: fields::advice(key),
        });
    }
    Ok(explained.join("\n"))
}

fn explain_field(field: &Field) -> String {
    let mut rows = vec![["range", &field.allowed()].map(str::to_string).to_vec()];
    if !field.unit.is_empty() {
        rows.insert(0, vec!["unit".into(), field.unit.into()]);
    }
    rows.push(vec!["default".into(), field.default_text()]);
    rows.push(vec!["trade-off".into(), field.trade_off.into()]);
    rows.extend(rules::of(field.key).map(|rule| {
        vec![
            "rule".into(),
            format!("{}: {}", rule.statement, rule.reason),
        ]
    }));
    let body: String = rows
        .iter()
        .map(|row| format!("  {:<11}{}\n", row[0], row[1]))
        .collect();
    format!("{}: {}\n{body}", field.key, field.meaning)
}

/// The README's parameter table in Markdown.
pub fn parameter_table() -> String {
    let head =
        "| parameter | meaning | unit | range | default | trade-off |\n|---|---|---|---|---|---|\n";
    FIELDS.iter().fold(head.to_string(), |table, field| {
        table + &markdown_row(field)
    })
}

fn markdown_row(field: &Field) -> String {
    let default = field.default_text();
    format!(
        "| `{}` | {} | {} | {} | {default} | {} |\n",
        field.key,
        field.meaning,
        field.unit,
        field.allowed(),
        field.trade_off
    )
}

/// Rows of a name, a value and its unit; names and values aligned.
fn columns(rows: Vec<[String; 3]>) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (name, value) = (width(0), width(1));
    rows.iter()
        .map(|row| {
            format!("  {:name$}  {:value$}  {}", row[0], row[1], row[2])
                .trim_end()
                .to_string()
                + "\n"
        })
        .collect()
}
