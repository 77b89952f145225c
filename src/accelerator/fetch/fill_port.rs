//! One port of the crossbar: which channel fills a column's even or odd lines next.

use super::Class;
use crate::cells::one_hot::{chosen, lowest};
use crate::cells::spill_register::registered;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream};
use crate::{net, reg};

/// A column's even or odd lines: grants one of the channels that ask, takes its chunk in the next cycle, and offers it to
/// the rings.
///
/// - Latency: [`LATENCY`](Self::LATENCY) cycles from a request to the fill.
/// - Interval: 1 cycle.
/// - Stalls: two chunks wait for the ring; `fill_ready_i` meets registers only.
#[derive(Clone, Debug)]
pub struct FillPort {
    /// Memory channels.
    pub channels: usize,
    /// Bits of a chunk.
    pub chunk_bits: usize,
    /// Bits of the number of a line of one parity.
    pub half_bits: usize,
}

impl FillPort {
    /// Cycles from a request to the fill: the grant, and the move through the multiplexer.
    pub const LATENCY: u64 = 2;

    /// Bits of a request's class and half of a line.
    pub fn place_bits(&self) -> usize {
        Class::BITS + self.half_bits
    }

    /// Fields of the `fill` channel.
    pub fn fill_fields(&self) -> Vec<Field> {
        vec![
            Field::new("class", Class::BITS, "ring"),
            Field::new("half", self.half_bits, "line / 2"),
            Field::new("data", self.chunk_bits, "the line's chunk in this column"),
        ]
    }
}

impl Block for FillPort {
    fn name(&self) -> String {
        format!(
            "spatten_fill_port_c{}_w{}_h{}",
            self.channels, self.chunk_bits, self.half_bits
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Port of the crossbar: of the channels that ask, the first from the turn on is granted, if the port and\n\
                      the channel take it; its chunk moves to the output in the next cycle, or later where two chunks wait\n\
                      for their ring there."
                .into(),
            parameters: vec![
                ("channels", self.channels.to_string()),
                ("chunk_bits", self.chunk_bits.to_string()),
                ("half_bits", self.half_bits.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let n = self.channels;
        let asks = m.input("asks", n, "channel k asks for this port");
        let behind = m.input("behind", n, "channel k comes from the turn on");
        let takes = m.input("takes", n, "channel k has no vector granted that waits");
        let place_bits = self.place_bits();
        let doc = "class and half of channel k's vector";
        let places = m.input("places", n * place_bits, doc);
        let chunk = |k: usize| {
            let doc = format!("chunk of the vector that channel {k} was granted last");
            m.input(&format!("chunk{k}"), self.chunk_bits, &doc)
        };
        let chunks: Vec<_> = (0..n).map(chunk).collect();
        let grant = m.output("grant", n, "one-hot");
        let moves_out = m.output("moved", n, "the vector granted to channel k leaves");
        let fill = m.stream_out("fill", &self.fill_fields());

        m.section("the winner: the first from the turn on, else the first of all");
        let winner = self.winner(m, asks, behind);

        m.section("a grant stands until the chunk moves");
        reg!(m, granted_q: n, reset = 0, "one-hot");
        net!(m, has_granted = granted_q.any());
        let room = m.wire("room", 1, "the output takes a chunk");
        net!(m, open = *room | !has_granted);
        net!(m, grants = winner & takes & open.repeat(n));
        grant.drive(grants);
        granted_q.next_when(open, grants);
        let place = chosen(winner, &places.lanes(place_bits).to_vec());
        reg!(m, place_q = place, when = open);
        moves_out.drive(granted_q & room.repeat(n));

        m.section("chunks move to the output, where two wait for the ring");
        let fields = [
            ("class", place_q.slice(self.half_bits, Class::BITS)),
            ("half", place_q.slice(0, self.half_bits)),
            ("data", chosen(*granted_q, &chunks)),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let chunk = Stream::new(has_granted, room, fields.to_vec());
        fill.connect(registered(m, "u_fill", chunk));
    }
}

impl FillPort {
    /// The first of the channels that ask, one-hot, from the turn on.
    fn winner<'m>(&self, m: &'m Builder, asks: Sig<'m>, behind: Sig<'m>) -> Sig<'m> {
        if self.channels == 1 {
            m.unused("behind", behind, "one channel only");
            return asks;
        }
        net!(m, late = asks & behind);
        net!(m, first_late = lowest(m, late));
        net!(m, first = lowest(m, asks));
        m.net("winner", late.any().select(first_late, first), "one-hot")
    }
}
