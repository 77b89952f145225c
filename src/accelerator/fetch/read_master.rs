//! Read master: turns requests for vectors into AXI4 reads of one port, and their data into tagged beats.
//!
//! Every read under way has an id of its own, so the memory may answer in any order; a table holds under each id what
//! the read is for. What the memory answers is checked against what is under way.

use crate::accelerator::axi::{self, BEAT_BITS, BEAT_BYTES, PAGE_BEATS};
use crate::cells::fifo::Fifo;
use crate::cells::spill_register::registered;
use crate::cells::sram::Sram;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream};
use crate::numerics::{index_bits, log2_exact, value_bits};
use crate::{net, reg};

/// What a port can find wrong with the memory behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadFault {
    /// Data of an id of which no read is under way. The record has no address.
    UnknownId,
    /// Data of a read inside the burst of another one; the record names the read that came in between.
    Interleaved,
    /// SLVERR: the memory failed.
    SlaveError,
    /// DECERR: there is no memory at the address.
    DecodeError,
    /// The last flag came before the burst's last beat, or not with it.
    WrongLast,
    /// No data for [`ReadMaster::timeout`] cycles while reads are under way; the record names one of them.
    Silence,
}

impl ReadFault {
    /// Every fault, the ones that win where several hold at once first.
    pub const ALL: [ReadFault; 6] = [
        ReadFault::UnknownId,
        ReadFault::Interleaved,
        ReadFault::SlaveError,
        ReadFault::DecodeError,
        ReadFault::WrongLast,
        ReadFault::Silence,
    ];

    /// Bits of the `kind` field.
    pub const BITS: usize = 3;

    /// The `kind` field of an error record: 1 to 6.
    pub fn code(self) -> u64 {
        let index = Self::ALL.iter().position(|fault| *fault == self);
        index.expect("every fault is listed") as u64 + 1
    }
}

/// The read side of one AXI4 port.
///
/// - Latency: 1 cycle from request to address ([`REQUEST_LATENCY`](Self::REQUEST_LATENCY)), 2 from data to beat
///   ([`DATA_LATENCY`](Self::DATA_LATENCY)); interval: 1 cycle for both.
/// - Stalls: `ar_ready_i`, `r_valid_i` and `request_valid_i` meet registers only; `beat_ready_i` reaches the table's
///   enable within the cycle.
/// - Memory: one word of the table per outstanding read: address of the first beat, length, tag.
#[derive(Clone, Debug)]
pub struct ReadMaster {
    /// Bits of a byte address.
    pub address_bits: usize,
    /// Reads under way at most: the ids in use. At least 2.
    pub outstanding: usize,
    /// Beats of the longest read, 1 to 128.
    pub burst_beats: usize,
    /// Bits of the tag that goes along with a read, at least 1.
    pub tag_bits: usize,
    /// Cycles without data, while reads are under way, after which the port gives up; a power of two, at least
    /// `outstanding`.
    pub timeout: usize,
}

impl ReadMaster {
    /// Cycles from a request's transfer to the first cycle that shows its address.
    pub const REQUEST_LATENCY: u64 = 1;

    /// Cycles from a data beat's transfer to the first cycle that shows it.
    pub const DATA_LATENCY: u64 = 2;

    /// Bits of an id.
    pub fn id_bits(&self) -> usize {
        index_bits(self.outstanding)
    }

    /// Bits of an address in whole beats.
    fn beat_address_bits(&self) -> usize {
        self.address_bits - log2_exact(BEAT_BYTES)
    }

    /// Bits of a burst's length in beats less one.
    fn length_bits(&self) -> usize {
        value_bits(self.burst_beats - 1)
    }

    /// The table: what each read under way is for.
    fn table(&self) -> Sram {
        Sram {
            width: self.beat_address_bits() + self.length_bits() + self.tag_bits,
            depth: self.outstanding,
        }
    }

    /// Fields of channel `request`.
    pub fn request_fields(&self) -> Vec<Field> {
        vec![
            Field::new(
                "address",
                self.beat_address_bits(),
                "first beat: byte address / 32",
            ),
            Field::new("length", self.length_bits(), "beats - 1"),
            Field::new("tag", self.tag_bits, "comes back with the data"),
        ]
    }

    /// Fields of channel `ar`.
    pub fn address_fields(&self) -> Vec<Field> {
        axi::address_fields(
            self.id_bits(),
            self.address_bits,
            "of no other read under way",
        )
    }

    /// Fields of channel `r`.
    pub fn data_fields(&self) -> Vec<Field> {
        vec![
            Field::new("id", self.id_bits(), ""),
            Field::new("data", BEAT_BITS, "beat"),
            Field::new("resp", 2, "0 or 1: good, 2: SLVERR, 3: DECERR"),
            Field::new("last", 1, "last beat of the read"),
        ]
    }

    /// Fields of channel `beat`.
    pub fn beat_fields(&self) -> Vec<Field> {
        vec![
            Field::new("data", BEAT_BITS, "beat"),
            Field::new("tag", self.tag_bits, "the request's"),
            Field::new("last", 1, "last beat of the read"),
        ]
    }

    /// Fields of channel `error`.
    pub fn error_fields(&self) -> Vec<Field> {
        vec![
            Field::new(
                "kind",
                ReadFault::BITS,
                "1 unknown id, 2 interleaved, 3 SLVERR, 4 DECERR, 5 wrong last, 6 silence",
            ),
            Field::new("id", self.id_bits(), ""),
            Field::new(
                "address",
                self.beat_address_bits(),
                "the read's first beat; 0 for an unknown id",
            ),
        ]
    }

    fn check(&self) {
        assert!(
            self.outstanding >= 2
                && (1..=PAGE_BEATS).contains(&self.burst_beats)
                && self.tag_bits >= 1
                && self.address_bits > log2_exact(4096)
                && self.timeout.is_power_of_two()
                && self.timeout >= self.outstanding,
            "{self:?} is out of range"
        );
    }
}

impl Block for ReadMaster {
    fn name(&self) -> String {
        format!(
            "spatten_read_master_a{}_o{}_b{}_t{}_s{}",
            self.address_bits, self.outstanding, self.burst_beats, self.tag_bits, self.timeout
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Read master: requests become AXI4 reads of one port, each with an id of its own; their data, which may\n\
                      come in any order of reads, leaves with the request's tag.\n\
                      \n\
                      request -> free id -> ar\n\
                      request -> u_table: under each id, what its read is for\n\
                      r -> is a read of that id under way? -> its entry in u_table -> check -> beat, or error\n\
                      \n\
                      The first beat that the memory should not have sent is reported and dropped. From then on, and while\n\
                      stop_i is high, no request is taken and data is thrown away. With stop_i high, idle_o tells when no\n\
                      read is under way any more; then the error is forgotten, and the port works again without stop_i."
                .into(),
            parameters: vec![
                ("address_bits", self.address_bits.to_string()),
                ("outstanding", self.outstanding.to_string()),
                ("burst_beats", self.burst_beats.to_string()),
                ("tag_bits", self.tag_bits.to_string()),
                ("timeout", self.timeout.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        self.check();
        let request = m.stream_in("request", &self.request_fields());
        let ar = m.stream_out("ar", &self.address_fields());
        let r = m.stream_in("r", &self.data_fields());
        let beat = m.stream_out("beat", &self.beat_fields());
        let error = m.stream_out("error", &self.error_fields());
        let stop = m.input("stop", 1, "takes no requests, throws data away");
        let idle = m.output("idle", 1, "stopped, no read is under way, no beat waits");

        m.section("a port in error stands still until it is stopped and idle");
        reg!(m, stop_q = stop, reset = 0);
        reg!(m, failed_q: 1, reset = 0);
        net!(m, halted = failed_q | stop_q);

        m.section("ids: first each number once, then those that come back");
        let ends = m.wire("ends", 1, "a read's last beat arrives");
        let end_id = m.wire("end_id", self.id_bits(), "");
        reg!(m, returned_q = *ends, reset = 0, "an id is free");
        reg!(m, returned_id_q = *end_id, when = *ends);
        let issue = m.wire("issue", 1, "");
        let (id, id_there) = self.free_id(m, *issue, *returned_q, *returned_id_q);

        m.section("addresses");
        let address_room = m.wire("address_room", 1, "");
        net!(m, open_for_requests = id_there & address_room & !halted);
        issue.drive(request.valid & open_for_requests);
        request.ready.drive(open_for_requests);
        let (address, length) = (request.field("address"), request.field("length"));
        let message = "a read crosses a 4 KB boundary";
        axi::forbid_crossing(m, *issue, (address, length), message);
        let addresses = Stream::new(
            *issue,
            address_room,
            vec![
                ("id".into(), id),
                ("address".into(), address),
                ("length".into(), length),
            ],
        );
        let addresses = registered(m, "u_address", addresses);
        axi::drive_address(m, &ar, addresses.field("id"), addresses);

        m.section("data: is its read under way, and is no other inside its burst?");
        let data = registered(m, "u_data", r);
        let checked_room = m.wire("checked_room", 1, "");
        let probing = m.wire(
            "probing",
            1,
            "the port is silent and looks for a read under way",
        );
        let probe_id = m.wire("probe_id", self.id_bits(), "");
        net!(m, arrives = data.valid & checked_room);
        data.ready.drive(checked_room);
        let arriving_id = probing.select(*probe_id, data.field("id"));
        net!(m, arriving_id = arriving_id);
        net!(m, arriving = self.one_hot(m, arriving_id), "one-hot");
        reg!(m, under_way_q: self.outstanding, reset = 0, "ids of reads under way");
        net!(m, known = (under_way_q & arriving).any());
        ends.drive(arrives & known & data.field("last"));
        end_id.drive(data.field("id"));
        let every = self.outstanding;
        net!(
            m,
            begun = self.one_hot(m, id) & issue.repeat(every),
            "one-hot"
        );
        under_way_q.next((under_way_q & !(arriving & ends.repeat(every))) | begun);
        reg!(m, open_q: 1, reset = 0, "inside a burst");
        reg!(m, open_id_q: self.id_bits(), "of the burst");
        net!(m, counts = arrives & known);
        open_q.next_when(counts, !data.field("last"));
        open_id_q.next_when(counts, data.field("id"));
        let other = data.field("id").differs(open_id_q);
        reg!(m, place_q: self.length_bits(), reset = 0, "beats of the burst so far");
        let next_place = place_q.wrapping_add(m.lit(1, self.length_bits()));
        let none = m.lit(0, self.length_bits());
        place_q.next_when(counts, data.field("last").select(none, next_place));

        m.section("what the read is for");
        let found = m.wire("found", 1, "a silent port found a read under way");
        let table = m.instance("u_table", &self.table());
        let entry = m.cat(&[address, length, request.field("tag")]);
        table
            .input("write_enable", *issue)
            .input("write_address", id)
            .input("write_data", entry)
            .input("read_enable", counts | *found)
            .input("read_address", arriving_id);
        let entry = table.output("read_data");

        m.section("the beat with its entry");
        reg!(m, checked_q: 1, reset = 0, "a beat is there");
        checked_q.next_when(*checked_room, arrives & !halted);
        reg!(
            m,
            silent_q = *found,
            reset = 0,
            "the entry is that of an unanswered read"
        );
        reg!(m, id_q = arriving_id, when = arrives | *found);
        reg!(m, data_q = data.field("data"), when = arrives);
        reg!(m, last_q = data.field("last"), when = arrives);
        reg!(m, response_q = data.field("resp"), when = arrives);
        reg!(m, unknown_q = !known, when = arrives);
        reg!(m, interleaved_q = open_q & other, when = arrives);
        reg!(m, here_q = *place_q, when = arrives);
        let tag = entry.slice(0, self.tag_bits);
        let length = entry.slice(self.tag_bits, self.length_bits());
        let entry_address =
            entry.slice(self.tag_bits + self.length_bits(), self.beat_address_bits());
        net!(m, wrong_last = last_q.differs(here_q.equals(length)));
        let faults = [
            *unknown_q,
            *interleaved_q,
            response_q.is(2),
            response_q.is(3),
            wrong_last,
        ];
        let any = faults.into_iter().reduce(|a, b| a | b);
        net!(m, faulty = any.expect("there are faults"));
        net!(m, good = checked_q & !faulty & !failed_q);
        checked_room.drive(beat.ready | !good);
        beat.drive(good, &[("data", *data_q), ("tag", tag), ("last", *last_q)]);

        m.section("the first error");
        net!(m, fails = ((checked_q & faulty) | silent_q) & !failed_q);
        reg!(m, under_way_count_q: value_bits(self.outstanding), reset = 0);
        let one = m.lit(1, under_way_count_q.width());
        under_way_count_q.next_when(
            *issue ^ *returned_q,
            issue.select(
                under_way_count_q.wrapping_add(one),
                under_way_count_q.wrapping_sub(one),
            ),
        );
        net!(m, none_under_way = !under_way_count_q.any());
        net!(
            m,
            still = stop_q & none_under_way & !data.valid & !checked_q
        );
        idle.drive(still);
        failed_q.next_when(fails | still, fails);
        reg!(m, error_valid_q: 1, reset = 0);
        net!(m, record_room = error.ready | !error_valid_q);
        net!(m, records = fails & record_room);
        error_valid_q.next_when(record_room, fails);
        let kind = self.kind(m, &faults, *silent_q);
        reg!(m, error_kind_q = kind, when = records);
        reg!(m, error_id_q = *id_q, when = records);
        net!(
            m,
            named = !(unknown_q & checked_q),
            "the entry is the read's"
        );
        let address = entry_address & named.repeat(entry_address.width());
        reg!(m, error_address_q = address, when = records);
        error.drive(
            error_valid_q,
            &[
                ("kind", *error_kind_q),
                ("id", *error_id_q),
                ("address", *error_address_q),
            ],
        );

        m.section("silence: after the timeout one id after the other is looked up");
        let bits = log2_exact(self.timeout);
        reg!(m, waited_q: bits, reset = 0, "cycles without data");
        reg!(m, over_q: 1, reset = 0, "the timeout is over");
        net!(
            m,
            waits = !(none_under_way | data.valid | checked_q | silent_q | halted)
        );
        let next = waited_q.wrapping_add(m.lit(1, bits));
        let zero = m.lit(0, bits);
        waited_q.next(waits.select(next, zero));
        over_q.next(waits & (over_q | waited_q.all()));
        probing.drive(over_q & waits);
        probe_id.drive(waited_q.truncate(self.id_bits()));
        found.drive(*probing & known);
    }
}

impl ReadMaster {
    /// A free id, and whether there is one.
    fn free_id<'m>(
        &self,
        m: &'m Builder,
        take: Sig<'m>,
        returned: Sig<'m>,
        returned_id: Sig<'m>,
    ) -> (Sig<'m>, Sig<'m>) {
        let bits = value_bits(self.outstanding);
        reg!(m, unused_q: bits, reset = 0, "the lowest id never used; their number when all were");
        net!(
            m,
            fresh = unused_q.differs(m.lit(self.outstanding as u64, bits))
        );
        unused_q.next_when(take & fresh, unused_q.wrapping_add(m.lit(1, bits)));
        let ids = Fifo::new(self.id_bits(), self.outstanding);
        let u_ids = m.instance("u_ids", &ids);
        u_ids
            .input("in_valid", returned)
            .input("in_data", returned_id)
            .input("out_ready", take & !fresh);
        m.never(
            returned & !u_ids.output("in_ready"),
            "more ids come back than there are",
        );
        let first = unused_q.truncate(self.id_bits());
        if bits > self.id_bits() {
            let high = unused_q.slice(self.id_bits(), bits - self.id_bits());
            m.unused("unused_high", high, "set when every id was used");
        }
        let id = m.net("id", fresh.select(first, u_ids.output("out_data")), "");
        let there = m.net("id_there", fresh | u_ids.output("out_valid"), "");
        (id, there)
    }

    /// Bit `id` of as many as there are ids.
    fn one_hot<'m>(&self, m: &'m Builder, id: Sig<'m>) -> Sig<'m> {
        m.lit(1, self.outstanding).shift_left_by(id)
    }

    /// Number of the first fault that holds.
    fn kind<'m>(&self, m: &'m Builder, faults: &[Sig<'m>], silent: Sig<'m>) -> Sig<'m> {
        let code = |fault: ReadFault| m.lit(fault.code(), ReadFault::BITS);
        let last = code(ReadFault::WrongLast);
        let chain = faults.iter().zip(ReadFault::ALL).rev().skip(1);
        let of_beat = chain.fold(last, |rest, (holds, fault)| holds.select(code(fault), rest));
        m.net("kind", silent.select(code(ReadFault::Silence), of_beat), "")
    }
}
