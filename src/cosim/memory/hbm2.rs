//! Timing of an HBM2 channel behind one port: two pseudo-channels with their banks, and a first-ready,
//! first-come-first-served controller.
//!
//! A cycle is 1 ns. A pseudo-channel moves 32 bytes (four transfers of 64 bits) in two cycles, so that both together
//! move a beat per cycle. Its row and column command buses take one command each per cycle.
//!
//! Where an address of the port's memory lies, with bit numbers of the byte address:
//!
//! | part | bits |
//! |---|---|
//! | byte of an access | 4:0 |
//! | pseudo-channel | parity of bits 5 and up |
//! | bank group | 7:6 ^ 9:8 |
//! | column of the 1 KB row | 12:8 |
//! | bank of the group | 14:13 ^ 16:15 ^ 18:17 ^ ... |
//! | row | 15 and up |
//!
//! The eight accesses of 256 aligned bytes lie in the four bank groups of both pseudo-channels, once each, and so vectors
//! of any power of two of bytes alternate between them; 8 KB in a row keep four banks of each pseudo-channel open.
//! Arrays whose bases differ in one bit lie in different banks, so that reading them in turn opens each row once: without
//! the higher bits, K and V that lie 256 KB apart would cost a dense stream a seventh of its rate.
//!
//! Left out: power-down, temperature, per-bank refresh, the order of a read and a write of one address (AXI4 gives
//! none before the write's response).

use std::collections::VecDeque;

/// Timing parameters in cycles of 1 ns, and sizes of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hbm2Timing {
    /// Column command to column command of another bank group; also the cycles that 32 bytes take.
    pub ccd_short: u64,
    /// Column command to column command of the same bank group.
    pub ccd_long: u64,
    /// Activate to column command.
    pub rcd: u64,
    /// Precharge to activate.
    pub rp: u64,
    /// Activate to precharge.
    pub ras: u64,
    /// Read command to data.
    pub cl: u64,
    /// Write command to data.
    pub cwl: u64,
    /// Activate to activate of another bank group.
    pub rrd_short: u64,
    /// Activate to activate of the same bank group.
    pub rrd_long: u64,
    /// Span that holds at most four activates.
    pub faw: u64,
    /// Read command to precharge.
    pub rtp: u64,
    /// End of write data to precharge.
    pub wr: u64,
    /// End of write data to read command of another bank group.
    pub wtr_short: u64,
    /// End of write data to read command of the same bank group.
    pub wtr_long: u64,
    /// Free cycles of the data bus between read data and write data.
    pub bus_turn: u64,
    /// Cycles from one refresh of all banks to the next.
    pub refresh_interval: u64,
    /// Cycles of a refresh.
    pub refresh: u64,
    /// Cycle of the first refresh. Ports of one memory start together, so that by default they refresh together.
    pub first_refresh: u64,
    /// Oldest accesses of a pseudo-channel among which the controller chooses. While so many wait, no request is taken.
    pub window: usize,
    /// Cycles after which the oldest access is served before younger ones of its bank.
    pub patience: u64,
    /// Cycles of controller and PHY, there and back.
    pub controller: u64,
}

impl Default for Hbm2Timing {
    /// The parameters of `docs/decisions.md`, section 7. Write timing and read to precharge are those of an 8 Gb HBM2
    /// stack in DRAMsim3 (`HBM2_8Gb_x128.ini`).
    fn default() -> Self {
        Hbm2Timing {
            ccd_short: 2,
            ccd_long: 4,
            rcd: 14,
            rp: 14,
            ras: 33,
            cl: 14,
            cwl: 4,
            rrd_short: 4,
            rrd_long: 6,
            faw: 16,
            rtp: 6,
            wr: 16,
            wtr_short: 6,
            wtr_long: 8,
            bus_turn: 2,
            refresh_interval: 3900,
            refresh: 260,
            first_refresh: 3900,
            window: 32,
            patience: 500,
            controller: 40,
        }
    }
}

/// Bytes of an access.
const ACCESS_BYTES: u64 = 32;
/// Pseudo-channels of a port.
const PSEUDO_CHANNELS: usize = 2;
/// Bank groups of a pseudo-channel.
const GROUPS: usize = 4;
/// Banks of a pseudo-channel.
const BANKS: usize = 16;

/// Where an access lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Location {
    pseudo_channel: usize,
    /// Bank of the pseudo-channel; its group is `bank % GROUPS`.
    bank: usize,
    row: u64,
    column: u64,
}

impl Location {
    fn of(address: u64) -> Self {
        let bits = |lo: u32, count: u32| address >> lo & ((1 << count) - 1);
        let group = bits(6, 2) ^ bits(8, 2);
        let bank_of_group = (13..64).step_by(2).fold(0, |bank, lo| bank ^ bits(lo, 2));
        Location {
            pseudo_channel: ((address / ACCESS_BYTES).count_ones() % 2) as usize,
            bank: bank_of_group as usize * GROUPS + group as usize,
            row: address >> 15,
            column: bits(8, 5),
        }
    }
}

/// A read or write that the port asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the answer is called.
    pub token: u64,
    /// First byte.
    pub address: u64,
    /// Accesses of 32 bytes.
    pub beats: usize,
    /// Whether it writes.
    pub write: bool,
}

/// A request's answer: read data has arrived, or written data is in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request's.
    pub token: u64,
    /// First cycle in which the port can show it.
    pub at: u64,
}

/// The memory behind one port.
#[derive(Clone, Debug)]
pub struct Hbm2 {
    timing: Hbm2Timing,
    channels: [PseudoChannel; PSEUDO_CHANNELS],
    /// Requests with accesses not yet served.
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    token: u64,
    left: usize,
    /// When the latest of the accesses served is there.
    at: u64,
}

impl Hbm2 {
    /// An idle memory with all rows closed.
    pub fn new(timing: Hbm2Timing) -> Self {
        let channel = PseudoChannel::new(timing.first_refresh);
        Hbm2 {
            channels: [channel.clone(), channel],
            timing,
            open: Vec::new(),
        }
    }

    /// Whether a request is taken.
    pub fn has_room(&self) -> bool {
        let fits = |channel: &PseudoChannel| channel.queue.len() < self.timing.window;
        self.channels.iter().all(fits)
    }

    /// Takes a request in cycle `now`; there must be room.
    pub fn request(&mut self, now: u64, request: Request) {
        self.open.push(Open {
            token: request.token,
            left: request.beats,
            at: now,
        });
        for beat in 0..request.beats as u64 {
            let location = Location::of(request.address + beat * ACCESS_BYTES);
            let access = Access {
                token: request.token,
                bank: location.bank,
                row: location.row,
                write: request.write,
                since: now,
            };
            self.channels[location.pseudo_channel]
                .queue
                .push_back(access);
        }
    }

    /// Issues the commands of cycle `now`, and adds the requests whose last access they serve to `answers`.
    pub fn cycle(&mut self, now: u64, answers: &mut Vec<Answer>) {
        for channel in &mut self.channels {
            channel.refresh_when_due(now, &self.timing);
            let served = channel.column_command(now, &self.timing);
            channel.row_command(now, &self.timing);
            let Some((token, at)) = served else { continue };
            let index = self.open.iter().position(|open| open.token == token);
            let index = index.expect("an access belongs to an open request");
            let open = &mut self.open[index];
            open.left -= 1;
            open.at = open.at.max(at);
            if open.left == 0 {
                let at = open.at + self.timing.controller;
                answers.push(Answer { token, at });
                self.open.swap_remove(index);
            }
        }
    }
}

/// 32 bytes to be read or written.
#[derive(Clone, Copy, Debug)]
struct Access {
    token: u64,
    bank: usize,
    row: u64,
    write: bool,
    since: u64,
}

/// Earliest cycles of the next commands to a bank.
#[derive(Clone, Copy, Debug, Default)]
struct Bank {
    open: Option<u64>,
    activate: u64,
    column: u64,
    precharge: u64,
}

#[derive(Clone, Debug)]
struct PseudoChannel {
    banks: [Bank; BANKS],
    queue: VecDeque<Access>,
    /// Earliest read and write commands to each group.
    read: [u64; GROUPS],
    write: [u64; GROUPS],
    /// Earliest activate in each group.
    activate: [u64; GROUPS],
    /// The last four activates, the oldest first.
    activates: VecDeque<u64>,
    next_refresh: u64,
    /// No command before this cycle.
    refreshed: u64,
}

impl PseudoChannel {
    fn new(first_refresh: u64) -> Self {
        PseudoChannel {
            banks: [Bank::default(); BANKS],
            queue: VecDeque::new(),
            read: [0; GROUPS],
            write: [0; GROUPS],
            activate: [0; GROUPS],
            activates: VecDeque::new(),
            next_refresh: first_refresh,
            refreshed: 0,
        }
    }

    /// Closes all rows as soon as they may be, then refreshes; no command goes on beside it.
    fn refresh_when_due(&mut self, now: u64, timing: &Hbm2Timing) {
        if now < self.next_refresh {
            return;
        }
        let open = self.banks.iter().filter(|bank| bank.open.is_some());
        let closed = open.map(|bank| bank.precharge.max(now) + timing.rp).max();
        let begin = closed.unwrap_or(now).max(now);
        self.refreshed = begin + timing.refresh;
        for bank in &mut self.banks {
            bank.open = None;
            bank.activate = bank.activate.max(self.refreshed);
        }
        self.next_refresh += timing.refresh_interval;
    }

    /// The bank whose younger accesses wait until the oldest of all is served.
    fn reserved_bank(&self, now: u64, timing: &Hbm2Timing) -> Option<usize> {
        let oldest = self.queue.front()?;
        (now - oldest.since > timing.patience).then_some(oldest.bank)
    }

    /// Serves the oldest access whose row is open and whose time has come: its token, and when its data has passed.
    fn column_command(&mut self, now: u64, timing: &Hbm2Timing) -> Option<(u64, u64)> {
        if now < self.refreshed {
            return None;
        }
        let reserved = self.reserved_bank(now, timing);
        let ready = |(index, access): (usize, &Access)| {
            let bank = &self.banks[access.bank];
            let bus = if access.write {
                &self.write
            } else {
                &self.read
            };
            bank.open == Some(access.row)
                && now >= bank.column
                && now >= bus[access.bank % GROUPS]
                && (index == 0 || reserved != Some(access.bank))
        };
        let window = self.queue.iter().take(timing.window);
        let index = window.enumerate().position(ready)?;
        let access = self.queue.remove(index)?;
        let latency = if access.write { timing.cwl } else { timing.cl };
        let end = now + latency + timing.ccd_short;
        self.block_columns(now, end, access, timing);
        let bank = &mut self.banks[access.bank];
        let precharge = if access.write {
            end + timing.wr
        } else {
            now + timing.rtp
        };
        bank.precharge = bank.precharge.max(precharge);
        Some((access.token, end))
    }

    /// What a column command whose data ends at `end` leaves open for the next ones.
    fn block_columns(&mut self, now: u64, end: u64, access: Access, timing: &Hbm2Timing) {
        for group in 0..GROUPS {
            let same = group == access.bank % GROUPS;
            let apart = if same {
                timing.ccd_long
            } else {
                timing.ccd_short
            };
            let turn = if same {
                timing.wtr_long
            } else {
                timing.wtr_short
            };
            let (read, write) = if access.write {
                (end + turn, now + apart)
            } else {
                (
                    now + apart,
                    (end + timing.bus_turn).saturating_sub(timing.cwl),
                )
            };
            self.read[group] = self.read[group].max(read);
            self.write[group] = self.write[group].max(write);
        }
    }

    /// Activates or precharges for the oldest access that needs it. A row stays open while accesses to it wait.
    fn row_command(&mut self, now: u64, timing: &Hbm2Timing) {
        if now < self.refreshed {
            return;
        }
        let reserved = self.reserved_bank(now, timing);
        let mut seen = [false; BANKS];
        for index in 0..self.queue.len().min(timing.window) {
            let Access { bank, row, .. } = self.queue[index];
            if std::mem::replace(&mut seen[bank], true) {
                continue;
            }
            let state = self.banks[bank];
            match state.open {
                None if self.may_activate(now, bank, timing) => {
                    return self.activate(now, bank, row, timing);
                }
                Some(open) if open != row && now >= state.precharge => {
                    let hit = |access: &Access| access.bank == bank && access.row == open;
                    if reserved == Some(bank) || !self.queue.iter().any(hit) {
                        self.banks[bank].open = None;
                        self.banks[bank].activate = now + timing.rp;
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    fn may_activate(&self, now: u64, bank: usize, timing: &Hbm2Timing) -> bool {
        let fourth = (self.activates.len() == 4).then(|| self.activates[0] + timing.faw);
        now >= self.banks[bank].activate
            && now >= self.activate[bank % GROUPS]
            && fourth.is_none_or(|earliest| now >= earliest)
    }

    fn activate(&mut self, now: u64, bank: usize, row: u64, timing: &Hbm2Timing) {
        self.banks[bank] = Bank {
            open: Some(row),
            activate: 0,
            column: now + timing.rcd,
            precharge: now + timing.ras,
        };
        for group in 0..GROUPS {
            let same = group == bank % GROUPS;
            let apart = if same {
                timing.rrd_long
            } else {
                timing.rrd_short
            };
            self.activate[group] = self.activate[group].max(now + apart);
        }
        if self.activates.len() == 4 {
            self.activates.pop_front();
        }
        self.activates.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// An address with the parts named.
    fn address(pseudo_channel: u64, group: u64, bank_of_group: u64, row: u64) -> u64 {
        let turn = (0..48)
            .step_by(2)
            .fold(0, |turn, lo| turn ^ (row >> lo & 3));
        let address = row << 15 | (bank_of_group ^ turn) << 13 | group << 6;
        let parity = u64::from((address / ACCESS_BYTES).count_ones() % 2);
        address | (parity ^ pseudo_channel) << 5
    }

    /// Cycles at which the data of accesses asked for in cycle 0 has passed, in the order asked, without controller.
    fn served(accesses: &[(u64, bool)], timing: Hbm2Timing) -> Vec<u64> {
        served_from(0, accesses, timing)
    }

    fn served_from(start: u64, accesses: &[(u64, bool)], timing: Hbm2Timing) -> Vec<u64> {
        let controller = timing.controller;
        let mut memory = Hbm2::new(timing);
        let mut answers = Vec::new();
        for now in 0..start {
            memory.cycle(now, &mut answers);
        }
        for (token, &(address, write)) in accesses.iter().enumerate() {
            let request = Request {
                token: token as u64,
                address,
                beats: 1,
                write,
            };
            memory.request(start, request);
        }
        for now in start..start + 2000 {
            memory.cycle(now, &mut answers);
        }
        answers.sort_by_key(|answer| answer.token);
        assert_eq!(answers.len(), accesses.len());
        answers
            .iter()
            .map(|answer| answer.at - controller - start)
            .collect()
    }

    fn reads(addresses: &[u64]) -> Vec<(u64, bool)> {
        addresses.iter().map(|&address| (address, false)).collect()
    }

    fn read_times(addresses: &[u64]) -> Vec<u64> {
        served(&reads(addresses), Hbm2Timing::default())
    }

    #[test]
    fn a_read_of_a_closed_row_takes_activate_read_and_data() {
        // Activate 0, read 14, data 28 and 29.
        assert_eq!(read_times(&[address(0, 0, 0, 0)]), [30]);
    }

    #[test]
    fn reads_of_one_row_follow_at_the_long_distance_and_the_pseudo_channels_do_not_wait_for_each_other()
     {
        let a = address(0, 0, 0, 1);
        assert_eq!(
            read_times(&[a, a, a, address(1, 0, 0, 1)]),
            [30, 34, 38, 30]
        );
    }

    #[test]
    fn reads_of_two_groups_share_the_bus_at_the_short_distance() {
        // Activates 0 and 4; reads: group 0 at 14, group 1 not before 18, group 0 at 18 (oldest first), group 1 at 20.
        let (a, b) = (address(0, 0, 0, 1), address(0, 1, 0, 1));
        assert_eq!(read_times(&[a, a, b]), [30, 34, 36]);
    }

    #[test]
    fn activates_keep_their_distances() {
        // Other groups: 0, 4, 8, 12. Then group 0 again: four after the last one, and sixteen after the first.
        let spread = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)];
        let addresses = spread.map(|(group, bank)| address(0, group, bank, 2));
        assert_eq!(read_times(&addresses), [30, 34, 38, 42, 46]);
        // One group: 0, 6, 12.
        let addresses = [0, 1, 2].map(|bank| address(0, 2, bank, 2));
        assert_eq!(read_times(&addresses), [30, 36, 42]);
        // A longer span of four activates delays the fifth.
        let addresses = spread.map(|(group, bank)| address(0, group, bank, 2));
        let timing = Hbm2Timing {
            faw: 30,
            ..Hbm2Timing::default()
        };
        assert_eq!(served(&reads(&addresses), timing)[4], 60);
    }

    #[test]
    fn another_row_of_the_bank_waits_for_precharge_and_activate() {
        // Activate 0, read 14, precharge 33, activate 47, read 61, data until 77.
        let (a, b) = (address(0, 0, 0, 1), address(0, 0, 0, 2));
        assert_eq!(read_times(&[a, b]), [30, 77]);
        // A third access to the open row passes the older one to another row.
        assert_eq!(read_times(&[a, b, a]), [30, 77, 34]);
    }

    #[test]
    fn a_late_read_moves_the_precharge() {
        // Reads at 14, 18, ..., 34; precharge 40 (34 + 6), activate 54, read 68.
        let (a, b) = (address(0, 0, 0, 1), address(0, 0, 0, 2));
        assert_eq!(read_times(&[a, a, a, a, a, a, b])[5..], [50, 84]);
    }

    #[test]
    fn an_old_access_is_not_passed_for_ever() {
        let (a, b) = (address(0, 0, 0, 1), address(0, 0, 0, 2));
        let timing = Hbm2Timing {
            patience: 20,
            ..Hbm2Timing::default()
        };
        let mut accesses = reads(&[a; 20]);
        accesses.insert(1, (b, false));
        let impatient = served(&accesses, timing);
        let patient = served(&accesses, Hbm2Timing::default());
        // From cycle 21 on no younger read passes: the last one at 18, precharge 33, activate 47, read 61.
        assert_eq!(impatient[1], 77);
        assert!(patient[1] > 110, "{patient:?}");
    }

    #[test]
    fn writes_and_reads_turn_the_bus() {
        let (a, b) = (address(0, 0, 0, 1), address(0, 1, 0, 1));
        let default = Hbm2Timing::default;
        // Write at 14, data 18 and 19; read of the same group at 20 + 8, data until 44.
        assert_eq!(served(&[(a, true), (a, false)], default()), [20, 44]);
        // Of another group at 20 + 6.
        assert_eq!(served(&[(a, true), (b, false)], default()), [20, 42]);
        // Read at 14, data 28 and 29; the write's data two cycles later, 32 and 33.
        assert_eq!(served(&[(a, false), (a, true)], default()), [30, 34]);
        // Write at 14, data until 20, precharge 36, activate 50, read 64.
        let other_row = address(0, 0, 0, 2);
        assert_eq!(
            served(&[(a, true), (other_row, false)], default()),
            [20, 80]
        );
    }

    #[test]
    fn a_refresh_closes_all_rows_and_stops_everything() {
        let timing = Hbm2Timing {
            first_refresh: 100,
            ..Hbm2Timing::default()
        };
        // Idle when it comes: 100 to 360, activate 360, data until 390.
        let a = address(0, 0, 0, 1);
        assert_eq!(served_from(150, &reads(&[a]), timing.clone()), [240]);
        // Activated at 99: precharge 132, refresh 146 to 406, activate 406.
        assert_eq!(served_from(99, &reads(&[a]), timing), [406 + 30 - 99]);
    }

    #[test]
    fn the_controller_takes_its_time_and_a_request_ends_with_its_last_access() {
        let mut memory = Hbm2::new(Hbm2Timing::default());
        let request = Request {
            token: 7,
            address: 0,
            beats: 2,
            write: false,
        };
        memory.request(0, request);
        let mut answers = Vec::new();
        (0..100).for_each(|now| memory.cycle(now, &mut answers));
        // A beat in each pseudo-channel.
        assert_eq!(answers, [Answer { token: 7, at: 70 }]);
    }

    #[test]
    fn no_two_accesses_share_a_place_and_neighbours_spread_over_the_groups() {
        let mut places = HashSet::new();
        let mut per_channel = [0; PSEUDO_CHANNELS];
        for access in 0..1 << 17 {
            let location = Location::of(access * ACCESS_BYTES);
            assert!(places.insert(location), "{location:?}");
            per_channel[location.pseudo_channel] += 1;
        }
        assert_eq!(per_channel, [1 << 16; 2]);
        // The eight accesses of 256 aligned bytes lie in eight pairs of pseudo-channel and group, and so do the four
        // vectors of a kilobyte in four groups.
        let bus = |access| {
            let location = Location::of(access * ACCESS_BYTES);
            (location.pseudo_channel, location.bank % GROUPS)
        };
        for first in (0..1 << 17).step_by(8) {
            let used: HashSet<_> = (first..first + 8).map(bus).collect();
            assert_eq!(used.len(), 8, "from access {first}");
        }
        for first in (0..1 << 17).step_by(32) {
            let used: HashSet<_> = (first..first + 32).step_by(8).map(|k| bus(k).1).collect();
            assert_eq!(used.len(), 4, "from access {first}");
        }
    }
}
