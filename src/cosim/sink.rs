//! Takes the words of one stream out of a design, and watches its handshake.

use super::Simulator;
use super::fault::{Fault, Place, Rule};
use super::stalls::Hesitation;
use super::stream::Channel;
use super::watch::{Seen, Watch};

/// What a bench's owner calls a value on a stream (token, head, ...).
pub(super) type Explain = Box<dyn Fn(&Place) -> String + Send>;

/// The receiving end of a stream: compares words with golden ones, or keeps them.
pub(super) struct StreamSink {
    pub(super) channel: Channel,
    pub(super) hesitation: Hesitation,
    pub(super) explain: Option<Explain>,
    /// Golden words since the last reset, flat.
    expected: Vec<i64>,
    /// Their number.
    compared: usize,
    /// Words that come after the golden ones, kept and not compared.
    pub(super) collected: Vec<i64>,
    /// Words that are to come since the last reset.
    pub(super) total: usize,
    /// Cycle of each transfer since the last reset.
    pub(super) transfers: Vec<u64>,
    watch: Watch,
}

impl StreamSink {
    pub(super) fn new(channel: Channel, hesitation: Hesitation) -> Self {
        Self {
            watch: Watch::new(&channel),
            channel,
            hesitation,
            explain: None,
            expected: Vec::new(),
            compared: 0,
            collected: Vec::new(),
            total: 0,
            transfers: Vec::new(),
        }
    }

    /// Adds a golden word.
    #[track_caller]
    pub(super) fn expect(&mut self, word: &[i64]) {
        assert!(
            self.compared == self.total,
            "stream `{}` is being collected until reset",
            self.channel.name
        );
        self.channel.append(word, &mut self.expected);
        self.compared += 1;
        self.total += 1;
    }

    pub(super) fn is_done(&self) -> bool {
        self.transfers.len() == self.total
    }

    /// Sets ready for this cycle.
    pub(super) fn drive(&mut self, simulator: &mut Simulator) {
        let ready = !self.hesitation.stalled();
        simulator.set(self.channel.ready, u64::from(ready));
    }

    /// Checks the handshake, and takes the word of this cycle if there is one.
    pub(super) fn observe(&mut self, simulator: &Simulator) -> Result<(), Fault> {
        match self.watch.observe(&self.channel, simulator) {
            Ok(Seen::Moves) => self.take(simulator.cycle()),
            Ok(Seen::Nothing | Seen::Waits) => Ok(()),
            Err(rule) => Err(self.broken(simulator, rule)),
        }
    }

    fn take(&mut self, cycle: u64) -> Result<(), Fault> {
        let index = self.transfers.len();
        if index >= self.total {
            return Err(Fault::Surplus {
                stream: self.channel.name.clone(),
                cycle,
                word: index,
            });
        }
        if index < self.compared {
            let expected = &self.expected[index * self.channel.lanes..][..self.channel.lanes];
            if let Some(value) = expected
                .iter()
                .zip(self.watch.word())
                .position(|(golden, got)| golden != got)
            {
                return Err(self.mismatch(cycle, index, value, expected[value]));
            }
        } else {
            self.collected.extend_from_slice(self.watch.word());
        }
        self.transfers.push(cycle);
        Ok(())
    }

    fn mismatch(&self, cycle: u64, word: usize, index: usize, expected: i64) -> Fault {
        let (field, lane) = self.channel.locate(index);
        let place = Place {
            stream: self.channel.name.clone(),
            word,
            field: field.into(),
            lane,
        };
        let meaning = self
            .explain
            .as_ref()
            .map_or_else(String::new, |explain| explain(&place));
        Fault::Mismatch {
            place,
            meaning,
            cycle,
            expected,
            got: self.watch.word()[index],
        }
    }

    /// Checks that nothing is offered during reset.
    pub(super) fn check_reset(&self, simulator: &Simulator) -> Result<(), Fault> {
        if simulator.get(self.channel.valid) == 0 {
            Ok(())
        } else {
            Err(self.broken(simulator, Rule::ValidInReset))
        }
    }

    fn broken(&self, simulator: &Simulator, rule: Rule) -> Fault {
        Fault::Protocol {
            stream: self.channel.name.clone(),
            cycle: simulator.cycle(),
            word: self.transfers.len(),
            rule,
        }
    }

    /// Forgets all words and lowers ready.
    pub(super) fn clear(&mut self, simulator: &mut Simulator) {
        self.expected.clear();
        self.collected.clear();
        self.transfers.clear();
        self.hesitation.clear();
        self.watch.clear();
        (self.compared, self.total) = (0, 0);
        simulator.set(self.channel.ready, 0);
    }
}
