//! The fill crossbar: whole vectors of every channel into the columns of every ring.

use super::fill_slot::FillSlot;
use super::rtl::{Class, Fetch};
use crate::hdl::{About, Block, Builder, Field, Instance, Reg, Sig, Stream};
use crate::numerics::index_bits;
use crate::reg;

/// Grants each channel's vector the chunk columns that it fills, for even and for odd lines side by side.
///
/// - Latency: [`LATENCY`](Self::LATENCY) cycles from a vector granted at once to its fills; interval: one vector per channel and cycle, and one per
///   column, parity and cycle.
/// - Stalls: channels take turns; a vector waits for another one granted its column and parity, and for a fill that its
///   ring does not take.
/// - All vectors that wait or are under way have the dimension that `level_i` tells.
#[derive(Clone, Debug)]
pub struct FillCrossbar {
    /// The fetcher that it belongs to.
    pub fetch: Fetch,
}

/// Names of the fills of a column of a ring, for even and for odd lines.
pub fn fill_names(class: Class, column: usize) -> [String; 2] {
    ["even", "odd"].map(|parity| format!("{}_{parity}_fill{column}", class.name()))
}

impl FillCrossbar {
    /// Cycles from a vector that is granted at once to its fills.
    pub const LATENCY: u64 = 2;

    /// Bits of the vector's place in its line.
    pub fn slot_bits(&self) -> usize {
        index_bits(self.fetch.shape.chunks())
    }

    /// Fields of a channel's vector.
    pub fn vector_fields(&self) -> Vec<Field> {
        let converter = self.fetch.converter();
        let (dim, bits) = (converter.shape.max_dim(), converter.element_bits);
        vec![
            Field::new("class", Class::BITS, "0 K, 1 its LSB plane, 2 V, 3 Q"),
            Field::new(
                "line",
                self.fetch.half_bits() + 1,
                "line of the class's ring",
            ),
            Field::new("slot", self.slot_bits(), "vector of the line"),
            Field::new(
                "data",
                dim * bits,
                &format!("{dim} elements of {bits} bits"),
            ),
        ]
    }

    fn columns(&self) -> usize {
        self.fetch.shape.chunks()
    }
}

impl Block for FillCrossbar {
    fn name(&self) -> String {
        let fetch = &self.fetch;
        let lines: Vec<_> = fetch.lines.iter().map(usize::to_string).collect();
        let bits: Vec<_> = fetch.element_bits.iter().map(usize::to_string).collect();
        format!(
            "spatten_fill_crossbar_{}_c{}_w{}_n{}",
            fetch.shape.name(),
            fetch.channels,
            bits.join("_"),
            lines.join("_")
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.fetch.shape.parameters();
        parameters.push(("channels", self.fetch.channels.to_string()));
        About {
            purpose: "Fill crossbar: vectors of every channel go to the chunk columns of the rings.\n\
                      \n\
                      vector<n> -> granted its first column and parity? -> word of channel n -> u_even<c>, u_odd<c> -> fills\n\
                      \n\
                      A vector of d elements fills neighbouring columns in one cycle; the grant of the first one counts for\n\
                      all, because all vectors under way are of one dimension."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let fetch = &self.fetch;
        let level = m.input(
            "level",
            fetch.shape.level_bits(),
            &fetch.shape.level_field().doc,
        );
        let fields = self.vector_fields();
        let vectors: Vec<Stream> = (0..fetch.channels)
            .map(|n| m.stream_in(&format!("vector{n}"), &fields))
            .collect();

        m.section("where each vector begins");
        let leads: Vec<Sig> = vectors
            .iter()
            .enumerate()
            .map(|(n, vector)| self.lead(m, n, vector, level))
            .collect();

        let behind = self.turn(m);

        m.section("the vector that a channel was granted a place for");
        let channels: Vec<Channel> = (0..fetch.channels).map(|n| Channel::new(m, n)).collect();

        let mut slots = Vec::new();
        for column in 0..self.columns() {
            m.section(&format!("column {column}, even and odd lines"));
            slots.extend([0, 1].map(|parity| Slot::new(m, self, (column, parity))));
        }

        m.section("grants of each column and parity");
        let mut grants = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            let (column, parity) = (index / 2, index % 2);
            let offers: Vec<Sig> = (0..fetch.channels)
                .map(|n| {
                    let odd = vectors[n].field("line").bit(0);
                    let meant = if parity == 1 { odd } else { !odd };
                    leads[n].bit(column) & meant & channels[n].room
                })
                .collect();
            let doc = "channel k has a vector that begins here";
            let offers = m.net(&slot.named("offers"), m.pack(&offers), doc);
            let free = self.group_free(m, level, column, &slots[index..]);
            grants.push(self.grant(m, slot, (offers, free), behind));
        }
        self.move_words(m, level, &grants, &slots);
        for (n, (channel, vector)) in channels.iter().zip(&vectors).enumerate() {
            self.channel(m, level, (n, channel, vector), &grants, &slots);
        }
        self.fills(m, &slots);
    }
}

/// A channel's granted vector.
struct Channel<'m> {
    valid: Reg<'m>,
    /// Another vector may be granted.
    room: Sig<'m>,
    /// To be driven: no chunk of the granted vector waits for its slot.
    moves: crate::hdl::Wire<'m>,
}

impl<'m> Channel<'m> {
    fn new(m: &'m Builder, n: usize) -> Self {
        let valid = m.register(
            &format!("granted{n}_q"),
            1,
            Some(0),
            "a vector is on its way to its slots",
        );
        let moves = m.wire(&format!("moves{n}"), 1, "");
        Channel {
            valid,
            room: m.net(&format!("room{n}"), !*valid | *moves, ""),
            moves,
        }
    }
}

/// One column's even or odd lines.
struct Slot<'m> {
    name: String,
    instance: Instance<'m>,
    rings: Vec<(Class, String)>,
    /// One-hot: the channel whose granted vector has a chunk for this slot.
    grant: Reg<'m>,
    /// It moves into the slot.
    moves: Sig<'m>,
    /// No other channel's chunk waits for the slot.
    free: Sig<'m>,
}

impl<'m> Slot<'m> {
    fn new(m: &'m Builder, crossbar: &FillCrossbar, (column, parity): (usize, usize)) -> Self {
        let block = FillSlot::new(&crossbar.fetch, column);
        let name = format!("{}{column}", ["even", "odd"][parity]);
        let instance = m.instance(&format!("u_{name}"), &block);
        let doc = "one-hot: the channel whose vector is on its way here";
        let grant = m.register(
            &format!("{name}_grant_q"),
            crossbar.fetch.channels,
            Some(0),
            doc,
        );
        instance.input("grant", *grant);
        let moves = m.net(
            &format!("{name}_moves"),
            grant.any() & instance.output("ready"),
            "",
        );
        let rings = block.rings.iter();
        Slot {
            rings: rings
                .map(|(class, ..)| (*class, fill_names(*class, column)[parity].clone()))
                .collect(),
            free: m.net(&format!("{name}_free"), !grant.any() | moves, ""),
            name,
            instance,
            grant,
            moves,
        }
    }

    fn named(&self, what: &str) -> String {
        format!("{}_{what}", self.name)
    }
}

impl FillCrossbar {
    /// One-hot: the column in which the vector begins; none without a vector.
    fn lead<'m>(&self, m: &'m Builder, n: usize, vector: &Stream<'m>, level: Sig<'m>) -> Sig<'m> {
        let columns = self.columns();
        if columns == 1 {
            m.unused(&format!("slot{n}"), vector.field("slot"), "one column");
            m.unused(&format!("level{n}"), level, "one column");
            return m.net(&format!("lead{n}"), vector.valid, "");
        }
        let shape = &self.fetch.shape;
        let slot = vector.field("slot");
        let column = shape.by_level(m, &format!("column{n}"), level, "first column", |level| {
            slot.shift_left(level).truncate(slot.width())
        });
        let lead = vector.valid.extend(columns).shift_left_by(column);
        m.net(
            &format!("lead{n}"),
            lead,
            "one-hot: first column of the vector",
        )
    }

    /// Channels take turns: a flag for those from the first one of this cycle on; none where there is one channel.
    fn turn<'m>(&self, m: &'m Builder) -> Option<Sig<'m>> {
        let n = self.fetch.channels;
        if n == 1 {
            return None;
        }
        m.section("channels take turns");
        reg!(m, turn_q: n, reset = 1, "one-hot: channel k comes first");
        turn_q.next(m.cat(&[turn_q.slice(0, n - 1), turn_q.bit(n - 1)]));
        let before = turn_q.wrapping_sub(m.lit(1, n));
        Some(m.net(
            "behind",
            !before,
            "channel k comes before the turn begins anew",
        ))
    }

    /// Whether all columns of a vector that begins in this one are free; `slots` are those from it on.
    fn group_free<'m>(
        &self,
        m: &'m Builder,
        level: Sig<'m>,
        column: usize,
        slots: &[Slot<'m>],
    ) -> Sig<'m> {
        let columns = self.columns();
        let name = slots[0].named("group_free");
        let free_at = |level: usize| {
            let begins_here = column % (1 << level) == 0 && column + (1 << level) <= columns;
            let last = if begins_here { 1 << level } else { 1 };
            let free: Vec<Sig> = slots.iter().step_by(2).take(last).map(|s| s.free).collect();
            m.pack(&free).all()
        };
        match columns {
            1 => m.net(&name, slots[0].free, ""),
            _ => self.fetch.shape.by_level(m, &name, level, "", free_at),
        }
    }

    /// The channel that may use the slot next.
    fn grant<'m>(
        &self,
        m: &'m Builder,
        slot: &Slot<'m>,
        (offers, free): (Sig<'m>, Sig<'m>),
        behind: Option<Sig<'m>>,
    ) -> Sig<'m> {
        let lowest = |bits: Sig<'m>| {
            let one = m.lit(1, bits.width());
            bits & (!bits).wrapping_add(one)
        };
        let first = match behind {
            None => offers,
            Some(behind) => {
                let of_turn = m.net(&slot.named("of_turn"), offers & behind, "");
                let chosen = of_turn.any().select(of_turn, offers);
                lowest(m.net(&slot.named("chosen"), chosen, ""))
            }
        };
        let grant = first & free.repeat(self.fetch.channels);
        m.net(&slot.named("next"), grant, "one-hot: granted now")
    }

    /// The first column's grant counts for all columns of the vector.
    fn move_words<'m>(
        &self,
        m: &'m Builder,
        level: Sig<'m>,
        grants: &[Sig<'m>],
        slots: &[Slot<'m>],
    ) {
        m.section("the first column's grant counts for all columns of the vector");
        for (index, slot) in slots.iter().enumerate() {
            let (column, parity) = (index / 2, index % 2);
            let of_first = |level: usize| grants[2 * (column >> level << level) + parity];
            let grant = match column {
                0 => grants[parity],
                _ => self
                    .fetch
                    .shape
                    .by_level(m, &slot.named("granted"), level, "", of_first),
            };
            slot.grant.next_when(slot.free, grant);
        }
    }

    /// A channel's vector is granted, waits in a register, and moves into its slots.
    fn channel<'m>(
        &self,
        m: &'m Builder,
        level: Sig<'m>,
        (n, channel, vector): (usize, &Channel<'m>, &Stream<'m>),
        grants: &[Sig<'m>],
        slots: &[Slot<'m>],
    ) {
        m.section(&format!("channel {n}"));
        let all: Vec<Sig> = grants.iter().map(|grant| grant.bit(n)).collect();
        let granted = m.net(
            &format!("takes{n}"),
            m.pack(&all).any(),
            "its vector is granted its first column",
        );
        vector.ready.drive(granted);
        let waits = |slot: &Slot<'m>| slot.grant.bit(n) & !slot.moves;
        let waiting: Vec<Sig> = slots.iter().map(waits).collect();
        channel.moves.drive(!m.pack(&waiting).any());
        channel.valid.next_when(channel.room, granted);

        let shape = &self.fetch.shape;
        let chunk_bits = shape.min_dim() * self.fetch.converter().element_bits;
        let data = vector.data();
        let line = vector.field("line");
        let half = line.slice(1, line.width() - 1);
        let kind = m.register(
            &format!("kind{n}_q"),
            Class::BITS + half.width(),
            None,
            "class, half of the line",
        );
        kind.next_when(granted, m.cat(&[vector.field("class"), half]));
        let words: Vec<Sig> = (0..shape.chunks_per_vector())
            .map(|place| {
                let chunk_of = |level: usize| {
                    let chunk = place % (1 << level);
                    data.slice(chunk * chunk_bits, chunk_bits)
                };
                let name = format!("chunk{n}_{place}");
                let doc = "for the columns of this place in a largest vector";
                let chunk = match place {
                    0 => m.net(&name, chunk_of(0), doc),
                    _ => shape.by_level(m, &name, level, doc, chunk_of),
                };
                let held = m.register(&format!("{name}_q"), chunk_bits, None, "");
                held.next_when(granted, chunk);
                m.cat(&[*kind, *held])
            })
            .collect();
        for (index, slot) in slots.iter().enumerate() {
            let place = index / 2 % shape.chunks_per_vector();
            slot.instance.input(&format!("word{n}"), words[place]);
        }
    }

    /// The slots' fills leave.
    fn fills(&self, m: &Builder, slots: &[Slot<'_>]) {
        m.section("fills");
        for slot in slots {
            for (class, name) in &slot.rings {
                let ring = self.fetch.ring(*class);
                let out = m.stream_out(name, &ring.column().fill_fields());
                out.connect(slot.instance.stream(class.name()));
            }
        }
    }
}
