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
    } else if width <= 24 || value.bits() <= 10 {
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

/// Breaks a long expression into lines of at most `width` where possible: the alternatives of `?` one per line, long
/// brackets with their contents indented, else before operators.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    if text.len() <= width {
        return vec![text.to_owned()];
    }
    let alternatives = split(text, |word| word == ":");
    if alternatives.len() > 1 {
        return lines_of(&alternatives, width);
    }
    if let Some(open) = final_bracket(text, width / 2) {
        return bracketed(text, open, width);
    }
    let terms = split(text, |word| {
        matches!(word, "&" | "|" | "^" | "+" | "-" | "?")
    });
    match terms.len() {
        1 => vec![text.to_owned()],
        _ => lines_of(&filled(&terms, width), width),
    }
}

/// Each piece on a line of its own, or on several when it is long.
fn lines_of(pieces: &[String], width: usize) -> Vec<String> {
    let pieces = pieces.iter();
    pieces.flat_map(|piece| wrap(piece, width)).collect()
}

/// Splits before the words outside of brackets that `starts` accepts.
fn split(text: &str, starts: impl Fn(&str) -> bool) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut depth = 0;
    for word in text.split(' ') {
        let begun = pieces.last().is_some_and(|piece| !piece.is_empty());
        if depth == 0 && begun && starts(word) {
            pieces.push(String::new());
        }
        let piece = pieces.last_mut().expect("never empty");
        if !piece.is_empty() {
            piece.push(' ');
        }
        piece.push_str(word);
        depth += nesting(word);
    }
    pieces
}

/// Brackets that the word opens, less those it closes.
fn nesting(word: &str) -> i32 {
    let step = |c| match c {
        '(' | '{' | '[' => 1,
        ')' | '}' | ']' => -1,
        _ => 0,
    };
    word.chars().map(step).sum()
}

/// Joins pieces while they fit on a line.
fn filled(pieces: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + piece.len() <= width => {
                line.push(' ');
                line.push_str(piece);
            }
            _ => lines.push(piece.clone()),
        }
    }
    lines
}

/// Where the bracket opens that closes at the end of the text, when more than `least` characters stand in it.
fn final_bracket(text: &str, least: usize) -> Option<usize> {
    if !text.ends_with([')', '}']) {
        return None;
    }
    let mut depth = 0;
    for (index, c) in text.char_indices().rev() {
        depth -= nesting(c.encode_utf8(&mut [0; 4]));
        if depth == 0 {
            return (text.len() - index > least).then_some(index);
        }
    }
    None
}

/// The text before the bracket that opens at `open`, its contents indented, and the bracket's end.
fn bracketed(text: &str, open: usize, width: usize) -> Vec<String> {
    let (head, rest) = text.split_at(open + 1);
    let (contents, end) = rest.split_at(rest.len() - 1);
    let mut elements = vec![String::new()];
    for word in split(contents, |_| true) {
        let element = elements.last_mut().expect("never empty");
        if !element.is_empty() {
            element.push(' ');
        }
        element.push_str(&word);
        if word.ends_with(',') {
            elements.push(String::new());
        }
    }
    let inner = width.saturating_sub(2);
    let lines = lines_of(&filled(&elements, inner), inner);
    let indented = lines.iter().map(|line| format!("  {line}"));
    let first = std::iter::once(head.to_owned());
    first.chain(indented).chain([end.to_owned()]).collect()
}

/// Breaks the text of a comment between words.
pub(super) fn wrap_words(text: &str, width: usize) -> Vec<String> {
    let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    filled(&words, width)
}
