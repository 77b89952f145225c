//! What the read and the write side of a memory port share: AXI4 addresses, and the errors of all ports.

use crate::cells::arbiter::Arbiter;
use crate::hdl::{Builder, Field, Sig, Stream, StreamOut};
use crate::numerics::{index_bits, log2_exact};

/// Bytes of a beat of AXI4 data.
pub const BEAT_BYTES: usize = 32;
/// Bits of a beat of AXI4 data.
pub const BEAT_BITS: usize = 8 * BEAT_BYTES;
/// Beats between two addresses that no burst may cross: 4 KB.
pub const PAGE_BEATS: usize = 4096 / BEAT_BYTES;
/// Bits of a burst's length field.
const LENGTH_BITS: usize = 8;
/// `AxSIZE`: log2 of a beat's bytes.
const FULL_SIZE: u64 = 5;
/// `AxBURST`: incrementing addresses.
const INCREMENTING: u64 = 1;

/// Fields of an address channel; `id` says what its ids are.
pub fn address_fields(id_bits: usize, address_bits: usize, id: &str) -> Vec<Field> {
    vec![
        Field::new("id", id_bits, id),
        Field::new("addr", address_bits, "byte address of the first beat"),
        Field::new("len", LENGTH_BITS, "beats - 1"),
        Field::new("size", 3, "always 5: 32 bytes"),
        Field::new("burst", 2, "always 1: INCR"),
    ]
}

/// Drives an address channel with the `address` (in beats) and `length` of a burst of this id.
pub(super) fn drive_address<'m>(
    m: &'m Builder,
    out: &StreamOut<'m>,
    id: Sig<'m>,
    burst: Stream<'m>,
) {
    let bytes = burst.field("address").shift_left(log2_exact(BEAT_BYTES));
    out.drive(
        burst.valid,
        &[
            ("id", id),
            ("addr", bytes),
            ("len", burst.field("length").extend(LENGTH_BITS)),
            ("size", m.lit(FULL_SIZE, 3)),
            ("burst", m.lit(INCREMENTING, 2)),
        ],
    );
    burst.ready.drive(out.ready);
}

/// Whoever lays vectors and rows out keeps them within 4 KB; a burst that is not would break a rule of AXI4: `message`.
pub(super) fn forbid_crossing<'m>(
    m: &'m Builder,
    begins: Sig<'m>,
    (address, length): (Sig<'m>, Sig<'m>),
    message: &str,
) {
    let in_page = log2_exact(PAGE_BEATS);
    let last = address.truncate(in_page).extend(in_page + 1) + length.extend(in_page + 1);
    let doc = "last beat, counted from the page's first";
    let last = m.net("last_in_page", last, doc);
    let crosses = last.gt(m.lit(PAGE_BEATS as u64 - 1, in_page + 2));
    m.never(begins & crosses, message);
}

/// The errors of all ports, in turn, with the number of their `port`.
pub(super) fn errors_of_ports<'m>(m: &'m Builder, errors: Vec<Stream<'m>>) -> Stream<'m> {
    let (port, fields, valid, ready) = match &errors[..] {
        [only] => (
            m.lit(0, index_bits(1)),
            only.fields(),
            only.valid,
            only.ready,
        ),
        _ => {
            let arbiter = Arbiter {
                branches: errors.len(),
                width: errors[0].width(),
            };
            let u_errors = m.instance("u_errors", &arbiter);
            for (n, error) in errors.iter().enumerate() {
                let packed = vec![("data".to_owned(), error.packed())];
                let packed = Stream::new(error.valid, error.ready, packed);
                u_errors.feed(&format!("in{n}"), packed);
            }
            let chosen = u_errors.stream("out");
            let fields = errors[0].unpacked(chosen.data());
            (chosen.field("index"), fields, chosen.valid, chosen.ready)
        }
    };
    let port = std::iter::once(("port".to_owned(), port));
    Stream::new(valid, ready, port.chain(fields).collect())
}
