//! Equal lanes on one bus, and the generate loops over them.

use super::builder::Builder;
use super::expr::{GenvarId, Op};
use super::sig::Sig;
use super::types::{Ty, mistake, mistake_at};
use std::panic::Location;

/// The variable of a generate loop: selects the lane that the loop body is about.
#[derive(Clone, Copy)]
pub struct LaneIndex<'m> {
    pub(super) builder: &'m Builder,
    pub(super) genvar: GenvarId,
    /// Iterations of the loop.
    pub count: usize,
}

/// A named bus read as `lanes` words of one type; lane k is bits `k*width ..`.
#[derive(Clone, Copy)]
pub struct Lanes<'m> {
    /// The bus.
    pub bus: Sig<'m>,
    /// Number of lanes.
    pub lanes: usize,
    /// Type of one lane.
    pub ty: Ty,
}

impl<'m> Sig<'m> {
    /// The bus as lanes of one type.
    #[track_caller]
    pub fn lanes(self, ty: impl Into<Ty>) -> Lanes<'m> {
        let ty = ty.into();
        if !self.width().is_multiple_of(ty.width) {
            mistake(format!("{} does not divide into lanes of {ty}", self.ty()));
        }
        Lanes {
            bus: self,
            lanes: self.width() / ty.width,
            ty,
        }
    }
}

impl<'m> Lanes<'m> {
    /// Lane `index`, known while building.
    #[track_caller]
    pub fn lane(self, index: usize) -> Sig<'m> {
        let lane = self.bus.slice(index * self.ty.width, self.ty.width);
        if self.ty.signed {
            lane.as_signed()
        } else {
            lane
        }
    }

    /// Every lane, lane 0 first.
    pub fn to_vec(self) -> Vec<Sig<'m>> {
        (0..self.lanes).map(|index| self.lane(index)).collect()
    }

    /// The lane of this iteration of a generate loop.
    #[track_caller]
    pub fn at(self, index: LaneIndex<'m>) -> Sig<'m> {
        let Op::Signal(bus) = index.builder.op(self.bus.id) else {
            mistake("lanes of a generate loop need a named bus");
        };
        if index.count != self.lanes {
            mistake(format!(
                "a loop over {} lanes reads {} of {} lanes",
                index.count,
                index.builder.signal_name(bus),
                self.lanes
            ));
        }
        if self.lanes == 1 {
            return if self.ty.signed {
                self.bus.as_signed()
            } else {
                self.bus.as_unsigned()
            };
        }
        let genvar = index.genvar;
        index.builder.expr(Op::Lane { bus, genvar }, self.ty)
    }
}

impl Builder {
    /// A bus whose lane k is what `lane(k)` describes: one generate loop in Verilog.
    #[track_caller]
    pub fn per_lane<'m>(
        &'m self,
        name: &str,
        lanes: usize,
        ty: impl Into<Ty>,
        doc: &str,
        lane: impl FnOnce(LaneIndex<'m>) -> Sig<'m>,
    ) -> Sig<'m> {
        let ty = ty.into();
        let place = Location::caller();
        let bus = self.wire(name, lanes * ty.width, doc);
        self.generate(&format!("g_{name}"), lanes, |k| {
            let value = lane(k);
            if value.ty() != ty {
                let got = value.ty();
                mistake_at(place, format!("{name} has lanes of {ty}, got {got}"));
            }
            bus.drive_lane(k, value);
        });
        *bus
    }
}
