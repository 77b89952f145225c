//! Assembly of one channel: beats become whole vectors, each of which then asks for its columns.

use super::Class;
use super::bitwidth_converter::BitwidthConverter;
use super::tag::VectorTag;
use crate::accelerator::axi::BEAT_BITS;
use crate::accelerator::shape::ArrayShape;
use crate::cells::counter::{count, ring_pointer};
use crate::cells::fifo::Fifo;
use crate::cells::spill_register::registered;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream};
use crate::numerics::{index_bits, value_bits};
use crate::{net, reg};

/// Vectors of up to so many elements have four places; longer ones two of twice the size.
const PLACE_ELEMENTS: usize = 64;

/// Four places for vectors of up to 64 elements, of which a vector of 128 takes two.
///
/// A complete vector asks for a port of each of its columns (`request`); when it is granted them, its chunks stand at
/// `data` until `moved_i`, which frees its place. The next vector asks meanwhile.
///
/// - Latency: [`LATENCY`](Self::LATENCY) cycles from a vector's last beat to its request.
/// - Interval: a beat per cycle while a place is free.
/// - Stalls: `beat_ready_o` depends on registers only.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// The array whose lines are filled.
    pub shape: ArrayShape,
    /// Bits of an element: the most of all rings.
    pub element_bits: usize,
    /// What tags say.
    pub tag: VectorTag,
}

impl Assembly {
    /// Cycles from the transfer of a vector's last beat to the first cycle of its request.
    pub const LATENCY: u64 = 2;

    /// Places for the shortest vectors.
    fn place_count(&self) -> usize {
        if self.shape.min_dim() > PLACE_ELEMENTS {
            2
        } else {
            4
        }
    }

    /// Elements of a place.
    fn place_elements(&self) -> usize {
        let least = self.shape.min_dim().max(PLACE_ELEMENTS);
        self.shape.max_dim().min(least)
    }

    /// Whether there are vectors that take two places.
    fn has_wide(&self) -> bool {
        self.shape.max_dim() > self.place_elements()
    }

    /// Bits of a chunk.
    pub fn chunk_bits(&self) -> usize {
        self.shape.min_dim() * self.element_bits
    }

    /// Bits of the number of a line of one parity.
    pub fn half_bits(&self) -> usize {
        self.tag.line_bits - 1
    }

    /// Ports of the columns: for even and for odd lines of column c, 2c and 2c + 1.
    pub fn ports(&self) -> usize {
        2 * self.shape.chunks()
    }

    /// The conversion of beats.
    pub fn converter(&self) -> BitwidthConverter {
        BitwidthConverter {
            shape: ArrayShape {
                multipliers: self.shape.max_dim(),
                head_dims: self.shape.head_dims.clone(),
            },
            element_bits: self.element_bits,
        }
    }

    /// Fields of the `beat` channel.
    pub fn beat_fields(&self) -> Vec<Field> {
        vec![
            Field::new("data", BEAT_BITS, "beat"),
            Field::new("tag", self.tag.bits(), "class, line, slot, format"),
            Field::new("last", 1, "last beat of the vector"),
        ]
    }

    /// Fields of the `request` channel.
    pub fn request_fields(&self) -> Vec<Field> {
        vec![
            Field::new(
                "ports",
                self.ports(),
                "those asked for: of all the vector's columns",
            ),
            Field::new("class", Class::BITS, "ring"),
            Field::new("half", self.half_bits(), "line / 2"),
        ]
    }

    /// Bits of `data`: the chunk for every column whose number is k modulo those of the longest vector.
    pub fn data_bits(&self) -> usize {
        self.shape.chunks_per_vector() * self.chunk_bits()
    }
}

impl Block for Assembly {
    fn name(&self) -> String {
        format!(
            "spatten_assembly_{}_w{}_t{}_{}",
            self.shape.name(),
            self.element_bits,
            self.tag.line_bits,
            self.tag.slot_bits
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.extend([
            ("element_bits", self.element_bits.to_string()),
            ("line_bits", self.tag.line_bits.to_string()),
            ("slot_bits", self.tag.slot_bits.to_string()),
        ]);
        About {
            purpose: "Assembly of one memory channel. Beats are converted as they come and fill the place of their vector;\n\
                      a complete vector asks for its columns, and leaves when it has been granted them and moved_i says so."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let beat = m.stream_in("beat", &self.beat_fields());
        let all_level = m.input("level", self.shape.level_bits(), "of all vectors");
        let request = m.stream_out("request", &self.request_fields());
        let data = m.output("data", self.data_bits(), "of the vector granted last");
        let moved = m.input("moved", 1, "it leaves");

        m.section("the head dimension: it changes only long before its first vector comes");
        reg!(m, level_q = all_level);
        let level = *level_q;

        m.section("a beat waits until its vector has a place");
        let moves = m.wire("moves", 1, "");
        reg!(m, full_q: 1, reset = 0);
        net!(m, room = *moves | !full_q);
        net!(m, take = beat.valid & room);
        full_q.next_when(room, beat.valid);
        beat.ready.drive(room);
        reg!(m, beat_q = beat.field("data"), when = take);
        reg!(m, tag_q = beat.field("tag"), when = take);
        reg!(m, last_q = beat.field("last"), when = take);

        m.section("its number within the vector");
        let converter = self.converter();
        let bits = converter.index_bits();
        reg!(m, index_q: bits, reset = 0);
        let next = index_q.wrapping_add(m.lit(1, bits));
        index_q.next_when(*moves, last_q.select(m.lit(0, bits), next));

        m.section("places: complete vectors keep theirs until they have moved");
        let is_wide = self.is_wide(m, level);
        net!(m, completes = *moves & last_q);
        let places = self.place_count();
        let used = m.register("used_q", value_bits(places), Some(0), "complete vectors");
        count(m, used, completes, moved);
        let full = |places: usize| used.equals(m.lit(places as u64, used.width()));
        let all_used = match is_wide {
            Some(is_wide) => is_wide.select(full(places / 2), full(places)),
            None => full(places),
        };
        moves.drive(full_q & !all_used);
        let fill = self.pointer(m, "fill_q", completes, is_wide, "place to fill");
        let leave = self.pointer(m, "leave_q", moved, is_wide, "place that leaves next");

        m.section("what the beat holds");
        let u_converter = m.instance("u_converter", &converter);
        let parts = self.tag.parts(*tag_q);
        u_converter
            .input("beat", *beat_q)
            .input("format", parts.format)
            .input("level", level)
            .input("index", *index_q);
        let elements = u_converter.output("elements");
        let write = u_converter.output("write");
        let places = self.places(m, (elements, write), *moves, fill, is_wide);

        m.section("the vector that leaves");
        let chunks = self.leaving(m, &places, leave, level);
        data.drive(m.pack(&chunks));

        m.section("requests, in the order of completion");
        let placed = m.cat(&[parts.class, parts.line, parts.slot]);
        let loads = m.wire("loads", 1, "a vector asks");
        let (valid, word) = self.next_request(m, completes, placed, *loads);
        let class = word.slice(self.tag.place_bits(), Class::BITS);
        let line = word.slice(self.tag.slot_bits, self.tag.line_bits);
        let slot = word.slice(0, self.tag.slot_bits);
        let fields = [
            ("ports", self.ports_of(m, slot, line.bit(0), level)),
            ("class", class),
            ("half", line.slice(1, self.half_bits())),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let next = Stream::new(valid, loads, fields.to_vec());
        // A grant is known late in the cycle.
        request.connect(registered(m, "u_request", next));
    }
}

impl Assembly {
    /// Whether the vectors take two places, where there are such.
    fn is_wide<'m>(&self, m: &'m Builder, level: Sig<'m>) -> Option<Sig<'m>> {
        self.has_wide().then(|| {
            let wide = level.is(self.shape.max_level() as u64);
            m.net("wide", wide, "vectors take two places")
        })
    }

    /// A pointer to places; for vectors that take two of them only its upper bit counts.
    fn pointer<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        step: Sig<'m>,
        is_wide: Option<Sig<'m>>,
        doc: &str,
    ) -> Sig<'m> {
        let places = self.place_count();
        let Some(is_wide) = is_wide else {
            return ring_pointer(m, name, places, step, doc);
        };
        let pointer = m.register(name, index_bits(places), Some(0), doc);
        let following = pointer.wrapping_add(m.lit(1, pointer.width()));
        let other_pair = m.cat(&[!pointer.bit(1), m.lit(0, 1)]);
        pointer.next_when(step, is_wide.select(other_pair, following));
        *pointer
    }

    /// The elements of every place.
    fn places<'m>(
        &self,
        m: &'m Builder,
        (elements, write): (Sig<'m>, Sig<'m>),
        moves: Sig<'m>,
        fill: Sig<'m>,
        is_wide: Option<Sig<'m>>,
    ) -> Vec<Sig<'m>> {
        m.section("places: the elements' bits that the beat holds are written");
        let bits = self.place_elements() * self.element_bits;
        let flags = write.width() * self.place_elements() / self.shape.max_dim();
        let low = (elements.slice(0, bits), write.slice(0, flags));
        let of_odd = match is_wide {
            Some(is_wide) => {
                let high = (elements.slice(bits, bits), write.slice(flags, flags));
                let elements = m.net("upper", is_wide.select(high.0, low.0), "for odd places");
                (
                    elements,
                    m.net("upper_write", is_wide.select(high.1, low.1), ""),
                )
            }
            None => low,
        };
        let place = |place: usize| {
            let (elements, write) = if place % 2 == 1 { of_odd } else { low };
            let meant = fill.is(place as u64);
            let meant = match is_wide {
                Some(is_wide) => is_wide.select(fill.bit(1).is(place as u64 / 2), meant),
                None => meant,
            };
            let open = m.net(&format!("write{place}"), moves & meant, "");
            self.place(m, place, elements, write & open.repeat(flags))
        };
        (0..self.place_count()).map(place).collect()
    }

    /// A place: a register per half a block and group of bits.
    fn place<'m>(
        &self,
        m: &'m Builder,
        place: usize,
        elements: Sig<'m>,
        write: Sig<'m>,
    ) -> Sig<'m> {
        let groups = self.converter().groups();
        let bits = self.element_bits;
        let write = m.net(&format!("write{place}_parts"), write, "");
        let halves = write.width() / groups.len();
        let of_half = self.place_elements() / halves;
        let mut parts = vec![Vec::new(); halves * of_half];
        for half in 0..halves {
            for (group, (low, width)) in groups.iter().enumerate() {
                let name = format!("place{place}_{half}_{group}_q");
                let register = m.register(&name, of_half * width, None, "");
                let element = |k: usize| elements.slice((half * of_half + k) * bits + low, *width);
                let word: Vec<_> = (0..of_half).map(element).collect();
                let flag = write.bit(half * groups.len() + group);
                register.next_when(flag, m.pack(&word));
                for k in 0..of_half {
                    parts[half * of_half + k].push(register.slice(k * width, *width));
                }
            }
        }
        let elements: Vec<_> = parts.iter().map(|parts| m.pack(parts)).collect();
        m.net(&format!("place{place}"), m.pack(&elements), "")
    }

    /// The chunks of the vector in place `leave`, for the columns of every remainder.
    fn leaving<'m>(
        &self,
        m: &'m Builder,
        places: &[Sig<'m>],
        leave: Sig<'m>,
        level: Sig<'m>,
    ) -> Vec<Sig<'m>> {
        let choose = |name: &str, k: usize| match places.len() {
            2 => places[k],
            _ => m.net(name, leave.bit(1).select(places[k + 2], places[k]), ""),
        };
        let (even, odd) = (choose("even_place", 0), choose("odd_place", 1));
        let one = leave.bit(0).select(odd, even);
        let one = m.net("one_place", one, "a vector of one place");
        let bits = self.chunk_bits();
        let within = one.width() / bits;
        m.unused(
            "one_rest",
            one,
            "not every shape has vectors that fill one place",
        );
        (0..self.shape.chunks_per_vector())
            .map(|k| {
                let name = format!("chunk{k}");
                self.shape.by_level(m, &name, level, "", |l| {
                    let chunk = k % (1 << l);
                    let place = match (1 << l > within, chunk >= within) {
                        (false, _) => one,
                        (true, false) => even,
                        (true, true) => odd,
                    };
                    place.slice(chunk % within * bits, bits)
                })
            })
            .collect()
    }

    /// The vector that asks next, where one does: the oldest that waits, else the one completed now.
    fn next_request<'m>(
        &self,
        m: &'m Builder,
        completes: Sig<'m>,
        placed: Sig<'m>,
        loads: Sig<'m>,
    ) -> (Sig<'m>, Sig<'m>) {
        let waits = m.wire("waits", 1, "an older vector has not asked yet");
        let ready = m.wire("waiting_ready", 1, "");
        net!(m, queues = completes & (*waits | !loads));
        m.never(queues & !*ready, "more vectors wait than there are places");
        let stream = Stream::new(queues, ready, vec![("data".into(), placed)]);
        let fifo = Fifo::new(placed.width(), self.place_count());
        let waiting = m.through("u_waiting", &fifo, stream);
        waits.drive(waiting.valid);
        waiting.ready.drive(loads);
        let word = waiting.valid.select(waiting.data(), placed);
        (waiting.valid | completes, m.net("next_placed", word, ""))
    }

    /// The ports of a vector's columns.
    fn ports_of<'m>(&self, m: &'m Builder, slot: Sig<'m>, odd: Sig<'m>, level: Sig<'m>) -> Sig<'m> {
        let chunks = self.shape.chunks();
        let columns = self
            .shape
            .by_level(m, "columns", level, "columns of the vector", |l| {
                let is_in = |c: usize| slot.is((c >> l) as u64);
                m.pack(&(0..chunks).map(is_in).collect::<Vec<_>>())
            });
        let pairs: Vec<Sig> = (0..chunks)
            .flat_map(|c| [columns.bit(c) & !odd, columns.bit(c) & odd])
            .collect();
        m.pack(&pairs)
    }
}
