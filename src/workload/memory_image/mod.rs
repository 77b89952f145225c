//! The memory image of a layer: where Q, K, V and the output rows lie in the channels, byte by byte
//! (`docs/memory_image.md`).
//!
//! Every channel holds the same five planes. A plane holds a vector per head and token; which channel, and which place of
//! the plane in it, says [`Placement`]; how its bytes lie there, says [`VectorFormat`].

mod error;
mod store;

pub use error::ImageError;
pub use store::ChannelMemory;

use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::fetch::{Placement, VectorFormat};
use crate::config::Config;
use crate::golden::layer::LayerOperands;
use crate::numerics::{Formats, STORED_BITS};

/// What a base address is a multiple of: AXI4's boundary for bursts, which the strides divide.
pub const BASE_ALIGNMENT: u64 = 4096;
/// Least bytes between planes: the distance at which an HBM channel turns to another bank.
pub const LEAST_PLANE_BYTES: u64 = 8192;

/// What a plane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Plane {
    /// K, or its MSB plane.
    Key,
    /// K's LSB plane.
    KeyLsb,
    /// V.
    Value,
    /// Q.
    Query,
    /// Output rows.
    Output,
}

impl Plane {
    /// Every plane, in the order of their addresses.
    pub const ALL: [Plane; 5] = [
        Plane::Key,
        Plane::KeyLsb,
        Plane::Value,
        Plane::Query,
        Plane::Output,
    ];

    /// Name in messages and in the C header.
    pub fn name(self) -> &'static str {
        match self {
            Plane::Key => "key",
            Plane::KeyLsb => "key_lsb",
            Plane::Value => "value",
            Plane::Query => "query",
            Plane::Output => "output",
        }
    }
}

/// The sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Elements of a vector.
    pub head_dim: usize,
    /// Heads of Q and of the output.
    pub heads: usize,
    /// Heads of K and V.
    pub kv_heads: usize,
    /// Places per head: ids are below it.
    pub tokens: usize,
    /// Bits of a K element, or of its MSB plane.
    pub key_bits: usize,
    /// Whether K has an LSB plane.
    pub has_lsb_plane: bool,
    /// Bits of a V element.
    pub value_bits: usize,
}

impl ImageShape {
    /// The shape of a layer with operands of `formats`, with a place for each of its tokens.
    ///
    /// # Panics
    /// When the layer has no query.
    pub fn of(layer: &LayerOperands, formats: &Formats) -> ImageShape {
        ImageShape {
            head_dim: layer.queries[0][0].len(),
            heads: layer.queries.len(),
            kv_heads: layer.keys.len(),
            tokens: token_count(layer),
            key_bits: formats.key_bits,
            has_lsb_plane: layer.key_lsbs.is_some(),
            value_bits: formats.value_bits,
        }
    }
}

/// Tokens of a layer: as many as keys, or as queries, where they are more.
fn token_count(layer: &LayerOperands) -> usize {
    layer.keys[0].len().max(layer.live_keys.len())
}

/// The id of query `query` of a layer: the queries are the newest tokens.
pub fn query_id(layer: &LayerOperands, query: usize) -> usize {
    query + token_count(layer) - layer.live_keys.len()
}

/// What a job of the fetcher says of a head's vectors, and a row of the output of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadPlace {
    /// Address of token 0's row of places in every channel, in beats of 32 bytes; of the second head of a pair that of its
    /// first beat.
    pub base: u64,
    /// Exclusive-ored to the channel.
    pub rotation: usize,
    /// How the vectors are stored.
    pub format: VectorFormat,
}

/// Where a vector lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VectorPlace {
    /// Memory channel.
    pub channel: usize,
    /// Byte address of its first beat in the channel.
    pub address: u64,
    /// Beats that hold it, which one burst reads.
    pub beats: usize,
}

/// Where the vectors of a layer lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryImage {
    shape: ImageShape,
    placement: Placement,
    base: u64,
    plane_bytes: u64,
}

impl MemoryImage {
    /// The image of a layer of this shape in the memory of `config`, from byte address `base` of every channel on.
    ///
    /// Planes lie a power of two apart, so that those that are read in turn start in different banks of an HBM channel;
    /// this is best when `base` is a multiple of [`step`](Self::step).
    ///
    /// # Errors
    /// [`ImageError`] when the hardware or the address space does not hold it.
    pub fn new(config: &Config, shape: ImageShape, base: u64) -> Result<MemoryImage, ImageError> {
        check(config, &shape)?;
        if !base.is_multiple_of(BASE_ALIGNMENT) {
            return Err(ImageError::Base {
                base,
                alignment: BASE_ALIGNMENT,
            });
        }
        let mut image = MemoryImage {
            shape,
            placement: Placement::new(config.memory.channels),
            base,
            plane_bytes: 0,
        };
        let largest = Plane::ALL
            .map(|plane| image.bytes_of(plane))
            .into_iter()
            .max();
        let largest = largest.unwrap_or(0).max(LEAST_PLANE_BYTES);
        image.plane_bytes = largest.next_power_of_two();
        let address_bits = config.memory.address_bits;
        match base.checked_add(image.bytes()) {
            Some(end) if end <= 1 << address_bits => Ok(image),
            _ => Err(ImageError::Size {
                bytes: image.bytes(),
                base,
                address_bits,
            }),
        }
    }

    /// The sizes.
    pub fn shape(&self) -> &ImageShape {
        &self.shape
    }

    /// How vectors spread over channels.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Bytes from the start of a plane to that of the next, a power of two.
    pub fn plane_bytes(&self) -> u64 {
        self.plane_bytes
    }

    /// Bytes of the image in each channel.
    pub fn bytes(&self) -> u64 {
        Plane::ALL.len() as u64 * self.plane_bytes
    }

    /// Bytes from an image's base to the next one's at which the planes of all images start in banks alike.
    pub fn step(&self) -> u64 {
        self.bytes().next_power_of_two()
    }

    /// Byte address of a plane in every channel.
    pub fn plane_base(&self, plane: Plane) -> u64 {
        self.base + plane as u64 * self.plane_bytes
    }

    /// Heads whose vectors a plane holds.
    pub fn heads(&self, plane: Plane) -> usize {
        match plane {
            Plane::KeyLsb if !self.shape.has_lsb_plane => 0,
            Plane::Key | Plane::KeyLsb | Plane::Value => self.shape.kv_heads,
            Plane::Query | Plane::Output => self.shape.heads,
        }
    }

    /// How the vectors of a head are stored.
    pub fn format(&self, plane: Plane, head: usize) -> VectorFormat {
        match plane {
            Plane::Key => key_format(self.shape.key_bits, head),
            Plane::KeyLsb => VectorFormat::Bits4,
            Plane::Value => value_format(self.shape.value_bits),
            Plane::Query | Plane::Output => VectorFormat::Bits16,
        }
    }

    /// What the fetcher's jobs say of a head, or its output rows.
    ///
    /// # Panics
    /// When the plane has no such head.
    pub fn head_place(&self, plane: Plane, head: usize) -> HeadPlace {
        assert!(
            head < self.heads(plane),
            "no head {head} in plane {plane:?}"
        );
        let format = self.format(plane, head);
        let first_of_pair = if format.is_paired() { head & !1 } else { head };
        let rotation = match plane {
            Plane::Value => self.placement.value_rotation(first_of_pair),
            _ => self.placement.rotation(first_of_pair),
        };
        let place = self.plane_base(plane) + self.index(format, head) * self.head_bytes(format);
        HeadPlace {
            base: place / BEAT_BYTES as u64 + format.first_beat(self.shape.head_dim) as u64,
            rotation,
            format,
        }
    }

    /// Where token `id`'s vector of a head lies.
    ///
    /// # Panics
    /// When the plane has no such head or token.
    pub fn vector_place(&self, plane: Plane, head: usize, id: usize) -> VectorPlace {
        assert!(id < self.shape.tokens, "no token {id} in plane {plane:?}");
        let place = self.head_place(plane, head);
        let stride = place.format.stride(self.shape.head_dim);
        VectorPlace {
            channel: self.placement.channel(id, place.rotation),
            address: place.base * BEAT_BYTES as u64 + (self.placement.row(id) * stride) as u64,
            beats: place.format.beats(self.shape.head_dim),
        }
    }

    /// Number of a head's place among those of its plane: pairs share one.
    fn index(&self, format: VectorFormat, head: usize) -> u64 {
        (if format.is_paired() { head / 2 } else { head }) as u64
    }

    /// Bytes of a head's (or pair's) places in a channel.
    fn head_bytes(&self, format: VectorFormat) -> u64 {
        let rows = self.placement.rows(self.shape.tokens);
        (rows * format.stride(self.shape.head_dim)) as u64
    }

    fn bytes_of(&self, plane: Plane) -> u64 {
        self.heads(plane).checked_sub(1).map_or(0, |last| {
            let format = self.format(plane, last);
            (self.index(format, last) + 1) * self.head_bytes(format)
        })
    }
}

/// The format of K in so many bits: pairs of heads share a place of 6- and 10-bit vectors, of which the last of an odd
/// number has one for itself. Widths of a configuration that are none of the stored ones are those of whole nibbles.
///
/// # Panics
/// As [`value_format`].
pub fn key_format(bits: usize, head: usize) -> VectorFormat {
    VectorFormat::of_key(bits, head).unwrap_or_else(|| value_format(bits))
}

/// The format of V in so many bits: whole nibbles.
///
/// # Panics
/// When no vector is stored in so many bits.
pub fn value_format(bits: usize) -> VectorFormat {
    VectorFormat::of_value(bits).expect("vectors are stored in 1 to 12 bits")
}

fn check(config: &Config, shape: &ImageShape) -> Result<(), ImageError> {
    let channels = config.memory.channels;
    if !channels.is_power_of_two() {
        return Err(ImageError::Channels { channels });
    }
    let head_dim = shape.head_dim;
    if ![32, 64, 128].contains(&head_dim) {
        return Err(ImageError::HeadDim { head_dim });
    }
    let (tokens, limit) = (shape.tokens, config.limits.tokens);
    if tokens > limit {
        let config = config.name.clone();
        return Err(ImageError::Tokens {
            tokens,
            limit,
            config,
        });
    }
    let (heads, limit) = (shape.heads.max(shape.kv_heads), config.limits.heads);
    if heads > limit {
        let config = config.name.clone();
        return Err(ImageError::Heads {
            heads,
            limit,
            config,
        });
    }
    let bits = shape.key_bits;
    let is_native = bits == config.arithmetic.key_bits && !shape.has_lsb_plane;
    if !STORED_BITS.contains(&bits) && !is_native {
        return Err(ImageError::KeyBits { bits });
    }
    let bits = shape.value_bits;
    if !(2..=12).contains(&bits) {
        return Err(ImageError::ValueBits { bits });
    }
    if shape.has_lsb_plane && config.buffers.key_lsb_lines == 0 {
        let config = config.name.clone();
        return Err(ImageError::NoLsbPlane { config });
    }
    Ok(())
}
