//! Bitwidth converter: a beat of a vector becomes the parts of its elements that the beat holds, widened.

use super::format::VectorFormat;
use crate::accelerator::axi::BEAT_BITS;
use crate::accelerator::shape::ArrayShape;
use crate::hdl::{About, Block, Builder, Sig};
use crate::net;
use crate::numerics::{index_bits, value_bits};

/// Elements that are treated alike: those of the smallest head dimension there can be.
const BLOCK: usize = 32;
/// Elements of a beat of 16-bit elements.
const WORDS: usize = BEAT_BITS / 16;
/// Bits of an element in pairs, as no plane cuts them; those from here on are one group.
const PAIRED_BITS: usize = 8;

/// Wiring and multiplexers: which bits of a beat go to which bits of which elements.
///
/// - Latency: 0; interval: 1 cycle: there is no clock.
#[derive(Clone, Debug)]
pub struct BitwidthConverter {
    /// Head dimensions; the multipliers do not count.
    pub shape: ArrayShape,
    /// Bits of an element on chip: 4 to 12.
    pub element_bits: usize,
}

/// Where a bit of element i of a block comes from: bit `first` + i * `stride` of the beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    stride: usize,
    first: usize,
}

/// Sources of the bits of a group, the lowest first.
type Sources = Vec<Source>;

/// One beat of one format at one level.
#[derive(Clone, Copy, Debug)]
struct Beat {
    format: VectorFormat,
    level: usize,
    index: usize,
}

impl BitwidthConverter {
    /// Beats of the longest vector.
    pub fn most_beats(&self) -> usize {
        VectorFormat::Bits16.beats(self.shape.max_dim())
    }

    /// Bits of a beat's number within its vector.
    pub fn index_bits(&self) -> usize {
        index_bits(self.most_beats())
    }

    /// First bits of the groups of an element's bits that are written together, and their widths.
    pub fn groups(&self) -> Vec<(usize, usize)> {
        let pairs = (0..self.element_bits.min(PAIRED_BITS)).step_by(2);
        let pairs = pairs.map(|low| (low, (self.element_bits - low).min(2)));
        let high = self.element_bits.saturating_sub(PAIRED_BITS);
        pairs
            .chain((high > 0).then_some((PAIRED_BITS, high)))
            .collect()
    }

    /// Parts of the vector that are written separately: half a block.
    pub fn halves(&self) -> usize {
        self.shape.max_dim() / WORDS
    }

    /// Bits of `write`: a flag per half a block and group.
    pub fn write_bits(&self) -> usize {
        self.halves() * self.groups().len()
    }

    fn dim(&self, level: usize) -> usize {
        self.shape.min_dim() << level
    }

    /// Every beat that can come.
    fn beats(&self) -> Vec<Beat> {
        let mut beats = Vec::new();
        for level in self.shape.levels() {
            for format in VectorFormat::ALL {
                let count = format.beats(self.dim(level));
                beats.extend((0..count).map(|index| Beat {
                    format,
                    level,
                    index,
                }));
            }
        }
        beats
    }

    /// What a beat holds for bit `bit` of block `block`'s elements.
    fn source(&self, beat: Beat, block: usize, bit: usize) -> Option<Source> {
        let dim = self.dim(beat.level);
        let element = block * BLOCK;
        if element >= dim {
            return None;
        }
        if beat.format == VectorFormat::Bits16 {
            let here = beat.index / 2 == block;
            return here.then_some(Source {
                stride: 16,
                first: bit,
            });
        }
        // The sign is the highest stored bit.
        let bit = bit.min(beat.format.bits() - 1);
        let mut below = beat.format.bits();
        let first_beat = beat.format.first_beat(dim) + beat.index;
        for (bits, byte) in beat.format.planes(dim) {
            below -= bits;
            if bit >= below {
                let place = 8 * byte + element * bits + bit - below;
                let first = place.checked_sub(first_beat * BEAT_BITS)?;
                return (first < BEAT_BITS).then_some(Source {
                    stride: bits,
                    first,
                });
            }
        }
        None
    }

    /// What a beat holds for a group of bits.
    fn sources(&self, beat: Beat, block: usize, (low, width): (usize, usize)) -> Option<Sources> {
        (low..low + width)
            .map(|bit| self.source(beat, block, bit))
            .collect()
    }
}

impl Block for BitwidthConverter {
    fn name(&self) -> String {
        let dims: Vec<_> = self.shape.head_dims.iter().map(usize::to_string).collect();
        let dims = dims.join("_");
        format!("spatten_bitwidth_converter_d{dims}_w{}", self.element_bits)
    }

    fn about(&self) -> About {
        let dims: Vec<_> = self.shape.head_dims.iter().map(usize::to_string).collect();
        About {
            purpose: "Bitwidth converter: a beat of a vector of 4, 6, 8, 10, 12 or 16 bits becomes those parts of the\n\
                      vector's elements that it holds; the part with the sign fills all bits above. A block of 32 elements\n\
                      is treated alike: its plan tells for each group of bits where they come from, and which are written."
                .into(),
            parameters: vec![
                ("head_dims", dims.join(", ")),
                ("element_bits", self.element_bits.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let beat = m.input("beat", BEAT_BITS, "a beat of the vector");
        let format = m.input("format", super::rtl::FORMAT_BITS, "of the vector");
        let level = m.input("level", self.shape.level_bits(), "of its head dimension");
        let index = m.input("index", self.index_bits(), "the beat's number");
        let dim = self.shape.max_dim();
        let doc = "element k: its bits that this beat holds";
        let elements = m.output("elements", dim * self.element_bits, doc);
        let doc = "flag of group g of half a block h: at g + groups * h";
        let write = m.output("write", self.write_bits(), doc);

        let lanes = self.lanes(m, beat);
        let selector = match self.shape.levels().len() {
            1 => {
                m.unused("one_level", level, "one head dimension only");
                m.cat(&[format, index])
            }
            _ => m.cat(&[level, format, index]),
        };
        net!(m, which = selector, "which beat of which vector");
        let mut blocks = Vec::new();
        let mut writes = Vec::new();
        for block in 0..dim / BLOCK {
            m.section(&format!("elements from {} on", block * BLOCK));
            let (elements, write) = self.block(m, block, which, &lanes);
            blocks.push(elements);
            writes.extend(write);
        }
        elements.drive(m.pack(&blocks));
        write.drive(m.pack(&writes));
    }
}

/// The beat cut into lanes: of nibbles and of pairs of bits one bus per 32 elements, of words one.
struct BeatLanes<'m> {
    nibbles: Vec<Sig<'m>>,
    pairs: Vec<Sig<'m>>,
    words: Sig<'m>,
}

impl<'m> BeatLanes<'m> {
    /// The bus that a source reads, the width of its lanes, and the bit in a lane.
    fn of(&self, source: Source, word_bits: usize) -> (Sig<'m>, usize, usize) {
        let Source { stride, first } = source;
        let (part, bit) = (first / (BLOCK * stride), first % (BLOCK * stride));
        match stride {
            2 => (self.pairs[part], 2, bit),
            4 => (self.nibbles[part], 4, bit),
            _ => (self.words, word_bits, first),
        }
    }
}

impl BitwidthConverter {
    fn lanes<'m>(&self, m: &'m Builder, beat: Sig<'m>) -> BeatLanes<'m> {
        m.section(
            "the beat as lanes: nibbles of 32 elements, pairs of bits of 32 elements, words of 16",
        );
        let cut = |name: &str, bits: usize| {
            let width = BLOCK * bits;
            let part = |k: usize| m.net(&format!("{name}{k}"), beat.slice(k * width, width), "");
            (0..BEAT_BITS / width).map(part).collect()
        };
        BeatLanes {
            nibbles: cut("nibbles", 4),
            pairs: cut("pairs", 2),
            words: self.words(m, beat),
        }
    }

    /// The low bits of every word, twice, for both halves of a block.
    fn words<'m>(&self, m: &'m Builder, beat: Sig<'m>) -> Sig<'m> {
        let word = |k: usize| beat.slice(k % WORDS * 16, self.element_bits);
        let words: Vec<_> = (0..BLOCK).map(word).collect();
        m.net("words", m.pack(&words), "twice, for both halves of a block")
    }

    /// Elements of a block, and the write flags of its halves.
    fn block<'m>(
        &self,
        m: &'m Builder,
        block: usize,
        which: Sig<'m>,
        lanes: &BeatLanes<'m>,
    ) -> (Sig<'m>, Vec<Sig<'m>>) {
        let groups = self.groups();
        let beats = self.beats();
        let plan = Plan::new(self, block, &beats);
        let index_bits = self.index_bits();
        let number = |beat: &Beat| {
            let format = (beat.level as u64) << super::rtl::FORMAT_BITS | beat.format.code();
            format << index_bits | beat.index as u64
        };
        let arms: Vec<_> = beats
            .iter()
            .map(|beat| (number(beat), plan.word(self, *beat)))
            .filter(|(_, word)| *word != 0)
            .map(|(number, word)| (number, m.lit(word, plan.bits())))
            .collect();
        let none = m.lit(0, plan.bits());
        let doc = "halves written, groups written, source of each group";
        let word = m.case(&format!("plan{block}"), which, &arms, none, doc);
        let halves = word.slice(plan.bits() - 2, 2);
        let written = word.slice(plan.bits() - 2 - groups.len(), groups.len());
        let flags = |half: usize| written & halves.bit(half).repeat(groups.len());

        let name = format!("block{block}");
        let elements = m.per_lane(&name, BLOCK, self.element_bits, "", |k| {
            let mut low = 0;
            let bits: Vec<Sig> = plan
                .choices
                .iter()
                .map(|choices| {
                    let bits = value_bits(choices.len() - 1);
                    let select = |number: usize| word.slice(low, bits).is(number as u64);
                    let value = |sources: &Sources| {
                        let bit = |source: &Source| {
                            let (bus, width, bit) = lanes.of(*source, self.element_bits);
                            bus.lanes(width).at(k).bit(bit)
                        };
                        m.pack(&sources.iter().map(bit).collect::<Vec<_>>())
                    };
                    let first = value(&choices[0]);
                    let others = choices.iter().enumerate().skip(1);
                    let chosen = others.fold(first, |rest, (number, sources)| {
                        select(number).select(value(sources), rest)
                    });
                    low += plan.choice_bits(choices);
                    chosen
                })
                .collect();
            m.pack(&bits)
        });
        (elements, vec![flags(0), flags(1)])
    }
}

/// What can come for the groups of a block.
struct Plan {
    block: usize,
    /// The sources of each group.
    choices: Vec<Vec<Sources>>,
}

impl Plan {
    fn new(converter: &BitwidthConverter, block: usize, beats: &[Beat]) -> Self {
        let choices = |group: (usize, usize)| {
            let mut choices: Vec<Sources> = Vec::new();
            for beat in beats {
                let sources = converter.sources(*beat, block, group);
                if let Some(sources) = sources.filter(|sources| !choices.contains(sources)) {
                    choices.push(sources);
                }
            }
            choices
        };
        Plan {
            block,
            choices: converter.groups().into_iter().map(choices).collect(),
        }
    }

    /// Bits that choose among a group's sources.
    fn choice_bits(&self, choices: &[Sources]) -> usize {
        match choices.len() {
            1 => 0,
            count => value_bits(count - 1),
        }
    }

    fn bits(&self) -> usize {
        let choices = self.choices.iter().map(|choices| self.choice_bits(choices));
        choices.sum::<usize>() + self.choices.len() + 2
    }

    /// The word of a beat: the choice of each group, the lowest group low; which groups and which halves are written.
    fn word(&self, converter: &BitwidthConverter, beat: Beat) -> u64 {
        let (mut word, mut written, mut low) = (0, 0, 0);
        for (index, group) in converter.groups().into_iter().enumerate() {
            let choices = &self.choices[index];
            let sources = converter.sources(beat, self.block, group);
            let choice = sources.and_then(|sources| choices.iter().position(|c| *c == sources));
            written |= u64::from(choice.is_some()) << index;
            word |= (choice.unwrap_or(0) as u64) << low;
            low += self.choice_bits(choices);
        }
        let halves = match (written, beat.format) {
            (0, _) => 0,
            (_, VectorFormat::Bits16) => 1 << (beat.index % 2),
            _ => 3,
        };
        word | written << low | halves << (low + self.choices.len())
    }
}
