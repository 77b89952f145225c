//! Small pieces of Verilog text.

use num_bigint::BigUint;

pub(super) fn range(width: usize) -> String {
    if width == 1 {
        String::new()
    } else {
        format!(" [{}:0]", width - 1)
    }
}

pub(super) fn select(name: &str, lo: usize, width: usize) -> String {
    if width == 1 {
        format!("{name}[{lo}]")
    } else {
        format!("{name}[{}:{lo}]", lo + width - 1)
    }
}

pub(super) fn lane(bus: &str, k: &str, width: usize) -> String {
    if width == 1 {
        format!("{bus}[{k}]")
    } else {
        format!("{bus}[{k}*{width} +: {width}]")
    }
}

/// Sized literal: binary for single bits, decimal while short, else hexadecimal.
pub(super) fn literal(value: &BigUint, width: usize) -> String {
    if width == 1 {
        format!("1'b{value}")
    } else if width <= 24 {
        format!("{width}'d{value}")
    } else {
        format!("{width}'h{value:x}")
    }
}

pub(super) fn comment(doc: &str) -> String {
    if doc.is_empty() {
        String::new()
    } else {
        format!("  // {doc}")
    }
}

/// A port's name without its direction, for the names of temporaries.
pub(super) fn base_name(name: &str) -> &str {
    name.strip_suffix("_o").unwrap_or(name)
}

pub(super) fn trim_end_spaces(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
}

pub(super) fn trim_end(out: &mut String) {
    out.truncate(out.trim_end_matches([' ', '\n']).len());
    out.push('\n');
}

/// Breaks a long expression after commas, or before operators, so that no line is longer than `width` where possible.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let breaks_before = matches!(word, "&" | "|" | "^" | "+" | "-" | "?" | ":");
        let full = line.len() + 1 + word.len() > width;
        let allowed = breaks_before || line.ends_with(',');
        if full && allowed && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
