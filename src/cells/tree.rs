//! What the trees of the cells share: how deep they are, and neighbouring lanes as pairs.

use crate::hdl::{Builder, Lanes, Sig, Ty};

/// Levels of the tree over `lanes` lanes: log2, rounded up.
pub(super) fn depth(lanes: usize) -> usize {
    lanes.next_power_of_two().trailing_zeros() as usize
}

/// Where the registers of a tree are, in words.
pub(super) fn registers(levels_per_stage: usize) -> String {
    match levels_per_stage {
        1 => "after every level".into(),
        levels => format!("after every {levels} levels, and the last"),
    }
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

    /// What `join` makes of each pair, lane by lane: a loop in Verilog, or a plain net for a single pair.
    #[track_caller]
    pub(super) fn map(
        &self,
        m: &'m Builder,
        name: &str,
        ty: Ty,
        join: impl Fn(Sig<'m>, Sig<'m>) -> Sig<'m>,
    ) -> Lanes<'m> {
        let named = |pair: Sig<'m>| {
            let lanes = pair.lanes(self.lane);
            let [low, high] = [("low", 0), ("high", 1)].map(|(side, index)| {
                let lane = m.net(&format!("{name}_{side}"), lanes.lane(index), "");
                if self.lane.signed {
                    lane.as_signed()
                } else {
                    lane
                }
            });
            join(low, high)
        };
        let bus = if self.pairs.lanes == 1 {
            m.net(name, named(self.pairs.lane(0)).as_unsigned(), "")
        } else {
            m.per_lane(name, self.pairs.lanes, ty, "", |k| named(self.pairs.at(k)))
        };
        bus.lanes(ty)
    }
}
