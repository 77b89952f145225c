//! Writing and reading the bytes of an image.

use super::{MemoryImage, Plane, query_id};
use crate::accelerator::axi::BEAT_BYTES;
use crate::cosim::memory::SparseMemory;
use crate::golden::layer::LayerOperands;

/// The bytes of all channels.
pub trait ChannelMemory {
    /// Reads `count` bytes of a channel from `address` on.
    fn read(&self, channel: usize, address: u64, count: usize) -> Vec<u8>;

    /// Writes bytes of a channel from `address` on.
    fn write(&mut self, channel: usize, address: u64, bytes: &[u8]);
}

/// A memory per channel.
///
/// # Panics
/// When there is no such channel.
impl ChannelMemory for [SparseMemory] {
    fn read(&self, channel: usize, address: u64, count: usize) -> Vec<u8> {
        self[channel].read(address, count)
    }

    fn write(&mut self, channel: usize, address: u64, bytes: &[u8]) {
        self[channel].write(address, bytes);
    }
}

impl MemoryImage {
    /// Writes a vector: signed elements, or unsigned ones of an LSB plane. Its partner's in a pair stays as it is.
    ///
    /// # Panics
    /// When the plane has no such head or token, or the vector another length.
    pub fn write(
        &self,
        memory: &mut (impl ChannelMemory + ?Sized),
        (plane, head, id): (Plane, usize, usize),
        elements: &[i64],
    ) {
        let head_dim = self.shape().head_dim;
        assert_eq!(elements.len(), head_dim, "a vector of another length");
        let (place, bytes) = self.place_bytes(plane, head, id);
        let format = self.format(plane, head);
        let start = format.first_beat(head_dim) * BEAT_BYTES;
        let mut all = vec![0; format.stride(head_dim)];
        let old = memory.read(place.channel, place.address, bytes);
        all[start..start + bytes].copy_from_slice(&old);
        format.pack(elements, &mut all);
        memory.write(place.channel, place.address, &all[start..start + bytes]);
    }

    /// Reads a vector, of which it reads nothing but its own beats.
    ///
    /// # Panics
    /// When the plane has no such head or token.
    pub fn read(
        &self,
        memory: &(impl ChannelMemory + ?Sized),
        (plane, head, id): (Plane, usize, usize),
    ) -> Vec<i64> {
        let head_dim = self.shape().head_dim;
        let (place, bytes) = self.place_bytes(plane, head, id);
        let format = self.format(plane, head);
        let start = format.first_beat(head_dim) * BEAT_BYTES;
        let mut all = vec![0; format.stride(head_dim)];
        let beats = memory.read(place.channel, place.address, bytes);
        all[start..start + bytes].copy_from_slice(&beats);
        match plane {
            Plane::KeyLsb => format.unpack_unsigned(head_dim, &all),
            _ => format.unpack(head_dim, &all),
        }
    }

    fn place_bytes(&self, plane: Plane, head: usize, id: usize) -> (super::VectorPlace, usize) {
        let place = self.vector_place(plane, head, id);
        (place, place.beats * BEAT_BYTES)
    }

    /// Writes Q, K and V of a layer: those of its keys at their ids from 0 on, those of its queries at [`query_id`].
    ///
    /// # Panics
    /// When the layer is larger than the image, or its K has planes that the image has not.
    pub fn write_layer(&self, memory: &mut (impl ChannelMemory + ?Sized), layer: &LayerOperands) {
        let planes = [
            (Plane::Key, Some(&layer.keys)),
            (Plane::KeyLsb, layer.key_lsbs.as_ref()),
            (Plane::Value, Some(&layer.values)),
        ];
        for (plane, heads) in planes {
            for (head, vectors) in heads.into_iter().flatten().enumerate() {
                for (id, elements) in vectors.iter().enumerate() {
                    self.write(memory, (plane, head, id), elements);
                }
            }
        }
        for (head, queries) in layer.queries.iter().enumerate() {
            for (query, elements) in queries.iter().enumerate() {
                let place = (Plane::Query, head, query_id(layer, query));
                self.write(memory, place, elements);
            }
        }
    }

    /// The output rows of these heads and ids, `[heads][ids][d]`.
    ///
    /// # Panics
    /// When there is no such head or id.
    pub fn read_outputs(
        &self,
        memory: &(impl ChannelMemory + ?Sized),
        heads: &[usize],
        ids: &[usize],
    ) -> Vec<Vec<Vec<i64>>> {
        let row = |head: usize, id: usize| self.read(memory, (Plane::Output, head, id));
        let rows = |&head: &usize| ids.iter().map(|&id| row(head, id)).collect();
        heads.iter().map(rows).collect()
    }
}
