//! Formats of vectors in memory: elements in planes of nibbles, so that hardware widens them by wiring
//! (`docs/memory_image.md`).
//!
//! A plane holds one nibble of each of the d elements: d/2 bytes, element i in byte i / 2, the low nibble of it where i is
//! even. Planes of 4-, 8- and 12-bit vectors follow each other from the most significant one on. Vectors of 6 and 10 bits
//! lie in pairs of heads that share the plane of low bits, a quarter of whose nibble each element takes:
//!
//! ```text
//!  6 bits  [A high nibble]                  [A low 2 | B low 2]                  [B high nibble]
//! 10 bits  [A high nibble][A middle nibble] [A low 2 | B low 2] [B middle nibble][B high nibble]
//! ```

use crate::accelerator::axi::BEAT_BYTES;

/// How a vector of d elements is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VectorFormat {
    /// 4 bits per element.
    Bits4,
    /// 8 bits.
    Bits8,
    /// 12 bits.
    Bits12,
    /// 6 bits, the first head of a pair.
    Bits6A,
    /// 6 bits, the second head.
    Bits6B,
    /// 10 bits, the first head of a pair.
    Bits10A,
    /// 10 bits, the second head.
    Bits10B,
    /// 16 bits, little-endian and sign-extended: queries and output rows.
    Bits16,
}

impl VectorFormat {
    /// Every format, in the order of the codes.
    pub const ALL: [VectorFormat; 8] = [
        VectorFormat::Bits4,
        VectorFormat::Bits8,
        VectorFormat::Bits12,
        VectorFormat::Bits6A,
        VectorFormat::Bits6B,
        VectorFormat::Bits10A,
        VectorFormat::Bits10B,
        VectorFormat::Bits16,
    ];

    /// The code of the hardware's `format` fields.
    pub fn code(self) -> u64 {
        self as u64
    }

    /// The format of a code; `None` for a number that is none.
    pub fn from_code(code: u64) -> Option<VectorFormat> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// The format of K, or of its MSB plane, of `bits` bits in KV head `head`: of 6 and 10 bits the even heads are the
    /// first of a pair. `None` for widths that K is not stored in.
    pub fn of_key(bits: usize, head: usize) -> Option<VectorFormat> {
        let of_pair = |first, second| {
            if head.is_multiple_of(2) {
                first
            } else {
                second
            }
        };
        match bits {
            4 => Some(VectorFormat::Bits4),
            6 => Some(of_pair(VectorFormat::Bits6A, VectorFormat::Bits6B)),
            8 => Some(VectorFormat::Bits8),
            10 => Some(of_pair(VectorFormat::Bits10A, VectorFormat::Bits10B)),
            12 => Some(VectorFormat::Bits12),
            _ => None,
        }
    }

    /// The format of V of `bits` bits: the narrowest of 4, 8 and 12 bits that holds them; `None` beyond.
    pub fn of_value(bits: usize) -> Option<VectorFormat> {
        match bits {
            1..=4 => Some(VectorFormat::Bits4),
            5..=8 => Some(VectorFormat::Bits8),
            9..=12 => Some(VectorFormat::Bits12),
            _ => None,
        }
    }

    /// Bits of an element.
    pub fn bits(self) -> usize {
        match self {
            VectorFormat::Bits4 => 4,
            VectorFormat::Bits8 => 8,
            VectorFormat::Bits12 => 12,
            VectorFormat::Bits6A | VectorFormat::Bits6B => 6,
            VectorFormat::Bits10A | VectorFormat::Bits10B => 10,
            VectorFormat::Bits16 => 16,
        }
    }

    /// Name in Verilog and in messages.
    pub fn name(self) -> &'static str {
        match self {
            VectorFormat::Bits4 => "bits4",
            VectorFormat::Bits8 => "bits8",
            VectorFormat::Bits12 => "bits12",
            VectorFormat::Bits6A => "bits6a",
            VectorFormat::Bits6B => "bits6b",
            VectorFormat::Bits10A => "bits10a",
            VectorFormat::Bits10B => "bits10b",
            VectorFormat::Bits16 => "bits16",
        }
    }

    /// Whether two heads share the place of a vector.
    pub fn is_paired(self) -> bool {
        matches!(self.bits(), 6 | 10)
    }

    /// Whether it is the second head of a pair.
    fn is_second(self) -> bool {
        matches!(self, VectorFormat::Bits6B | VectorFormat::Bits10B)
    }

    /// Bytes from one vector (or pair) of `head_dim` elements to the next: a power of two, so that none crosses 4 KB.
    pub fn stride(self, head_dim: usize) -> usize {
        let vectors = if self.is_paired() { 2 } else { 1 };
        let bytes = vectors * head_dim * self.bits() / 8;
        bytes.next_power_of_two().max(BEAT_BYTES)
    }

    /// First byte of the vector within the place, and the byte behind its last.
    fn bytes(self, head_dim: usize) -> (usize, usize) {
        let bytes = head_dim * self.bits() / 8;
        match self.is_second() {
            true => (bytes, 2 * bytes),
            false => (0, bytes),
        }
    }

    /// First beat of the vector within its place.
    pub fn first_beat(self, head_dim: usize) -> usize {
        self.bytes(head_dim).0 / BEAT_BYTES
    }

    /// Beats that hold the vector.
    pub fn beats(self, head_dim: usize) -> usize {
        let end = self.bytes(head_dim).1.div_ceil(BEAT_BYTES);
        end - self.first_beat(head_dim)
    }

    /// Places of the elements' parts: bits of the part from the most significant to the least, and the first byte of its
    /// plane.
    pub(super) fn planes(self, head_dim: usize) -> Vec<(usize, usize)> {
        let plane = head_dim / 2;
        let (first, end) = self.bytes(head_dim);
        let nibbles = self.bits() / 4;
        let mut planes: Vec<_> = (0..nibbles)
            .map(|k| match self.is_second() {
                true => (4, end - (k + 1) * plane),
                false => (4, first + k * plane),
            })
            .collect();
        if self.is_paired() {
            let of_second = if self.is_second() { plane / 2 } else { 0 };
            planes.push((2, nibbles * plane + of_second));
        }
        planes
    }

    /// Writes signed `elements` into their place of [`stride`](Self::stride) bytes, of which a partner's stay as they are.
    ///
    /// # Panics
    /// When the place is too short.
    pub fn pack(self, elements: &[i64], place: &mut [u8]) {
        if self == VectorFormat::Bits16 {
            for (bytes, element) in place.chunks_mut(2).zip(elements) {
                bytes.copy_from_slice(&(*element as i16).to_le_bytes());
            }
            return;
        }
        let mut below = self.bits();
        for (bits, start) in self.planes(elements.len()) {
            below -= bits;
            let mask = (1 << bits) - 1;
            for (index, element) in elements.iter().enumerate() {
                let bit = index * bits;
                let byte = &mut place[start + bit / 8];
                let part = (element >> below & mask) as u8;
                *byte = (*byte & !((mask as u8) << (bit % 8))) | part << (bit % 8);
            }
        }
    }

    /// The signed elements in a place.
    ///
    /// # Panics
    /// When the place is too short.
    pub fn unpack(self, head_dim: usize, place: &[u8]) -> Vec<i64> {
        if self == VectorFormat::Bits16 {
            let element = |bytes: &[u8]| i64::from(i16::from_le_bytes([bytes[0], bytes[1]]));
            return place[..2 * head_dim].chunks(2).map(element).collect();
        }
        let unused = 64 - self.bits();
        let codes = self.unpack_unsigned(head_dim, place).into_iter();
        codes.map(|code| code << unused >> unused).collect()
    }

    /// The same for unsigned elements: those of an LSB plane.
    ///
    /// # Panics
    /// When the place is too short.
    pub fn unpack_unsigned(self, head_dim: usize, place: &[u8]) -> Vec<i64> {
        let mut elements = vec![0; head_dim];
        for (bits, start) in self.planes(head_dim) {
            for (index, element) in elements.iter_mut().enumerate() {
                let bit = index * bits;
                let part = place[start + bit / 8] >> (bit % 8) & ((1 << bits) - 1);
                *element = *element << bits | i64::from(part);
            }
        }
        elements
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn beats_are_those_of_the_definition() {
        let beats = |head_dim| VectorFormat::ALL.map(|format| format.beats(head_dim));
        assert_eq!(beats(32), [1, 1, 2, 1, 2, 2, 2, 2]);
        assert_eq!(beats(64), [1, 2, 3, 2, 2, 3, 3, 4]);
        assert_eq!(beats(128), [2, 4, 6, 3, 3, 5, 5, 8]);
        let strides = |head_dim| VectorFormat::ALL.map(|format| format.stride(head_dim));
        assert_eq!(strides(32), [32, 32, 64, 64, 64, 128, 128, 64]);
        assert_eq!(strides(64), [32, 64, 128, 128, 128, 256, 256, 128]);
        assert_eq!(VectorFormat::Bits6B.first_beat(64), 1);
        assert_eq!(VectorFormat::Bits10B.first_beat(64), 2);
        assert_eq!(VectorFormat::Bits6B.first_beat(32), 0);
    }

    #[test]
    fn codes_and_widths_name_their_format() {
        for (code, format) in (0..).zip(VectorFormat::ALL) {
            assert_eq!(format.code(), code);
            assert_eq!(VectorFormat::from_code(code), Some(format));
        }
        assert_eq!(VectorFormat::from_code(8), None);
        assert_eq!(VectorFormat::of_key(10, 3), Some(VectorFormat::Bits10B));
        assert_eq!(VectorFormat::of_key(6, 0), Some(VectorFormat::Bits6A));
        assert_eq!(VectorFormat::of_key(5, 0), None);
        assert_eq!(VectorFormat::of_value(10), Some(VectorFormat::Bits12));
        assert_eq!(VectorFormat::of_value(13), None);
    }

    /// The byte and the bit in it of an element's bit, from the formats' description and without their planes.
    fn place(format: VectorFormat, dim: usize, element: usize, bit: usize) -> (usize, usize) {
        let nibble = |byte: usize, low: usize| (byte + element / 2, 4 * (element % 2) + bit - low);
        let pair = |byte: usize| (byte + element / 4, 2 * (element % 4) + bit);
        match (format, bit) {
            (VectorFormat::Bits16, _) => (2 * element + bit / 8, bit % 8),
            (VectorFormat::Bits4, _) => nibble(0, 0),
            (VectorFormat::Bits8, _) => nibble(dim / 2 * (1 - bit / 4), bit / 4 * 4),
            (VectorFormat::Bits12, _) => nibble(dim / 2 * (2 - bit / 4), bit / 4 * 4),
            (VectorFormat::Bits6A, 0..2) => pair(dim / 2),
            (VectorFormat::Bits6A, _) => nibble(0, 2),
            (VectorFormat::Bits6B, 0..2) => pair(3 * dim / 4),
            (VectorFormat::Bits6B, _) => nibble(dim, 2),
            (VectorFormat::Bits10A, 0..2) => pair(dim),
            (VectorFormat::Bits10A, 2..6) => nibble(dim / 2, 2),
            (VectorFormat::Bits10A, _) => nibble(0, 6),
            (VectorFormat::Bits10B, 0..2) => pair(5 * dim / 4),
            (VectorFormat::Bits10B, 2..6) => nibble(3 * dim / 2, 2),
            (VectorFormat::Bits10B, _) => nibble(2 * dim, 6),
        }
    }

    #[test]
    fn every_bit_of_every_element_lies_where_the_description_says() {
        for format in VectorFormat::ALL {
            for dim in [32, 64, 128] {
                for element in 0..dim {
                    for bit in 0..format.bits() {
                        let mut elements = vec![0; dim];
                        elements[element] = 1 << bit;
                        let mut bytes = vec![0; format.stride(dim)];
                        format.pack(&elements, &mut bytes);
                        let mut expected = vec![0; format.stride(dim)];
                        let (byte, position) = place(format, dim, element, bit);
                        expected[byte] = 1 << position;
                        assert_eq!(
                            bytes, expected,
                            "{format:?}, d {dim}: bit {bit} of {element}"
                        );
                        let found = format.unpack(dim, &bytes)[element];
                        assert_eq!(found & ((1 << format.bits()) - 1), 1 << bit);
                    }
                }
            }
        }
    }

    #[test]
    fn every_value_survives_in_every_format_and_dimension() {
        for format in VectorFormat::ALL {
            let half = 1_i64 << (format.bits() - 1);
            for dim in [32, 64, 128] {
                let mut place = vec![0; format.stride(dim)];
                for first in (-half..half).step_by(dim) {
                    let elements: Vec<i64> = (first..).take(dim).map(|x| x.min(half - 1)).collect();
                    format.pack(&elements, &mut place);
                    assert_eq!(format.unpack(dim, &place), elements, "{format:?}");
                }
            }
        }
    }

    #[test]
    fn a_pair_of_six_bits_has_its_planes_where_they_belong() {
        let mut place = [0; 128];
        let first: Vec<i64> = (0..64).map(|i| if i == 3 { -31 } else { 0 }).collect();
        let second: Vec<i64> = (0..64).map(|i| if i == 5 { 22 } else { 0 }).collect();
        VectorFormat::Bits6A.pack(&first, &mut place);
        VectorFormat::Bits6B.pack(&second, &mut place);
        // -31 is 100001: nibble 1000 in byte 1, high; low bits 01 of element 3 in byte 32.
        assert_eq!((place[1], place[32]), (0x80, 0b01 << 6));
        // 22 is 010110: low bits 10 of element 5 in byte 48 + 1, nibble 0101 in byte 64 + 2, high.
        assert_eq!((place[49], place[66]), (0b10 << 2, 0x50));
        assert_eq!(place.iter().filter(|&&byte| byte != 0).count(), 4);
    }

    #[test]
    fn what_is_packed_comes_back_and_leaves_the_partner_alone() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        for head_dim in [32, 64, 128] {
            for format in VectorFormat::ALL {
                let half = 1_i64 << (format.bits() - 1);
                let mut draw = || -> Vec<i64> {
                    (0..head_dim)
                        .map(|_| random.random_range(-half..half))
                        .collect()
                };
                let partner = match format {
                    VectorFormat::Bits6A => Some(VectorFormat::Bits6B),
                    VectorFormat::Bits6B => Some(VectorFormat::Bits6A),
                    VectorFormat::Bits10A => Some(VectorFormat::Bits10B),
                    VectorFormat::Bits10B => Some(VectorFormat::Bits10A),
                    _ => None,
                };
                let mut place = vec![0xa5; format.stride(head_dim)];
                let (elements, others) = (draw(), draw());
                if let Some(partner) = partner {
                    partner.pack(&others, &mut place);
                }
                format.pack(&elements, &mut place);
                assert_eq!(format.unpack(head_dim, &place), elements, "{format:?}");
                if let Some(partner) = partner {
                    assert_eq!(partner.unpack(head_dim, &place), others, "{format:?}");
                }
                // The beats that are read hold all of it.
                let first = format.first_beat(head_dim) * BEAT_BYTES;
                let end = first + format.beats(head_dim) * BEAT_BYTES;
                for (index, byte) in place.iter_mut().enumerate() {
                    if !(first..end).contains(&index) {
                        *byte = !*byte;
                    }
                }
                assert_eq!(format.unpack(head_dim, &place), elements, "{format:?}");
            }
        }
    }
}
