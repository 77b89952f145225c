//! The home of scores: where each token's score lies by its id while the token is not live.

use crate::cells::sram::SinglePortSram;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::{index_bits, log2_exact};
use crate::{net, reg};

/// A memory of scores by id. Lines of any ids are stored, scores of consecutive ids read, never both at once.
///
/// - Latency: [`Home::LATENCY`] cycles from an id to the scores of it and the ids after it.
/// - Interval: a line to store takes a cycle per score in the bank that has most of its ids; lines are read one per cycle.
/// - Stalls: `store` only.
#[derive(Clone, Debug)]
pub struct Home {
    /// Bits of a score.
    pub score_bits: usize,
    /// Scores of a line.
    pub lanes: usize,
    /// Ids.
    pub elements: usize,
}

impl Home {
    /// Cycles from an id to its score.
    pub const LATENCY: usize = 2;

    /// Banks: a power of two, so that an id's bank is its low bits; no more than there are ids.
    fn banks(&self) -> usize {
        self.lanes.next_power_of_two().min(1 << self.id_bits())
    }

    fn bank_bits(&self) -> usize {
        log2_exact(self.banks())
    }

    fn id_bits(&self) -> usize {
        index_bits(self.elements)
    }

    fn memory(&self) -> SinglePortSram {
        SinglePortSram {
            width: self.score_bits,
            // The ids of the last line are read too where there are not so many.
            depth: self
                .elements
                .next_multiple_of(self.lanes)
                .div_ceil(self.banks()),
        }
    }

    /// Fields of the `store` channel.
    pub fn store_fields(&self) -> Vec<Field> {
        let lanes = self.lanes;
        let scores = format!("{lanes} scores u{}", self.score_bits);
        vec![
            Field::new("data", lanes * self.score_bits, &scores),
            Field::new("id", lanes * self.id_bits(), "their ids, rising"),
            Field::new("keep", lanes, "score k is stored"),
        ]
    }

    /// Row of an id in its bank, and whether its bank is this one.
    fn place<'m>(&self, m: &'m Builder, id: Sig<'m>, bank: usize) -> (Sig<'m>, Sig<'m>) {
        let (low, bits) = (self.bank_bits(), self.id_bits());
        let depth_bits = self.memory().address_bits();
        let row = match bits > low {
            true => id.slice(low, bits - low).resize(depth_bits),
            false => m.lit(0, depth_bits),
        };
        let here = match low {
            0 => m.lit(1, 1),
            low => id.slice(0, low).is(bank as u64),
        };
        (row, here)
    }
}

impl Block for Home {
    fn name(&self) -> String {
        format!(
            "spatten_home_w{}_l{}_n{}",
            self.score_bits, self.lanes, self.elements
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Home of the scores by id, in a bank for every value of the id's low bits. A line whose ids meet in a\n\
                      bank is stored in several cycles."
                .into(),
            parameters: vec![
                ("score_bits", self.score_bits.to_string()),
                ("lanes", self.lanes.to_string()),
                ("elements", self.elements.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let lanes = self.lanes;
        let store = m.stream_in("store", &self.store_fields());
        let read = m.input("read", 1, "scores are read; no line is being stored");
        let read_id = m.input("read_id", lanes * self.id_bits(), "ids one after the other");
        let data = m.output("data", lanes * self.score_bits, "their scores");
        let busy = m.output("busy", 1, "a line is being stored");

        m.section("the line being stored, and what is left of it");
        reg!(m, left_q: lanes, reset = 0, "scores not yet stored");
        let done = m.wire("done", 1, "nothing is left after this cycle");
        net!(m, take = store.valid & *done);
        store.ready.drive(*done);
        busy.drive(left_q.any());
        reg!(m, scores_q = store.data(), when = take);
        reg!(m, ids_q = store.field("id"), when = take);
        let ids: Vec<_> = ids_q.lanes(self.id_bits()).to_vec();
        let ids: Vec<_> = (0..lanes)
            .map(|k| m.net(&format!("id{k}"), ids[k], ""))
            .collect();
        let low = self.bank_bits();
        let first: Vec<_> = (0..lanes)
            .map(|k| {
                let clashes = (0..k).map(|other| {
                    let same = match low {
                        0 => m.lit(1, 1),
                        low => ids[other].slice(0, low).equals(ids[k].slice(0, low)),
                    };
                    left_q.bit(other) & same
                });
                let clashes: Vec<_> = clashes.collect();
                match clashes.is_empty() {
                    true => left_q.bit(k),
                    false => left_q.bit(k) & !m.pack(&clashes).any(),
                }
            })
            .collect();
        net!(
            m,
            stored = m.pack(&first),
            "stored in this cycle: the first of each bank"
        );
        net!(m, rest = *left_q & !stored);
        done.drive(!rest.any());
        left_q.next(take.select(store.field("keep"), rest));
        m.never(
            read & left_q.any(),
            "scores are read while others are stored",
        );

        m.section("banks");
        let scores = scores_q.lanes(self.score_bits).to_vec();
        let read_ids = read_id.lanes(self.id_bits()).to_vec();
        let read_ids: Vec<_> = (0..lanes)
            .map(|k| m.net(&format!("read_id{k}"), read_ids[k], ""))
            .collect();
        let mut words = Vec::new();
        for bank in 0..self.banks() {
            let none = m.lit(0, self.memory().address_bits());
            let (mut row, mut word) = (none, m.lit(0, self.score_bits));
            let mut writes = Vec::new();
            let mut read_row = none;
            for k in 0..lanes {
                let (place, here) = self.place(m, ids[k], bank);
                let here = m.net(&format!("store{k}_{bank}"), stored.bit(k) & here, "");
                row = here.select(place, row);
                word = here.select(scores[k], word);
                writes.push(here);
                let (place, here) = self.place(m, read_ids[k], bank);
                read_row = here.select(place, read_row);
            }
            let write = m.net(&format!("write{bank}"), m.pack(&writes).any(), "");
            let memory = m
                .instance(&format!("u_bank{bank}"), &self.memory())
                .input("enable", write | read)
                .input("write", write)
                .input("address", write.select(row, read_row))
                .input("write_data", word);
            words.push(memory.output("read_data"));
        }

        m.section("each lane finds its bank");
        let (last, others) = words.split_last().expect("there are banks");
        let lanes: Vec<_> = (0..lanes)
            .map(|k| match low {
                0 => *last,
                low => {
                    let bank = m.register(&format!("bank{k}_q"), low, None, "");
                    bank.next(read_ids[k].slice(0, low));
                    let arms: Vec<_> = (0..).zip(others.iter().copied()).collect();
                    m.case(&format!("lane{k}"), *bank, &arms, *last, "")
                }
            })
            .collect();
        reg!(m, data_q = m.pack(&lanes));
        data.drive(data_q);
    }
}
