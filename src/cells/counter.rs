//! Counts of what is held, and pointers into rings.

use crate::hdl::{Builder, Reg, Sig};
use crate::numerics::index_bits;

/// `count` goes up where only `more` is one, down where only `less` is.
pub(crate) fn count<'m>(m: &'m Builder, count: Reg<'m>, more: Sig<'m>, less: Sig<'m>) {
    let one = m.lit(1, count.width());
    let changed = more.select(count.wrapping_add(one), count.wrapping_sub(one));
    count.next_when(more ^ less, changed);
}

/// A register that counts 0, 1, ..., depth - 1, 0, ... where `step` is one.
pub(crate) fn ring_pointer<'m>(
    m: &'m Builder,
    name: &str,
    depth: usize,
    step: Sig<'m>,
    doc: &str,
) -> Sig<'m> {
    let pointer = m.register(name, index_bits(depth), Some(0), doc);
    pointer.next_when(step, ring_next(m, *pointer, depth));
    *pointer
}

/// The place after `place` in a ring of `depth`.
pub(crate) fn ring_next<'m>(m: &'m Builder, place: Sig<'m>, depth: usize) -> Sig<'m> {
    let bits = place.width();
    let following = place.wrapping_add(m.lit(1, bits));
    if depth.is_power_of_two() && depth > 1 {
        return following;
    }
    place.is(depth as u64 - 1).select(m.lit(0, bits), following)
}
