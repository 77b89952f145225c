//! Watches the handshake of one stream out of a design.

use super::Simulator;
use super::fault::Rule;
use super::stream::Channel;

/// What a cycle shows on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Valid is low.
    Nothing,
    /// A word waits for ready.
    Waits,
    /// A word is transferred at the coming edge.
    Moves,
}

/// Remembers the word that waits, to see that it stands.
#[derive(Debug)]
pub(super) struct Watch {
    /// The last cycle's word waits for ready.
    waiting: bool,
    previous: Vec<i64>,
    word: Vec<i64>,
}

impl Watch {
    pub(super) fn new(channel: &Channel) -> Self {
        Self {
            waiting: false,
            previous: vec![0; channel.lanes],
            word: vec![0; channel.lanes],
        }
    }

    /// The word that this cycle shows.
    pub(super) fn word(&self) -> &[i64] {
        &self.word
    }

    /// Looks at one settled cycle.
    ///
    /// # Errors
    /// The rule that the cycle breaks together with the one before.
    pub(super) fn observe(
        &mut self,
        channel: &Channel,
        simulator: &Simulator,
    ) -> Result<Seen, Rule> {
        if simulator.get(channel.valid) == 0 {
            return if self.waiting {
                Err(Rule::ValidFell)
            } else {
                Ok(Seen::Nothing)
            };
        }
        channel.read(simulator, &mut self.word);
        if self.waiting {
            self.check_held(channel)?;
        }
        self.waiting = simulator.get(channel.ready) == 0;
        if self.waiting {
            self.previous.copy_from_slice(&self.word);
            return Ok(Seen::Waits);
        }
        Ok(Seen::Moves)
    }

    /// Forgets a word that waits.
    pub(super) fn clear(&mut self) {
        self.waiting = false;
    }

    fn check_held(&self, channel: &Channel) -> Result<(), Rule> {
        let mut pairs = self.previous.iter().zip(&self.word);
        let Some(index) = pairs.position(|(from, to)| from != to) else {
            return Ok(());
        };
        let (field, lane) = channel.locate(index);
        Err(Rule::PayloadChanged {
            field: field.into(),
            lane,
            from: self.previous[index],
            to: self.word[index],
        })
    }
}
