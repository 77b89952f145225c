//! A place of the fill crossbar: one chunk column of the even or of the odd lines, of every ring.

use super::rtl::{Class, Fetch};
use crate::cells::spill_register::SpillRegister;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream, StreamOut};
use crate::net;

/// Takes the chunk of the channel that is granted and hands it to the ring of its class.
///
/// - Latency: 1 cycle; interval: 1 cycle.
/// - Stalls: `ready_o` is a register, of the spill register behind the choice.
#[derive(Clone, Debug)]
pub struct FillSlot {
    /// Memory channels.
    pub channels: usize,
    /// Elements of a chunk, and bits of an element as the channels give it.
    pub elements: usize,
    /// Bits of an element as the channels give it.
    pub element_bits: usize,
    /// Bits of half a line's number, in the largest ring.
    pub half_bits: usize,
    /// The rings that have this column: class, bits of an element, bits of half a line's number.
    pub rings: Vec<(Class, usize, usize)>,
}

impl FillSlot {
    /// The slot of a chunk column.
    pub fn new(fetch: &Fetch, column: usize) -> Self {
        let rings = fetch.classes().filter_map(|class| {
            let ring = fetch.ring(class);
            let half_bits = ring.column().half_bits();
            (column < ring.shape.chunks()).then_some((class, ring.element_bits, half_bits))
        });
        FillSlot {
            channels: fetch.channels,
            elements: fetch.shape.min_dim(),
            element_bits: fetch.converter().element_bits,
            half_bits: fetch.half_bits(),
            rings: rings.collect(),
        }
    }

    /// Bits of a channel's word: class, half of the line's number, chunk.
    pub fn word_bits(&self) -> usize {
        Class::BITS + self.half_bits + self.elements * self.element_bits
    }
}

impl Block for FillSlot {
    fn name(&self) -> String {
        let ring =
            |(class, bits, half): &(Class, usize, usize)| format!("_{}{bits}_{half}", class.name());
        let rings: String = self.rings.iter().map(ring).collect();
        format!(
            "spatten_fill_slot_c{}_e{}_w{}_h{}{rings}",
            self.channels, self.elements, self.element_bits, self.half_bits
        )
    }

    fn about(&self) -> About {
        let rings = self
            .rings
            .iter()
            .map(|(class, bits, _)| format!("{} ({bits} bits)", class.name()));
        About {
            purpose:
                "Fill slot: the chunk of the channel that is granted goes to the ring of its class."
                    .into(),
            parameters: vec![
                ("channels", self.channels.to_string()),
                ("elements", self.elements.to_string()),
                ("element_bits", self.element_bits.to_string()),
                ("rings", rings.collect::<Vec<_>>().join(", ")),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let words: Vec<Sig> = (0..self.channels)
            .map(|n| {
                m.input(
                    &format!("word{n}"),
                    self.word_bits(),
                    "class, half of the line, chunk",
                )
            })
            .collect();
        let grant = m.input(
            "grant",
            self.channels,
            "one-hot: the channel whose word enters",
        );
        let ready_out = m.output("ready", 1, "it enters");
        let fills: Vec<StreamOut> = self
            .rings
            .iter()
            .map(|(class, bits, half_bits)| {
                let fields = [
                    Field::new("half", *half_bits, "line / 2"),
                    Field::new("data", self.elements * bits, "chunk"),
                ];
                m.stream_out(class.name(), &fields)
            })
            .collect();

        m.section("the word of the channel granted");
        let chosen = words.iter().enumerate().map(|(n, word)| {
            let enable = grant.bit(n).repeat(word.width());
            *word & enable
        });
        let word = chosen.reduce(|a, b| a | b).expect("at least one channel");
        net!(m, word = word);
        let place = m.wire("place", 1, "");
        ready_out.drive(*place);
        let word = Stream::new(grant.any(), place, vec![("data".into(), word)]);
        let spill = SpillRegister {
            width: self.word_bits(),
        };
        let held = m.through("u_spill", &spill, word);

        m.section("to the ring of its class");
        let data_bits = self.elements * self.element_bits;
        net!(m, data = held.data().slice(0, data_bits), "chunk");
        net!(
            m,
            half = held.data().slice(data_bits, self.half_bits),
            "line / 2"
        );
        net!(
            m,
            kind = held.data().slice(data_bits + self.half_bits, Class::BITS)
        );
        m.unused(
            "spare",
            m.cat(&[data, half]),
            "rings differ in their elements' bits and their lines",
        );
        let mut taken = Vec::new();
        for ((of, bits, half_bits), fill) in self.rings.iter().zip(&fills) {
            let name = of.name();
            let meant = m.net(&format!("is_{name}"), kind.is(of.code()), "");
            let lanes = data.lanes(self.element_bits);
            let doc = "elements of its ring's width";
            let chunk = m.per_lane(&format!("{name}_chunk"), self.elements, *bits, doc, |k| {
                lanes.at(k).truncate(*bits)
            });
            fill.drive(
                held.valid & meant,
                &[("half", half.truncate(*half_bits)), ("data", chunk)],
            );
            taken.push(meant & fill.ready);
        }
        held.ready.drive(m.pack(&taken).any());
    }
}
