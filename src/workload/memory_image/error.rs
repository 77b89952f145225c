//! Why a layer has no memory image.

use thiserror::Error;

/// Why a layer has no memory image under a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// The channels are no power of two.
    #[error(
        "memory.channels = {channels}: vectors are placed by exclusive-or, on a power of two of channels; \
         choose 1, 2, 4, 8, 16 or 32"
    )]
    Channels {
        /// The configuration's.
        channels: usize,
    },
    /// No such head dimension.
    #[error("head dimension {head_dim}: the memory image holds vectors of 32, 64 or 128 elements")]
    HeadDim {
        /// The layer's.
        head_dim: usize,
    },
    /// More tokens than ids.
    #[error(
        "{tokens} tokens: ids of configuration {config} reach {limit} tokens; choose a larger configuration, or set \
         limits.tokens"
    )]
    Tokens {
        /// The layer's.
        tokens: usize,
        /// The configuration's.
        limit: usize,
        /// The configuration's name.
        config: String,
    },
    /// More heads than the hardware takes.
    #[error(
        "{heads} heads: the hardware of configuration {config} takes at most {limit}; choose a larger configuration, or \
         set limits.heads"
    )]
    Heads {
        /// The layer's.
        heads: usize,
        /// The configuration's.
        limit: usize,
        /// The configuration's name.
        config: String,
    },
    /// K in a width that has no format, or not one beside an LSB plane.
    #[error(
        "K in {bits} bits: an MSB plane is stored in 4, 6, 8, 10 or 12 bits, alone or with 4 bits of LSBs"
    )]
    KeyBits {
        /// The layer's.
        bits: usize,
    },
    /// V in a width that has no format.
    #[error("V in {bits} bits: V is stored in 4, 8 or 12 bits, narrower ones in the next of these")]
    ValueBits {
        /// The layer's.
        bits: usize,
    },
    /// Hardware without an LSB plane.
    #[error(
        "K with an LSB plane: the hardware of configuration {config} has none, buffers.key_lsb_lines is 0; choose \
         another configuration, set it, or store K in one plane"
    )]
    NoLsbPlane {
        /// The configuration's name.
        config: String,
    },
    /// A base within a page.
    #[error(
        "base address {base:#x}: planes start at multiples of {alignment:#x}, so that no burst crosses that boundary; \
         choose {next:#x}",
        next = .base.next_multiple_of(*.alignment)
    )]
    Base {
        /// As given.
        base: u64,
        /// What it must be a multiple of.
        alignment: u64,
    },
    /// Beyond the address space.
    #[error(
        "an image of {bytes} bytes per channel at base address {base:#x} ends beyond the address space of {address_bits} \
         bits; choose a lower base, fewer tokens or heads, or set memory.address_bits or memory.channels"
    )]
    Size {
        /// Of the image in each channel.
        bytes: u64,
        /// Its base.
        base: u64,
        /// Bits of a byte address within a channel.
        address_bits: usize,
    },
}
