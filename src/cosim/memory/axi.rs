//! What passes over an AXI4 port: addresses, data and responses, as the project's memory ports use them.

use super::super::stream::Field;

/// Bytes of a data beat: 256 bits.
pub const BEAT_BYTES: u64 = 32;
/// `AxSIZE` of a full beat: log2 of [`BEAT_BYTES`].
pub const FULL_SIZE: u8 = 5;
/// `AxBURST` of a burst whose addresses increase.
pub const INCREMENTING: u8 = 1;
/// No burst passes a multiple of this many bytes.
pub const BOUNDARY: u64 = 4096;

/// A word of the read or write address channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// `AxID`.
    pub id: u16,
    /// `AxADDR`: byte address of the first beat within the port's memory.
    pub address: u64,
    /// Beats: `AxLEN` + 1.
    pub beats: usize,
    /// `AxSIZE`: log2 of the bytes of a beat.
    pub size: u8,
    /// `AxBURST`: 0 fixed, 1 incrementing, 2 wrapping.
    pub kind: u8,
}

impl Burst {
    /// An incrementing burst of full beats.
    pub fn new(id: u16, address: u64, beats: usize) -> Self {
        Burst {
            id,
            address,
            beats,
            size: FULL_SIZE,
            kind: INCREMENTING,
        }
    }

    /// First address behind the burst.
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.beats as u64 * BEAT_BYTES)
    }
}

/// `RRESP` and `BRESP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Response {
    /// OKAY.
    #[default]
    Okay,
    /// SLVERR: the slave took the access and failed.
    SlaveError,
    /// DECERR: there is no slave at the address.
    DecodeError,
}

impl Response {
    /// The two bits on the port.
    pub fn code(self) -> u8 {
        match self {
            Response::Okay => 0,
            Response::SlaveError => 2,
            Response::DecodeError => 3,
        }
    }
}

/// A beat of the read data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBeat {
    /// `RID`.
    pub id: u16,
    /// `RDATA`, the lowest byte first.
    pub data: [u8; BEAT_BYTES as usize],
    /// `RRESP`.
    pub response: Response,
    /// `RLAST`.
    pub last: bool,
}

/// A beat of the write data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBeat {
    /// `WDATA`, the lowest byte first.
    pub data: [u8; BEAT_BYTES as usize],
    /// `WSTRB`: bit k enables byte k.
    pub strobes: u32,
    /// `WLAST`.
    pub last: bool,
}

/// A word of the write response channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteResponse {
    /// `BID`.
    pub id: u16,
    /// `BRESP`.
    pub response: Response,
}

/// Fields of channels `ar` and `aw`: `id`, `addr`, `len`, `size`, `burst`.
pub(super) fn address_fields(id_bits: usize, address_bits: usize) -> Vec<Field> {
    vec![
        Field::unsigned("id", id_bits),
        Field::unsigned("addr", address_bits),
        Field::unsigned("len", 8),
        Field::unsigned("size", 3),
        Field::unsigned("burst", 2),
    ]
}

/// Fields of channel `r`: `id`, `data`, `resp`, `last`.
pub(super) fn read_fields(id_bits: usize) -> Vec<Field> {
    vec![
        Field::unsigned("id", id_bits),
        data_field(),
        Field::unsigned("resp", 2),
        Field::unsigned("last", 1),
    ]
}

/// Fields of channel `w`: `data`, `strb`, `last`.
pub(super) fn write_fields() -> Vec<Field> {
    vec![
        data_field(),
        Field::unsigned("strb", BEAT_BYTES as usize),
        Field::unsigned("last", 1),
    ]
}

/// Fields of channel `b`: `id`, `resp`.
pub(super) fn response_fields(id_bits: usize) -> Vec<Field> {
    vec![Field::unsigned("id", id_bits), Field::unsigned("resp", 2)]
}

/// A data beat as words of a stream.
const LANE_BITS: usize = 32;

fn data_field() -> Field {
    Field::unsigned("data", LANE_BITS).lanes(BEAT_BYTES as usize * 8 / LANE_BITS)
}

impl Burst {
    /// From a word of an address channel.
    pub(super) fn from_word(word: &[i64]) -> Self {
        Burst {
            id: word[0] as u16,
            address: word[1] as u64,
            beats: word[2] as usize + 1,
            size: word[3] as u8,
            kind: word[4] as u8,
        }
    }
}

impl ReadBeat {
    pub(super) fn to_word(&self) -> Vec<i64> {
        let lanes = self.data.chunks(LANE_BITS / 8);
        let lanes = lanes.map(|b| i64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        let mut word = vec![i64::from(self.id)];
        word.extend(lanes);
        word.extend([i64::from(self.response.code()), i64::from(self.last)]);
        word
    }
}

impl WriteBeat {
    pub(super) fn from_word(word: &[i64]) -> Self {
        let (lanes, rest) = word.split_at(word.len() - 2);
        let mut data = [0; BEAT_BYTES as usize];
        for (bytes, lane) in data.chunks_mut(LANE_BITS / 8).zip(lanes) {
            bytes.copy_from_slice(&(*lane as u32).to_le_bytes());
        }
        WriteBeat {
            data,
            strobes: rest[0] as u32,
            last: rest[1] == 1,
        }
    }
}

impl WriteResponse {
    pub(super) fn to_word(self) -> Vec<i64> {
        vec![i64::from(self.id), i64::from(self.response.code())]
    }
}
