//! Lanes packed into a port: lane k of width W stands at bits `[k*W +: W]`.

use super::simulator::{mask, sign_extend};

/// Packs values of `width` bits (1 to 64, higher bits dropped) into words that start out zero.
pub(super) fn pack(values: &[i64], width: u32, words: &mut [u32]) {
    let mut bit = 0;
    for &value in values {
        let (word, shift) = (bit / 32, bit % 32);
        let placed = u128::from(value as u64 & mask(width)) << shift;
        for (offset, target) in words[word..].iter_mut().take(3).enumerate() {
            *target |= (placed >> (32 * offset)) as u32;
        }
        bit += width as usize;
    }
}

/// Unpacks as many values of `width` bits (1 to 64) as `values` has places; missing words count as zero.
pub(super) fn unpack(words: &[u32], width: u32, signed: bool, values: &mut [i64]) {
    let mut bit = 0;
    for value in values {
        let (word, shift) = (bit / 32, bit % 32);
        let held = words[word..]
            .iter()
            .take(3)
            .rev()
            .fold(0u128, |held, &word| held << 32 | u128::from(word));
        let lane = (held >> shift) as u64 & mask(width);
        *value = if signed {
            sign_extend(lane, width)
        } else {
            lane as i64
        };
        bit += width as usize;
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
