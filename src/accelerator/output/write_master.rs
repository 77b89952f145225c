//! Write master: complete rows of one port become AXI4 writes, whose responses are checked.

use crate::accelerator::axi::{self, BEAT_BITS, BEAT_BYTES};
use crate::cells::credits::Credits;
use crate::cells::fifo::Fifo;
use crate::cells::spill_register::registered;
use crate::hdl::{About, Block, Builder, Field, Stream};
use crate::numerics::{log2_exact, value_bits};
use crate::{net, reg};

/// What a port can find wrong with the memory behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteFault {
    /// A response of an id that no write under way has.
    UnknownId,
    /// SLVERR: the memory failed.
    SlaveError,
    /// DECERR: there is no memory at the address.
    DecodeError,
    /// No response for [`WriteMaster::timeout`] cycles while writes are under way.
    Silence,
}

impl WriteFault {
    /// Every fault, in the order of the codes.
    pub const ALL: [WriteFault; 4] = [
        WriteFault::UnknownId,
        WriteFault::SlaveError,
        WriteFault::DecodeError,
        WriteFault::Silence,
    ];

    /// Bits of the `kind` field.
    pub const BITS: usize = 3;

    /// The `kind` field of an error record: 1 to 4.
    pub fn code(self) -> u64 {
        self as u64 + 1
    }
}

/// The write side of one AXI4 port.
///
/// - Latency: 1 cycle from a request to its address and to its first data; interval: a beat per cycle, also from burst to
///   burst.
/// - Stalls: `aw_ready_i`, `b_valid_i` and `request_valid_i` meet registers only; data passes within the cycle.
#[derive(Clone, Debug)]
pub struct WriteMaster {
    /// Bits of a byte address.
    pub address_bits: usize,
    /// Bits of an id, which is always 0.
    pub id_bits: usize,
    /// Beats of the longest burst.
    pub burst_beats: usize,
    /// Writes under way at most.
    pub outstanding: usize,
    /// Cycles without a response, while writes are under way, after which the port gives up; a power of two.
    pub timeout: usize,
}

impl WriteMaster {
    /// Cycles from a request's transfer to the first cycle that shows its address.
    pub const REQUEST_LATENCY: u64 = 1;

    fn beat_address_bits(&self) -> usize {
        self.address_bits - log2_exact(BEAT_BYTES)
    }

    fn length_bits(&self) -> usize {
        value_bits(self.burst_beats - 1)
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
        ]
    }

    /// Fields of channel `aw`.
    pub fn address_fields(&self) -> Vec<Field> {
        axi::address_fields(self.id_bits, self.address_bits, "always 0")
    }

    /// Fields of channel `w`.
    pub fn data_fields() -> Vec<Field> {
        vec![
            Field::new("data", BEAT_BITS, "beat"),
            Field::new("strb", BEAT_BYTES, "every byte"),
            Field::new("last", 1, "last beat of the write"),
        ]
    }

    /// Fields of channel `b`.
    pub fn response_fields(&self) -> Vec<Field> {
        vec![
            Field::new("id", self.id_bits, ""),
            Field::new("resp", 2, "0 or 1: good, 2: SLVERR, 3: DECERR"),
        ]
    }

    /// Fields of channel `error`.
    pub fn error_fields(&self) -> Vec<Field> {
        vec![
            Field::new(
                "kind",
                WriteFault::BITS,
                "1 unknown id, 2 SLVERR, 3 DECERR, 4 silence",
            ),
            Field::new(
                "address",
                self.beat_address_bits(),
                "first beat of the oldest write; undefined without one",
            ),
        ]
    }
}

impl Block for WriteMaster {
    fn name(&self) -> String {
        format!(
            "spatten_write_master_a{}_i{}_b{}_o{}_s{}",
            self.address_bits, self.id_bits, self.burst_beats, self.outstanding, self.timeout
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Write master: a request and the beats that wait for it become an AXI4 write of one port; its response\n\
                      is checked. All writes have id 0, so their responses come in order.\n\
                      \n\
                      request -> u_address -> aw;  u_lengths, beat -> w;  b -> the oldest write in u_pending -> acknowledged, error"
                .into(),
            parameters: vec![
                ("address_bits", self.address_bits.to_string()),
                ("burst_beats", self.burst_beats.to_string()),
                ("outstanding", self.outstanding.to_string()),
                ("timeout", self.timeout.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let request = m.stream_in("request", &self.request_fields());
        let beat = m.stream_in(
            "beat",
            &[Field::new("data", BEAT_BITS, "beat of the oldest request")],
        );
        let aw = m.stream_out("aw", &self.address_fields());
        let w = m.stream_out("w", &Self::data_fields());
        let b = m.stream_in("b", &self.response_fields());
        let error = m.stream_out("error", &self.error_fields());
        let acknowledged_out = m.output("acknowledged", 1, "a write has been acknowledged");
        let stop = m.input("stop", 1, "takes no requests");
        let idle = m.output("idle", 1, "stopped, and no write is under way");

        m.section("a port in error begins no write until it is reset");
        reg!(m, stop_q = stop, reset = 0);
        reg!(m, failed_q: 1, reset = 0);
        net!(m, halted = failed_q | stop_q);

        m.section("addresses");
        let writes = Credits::new(m, "write", self.outstanding);
        let room = writes.available();
        let address_room = m.wire("address_room", 1, "");
        net!(m, open_for_requests = room & *address_room & !halted);
        net!(m, issue = request.valid & open_for_requests);
        request.ready.drive(open_for_requests);
        let (address, length) = (request.field("address"), request.field("length"));
        let message = "a write crosses a 4 KB boundary";
        axi::forbid_crossing(m, request.valid, (address, length), message);
        let fields = vec![("address".into(), address), ("length".into(), length)];
        let addresses = Stream::new(issue, address_room, fields);
        let addresses = registered(m, "u_address", addresses);
        let address_valid = addresses.valid;
        axi::drive_address(m, &aw, m.lit(0, self.id_bits), addresses);

        m.section("data");
        // As many places as writes may be under way.
        let place = m.wire("length_place", 1, "");
        m.never(issue & !*place, "a length found no place");
        let lengths = Stream::new(issue, place, vec![("length".into(), length)]);
        let fifo = Fifo::new(self.length_bits(), self.outstanding);
        let lengths = m.through("u_lengths", &fifo, lengths);
        reg!(m, sent_q: self.length_bits(), reset = 0, "beats of the burst that have left");
        net!(m, last = sent_q.equals(lengths.field("length")));
        net!(m, sends = beat.valid & lengths.valid & w.ready);
        let next = sent_q.wrapping_add(m.lit(1, self.length_bits()));
        sent_q.next_when(sends, last.select(m.lit(0, self.length_bits()), next));
        let every = m.lit(1, 1).repeat(BEAT_BYTES);
        w.drive(
            beat.valid & lengths.valid,
            &[("data", beat.data()), ("strb", every), ("last", last)],
        );
        beat.ready.drive(lengths.valid & w.ready);
        lengths.ready.drive(sends & last);

        m.section("responses");
        let place = m.wire("pending_place", 1, "");
        m.never(issue & !*place, "an address found no place");
        let pending = Stream::new(issue, place, vec![("address".into(), address)]);
        let fifo = Fifo::new(self.beat_address_bits(), self.outstanding);
        let pending = m.through("u_pending", &fifo, pending);
        reg!(m, answered_q = b.valid, reset = 0, "a response has come");
        reg!(m, id_q = b.field("id"));
        reg!(m, resp_q = b.field("resp"));
        b.ready.drive(m.lit(1, 1));
        net!(m, known = answered_q & pending.valid & !id_q.any());
        pending.ready.drive(known);
        acknowledged_out.drive(known);
        writes.count(issue, known);
        idle.drive(stop_q & !pending.valid & !address_valid & !answered_q);

        m.section("the first error");
        let bits = log2_exact(self.timeout);
        reg!(m, waited_q: bits, reset = 0, "cycles without a response while writes are under way");
        let waits = pending.valid & !answered_q;
        waited_q.next(waits.select(waited_q.wrapping_add(m.lit(1, bits)), m.lit(0, bits)));
        reg!(m, silent_q = waits & waited_q.all(), reset = 0);
        net!(m, unknown = answered_q & !known);
        net!(m, refused = known & resp_q.bit(1));
        net!(m, fails = (unknown | refused | silent_q) & !failed_q);
        failed_q.next(failed_q | fails);
        let code = |fault: WriteFault| m.lit(fault.code(), WriteFault::BITS);
        let of_response = resp_q
            .bit(0)
            .select(code(WriteFault::DecodeError), code(WriteFault::SlaveError));
        let kind = unknown.select(code(WriteFault::UnknownId), of_response);
        net!(m, kind = answered_q.select(kind, code(WriteFault::Silence)));
        reg!(m, error_valid_q: 1, reset = 0);
        error_valid_q.next(fails | (error_valid_q & !error.ready));
        reg!(m, error_kind_q = kind, when = fails);
        reg!(m, error_address_q = pending.field("address"), when = fails);
        error.drive(
            error_valid_q,
            &[("kind", *error_kind_q), ("address", *error_address_q)],
        );
    }
}
