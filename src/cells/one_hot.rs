//! One-hot choices: the lowest of some flags, and the word that a choice names.

use crate::hdl::{Builder, Sig};

/// The lowest set bit alone.
pub(crate) fn lowest<'m>(m: &'m Builder, word: Sig<'m>) -> Sig<'m> {
    word & (!word).wrapping_add(m.lit(1, word.width()))
}

/// The word whose bit of the one-hot `choice` is set; zeros where none is.
pub(crate) fn chosen<'m>(choice: Sig<'m>, words: &[Sig<'m>]) -> Sig<'m> {
    let gated = words.iter().enumerate();
    let gated = gated.map(|(k, word)| *word & choice.bit(k).repeat(word.width()));
    gated.reduce(|a, b| a | b).expect("at least one word")
}
