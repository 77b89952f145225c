//! The receiver of a stream that counts places: it has one for each word and gives it back by a pulse.

use rand::{Rng, RngExt};

use super::harness::ensure;
use super::{BenchError, Options};
use crate::cosim::{Bench, Design, PortId, SinkId};

/// A sink for a stream that never stalls, as it has a place for each word sent against a credit.
pub struct Receiver {
    name: &'static str,
    /// The sink.
    pub sink: SinkId,
    free: PortId,
    places: usize,
    /// How readily a place becomes free.
    pub frees: f64,
    freed: usize,
    most_held: usize,
}

impl Receiver {
    /// A receiver on stream `name`, of the block whose port `free` takes a pulse per place that is free again.
    pub fn new(name: &'static str, (sink, free): (SinkId, PortId), places: usize) -> Self {
        Receiver {
            name,
            sink,
            free,
            places,
            frees: 1.0,
            freed: 0,
            most_held: 0,
        }
    }

    /// Gives at most one place back in this cycle.
    pub fn drive(&mut self, bench: &mut Bench, random: &mut impl Rng) {
        let taken = bench.sink_cycles(self.sink).len();
        // After a reset both count from zero.
        self.freed = self.freed.min(taken);
        self.most_held = self.most_held.max(taken - self.freed);
        let frees = self.freed < taken && random.random_bool(self.frees);
        self.freed += usize::from(frees);
        bench.simulator().set(self.free, u64::from(frees));
    }

    /// No more words than there are places were ever held.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`] otherwise.
    pub fn check(&self, design: &Design, options: &Options) -> Result<(), BenchError> {
        ensure(self.most_held <= self.places, || {
            format!(
                "{} (seed {}): stream `{}`: {} words sent for {} places",
                design.top, options.seed, self.name, self.most_held, self.places
            )
        })
    }
}
