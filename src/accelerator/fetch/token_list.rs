//! Lists of surviving tokens, read as often as there are jobs, several ids at a time.

use crate::cells::counter::count;
use crate::cells::sram::Sram;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::{index_bits, log2_exact, value_bits};
use crate::{net, reg};

/// Two contexts of a list each: one is read while the next one comes.
///
/// A walk gives the ids of one job, the first of the context's list or 0, 1, 2 and so on (`dense`).
///
/// - Latency: [`LATENCY`](Self::LATENCY) cycles from a walk to its first word; interval: a word per cycle, also from walk
///   to walk.
/// - Stalls: the memory holds the word read; `word_ready_i` reaches its enable within the cycle.
/// - Memory: [`Sram`] of two lists of `lanes` ids per word; flip-flops where each is a single word.
#[derive(Clone, Debug)]
pub struct TokenList {
    /// Ids of a word: a power of two.
    pub lanes: usize,
    /// Bits of an id.
    pub id_bits: usize,
    /// Longest list.
    pub keys_per_row: usize,
}

/// Lists held.
const CONTEXTS: usize = 2;

impl TokenList {
    /// Cycles from the transfer of a list's last word to the first cycle in which a walk of it can be taken up.
    pub const LIST_LATENCY: u64 = 1;

    /// Cycles from the first cycle of a walk to its first word.
    pub const LATENCY: u64 = 2;

    /// Words of the longest list.
    fn words(&self) -> usize {
        self.keys_per_row.div_ceil(self.lanes)
    }

    /// The memory of both lists.
    pub fn memory(&self) -> Sram {
        Sram {
            width: self.lanes * self.id_bits,
            depth: CONTEXTS * self.words(),
        }
    }

    /// Bits of a number of keys.
    pub fn key_bits(&self) -> usize {
        value_bits(self.keys_per_row)
    }

    /// Fields of the `list` channel.
    pub fn list_fields(&self) -> Vec<Field> {
        let lanes = self.lanes;
        let doc = format!("{lanes} ids of {} bits, the first one low", self.id_bits);
        vec![
            Field::new("id", lanes * self.id_bits, &doc),
            Field::new("last", 1, "last word of the list"),
        ]
    }

    /// Fields of the `walk` channel.
    pub fn walk_fields(&self) -> Vec<Field> {
        vec![
            Field::new("keys", self.key_bits(), "ids; 0 gives no word"),
            Field::new("dense", 1, "ids 0 to keys - 1 instead of the list's"),
            Field::new("list_last", 1, "last walk of the list"),
        ]
    }

    /// Fields of the `word` channel.
    pub fn word_fields(&self) -> Vec<Field> {
        let lanes = self.lanes;
        let doc = format!("{lanes} ids, those from `count` on undefined");
        vec![
            Field::new("id", lanes * self.id_bits, &doc),
            Field::new("count", value_bits(lanes), "ids, at least one"),
            Field::new("last", 1, "last word of the walk"),
        ]
    }
}

impl Block for TokenList {
    fn name(&self) -> String {
        format!(
            "spatten_token_list_n{}_i{}_k{}",
            self.lanes, self.id_bits, self.keys_per_row
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Token list: a list of surviving tokens is kept while jobs walk through it, and the next one comes\n\
                      meanwhile. A walk without a list counts its ids."
                .into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("id_bits", self.id_bits.to_string()),
                ("keys_per_row", self.keys_per_row.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let list = m.stream_in("list", &self.list_fields());
        let walk = m.stream_in("walk", &self.walk_fields());
        let out = m.stream_out("word", &self.word_fields());

        m.section("a list comes");
        let held = m.register("held_q", value_bits(CONTEXTS), Some(0), "whole lists");
        let all = m.lit(CONTEXTS as u64, held.width());
        net!(m, list_room = held.differs(all));
        net!(m, writes = list.valid & list_room);
        list.ready.drive(list_room);
        net!(m, list_ends = writes & list.field("last"));
        let written = self.position(m, "write", writes, list_ends, list_ends);

        m.section("a walk that needs a list waits for one");
        let (keys, dense) = (walk.field("keys"), walk.field("dense"));
        let list_last = walk.field("list_last");
        net!(m, goes = walk.valid & (held.any() | !(list_last | !dense)));
        let room = m.wire("room", 1, "the word read before moves on, or there is none");
        net!(m, step = goes & keys.any() & *room, "a word is read");
        let walked = self.walked(m, step, keys);
        net!(
            m,
            walk_ends = goes & ((step & walked.is_last) | !keys.any())
        );
        walk.ready.drive(walk_ends);
        net!(m, frees = walk_ends & list_last);
        count(m, held, list_ends, frees);
        let read = self.position(m, "read", step, step & walked.is_last, frees);

        let write = (writes, written.address, list.field("id"));
        let ids = self.ids(m, write, (step & !dense, read.address));

        m.section("the word read");
        let moves = m.wire("moves", 1, "");
        reg!(m, read_q: 1, reset = 0, "a word is at the memory's output");
        read_q.next(step | (read_q & !*moves));
        reg!(m, index_q = read.index, when = step);
        reg!(m, dense_q = dense, when = step);
        reg!(m, count_q = walked.count, when = step);
        reg!(m, last_q = walked.is_last, when = step);
        room.drive(*moves | !read_q);

        m.section("the word offered");
        reg!(m, valid_q: 1, reset = 0);
        net!(m, free = out.ready | !valid_q);
        moves.drive(read_q & free);
        valid_q.next_when(free, *read_q);
        reg!(m, out_word_q = ids, when = *moves);
        reg!(m, out_index_q = *index_q, when = *moves);
        reg!(m, out_dense_q = *dense_q, when = *moves);
        reg!(m, out_count_q = *count_q, when = *moves);
        reg!(m, out_last_q = *last_q, when = *moves);
        let ids = out_dense_q.select(self.counted(m, *out_index_q), *out_word_q);
        out.drive(
            valid_q,
            &[("id", ids), ("count", *out_count_q), ("last", *out_last_q)],
        );
    }
}

/// Where a list is written or read.
struct Position<'m> {
    /// Word of the list.
    index: Sig<'m>,
    /// Its address.
    address: Sig<'m>,
}

/// How far a walk is.
struct Walked<'m> {
    is_last: Sig<'m>,
    /// Ids of the word.
    count: Sig<'m>,
}

impl TokenList {
    /// Counts the words of a list, and its contexts.
    fn position<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        step: Sig<'m>,
        ends: Sig<'m>,
        next_context: Sig<'m>,
    ) -> Position<'m> {
        let words = self.words();
        let context = m.register(&format!("{name}_context_q"), 1, Some(0), "");
        context.next(*context ^ next_context);
        let index = m.register(&format!("{name}_index_q"), index_bits(words), Some(0), "");
        let one = m.lit(1, index.width());
        index.next_when(
            step,
            ends.select(m.lit(0, index.width()), index.wrapping_add(one)),
        );
        let bits = self.memory().address_bits();
        let address = match words {
            1 => *context,
            _ if words.is_power_of_two() => m.cat(&[*context, *index]),
            _ => {
                let second = context.select(m.lit(words as u64, bits), m.lit(0, bits));
                second.wrapping_add(index.extend(bits))
            }
        };
        let address = m.net(&format!("{name}_address"), address, "");
        Position {
            index: *index,
            address,
        }
    }

    /// The memory of both lists: the word read last.
    fn ids<'m>(
        &self,
        m: &'m Builder,
        (write, write_address, word): (Sig<'m>, Sig<'m>, Sig<'m>),
        (read, read_address): (Sig<'m>, Sig<'m>),
    ) -> Sig<'m> {
        if self.words() == 1 {
            let found = m.register_file(
                "lists",
                CONTEXTS,
                (write, write_address, word),
                read_address,
            );
            reg!(m, found_q = found, when = read);
            return *found_q;
        }
        let u_memory = m.instance("u_memory", &self.memory());
        u_memory
            .input("write_enable", write)
            .input("write_address", write_address)
            .input("write_data", word)
            .input("read_enable", read)
            .input("read_address", read_address);
        u_memory.output("read_data")
    }

    /// Counts the ids of a walk down.
    fn walked<'m>(&self, m: &'m Builder, step: Sig<'m>, keys: Sig<'m>) -> Walked<'m> {
        let bits = keys.width();
        reg!(m, first_q: 1, reset = 1, "the next word is the walk's first");
        reg!(m, left_q: bits);
        net!(m, left = first_q.select(keys, *left_q));
        // Wide enough for one more than either, so that no comparison is constant.
        let wide = value_bits(self.keys_per_row.max(self.lanes) + 1);
        let lanes = m.lit(self.lanes as u64, wide);
        net!(m, is_last = left.extend(wide).le(lanes));
        let rest = left.extend(wide).wrapping_sub(lanes);
        left_q.next_when(step, rest.truncate(bits));
        first_q.next_when(step, is_last);
        let count_bits = value_bits(self.lanes);
        let all = m.lit(self.lanes as u64, count_bits);
        let count = is_last.select(left.resize(count_bits), all);
        Walked { is_last, count }
    }

    /// The ids of a word of a walk without a list.
    fn counted<'m>(&self, m: &'m Builder, index: Sig<'m>) -> Sig<'m> {
        let lane_bits = log2_exact(self.lanes);
        if self.id_bits == lane_bits {
            m.unused("counted_index", index, "all ids are in one word");
        }
        let id = |k: usize| {
            let lane = (lane_bits > 0).then(|| m.lit(k as u64, lane_bits));
            let index = (self.id_bits > lane_bits).then_some(index);
            let parts: Vec<_> = index.into_iter().chain(lane).collect();
            m.cat(&parts).extend(self.id_bits)
        };
        m.pack(&(0..self.lanes).map(id).collect::<Vec<_>>())
    }
}
