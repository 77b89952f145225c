//! What the trees of the cells share: how deep they are, and neighbouring lanes as pairs.

use crate::hdl::{Builder, LaneIndex, Lanes, Sig, Ty};

/// Levels of the tree over `lanes` lanes: log2, rounded up.
pub(super) fn depth(lanes: usize) -> usize {
    lanes.next_power_of_two().trailing_zeros() as usize
}

/// Neighbouring lanes of a bus, two by two; an odd last lane is paired with `neutral`.
pub(super) struct Pairs<'m> {
    pairs: Lanes<'m>,
    lane: Ty,
}

impl<'m> Pairs<'m> {
    /// Pairs of the lanes of a named bus; where a neutral lane is needed, the longer bus is called `name`.
    pub(super) fn new(m: &'m Builder, name: &str, lanes: Lanes<'m>, neutral: Sig<'m>) -> Self {
        let bus = if lanes.lanes.is_multiple_of(2) {
            lanes.bus
        } else {
            let longer = m.cat(&[neutral, lanes.bus]);
            m.net(name, longer, "the odd lane gets a neutral neighbour")
        };
        Pairs {
            pairs: bus.lanes(2 * lanes.ty.width),
            lane: lanes.ty,
        }
    }

    /// How many pairs there are.
    pub(super) fn count(&self) -> usize {
        self.pairs.lanes
    }

    /// The lower and the upper lane of the pair that this iteration of a generate loop is about.
    pub(super) fn at(&self, index: LaneIndex<'m>) -> (Sig<'m>, Sig<'m>) {
        let pair = self.pairs.at(index);
        let width = self.lane.width;
        let [low, high] = [0, width].map(|lo| {
            let lane = pair.slice(lo, width);
            if self.lane.signed {
                lane.as_signed()
            } else {
                lane
            }
        });
        (low, high)
    }
}
