//! Credits: a count of free places behind a pipeline that cannot stall.
//!
//! A fixed-latency pipeline ends in a FIFO; a word may enter only when a place for it is left, so that the pipeline
//! needs no stall. The sender takes a credit with each word, the FIFO's reader gives it back.

use crate::cells::counter::count;
use crate::hdl::{Builder, Reg, Sig};
use crate::numerics::value_bits;

/// A credit counter inside a module being described.
#[derive(Clone, Copy)]
pub struct Credits<'m> {
    m: &'m Builder,
    used: Reg<'m>,
    places: usize,
    name: &'static str,
}

impl<'m> Credits<'m> {
    /// Declares the counter `<name>_used_q` of places taken, none after reset.
    #[track_caller]
    pub fn new(m: &'m Builder, name: &'static str, places: usize) -> Self {
        let doc = format!("credits in use: places, of {places}, of words under way or waiting");
        let used = m.register(&format!("{name}_used_q"), value_bits(places), Some(0), &doc);
        Credits {
            m,
            used,
            places,
            name,
        }
    }

    /// Whether a place is left; depends on registers only.
    #[track_caller]
    pub fn available(&self) -> Sig<'m> {
        self.available_for(1)
    }

    /// Whether `count` places, at least one, are left; depends on registers only.
    #[track_caller]
    pub fn available_for(&self, count: usize) -> Sig<'m> {
        let limit = self.places - count + 1;
        let limit = self.m.lit(limit as u64, self.used.width());
        let room = self.used.lt(limit);
        self.m.net(&format!("{}_room", self.name), room, "")
    }

    /// Closes the count: `take` only where a place is available, `give` only for a place taken.
    #[track_caller]
    pub fn count(&self, take: Sig<'m>, give: Sig<'m>) {
        count(self.m, self.used, take, give);
    }
}
