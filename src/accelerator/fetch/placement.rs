//! Where a vector lies: its channel, and its place within the channel (`docs/memory_image.md`).
//!
//! ```text
//! channel = id mod C  ^  h(id / C)  ^  rotation        h(r) = (r ^ r / C ^ 5 * (r / 4)) mod C
//! address = base + (id / C) * stride                    the same base in every channel
//! ```
//!
//! The vectors of C neighbouring tokens lie in C channels, and those of tokens at any power of two of distance spread over
//! all of them. Heads are turned against each other, so that short lists of several heads do not meet in a channel.

use crate::numerics::log2_exact;

/// How vectors spread over channels, a power of two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    channels: usize,
}

impl Placement {
    /// Over so many channels.
    ///
    /// # Panics
    /// When their number is not a power of two.
    pub fn new(channels: usize) -> Self {
        log2_exact(channels);
        Placement { channels }
    }

    /// Number of channels.
    pub fn channels(self) -> usize {
        self.channels
    }

    /// Channel of token `id`'s vector in a head with this rotation.
    pub fn channel(self, id: usize, rotation: usize) -> usize {
        let row = self.row(id);
        let hash = row ^ (row / self.channels) ^ (5 * (row / 4));
        (id ^ hash ^ rotation) % self.channels
    }

    /// Place of token `id`'s vector among those of its head in the channel: it lies `row` strides behind the base.
    pub fn row(self, id: usize) -> usize {
        id / self.channels
    }

    /// Rows of a head of `tokens` tokens.
    pub fn rows(self, tokens: usize) -> usize {
        tokens.div_ceil(self.channels)
    }

    /// Rotation of head `head`'s K, LSB plane, queries and output rows.
    pub fn rotation(self, head: usize) -> usize {
        5 * head % self.channels
    }

    /// Rotation of head `head`'s V: half the channels on, so that a token's K and V do not meet.
    pub fn value_rotation(self, head: usize) -> usize {
        (self.rotation(head) + self.channels / 2) % self.channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_channels_are_those_of_the_definition() {
        let placement = Placement::new(16);
        // id 0x2a7: row 0x2a, 0x2a ^ 2 ^ 5 * 0xa = 0x2a ^ 2 ^ 0x32 = 0x1a.
        assert_eq!(placement.row(0x2a7), 0x2a);
        assert_eq!(placement.channel(0x2a7, 0), 0x7 ^ 0xa);
        assert_eq!(placement.channel(0x2a7, 5), 0x7 ^ 0xa ^ 5);
        assert_eq!(
            (placement.rotation(3), placement.value_rotation(3)),
            (15, 7)
        );
    }

    #[test]
    fn a_head_fills_every_row_of_every_channel_once() {
        for channels in [1, 2, 4, 8, 16, 32] {
            let placement = Placement::new(channels);
            for rotation in 0..channels {
                let mut places: Vec<_> = (0..32 * channels)
                    .map(|id| (placement.row(id), placement.channel(id, rotation)))
                    .collect();
                places.sort_unstable();
                places.dedup();
                assert_eq!(places.len(), 32 * channels);
            }
        }
    }

    #[test]
    fn tokens_at_a_power_of_two_of_distance_use_all_channels() {
        let placement = Placement::new(16);
        for distance in [1, 2, 4, 8, 16, 32, 64] {
            let mut counts = [0; 16];
            for token in 0..64 {
                counts[placement.channel(token * distance, 0)] += 1;
            }
            assert_eq!(counts, [4; 16], "distance {distance}");
        }
    }
}
