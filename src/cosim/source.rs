//! Drives the words of one stream into a design.

use rand::RngExt;

use super::Simulator;
use super::stalls::Hesitation;
use super::stream::Channel;

/// The sending end of a stream. It offers a word without waiting for ready, and holds it until it is taken.
#[derive(Debug)]
pub(super) struct StreamSource {
    pub(super) channel: Channel,
    pub(super) hesitation: Hesitation,
    /// All words since the last reset, flat.
    words: Vec<i64>,
    /// Their number.
    pub(super) total: usize,
    /// Cycle of each transfer since the last reset.
    pub(super) transfers: Vec<u64>,
    offer: Offer,
    garbage: Vec<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// Valid is low.
    None,
    /// Valid is high.
    Standing,
    /// Valid is still high, but the word was taken at the last edge.
    Taken,
}

impl StreamSource {
    pub(super) fn new(channel: Channel, hesitation: Hesitation) -> Self {
        Self {
            garbage: vec![0; channel.lanes],
            channel,
            hesitation,
            words: Vec::new(),
            total: 0,
            transfers: Vec::new(),
            offer: Offer::None,
        }
    }

    /// Adds a word to be sent.
    #[track_caller]
    pub(super) fn send(&mut self, word: &[i64]) {
        self.channel.append(word, &mut self.words);
        self.total += 1;
    }

    pub(super) fn is_done(&self) -> bool {
        self.transfers.len() == self.total
    }

    pub(super) fn is_offering(&self) -> bool {
        self.offer == Offer::Standing
    }

    /// Sets valid and payload for this cycle.
    pub(super) fn drive(&mut self, simulator: &mut Simulator) {
        if self.offer == Offer::Standing {
            return;
        }
        if !self.is_done() && !self.hesitation.stalled() {
            let start = self.transfers.len() * self.channel.lanes;
            self.channel
                .write(simulator, &self.words[start..start + self.channel.lanes]);
            simulator.set(self.channel.valid, 1);
            self.offer = Offer::Standing;
        } else if self.offer == Offer::Taken {
            self.withdraw(simulator);
        }
    }

    /// Notes whether the design takes the word at the coming edge.
    pub(super) fn observe(&mut self, simulator: &Simulator) {
        if self.is_offering() && simulator.get(self.channel.ready) == 1 {
            self.transfers.push(simulator.cycle());
            self.offer = Offer::Taken;
        }
    }

    /// Forgets all words and lowers valid.
    pub(super) fn clear(&mut self, simulator: &mut Simulator) {
        self.words.clear();
        self.total = 0;
        self.transfers.clear();
        self.hesitation.clear();
        self.withdraw(simulator);
    }

    /// Lowers valid, and shows a random payload: a design must not use it.
    fn withdraw(&mut self, simulator: &mut Simulator) {
        for value in &mut self.garbage {
            *value = self.hesitation.random.random();
        }
        self.channel.write(simulator, &self.garbage);
        simulator.set(self.channel.valid, 0);
        self.offer = Offer::None;
    }
}
