//! A memory attached to the AXI4 port of a design.

use rand::RngExt;

use super::super::fault::{Fault, Rule};
use super::super::stalls::Hesitation;
use super::super::stream::Channel;
use super::super::watch::{Seen, Watch};
use super::super::{Direction, PortId, Simulator};
use super::axi::{
    Burst, ReadBeat, WriteBeat, address_fields, read_fields, response_fields, write_fields,
};
use super::checker::{AxiChecker, AxiLimits, AxiRule};
use super::slave::AxiSlave;

/// Which channels a design's port has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxiChannels {
    /// `ar` and `r`.
    Read,
    /// `aw`, `w` and `b`.
    Write,
    /// All five.
    Both,
}

/// The memory behind one port, the port's channels, and the checks of both.
#[derive(Debug)]
pub(in crate::cosim) struct MemoryPort {
    /// Name before the channels': empty, or such as `mem3`.
    name: String,
    pub(in crate::cosim) slave: AxiSlave,
    checker: AxiChecker,
    read: Option<(Inlet, Outlet)>,
    write: Option<(Inlet, Inlet, Outlet)>,
}

/// A channel out of the design, into the memory.
#[derive(Debug)]
struct Inlet {
    channel: Channel,
    watch: Watch,
}

/// A channel out of the memory, into the design.
#[derive(Debug)]
struct Outlet {
    channel: Channel,
    /// Random payload for cycles without an offer: the design must not use it.
    noise: Hesitation,
    offer: Offer,
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

impl MemoryPort {
    /// Finds the channels `<name>_ar`, `<name>_r` and so on; without a name `ar`, `r` and so on.
    #[track_caller]
    pub(in crate::cosim) fn new(
        simulator: &Simulator,
        name: &str,
        channels: AxiChannels,
        limits: AxiLimits,
        slave: AxiSlave,
        noise: impl Fn() -> Hesitation,
    ) -> Self {
        let full = |channel: &str| match name {
            "" => channel.to_owned(),
            name => format!("{name}_{channel}"),
        };
        let inlet = |channel: &str, fields: &[_]| {
            let channel = Channel::new(simulator, &full(channel), Direction::Out, fields);
            Inlet {
                watch: Watch::new(&channel),
                channel,
            }
        };
        let outlet = |channel: &str, fields: &[_]| Outlet {
            channel: Channel::new(simulator, &full(channel), Direction::In, fields),
            noise: noise(),
            offer: Offer::None,
        };
        let addresses = address_fields(limits.id_bits, limits.address_bits);
        let read = (channels != AxiChannels::Write).then(|| {
            (
                inlet("ar", &addresses),
                outlet("r", &read_fields(limits.id_bits)),
            )
        });
        let write = (channels != AxiChannels::Read).then(|| {
            let responses = response_fields(limits.id_bits);
            (
                inlet("aw", &addresses),
                inlet("w", &write_fields()),
                outlet("b", &responses),
            )
        });
        MemoryPort {
            name: name.to_owned(),
            slave,
            checker: AxiChecker::new(limits),
            read,
            write,
        }
    }

    /// Sets readies and offers for this cycle.
    pub(in crate::cosim) fn drive(&mut self, simulator: &mut Simulator) {
        self.slave.begin();
        if let Some((ar, r)) = &mut self.read {
            ar.drive(simulator, self.slave.read_ready());
            r.drive(simulator, self.slave.read_offer().map(ReadBeat::to_word));
        }
        if let Some((aw, w, b)) = &mut self.write {
            aw.drive(simulator, self.slave.write_ready());
            w.drive(simulator, self.slave.data_ready());
            let response = self.slave.write_offer();
            b.drive(simulator, response.map(|response| response.to_word()));
        }
    }

    /// Makes the transfers of this cycle, and checks them.
    pub(in crate::cosim) fn observe(&mut self, simulator: &Simulator) -> Result<(), Fault> {
        let checked = self.observe_read(simulator)?;
        let broken = checked.and(self.observe_write(simulator)?);
        self.slave.end();
        broken.map_err(|rule| Fault::Axi {
            port: self.name.clone(),
            cycle: simulator.cycle(),
            rule,
        })
    }

    fn observe_read(&mut self, simulator: &Simulator) -> Result<Result<(), AxiRule>, Fault> {
        let Some((ar, r)) = &mut self.read else {
            return Ok(Ok(()));
        };
        let mut broken = Ok(());
        if r.moves(simulator)
            && let Some(beat) = self.slave.read_offer()
        {
            let checked = self.checker.read_beat(beat);
            if !self.slave.misbehaves() {
                broken = checked;
            }
            self.slave.read_taken();
        }
        if let Some(word) = ar.take(simulator)? {
            let burst = Burst::from_word(word);
            broken = broken.and(self.checker.read_address(burst));
            self.slave.take_read(burst);
        }
        Ok(broken)
    }

    fn observe_write(&mut self, simulator: &Simulator) -> Result<Result<(), AxiRule>, Fault> {
        let Some((aw, w, b)) = &mut self.write else {
            return Ok(Ok(()));
        };
        let mut broken = Ok(());
        if b.moves(simulator)
            && let Some(response) = self.slave.write_offer()
        {
            let checked = self.checker.write_response(response);
            if !self.slave.misbehaves() {
                broken = checked;
            }
            self.slave.response_taken();
        }
        if let Some(word) = aw.take(simulator)? {
            let burst = Burst::from_word(word);
            broken = broken.and(self.checker.write_address(burst));
            self.slave.take_write(burst);
        }
        if let Some(word) = w.take(simulator)? {
            let beat = WriteBeat::from_word(word);
            broken = broken.and(self.checker.write_beat(&beat));
            self.slave.take_data(beat);
        }
        Ok(broken)
    }

    /// Forgets all bursts and lowers readies and offers; the memory's content stays.
    pub(in crate::cosim) fn clear(&mut self, simulator: &mut Simulator) {
        self.slave.reset();
        self.checker.reset();
        for inlet in self.inlets_mut() {
            inlet.watch.clear();
            simulator.set(inlet.channel.ready, 0);
        }
        let outlets = self.read.iter_mut().map(|(_, r)| r);
        for outlet in outlets.chain(self.write.iter_mut().map(|(_, _, b)| b)) {
            outlet.withdraw(simulator);
        }
    }

    /// Checks that nothing is offered during reset.
    pub(in crate::cosim) fn check_reset(&self, simulator: &Simulator) -> Result<(), Fault> {
        self.inlets().try_for_each(|channel| {
            if simulator.get(channel.valid) == 0 {
                Ok(())
            } else {
                Err(broken(channel, simulator, Rule::ValidInReset))
            }
        })
    }

    /// The channels out of the design.
    pub(in crate::cosim) fn inlets(&self) -> impl Iterator<Item = &Channel> {
        let read = self.read.iter().map(|(ar, _)| ar);
        let write = self.write.iter().flat_map(|(aw, w, _)| [aw, w]);
        read.chain(write).map(|inlet| &inlet.channel)
    }

    /// Valid ports of the channels into the design that offer a word.
    pub(in crate::cosim) fn offering(&self) -> impl Iterator<Item = PortId> {
        let read = self.read.iter().map(|(_, r)| r);
        let write = self.write.iter().map(|(_, _, b)| b);
        let offering = read
            .chain(write)
            .filter(|outlet| outlet.offer == Offer::Standing);
        offering.map(|outlet| outlet.channel.valid)
    }

    fn inlets_mut(&mut self) -> impl Iterator<Item = &mut Inlet> {
        let read = self.read.iter_mut().map(|(ar, _)| ar);
        read.chain(self.write.iter_mut().flat_map(|(aw, w, _)| [aw, w]))
    }
}

fn broken(channel: &Channel, simulator: &Simulator, rule: Rule) -> Fault {
    Fault::Protocol {
        stream: channel.name.clone(),
        cycle: simulator.cycle(),
        word: 0,
        rule,
    }
}

impl Inlet {
    fn drive(&self, simulator: &mut Simulator, ready: bool) {
        simulator.set(self.channel.ready, u64::from(ready));
    }

    /// The word that is transferred in this cycle.
    fn take(&mut self, simulator: &Simulator) -> Result<Option<&[i64]>, Fault> {
        match self.watch.observe(&self.channel, simulator) {
            Ok(Seen::Moves) => Ok(Some(self.watch.word())),
            Ok(_) => Ok(None),
            Err(rule) => Err(broken(&self.channel, simulator, rule)),
        }
    }
}

impl Outlet {
    fn drive(&mut self, simulator: &mut Simulator, word: Option<Vec<i64>>) {
        match (word, self.offer) {
            (Some(_), Offer::Standing) | (None, Offer::None) => {}
            (Some(word), _) => {
                self.channel.write(simulator, &word);
                simulator.set(self.channel.valid, 1);
                self.offer = Offer::Standing;
            }
            (None, _) => self.withdraw(simulator),
        }
    }

    fn moves(&mut self, simulator: &Simulator) -> bool {
        let standing = self.offer == Offer::Standing;
        let moves = standing && simulator.get(self.channel.ready) == 1;
        if moves {
            self.offer = Offer::Taken;
        }
        moves
    }

    fn withdraw(&mut self, simulator: &mut Simulator) {
        let noise: Vec<i64> = (0..self.channel.lanes)
            .map(|_| self.noise.random.random())
            .collect();
        self.channel.write(simulator, &noise);
        simulator.set(self.channel.valid, 0);
        self.offer = Offer::None;
    }
}
