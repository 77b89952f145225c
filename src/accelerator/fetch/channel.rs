//! The channel of a token's vector, in hardware ([`Placement::channel`](super::Placement::channel)).

use crate::hdl::{Builder, Sig};
use crate::numerics::log2_exact;

/// Net `<name>_channel`: id[c-1:0] ^ h(id >> c) ^ rotation, h(r) = (r ^ r >> c ^ 5 * (r >> 2)) mod 2^c, for 2^c channels; none
/// where there is one.
pub fn channel_of<'m>(
    m: &'m Builder,
    name: &str,
    channels: usize,
    id: Sig<'m>,
    rotation: Sig<'m>,
) -> Option<Sig<'m>> {
    let bits = log2_exact(channels);
    if bits == 0 {
        m.unused(&format!("{name}_rotation"), rotation, "one channel");
        return None;
    }
    // Bits of the id from `low` on, as many as number a channel.
    let part = |low: usize| match id.width().saturating_sub(low) {
        0 => None,
        there => Some(id.slice(low, there.min(bits)).extend(bits)),
    };
    let hashed = [part(0), part(bits), part(2 * bits)].into_iter().flatten();
    let product = part(bits + 2).map(|r| match bits {
        1 | 2 => r,
        _ => r.wrapping_add(r.shift_left(2).truncate(bits)),
    });
    let all = hashed.chain(product).chain([rotation]);
    let channel = all.reduce(|a, b| a ^ b).expect("the rotation is there");
    Some(m.net(&format!("{name}_channel"), channel, ""))
}
