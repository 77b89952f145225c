//! The field table as the README's Markdown and as JSON.

use serde_json::{Value as Json, json};

use super::Config;
use super::fields::{FIELDS, Field};

/// The README's parameter table in Markdown.
pub fn parameter_table() -> String {
    let head =
        "| parameter | meaning | unit | range | default | trade-off |\n|---|---|---|---|---|---|\n";
    FIELDS
        .iter()
        .fold(head.to_string(), |table, field| table + &row(field))
}

fn row(field: &Field) -> String {
    let default = field.default_text();
    format!(
        "| `{}` | {} | {} | {} | `{default}` | {} |\n",
        field.key,
        field.meaning,
        field.unit,
        field.allowed(),
        field.trade_off
    )
}

/// The configuration with its derived sizes as one JSON object, for `spatten check --json`.
pub fn parameters_as_json(config: &Config) -> Json {
    json!({
        "name": config.name,
        "hash": config.hash(),
        "parameters": config,
        "derived": config.derived_sizes(),
    })
}
