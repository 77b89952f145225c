//! The bitwidth converter: a vector as it lies in memory becomes elements of the operands' width.

use super::format::VectorFormat;
use super::read_master::{BEAT_BITS, BEAT_BYTES};
use super::rtl::FORMAT_BITS;
use crate::accelerator::shape::ArrayShape;
use crate::hdl::{About, Block, Builder, Sig, Ty};

/// Widens every element of a vector: planes of nibbles (`format.rs`) side by side, the sign in front.
///
/// - Latency: 0 cycles; wiring, and a choice among formats and head dimensions.
/// - Elements from d on are undefined. Those of formats wider than `element_bits` are cut, as memory holds them
///   sign-extended. An LSB plane is a 4-bit format whose elements' low nibbles are meant.
#[derive(Clone, Debug)]
pub struct BitwidthConverter {
    /// The head dimensions.
    pub shape: ArrayShape,
    /// Bits of an element.
    pub element_bits: usize,
}

/// A part of each element: bits, and first byte behind the first beat read, by head dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    bits: usize,
    starts: Vec<usize>,
}

impl BitwidthConverter {
    /// Beats of the longest vector: a query.
    pub fn beats(&self) -> usize {
        VectorFormat::Bits16.beats(self.shape.max_dim())
    }

    /// Formats of elements that fit, and the one that holds the widest.
    pub fn formats(&self) -> Vec<VectorFormat> {
        let fits = |format: &VectorFormat| match format.is_paired() {
            true => format.bits() <= self.element_bits,
            false => format.bits() < self.element_bits + 4 || *format == VectorFormat::Bits16,
        };
        VectorFormat::ALL.into_iter().filter(fits).collect()
    }

    /// Parts of an element, the most significant first.
    fn parts(&self, format: VectorFormat) -> Vec<Part> {
        let dims = &self.shape.head_dims;
        let planes = dims.iter().map(|&d| {
            let skipped = format.first_beat(d) * BEAT_BYTES;
            let planes = format.planes(d).into_iter();
            planes
                .map(move |(bits, start)| (bits, start - skipped))
                .collect::<Vec<_>>()
        });
        let by_dim: Vec<Vec<(usize, usize)>> = planes.collect();
        let part = |index: usize| Part {
            bits: by_dim[0][index].0,
            starts: by_dim.iter().map(|planes| planes[index].1).collect(),
        };
        (0..by_dim[0].len()).map(part).collect()
    }
}

impl Block for BitwidthConverter {
    fn name(&self) -> String {
        let dims: Vec<_> = self.shape.head_dims.iter().map(usize::to_string).collect();
        format!(
            "spatten_bitwidth_converter_d{}_w{}",
            dims.join("_"),
            self.element_bits
        )
    }

    fn about(&self) -> About {
        let dims: Vec<_> = self.shape.head_dims.iter().map(usize::to_string).collect();
        About {
            purpose: "Bitwidth converter: a vector as memory holds it becomes signed elements.\n\
                      \n\
                      A plane holds a nibble, or the two low bits, of every element; where a plane starts depends on\n\
                      format and head dimension, which elements it belongs to does not."
                .into(),
            parameters: vec![
                ("head_dims", dims.join(", ")),
                ("element_bits", self.element_bits.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (dim, width) = (self.shape.max_dim(), self.element_bits);
        let beats = m.input(
            "beats",
            self.beats() * BEAT_BITS,
            "the vector's beats, the first one low",
        );
        let format = m.input(
            "format",
            FORMAT_BITS,
            "3: 6-bit A, 4: 6-bit B, 5: 10-bit A, 6: 10-bit B",
        );
        let level = m.input(
            "level",
            self.shape.level_bits(),
            &self.shape.level_field().doc,
        );
        let elements = m.output(
            "elements",
            dim * width,
            &format!("{dim} elements of {width} bits, signed"),
        );
        m.unused(
            "beats_rest",
            beats,
            "no format but 16 bits fills all beats, and that has spare sign bits",
        );

        m.section("planes");
        let mut known: Vec<(Part, Sig)> = Vec::new();
        let mut formats = Vec::new();
        for format in self.formats() {
            if format == VectorFormat::Bits16 {
                continue;
            }
            let mut parts = Vec::new();
            for (index, part) in self.parts(format).into_iter().enumerate() {
                let found = known
                    .iter()
                    .find(|(other, _)| *other == part)
                    .map(|(_, net)| *net);
                let plane = found.unwrap_or_else(|| {
                    let net = self.plane(
                        m,
                        &format!("{}_part{index}", format.name()),
                        beats,
                        level,
                        &part,
                    );
                    known.push((part.clone(), net));
                    net
                });
                parts.push((part.bits, plane));
            }
            formats.push((format, parts));
        }
        m.section("elements");
        let chosen: Vec<Sig> = formats
            .iter()
            .map(|(which, _)| {
                let name = format!("is_{}", which.name());
                m.net(&name, format.is(which.code()), "")
            })
            .collect();
        let bus = m.per_lane("element", dim, width, "element k", |k| {
            let word = beats.lanes(Ty::unsigned(16)).at(k).truncate(width);
            let choices = formats.iter().zip(&chosen);
            choices.fold(word, |otherwise, ((format, parts), chosen)| {
                let parts = parts
                    .iter()
                    .map(|(bits, plane)| plane.lanes(Ty::unsigned(*bits)).at(k));
                let code = m.cat(&parts.collect::<Vec<_>>());
                let value = match format.bits() < width {
                    true => code.as_signed().extend(width).as_unsigned(),
                    false => code.truncate(width),
                };
                chosen.select(value, otherwise)
            })
        });
        elements.drive(bus);
    }
}

impl BitwidthConverter {
    /// A plane of the largest head dimension; of smaller ones its low end is meant.
    fn plane<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        beats: Sig<'m>,
        level: Sig<'m>,
        part: &Part,
    ) -> Sig<'m> {
        let bits = part.bits * self.shape.max_dim();
        let doc = format!("{} bits of every element", part.bits);
        self.shape.by_level(m, name, level, &doc, |level| {
            let d = self.shape.min_dim() << level;
            let place = self.shape.head_dims.iter().position(|&dim| dim == d);
            let start = part.starts[place.expect("a level of the shape")];
            beats.slice(8 * start, part.bits * d).extend(bits)
        })
    }
}
