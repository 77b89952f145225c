//! What a read is for: the tag that travels with it through the memory.

use super::Class;
use super::rtl::FORMAT_BITS;
use crate::hdl::{Builder, Field, Sig};

/// Widths of a tag: class of the vector, line of its ring, place in the line, format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VectorTag {
    /// Bits of a line's number, of the largest ring.
    pub line_bits: usize,
    /// Bits of a place in a line.
    pub slot_bits: usize,
}

/// The parts of a tag.
#[derive(Clone, Copy)]
pub struct TagParts<'m> {
    /// Code of the [`Class`].
    pub class: Sig<'m>,
    /// Line of the class's ring.
    pub line: Sig<'m>,
    /// Vector of the line.
    pub slot: Sig<'m>,
    /// Code of the [`VectorFormat`](super::VectorFormat).
    pub format: Sig<'m>,
}

impl VectorTag {
    /// Bits of a tag.
    pub fn bits(&self) -> usize {
        Class::BITS + self.place_bits() + FORMAT_BITS
    }

    /// Bits of line and slot.
    pub fn place_bits(&self) -> usize {
        self.line_bits + self.slot_bits
    }

    /// The class as a field of a stream.
    pub fn class_field() -> Field {
        Field::new("class", Class::BITS, "0 K, 1 its LSB plane, 2 V, 3 Q")
    }

    /// Line and slot as fields of a stream.
    pub fn place_fields(&self) -> [Field; 2] {
        [
            Field::new("line", self.line_bits, "line of the class's ring"),
            Field::new("slot", self.slot_bits, "vector of the line"),
        ]
    }

    /// The tag of its parts.
    pub fn pack<'m>(&self, m: &'m Builder, parts: TagParts<'m>) -> Sig<'m> {
        m.cat(&[parts.class, parts.line, parts.slot, parts.format])
    }

    /// The parts of a tag.
    pub fn parts<'m>(&self, tag: Sig<'m>) -> TagParts<'m> {
        let mut low = 0;
        let mut next = |bits: usize| {
            low += bits;
            tag.slice(low - bits, bits)
        };
        TagParts {
            format: next(FORMAT_BITS),
            slot: next(self.slot_bits),
            line: next(self.line_bits),
            class: next(Class::BITS),
        }
    }
}
