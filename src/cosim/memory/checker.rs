//! The rules of AXI4 that the project's memory ports must keep, checked transfer by transfer.
//!
//! The rules of the handshake (valid and payload hold until the transfer, nothing is valid in reset) are the same for
//! every stream and are checked where the port is attached.

use std::collections::VecDeque;

use super::axi::{
    BEAT_BYTES, BOUNDARY, Burst, FULL_SIZE, INCREMENTING, ReadBeat, WriteBeat, WriteResponse,
};

/// Widths and limits of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxiLimits {
    /// Bits of an id.
    pub id_bits: usize,
    /// Bits of an address: bursts end below 2^this.
    pub address_bits: usize,
    /// Most beats of a burst.
    pub burst_beats: usize,
    /// Most reads between their address and their last beat.
    pub reads: usize,
    /// Most writes between their address and their response.
    pub writes: usize,
}

/// A rule that a port broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AxiRule {
    /// `AxBURST` is not INCR.
    #[error("burst type {kind} instead of INCR (1)")]
    NotIncrementing {
        /// `AxBURST`.
        kind: u8,
    },
    /// `AxSIZE` is not the whole data width.
    #[error("size {size} instead of {FULL_SIZE} (32 bytes)")]
    NarrowBeat {
        /// `AxSIZE`.
        size: u8,
    },
    /// More beats than the port may ask for.
    #[error("a burst of {beats} beats at {address:#x}; at most {most} are allowed")]
    TooLong {
        /// First address.
        address: u64,
        /// Beats of the burst.
        beats: usize,
        /// Most beats.
        most: usize,
    },
    /// The address is inside a beat.
    #[error("address {address:#x} is no multiple of {BEAT_BYTES} bytes")]
    Unaligned {
        /// First address.
        address: u64,
    },
    /// The burst passes a multiple of 4 KB.
    #[error("a burst of {beats} beats at {address:#x} crosses a 4 KB boundary")]
    CrossesBoundary {
        /// First address.
        address: u64,
        /// Beats of the burst.
        beats: usize,
    },
    /// The burst ends behind the last address.
    #[error("a burst of {beats} beats at {address:#x} passes the {bits}-bit address space")]
    BeyondAddressSpace {
        /// First address.
        address: u64,
        /// Beats of the burst.
        beats: usize,
        /// Bits of an address.
        bits: usize,
    },
    /// An id is used again before its read is answered: every read under way has an id of its own.
    #[error("id {id} is used for {address:#x} while a burst of that id is under way")]
    IdInUse {
        /// The id.
        id: u16,
        /// Address of the later burst.
        address: u64,
    },
    /// More bursts are under way than allowed.
    #[error("more than {limit} {what} under way")]
    TooMany {
        /// `reads` or `writes`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Read data or a write response belongs to no burst.
    #[error("{what} of id {id}, of which no burst is under way")]
    UnknownId {
        /// `read data` or `a write response`.
        what: &'static str,
        /// The id.
        id: u16,
    },
    /// Read data of an id came before the last beat of another id.
    #[error("read data of id {id} inside the burst of id {open}")]
    Interleaved {
        /// The id that came.
        id: u16,
        /// The id whose burst is open.
        open: u16,
    },
    /// The last flag does not stand on the last beat and only there.
    #[error("{what} of id {id}: last is {last} on beat {beat} of {beats}")]
    WrongLast {
        /// `read data` or `write data`.
        what: &'static str,
        /// The burst's id.
        id: u16,
        /// The flag.
        last: bool,
        /// The beat, from 1.
        beat: usize,
        /// Beats of the burst.
        beats: usize,
    },
    /// Write data came before its address.
    #[error("write data without an address")]
    DataWithoutAddress,
    /// A write response came before the burst's last beat.
    #[error("a write response of id {id} before its last beat")]
    EarlyResponse {
        /// The id.
        id: u16,
    },
}

/// A burst under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    burst: Burst,
    /// Beats transferred.
    moved: usize,
}

/// Follows the transfers of one port. After an error it goes on as if the transfer had been in order where it can.
#[derive(Clone, Debug)]
pub struct AxiChecker {
    limits: AxiLimits,
    reads: Vec<Open>,
    /// The read whose beats are coming.
    reading: Option<u16>,
    writes: VecDeque<Open>,
}

impl AxiChecker {
    /// A port without bursts under way.
    pub fn new(limits: AxiLimits) -> Self {
        AxiChecker {
            limits,
            reads: Vec::new(),
            reading: None,
            writes: VecDeque::new(),
        }
    }

    /// Forgets all bursts: the port is in reset.
    pub fn reset(&mut self) {
        *self = AxiChecker::new(self.limits);
    }

    /// Reads under way.
    pub fn reads(&self) -> usize {
        self.reads.len()
    }

    /// Writes under way.
    pub fn writes(&self) -> usize {
        self.writes.len()
    }

    /// A read address is taken.
    ///
    /// # Errors
    /// The broken rule.
    pub fn read_address(&mut self, burst: Burst) -> Result<(), AxiRule> {
        let checked = self.address(&burst, self.reads.iter());
        let limit = self.limits.reads;
        self.reads.push(Open { burst, moved: 0 });
        checked?;
        let what = "reads";
        within(self.reads.len() <= limit, AxiRule::TooMany { what, limit })
    }

    /// A read beat is taken.
    ///
    /// # Errors
    /// The broken rule.
    pub fn read_beat(&mut self, beat: &ReadBeat) -> Result<(), AxiRule> {
        let (id, what) = (beat.id, "read data");
        let known = self.reads.iter().position(|open| open.burst.id == id);
        let index = known.ok_or(AxiRule::UnknownId { what, id })?;
        let open = &mut self.reads[index];
        open.moved += 1;
        let last = wrong_last(what, open, beat.last);
        let others = self.reading.filter(|&open| open != id);
        self.reading = (!beat.last).then_some(id);
        if beat.last {
            self.reads.remove(index);
        }
        match others {
            Some(open) => Err(AxiRule::Interleaved { id, open }),
            None => last,
        }
    }

    /// A write address is taken.
    ///
    /// # Errors
    /// The broken rule.
    pub fn write_address(&mut self, burst: Burst) -> Result<(), AxiRule> {
        // Writes may share an id: their responses then come in order.
        let checked = self.address(&burst, std::iter::empty());
        let limit = self.limits.writes;
        self.writes.push_back(Open { burst, moved: 0 });
        checked?;
        let what = "writes";
        within(self.writes.len() <= limit, AxiRule::TooMany { what, limit })
    }

    /// A write beat is taken: data comes in the order of the addresses, and behind them.
    ///
    /// # Errors
    /// The broken rule.
    pub fn write_beat(&mut self, beat: &WriteBeat) -> Result<(), AxiRule> {
        let mut waiting = self.writes.iter_mut();
        let open = waiting.find(|open| open.moved < open.burst.beats);
        let open = open.ok_or(AxiRule::DataWithoutAddress)?;
        open.moved += 1;
        let checked = wrong_last("write data", open, beat.last);
        if beat.last {
            open.moved = open.burst.beats;
        }
        checked
    }

    /// A write response is taken.
    ///
    /// # Errors
    /// The broken rule.
    pub fn write_response(&mut self, response: &WriteResponse) -> Result<(), AxiRule> {
        let (id, what) = (response.id, "a write response");
        let known = self.writes.iter().position(|open| open.burst.id == id);
        let index = known.ok_or(AxiRule::UnknownId { what, id })?;
        let open = self.writes.remove(index).expect("found above");
        within(
            open.moved == open.burst.beats,
            AxiRule::EarlyResponse { id },
        )
    }

    fn address<'a>(
        &self,
        burst: &Burst,
        mut under_way: impl Iterator<Item = &'a Open>,
    ) -> Result<(), AxiRule> {
        let Burst {
            id,
            address,
            beats,
            size,
            kind,
        } = *burst;
        let most = self.limits.burst_beats;
        let bits = self.limits.address_bits;
        within(kind == INCREMENTING, AxiRule::NotIncrementing { kind })?;
        within(size == FULL_SIZE, AxiRule::NarrowBeat { size })?;
        within(
            address.is_multiple_of(BEAT_BYTES),
            AxiRule::Unaligned { address },
        )?;
        within(
            beats <= most,
            AxiRule::TooLong {
                address,
                beats,
                most,
            },
        )?;
        let one_page = address / BOUNDARY == (burst.end() - 1) / BOUNDARY;
        within(one_page, AxiRule::CrossesBoundary { address, beats })?;
        let in_space = bits >= 64 || burst.end() <= 1 << bits;
        within(
            in_space,
            AxiRule::BeyondAddressSpace {
                address,
                beats,
                bits,
            },
        )?;
        let unique = under_way.all(|open| open.burst.id != id);
        within(unique, AxiRule::IdInUse { id, address })
    }
}

fn wrong_last(what: &'static str, open: &Open, last: bool) -> Result<(), AxiRule> {
    let (beat, beats) = (open.moved, open.burst.beats);
    let rule = AxiRule::WrongLast {
        what,
        id: open.burst.id,
        last,
        beat,
        beats,
    };
    within(last == (beat == beats), rule)
}

fn within(holds: bool, rule: AxiRule) -> Result<(), AxiRule> {
    if holds { Ok(()) } else { Err(rule) }
}

#[cfg(test)]
mod tests {
    use super::super::axi::Response;
    use super::*;

    const LIMITS: AxiLimits = AxiLimits {
        id_bits: 6,
        address_bits: 20,
        burst_beats: 6,
        reads: 2,
        writes: 2,
    };

    fn beat(id: u16, last: bool) -> ReadBeat {
        ReadBeat {
            id,
            data: [0; 32],
            response: Response::Okay,
            last,
        }
    }

    fn data(last: bool) -> WriteBeat {
        WriteBeat {
            data: [0; 32],
            strobes: u32::MAX,
            last,
        }
    }

    #[test]
    fn every_rule_of_an_address_is_checked() {
        let narrow = Burst {
            size: 2,
            ..Burst::new(0, 0, 1)
        };
        let wrapping = Burst {
            kind: 2,
            ..Burst::new(0, 0, 1)
        };
        for (burst, words) in [
            (narrow, "size 2"),
            (wrapping, "burst type 2"),
            (Burst::new(0, 48, 1), "0x30 is no multiple of 32"),
            (Burst::new(0, 0, 7), "7 beats at 0x0; at most 6"),
            (Burst::new(0, 4096 - 32, 2), "crosses a 4 KB boundary"),
            (Burst::new(0, 1 << 20, 1), "20-bit address space"),
        ] {
            let rule = AxiChecker::new(LIMITS).read_address(burst).unwrap_err();
            assert!(rule.to_string().contains(words), "{rule}");
            let same = AxiChecker::new(LIMITS).write_address(burst).unwrap_err();
            assert_eq!(same, rule);
        }
        let last = Burst::new(63, (1 << 20) - 192, 6);
        AxiChecker::new(LIMITS).read_address(last).unwrap();
    }

    #[test]
    fn ids_and_outstanding_reads_are_counted_from_address_to_last_beat() {
        let mut checker = AxiChecker::new(LIMITS);
        checker.read_address(Burst::new(1, 0, 2)).unwrap();
        let again = checker.clone().read_address(Burst::new(1, 64, 1));
        assert_eq!(again, Err(AxiRule::IdInUse { id: 1, address: 64 }));
        checker.read_address(Burst::new(2, 0, 2)).unwrap();
        let third = checker.clone().read_address(Burst::new(3, 0, 2));
        let limit = AxiRule::TooMany {
            what: "reads",
            limit: 2,
        };
        assert_eq!(third, Err(limit));
        checker.read_beat(&beat(1, false)).unwrap();
        checker.read_beat(&beat(1, true)).unwrap();
        checker.read_address(Burst::new(1, 0, 2)).unwrap();
        assert_eq!(checker.reads(), 2);
    }

    #[test]
    fn read_data_out_of_place_is_named() {
        let mut checker = AxiChecker::new(LIMITS);
        checker.read_address(Burst::new(1, 0, 2)).unwrap();
        checker.read_address(Burst::new(2, 0, 2)).unwrap();
        let unknown = checker.read_beat(&beat(5, true)).unwrap_err();
        assert!(unknown.to_string().contains("id 5"), "{unknown}");
        let early = checker.clone().read_beat(&beat(1, true)).unwrap_err();
        assert!(early.to_string().contains("beat 1 of 2"), "{early}");
        checker.read_beat(&beat(1, false)).unwrap();
        let inside = checker.clone().read_beat(&beat(2, false));
        assert_eq!(inside, Err(AxiRule::Interleaved { id: 2, open: 1 }));
        let late = checker.read_beat(&beat(1, false)).unwrap_err();
        assert!(late.to_string().contains("last is false"), "{late}");
    }

    #[test]
    fn writes_bring_address_then_data_then_response() {
        let mut checker = AxiChecker::new(LIMITS);
        let early = checker.write_beat(&data(true));
        assert_eq!(early, Err(AxiRule::DataWithoutAddress));
        checker.write_address(Burst::new(4, 128, 2)).unwrap();
        checker.write_beat(&data(false)).unwrap();
        let answer = WriteResponse {
            id: 4,
            response: Response::Okay,
        };
        let hasty = checker.clone().write_response(&answer);
        assert_eq!(hasty, Err(AxiRule::EarlyResponse { id: 4 }));
        let missing = checker.clone().write_beat(&data(false)).unwrap_err();
        assert!(missing.to_string().contains("write data of id 4"));
        checker.write_beat(&data(true)).unwrap();
        checker.write_response(&answer).unwrap();
        assert_eq!(checker.writes(), 0);
        checker.write_response(&answer).unwrap_err();
    }
}
