//! What a bench finds wrong with a design.

use std::fmt;

use super::DesignStopped;
use super::memory::AxiRule;

/// A design failed on a bench. Commands map it to exit status 1.
#[derive(Debug, thiserror::Error)]
#[error("{design} (seed {seed}): {fault}")]
pub struct BenchError {
    /// Top module.
    pub design: String,
    /// Seed of the bench's stalls, with which the failure repeats.
    pub seed: u64,
    /// What happened.
    pub fault: Box<Fault>,
}

/// What a design did wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It ended its own simulation.
    #[error(transparent)]
    Stopped(#[from] DesignStopped),
    /// It broke the rules of the handshake.
    #[error("stream `{stream}`, cycle {cycle}, word {word}: {rule}")]
    Protocol {
        /// The stream.
        stream: String,
        /// Clock cycle, from 0.
        cycle: u64,
        /// Words transferred before.
        word: usize,
        /// The broken rule.
        rule: Rule,
    },
    /// It, or the memory behind its port, broke a rule of AXI4 or of the project's ports.
    #[error("memory port `{port}`, cycle {cycle}: {rule}")]
    Axi {
        /// The port.
        port: String,
        /// Clock cycle, from 0.
        cycle: u64,
        /// The broken rule.
        rule: AxiRule,
    },
    /// An output changed with an input within the cycle, in a design that says this never happens.
    #[error(
        "cycle {cycle}: output `{port}` follows an input within the cycle, but the design is not marked combinational"
    )]
    Combinational {
        /// The output.
        port: String,
        /// Clock cycle, from 0.
        cycle: u64,
    },
    /// A word is not the expected one.
    #[error("stream `{}`, cycle {cycle}, word {}, field `{}`, lane {}{}: expected {expected}, got {got}",
        place.stream, place.word, place.field, place.lane, parenthesised(meaning))]
    Mismatch {
        /// The first wrong value.
        place: Place,
        /// What the bench's owner calls this place (token, head, ...); may be empty.
        meaning: String,
        /// Clock cycle, from 0.
        cycle: u64,
        /// The golden value.
        expected: i64,
        /// The design's value.
        got: i64,
    },
    /// A word came that nobody expected.
    #[error("stream `{stream}`, cycle {cycle}: word {word} came after the last expected one")]
    Surplus {
        /// The stream.
        stream: String,
        /// Clock cycle, from 0.
        cycle: u64,
        /// Index of the surplus word.
        word: usize,
    },
    /// The words did not all arrive in time.
    #[error("not done after {limit} cycles: {}", join(streams))]
    Stuck {
        /// Cycles that were allowed.
        limit: u64,
        /// Every stream with words outstanding.
        streams: Vec<StuckStream>,
    },
}

/// A rule of the handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Once high, valid stays until the transfer.
    #[error("valid fell before the transfer")]
    ValidFell,
    /// Once valid, the payload stays until the transfer.
    #[error("field `{field}`, lane {lane} changed from {from} to {to} before the transfer")]
    PayloadChanged {
        /// The field.
        field: String,
        /// Lane within it.
        lane: usize,
        /// Value while the word waited.
        from: i64,
        /// Value one cycle later.
        to: i64,
    },
    /// Valid never waits for ready, and the payload does not depend on it either.
    #[error("valid or payload depends on a ready within the cycle")]
    OfferFollowsReady,
    /// Nothing is offered during reset.
    #[error("valid is high during reset")]
    ValidInReset,
}

/// One value on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The stream.
    pub stream: String,
    /// Index of the word since the last reset.
    pub word: usize,
    /// Field of the word.
    pub field: String,
    /// Lane of the field.
    pub lane: usize,
}

/// A stream that keeps a bench from ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckStream {
    /// The stream.
    pub stream: String,
    /// Words transferred.
    pub transferred: usize,
    /// Words that were to be transferred.
    pub total: usize,
    /// Valid in the last cycle.
    pub valid: bool,
    /// Ready in the last cycle.
    pub ready: bool,
}

impl fmt::Display for StuckStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stream,
            transferred,
            total,
            valid,
            ready,
        } = self;
        let (valid, ready) = (u8::from(*valid), u8::from(*ready));
        write!(
            formatter,
            "stream `{stream}` moved {transferred} of {total} words (valid {valid}, ready {ready})"
        )
    }
}

fn join(streams: &[StuckStream]) -> String {
    streams
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn parenthesised(meaning: &str) -> String {
    if meaning.is_empty() {
        String::new()
    } else {
        format!(" ({meaning})")
    }
}
