//! The bytes of one memory channel, kept only where something was written.

use std::collections::HashMap;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// A byte-addressed memory of any size.
///
/// Bytes that were never written read as noise that depends on the address alone: a design must not use them, and a
/// golden model that does not know of them differs.
#[derive(Clone, Debug, Default)]
pub struct SparseMemory {
    pages: HashMap<u64, Box<[u8]>>,
}

impl SparseMemory {
    /// Writes `bytes` from `address` on.
    ///
    /// # Panics
    /// When the bytes pass the last address of 64 bits.
    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        self.write_where(address, bytes, |_| true);
    }

    /// Writes those of `bytes` whose index `enabled` holds.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub fn write_where(&mut self, address: u64, bytes: &[u8], enabled: impl Fn(usize) -> bool) {
        for (index, &byte) in bytes
            .iter()
            .enumerate()
            .filter(|(index, _)| enabled(*index))
        {
            let place = address + index as u64;
            let page = self.pages.entry(place / PAGE);
            let page = page.or_insert_with(|| unwritten_page(place / PAGE));
            page[(place % PAGE) as usize] = byte;
        }
    }

    /// Reads `count` bytes from `address` on.
    ///
    /// # Panics
    /// When the bytes pass the last address of 64 bits.
    pub fn read(&self, address: u64, count: usize) -> Vec<u8> {
        let byte = |place: u64| match self.pages.get(&(place / PAGE)) {
            Some(page) => page[(place % PAGE) as usize],
            None => noise(place),
        };
        (0..count as u64)
            .map(|index| byte(address + index))
            .collect()
    }

    /// Bytes that the written pages take.
    pub fn footprint(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }
}

fn unwritten_page(page: u64) -> Box<[u8]> {
    (page * PAGE..(page + 1) * PAGE).map(noise).collect()
}

/// What an unwritten byte reads as.
fn noise(address: u64) -> u8 {
    (address.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_read_back_across_pages_and_others_stay_as_they_were() {
        let mut memory = SparseMemory::default();
        let before = memory.read(PAGE - 4, 12);
        memory.write(PAGE - 2, &[1, 2, 3, 4]);
        let after = memory.read(PAGE - 4, 12);
        assert_eq!(after[..2], before[..2]);
        assert_eq!(after[2..6], [1, 2, 3, 4]);
        assert_eq!(after[6..], before[6..]);
        assert_eq!(memory.footprint(), 2 * PAGE);
    }

    #[test]
    fn strobes_select_the_bytes_that_are_written() {
        let mut memory = SparseMemory::default();
        memory.write(64, &[9; 4]);
        memory.write_where(64, &[1, 2, 3, 4], |index| index % 2 == 1);
        assert_eq!(memory.read(64, 4), [9, 2, 9, 4]);
    }

    #[test]
    fn unwritten_bytes_read_the_same_before_and_after_their_page_is_touched() {
        let mut memory = SparseMemory::default();
        let before = memory.read(1 << 40, 64);
        memory.write((1 << 40) + 64, &[0]);
        assert_eq!(memory.read(1 << 40, 64), before);
        assert!(before.iter().any(|&byte| byte != before[0]));
    }
}
