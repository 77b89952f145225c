//! Lanes packed into a port: lane k of width W stands at bits `[k*W +: W]`.

use super::simulator::{mask, sign_extend};

/// Packs values of `width` bits (1 to 64, higher bits dropped) into words, as many as the lanes fill.
pub(super) fn pack(values: &[i64], width: u32, words: &mut [u32]) {
    let mut words = words.iter_mut();
    let (mut held, mut bits) = (0u128, 0);
    for &value in values {
        held |= u128::from(value as u64 & mask(width)) << bits;
        bits += width;
        while bits >= 32 {
            *words.next().expect("room for every lane") = held as u32;
            held >>= 32;
            bits -= 32;
        }
    }
    if bits > 0 {
        *words.next().expect("room for every lane") = held as u32;
    }
}

/// Unpacks as many values of `width` bits (1 to 64) as `values` has places.
pub(super) fn unpack(words: &[u32], width: u32, signed: bool, values: &mut [i64]) {
    let mut words = words.iter();
    let (mut held, mut bits) = (0u128, 0);
    for value in values {
        while bits < width {
            held |= u128::from(*words.next().expect("a word for every lane")) << bits;
            bits += 32;
        }
        let lane = held as u64 & mask(width);
        *value = if signed {
            sign_extend(lane, width)
        } else {
            lane as i64
        };
        held >>= width;
        bits -= width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_returns_what_was_packed_at_every_width() {
        for width in 1..=64 {
            let top = 1i64 << (width - 1);
            let signed = [0, -1, top.wrapping_neg(), top.wrapping_sub(1), 0];
            let lowest = sign_extend(top as u64, width);
            let signed = signed.map(|value| value.clamp(lowest, !lowest));
            let mut words = vec![0; (5 * width as usize).div_ceil(32)];
            pack(&signed, width, &mut words);
            let mut back = [7; 5];
            unpack(&words, width, true, &mut back);
            assert_eq!(back, signed, "width {width}");
        }
    }

    #[test]
    fn lane_k_stands_at_bit_k_times_the_width() {
        let mut words = [0; 2];
        pack(&[0x5, -1, 0x3], 12, &mut words);
        assert_eq!(words, [0x03ff_f005, 0x0]);
        let mut unsigned = [0; 3];
        unpack(&words, 12, false, &mut unsigned);
        assert_eq!(unsigned, [0x5, 0xfff, 0x3]);
    }
}
