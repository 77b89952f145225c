//! Where the vectors of a batch lie in the lines of their ring.

use crate::accelerator::shape::ArrayShape;
use crate::hdl::{Builder, Sig};
use crate::numerics::{index_bits, value_bits};

/// Batches of so many vectors, one after the other, in lines of a shape.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    pub shape: ArrayShape,
    pub lanes: usize,
}

/// Places of a batch's lanes.
pub(super) struct Places<'m> {
    /// Vector of its line, of every lane.
    pub slots: Vec<Sig<'m>>,
    /// Lines behind that of lane 0, of every lane.
    pub offsets: Vec<Sig<'m>>,
    /// Slot of the first lane of a whole batch's successor, where it can be other than 0.
    pub next_slot: Option<Sig<'m>>,
    /// And its line, counted from that of lane 0.
    pub next_offset: Sig<'m>,
}

impl Slots {
    /// Bits of a slot.
    pub fn slot_bits(&self) -> usize {
        index_bits(self.shape.chunks())
    }

    /// Bits of a lane's offset in lines, and of a successor's.
    pub fn offset_bits(&self) -> usize {
        value_bits(self.lanes)
    }

    /// Slots that lane 0 can have at a level.
    fn starts(&self, level: usize) -> Vec<usize> {
        let per_line = self.shape.vectors_per_line(level);
        let mut starts = vec![0];
        loop {
            let next = (starts[starts.len() - 1] + self.lanes) % per_line;
            if next == 0 {
                return starts;
            }
            starts.push(next);
        }
    }

    /// Whether lane 0 can be within a line.
    pub fn has_starts(&self) -> bool {
        let mut levels = self.shape.levels().into_iter();
        levels.any(|level| self.starts(level).len() > 1)
    }

    /// What a table says for lane 0's slot and the level.
    fn look_up<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        (level, slot): (Sig<'m>, Option<Sig<'m>>),
        word: impl Fn(usize, usize) -> Sig<'m>,
    ) -> Sig<'m> {
        self.shape.by_level(m, name, level, "", |l| {
            let per_line = self.shape.vectors_per_line(l);
            let starts = self.starts(l);
            let (last, others) = starts.split_last().expect("0 is a start");
            let last = word(*last, per_line);
            match (others, slot) {
                ([_, ..], Some(slot)) => {
                    let arm = |start: &usize| (*start as u64, word(*start, per_line));
                    let arms: Vec<_> = others.iter().map(arm).collect();
                    m.case(&format!("{name}{l}"), slot, &arms, last, "")
                }
                _ => last,
            }
        })
    }

    /// The places of all lanes where lane 0 is at `slot`, if it can be elsewhere than at 0.
    pub fn places<'m>(&self, m: &'m Builder, level: Sig<'m>, slot: Option<Sig<'m>>) -> Places<'m> {
        let (slot_bits, offset_bits) = (self.slot_bits(), self.offset_bits());
        let lit = |value: usize, bits: usize| m.lit(value as u64, bits);
        let lanes = |value: &dyn Fn(usize) -> Sig<'m>| {
            m.pack(&(0..self.lanes).map(value).collect::<Vec<_>>())
        };
        let at = (level, slot);
        let slots = self.look_up(m, "slots", at, |start, per_line| {
            lanes(&|k| lit((start + k) % per_line, slot_bits))
        });
        let offsets = self.look_up(m, "offsets", at, |start, per_line| {
            lanes(&|k| lit((start + k) / per_line, offset_bits))
        });
        let next_slot = slot.map(|_| {
            self.look_up(m, "next_slot", at, |start, per_line| {
                lit((start + self.lanes) % per_line, slot_bits)
            })
        });
        let next_offset = self.look_up(m, "next_offset", at, |start, per_line| {
            lit((start + self.lanes) / per_line, offset_bits)
        });
        Places {
            slots: slots.lanes(slot_bits).to_vec(),
            offsets: offsets.lanes(offset_bits).to_vec(),
            next_slot,
            next_offset,
        }
    }
}
